"""Which ground-truth box an anchor stands for."""

import tensorflow as tf

from dlcv_tf.errors import InputError

NEGATIVE = -1
IGNORED = -2


def match(overlaps, positive: float = 0.7, negative: float = 0.3, best: bool = True) -> tf.Tensor:
    """Assigns anchors to ground-truth boxes by their intersection over union.

    An anchor is positive if its largest overlap is at least `positive`, negative if it is below
    `negative`, and takes no part in the training in between: not every anchor that touches an
    object is positive. So that every object has an anchor, each object's best ones are positive
    whatever their overlap, as long as there is any.

    Args:
        overlaps: (anchors, objects) intersection over union, in [0, 1]; objects may be 0.
        positive: least overlap of a positive anchor.
        negative: overlap below which an anchor is negative, at most `positive`.
        best: make each object's best anchors positive.

    Returns:
        (anchors,) int32: number of the object, `NEGATIVE` or `IGNORED`.

    Raises:
        InputError: the thresholds are not in order, or the overlaps no matrix.

    Reference: Ren et al., "Faster R-CNN", section 3.1.2, https://arxiv.org/abs/1506.01497.
    """
    overlaps = tf.convert_to_tensor(overlaps)
    if overlaps.shape.rank != 2:
        raise InputError(f"got overlaps of shape {overlaps.shape}, expected (anchors, objects)")
    if not 0 <= negative <= positive <= 1:
        raise InputError(
            f"got negative={negative} and positive={positive}, expected 0 <= negative <= positive "
            "<= 1"
        )
    # A column of zeros stands for no object, so that there is always a largest overlap.
    padded = tf.pad(overlaps, [[0, 0], [0, 1]])
    largest = tf.reduce_max(padded, axis=1)
    matched = tf.argmax(padded, axis=1, output_type=tf.int32)
    labels = tf.where(largest < negative, NEGATIVE, IGNORED)
    labels = tf.where((largest >= positive) & (largest > 0), matched, labels)
    if not best:
        return labels
    is_best = (overlaps == tf.reduce_max(overlaps, axis=0, keepdims=True)) & (overlaps > 0)
    own = tf.argmax(tf.pad(tf.where(is_best, overlaps, 0), [[0, 0], [0, 1]]), axis=1)
    return tf.where(tf.reduce_any(is_best, axis=1), tf.cast(own, tf.int32), labels)
