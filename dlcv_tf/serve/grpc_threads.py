"""The threads that answer RPCs; whoever holds one and says nothing gives way to others.

gRPC takes a thread for an RPC before its message has arrived, and waits in it. So a client that
opens many RPCs and sends nothing would take all threads, and keep them as long as it likes. Here it
is known which of them wait for a client, and since when.
"""

import threading
import time
from collections.abc import Iterator
from concurrent import futures

import grpc


class Threads(futures.ThreadPoolExecutor):
    """A pool that says when all of its threads are taken, and which of them wait for a message.

    Args:
        limit: number of threads.
        name: of theirs.
        patience: seconds that a client may take to send its message, if others need the thread.
    """

    def __init__(self, limit: int, name: str, patience: float):
        super().__init__(limit, name)
        self._limit = limit
        self._patience = patience
        self._lock = threading.Lock()
        self._waiting: dict[grpc.ServicerContext, float] = {}  # the longest first
        self.taken = 0

    def make_room(self) -> bool:
        """Whether what is submitted now need not wait; ends the RPC that said nothing for longest.

        It is CANCELLED, and its thread is free in a moment.
        """
        with self._lock:
            if self.taken < self._limit:
                return True
            context, since = next(iter(self._waiting.items()), (None, 0.0))
            if context is None or time.monotonic() - since < self._patience:
                return False
            del self._waiting[context]
        context.cancel()
        return True

    def submit(self, function, /, *arguments, **keywords) -> futures.Future:
        """Runs a function in one of the threads."""
        with self._lock:
            self.taken += 1
        return super().submit(self._run, function, *arguments, **keywords)

    def handler(self, handler: grpc.RpcMethodHandler) -> grpc.RpcMethodHandler:
        """Returns a handler that does the same in one of the threads, and gives way.

        All of them are handlers of streams: gRPC calls these before a message has arrived.

        Args:
            handler: of one message and one answer, of one message and a `send`, or of streams.
        """
        if handler.unary_unary:

            def behave(messages, context):
                return handler.unary_unary(self._only(messages, context), context)

            made = grpc.stream_unary_rpc_method_handler(behave)
        elif handler.unary_stream:

            def behave(messages, context, send):
                return handler.unary_stream(self._only(messages, context), context, send)

            behave.experimental_non_blocking = True
            made = grpc.stream_stream_rpc_method_handler(behave)
        else:

            def behave(messages, context):
                return handler.stream_stream(self._all(messages, context), context)

            made = grpc.stream_stream_rpc_method_handler(behave)
        behave.experimental_thread_pool = self
        return made

    def _only(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        data = self._next(messages, context)
        if data is None:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, "got no message, expected one")
        return data

    def _all(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        while (data := self._next(messages, context)) is not None:
            yield data

    def _next(self, messages: Iterator[bytes], context: grpc.ServicerContext) -> bytes | None:
        """Waits for the next message of a client; None at their end."""
        with self._lock:
            self._waiting[context] = time.monotonic()
        try:
            return next(messages, None)
        finally:
            with self._lock:
                self._waiting.pop(context, None)

    def _run(self, function, *arguments, **keywords):
        try:
            return function(*arguments, **keywords)
        finally:
            with self._lock:
                self.taken -= 1
