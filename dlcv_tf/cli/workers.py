"""Local workers: `dlcv train --workers N` starts itself N times here, joined by `TF_CONFIG`."""

import collections
import os
import signal
import subprocess
import sys
import threading
import time

from dlcv_tf.cli import console
from dlcv_tf.errors import InputError
from dlcv_tf.train import cluster

COMMAND = (sys.executable, "-m", "dlcv_tf.cli.main")
FOLLOWS = "DLCV_FOLLOWS"  # set in a worker: its standard input is open as long as its parent lives
POLL_SECONDS = 0.05
GRACE_SECONDS = 10.0  # to say what went wrong, and for TensorFlow to take itself down
KEPT_LINES = 30  # of what a worker writes to stderr


def number(text: str) -> int:
    """Returns how many workers `--workers` asks for.

    Raises:
        InputError: not a whole number above zero, or this process is a worker already.
    """
    if not text.isdecimal() or int(text) < 1:
        raise InputError(
            f"got --workers {text}, expected a whole number above zero, as --workers 2"
        )
    if int(text) > 1 and os.environ.get(cluster.VARIABLE):
        raise InputError(
            f"got --workers {text} where {cluster.VARIABLE} names the workers already, expected "
            "one of the two: leave out --workers, or unset the variable"
        )
    return int(text)


def run(workers: int, arguments: list[str], resume: str) -> int:
    """Runs `dlcv` with the same arguments in some processes, and ends all where one ends badly.

    Args:
        workers: how many; each gets its share of the cores, and no GPU.
        arguments: what follows `dlcv`.
        resume: the command that goes on with the run.

    Returns:
        The exit status: 0, or that of the worker that failed first.
    """
    threads = str(max(1, os.cpu_count() // workers))
    shared = {"TF_NUM_INTRAOP_THREADS": threads, "CUDA_VISIBLE_DEVICES": "-1"} | os.environ
    started = []
    try:
        for index, config in enumerate(cluster.local(workers)):
            environment = shared | {cluster.VARIABLE: config, FOLLOWS: "1"}
            started.append(_Worker(index, arguments, environment))
        _until_one_fails(started)
        killed = any(each.failed and each.process.returncode < 0 for each in started)
        _end(started, 0.0 if killed else GRACE_SECONDS)
        failed = [each for each in started if each.failed]
    except KeyboardInterrupt:
        for worker in started:
            worker.send(signal.SIGINT)
        _end(started, GRACE_SECONDS)
        console.interrupted(f"go on with: {resume}")
        return 130
    finally:
        for worker in started:
            worker.end()
    if not failed:
        return 0
    return min(failed, key=lambda each: (each.only_noticed, each.ended_at)).report(workers, resume)


def follow_parent() -> None:
    """Lets this process end with the one that started it, where it is a local worker.

    So a parent killed by -9 leaves no training behind.
    """
    if os.environ.get(FOLLOWS):
        threading.Thread(target=_end_with_input, daemon=True).start()


def _end_with_input() -> None:
    while os.read(0, 1024):
        continue
    os._exit(1)


class _Worker:
    """A worker process; the chief's output is shown.

    Args:
        index: number of the worker; 0 is the chief.
        arguments: what follows `dlcv`.
        environment: of the process.
    """

    def __init__(self, index: int, arguments: list[str], environment: dict[str, str]):
        self.index = index
        self.lines = collections.deque(maxlen=KEPT_LINES)
        self.ended_at = None
        self.killed = False
        self.process = subprocess.Popen(
            [*COMMAND, *arguments],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=None if index == 0 else subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            start_new_session=True,  # Ctrl-C reaches the parent alone, which hands it on
        )
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self) -> None:
        """Keeps what the process writes to stderr; shows the chief's, but for a last complaint."""
        for line in self.process.stderr:
            self.lines.append(line)
            if self.index == 0 and not line.startswith("dlcv: "):
                sys.stderr.write(line)
                sys.stderr.flush()

    def is_over(self) -> bool:
        """Tells whether the process has ended."""
        if self.process.poll() is None:
            return False
        if self.ended_at is None:
            self.ended_at = time.monotonic()
            self.reader.join(1.0)
        return True

    @property
    def failed(self) -> bool:
        """Whether the process has ended badly by itself."""
        return self.is_over() and self.process.returncode != 0 and not self.killed

    @property
    def only_noticed(self) -> bool:
        """Whether all it has to say is that another worker has gone."""
        return any(cluster.GONE in line for line in self.lines)

    def send(self, number: int) -> None:
        """Sends a signal to the process."""
        if not self.is_over():
            self.process.send_signal(number)

    def end(self) -> None:
        """Kills the process if it runs still."""
        if not self.is_over():
            self.killed = True
            self.process.kill()
            self.process.wait()
        self.process.stdin.close()
        self.reader.join()
        self.process.stderr.close()

    def report(self, workers: int, resume: str) -> int:
        """Says why the process has ended; returns the exit status that follows."""
        status = self.process.returncode
        if status < 0:
            name = signal.Signals(-status).name
            console.complain(
                f"worker {self.index} of {workers} was ended by {name}, and all with it; nothing "
                f"that was saved is lost: go on with {resume}"
            )
            return 1
        complaints = [line for line in self.lines if line.startswith("dlcv: ")]
        if self.index > 0 or complaints:
            sys.stderr.write("".join(complaints or self.lines))
        return status


def _until_one_fails(workers: list[_Worker]) -> None:
    """Waits until one has failed, or all are over."""
    while not any([worker.failed for worker in workers]):
        if all([worker.is_over() for worker in workers]):
            return
        time.sleep(POLL_SECONDS)


def _end(workers: list[_Worker], seconds: float) -> None:
    """Lets all end by themselves for some seconds, and kills those that run still."""
    until = time.monotonic() + seconds
    while not all([worker.is_over() for worker in workers]) and time.monotonic() < until:
        time.sleep(POLL_SECONDS)
    for worker in workers:
        worker.end()
