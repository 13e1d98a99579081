"""Batch normalisation, written by hand."""

import keras
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import by_hand
from dlcv_tf.ops.by_hand import batch_norm

_normalised = by_hand.differentiable(batch_norm.forward, batch_norm.backward)


@keras.saving.register_keras_serializable(package="dlcv_tf")
class BatchNorm(keras.layers.Layer):
    """Normalises each feature, or each map, by the batch in training, by running averages after.

    The same as `keras.layers.BatchNormalization`. Published codes differ in four things:

    * the running averages: here, in CS231n and in Keras `momentum * old + (1 - momentum) * new`;
      PyTorch's momentum of 0.1 is a momentum of 0.9 here;
    * epsilon: 1e-5 here, in CS231n and in PyTorch, 1e-3 in Keras;
    * the first running variance: 1 here, in Keras and in PyTorch, 0 in CS231n;
    * the variance that is averaged: the biased one here, in CS231n and in Keras, the unbiased one
      in PyTorch. The batch itself is normalised by the biased one everywhere.

    Args:
        momentum: of the running averages, in [0, 1).
        epsilon: added to the variance.
        initial_variance: first value of the running variance.
        unbiased: average the variance divided by n - 1 and not by n.

    Input shape: (batch, features), or (batch, height, width, channels) for one mean and one
        variance per map.

    Reference: Ioffe and Szegedy, https://arxiv.org/abs/1502.03167.
    """

    def __init__(self, momentum=0.9, epsilon=1e-5, initial_variance=1.0, unbiased=False, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= momentum < 1:
            raise InputError(f"got momentum={momentum}, expected 0 or more, below 1")
        if not epsilon > 0:
            raise InputError(f"got epsilon={epsilon}, expected a number above 0")
        self.momentum = momentum
        self.epsilon = epsilon
        self.initial_variance = initial_variance
        self.unbiased = unbiased

    def build(self, input_shape):
        shape, first = (input_shape[-1],), keras.initializers.Constant(self.initial_variance)
        self.gamma = self.add_weight(shape, "ones", name="gamma")
        self.beta = self.add_weight(shape, "zeros", name="beta")
        self.moving_mean = self.add_weight(shape, "zeros", trainable=False, name="moving_mean")
        self.moving_variance = self.add_weight(
            shape, first, trainable=False, name="moving_variance"
        )

    def call(self, x, training=False):
        if not training:
            gamma, beta, mean, variance = map(
                tf.convert_to_tensor,
                (self.gamma, self.beta, self.moving_mean, self.moving_variance),
            )
            return batch_norm.inference(x, gamma, beta, mean, variance, self.epsilon)
        mean, variance = batch_norm.statistics(x, self.unbiased)
        for average, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            average.assign(batch_norm.running(average.value, new, self.momentum))
        return _normalised(x, self.gamma, self.beta, epsilon=self.epsilon)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "initial_variance": self.initial_variance,
            "unbiased": self.unbiased,
        }
