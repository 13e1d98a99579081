"""Boxes overlap as areas do."""

import keras
import numpy as np
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.ops import boxes

RANDOM = np.random.default_rng(0)


def some(count):
    corners = RANDOM.uniform(0, 50, (count, 2))
    return np.concatenate([corners, corners + RANDOM.uniform(0, 40, (count, 2))], axis=-1)


def by_hand(a, b):
    width = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    height = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    union = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - width * height
    return width * height / union


def test_iou_of_all_pairs():
    first, second = some(7), some(5)
    expected = [[by_hand(a, b) for b in second] for a in first]
    np.testing.assert_allclose(boxes.iou(first, second), expected, rtol=1e-9, atol=1e-12)
    keras_own = keras.utils.bounding_boxes.compute_iou(
        first.astype("float32"), second.astype("float32"), "xyxy"
    )
    np.testing.assert_allclose(boxes.iou(first, second), keras_own, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(np.diag(boxes.iou(first, first)), 1, rtol=1e-12)
    np.testing.assert_array_equal(
        boxes.iou(np.stack([first] * 2), np.stack([second] * 2))[1], boxes.iou(first, second)
    )


def test_no_area_and_no_boxes():
    point = np.array([[3.0, 3, 3, 3]])
    assert boxes.iou(point, point).numpy() == 0
    assert boxes.iou(np.zeros((0, 4)), some(2)).shape == (0, 2)
    assert boxes.area(np.array([5.0, 5, 3, 9])).numpy() == 0


def test_wrong_shapes_are_named():
    with pytest.raises(InputError, match=r"got boxes of shape \(2, 5\), expected \(..., n, 4\)"):
        boxes.iou(np.zeros((2, 5)), np.zeros((2, 4)))
