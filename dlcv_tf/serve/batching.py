"""The queue before an executor: so many run at once, the rest wait, and what waits runs together.

There are no threads of its own. A request that finds a free lane runs at once, in the thread it
came in. Others wait; whoever is done hands its lane to the one that waits longest, which takes
along what waits behind it and fits. So batches grow with the load, and nobody waits for one.
"""

import collections
import dataclasses
import threading
import time
from collections.abc import Callable

import numpy as np

from dlcv_tf.artifact import batching_parameters
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.errors import Code, ServingError

QUEUE_FULL = "The batch scheduling queue to which this task was submitted is full"
_WAITS, _LEADS, _TAKEN, _DONE = range(4)


@dataclasses.dataclass(frozen=True)
class Plan:
    """How many requests run at once, how many wait, and how many pictures run together.

    Args:
        lanes: executions at once.
        limit: most requests that wait; more are refused.
        max_batch: most pictures that run together; 1 makes no batches.
        delay: seconds that a free lane waits for more pictures.
        sizes: allowed batch sizes, ascending; a batch is padded to the next one. None given: any.
    """

    lanes: int = 1
    limit: int = 256
    max_batch: int = 1
    delay: float = 0.0
    sizes: tuple[int, ...] = ()


def plan_of(path: str, lanes: int, limit: int) -> Plan:
    """Returns the plan of a file of TF Serving's BatchingParameters.

    Args:
        path: the file.
        lanes: executions at once, where the file does not say it.
        limit: most requests that wait, where the file does not say it.

    Raises:
        InputError: for a file that is missing or wrong.
    """
    parameters = batching_parameters.read(path)
    max_batch = parameters.max_batch_size.value or 1
    return Plan(
        lanes=parameters.num_batch_threads.value or lanes,
        limit=parameters.max_enqueued_batches.value * max_batch or limit,
        max_batch=max_batch,
        delay=parameters.batch_timeout_micros.value / 1e6,
        sizes=tuple(parameters.allowed_batch_sizes),
    )


