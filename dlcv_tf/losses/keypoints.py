"""Losses of joints: of heatmaps, of coordinates and of visibility; what is not seen counts not."""

import tensorflow as tf

from dlcv_tf.errors import InputError

COORDINATE_LOSSES = ("squares", "absolute", "smooth_l1")


def heatmap_squares(targets, heatmaps, visible) -> tf.Tensor:
    """Returns the squared error of heatmaps: its sum over the cells, its mean over seen joints.

    The sum, not the mean, over the cells: nearly all of them are zero and soon right. The simple
    baselines take half the mean; that is a smaller learning rate, but for adaptive rules.

    Args:
        targets: (batch, height, width, joints), of `ops.heatmaps.gaussians`.
        heatmaps: the same shape, predicted.
        visible: (batch, joints) 1 for a joint that counts, 0 for one that does not.

    Returns:
        Scalar; 0 where no joint is seen at all.
    """
    targets, heatmaps = tf.cast(targets, heatmaps.dtype), tf.convert_to_tensor(heatmaps)
    errors = tf.reduce_sum(tf.math.squared_difference(targets, heatmaps), axis=(1, 2))
    return _mean_of_seen(errors, visible)


def heatmap_crossentropy(targets, heatmaps, visible) -> tf.Tensor:
    """Returns the cross-entropy over the cells of each map, mean over seen joints.

    The softmax runs over all cells of a joint: they compete for the one place that a joint has.
    A map without any target in it (a joint outside) does not count.

    Args:
        targets: (batch, height, width, joints), not negative; each map is divided by its sum.
        heatmaps: the same shape, logits.
        visible: (batch, joints) 1 for a joint that counts, 0 for one that does not.

    Returns:
        Scalar; 0 where no joint is seen at all.
    """
    heatmaps = tf.convert_to_tensor(heatmaps)
    targets = tf.cast(targets, heatmaps.dtype)
    totals = tf.reduce_sum(targets, axis=(1, 2))
    log_sums = tf.reduce_logsumexp(heatmaps, axis=(1, 2))
    right = tf.math.divide_no_nan(tf.reduce_sum(targets * heatmaps, axis=(1, 2)), totals)
    has_target = tf.cast(totals > 1e-6, heatmaps.dtype)
    return _mean_of_seen(log_sums - right, tf.cast(visible, heatmaps.dtype) * has_target)


def cell_crossentropy(cells, heatmaps, visible) -> tf.Tensor:
    """Returns the cross-entropy of the one cell that each joint lies in, mean over seen joints.

    Args:
        cells: (batch, joints) whole numbers, row * width + column.
        heatmaps: (batch, height, width, joints) logits.
        visible: (batch, joints) 1 for a joint that counts, 0 for one that does not.

    Returns:
        Scalar; 0 where no joint is seen at all.

    Reference: He et al., section 5, https://arxiv.org/abs/1703.06870.
    """
    heatmaps = tf.convert_to_tensor(heatmaps)
    height, width, joints = heatmaps.shape[1:]
    flat = tf.transpose(tf.reshape(heatmaps, (-1, height * width, joints)), (0, 2, 1))
    cells = tf.clip_by_value(tf.cast(cells, tf.int32), 0, height * width - 1)
    errors = tf.nn.sparse_softmax_cross_entropy_with_logits(cells, flat)
    return _mean_of_seen(errors, visible)


def coordinates(targets, places, visible, kind: str = "squares", beta: float = 0.1) -> tf.Tensor:
    """Returns the error of coordinates: summed over x and y, mean over seen joints.

    Args:
        targets: (batch, joints, 2) places, in any unit; parts of the picture's sides as a rule.
        places: the same shape, predicted.
        visible: (batch, joints) 1 for a joint that counts, 0 for one that does not.
        kind: "squares" (d^2), "absolute" (|d|), or "smooth_l1": d^2 / (2 beta) below beta,
            |d| - beta / 2 from there on.
        beta: where "smooth_l1" turns from a square to a line, in the unit of the places.

    Returns:
        Scalar; 0 where no joint is seen at all.

    Raises:
        InputError: there is no such kind.
    """
    places = tf.convert_to_tensor(places)
    return _mean_of_seen(distances(targets, places, kind, beta), visible)


def distances(targets, places, kind: str = "squares", beta: float = 0.1) -> tf.Tensor:
    """Returns the errors of `coordinates` one by one: the last axis is summed."""
    if kind not in COORDINATE_LOSSES:
        raise InputError(f"got loss {kind!r}, expected one of {', '.join(COORDINATE_LOSSES)}")
    if not beta > 0:
        raise InputError(f"got beta={beta}, expected a distance above 0")
    places = tf.convert_to_tensor(places)
    apart = tf.abs(tf.cast(targets, places.dtype) - places)
    if kind == "squares":
        errors = tf.square(apart)
    elif kind == "absolute":
        errors = apart
    else:
        errors = tf.where(apart < beta, tf.square(apart) / (2 * beta), apart - beta / 2)
    return tf.reduce_sum(errors, axis=-1)


def visibility(targets, logits) -> tf.Tensor:
    """Returns the binary cross-entropy of what is seen, mean over all joints.

    Args:
        targets: (batch, joints) 1 for a joint that is seen, 0 for one that is not.
        logits: (batch, joints).
    """
    logits = tf.convert_to_tensor(logits)
    targets = tf.cast(targets, logits.dtype)
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(targets, logits))


def _mean_of_seen(errors: tf.Tensor, visible) -> tf.Tensor:
    """Returns the mean of (batch, joints) errors over the joints that count."""
    weights = tf.cast(visible, errors.dtype)
    return tf.math.divide_no_nan(tf.reduce_sum(errors * weights), tf.reduce_sum(weights))
