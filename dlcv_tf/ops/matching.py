"""Which ground-truth box an anchor stands for, and which anchors a training step looks at."""

import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import boxes as box_ops
from dlcv_tf.ops.whole_numbers import whole_number

NEGATIVE = -1
IGNORED = -2


def match(
    overlaps,
    positive: float = 0.7,
    negative: float = 0.3,
    best: bool | str = True,
    *,
    valid=None,
) -> tf.Tensor:
    """Assigns anchors to ground-truth boxes by their intersection over union.

    An anchor is positive if its largest overlap is at least `positive`, negative if it is below
    `negative`, and takes no part in the training in between: not every anchor that touches an
    object is positive. So that every object has an anchor, each object's best ones are positive
    whatever their overlap, as long as there is any. The paper does not say for which object: such
    an anchor may overlap another one more. Published codes differ: it stands for the object whose
    best it is in mmdetection (`gt_max_assign_all`), which is `best=True`, and for the one that it
    overlaps most itself in the authors' code, Detectron2 and torchvision
    (`allow_low_quality_matches`), `best="argmax"`, where an object may then be left without any.

    Args:
        overlaps: (..., anchors, objects) intersection over union, in [0, 1]; objects may be 0.
        positive: least overlap of a positive anchor.
        negative: overlap below which an anchor is negative, at most `positive`.
        best: True makes each object's best anchors positive, all of them if several overlap it
            alike (Faster R-CNN), for that object, and "argmax" for the one they overlap most;
            "bipartite" gives each object one anchor of its own (SSD, d2l: see `bipartite`); False
            does nothing of it.
        valid: (..., objects) bool, False for rows that are no objects (padding); all are by
            default.

    Returns:
        (..., anchors) int32: number of the object, `NEGATIVE` or `IGNORED`.

    Raises:
        InputError: the thresholds are not in order, or the overlaps no matrix.

    Reference: Ren et al., "Faster R-CNN", section 3.1.2, https://arxiv.org/abs/1506.01497.
    """
    overlaps = _checked(overlaps)
    if not 0 <= negative <= positive <= 1:
        raise InputError(
            f"got negative={negative} and positive={positive}, expected 0 <= negative <= positive "
            "<= 1"
        )
    if best not in (True, False, "argmax", "bipartite"):
        raise InputError(f"got best={best!r}, expected True, False, 'argmax' or 'bipartite'")
    overlaps = _of_valid(overlaps, valid)
    largest, matched = _best_object(overlaps)
    labels = tf.where(largest < negative, NEGATIVE, IGNORED)
    labels = tf.where((largest >= positive) & (largest > 0), matched, labels)
    if not best:
        return labels
    if best == "bipartite":
        own = bipartite(overlaps)
        return tf.where(own >= 0, own, labels)
    is_best = (overlaps == tf.reduce_max(overlaps, axis=-2, keepdims=True)) & (overlaps > 0)
    own = matched
    if best != "argmax":
        _, own = _best_object(tf.where(is_best, overlaps, 0))
    return tf.where(tf.reduce_any(is_best, axis=-1), own, labels)


def bipartite(overlaps, valid=None) -> tf.Tensor:
    """Gives every object one anchor, and no anchor two, the largest overlaps first.

    Each step takes the largest overlap of all, and then leaves that anchor and that object out.
    Of equal overlaps that of the lower object is first, then that of the lower anchor. An object
    that overlaps no anchor has none.

    Args:
        overlaps: (..., anchors, objects) intersection over union, in [0, 1].
        valid: (..., objects) bool, as for `match`.

    Returns:
        (..., anchors) int32: number of the object, or `NEGATIVE`.

    Raises:
        InputError: the overlaps are no matrix.

    Reference: Liu et al., "SSD", section 2.2, https://arxiv.org/abs/1512.02325.
    """
    overlaps = _of_valid(_checked(overlaps), valid)
    shape = tf.shape(overlaps)
    anchors, objects = shape[-2], shape[-1]
    # An object needs as many candidates as there are objects: the others may take all but one.
    rows = tf.reshape(tf.linalg.matrix_transpose(overlaps), [-1, objects, anchors])
    count = tf.minimum(objects, anchors)
    values, places = tf.math.top_k(rows, count)  # (batch, objects, count)
    owners = tf.range(objects)[None, :, None] + tf.zeros_like(places)
    flat = [tf.reshape(each, [-1, objects * count]) for each in (values, places, owners)]
    every = tf.range(anchors)[None, :]

    def take(step, remaining, labels):
        best = tf.argmax(remaining, axis=1, output_type=tf.int32)[:, None]
        found = tf.gather(remaining, best, batch_dims=1) > 0  # (batch, 1)
        place, owner = (tf.gather(each, best, batch_dims=1) for each in flat[1:])
        labels = tf.where((every == place) & found, owner, labels)
        gone = (flat[1] == place) | (flat[2] == owner)
        return step + 1, tf.where(~gone, remaining, 0), labels

    start = tf.fill([tf.shape(rows)[0], anchors], NEGATIVE)
    _, _, labels = tf.while_loop(
        lambda step, *_: step < count, take, (tf.constant(0), flat[0], start)
    )
    return tf.ensure_shape(tf.reshape(labels, shape[:-1]), overlaps.shape[:-1])


