"""Which of the boxes in a batch of targets are objects that a detector is trained on."""

import typing

import tensorflow as tf

from dlcv_tf.ops import boxes as box_ops
from dlcv_tf.train import asserts

MOSTLY = 0.5  # part of a box from which on it counts as inside of an ignored object
ROWS = ("boxes", "classes", "valid", "ignored", "masks", "joints")  # what targets know of objects
MEND = "mend the annotations (`dlcv data check` names what is wrong), or mark it as not "
UNSOUND_BOX = (
    "got the box {} (picture {}, object {}), expected x1 < x2 and y1 < y2, finite: "
    f"{MEND}valid"
)
UNSOUND_JOINT = (
    "got the joint {} (picture {}, object {}, joint {}), expected finite x and y: "
    f"{MEND}visible"
)


class Objects(typing.NamedTuple):
    """The things in a batch of pictures, padding among them; one row at least.

    Args:
        boxes: (batch, objects, 4) corners, zeros where there is no sound box.
        classes: (batch, objects) int32.
        valid: (batch, objects) bool, False for padding and boxes that are not sound.
        ignored: (batch, objects) bool, the valid ones that are neither found nor missed.
        masks: (batch, objects, height, width), or None where the targets have none.
        joints: (batch, objects, joints, 3) float32 x, y, visible, or None likewise.
    """

    boxes: tf.Tensor
    classes: tf.Tensor
    valid: tf.Tensor
    ignored: tf.Tensor
    masks: tf.Tensor | None = None
    joints: tf.Tensor | None = None

    @property
    def counted(self) -> tf.Tensor:
        """The objects to be found, (batch, objects) bool."""
        return self.valid & ~self.ignored


def objects(targets: dict) -> Objects:
    """Returns the objects of a batch; stops the step at one that cannot be learnt.

    A box with NaN, infinity or no area would make the loss NaN, and a joint that is said to be
    visible and lies nowhere would be left out unseen. `fit` and `evaluate` of a task raise an
    `InputError`; under XLA, which cannot stop, such a box counts as padding. Boxes that reach out
    of the picture are taken as they are: `data.load` clips them.

    Args:
        targets: `boxes`, `classes`, `valid` and `ignored`, as `data.load(targets="boxes")` gives,
            and perhaps `masks` and `joints`. There may be no row at all: one of padding is added.

    Raises:
        InputError: called eagerly, with a valid box that is not sound, or such a joint.
    """
    rows = {name: _with_a_row(targets[name]) for name in ROWS if name in targets}
    boxes = tf.cast(rows["boxes"], tf.float32)
    sides = boxes[..., 2:] - boxes[..., :2]
    sound = tf.reduce_all(tf.math.is_finite(boxes), axis=-1) & tf.reduce_all(sides > 0, axis=-1)
    valid = tf.cast(rows["valid"], tf.bool)
    valid = sound & _require(sound | ~valid, valid, UNSOUND_BOX, boxes)
    joints = None
    if "joints" in rows:
        joints = tf.cast(rows["joints"], tf.float32)
        known = valid[..., None] & (joints[..., 2] > 0)
        finite = tf.reduce_all(tf.math.is_finite(joints), axis=-1)
        joints = _require(finite | ~known, joints, UNSOUND_JOINT, joints)
    return Objects(
        boxes=tf.where(valid[..., None], boxes, 0),
        classes=tf.cast(rows["classes"], tf.int32),
        valid=valid,
        ignored=valid & tf.cast(rows["ignored"], tf.bool),
        masks=rows.get("masks"),
        joints=joints,
    )


def _with_a_row(values) -> tf.Tensor:
    """Returns what is known of objects, (batch, objects, ...), with a row of zeros if it has none.

    Nothing can be gathered from an axis without a place.
    """
    values = tf.convert_to_tensor(values)
    count = values.shape[1]
    if count:
        return values
    missing = tf.cast(tf.equal(tf.shape(values)[1], 0), tf.int32)  # it may show in the graph only
    return tf.pad(values, [[0, 0], [0, missing], *[[0, 0]] * (values.shape.rank - 2)])


def _require(good, then, message: str, values) -> tf.Tensor:
    """Stops the step unless all is good; the message names the first value that is not.

    Args:
        good: bool tensor.
        then: as for `asserts.require`, which returns it.
        message: with a place for the value, and for each of its indices.
        values: of the shape of `good` with one more axis.
    """
    first = tf.argmax(tf.cast(tf.reshape(~good, [-1]), tf.int32), output_type=tf.int32)
    value = tf.gather(tf.reshape(values, [-1, values.shape[-1]]), first)
    indices, rest = [], first
    for size in reversed(tf.unstack(tf.shape(good), num=good.shape.rank)):
        indices.insert(0, rest % size)
        rest //= size
    return asserts.require(tf.reduce_all(good), then, message, value, *indices)


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
