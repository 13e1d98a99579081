#!/bin/sh
# Makes .venv from requirements.lock and installs the project in it, editable.
# Where all of it is in place already, it says nothing and takes a moment.
#
#   PYTHON=/path/to/python tools/setup_venv.sh      chooses the interpreter of a new .venv
#
# Only its stamps say that a .venv is complete: one that was cut short, was made elsewhere or from
# another lock, or whose interpreter has gone, is made afresh.
set -eu
cd "$(dirname "$0")/.."
unset PYTHONHOME PYTHONPATH
export PIP_USER=0 PIP_DISABLE_PIP_VERSION_CHECK=1

packages="$(cksum < requirements.lock) in $(pwd)"
project=$(cksum < pyproject.toml)
[ -t 1 ] && quiet= || quiet=--quiet     # a terminal gets the installers' progress bars

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }
stamped() { [ -f ".venv/$1.stamp" ] && [ "$(cat ".venv/$1.stamp")" = "$2" ]; }

# Runs in whatever Python a candidate turns out to be, so also in one from long ago.
probe='
import sys
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    print("is Python %d.%d" % sys.version_info[:2])
else:
    try:
        import ensurepip, venv
        print("usable")
    except ImportError:
        print("has no venv module")
'

# Prints the first interpreter that can make a venv. Trying is the only way to know: pyenv puts
# commands on the path that only complain, and Debian ships Python without venv.
find_python() {
    if [ -n "${PYTHON:-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3.12 python3.13 python3.11 python3
    fi
    seen=
    for candidate; do
        answer=$("$candidate" -c "$probe" 2> /dev/null) || answer="does not run"
        if [ "$answer" = usable ]; then
            echo "$candidate"
            return
        fi
        seen="$seen${seen:+, }$candidate $answer"
    done
    case "$seen" in
    *"no venv"*) fail "$seen: run apt-get install python3-venv (Debian, Ubuntu), then try again" ;;
    *) fail "$seen: install Python 3.11, 3.12 or 3.13, or name one with PYTHON=/path/to/python" ;;
    esac
}

make_venv() {
    say "making .venv with $("$python" --version) and $1: some minutes, once"
    # promise comes as source only. What builds it is taken from the lock too, hash and all.
    rm -rf .venv &&
        "$python" -m venv .venv &&
        awk '/^[^ #]/ { wanted = /^setuptools==/ } wanted' requirements.lock > .venv/build.lock &&
        "with_$1" .venv/build.lock &&
        "with_$1" requirements.lock
}

with_uv() {
    uv pip install $quiet --python .venv/bin/python --require-hashes --no-build-isolation \
        --compile-bytecode -r "$1"
}

with_pip() {
    .venv/bin/python -m pip install $quiet --require-hashes --no-build-isolation --use-pep517 \
        --compile -r "$1"
}

if ! { stamped packages "$packages" && .venv/bin/python -c '' 2> /dev/null; }; then
    python=$(find_python)
    { command -v uv > /dev/null && make_venv uv; } ||
        make_venv pip ||
        fail "could not install requirements.lock; the lines above say why"
    echo "$packages" > .venv/packages.stamp
fi
if ! stamped project "$project"; then
    .venv/bin/python -m pip install --quiet --no-deps --no-build-isolation --editable .
    .venv/bin/dlcv --version > /dev/null
    echo "$project" > .venv/project.stamp
fi
