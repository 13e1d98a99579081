"""Processes that measure when told to, over their stdin and stdout: one JSON object a line.

Each variant of the benchmark lives in a process of its own for the whole run, so that loading and
compiling are paid once and short blocks of all variants can alternate. Needs nothing but Python's
own library: PyTorch's environment imports it too.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
from collections.abc import Generator, Iterator

WARM_UP_TURNS = 3
STARTED = "BENCH_STARTED"  # in the environment: when the process was started
LOG_LINES = 12  # of a failed worker's log that are shown


class WorkerError(RuntimeError):
    """A worker ended before it had answered; the message has the end of its log."""


class Worker:
    """The benchmark's side of a worker; its process is ready when this returns.

    Args:
        name: for messages and the log file.
        command: program and arguments.
        logs: directory for what the worker prints besides its answers.

    Raises:
        WorkerError: the process ended before it was ready.
    """

    def __init__(self, name: str, command: list, logs: pathlib.Path):
        self.name = name
        self._log = logs / f"{name.replace(' ', '_')}.log"
        # The CPU is compared, also where there is a GPU that only one of the libraries can use.
        environment = os.environ | {"CUDA_VISIBLE_DEVICES": "-1", STARTED: str(time.time())}
        with open(self._log, "wb") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=environment,
            )
        try:
            self.facts = self._answer()
        except BaseException:
            self.close()
            raise

    def measure(self, **request) -> dict:
        """Sends a request and returns the answer.

        Raises:
            WorkerError: the process ended.
        """
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the missing answer says why
        return self._answer()

    def close(self) -> None:
        """Ends the process: it leaves when its input ends."""
        self._process.communicate()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _answer(self) -> dict:
        line = self._process.stdout.readline()
        if not line:
            status = self._process.wait()
            tail = self._log.read_text(errors="replace").splitlines()[-LOG_LINES:]
            raise WorkerError("\n".join([f"{self.name} ended with status {status}:", *tail]))
        return json.loads(line)


class Channel:
    """The worker's side. From here on all else that the process prints goes to stderr."""

    def __init__(self):
        self._started = float(os.environ.get(STARTED, time.time()))
        self._answers = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)

    def answer(self, **values) -> None:
        """Sends one answer; the first one says that the worker is ready."""
        print(json.dumps(values), file=self._answers, flush=True)

    def requests(self) -> Iterator[dict]:
        """Gives the requests until the benchmark ends."""
        for line in iter(sys.stdin.readline, ""):
            yield json.loads(line)

    def steps(self, **facts) -> Generator[None, int | None, None]:
        """Gives a turn before each call of the training step, and measures blocks on request.

        `next` says that the last turn's call was one step, `send(number)` that it was several. A
        block goes on until it has at least the `steps` asked for, and tells how many it had. The
        first call of each block is not counted: it wakes up threads and caches.

        Args:
            facts: the first answer, given after the warm-up; `start_seconds` is added, from the
                start of the process to the end of the first call.
        """
        for _ in range(WARM_UP_TURNS):
            yield
            facts.setdefault("start_seconds", time.time() - self._started)
        self.answer(**facts)
        for request in self.requests():
            yield
            started, cpu_started = time.perf_counter(), time.process_time()
            steps = 0
            while steps < request["steps"]:
                steps += (yield) or 1
            seconds, cpu_seconds = time.perf_counter() - started, time.process_time() - cpu_started
            self.answer(steps=steps, seconds=seconds, cpu_seconds=cpu_seconds)
