"""Which of the boxes in a batch of targets are objects that a detector is trained on."""

import typing

import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import boxes as box_ops

MOSTLY = 0.5  # part of a box from which on it counts as inside of an ignored object


class Objects(typing.NamedTuple):
    """The things in a batch of pictures, padding among them.

    Args:
        boxes: (batch, objects, 4) corners, zeros where there is no sound box.
        classes: (batch, objects) int32.
        valid: (batch, objects) bool, False for padding and boxes that are not sound.
        ignored: (batch, objects) bool, the valid ones that are neither found nor missed.
    """

    boxes: tf.Tensor
    classes: tf.Tensor
    valid: tf.Tensor
    ignored: tf.Tensor

    @property
    def counted(self) -> tf.Tensor:
        """The objects to be found, (batch, objects) bool."""
        return self.valid & ~self.ignored


def objects(targets: dict) -> Objects:
    """Returns the objects of a batch, without those whose boxes cannot be learnt.

    A box with NaN, infinity or no area would make the loss NaN. Such a box counts as padding
    inside of a graph, thus in `fit`; `dlcv data check` finds it in the data.

    Args:
        targets: `boxes`, `classes`, `valid` and `ignored`, as `data.load(targets="boxes")` gives.

    Raises:
        InputError: called eagerly, with a valid box that is not sound.
    """
    boxes = tf.cast(targets["boxes"], tf.float32)
    sides = boxes[..., 2:] - boxes[..., :2]
    sound = tf.reduce_all(tf.math.is_finite(boxes), axis=-1) & tf.reduce_all(sides > 0, axis=-1)
    valid = tf.cast(targets["valid"], tf.bool)
    if tf.executing_eagerly():
        wrong = tf.where(valid & ~sound).numpy()
        if len(wrong):
            picture, number = wrong[0]
            raise InputError(
                f"got the box {boxes[picture, number].numpy().tolist()} (picture {picture}, object "
                f"{number}), expected x1 < x2 and y1 < y2, finite: mend the annotations, or mark "
                "it as not valid"
            )
    valid &= sound
    return Objects(
        boxes=tf.where(valid[..., None], boxes, 0),
        classes=tf.cast(targets["classes"], tf.int32),
        valid=valid,
        ignored=valid & tf.cast(targets["ignored"], tf.bool),
    )


def inside_ignored(boxes, things: Objects) -> tf.Tensor:
    """Returns which boxes lie by half or more in an ignored object.

    Part of the box, not of the union: an ignored crowd is larger than one thing in it.

    Args:
        boxes: (n, 4), the same in all pictures, or (batch, n, 4).
        things: of the pictures.

    Returns:
        (batch, n) bool.
    """
    inside = box_ops.ioa(things.boxes, boxes) >= MOSTLY  # (batch, objects, n)
    return tf.reduce_any(inside & things.ignored[..., None], axis=1)
