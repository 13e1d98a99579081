"""Pictures for `fuzz_serving.py`: good files of every format, and what is nearly one."""

import base64
import functools
import io
import json
import struct
import zlib

import numpy as np
from fuzz_requests import JSON, MODELS, Http
from hypothesis import strategies as st
from PIL import Image

FORMATS = ("PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF", "PPM")


@functools.cache
def pictures() -> list[bytes]:
    """Returns small files of every format that is read, in several modes of pixels."""
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    whole = Image.fromarray(pixels)
    files = []
    for format in FORMATS:
        for mode in ("RGB", "L", "P", "RGBA", "1", "I;16", "CMYK"):
            stream = io.BytesIO()
            image = Image.fromarray(np.uint16(pixels[..., 0]) * 200) if mode == "I;16" else whole
            try:
                (image if mode == "I;16" else image.convert(mode)).save(stream, format)
            except (OSError, ValueError):  # the format has no such mode
                continue
            files.append(stream.getvalue())
    exif = Image.Exif()
    exif[0x0112] = 6
    for format, options in (
        ("JPEG", {"exif": exif, "progressive": True}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("TIFF", {"compression": "jpeg"}),
        ("GIF", {"save_all": True, "append_images": [whole.rotate(90)]}),
        ("PNG", {"save_all": True, "append_images": [whole.rotate(90)]}),
    ):
        stream = io.BytesIO()
        whole.save(stream, format, **options)
        files.append(stream.getvalue())
    return files


@st.composite
def wrong_pictures(draw) -> bytes:
    """A picture that is cut, changed, or says that it is of another size."""
    data = draw(st.sampled_from(pictures()))
    if data.startswith(b"\x89PNG") and draw(st.booleans()):
        sizes = st.sampled_from([0, 1, 7, 999, 1000, 1001, 65535, 2**31 - 1, 2**32 - 1])
        header = b"IHDR" + struct.pack(">II", draw(sizes), draw(sizes)) + data[24:29]
        data = data[:12] + header + struct.pack(">I", zlib.crc32(header)) + data[33:]
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(data)))
        how = draw(st.integers(0, 3))
        if how == 0:
            data = data[:start]
        elif how == 1:
            data = data[:start] + draw(st.binary(max_size=4)) + data[start:]
        else:
            new = draw(st.binary(min_size=1, max_size=8))
            data = data[:start] + new + data[start + len(new) :]
    return data


@st.composite
def picture_posts(draw) -> Http:
    """A picture that is none, in one of the three ways to send one."""
    data = draw(wrong_pictures())
    how = draw(st.integers(0, 2))
    if how == 0:
        accept = draw(st.sampled_from([b"*/*", b"image/png", b"image/png, */*"]))
        headers = [(b"content-type", b"image/jpeg"), (b"accept", accept)]
        return Http("POST", b"/v1/models/" + draw(MODELS) + b":predict", headers, data)
    if how == 1:
        target = b"/v2/models/" + draw(MODELS) + b"/infer?signature_name=image_bytes"
        return Http("POST", target, [(b"inference-header-content-length", b"0")], data)
    text = json.dumps(
        {"examples": [{"image_bytes": {"b64": _base64(data)}}], "signature_name": "classify"}
    )
    return Http("POST", b"/v1/models/tiny:classify", [JSON], text.encode())


def picture_seeds() -> list[Http]:
    """Returns a POST of each file."""
    return [
        Http("POST", b"/v1/models/negative:predict", [(b"content-type", b"image/png")], data)
        for data in pictures()
    ]


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()
