"""The ASGI application: reads a request within its limits, has it answered in a thread, writes it.

Raw ASGI, since a request is one body in and one body out: nothing else stands between the socket
and the model.
"""

import asyncio
import json
import logging
import zlib

from dlcv_tf.errors import InputError
from dlcv_tf.serve import tensorflow_rest
from dlcv_tf.serve.errors import HTTP_STATUS, Code, ServingError, TooLargeError, invalid
from dlcv_tf.serve.repository import Repository

log = logging.getLogger(__name__)

MAX_BODY = 100 * 2**20  # bytes, inflated; TF Serving's limit for gzip bodies
JSON = "application/json"

# Path prefix (any letter case) to the protocol that answers below it.
PROTOCOLS = {"/v1/": tensorflow_rest.answer}


class App:
    """Serves a repository's models over HTTP.

    Args:
        models: the models; they may still be loading.
        max_body: the largest request body in bytes, before and after inflation.
    """

    def __init__(self, models: Repository, max_body: int = MAX_BODY):
        self._models = models
        self._max_body = max_body

    async def __call__(self, scope, receive, send) -> None:
        """Answers one HTTP request (ASGI)."""
        if scope["type"] != "http":
            raise ValueError(f"got ASGI scope {scope['type']!r}, expected http")
        method = scope["method"]
        path = scope["raw_path"].decode("latin-1")
        headers = {
            key.decode("latin-1"): value.decode("latin-1") for key, value in scope["headers"]
        }
        try:
            answer = self._health(method, path)
            if answer is None:
                data = await _read_body(headers, receive, self._max_body)
                loop = asyncio.get_running_loop()
                answer = await loop.run_in_executor(None, self._answer, method, path, headers, data)
            status, body = answer
        except ServingError as error:
            status, body = error.http_status, _error_body(error.message)
        await send(
            {
                "type": "http.response.start",
                "status": status,
                "headers": [
                    (b"content-type", JSON.encode()),
                    (b"content-length", str(len(body)).encode()),
                ],
            }
        )
        await send({"type": "http.response.body", "body": body})

    def _health(self, method: str, path: str) -> tuple[int, bytes] | None:
        """Answers the health paths, which must not wait for a thread; None for any other."""
        if path == "/healthz":
            status, body = 200, {"status": "ok"}
        elif path == "/v2/health/ready":
            status, body = (200 if self._models.ready else 503), {"ready": self._models.ready}
        else:
            return None
        if method not in ("GET", "HEAD"):
            return 405, _error_body(f"Method not allowed: {method} {path}, expected GET")
        return status, json.dumps(body).encode()

    def _answer(self, method: str, path: str, headers: dict, body: bytes) -> tuple[int, bytes]:
        """Answers a request in one of the app's threads."""
        try:
            body = _inflate(headers, body, self._max_body)
            for prefix, answer in PROTOCOLS.items():
                if path.lower().startswith(prefix):
                    content_type = headers.get("content-type", "")
                    return 200, answer(method, path, content_type, body, self._models)
            raise ServingError(
                Code.NOT_FOUND,
                f"Not found: {method} {path}; there are GET /v1/models, "
                "POST /v1/models/NAME:predict, GET /healthz and GET /v2/health/ready",
            )
        except ServingError as error:
            return error.http_status, _error_body(error.message)
        except InputError as error:
            return HTTP_STATUS[Code.INVALID_ARGUMENT], _error_body(str(error))
        except Exception as error:
            log.exception("failed to answer %s %s", method, path)
            return HTTP_STATUS[Code.INTERNAL], _error_body(f"{type(error).__name__}: {error}")


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
