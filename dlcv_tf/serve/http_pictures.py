"""Encoded pictures as bodies: one that is sent as it is, and one that is answered as a PNG file."""

import contextlib
from collections.abc import Iterator

import numpy as np

from dlcv_tf.artifact import answers
from dlcv_tf.serve.errors import NotAcceptableError, ServingError, invalid
from dlcv_tf.serve.http_messages import Answer, Request

PNG = "image/png"
PNG_START = b"\x89PNG\r\n\x1a\n"
JPEG_START = b"\xff\xd8\xff"


def inputs(request: Request) -> dict[str, np.ndarray] | None:
    """Returns the inputs of the signature `image_bytes` for a body of type `image/*`; else None."""
    if not request.content_type.startswith("image/"):
        return None
    return {"image_bytes": np.array([request.body], dtype=object)}


@contextlib.contextmanager
def hinting(request: Request) -> Iterator[None]:
    """Adds to the error of a body that is read as JSON what to do where it is a picture."""
    try:
        yield
    except ServingError as error:
        start = request.body[:1024]
        if start.startswith((JPEG_START, PNG_START)):
            kind = PNG if start.startswith(PNG_START) else "image/jpeg"
            raise invalid(f"{error.message} (a picture: send Content-Type: {kind})") from None
        if start.startswith(b"--") and b"form-data" in start:
            how = "send the file alone, and its Content-Type: curl --data-binary @FILE"
            raise invalid(f"{error.message} (a form: {how})") from None
        raise


def wanted(request: Request, signature: dict, pictures: int) -> str | None:
    """Returns the output that the client wants as a PNG file; None where JSON is to be answered.

    Args:
        request: `Accept: image/png` asks for it.
        signature: its first output that is a picture is meant: named `..._bytes`, or pixels.
        pictures: in the request.

    Raises:
        NotAcceptableError: if the signature answers no picture, and the client takes nothing else.
        ServingError: INVALID_ARGUMENT for more than one picture, which no PNG file holds.
    """
    if not request.accepts(PNG):
        return None
    found = [name for name, spec in signature["outputs"].items() if is_picture(name, spec)]
    if found and pictures == 1:
        return found[0]
    if request.accepts("application/json") or request.accepts("*/*"):
        return None
    if found:
        raise invalid(f"got {pictures} pictures with Accept: {PNG}, expected one: send them apart")
    raise NotAcceptableError(
        f"got Accept: {PNG} for outputs {', '.join(signature['outputs'])}, none of which is a "
        "picture: accept application/json"
    )


def png(name: str, output: np.ndarray) -> Answer:
    """Answers a picture as a PNG file.

    Args:
        name: of the output, from `wanted`.
        output: (1,) file, or (1, height, width[, channels]) uint8 pixels.

    Raises:
        NotAcceptableError: for a file of another format.
    """
    one = output[0]
    if output.dtype.kind != "O":
        pixels = one[..., 0] if one.ndim == 3 and one.shape[-1] == 1 else one
        return Answer(answers.png(np.ascontiguousarray(pixels)), content_type=PNG)
    if not one.startswith(PNG_START):
        raise NotAcceptableError(f"{name} is no PNG file: accept application/json")
    return Answer(bytes(one), content_type=PNG)


def is_picture(name: str, spec: dict) -> bool:
    """Whether an output of a signature is a picture: a file, or pixels of one or three channels."""
    if spec["dtype"] == "string":
        return name.endswith("_bytes") and len(spec["shape"]) == 1
    channels = spec["shape"][3:]
    return spec["dtype"] == "uint8" and len(spec["shape"]) >= 3 and channels in ([], [1], [3])
