"""uvicorn's server and connection: limits on what a client holds, a drain that loses nothing."""

import asyncio
import contextlib
import functools
import heapq
import json
import math

import uvicorn
from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from dlcv_tf.serve.config import Config

KEEP_ALIVE = 75  # seconds: above the 60 after which common load balancers let go of a connection
HEADER_SECONDS = 20.0  # in which the header of a request must be complete (Apache's default)
STALL_SECONDS = 30.0  # that a client may read nothing of its answer
MAX_HEADER = 64 * 1024  # bytes
LINGER = 0.5  # seconds of the drain in which a connection may still bring a request
SWEEP = 1.0  # seconds between two looks at the connections


class Connection(HttpToolsProtocol):
    """One connection: what it waits for has an end, and its header a size.

    `due` is when it is cut unless the client does its part: while idle, or within a header. While a
    request is under way there is none; the request's own deadline ends that.
    """

    def __init__(self, limit: int, *arguments, **options):
        super().__init__(*arguments, **options)
        self._limit = limit

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Takes the connection, or refuses it where there are too many that work."""
        super().connection_made(transport)
        self.due = self.loop.time() + HEADER_SECONDS
        self._unparsed = 0  # bytes since the last request was complete
        self._is_draining = False
        self._unread, self._stalled = 0, 0.0
        self._cycles = []  # requests that are answered or wait for their turn
        if len(self.connections) > self._limit and not shed(self.connections, self):
            self.refuse(503, f"{self._limit} connections are open: try again later")

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the connection."""
        super().connection_lost(exc)
        self._let_go()

    def data_received(self, data: bytes) -> None:
        """Parses what came, unless the header gets too large."""
        if self.is_idle:
            self.due = min(self.due, self.loop.time() + HEADER_SECONDS)
            self._unparsed += len(data)
        super().data_received(data)
        if self.is_idle and self._unparsed > MAX_HEADER and not self.transport.is_closing():
            self.refuse(431, f"got a header over {MAX_HEADER} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        """Takes one header, trailers of a chunked body included; raises for too many."""
        self._header_bytes += len(name) + len(value) + 4
        if self._header_bytes > MAX_HEADER:
            raise ValueError("the header is too large")
        super().on_header(name, value)

    def on_message_begin(self) -> None:
        """Begins a request."""
        self._header_bytes = 0
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """Starts to answer a request; the last one of the connection during a drain."""
        self.due = math.inf
        super().on_headers_complete()
        self._cycles = [each for each in self._cycles if not each.response_complete]
        self._cycles.append(self.cycle)
        if self._is_draining:
            self.cycle.keep_alive = False

    def on_message_complete(self) -> None:
        """Ends the body of a request, which may have been answered already."""
        super().on_message_complete()
        if self.is_idle and self.cycle is not None:
            self.cycle.more_body = False
            self._rest()

    def on_response_complete(self) -> None:
        """Ends an answer."""
        super().on_response_complete()
        if self.is_idle:
            self._rest()

    def shutdown(self) -> None:
        """Has the request under way be the last one, or the next that comes at once."""
        self._is_draining = True
        if self.is_idle:
            self.due = min(self.due, self.loop.time() + LINGER)
        else:
            self.cycle.keep_alive = False

    @property
    def is_idle(self) -> bool:
        """Whether no request is being answered; the header of one may be under way."""
        return self.cycle is None or self.cycle.response_complete

    def look(self, now: float) -> None:
        """Cuts the connection if its client has not done its part in time."""
        unread = self.transport.get_write_buffer_size()
        if not unread or unread != self._unread:
            self._unread, self._stalled = unread, now
        elif now - self._stalled > STALL_SECONDS:
            self.transport.abort()
        if now <= self.due or self.transport.is_closing():
            return
        if self._unparsed and not self._is_answering_early():
            self.refuse(408, f"the header of the request took over {HEADER_SECONDS:g} s")
        else:
            self.transport.close()

    def send_400_response(self, msg: str) -> None:
        """Refuses what is no HTTP, in uvicorn's words."""
        self._let_go()
        self.refuse(400, msg)

    def refuse(self, status: int, message: str) -> None:
        """Answers without a request, and closes."""
        body = json.dumps({"error": message}).encode()
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: application/json\r\nx-content-type-options: nosniff\r\n"
            + b"connection: close\r\n"
            + (b"retry-after: 1\r\n" if status == 503 else b"")
            + b"content-length: %d\r\n\r\n%b" % (len(body), body)
        )
        self.transport.close()

    def _let_go(self) -> None:
        """Tells all requests that nobody reads their answers; uvicorn tells the last one alone."""
        for cycle in self._cycles:
            if not cycle.response_complete:
                cycle.disconnected = True
                cycle.message_event.set()

    def _rest(self) -> None:
        self._unparsed = 0
        self.due = self.loop.time() + (LINGER if self._is_draining else KEEP_ALIVE)

    def _is_answering_early(self) -> bool:
        """Whether what comes is the rest of a body whose request has been answered."""
        return self.cycle is not None and self.cycle.more_body


def shed(connections: set[Connection], newest: Connection) -> bool:
    """Closes the hundredth of the idle connections that wait longest; whether there was one."""
    idle = [each for each in connections if each is not newest and each.due < math.inf]
    longest = heapq.nsmallest(1 + len(idle) // 100, idle, key=lambda each: each.due)
    for connection in longest:
        connection.due = math.inf  # not to be chosen again while it closes
        connection.transport.close()
    return bool(longest)


class Server(uvicorn.Server):
    """Serves an application until `stop` is called.

    Args:
        app: the ASGI application.
        config: the server's options.
    """

    def __init__(self, app, config: Config):
        settings = uvicorn.Config(
            app,
            http=functools.partial(Connection, config.max_connections),
            lifespan="off",
            ws="none",
            log_level="error",  # what a client did wrong is in the request log
            access_log=False,
            server_header=False,
            timeout_keep_alive=KEEP_ALIVE,
            ssl_certfile=config.tls_certificate,
            ssl_keyfile=config.tls_key,
        )
        super().__init__(settings)
        self._drain = config.drain

    def stop(self) -> None:
        """Starts the drain."""
        self.should_exit = True

    def capture_signals(self) -> contextlib.AbstractContextManager:
        """Leaves signals to whoever runs the server."""
        return contextlib.nullcontext()

    async def startup(self, sockets=None) -> None:
        """Listens, and begins to look after the connections."""
        if self.config.is_ssl:  # what has not shaken hands is no connection yet, nor in our hands
            loop = asyncio.get_running_loop()
            loop.create_server = functools.partial(
                loop.create_server, ssl_handshake_timeout=HEADER_SECONDS
            )
        await super().startup(sockets)
        self._sweeping = asyncio.create_task(self._sweep())

    async def shutdown(self, sockets=None) -> None:
        """Accepts no more, answers what was accepted, and after `drain` seconds cuts the rest."""
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        connections = self.server_state.connections
        for connection in [*connections]:
            connection.shutdown()
        loop = asyncio.get_running_loop()
        last = loop.time() + self._drain
        tasks = self.server_state.tasks
        while (connections or tasks) and loop.time() < last:
            await asyncio.sleep(0.02)
            self._look(loop.time())
        self._sweeping.cancel()
        for connection in [*connections]:
            connection.transport.abort()
        await asyncio.sleep(0)

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(SWEEP)
            self._look(asyncio.get_running_loop().time())

    def _look(self, now: float) -> None:
        for connection in [*self.server_state.connections]:
            connection.look(now)
