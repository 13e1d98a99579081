"""RoI pool and RoI align against loops over pixels, published examples and TensorFlow's crop."""

import math

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import roi
from tests.helpers import ramp

FEATURES = ramp((2, 6, 9, 3), "float64")
# Inside, across a border, far outside, a point, reversed, larger than the map.
BOXES = np.array(
    [
        [[4.0, 3, 25, 20], [-9, -7, 12, 11], [50, 50, 70, 60], [9, 9, 9, 9]],
        [[20, 17, 6, 2], [-20, -30, 70, 60], [30.5, 20.5, 35.9, 23.9], [1.3, 2.7, 3.1, 22.2]],
    ]
)
STRIDE = 4


def bilinear(image, y, x):
    """Returns one sample as torchvision's kernel takes it, pixels centred at whole numbers."""
    height, width, channels = image.shape
    if y < -1 or y > height or x < -1 or x > width:
        return np.zeros(channels)
    y, x = min(max(y, 0), height - 1), min(max(x, 0), width - 1)
    low_y, low_x = min(int(y), height - 2), min(int(x), width - 2)
    dy, dx = y - low_y, x - low_x
    top = image[low_y, low_x] * (1 - dx) + image[low_y, low_x + 1] * dx
    bottom = image[low_y + 1, low_x] * (1 - dx) + image[low_y + 1, low_x + 1] * dx
    return top * (1 - dy) + bottom * dy


def align_by_loops(features, boxes, size, scale, sampling_ratio, aligned):
    out = np.zeros((*boxes.shape[:2], size[0], size[1], features.shape[-1]))
    for b, n, i, j in np.ndindex(*out.shape[:4]):
        x1, y1, x2, y2 = boxes[b, n] * scale - (0.5 if aligned else 0)
        width, height = x2 - x1, y2 - y1
        if not aligned:
            width, height = max(width, 1), max(height, 1)
        step_y, step_x = height / size[0], width / size[1]
        count_y = sampling_ratio or math.ceil(step_y)
        count_x = sampling_ratio or math.ceil(step_x)
        for sample_y in range(count_y):
            for sample_x in range(count_x):
                y = y1 + step_y * (i + (sample_y + 0.5) / count_y)
                x = x1 + step_x * (j + (sample_x + 0.5) / count_x)
                out[b, n, i, j] += bilinear(features[b], y, x) / (count_y * count_x)
    return out


@pytest.mark.parametrize("aligned", [True, False])
@pytest.mark.parametrize("sampling_ratio", [0, 1, 2, 3])
def test_align_is_the_loop(sampling_ratio, aligned):
    options = {"scale": 1 / STRIDE, "sampling_ratio": sampling_ratio, "aligned": aligned}
    got = roi.align(FEATURES, BOXES, (3, 2), **options)
    expected = align_by_loops(FEATURES, BOXES, (3, 2), **options)
    assert got.dtype == tf.float64 and np.abs(expected).max() > 0.1
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-12)


def test_align_of_a_box_on_the_pixels_is_those_pixels():
    """With one sample a bin, at the centres: nothing is interpolated, only if aligned."""
    got = roi.align(FEATURES[:1], [[[2.0, 1, 5, 4]]], 3, sampling_ratio=1)
    np.testing.assert_allclose(got[0, 0], FEATURES[0, 1:4, 2:5], atol=1e-12)
    shifted = roi.align(FEATURES[:1], [[[2.0, 1, 5, 4]]], 3, sampling_ratio=1, aligned=False)
    assert np.abs(shifted[0, 0] - FEATURES[0, 1:4, 2:5]).max() > 0.1


def test_align_of_a_plane_is_the_plane_at_the_centres_of_the_bins():
    y, x = np.mgrid[:20, :20] + 0.5
    plane = (2 * y - 3 * x)[None, ..., None]
    got = roi.align(plane, [[[3.2, 4.1, 15.7, 11.3]]], (4, 5), sampling_ratio=0)[0, 0, ..., 0]
    rows = 4.1 + (11.3 - 4.1) * (np.arange(4) + 0.5) / 4
    columns = 3.2 + (15.7 - 3.2) * (np.arange(5) + 0.5) / 5
    np.testing.assert_allclose(got, 2 * rows[:, None] - 3 * columns, atol=1e-12)


