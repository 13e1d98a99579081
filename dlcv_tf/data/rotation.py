"""Turns of pictures by any angle, about their middle, and of the places in them."""

import math

import tensorflow as tf

from dlcv_tf.data.moves import OUTSIDE
from dlcv_tf.data.targets import IGNORED

DEGREES = 30.0  # largest turn, either way


def rotate(images: tf.Tensor, seed: tf.Tensor, degrees: float = DEGREES) -> tf.Tensor:
    """Turns each picture about its middle, by an angle of its own.

    Args:
        images: (batch, height, width, channels) pictures.
        seed: int64 tensor of two numbers.
        degrees: largest turn, clockwise or not.

    Returns:
        Pictures of the same shape and type, middle grey in the corners.
    """
    return _turned(images, _angles(images, seed, degrees), OUTSIDE)


def rotate_with_targets(
    images: tf.Tensor, targets, seed: tf.Tensor, degrees: float = DEGREES
) -> tuple:
    """Turns pictures as `rotate` does, and the places in them.

    A box becomes the smallest one around its turned corners, clipped to the picture: one that is
    too large for the thing. A joint outside of the picture has visible 0.

    Args:
        images: (batch, height, width, channels) pictures.
        targets: of a batch, of any kind in `targets.KINDS`.
        seed: int64 tensor of two numbers.
        degrees: largest turn, clockwise or not.

    Returns:
        Pictures and targets of the same shapes and types.
    """
    images, targets = tf.nest.map_structure(tf.convert_to_tensor, (images, targets))
    angles = _angles(images, seed, degrees)
    images = _turned(images, angles, OUTSIDE)
    if not isinstance(targets, dict):  # labels, or a class map
        if targets.shape.rank == 3:
            targets = _turned(targets[..., None], angles, float(IGNORED), "NEAREST")[..., 0]
        return images, targets
    height, width = images.shape[1:3]
    sides = tf.constant([width, height], tf.float32)
    result = dict(targets)
    if "box" in targets:
        result["box"] = _turned_boxes(targets["box"][:, None], angles, sides)[:, 0]
    if "boxes" in targets:
        boxes = _turned_boxes(targets["boxes"], angles, sides)
        result["boxes"] = tf.where(targets["valid"][..., None], boxes, 0.0)
    if "joints" in targets:
        joints = targets["joints"]
        places = _turned_points(joints[..., :2], angles, sides)
        inside = tf.reduce_all((places >= 0) & (places <= sides), axis=-1, keepdims=True)
        result["joints"] = tf.concat([places, tf.where(inside, joints[..., 2:], 0.0)], axis=-1)
        if "boxes" in targets:
            result["joints"] = tf.where(targets["valid"][..., None, None], result["joints"], 0.0)
    if "masks" in targets:
        masks = tf.transpose(targets["masks"], (0, 2, 3, 1))  # one channel for each thing
        result["masks"] = tf.transpose(_turned(masks, angles, 0.0, "NEAREST"), (0, 3, 1, 2))
    return images, result


def _angles(images: tf.Tensor, seed: tf.Tensor, degrees: float) -> tf.Tensor:
    """Returns (batch,) angles in radians; above 0 is clockwise, as y goes down."""
    most = math.radians(degrees)
    return tf.random.stateless_uniform((tf.shape(images)[0],), seed, -most, most)


def _turned(images, angles, outside: float, interpolation: str = "BILINEAR") -> tf.Tensor:
    """Turns (batch, height, width, channels) pictures of any type."""
    images = tf.convert_to_tensor(images)
    height, width = images.shape[1:3]
    cosine, sine = tf.cos(angles), tf.sin(angles)
    # From a pixel of the result, counted from its centre, back to one of the picture.
    across, down = (width - 1) / 2, (height - 1) / 2
    zero = tf.zeros_like(angles)
    rows = [cosine, sine, across - cosine * across - sine * down]
    rows += [-sine, cosine, down + sine * across - cosine * down, zero, zero]
    turned = tf.raw_ops.ImageProjectiveTransformV3(
        images=tf.cast(images, tf.float32),
        transforms=tf.stack(rows, axis=-1),
        output_shape=[height, width],
        fill_value=outside,
        interpolation=interpolation,
        fill_mode="CONSTANT",
    )
    return tf.cast(turned if images.dtype.is_floating else tf.round(turned), images.dtype)


def _turned_points(points: tf.Tensor, angles: tf.Tensor, sides: tf.Tensor) -> tf.Tensor:
    """Turns points (batch, ..., 2) about the middle of a picture of `sides` (width, height)."""
    angles = tf.reshape(angles, (-1, *(1,) * (points.shape.rank - 2)))
    cosine, sine = tf.cos(angles), tf.sin(angles)
    x, y = tf.unstack(points - sides / 2, axis=-1)
    return tf.stack([cosine * x - sine * y, sine * x + cosine * y], axis=-1) + sides / 2


def _turned_boxes(boxes: tf.Tensor, angles: tf.Tensor, sides: tf.Tensor) -> tf.Tensor:
    """Returns the boxes (batch, n, 4) around the corners of turned ones, clipped."""
    x1, y1, x2, y2 = tf.unstack(boxes, axis=-1)
    corners = tf.stack([x1, y1, x2, y1, x1, y2, x2, y2], axis=-1)
    corners = tf.reshape(corners, (-1, boxes.shape[1], 4, 2))
    corners = tf.clip_by_value(_turned_points(corners, angles, sides), 0.0, sides)
    return tf.concat([tf.reduce_min(corners, axis=2), tf.reduce_max(corners, axis=2)], axis=-1)
