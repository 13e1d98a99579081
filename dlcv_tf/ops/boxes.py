"""Boxes: (x1, y1, x2, y2) in absolute pixels, x1 <= x2 and y1 <= y2, float32 or float64."""

import tensorflow as tf

from dlcv_tf.errors import InputError


def area(boxes: tf.Tensor) -> tf.Tensor:
    """Returns the areas (...,) of boxes (..., 4); none is negative."""
    sides = tf.maximum(boxes[..., 2:] - boxes[..., :2], 0)
    return sides[..., 0] * sides[..., 1]


def iou(boxes, others) -> tf.Tensor:
    """Returns the intersection over union of every box with every other one.

    Args:
        boxes: (..., n, 4) boxes.
        others: (..., m, 4) boxes.

    Returns:
        (..., n, m) in [0, 1]; 0 where a pair has no area at all.

    Raises:
        InputError: the last axis is not 4.
    """
    boxes, others = _checked(boxes), _checked(others)
    first, second = boxes[..., :, None, :], others[..., None, :, :]
    low = tf.maximum(first[..., :2], second[..., :2])
    high = tf.minimum(first[..., 2:], second[..., 2:])
    intersection = area(tf.concat([low, high], axis=-1))
    union = area(first) + area(second) - intersection
    return tf.math.divide_no_nan(intersection, union)


def _checked(boxes) -> tf.Tensor:
    boxes = tf.convert_to_tensor(boxes)
    if boxes.shape.rank is not None and (boxes.shape.rank < 2 or boxes.shape[-1] != 4):
        raise InputError(
            f"got boxes of shape {tuple(boxes.shape)}, expected (..., n, 4): x1, y1, x2, y2 each"
        )
    return boxes
