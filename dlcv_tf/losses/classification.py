"""Losses of classifiers: multiclass hinge and softmax cross-entropy of logits and class numbers.

The readable forms, by loops and with their gradients written out, are in `losses/naive.py`.
"""

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from dlcv_tf.errors import InputError


def multiclass_hinge(labels, logits, delta: float = 1.0, squared: bool = False):
    """Returns the multiclass hinge loss of each example (Weston and Watkins 1999).

    The sum over the WRONG classes j of max(0, s_j - s_y + delta): zero as soon as the right class
    y is ahead of every other by the margin. Squared, each term is squared before the sum, so that
    one large violation weighs more than many small ones. Where every score is alike, the loss is
    delta * (classes - 1).

    Args:
        labels: (...) class numbers, also (..., 1) or whole numbers of a float type.
        logits: (..., classes) scores.
        delta: the margin, 0 or more.
        squared: square each term.

    Returns:
        (...) losses, of the type of the logits: NaN for a label outside the classes, which is
        refused instead where values can be seen, outside of a traced graph.

    Raises:
        InputError: shapes that do not fit, a bad label, a score that is not finite.

    Example:
        >>> float(multiclass_hinge(0, [13.0, -7.0, 11.0], delta=10.0))
        8.0

    Reference: Weston and Watkins, "Support vector machines for multi-class pattern recognition".
    """
    _check_delta(delta)
    labels, logits = _examples(labels, logits)
    is_right = ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    right = ops.sum(is_right * logits, axis=-1, keepdims=True)
    margins = ops.relu(logits - right + delta) * (1 - is_right)
    losses = ops.sum(ops.square(margins) if squared else margins, axis=-1)
    return _or_nan(losses, labels, logits)


def softmax(logits):
    """Returns the probabilities exp(s_j) / sum of exp(s_k), which are positive and sum to one.

    Scores are unnormalised log-probabilities. The largest is subtracted from all of them first,
    which changes no probability and keeps exp from overflowing.

    Args:
        logits: (..., classes) scores.

    Returns:
        (..., classes) probabilities.

    Example:
        >>> [round(float(each), 4) for each in softmax([1.0, -2.0, 0.0])]
        [0.7054, 0.0351, 0.2595]
    """
    return ops.exp(log_softmax(logits))


def log_softmax(logits):
    """Returns log(softmax(logits)), without the detour over probabilities that round to zero.

    Args:
        logits: (..., classes) scores.

    Returns:
        (..., classes) log-probabilities, at most zero.
    """
    shifted = _shifted(_floats(logits))
    return shifted - _log_sum(shifted)


def softmax_crossentropy(labels, logits):
    """Returns -log(probability of the right class) of each example.

    It is 0 for a perfect answer, log(classes) where every score is alike, and has no upper bound.
    Keras's `SparseCategoricalCrossentropy(from_logits=True)` is its mean.

    Args:
        labels: (...) class numbers, also (..., 1) or whole numbers of a float type.
        logits: (..., classes) scores.

    Returns:
        (...) losses; labels outside the classes as in `multiclass_hinge`.

    Raises:
        InputError: as `multiclass_hinge`.

    Example:
        >>> round(float(softmax_crossentropy(0, [10.0, 9.0, 9.0])), 4)
        0.5514
    """
    labels, logits = _examples(labels, logits)
    is_right = ops.one_hot(labels, logits.shape[-1], dtype=logits.dtype)
    shifted = _shifted(logits)
    losses = _log_sum(shifted)[..., 0] - ops.sum(is_right * shifted, axis=-1)
    return _or_nan(losses, labels, logits)


