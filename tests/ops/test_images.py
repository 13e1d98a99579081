"""Resizing equals TensorFlow's antialiased bilinear; decoding equals `artifact.pictures`."""

import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from dlcv_tf.artifact import pictures as numpy_twin
from dlcv_tf.ops import images
from tests.helpers import pictures


@pytest.mark.parametrize("size", [(4, 4), (9, 7), (31, 18), (8, 9), (1, 1)])
def test_resize_equals_tensorflow_antialiased(size):
    source = pictures(2, (13, 9))
    expected = tf.image.resize(source, size, method="bilinear", antialias=True)
    np.testing.assert_allclose(images.resize(source, size), expected, atol=2e-4)


@pytest.mark.parametrize("size", [(4, 4), (31, 18), (13, 9)])
def test_resize_equals_its_numpy_twin(size):
    source = pictures(2, (13, 9))
    np.testing.assert_allclose(
        images.resize(source, size), numpy_twin.resize(source, size), atol=2e-4
    )


def test_resize_of_unknown_size_is_the_same_and_equal_sizes_change_nothing():
    source = pictures(3, (13, 9))
    dynamic = tf.function(
        lambda x: images.resize(x, (13, 9)),
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8)],
    )
    np.testing.assert_array_equal(dynamic(source), source.astype(np.float32))
    np.testing.assert_allclose(dynamic(source[:, :5]), images.resize(source[:, :5], (13, 9)))


def test_resize_keeps_float64():
    assert images.resize(tf.zeros((1, 4, 4, 1), tf.float64), (2, 2)).dtype == tf.float64


def encoded(mode="RGB", format="PNG", size=(23, 17), **options) -> bytes:
    picture = Image.fromarray(pictures(1, (size[1], size[0]))[0]).convert(mode)
    buffer = io.BytesIO()
    picture.save(buffer, format, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize(
    "data",
    [
        pytest.param(encoded(), id="png"),
        pytest.param(encoded("L"), id="grey png"),
        pytest.param(encoded("RGBA"), id="alpha png"),
        pytest.param(encoded("P"), id="palette png"),
        pytest.param(encoded(format="JPEG", quality=90), id="jpeg"),
        pytest.param(encoded("L", "JPEG"), id="grey jpeg"),
        pytest.param(encoded(format="BMP"), id="bmp"),
        pytest.param(encoded("P", "GIF"), id="gif"),
        pytest.param(encoded(size=(1, 1)), id="1x1"),
    ],
)
def test_decode_equals_pillow(data, channels):
    expected = numpy_twin.decode(data, channels=channels)
    np.testing.assert_array_equal(images.decode(tf.constant(data), channels), expected)


def exif(orientation: int) -> Image.Exif:
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags


@pytest.mark.parametrize("orientation", range(1, 9))
def test_decode_turns_pictures_upright_as_pillow_does(orientation):
    data = encoded(format="JPEG", exif=exif(orientation))
    assert images.exif_orientation(tf.constant(data)) == orientation
    expected = numpy_twin.decode(data)
    np.testing.assert_array_equal(images.decode(tf.constant(data)), expected)


@pytest.mark.parametrize("data", [b"", b"\xff\xd8", encoded(format="JPEG"), encoded()])
def test_no_exif_is_orientation_one(data):
    assert images.exif_orientation(tf.constant(data)) == 1


def test_big_endian_exif():
    tiff = b"MM\x00\x2a\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00\x06\x00\x00"
    segment = b"Exif\x00\x00" + tiff + b"\x00\x00\x00\x00"
    plain = encoded(format="JPEG")
    length = (len(segment) + 2).to_bytes(2, "big")
    data = plain[:2] + b"\xff\xe1" + length + segment + plain[2:]
    assert images.exif_orientation(tf.constant(data)) == 6
    np.testing.assert_array_equal(images.decode(tf.constant(data)), numpy_twin.decode(data))
