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

    In float16 and bfloat16 the batch is normalised in float32, as in Keras: squares overflow there.
    With `trainable = False` it is normalised by the running averages in training too, which stay.

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
        options = {"autocast": False}  # mixed precision leaves the weights in float32
        self.gamma = self.add_weight(shape, "ones", name="gamma", **options)
        self.beta = self.add_weight(shape, "zeros", name="beta", **options)
        options |= {"trainable": False}
        self.moving_mean = self.add_weight(shape, "zeros", name="moving_mean", **options)
        self.moving_variance = self.add_weight(shape, first, name="moving_variance", **options)

    def call(self, x, training=False):
        exact = tf.float64 if self.compute_dtype == "float64" else tf.float32
        x, gamma, beta, mean, variance = (
            tf.cast(tf.convert_to_tensor(each), exact)
            for each in (x, self.gamma, self.beta, self.moving_mean, self.moving_variance)
        )
        if not (training and self.trainable):
            output = batch_norm.inference(x, gamma, beta, mean, variance, self.epsilon)
            return tf.cast(output, self.compute_dtype)
        of_batch = batch_norm.statistics(x, self.unbiased)
        averages = ((self.moving_mean, mean), (self.moving_variance, variance))
        for (average, old), new in zip(averages, of_batch, strict=True):
            running = batch_norm.running(old, new, self.momentum)
            average.assign(tf.cast(running, average.dtype))
        output = _normalised(x, gamma, beta, epsilon=self.epsilon)
        return tf.cast(output, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "initial_variance": self.initial_variance,
            "unbiased": self.unbiased,
        }


BATCH_NORMS = (keras.layers.BatchNormalization, BatchNorm)
