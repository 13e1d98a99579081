"""`tools/setup_venv.sh` up to the point where it would install, with interpreters made of shell."""

import os
import pathlib
import shutil
import subprocess
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "tools" / "setup_venv.sh"


@pytest.fixture
def project(tmp_path):
    """Returns a project whose PATH holds `bin/`, still empty, and the commands the script needs."""
    for folder in ("tools", "bin", "system"):
        (tmp_path / folder).mkdir()
    shutil.copy(SCRIPT, tmp_path / "tools")
    (tmp_path / "requirements.lock").write_text("setuptools==1\n")
    (tmp_path / "pyproject.toml").write_text("[project]\n")
    for command in ("sh", "dirname", "cat", "cksum", "rm", "awk", "mkdir"):
        (tmp_path / "system" / command).symlink_to(shutil.which(command))
    return tmp_path


def interpreter(project, name, answer, status=0):
    """Puts a command on the PATH that answers the probe, and that fails to make a venv."""
    path = project / "bin" / name
    path.write_text(
        "#!/bin/sh\n"
        f'case "$1" in -c) echo "{answer}"; exit {status} ;; esac\n'
        f'case "$1" in --version) echo "{name} here" ;; -m) echo "{name} $*" >&2; exit 1 ;; esac\n'
    )
    path.chmod(0o755)


def set_up(project, **environment):
    path = f"{project / 'bin'}{os.pathsep}{project / 'system'}"
    return subprocess.run(
        [project / "tools" / "setup_venv.sh"],
        env={"PATH": path, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def complaint(project, **environment):
    """Returns the one line with which the script fails."""
    done = set_up(project, **environment)
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    return line


def test_without_an_interpreter(project):
    assert "install Python 3.11, 3.12 or 3.13, or name one with PYTHON=" in complaint(project)


def test_an_old_interpreter_is_named(project):
    interpreter(project, "python3", "is Python 3.9")
    assert "python3 is Python 3.9" in complaint(project)


def test_without_the_venv_module(project):
    interpreter(project, "python3", "has no venv module")
    assert complaint(project).endswith(
        "python3 has no venv module: run apt-get install python3-venv (Debian, Ubuntu), "
        "then try again"
    )


def test_the_first_that_really_runs_is_taken(project):
    interpreter(project, "python3.12", "pyenv: command not found", status=127)
    interpreter(project, "python3.13", "has no venv module")
    interpreter(project, "python3.11", "usable")
    interpreter(project, "python3", "usable")
    done = set_up(project)
    assert "setup: making .venv with python3.11 here and pip" in done.stderr
    assert "python3.11 -m venv .venv" in done.stderr


def test_python_names_the_interpreter(project):
    interpreter(project, "python3.12", "usable")
    interpreter(project, "mine", "usable")
    assert "mine -m venv .venv" in set_up(project, PYTHON=str(project / "bin" / "mine")).stderr
    interpreter(project, "mine", "is Python 3.10")
    assert "mine is Python 3.10" in complaint(project, PYTHON=str(project / "bin" / "mine"))


def test_a_real_interpreter_passes_the_probe(project):
    path = project / "bin" / "python3"
    path.write_text(f'#!/bin/sh\ncase "$1" in -c) exec {sys.executable} "$@" ;; esac\nexit 1\n')
    path.chmod(0o755)
    assert "setup: making .venv" in set_up(project).stderr


@pytest.fixture
def ready(project):
    """Returns a project whose .venv the script takes for complete."""
    (project / ".venv" / "bin").mkdir(parents=True)
    (project / ".venv" / "bin" / "python").symlink_to(sys.executable)
    lock, settings = (
        subprocess.check_output(["cksum"], input=(project / name).read_bytes()).decode().strip()
        for name in ("requirements.lock", "pyproject.toml")
    )
    (project / ".venv" / "packages.stamp").write_text(f"{lock} in {project}\n")
    (project / ".venv" / "project.stamp").write_text(f"{settings}\n")
    return project


def test_a_complete_venv_is_left_alone(ready):
    done = set_up(ready)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def break_stamp(project):
    (project / ".venv" / "packages.stamp").unlink()


def break_lock(project):
    (project / "requirements.lock").write_text("setuptools==2\n")


def break_interpreter(project):
    (project / ".venv" / "bin" / "python").unlink()


@pytest.mark.parametrize("damage", [break_stamp, break_lock, break_interpreter])
def test_a_venv_that_is_not_complete_is_made_afresh(ready, damage):
    damage(ready)
    interpreter(ready, "python3", "usable")
    assert "setup: making .venv" in set_up(ready).stderr
    assert not (ready / ".venv").exists()