@pytest.mark.parametrize("read", [roi.align, roi.pool])
def test_gradients_reach_the_features(read):
    boxes = tf.constant([[[1.0, 2, 7.3, 5.9]]], tf.float64)
    features = FEATURES[:1, ..., :2]

    @tf.function
    def loss(values):
        return tf.reduce_sum(read(values, boxes, 2) ** 2)

    values = tf.constant(features)
    with tf.GradientTape() as tape:
        tape.watch(values)
        value = loss(values)
    gradient = tape.gradient(value, values).numpy()
    numeric = np.zeros_like(features)
    for place in np.ndindex(features.shape):
        step = np.zeros_like(features)
        step[place] = 1e-6
        rise = loss(tf.constant(features + step)) - loss(tf.constant(features - step))
        numeric[place] = rise / 2e-6
    assert np.abs(numeric).max() > 0.1
    np.testing.assert_allclose(gradient, numeric, atol=1e-7)


def pool_by_loops(features, boxes, size, rounding, plus_one, bins):
    out = np.zeros((*boxes.shape[:2], *size, features.shape[-1]))
    rounds = {
        "nearest": [lambda v: math.copysign(math.floor(abs(v) + 0.5), v)] * 2,
        "floor": [math.floor] * 2,
        "outward": [math.floor, math.ceil],
    }[rounding]
    for b, n in np.ndindex(*boxes.shape[:2]):
        windows = []
        for axis in (1, 0):
            first, last = rounds[0](boxes[b, n, axis]), rounds[1](boxes[b, n, axis + 2])
            extent = max(int(last - first) + plus_one, 1)
            count = size[1 - axis]
            if bins == "larger_first":
                parts = np.array_split(np.arange(extent), count)
            else:
                up = bins == "overlapping"
                parts = [
                    range(i * extent // count, ((i + 1) * extent + up * (count - 1)) // count)
                    for i in range(count)
                ]
            limit = features.shape[2 - axis]
            windows.append([[int(first) + p for p in ps if 0 <= first + p < limit] for ps in parts])
        for i, j in np.ndindex(*size):
            rows, columns = windows[0][i], windows[1][j]
            if rows and columns:
                out[b, n, i, j] = features[b][np.ix_(rows, columns)].max((0, 1))
    return out


@pytest.mark.parametrize("bins", roi.BINS)
@pytest.mark.parametrize("plus_one", [True, False])
@pytest.mark.parametrize("rounding", roi.ROUNDINGS)
def test_pool_is_the_loop(rounding, plus_one, bins):
    options = {"rounding": rounding, "plus_one": plus_one, "bins": bins}
    got = roi.pool(FEATURES, BOXES, (3, 2), scale=1 / STRIDE, **options)
    expected = pool_by_loops(FEATURES, BOXES / STRIDE, (3, 2), **options)
    assert got.dtype == tf.float64
    np.testing.assert_array_equal(got, expected)


def test_pool_rounds_halves_away_from_zero_and_counts_the_last_pixel_as_fast_rcnn():
    features = np.arange(8.0).reshape(1, 1, 8, 1)
    box = [[[2.5, 0, 4.5, 0]]]  # pixels 3 to 5, both of them in it
    np.testing.assert_array_equal(roi.pool(features, box, (1, 3)).numpy().ravel(), [3, 4, 5])
    without = roi.pool(features, box, (1, 2), plus_one=False)
    np.testing.assert_array_equal(without.numpy().ravel(), [3, 4])


@pytest.mark.parametrize("bins", roi.BINS[:2])
def test_the_published_pool(bins):
    """d2l.ai, chapter_computer-vision/rcnn.md: the upper left 3 x 3 of 4 x 4, into 2 x 2."""
    features = np.arange(16.0).reshape(1, 4, 4, 1)
    boxes = [[[0.0, 0, 20, 20], [0, 10, 30, 30]]]
    got = roi.pool(features, boxes, 2, scale=0.1, bins=bins)[0, :, :, :, 0]
    np.testing.assert_array_equal(got[0], [[5, 6], [9, 10]])
    np.testing.assert_array_equal(got[1], [[9, 11], [13, 15]])


SQUARE = [[1.0, 2.0], [3.0, 4.0]]
# TensorFlow's crop_and_resize_op_test.cc: picture, box y1 x1 y2 x2, size, extrapolation, crop.
CROPS = {
    "2x2to1x1": (SQUARE, [0.0, 0, 1, 1], 1, 0, [[2.5]]),
    "2x2to3x3": (SQUARE, [0.0, 0, 1, 1], 3, 0, [[1, 1.5, 2], [2, 2.5, 3], [3, 3.5, 4]]),
    "2x2to3x3_extrapolated": (
        SQUARE,
        [-1.0, -1, 1, 1],
        3,
        -1,
        [[-1, -1, -1], [-1, 1, 2], [-1, 3, 4]],
    ),
    "2x2to3x3_flipped": (SQUARE, [1.0, 1, 0, 0], 3, 0, [[4, 3.5, 3], [3, 2.5, 2], [2, 1.5, 1]]),
    "3x3to2x2": (np.arange(1.0, 10).reshape(3, 3), [0.0, 0, 1, 1], 2, 0, [[1, 3], [7, 9]]),
    "3x3to2x2_quarter": (
        np.arange(1.0, 10).reshape(3, 3),
        [0.0, 0, 0.5, 0.5],
        2,
        0,
        [[1, 2], [4, 5]],
    ),
}


@pytest.mark.parametrize("name", CROPS)
def test_the_published_crops(name):
    image, box, size, value, expected = CROPS[name]
    crop = roi.crop_and_resize(
        np.array(image)[None, ..., None], [[box]], size, extrapolation_value=value
    )
    np.testing.assert_allclose(crop[0, 0, ..., 0], expected, atol=1e-6)


def test_crop_and_resize_is_tensorflows():
    boxes = (BOXES / [36, 24, 36, 24])[..., [1, 0, 3, 2]].astype(np.float32)
    features = FEATURES.astype(np.float32)
    for size in ((3, 2), (1, 4)):
        got = roi.crop_and_resize(features, boxes, size, extrapolation_value=7.0)
        expected = tf.image.crop_and_resize(
            features, boxes.reshape(-1, 4), np.repeat([0, 1], 4), size, extrapolation_value=7.0
        )
        np.testing.assert_allclose(got, tf.reshape(expected, got.shape), atol=2e-5)


def test_no_boxes_make_no_features():
    boxes = np.zeros((2, 0, 4))
    assert roi.align(FEATURES, boxes, 3, sampling_ratio=0).shape == (2, 0, 3, 3, 3)
    assert roi.pool(FEATURES, boxes, 3).shape == (2, 0, 3, 3, 3)


def test_pictures_of_one_pixel():
    pixel, boxes, same = np.full((1, 1, 1, 2), 5.0), [[[0.0, 0, 1, 1]]], np.full((1, 1, 2, 2, 2), 5)
    np.testing.assert_array_equal(roi.align(pixel, boxes, 2), same)
    np.testing.assert_array_equal(roi.pool(pixel, boxes, 2, plus_one=False), same)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: roi.align(FEATURES[0], BOXES, 2), "expected .batch, height, width, channels"),
        (lambda: roi.align(FEATURES, BOXES[0], 2), "those of each picture together"),
        (lambda: roi.align(FEATURES, BOXES, 0), "numbers above 0"),
        (lambda: roi.align(FEATURES, BOXES, 2, sampling_ratio=-1), "got sampling_ratio=-1"),
        (lambda: roi.pool(FEATURES, BOXES, 2, rounding="nearst"), "did you mean 'nearest'"),
        (lambda: roi.pool(FEATURES, BOXES, 2, bins="even"), "unknown way of dividing into bins"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()
