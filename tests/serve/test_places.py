"""Detectors and segmenters behind the endpoint: named boxes, class maps as PNG files."""

import base64
import io

import httpx
import numpy as np
import pytest
from PIL import Image

from dlcv_tf.serve import server
from tests.artifact import tiny, tiny_places

WIDE, TALL = tiny.ramp(12, 40), tiny.ramp(30, 8)


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    models = tmp_path_factory.mktemp("places")
    tiny_places.detector(models)
    tiny_places.segmenter(models)
    with server.running(models) as url, httpx.Client(base_url=url, timeout=30) as http:
        yield http


def files(*images):
    instances = [{"b64": base64.b64encode(tiny.encoded(image)).decode()} for image in images]
    return {"signature_name": "image_bytes", "instances": instances}


def test_boxes_are_in_pixels_of_each_picture_and_named(client):
    answer = client.post("/v1/models/boxes:predict", json=files(WIDE, TALL, WIDE))
    assert answer.status_code == 200, answer.text
    found = answer.json()["predictions"]
    for one, (height, width) in zip(found, [(12, 40), (30, 8), (12, 40)], strict=True):
        expected = tiny_places.PARTS * [width, height, width, height]
        np.testing.assert_allclose(one["boxes"], expected, rtol=1e-6)
        assert one["labels"] == ["disc", "cell", ""]  # what fills the answer up has no name
        assert one["num_detections"] == 2 and one["classes"] == [2, 0, 0]
        np.testing.assert_allclose(one["scores"], tiny_places.SCORES)


def test_boxes_of_pixel_values(client):
    body = {"instances": [TALL.tolist(), TALL.tolist()]}
    found = client.post("/v1/models/boxes:predict", json=body).json()["predictions"]
    assert len(found) == 2 and "labels" not in found[0]
    np.testing.assert_allclose(found[1]["boxes"][0], [0, 0, 4, 30])


def test_class_maps_are_png_files_of_each_pictures_size(client):
    red = np.zeros((9, 21, 3), np.uint8)
    red[2:5, 3:11, 0] = 200
    answer = client.post("/v1/models/maps:predict", json=files(red, WIDE))
    assert answer.status_code == 200, answer.text
    maps = [
        np.asarray(Image.open(io.BytesIO(base64.b64decode(one["b64"]))))
        for one in answer.json()["predictions"]  # a lone output stands for itself
    ]
    np.testing.assert_array_equal(maps[0], (red[..., 0] > 127).astype(np.uint8))
    np.testing.assert_array_equal(maps[1], (WIDE[..., 0] > 127).astype(np.uint8))


def test_one_raw_picture_is_answered_too(client):
    headers = {"content-type": "image/png"}
    posted = client.post("/v1/models/maps:predict", content=tiny.encoded(WIDE), headers=headers)
    (one,) = posted.json()["predictions"]
    assert Image.open(io.BytesIO(base64.b64decode(one["b64"]))).size == (40, 12)
    posted = client.post("/v1/models/maps:predict", json={"inputs": [WIDE.tolist()]})
    expected = (WIDE[None, ..., 0] > 127).astype(np.uint8)
    np.testing.assert_array_equal(posted.json()["outputs"], expected)


def test_the_metadata_name_the_answers(client):
    signatures = client.get("/v1/models/maps/metadata").json()["metadata"]["signature_def"]
    outputs = signatures["signature_def"]["image_bytes"]["outputs"]
    assert outputs["class_map_bytes"]["dtype"] == "DT_STRING"
