"""Losses of classifiers by loops, each gradient written out: to read, and to test the others by.

All in float64 NumPy; the forms that are fast and run in graphs are in `losses/classification.py`.
"""

import math

import numpy as np

from dlcv_tf.errors import InputError
from dlcv_tf.losses.classification import check_values


def multiclass_hinge(
    labels, logits, delta: float = 1.0, squared: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the multiclass hinge loss of each example, and its gradient.

    Only wrong classes that come closer to the right one than the margin count. Each pushes its own
    score down and the right one up: by 1, or by twice the margin's violation where it is squared.

    Args:
        labels: (batch,) class numbers.
        logits: (batch, classes) scores.
        delta: the margin.
        squared: square each term.

    Returns:
        (batch,) losses, and (batch, classes) gradients, each of its own example's loss.
    """
    labels, scores = _checked(labels, logits)
    losses, gradients = np.zeros(len(scores)), np.zeros_like(scores)
    for example, right in enumerate(labels):
        for wrong in range(scores.shape[1]):
            if wrong == right:
                continue
            violation = scores[example, wrong] - scores[example, right] + delta
            if violation > 0:
                losses[example] += violation**2 if squared else violation
                slope = 2 * violation if squared else 1.0
                gradients[example, wrong] += slope
                gradients[example, right] -= slope
    return losses, gradients


def softmax_crossentropy(labels, logits) -> tuple[np.ndarray, np.ndarray]:
    """Returns -log(probability of the right class) of each example, and its gradient.

    The gradient is the probability of each class, less one for the right class: it vanishes only
    where the answer is perfect.

    Args:
        labels: (batch,) class numbers.
        logits: (batch, classes) scores.

    Returns:
        (batch,) losses, and (batch, classes) gradients, each of its own example's loss.
    """
    labels, scores = _checked(labels, logits)
    losses, gradients = np.zeros(len(scores)), np.zeros_like(scores)
    for example, right in enumerate(labels):
        largest = max(scores[example])  # without it exp overflows from scores of 710 on
        total = 0.0
        for score in scores[example]:
            total += math.exp(score - largest)
        losses[example] = math.log(total) - (scores[example, right] - largest)
        for number, score in enumerate(scores[example]):
            probability = math.exp(score - largest) / total
            gradients[example, number] = probability - (number == right)
    return losses, gradients


def _checked(labels, logits) -> tuple[np.ndarray, np.ndarray]:
    """Returns labels and float64 scores that fit each other."""
    labels, scores = np.asarray(labels), np.asarray(logits, np.float64)
    if scores.ndim != 2 or labels.shape != scores.shape[:1]:
        raise InputError(
            f"got labels of shape {labels.shape} for scores of shape {scores.shape}, expected "
            "(batch,) and (batch, classes)"
        )
    check_values(labels, scores)
    return labels.astype(np.int64), scores
