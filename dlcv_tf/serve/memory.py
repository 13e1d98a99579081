"""A bound on what large requests hold in memory together: they wait for one another.

A picture file of some kilobytes may hold fifty million pixels, and a compressed body a hundred
megabytes. One of them takes a gigabyte while it is answered; thirty at once would take the machine.
So each says what it holds, and waits while others hold too much. Small requests say nothing, wait
for nobody, and are answered while large ones wait.
"""

import contextlib
import ctypes
import functools
import threading
import time
from collections.abc import Iterator

from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError
from dlcv_tf.serve.tuning import available_cores

CORES = 4  # cores for each request of the largest size that may be under way


class Allowance:
    """So much of something as requests may hold at once, first come, first served.

    Args:
        limit: that all of them hold together; a request of more has it alone.
        small: a request of at most that never waits, and does not count.
        most_waiting: requests; others are refused, since each that waits has a thread, of which
            small ones need some.
    """

    def __init__(self, limit: int, small: int, most_waiting: int):
        self._limit = limit
        self._small = small
        self._most_waiting = most_waiting
        self._waiting = 0
        self._held = 0
        self._let_go = 0  # since memory was given back
        self._line = threading.Lock()  # whoever has it is the next
        self._freed = threading.Condition()

    @contextlib.contextmanager
    def hold(self, amount: int, call: Call) -> Iterator[None]:
        """Holds an amount while inside, from when there is room for it.

        Args:
            amount: of what the request is about to take.
            call: the request; waiting counts as its time in the queue.

        Raises:
            ServingError: DEADLINE_EXCEEDED if there is no room in time; UNAVAILABLE if too many
                wait.
        """
        if amount <= self._small:
            yield
            return
        amount = min(amount, self._limit)
        with self._freed:
            if self._waiting >= self._most_waiting:
                raise ServingError(
                    Code.UNAVAILABLE, "too many large requests wait already: try again later"
                )
            self._waiting += 1
        try:
            with call.stage("queue"):
                self._take(amount, call)
        finally:
            with self._freed:
                self._waiting -= 1
        try:
            yield
        finally:
            self._release(amount)

    def _take(self, amount: int, call: Call) -> None:
        if not self._line.acquire(timeout=_remaining(call, -1)):
            raise call.too_late()
        try:
            with self._freed:
                is_free = self._freed.wait_for(
                    lambda: self._held + amount <= self._limit, _remaining(call, None)
                )
                if not is_free:
                    raise call.too_late()
                self._held += amount
        finally:
            self._line.release()

    def _release(self, amount: int) -> None:
        with self._freed:
            self._held -= amount
            self._let_go += amount
            self._freed.notify_all()
            is_much = self._let_go >= self._limit
            if is_much:
                self._let_go = 0
        if is_much:
            give_back()


class Capacity:
    """So many bytes as may be there at once: whoever comes when it is full is refused.

    Args:
        limit: bytes.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._lock = threading.Lock()
        self.taken = 0

    @contextlib.contextmanager
    def take(self, size: int) -> Iterator[None]:
        """Takes room while inside.

        Args:
            size: bytes; if they are more than all, they have it alone.

        Raises:
            ServingError: UNAVAILABLE if there is no room.
        """
        with self._lock:
            if self.taken and self.taken + size > self._limit:
                raise ServingError(
                    Code.UNAVAILABLE,
                    f"the requests under way take the {self._limit} bytes that there are for all: "
                    "try again later",
                )
            self.taken += size
        try:
            yield
        finally:
            with self._lock:
                self.taken -= size


def give_back() -> None:
    """Has the C library give freed memory back to the system.

    glibc keeps pieces of it for each thread, forever: of every thread that ever had a large one.
    """
    if trim := getattr(ctypes.CDLL(None), "malloc_trim", None):
        trim(0)


def pixels(config: Config) -> Allowance:
    """Returns what this process allows of the pixels of pictures that are being answered."""
    return _allowance("pixels", config.max_pixels, config.request_threads, config.fronts)


def bodies(config: Config) -> Allowance:
    """Returns what this process allows of bytes of bodies, inflated, that are being answered."""
    return _allowance("bodies", config.max_body, config.request_threads, config.fronts)


@functools.cache
def _allowance(kind: str, most: int, threads: int, fronts: int) -> Allowance:
    """Returns the one allowance of a kind: memory is the process's, whatever model takes it.

    Small requests are those that could not take more than one large one even if all threads had
    one of them.
    """
    at_once = max(1, available_cores() // CORES // fronts)
    return Allowance(most * at_once, most // threads, max(1, threads * 3 // 4))


def _remaining(call: Call, without: float | None) -> float | None:
    """Returns the seconds until a deadline, `without` where there is none."""
    return without if call.deadline is None else max(0.0, call.deadline - time.monotonic())
