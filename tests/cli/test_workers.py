"""Local workers live and end together, and say once why; these ones know no TensorFlow."""

import os
import signal
import subprocess
import sys
import time

import pytest

from dlcv_tf.cli import workers
from dlcv_tf.errors import InputError
from dlcv_tf.train import cluster

START = "import json, os, sys, time; me = json.loads(os.environ['TF_CONFIG'])['task']['index'];"


def run(program, monkeypatch):
    """Runs two workers that carry out a program, in which `me` is the worker's number."""
    monkeypatch.delenv("TF_CONFIG", raising=False)
    monkeypatch.setattr(workers, "COMMAND", (sys.executable, "-c", START + program))
    started = time.monotonic()
    return workers.run(2, ["train"], "dlcv train --resume"), time.monotonic() - started


def test_the_chief_alone_is_heard(monkeypatch, capfd):
    program = "print('worker', me, sys.argv[1]); print('note', me, file=sys.stderr)"
    assert run(program, monkeypatch)[0] == 0
    out, error = capfd.readouterr()
    assert out == "worker 0 train\n" and error == "note 0\n"


def test_workers_share_the_cores(monkeypatch, capfd):
    run("print(os.environ['TF_NUM_INTRAOP_THREADS'])", monkeypatch)
    assert int(capfd.readouterr().out) == max(1, os.cpu_count() // 2)


@pytest.mark.parametrize("victim", [0, 1])
def test_a_killed_worker_ends_all_at_once(victim, monkeypatch, capfd):
    program = f"time.sleep(0.5); me == {victim} and os.kill(os.getpid(), 9); time.sleep(60)"
    status, seconds = run(program, monkeypatch)
    assert status == 1 and seconds < 10
    error = capfd.readouterr().err
    assert error.count("\n") == 1
    assert f"dlcv: worker {victim} of 2 was ended by SIGKILL, and all with it" in error
    assert "go on with dlcv train --resume" in error


def test_the_cause_is_told_and_not_what_follows_from_it(monkeypatch, capfd):
    gone = f"print('dlcv: {cluster.GONE}', file=sys.stderr); sys.exit(1)"
    wrong = "print('dlcv: got a bad label', file=sys.stderr); time.sleep(1); sys.exit(2)"
    status, _ = run(f"exec({gone!r} if me == 0 else {wrong!r})", monkeypatch)
    assert status == 2
    assert capfd.readouterr().err == "dlcv: got a bad label\n"


def test_ctrl_c_is_handed_on(monkeypatch, capfd):
    def interrupt(*_):
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 1.5)
    try:
        status, seconds = run("time.sleep(60)", monkeypatch)
    finally:
        signal.signal(signal.SIGALRM, before)
    assert status == 130 and seconds < 30
    assert "dlcv: interrupted; " in capfd.readouterr().err


def test_a_worker_ends_with_its_parent():
    program = (
        "import time; from dlcv_tf.cli import workers; workers.follow_parent(); time.sleep(60)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        env=os.environ | {workers.FOLLOWS: "1"},
    )
    process.stdin.close()  # as the system does for a parent that is killed
    assert process.wait(timeout=30) == 1


@pytest.mark.parametrize("text", ["0", "-1", "two", "1.5", ""])
def test_a_bad_number_is_refused(text):
    with pytest.raises(InputError, match="expected a whole number above zero"):
        workers.number(text)


def test_local_workers_beside_those_of_the_environment_are_refused(monkeypatch):
    monkeypatch.setenv("TF_CONFIG", cluster.EXAMPLE)
    assert workers.number("1") == 1
    with pytest.raises(InputError, match="names the workers already"):
        workers.number("2")