def assign(
    anchors,
    boxes,
    valid,
    ignored,
    *,
    positive: float = 0.5,
    negative: float = 0.5,
    best: bool | str = True,
    ignored_share: float = 0.5,
) -> tf.Tensor:
    """Assigns the anchors of a batch of pictures to their objects; see `match`.

    An anchor that would be negative takes no part if enough of it lies inside an ignored region: a
    crowd, or an object that is marked as difficult.

    Args:
        anchors: (n, 4) boxes, or (batch, n, 4) where pictures have their own (proposals).
        boxes: (batch, objects, 4) ground truth.
        valid: (batch, objects) bool, False for padding.
        ignored: (batch, objects) bool, True for regions that are ignored.
        positive: as for `match`.
        negative: as for `match`.
        best: as for `match`.
        ignored_share: share of an anchor's area inside of an ignored region from which on it is
            left out.

    Returns:
        (batch, n) int32: number of the object, `NEGATIVE` or `IGNORED`.

    Raises:
        InputError: as `match` and `boxes.iou`.
    """
    overlaps = box_ops.iou(anchors, boxes)  # (batch, n, objects)
    labels = match(overlaps, positive, negative, best, valid=valid & ~ignored)
    inside = tf.linalg.matrix_transpose(box_ops.ioa(boxes, anchors))
    inside = tf.reduce_any((inside >= ignored_share) & (valid & ignored)[:, None, :], axis=-1)
    return tf.where((labels == NEGATIVE) & inside, IGNORED, labels)


def sample(
    labels, size: int = 256, positive_share: float = 0.5, *, seed
) -> tuple[tf.Tensor, tf.Tensor]:
    """Draws anchors for a training step, so that the many negatives do not outweigh the positives.

    At most `size * positive_share` positives; negatives fill up the rest.

    Args:
        labels: (..., anchors) of `match`; what is ignored is not drawn.
        size: number of anchors of each picture.
        positive_share: largest share of positives, in [0, 1].
        seed: two whole numbers or int tensor (2,); equal seeds draw equally.

    Returns:
        (..., size) int32 indices of anchors, positives first, and (..., size) bool: False where
        there were too few, the index is 0 there.

    Raises:
        InputError: a size or share out of range.

    Reference: Girshick, "Fast R-CNN", section 2.3, https://arxiv.org/abs/1504.08083.
    """
    size = whole_number(size, "size")
    if not 0 <= positive_share <= 1:
        raise InputError(f"got positive_share={positive_share}, expected 0 to 1")
    labels = tf.convert_to_tensor(labels)
    order = tf.random.stateless_uniform(tf.shape(labels), seed)
    positives, is_positive = _first(order, labels >= 0, int(size * positive_share))
    negatives, is_negative = _first(order, labels == NEGATIVE, size)
    room = size - tf.reduce_sum(tf.cast(is_positive, tf.int32), axis=-1, keepdims=True)
    is_negative &= tf.range(size) < room
    indices = tf.concat([positives, negatives], axis=-1)
    drawn = tf.concat([is_positive, is_negative], axis=-1)
    front = tf.argsort(tf.cast(~drawn, tf.int32), axis=-1, stable=True)[..., :size]
    rank = labels.shape.rank - 1
    drawn = tf.gather(drawn, front, batch_dims=rank)
    return tf.where(drawn, tf.gather(indices, front, batch_dims=rank), 0), drawn


def _first(order, candidates, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns `count` candidates in random order, and whether there were so many."""
    keys = tf.where(candidates, order, -1.0)
    missing = tf.maximum(count - tf.shape(keys)[-1], 0)
    keys = tf.pad(keys, [[0, 0]] * (keys.shape.rank - 1) + [[0, missing]], constant_values=-1.0)
    values, indices = tf.math.top_k(keys, count)
    return indices, values >= 0


def _best_object(overlaps) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the largest overlap of every anchor, and the object that it has it with."""
    # A column of zeros stands for no object, so that there is always a largest overlap.
    padding = [[0, 0]] * (overlaps.shape.rank - 1) + [[0, 1]]
    padded = tf.pad(overlaps, padding)
    return tf.reduce_max(padded, axis=-1), tf.argmax(padded, axis=-1, output_type=tf.int32)


def _of_valid(overlaps, valid) -> tf.Tensor:
    if valid is None:
        return overlaps
    return tf.where(tf.convert_to_tensor(valid)[..., None, :], overlaps, 0)


def _checked(overlaps) -> tf.Tensor:
    overlaps = tf.convert_to_tensor(overlaps)
    if overlaps.shape.rank is None or overlaps.shape.rank < 2:
        raise InputError(
            f"got overlaps of shape {overlaps.shape}, expected (anchors, objects), or a batch of it"
        )
    return overlaps
