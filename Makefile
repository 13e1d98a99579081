# `make quickstart` and `make test` are all one needs: each makes .venv first where it is not there.
# `make PYTHON=/path/to/python3.12 quickstart` chooses the interpreter.

PYTHON ?=
UV ?= uv
export PYTHON

.PHONY: quickstart test lint serving bench lock clean venv

quickstart: venv
	.venv/bin/dlcv quickstart

test: lint
	.venv/bin/python -m pytest -n auto --maxprocesses 4 --dist loadfile

lint: venv
	.venv/bin/ruff check
	.venv/bin/ruff format --check

serving: venv
	.venv/bin/python tools/build_serving.py

bench: venv
	.venv/bin/python tools/bench.py

venv:
	@tools/setup_venv.sh

# Takes up what pyproject.toml asks for and keeps every other pin; delete the lock to renew them all.
lock:
	@command -v $(UV) > /dev/null || { echo "make lock needs uv (or UV=/path/to/uv)" >&2; exit 1; }
	$(UV) pip compile pyproject.toml --extra dev --universal --python-version 3.11 \
		--generate-hashes --no-header --no-emit-index-url --no-emit-find-links --quiet \
		--output-file requirements.lock

clean:
	rm -rf .venv .venv-bench .bench build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -prune -exec rm -rf {} +
