"""What goes around a body: compression both ways, and the headers that let other origins call."""

import dataclasses
import json
import zlib
from collections.abc import Callable

from dlcv_tf.serve.errors import TooLargeError, invalid
from dlcv_tf.serve.http_messages import Answer

GZIP = zlib.MAX_WBITS | 16
WINDOWS = {"gzip": GZIP, "x-gzip": GZIP, "deflate": zlib.MAX_WBITS}
PIECE = 2**20  # bytes; most bodies are shorter, and inflated once
LEAST = 32 * 1024  # bytes of an answer worth compressing; a list of scores is far below
TEXTS = ("application/json", "text/")  # tensors and pictures hardly shrink

# TF Serving's (model_servers/http_server.cc), and the headers that its CORS lacks here.
CROSS_ORIGIN = {
    "access-control-allow-origin": "*",
    "access-control-allow-methods": "POST, GET",
    "access-control-allow-headers": (
        "Content-Type, Authorization, Inference-Header-Content-Length, X-Request-Id"
    ),
    "access-control-expose-headers": (
        "Inference-Header-Content-Length, X-Request-Id, Server-Timing, Retry-After"
    ),
}
PREFLIGHT_SECONDS = 600  # that a browser may go by one answer to OPTIONS; some take no more


def inflate(
    headers: dict[str, str], body: bytes, limit: int, hold: Callable[[int], None] | None = None
) -> bytes:
    """Returns a request's body as it was before compression, never longer than the limit.

    Args:
        headers: of the request, names in lower case.
        body: as it came.
        limit: most bytes it may have.
        hold: called with the bytes it has, before they are all in memory.

    Raises:
        ServingError: INVALID_ARGUMENT for what does not inflate.
        TooLargeError: for a longer one.
    """
    name = headers.get("content-encoding", "").strip().lower()
    hold = hold or (lambda size: None)
    if name in ("", "identity"):
        hold(len(body))
        return body
    if name not in WINDOWS:
        raise invalid(f"got a body of content-encoding {name!r}, expected one of {[*WINDOWS]}")
    try:
        stream = zlib.decompressobj(wbits=WINDOWS[name])
        start = stream.decompress(body, PIECE)
        size = len(start) + _count(stream.copy(), limit)
        if size > limit:
            raise TooLargeError(
                f"got a {name} body of over {limit} bytes inflated, expected at most that: send "
                "fewer or smaller pictures, or start the server with a greater --max-megabytes"
            )
        hold(size)
        inflated = start + stream.decompress(stream.unconsumed_tail) if size > PIECE else start
    except zlib.error as error:
        raise invalid(f"got a {name} body that does not inflate: {error}") from None
    if not stream.eof or stream.unused_data:
        raise invalid(f"got a {name} body that is cut short or followed by something else")
    return inflated


def _count(stream, limit: int) -> int:
    """Returns how many bytes are still to come of a stream, or a number over the limit.

    They are inflated for it piece by piece, and let go: what a stream says of its length itself may
    be a lie.
    """
    size = 0
    while stream.unconsumed_tail and size <= limit:
        size += len(stream.decompress(stream.unconsumed_tail, PIECE))
    return size


def deflate(headers: dict[str, str], answer: Answer) -> Answer:
    """Compresses a long text for a client that accepts gzip; any other answer stays as it is.

    Args:
        headers: of the request, names in lower case.
        answer: what the client is to get.
    """
    is_text = answer.content_type.startswith(TEXTS)
    if len(answer.body) < LEAST or not is_text or "content-encoding" in answer.headers:
        return answer
    further = answer.headers | {"vary": "accept-encoding"}
    if not _accepts_gzip(headers.get("accept-encoding", "")):
        return dataclasses.replace(answer, headers=further)
    body = zlib.compress(answer.body, level=1, wbits=GZIP)
    return dataclasses.replace(answer, body=body, headers=further | {"content-encoding": "gzip"})


def preflight(headers: dict[str, str]) -> Answer:
    """Answers a browser's OPTIONS request, as TF Serving with CORS does.

    Args:
        headers: of the request, names in lower case.
    """
    origin = headers.get("origin", "")
    if not origin.lower().startswith(("http://", "https://")):
        message = f"got OPTIONS of origin {origin[:256]!r}, expected one of http or https"
        return cross_origin(Answer(json.dumps({"error": message}, indent=4).encode(), 400))
    max_age = {"access-control-max-age": str(PREFLIGHT_SECONDS)}
    return cross_origin(Answer(b"", headers=max_age))


def cross_origin(answer: Answer) -> Answer:
    """Adds the headers by which a browser lets pages of other origins read an answer."""
    return dataclasses.replace(answer, headers=answer.headers | CROSS_ORIGIN)


def _accepts_gzip(accepted: str) -> bool:
    """Whether `Accept-Encoding` names gzip, and not with a weight of zero."""
    for part in accepted.lower().split(","):
        name, _, weight = part.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "").removeprefix("q=") not in ("0", "0.0", "0.00", "0.000")
    return False
