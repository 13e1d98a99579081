"""A search's trials in processes of their own, several side by side.

The process that calls `run` alone writes to the search's file and hands out the trials; workers
train, and tell it over a pipe. So no trial is given out twice. A worker that dies costs its trial
alone; where the caller dies, its workers end at once.
"""

import contextlib
import multiprocessing
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing import connection

from dlcv_tf.errors import InputError, RefusedError
from dlcv_tf.train.search import Search
from dlcv_tf.train.search_plan import Objective, Outcome, Task, Trial


def run(
    search: Search,
    objective: Objective,
    jobs: int = 1,
    *,
    on_trial: Callable[[Trial], None] = lambda _: None,
    on_epoch: Callable[[Task, int, float], None] = lambda *_: None,
) -> None:
    """Carries out what is left of a search, some trials at a time.

    Args:
        search: the search.
        objective: as for `search.run`, picklable; it is called in the workers. What it imports at
            the top of its module must not start TensorFlow.
        jobs: how many workers; each gets its share of the cores.
        on_trial: called here with each trial that has ended.
        on_epoch: called here with a task, the epoch from 0 on, and the value after it.

    Raises:
        InputError: the objective raised it before any trial was complete: the input is bad. Later
            it only fails the trial.
        RefusedError: likewise for any other error, and for a worker that died.
    """
    if jobs < 1:
        raise InputError(f"got {jobs} jobs, expected 1 or more, as --jobs 2")
    threads = max(1, (os.cpu_count() or 1) // jobs)
    workers: list[_Worker] = []
    try:
        while True:
            busy = [worker for worker in workers if worker.task]
            while len(busy) < jobs and (task := search.take()) is not None:
                idle = [worker for worker in workers if not worker.task]
                worker = idle[0] if idle else _Worker(objective, threads, jobs)
                if not idle:
                    workers.append(worker)
                worker.give(task)
                busy.append(worker)
            if not busy:
                return
            for ready in connection.wait([worker.pipe for worker in busy]):
                worker = next(each for each in busy if each.pipe is ready)
                trial = _hear(worker, search, on_epoch)
                if not worker.lives:
                    workers.remove(worker)
                if trial is not None:
                    on_trial(trial)
    finally:
        for worker in workers:
            worker.end()


class _Worker:
    """A process that carries out one trial after another.

    Args:
        objective: what trains.
        threads: it may use.
        jobs: workers there are.
    """

    def __init__(self, objective: Objective, threads: int, jobs: int):
        context = multiprocessing.get_context("spawn")  # TensorFlow does not survive a fork
        self.pipe, far_end = context.Pipe()
        self.task: Task | None = None
        self.started = 0.0
        self.lives = True
        self.process = context.Process(
            target=_work, args=(far_end, objective, threads, jobs), daemon=True
        )
        with _interrupts_held_back():
            self.process.start()
        far_end.close()  # so that the pipe ends with the worker

    def give(self, task: Task) -> None:
        """Hands a trial to the process, which must be idle."""
        self.task, self.started = task, time.perf_counter()
        with contextlib.suppress(BrokenPipeError):  # it has died: the next message says so
            self.pipe.send(task)

    def end(self) -> None:
        """Kills the process."""
        self.lives = False
        self.process.kill()
        self.process.join()
        self.pipe.close()


def _hear(worker: _Worker, search: Search, on_epoch: Callable) -> Trial | None:
    """Takes one message of a worker; returns the trial if it has ended."""
    task = worker.task
    try:
        kind, content = worker.pipe.recv()
    except (EOFError, ConnectionResetError):
        worker.end()
        code = worker.process.exitcode
        how = signal.Signals(-code).name if code < 0 else f"status {code}"
        kind, content = "error", (f"its process ended by {how}: is memory short?", False)
    if kind == "epoch":
        epoch, value = content
        on_epoch(task, epoch, value)
        with contextlib.suppress(BrokenPipeError):
            worker.pipe.send(search.report(task, epoch, value))
        return None
    if kind == "error":
        message, is_input = content
        if not any(trial.state == "complete" for trial in search.trials()):
            values = ", ".join(f"{name}={value}" for name, value in task.values.items())
            raise (InputError if is_input else RefusedError)(f"{message} (trial of {values})")
        content = Outcome(state="failed", reason=message)
    worker.task = None
    return search.tell(task, content, time.perf_counter() - worker.started)


def _work(pipe, objective: Objective, threads: int, jobs: int) -> None:
    """Carries out what comes through the pipe, until it is closed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the caller's affair
    threading.Thread(target=_end_with_parent, daemon=True).start()
    os.environ.setdefault("TF_NUM_INTRAOP_THREADS", str(threads))
    if jobs > 1:  # else the first one takes all of a GPU's memory
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")

    def report(epoch: int, value: float) -> bool:
        pipe.send(("epoch", (epoch, float(value))))
        return pipe.recv()

    with contextlib.suppress(EOFError, BrokenPipeError, ConnectionResetError):
        while True:
            task = pipe.recv()
            try:
                answer = ("done", objective(task, report))
            except InputError as error:
                answer = ("error", (str(error), True))
            except (EOFError, BrokenPipeError, ConnectionResetError):
                raise
            except Exception as error:
                traceback.print_exc()
                answer = ("error", (f"{type(error).__name__}: {error}", False))
            pipe.send(answer)


def _end_with_parent() -> None:
    multiprocessing.parent_process().join()
    os._exit(1)


@contextlib.contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Holds Ctrl-C back here, and for good in a process started meanwhile."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
