"""Losses of detectors: of boxes, of classes with few positives among many negatives."""

import tensorflow as tf

from dlcv_tf.errors import InputError, unknown
from dlcv_tf.ops import boxes as box_ops

OVERLAPS = ("iou", "giou", "diou", "ciou")


def smooth_l1(targets, predictions, *, beta: float = 1.0, huber: bool = False) -> tf.Tensor:
    """Returns d^2 / (2 beta) where |d| < beta, and |d| - beta / 2 beyond: a square with arms.

    Box regression by squares is at the mercy of a few far-off boxes; the arms cap their gradient,
    at 1. Published codes differ in the second parameter: Fast R-CNN's beta is 1, Detectron's RPN
    has 1 / 9, written as sigma = 3 with beta = 1 / sigma^2. Huber's loss (`keras.losses.Huber`) is
    beta times this one, with a gradient capped at beta.

    Args:
        targets: (...) numbers.
        predictions: (...) numbers.
        beta: where the square ends; 0 gives |d|.
        huber: multiply by beta.

    Returns:
        (...) losses, element by element.

    Raises:
        InputError: beta is negative, or 0 for Huber's loss.

    Example:
        >>> smooth_l1([0.0, 0.0], [0.5, 2.0]).numpy().tolist()
        [0.125, 1.5]

    Reference: Girshick, "Fast R-CNN", equation 3, https://arxiv.org/abs/1504.08083.
    """
    if beta < 0 or (huber and beta == 0):
        raise InputError(f"got beta={beta}, expected a positive number")
    predictions = tf.convert_to_tensor(predictions)
    distance = tf.abs(predictions - tf.cast(targets, predictions.dtype))
    if beta == 0:
        return distance
    losses = tf.where(distance < beta, distance**2 / (2 * beta), distance - beta / 2)
    return beta * losses if huber else losses


def box_overlap(targets, predictions, kind: str = "giou") -> tf.Tensor:
    """Returns 1 - overlap of each pair of boxes: what is measured at the end is trained.

    Args:
        targets: (..., 4) boxes.
        predictions: (..., 4) boxes.
        kind: "iou", whose gradient is 0 for boxes apart; "giou", "diou" or "ciou".

    Returns:
        (...) losses, from 0 to 1 for "iou", to 2 for "giou" and "diou".

    Raises:
        InputError: an unknown kind, or shapes that are no boxes.
    """
    if kind not in OVERLAPS:
        raise unknown("overlap", kind, OVERLAPS)
    return 1 - getattr(box_ops, kind)(predictions, targets, pairwise=False)


def focal(targets, logits, *, alpha: float | None = 0.25, gamma: float = 2.0) -> tf.Tensor:
    """Returns the sigmoid cross-entropy of each logit, times (1 - p of what is right)^gamma.

    The many negatives that are easy, though each has a small loss, would outweigh the few that
    are not; here they count for next to nothing.

    Args:
        targets: (...) numbers in [0, 1], 1 for positive.
        logits: (...) numbers.
        alpha: weight of positives, that of negatives is 1 - alpha; None weighs neither.
        gamma: 0 or more; 0 is the plain cross-entropy.

    Returns:
        (...) losses; their sum is usually divided by the number of positives.

    Raises:
        InputError: alpha or gamma out of range.

    Reference: Lin et al., "Focal loss", https://arxiv.org/abs/1708.02002.
    """
    if gamma < 0 or not (alpha is None or 0 <= alpha <= 1):
        raise InputError(f"got alpha={alpha} and gamma={gamma}, expected 0 to 1, and 0 or more")
    logits = tf.convert_to_tensor(logits)
    targets = tf.cast(targets, logits.dtype)
    losses = tf.nn.sigmoid_cross_entropy_with_logits(targets, logits)
    probabilities = tf.sigmoid(logits)
    wrong = probabilities + targets - 2 * probabilities * targets  # 1 - p of what is right
    if gamma:
        losses *= tf.maximum(wrong, 1e-20) ** gamma  # no infinite slope at zero for small gamma
    if alpha is not None:
        losses *= alpha * targets + (1 - alpha) * (1 - targets)
    return losses


def hard_negatives(losses, labels, ratio: float = 3.0, least: int = 1) -> tf.Tensor:
    """Returns which negatives a picture learns from: those with the largest losses.

    Args:
        losses: (batch, n) losses of the anchors, as if they were all negative.
        labels: (batch, n) of `ops.matching.match`: 0 or more for positives, -1 for negatives,
            others take no part.
        ratio: negatives for each positive, at most; SSD has 3.
        least: negatives of a picture with too few positives or none, so that it is not lost; SSD's
            first code has 0.

    Returns:
        (batch, n) bool; of equal losses those of the first anchors.

    Raises:
        InputError: a negative number.

    Reference: Liu et al., "SSD", section 2.2, https://arxiv.org/abs/1512.02325.
    """
    if ratio < 0 or least < 0:
        raise InputError(f"got ratio={ratio} and least={least}, expected 0 or more")
    losses, labels = tf.convert_to_tensor(losses), tf.convert_to_tensor(labels)
    is_negative = labels == -1
    positives = tf.math.count_nonzero(labels >= 0, axis=1, keepdims=True, dtype=tf.int32)
    wanted = tf.maximum(tf.cast(ratio * tf.cast(positives, tf.float32), tf.int32), least)
    order = tf.argsort(tf.where(is_negative, losses, losses.dtype.min), 1, "DESCENDING", True)
    ranks = tf.argsort(order, axis=1)
    return is_negative & (ranks < wanted)