@keras.saving.register_keras_serializable(package="dlcv_tf")
class MulticlassHinge(keras.losses.Loss):
    """Multiclass hinge loss, the mean of `multiclass_hinge` over the examples.

    Keras's `Hinge`, `SquaredHinge` and `CategoricalHinge` are others: the first two are binary,
    the last counts only the strongest wrong class (Crammer and Singer).

    Args:
        delta: the margin, 0 or more.
        squared: square each term of the sum over wrong classes.

    Call arguments:
        y_true: (batch, ...) class numbers.
        y_pred: (batch, ..., classes) logits.
    """

    def __init__(self, delta=1.0, squared=False, name="multiclass_hinge", **kwargs):
        super().__init__(name=name, **kwargs)
        _check_delta(delta)
        self.delta = delta
        self.squared = squared

    def call(self, y_true, y_pred):
        return multiclass_hinge(y_true, y_pred, self.delta, self.squared)

    def get_config(self):
        return super().get_config() | {"delta": self.delta, "squared": self.squared}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class SmoothedCrossentropy(keras.losses.Loss):
    """Softmax cross-entropy of class numbers, with label smoothing.

    The target is `1 - smoothing` on the right class plus `smoothing` spread over all classes:
    (1 - s) * -log p(right) + s * mean over classes of -log p. Keras's sparse cross-entropy has no
    label smoothing.

    Args:
        smoothing: part of the target that is spread over all classes, in [0, 1).

    Call arguments:
        y_true: (batch, ...) class numbers.
        y_pred: (batch, ..., classes) logits.

    Reference: Szegedy et al., section 7, https://arxiv.org/abs/1512.00567.
    """

    def __init__(self, smoothing=0.1, name="smoothed_crossentropy", **kwargs):
        super().__init__(name=name, **kwargs)
        if not 0 <= smoothing < 1:
            raise InputError(f"got smoothing={smoothing}, expected 0 or more, below 1")
        self.smoothing = smoothing

    def call(self, y_true, y_pred):
        labels, logits = _examples(y_true, y_pred)
        right = keras.losses.sparse_categorical_crossentropy(labels, logits, from_logits=True)
        spread = ops.logsumexp(logits, axis=-1) - ops.mean(logits, axis=-1)
        return (1 - self.smoothing) * right + self.smoothing * spread

    def get_config(self):
        return super().get_config() | {"smoothing": self.smoothing}


def _check_delta(delta: float) -> None:
    if not 0 <= delta < np.inf:
        raise InputError(f"got delta={delta}, expected a margin of 0 or more")


def _floats(values):
    """Returns a floating tensor; whole numbers become Keras's default float type."""
    tensor = ops.convert_to_tensor(values)
    is_float = keras.backend.is_float_dtype(keras.backend.standardize_dtype(tensor.dtype))
    return tensor if is_float else ops.cast(tensor, keras.config.floatx())


def _examples(labels, logits):
    """Returns int32 labels (...) and floating logits (..., classes) that fit each other."""
    logits, given = _floats(logits), ops.convert_to_tensor(labels)
    shape = tuple(given.shape)
    if shape and len(shape) == len(logits.shape) and shape[-1] == 1:
        given = ops.squeeze(given, axis=-1)
    expected = tuple(logits.shape[:-1])
    fits = len(given.shape) == len(expected) and all(
        None in (one, other) or one == other
        for one, other in zip(given.shape, expected, strict=True)
    )
    if not fits:
        raise InputError(
            f"got labels of shape {shape} for logits of shape {tuple(logits.shape)}, expected one "
            f"class number for each row of scores, shape {expected}: turn one-hot labels into "
            "class numbers by argmax"
        )
    labels = ops.cast(given, "int32")
    if tf.executing_eagerly():  # in a graph there are no values yet to look at
        check_values(np.asarray(given), np.asarray(logits))
    return labels, logits


def check_values(labels: np.ndarray, logits: np.ndarray) -> None:
    """Raises an InputError for a label that is no class, and for a score that is not finite."""
    classes = logits.shape[-1]
    bad = ~((labels >= 0) & (labels < classes) & (labels == np.floor(labels)))
    if bad.any():
        raise InputError(
            f"got the label {labels[bad].flat[0]}, expected a class number from 0 to {classes - 1}:"
            " the labels and the network disagree on the classes"
        )
    if not np.isfinite(logits).all():
        raise InputError(
            f"got the score {logits[~np.isfinite(logits)].flat[0]}, expected finite numbers: "
            "look for broken inputs, or lower the learning rate"
        )


def _shifted(logits):
    """Returns the scores less the largest of them; the gradient is the same from any constant."""
    return logits - ops.stop_gradient(ops.max(logits, axis=-1, keepdims=True))


def _log_sum(shifted):
    return ops.log(ops.sum(ops.exp(shifted), axis=-1, keepdims=True))


def _or_nan(losses, labels, logits):
    """Makes losses NaN where the label is no class, so that a training stops instead of going on.

    TensorFlow's own softmax cross-entropy does the same on a GPU.
    """
    is_class = (labels >= 0) & (labels < logits.shape[-1])
    return ops.where(is_class, losses, ops.cast(np.nan, losses.dtype))