class Queue:
    """An executor that lets requests wait for another one, and run together.

    Pictures run together that are of one size and type and for one signature. A request with more
    of them than a batch may hold runs alone.

    `executed` is told of every execution: its size and its seconds.

    Args:
        executor: what runs them.
        plan: how.
    """

    def __init__(self, executor, plan: Plan):
        self.name: str = executor.name
        self.plan = plan
        self.signatures: frozenset[str] = getattr(executor, "signatures", frozenset())
        self.executed: Callable[[int, float], None] = lambda size, seconds: None
        self._executor = executor
        self._free = plan.lanes
        self._filling = 0  # lanes that wait for more pictures
        self._waiting: collections.deque[_Waiting] = collections.deque()
        self._lock = threading.Lock()
        self._arrival = threading.Condition(self._lock)

    @property
    def waiting(self) -> int:
        """The number of requests that wait."""
        return len(self._waiting)

    def __call__(self, images: np.ndarray, call: Call) -> dict[str, np.ndarray]:
        """Answers pictures of one size, at once or in their turn.

        Raises:
            ServingError: UNAVAILABLE if too many wait already, DEADLINE_EXCEEDED, and what the
                executor raises.
        """
        key = ("", images.shape[1:], images.dtype)
        return self._submit(_Waiting(self._executor, key, images, call))

    def run(
        self, signature: str, inputs: dict[str, np.ndarray], call: Call
    ) -> dict[str, np.ndarray]:
        """Runs a signature of the executor's own, at once or in its turn."""

        def run(array: np.ndarray, call: Call) -> dict[str, np.ndarray]:
            return self._executor.run(signature, inputs | {name: array}, call)

        name, array = next(iter(inputs.items()))
        # What has more than one input is never put together.
        rest = array.shape[1:] if len(inputs) == 1 else object()
        return self._submit(_Waiting(run, (signature, rest, array.dtype), array, call))

    def close(self) -> None:
        """Closes the executor."""
        self._executor.close()

    def _submit(self, one: "_Waiting") -> dict[str, np.ndarray]:
        one.call.check_deadline()
        with self._lock:
            is_free = self._free and not self._filling  # then nobody waits
            if is_free:
                self._free -= 1
                one.state = _LEADS
            elif len(self._waiting) >= self.plan.limit:
                raise ServingError(Code.UNAVAILABLE, QUEUE_FULL)
            else:
                self._waiting.append(one)
                if self._filling:
                    self._arrival.notify_all()
        if not is_free:
            start = time.perf_counter()
            self._wait(one)
            waited = time.perf_counter() - start
            # The time it then ran with others is not of the queue.
            run = one.call.stages.get("run", 0.0) - one.ran_before
            queued = one.call.stages.get("queue", 0.0) + max(0.0, waited - run)
            one.call.stages["queue"] = queued
        if one.state == _LEADS:
            try:
                self._lead(one)
            finally:
                with self._lock:
                    self._free += 1
                    self._start_next()
        if one.error:
            raise one.error
        return one.outputs

    def _wait(self, one: "_Waiting") -> None:
        """Waits for the outputs or for the lane, or until the deadline."""
        deadline = one.call.deadline
        timeout = -1 if deadline is None else max(0.0, deadline - time.monotonic())
        if one.turn.acquire(timeout=timeout):
            return
        with self._lock:
            if one.state == _WAITS:
                self._waiting.remove(one)
            if one.state in (_WAITS, _TAKEN):
                one.state = _DONE
                one.error = one.call.too_late()

    def _lead(self, one: "_Waiting") -> None:
        """Runs a request that has a lane, with what waits behind it and fits."""
        one.call.check_deadline()
        group = [one]
        if self.plan.max_batch > 1:
            with self._lock:
                if self.plan.delay:
                    self._filling += 1
                    self._arrival.wait_for(lambda: self._is_full(one), self.plan.delay)
                    self._filling -= 1
                group += self._take(one)
                self._start_next()
        if len(group) == 1:
            one.outputs = self._execute(one.run, one.array, one.call)
            return
        try:
            self._run_together(group)
        except ServingError as error:
            if error.code not in (Code.UNAVAILABLE, Code.DEADLINE_EXCEEDED):
                self._run_singly(group)
            else:
                for member in group:
                    member.error = error
        except Exception:  # one of them may be at fault: the others are answered all the same
            self._run_singly(group)
        finally:
            for member in group[1:]:
                self._finish(member)

    def _is_full(self, one: "_Waiting") -> bool:
        fitting = sum(len(other.array) for other in self._waiting if other.key == one.key)
        return len(one.array) + fitting >= self.plan.max_batch

    def _take(self, one: "_Waiting") -> list["_Waiting"]:
        """Takes from the queue what runs together with a request; the lock is held."""
        taken, kept, count = [], [], len(one.array)
        while self._waiting and count < self.plan.max_batch:
            other = self._waiting.popleft()
            fits = other.key == one.key and count + len(other.array) <= self.plan.max_batch
            if other.is_late():
                self._drop(other)
            elif fits:
                other.state = _TAKEN
                taken.append(other)
                count += len(other.array)
            else:
                kept.append(other)
        self._waiting.extendleft(reversed(kept))
        return taken

    def _run_together(self, group: list["_Waiting"]) -> None:
        deadlines = [member.call.deadline for member in group]
        call = Call(deadline=None if None in deadlines else max(deadlines))
        arrays = np.concatenate([member.array for member in group])
        outputs = self._execute(group[0].run, arrays, call)
        start = 0
        for member in group:
            end = start + len(member.array)
            member.outputs = {name: values[start:end] for name, values in outputs.items()}
            member.note(call)
            start = end

    def _run_singly(self, group: list["_Waiting"]) -> None:
        for member in group:
            try:
                member.outputs = self._execute(member.run, member.array, member.call)
            except Exception as error:
                member.error = error

    def _execute(self, run: Callable, array: np.ndarray, call: Call) -> dict[str, np.ndarray]:
        """Runs an array, padded to an allowed size by copies of its last picture."""
        count = len(array)
        size = next((size for size in self.plan.sizes if size >= count), count)
        if size > count:
            array = np.concatenate([array, np.repeat(array[-1:], size - count, axis=0)])
        start = time.perf_counter()
        outputs = run(array, call)
        self.executed(size, time.perf_counter() - start)
        if size > count:
            outputs = {name: values[:count] for name, values in outputs.items()}
        return outputs

    def _start_next(self) -> None:
        """Gives free lanes to the requests that wait longest; the lock is held."""
        while self._free and self._waiting and not self._filling:
            one = self._waiting.popleft()
            if one.is_late():
                self._drop(one)
                continue
            self._free -= 1
            one.state = _LEADS
            one.turn.release()

    def _drop(self, one: "_Waiting") -> None:
        """Lets a request fail whose deadline passed while it waited; the lock is held."""
        one.error = one.call.too_late()
        one.state = _DONE
        one.turn.release()

    def _finish(self, member: "_Waiting") -> None:
        """Lets a request go on that another one has run."""
        with self._lock:
            if member.state == _TAKEN:  # else its deadline has passed
                member.state = _DONE
                member.turn.release()


class _Waiting:
    """A request before the executor."""

    __slots__ = ("run", "key", "array", "call", "state", "turn", "outputs", "error", "ran_before")

    def __init__(self, run: Callable, key: tuple, array: np.ndarray, call: Call):
        self.run = run
        self.key = key
        self.array = array
        self.call = call
        self.state = _WAITS
        self.turn = threading.Lock()
        self.turn.acquire()
        self.outputs: dict[str, np.ndarray] = {}
        self.error: Exception | None = None
        self.ran_before = call.stages.get("run", 0.0)

    def is_late(self) -> bool:
        deadline = self.call.deadline
        return deadline is not None and time.monotonic() > deadline

    def note(self, batch: Call) -> None:
        """Adds what was measured of the batch it ran in."""
        self.call.batch = max(self.call.batch, batch.batch)
        run = batch.stages.get("run", 0.0)
        self.call.stages["run"] = self.call.stages.get("run", 0.0) + run
