"""The ASGI application: reads a request within its limits, has it answered in a thread, writes it.

Raw ASGI, since a request is one body in and one body out: nothing else stands between the socket
and the model.
"""

import asyncio
import json
import logging
import time
import zlib
from collections.abc import Callable

from dlcv_tf.errors import InputError
from dlcv_tf.serve import kserve_rest, tensorflow_rest
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError, TooLargeError, invalid
from dlcv_tf.serve.http_messages import Answer, Request
from dlcv_tf.serve.repository import Repository

log = logging.getLogger(__name__)

# Path prefix (any letter case) to the protocol that answers below it, in a thread.
PROTOCOLS: dict[str, Callable[[Request, Repository, Call], Answer]] = {
    "/v1/": tensorflow_rest.answer,
    "/v2": kserve_rest.answer,
}


class App:
    """Serves a repository's models over HTTP.

    Args:
        models: the models; they may still be loading.
        config: the server's options.
    """

    def __init__(self, models: Repository, config: Config):
        self._models = models
        self._config = config

    async def __call__(self, scope, receive, send) -> None:
        """Answers one HTTP request (ASGI)."""
        if scope["type"] != "http":
            raise ValueError(f"got ASGI scope {scope['type']!r}, expected http")
        method = scope["method"]
        path = scope["raw_path"].decode("latin-1")
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        call = Call(deadline=time.monotonic() + self._config.timeout)
        try:
            answer = self._health(method, path)
            if answer is None:
                body = await _read_body(headers, receive, self._config.max_body)
                query = scope["query_string"].decode("latin-1")
                request = Request(method, path, headers, body, query)
                loop = asyncio.get_running_loop()
                answer = await loop.run_in_executor(None, self._answer, request, call)
        except ServingError as error:
            answer = _error(call, error)
        headers = {
            "content-type": answer.content_type,
            "content-length": str(len(answer.body)),
            **answer.headers,
        }
        await send(
            {
                "type": "http.response.start",
                "status": answer.status,
                "headers": [
                    (name.encode("latin-1"), value.encode("latin-1"))
                    for name, value in headers.items()
                ],
            }
        )
        await send({"type": "http.response.body", "body": answer.body})

    def _health(self, method: str, path: str) -> Answer | None:
        """Answers the health paths, which must not wait for a thread; None for any other."""
        if path == "/healthz":
            status, body = 200, {"status": "ok"}
        elif path == "/v2/health/ready":
            status, body = (200 if self._models.ready else 503), {"ready": self._models.ready}
        else:
            return None
        if method not in ("GET", "HEAD"):
            return Answer(_error_body(f"Method not allowed: {method} {path}, expected GET"), 405)
        return Answer(json.dumps(body).encode(), status)

    def _answer(self, request: Request, call: Call) -> Answer:
        """Answers a request in one of the app's threads."""
        try:
            body = _inflate(request.headers, request.body, self._config.max_body)
            request = Request(request.method, request.path, request.headers, body, request.query)
            for prefix, answer in PROTOCOLS.items():
                if request.path.lower().startswith(prefix):
                    return answer(request, self._models, call)
            raise ServingError(
                Code.NOT_FOUND,
                f"Not found: {request.method} {request.path}; there are GET /v1/models, "
                "POST /v1/models/NAME:predict, POST /v2/models/NAME/infer, GET /healthz and GET "
                "/v2/health/ready",
            )
        except ServingError as error:
            return _error(call, error)
        except InputError as error:
            return _error(call, invalid(str(error)))
        except Exception as error:
            log.exception("failed to answer %s %s", request.method, request.path)
            return _error(call, ServingError(Code.INTERNAL, f"{type(error).__name__}: {error}"))


def _error(call: Call, error: ServingError) -> Answer:
    call.code = error.code
    headers = {"retry-after": "1"} if error.code == Code.UNAVAILABLE else {}
    return Answer(_error_body(error.message), error.http_status, headers=headers)


def _error_body(message: str) -> bytes:
    text = json.dumps({"error": message}, indent=4, ensure_ascii=False)
    return text.encode(errors="replace")  # half a surrogate pair may be quoted from a request


async def _read_body(headers: dict, receive, limit: int) -> bytes:
    """Reads the body; one over the limit is read on a little, so that the client hears why."""
    too_large = TooLargeError(
        f"got a body over {limit} bytes, expected at most that: send fewer or smaller pictures, or "
        "start the server with a greater --max-megabytes"
    )
    length = headers.get("content-length", "")
    if length.isdecimal() and int(length) > 2 * limit:
        raise too_large
    chunks, size = [], 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ServingError(Code.CANCELLED, "the client went away")
        chunk = message.get("body", b"")
        size += len(chunk)
        if size <= limit:
            chunks.append(chunk)
        else:
            chunks.clear()
        if not message.get("more_body") or size > 2 * limit:
            break
    if size > limit:
        raise too_large
    return b"".join(chunks)


def _inflate(headers: dict, body: bytes, limit: int) -> bytes:
    """Inflates a gzip body, never beyond the limit."""
    if headers.get("content-encoding", "").lower() != "gzip":
        return body
    try:
        stream = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
        inflated = stream.decompress(body, limit + 1)
    except zlib.error as error:
        raise invalid(f"got a gzip body that does not inflate: {error}") from None
    if len(inflated) > limit:
        raise TooLargeError(
            f"got a gzip body of over {limit} bytes inflated, expected at most that: send fewer or "
            "smaller pictures, or start the server with a greater --max-megabytes"
        )
    if not stream.eof or stream.unused_data:
        raise invalid("got a gzip body that is cut short or followed by something else")
    return inflated
