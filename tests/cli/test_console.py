"""What reaches the terminal while TensorFlow is imported."""

import subprocess
import sys

import pytest

BODY = """
import os, sys
from dlcv_tf.cli import console
with console.tensorflow_quietly():
    os.write(2, b"from the body")
"""


def python(program, **options):
    return subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False, **options
    )


@pytest.mark.parametrize("level", [{}, {"TF_CPP_MIN_LOG_LEVEL": "0"}])
def test_tensorflow_starts_without_noise(level, monkeypatch):
    monkeypatch.delenv("TF_CPP_MIN_LOG_LEVEL", raising=False)
    for name, value in level.items():
        monkeypatch.setenv(name, value)
    done = python(BODY + "print('tensorflow' in sys.modules)")
    assert done.stdout == "True\n"
    assert done.stderr == "from the body"


def test_an_import_that_fails_shows_what_it_wrote(tmp_path, monkeypatch):
    broken = "import os; os.write(2, b'libfoo.so: cannot open\\n'); raise ImportError('broken')"
    (tmp_path / "tensorflow.py").write_text(broken)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    done = python(BODY)
    assert done.returncode == 1
    assert done.stderr.startswith("libfoo.so: cannot open\n")
    assert done.stderr.endswith("ImportError: broken\n")
    assert "from the body" not in done.stderr
