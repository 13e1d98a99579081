"""The ASGI application: reads a request within its limits, has it answered in a thread, writes it.

Raw ASGI, since a request is one body in and one body out: nothing else stands between the socket
and the model.
"""

import asyncio
import contextlib
import dataclasses
import json
import logging
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from dlcv_tf.errors import InputError
from dlcv_tf.serve import (
    access,
    http_encoding,
    kserve_rest,
    memory,
    metrics,
    openapi,
    page,
    tensorflow_rest,
)
from dlcv_tf.serve.call import Call, request_id
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import (
    Code,
    ServingError,
    TooSlowError,
    internal,
    invalid,
)
from dlcv_tf.serve.http_messages import Answer, Request
from dlcv_tf.serve.repository import Repository
from dlcv_tf.serve.request_bodies import Bodies, Body

MOST_OF_A_PATH = 512  # characters that are kept of it

log = logging.getLogger(__name__)

# Path prefix (any letter case) to the protocol that answers below it, in a thread.
PROTOCOLS: dict[str, Callable[[Request, Repository, Call], Answer]] = {
    "/v1/": tensorflow_rest.answer,
    "/v2": kserve_rest.answer,
    openapi.PATH: openapi.answer,
    page.MODELS_PATH: page.models,
}


class App:
    """Serves a repository's models over HTTP.

    Args:
        models: the models; they may still be loading.
        config: the server's options.
        observe: gets every call at its end, from many threads.
        metrics: returns the numbers that Prometheus reads.
    """

    def __init__(
        self,
        models: Repository,
        config: Config,
        observe: Callable[[Call], None],
        metrics: Callable[[], bytes],
    ):
        self._models = models
        self._config = config
        self._observe = observe
        self._metrics = metrics
        self._threads = ThreadPoolExecutor(config.request_threads, "request")
        self._bodies = Bodies(config)
        self._under_way = 0  # requests that are in a thread or wait for one
        self._is_draining = False

    @property
    def is_busy(self) -> bool:
        """Whether requests are in a thread, or wait for one."""
        return self._under_way > 0

    def drain(self) -> None:
        """Says from now on that the server is not ready: it stops, and answers what it has."""
        self._is_draining = True

    async def __call__(self, scope, receive, send) -> None:
        """Answers one HTTP request (ASGI)."""
        if scope["type"] != "http":
            raise ValueError(f"got ASGI scope {scope['type']!r}, expected http")
        method = scope["method"]
        path = scope["raw_path"].decode("latin-1")
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        answer = self._health(method, path) or page.static(method, path, headers)
        if answer is None and method == "OPTIONS" and self._config.cors:
            answer = http_encoding.preflight(headers)
        if answer is None:
            query = scope["query_string"].decode("latin-1")
            request = Request(method, path, headers, query=query)
            answer = await self._observed(request, receive, scope.get("client"))
        await _send(send, answer)

    async def _observed(self, request: Request, receive, client: tuple | None) -> Answer:
        """Answers a request of which something is measured, whatever becomes of it."""
        call = Call(
            deadline=time.monotonic() + self._config.timeout,
            request_id=request_id(request.headers.get("x-request-id", "")),
            peer="{}:{}".format(*client) if client else "",
            path=f"{request.method} {request.path[:MOST_OF_A_PATH]}",
        )
        with self._bodies.one() as body:
            answer = await self._received(request, body, receive, call)
        if self._config.cors:
            answer = http_encoding.cross_origin(answer)
        call.bytes_out, call.status = len(answer.body), answer.status
        self._observe(call)
        further = answer.headers | {"x-request-id": call.request_id}
        if call.stages:  # W3C Server-Timing, in milliseconds: browsers show it
            times = [f"{name};dur={1000 * took:.3f}" for name, took in [*call.stages.items()]]
            further["server-timing"] = ", ".join(times)
        return dataclasses.replace(answer, headers=further)

    async def _received(self, request: Request, body: Body, receive, call: Call) -> Answer:
        """Answers a request once its body is here."""
        try:
            access.check_token(self._config, request.headers.get("authorization", ""))
            access.check_origin(self._config, request)
            try:
                async with asyncio.timeout(self._config.timeout):
                    data = await body.receive(request.headers, receive)
            except TimeoutError:
                limit = f"{self._config.timeout:g} s"
                raise TooSlowError(f"the body did not arrive within {limit}") from None
            call.bytes_in = len(data)
            call.body = data if self._config.log_pictures else None
            return await self._in_a_thread(dataclasses.replace(request, body=data), call)
        except ServingError as error:
            return _error(call, error)

    async def _in_a_thread(self, request: Request, call: Call) -> Answer:
        if self._under_way >= self._config.max_requests:
            raise ServingError(Code.UNAVAILABLE, "too many requests are under way: try again later")
        self._under_way += 1
        try:
            loop = asyncio.get_running_loop()
            answer = await loop.run_in_executor(self._threads, self._answer, request, call)
        except asyncio.CancelledError:  # the server ends; the thread goes on, and counts
            raise ServingError(Code.CANCELLED, "the server stopped") from None
        self._under_way -= 1
        return answer

    def _health(self, method: str, path: str) -> Answer | None:
        """Answers the health paths, which must not wait for a thread; None for any other."""
        if path == "/healthz":
            status, body = 200, {"status": "ok"}
        elif path == "/v2/health/live":
            status, body = 200, {"live": True}
        elif path == "/v2/health/ready":
            is_ready = self._models.ready and not self._is_draining
            status, body = (200 if is_ready else 503), {"ready": is_ready}
        else:
            return None
        if method not in ("GET", "HEAD"):
            return Answer(_error_body(f"Method not allowed: {method} {path}, expected GET"), 405)
        return Answer(json.dumps(body).encode(), status)

    def _answer(self, request: Request, call: Call) -> Answer:
        """Answers a request in one of the app's threads."""
        try:
            if request.path in metrics.PATHS and request.method in ("GET", "HEAD"):
                call.api = call.method = "metrics"
                return Answer(self._metrics(), content_type=metrics.CONTENT_TYPE)
            answer = _protocol(request.path)
            if answer is not None:
                with contextlib.ExitStack() as held:
                    request = dataclasses.replace(request, body=self._inflated(request, call, held))
                    answered = answer(request, self._models, call)
                return http_encoding.deflate(request.headers, answered)
            raise ServingError(
                Code.NOT_FOUND,
                f"Not found: {request.method} {request.path}; there are GET /v1/models, "
                "POST /v1/models/NAME:predict, POST /v2/models/NAME/infer, GET /healthz, GET "
                "/v2/health/ready, GET /metrics and, of all of them, GET /openapi.json",
            )
        except ServingError as error:
            return _error(call, error)
        except InputError as error:
            return _error(call, invalid(str(error)))
        except Exception as error:
            log.exception("failed to answer %s %r", request.method, request.path)
            return _error(call, internal(error))

    def _inflated(self, request: Request, call: Call, held: contextlib.ExitStack) -> bytes:
        """Returns the body, once there is room for it among the large ones of other requests."""

        def hold(size: int) -> None:
            held.enter_context(memory.bodies(self._config).hold(size, call))

        return http_encoding.inflate(request.headers, request.body, self._config.max_body, hold)


def _protocol(path: str) -> Callable[[Request, Repository, Call], Answer] | None:
    path = path.lower()
    return next((answer for start, answer in PROTOCOLS.items() if path.startswith(start)), None)


async def _send(send, answer: Answer) -> None:
    headers = {"content-type": answer.content_type, "x-content-type-options": "nosniff"}
    headers |= answer.headers
    if answer.status != 304:  # whose length would be that of what the client has already
        headers["content-length"] = str(len(answer.body))
    await send(
        {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()
            ],
        }
    )
    await send({"type": "http.response.body", "body": answer.body})


def _error(call: Call, error: ServingError) -> Answer:
    call.code, call.error = error.code, error.message
    headers = {"retry-after": "1"} if error.code == Code.UNAVAILABLE else {}
    if error.code == Code.UNAUTHENTICATED:
        headers = {"www-authenticate": "Bearer"}
    if isinstance(error, TooSlowError):
        headers = {"connection": "close"}
    return Answer(_error_body(error.message), error.http_status, headers=headers)


def _error_body(message: str) -> bytes:
    text = json.dumps({"error": message}, indent=4, ensure_ascii=False)
    return text.encode(errors="replace")  # half a surrogate pair may be quoted from a request
