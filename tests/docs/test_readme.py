"""What the README shows works as written."""

import pathlib
import re
import subprocess
import sys

import pytest

from dlcv_tf.cli.main import VERBS

ROOT = pathlib.Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_python_example_runs(tmp_path):
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", example],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-1].endswith("savedmodels/my_digits/1")
    assert (tmp_path / "savedmodels/my_digits/1/manifest.json").is_file()


@pytest.mark.parametrize("verb", sorted(set(re.findall(r"^    dlcv (\w+)", README, re.MULTILINE))))
def test_commands_exist(verb):
    assert verb in VERBS


@pytest.mark.parametrize("link", re.findall(r"\]\(((?!http)[^)]+)\)", README))
def test_links_lead_somewhere(link):
    assert (ROOT / link).exists()
