"""Every kind of picture sent to the endpoint: answered, or refused with a clear 4xx."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from tests.artifact import tiny

PREDICT = "/v1/models/tiny:predict"
PICTURE = tiny.ramp(12, 16)


def send(client, data: bytes, way: str):
    """Sends one encoded picture, raw or in JSON."""
    if way == "raw":
        return client.post(PREDICT, content=data, headers={"content-type": "image/png"})
    file = {"b64": base64.b64encode(data).decode()}
    return client.post(PREDICT, json={"signature_name": "image_bytes", "instances": [file]})


def animated_gif() -> bytes:
    frames = [Image.new("RGB", (6, 4), colour) for colour in ("red", "lime", "blue")]
    stream = io.BytesIO()
    frames[0].save(stream, "GIF", save_all=True, append_images=frames[1:])
    return stream.getvalue()


def rotated_jpeg() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    return tiny.encoded(PICTURE, "JPEG", exif=exif)


SIXTEEN_BITS = (PICTURE[..., 0].astype(np.uint16) << 8) + 255
RED = np.full((4, 6, 3), [255, 0, 0], np.uint8)

GOOD = {
    "exif-rotated": (rotated_jpeg(), PICTURE),
    "palette": (tiny.encoded(Image.fromarray(RED).convert("P", palette=1)), RED),
    "cmyk": (tiny.encoded(Image.new("CMYK", (16, 16), (0, 255, 255, 0)), "JPEG"), RED),
    "16-bit": (tiny.encoded(Image.fromarray(SIXTEEN_BITS)), np.repeat(PICTURE[..., :1], 3, -1)),
    "grey": (tiny.encoded(Image.fromarray(PICTURE[..., 0])), np.repeat(PICTURE[..., :1], 3, -1)),
    "alpha": (tiny.encoded(Image.fromarray(RED).convert("RGBA")), RED),
    "animated": (animated_gif(), RED),
    "1x1": (tiny.encoded(RED[:1, :1]), RED[:1, :1]),
}


@pytest.mark.parametrize("way", ["raw", "b64"])
@pytest.mark.parametrize("kind", GOOD)
def test_odd_pictures_are_answered(client, kind, way):
    data, meaning = GOOD[kind]
    answer = send(client, data, way)
    assert answer.status_code == 200, answer.text
    (prediction,) = answer.json()["predictions"]
    expected = tiny.probabilities(meaning[None])[0]
    np.testing.assert_allclose(prediction["probabilities"], expected, atol=0.05)
    assert prediction["labels"][0] == tiny.LABELS[int(expected.argmax())]


BAD = {
    "empty": (b"", "got an empty file"),
    "truncated": (tiny.encoded(tiny.ramp(64, 64), "JPEG")[:-200], "damaged"),
    "no picture": (b"hello world", "no picture"),
    "over-limit": (
        tiny.encoded(Image.new("1", (10_000, 6_000))),
        "60.0 megapixels, expected at most 50",
    ),
}


@pytest.mark.parametrize("way", ["raw", "b64"])
@pytest.mark.parametrize("kind", BAD)
def test_bad_pictures_are_refused_clearly(client, kind, way):
    data, message = BAD[kind]
    answer = send(client, data, way)
    assert answer.status_code == 400
    assert message in answer.json()["error"]


def test_the_bad_picture_of_a_batch_is_named(client):
    files = [{"b64": base64.b64encode(data).decode()} for data in (tiny.encoded(PICTURE), b"x")]
    body = {"signature_name": "image_bytes", "instances": files}
    answer = client.post(PREDICT, json=body)
    assert answer.status_code == 400
    assert "picture 1 of 2: got 1 bytes that are no picture" in answer.json()["error"]


def test_the_pixel_limit_counts_all_pictures_of_a_request(client):
    file = {"b64": base64.b64encode(tiny.encoded(Image.new("1", (7_000, 3_000)))).decode()}
    body = {"signature_name": "image_bytes", "instances": [file] * 3}
    answer = client.post(PREDICT, json=body)
    assert answer.status_code == 400
    assert "got 3 pictures of together 63.0 megapixels" in answer.json()["error"]


@pytest.mark.parametrize("path", [PREDICT, "/v2/models/tiny/infer"])
def test_a_picture_that_is_taken_for_json_is_told_what_to_send(client, path):
    """As curl sends it, which says that it is a form."""
    form = {"content-type": "application/x-www-form-urlencoded"}
    for format, kind in (("JPEG", "image/jpeg"), ("PNG", "image/png")):
        answer = client.post(path, content=tiny.encoded(PICTURE, format), headers=form)
        assert answer.status_code == 400
        assert f"(a picture: send Content-Type: {kind})" in answer.json()["error"]
    answer = client.post(path, files={"file": tiny.encoded(PICTURE)})
    assert answer.status_code == 400 and "--data-binary @FILE" in answer.json()["error"]
    answer = client.post(path, content=b"{", headers=form)
    assert answer.status_code == 400 and "send" not in answer.json()["error"]
