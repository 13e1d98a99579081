"""Receives the bodies of HTTP requests: each within its size, all together within theirs.

What counts is what has arrived, until its request is answered: whoever only announces a large body
keeps nobody from sending one. Where all together grow too large, the largest of those that still
arrive are let go, so that small requests pass while large ones are sent in numbers.
"""

import contextlib
import heapq
from collections.abc import Awaitable, Callable, Iterator

from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError, TooLargeError


class Bodies:
    """The bodies of all requests of one port.

    Args:
        config: the server's options: `max_body` and `max_bodies`.
    """

    def __init__(self, config: Config):
        self._config = config
        self._arriving: set[Body] = set()
        self.held = 0  # bytes, of those that arrive and those that are being answered

    @contextlib.contextmanager
    def one(self) -> Iterator["Body"]:
        """Yields the body of one request, to be received, and to be used until the end."""
        body = Body(self._config, self)
        self._arriving.add(body)
        try:
            yield body
        finally:
            self.let_go(body)

    def came(self, body: "Body", size: int) -> None:
        """Counts what came of a body; lets the largest ones go where it is too much."""
        self.held += size
        if body.is_whole:
            self._arriving.discard(body)
        while self.held > self._config.max_bodies and self._arriving:
            count = 1 + len(self._arriving) // 100
            for largest in heapq.nlargest(count, self._arriving, key=lambda each: each.size):
                self.let_go(largest)

    def let_go(self, body: "Body") -> None:
        """Frees what a body holds."""
        self._arriving.discard(body)
        self.held -= body.drop()


class Body:
    """The body of one request. `Bodies.one` makes it.

    Attributes:
        size: bytes that it holds.
        is_whole: whether its last byte has come.
    """

    def __init__(self, config: Config, bodies: Bodies):
        self._config = config
        self._bodies = bodies
        self._chunks: list[bytes] = []
        self._is_dropped = False
        self.size = 0
        self.is_whole = False

    def drop(self) -> int:
        """Forgets what has come; `receive` tells the client when more comes. Returns its size."""
        self._is_dropped = True
        self._chunks.clear()
        size, self.size = self.size, 0
        return size

    async def receive(self, headers: dict[str, str], receive: Callable[[], Awaitable]) -> bytes:
        """Returns the body; one that is too large is read on a little, so the client hears why.

        Args:
            headers: of the request, names in lower case.
            receive: ASGI's.

        Raises:
            ServingError: for a body over the limit, for too much together with others, and for a
                client that goes away.
        """
        limit = self._config.max_body
        too_large = TooLargeError(
            f"got a body over {limit} bytes, expected at most that: send fewer or smaller "
            "pictures, or start the server with a greater --max-megabytes"
        )
        length = headers.get("content-length", "")
        if length.isdecimal() and int(length) > 2 * limit:
            raise too_large
        came = 0
        while not self.is_whole and came <= 2 * limit:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ServingError(Code.CANCELLED, "the client went away")
            chunk = message.get("body", b"")
            self.is_whole = not message.get("more_body")
            came += len(chunk)
            if came > limit:
                self._bodies.let_go(self)
                continue
            if not self._is_dropped:
                self._chunks.append(chunk)
                self.size += len(chunk)
                self._bodies.came(self, len(chunk))
            if self._is_dropped:
                raise ServingError(
                    Code.UNAVAILABLE,
                    f"the bodies of requests under way take the {self._config.max_bodies} bytes "
                    "that there are for all: try again later",
                )
        if came > limit:
            raise too_large
        whole = b"".join(self._chunks)
        self._chunks.clear()
        return whole
