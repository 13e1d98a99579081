"""The threads that answer HTTP requests."""

import asyncio
import queue
import threading
from collections.abc import Callable


class RequestThreads:
    """Runs functions in a bounded number of threads, for coroutines that await their results.

    `loop.run_in_executor` does as much, at three times the cost: it makes two futures with a lock
    each for every request, where one of asyncio's own does.

    Args:
        limit: most threads; each starts when first there is something to do for it.
    """

    def __init__(self, limit: int):
        self._limit = limit
        self._tasks: queue.SimpleQueue = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    async def run(self, function: Callable, *arguments):
        """Returns the function's result, or raises what it raises."""
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._tasks.put((loop, future, function, arguments))
        if len(self._threads) < self._limit:
            thread = threading.Thread(target=self._work, name="request", daemon=True)
            self._threads.append(thread)
            thread.start()
        return await future

    def close(self) -> None:
        """Lets the threads end once they have done what they were given."""
        for _ in self._threads:
            self._tasks.put(None)

    def _work(self) -> None:
        while (task := self._tasks.get()) is not None:
            loop, future, function, arguments = task
            try:
                result, error = function(*arguments), None
            except BaseException as raised:
                result, error = None, raised
            try:
                loop.call_soon_threadsafe(_settle, future, result, error)
            except RuntimeError:  # the loop has closed: nobody waits any more
                pass
            del task, future, arguments, result, error  # else a request is kept till the next one


def _settle(future: asyncio.Future, result, error: BaseException | None) -> None:
    if future.done():  # cancelled meanwhile
        return
    if error is None:
        future.set_result(result)
    else:
        future.set_exception(error)
