"""Losses of classifiers."""

import keras
from keras import ops

from dlcv_tf.errors import InputError


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
        right = keras.losses.sparse_categorical_crossentropy(y_true, y_pred, from_logits=True)
        spread = ops.logsumexp(y_pred, axis=-1) - ops.mean(y_pred, axis=-1)
        return (1 - self.smoothing) * right + self.smoothing * spread

    def get_config(self):
        return super().get_config() | {"smoothing": self.smoothing}
