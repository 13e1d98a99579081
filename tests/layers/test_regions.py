"""Warped crops are those of `tf.image.crop_and_resize`; each region has the network to itself."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.layers import EachRegion, Resize, WarpRegions, WindowBoxes
from tests.helpers import ramp

BOXES = np.array([[[2.0, 1.0, 8.0, 7.0], [-3.0, 4.0, 5.0, 9.5]], [[0, 0, 10, 9], [4, 4, 4, 4]]])


def warped_by_loops(image, box, size, context, fill):
    """Returns a crop, pixel by pixel: bilinear where the pixel's centre is in the picture."""
    crop = np.full((size, size, image.shape[-1]), fill)
    unit = (box[2:] - box[:2]) / (size - 2 * context)
    for row in range(size):
        for column in range(size):
            x = box[0] + (column + 0.5 - context) * unit[0] - 0.5
            y = box[1] + (row + 0.5 - context) * unit[1] - 0.5
            if not (0 <= x <= image.shape[1] - 1 and 0 <= y <= image.shape[0] - 1):
                continue
            left, top = int(x), int(y)
            right, low = min(left + 1, image.shape[1] - 1), min(top + 1, image.shape[0] - 1)
            upper = image[top, left] * (1 - x + left) + image[top, right] * (x - left)
            lower = image[low, left] * (1 - x + left) + image[low, right] * (x - left)
            crop[row, column] = upper * (1 - y + top) + lower * (y - top)
    return crop


@pytest.mark.parametrize("context", [0, 2])
def test_crops_are_as_by_loops(context):
    images = ramp((2, 9, 10, 3), "float64")
    layer = WarpRegions(7, context=context, fill=0.25, dtype="float64")
    got = layer(images, BOXES).numpy()
    for image, boxes, crops in zip(images, BOXES, got, strict=True):
        for box, crop in zip(boxes, crops, strict=True):
            expected = warped_by_loops(image, box, 7, context, 0.25)
            np.testing.assert_allclose(crop, expected, atol=1e-9)


def test_crops_are_those_of_tensorflow():
    images = ramp((1, 9, 10, 3))
    box = BOXES[0, :1].astype(np.float32)
    got = WarpRegions(5, context=0)(images, box[None])[0]
    # Their corners are samples: half of a crop's pixel inside of the box.
    half = (box[:, 2:] - box[:, :2]) / 5 / 2
    corners = np.concatenate([box[:, :2] + half, box[:, 2:] - half], axis=1) - 0.5
    corners = corners[:, [1, 0, 3, 2]] / np.array([8, 9, 8, 9])
    expected = tf.image.crop_and_resize(images, corners, [0], (5, 5))
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_a_box_of_whole_pixels_is_cut_out_as_it_is():
    images = ramp((1, 9, 10, 3))
    crop = WarpRegions(6, context=0)(images, np.array([[[2.0, 1.0, 8.0, 7.0]]], np.float32))
    np.testing.assert_allclose(crop[0, 0], images[0, 1:7, 2:8], atol=1e-6)


def test_squares_do_not_stretch():
    images = ramp((1, 9, 10, 3))
    tall = np.array([[[4.0, 1.0, 6.0, 7.0]]], np.float32)
    got = WarpRegions(6, context=0, square=True)(images, tall)
    np.testing.assert_allclose(got[0, 0], images[0, 1:7, 2:8], atol=1e-6)


def test_one_pixel_pictures_and_rims_that_leave_no_room():
    box = np.array([[[0, 0, 1, 1]]], np.float32)
    crop = WarpRegions(4, context=1)(np.full((1, 1, 1, 3), 2.0, np.float32), box)
    assert np.isfinite(crop).all()
    with pytest.raises(InputError, match="size=8 and context=4, expected room"):
        WarpRegions(8, context=4)


def test_each_region_is_seen_alone_and_any_number_of_them():
    inner = keras.Sequential(
        [keras.Input((4, 4, 3)), keras.layers.Conv2D(2, 3), keras.layers.Flatten()]
    )
    inputs = keras.Input((None, 4, 4, 3))
    model = keras.Model(inputs, EachRegion(inner)(inputs))
    assert model.output_shape == (None, None, 8)
    for count in (1, 5):
        crops = ramp((2, count, 4, 4, 3))
        got = model(crops)
        assert got.shape == (2, count, 8)
        np.testing.assert_allclose(got[1, count - 1], inner(crops[1, -1:])[0], atol=1e-6)


def test_windows_go_along_the_rows():
    boxes = WindowBoxes((4, 6), (2, 3))(np.zeros((2, 2, 3, 7))).numpy()
    assert boxes.shape == (2, 6, 4)
    np.testing.assert_array_equal(boxes[0, 0], [0, 0, 4, 6])
    np.testing.assert_array_equal(boxes[1, 4], [2, 3, 6, 9])


def test_resize_is_that_of_tensorflow():
    images = ramp((2, 9, 10, 3))
    expected = tf.image.resize(images, (5, 13), antialias=True)
    np.testing.assert_allclose(Resize((5, 13))(images), expected, atol=1e-5)
