"""Activation functions as layers, written by hand; `Maxout`, which has weights, is in `affine`."""

import keras

from dlcv_tf.errors import InputError
from dlcv_tf.ops import by_hand
from dlcv_tf.ops.by_hand import activations

_sigmoid = by_hand.differentiable(activations.sigmoid_forward, activations.sigmoid_backward)
_tanh = by_hand.differentiable(activations.tanh_forward, activations.tanh_backward)
_relu = by_hand.differentiable(activations.relu_forward, activations.relu_backward)
_leaky_relu = by_hand.differentiable(
    activations.leaky_relu_forward, activations.leaky_relu_backward
)
_prelu = by_hand.differentiable(activations.prelu_forward, activations.prelu_backward)
_elu = by_hand.differentiable(activations.elu_forward, activations.elu_backward)


class _Elementwise(keras.layers.Layer):
    """A layer whose output has the shape of its input."""

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Sigmoid(_Elementwise):
    """Computes 1 / (1 + e^-x), in (0, 1). Saturates at both ends and is not centred on zero."""

    def call(self, x):
        return _sigmoid(x)


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Tanh(_Elementwise):
    """Computes tanh x, in (-1, 1). Saturates at both ends."""

    def call(self, x):
        return _tanh(x)


@keras.saving.register_keras_serializable(package="dlcv_tf")
class ReLU(_Elementwise):
    """Computes max(0, x). Does not saturate above; below it may die: the gradient is 0."""

    def call(self, x):
        return _relu(x)


@keras.saving.register_keras_serializable(package="dlcv_tf")
class LeakyReLU(_Elementwise):
    """Computes x above zero, slope * x below: a small POSITIVE slope, so that no unit dies.

    Args:
        slope: below zero. 0.01 as in the paper; Keras's own layer takes 0.3 by default.

    Reference: Maas et al., "Rectifier Nonlinearities Improve Neural Network Acoustic Models".
    """

    def __init__(self, slope=activations.LEAK, **kwargs):
        super().__init__(**kwargs)
        if not 0 <= slope < 1:
            raise InputError(f"got slope={slope}, expected 0 or more, below 1")
        self.slope = slope

    def call(self, x):
        return _leaky_relu(x, slope=self.slope)

    def get_config(self):
        return super().get_config() | {"slope": self.slope}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class PReLU(_Elementwise):
    """A leaky ReLU that learns its slopes, one for each channel.

    Args:
        initial_slope: 0.25 as in the paper. Keras's own layer starts at 0, and has a slope for
            every element unless `shared_axes` is given.

    Input shape: (batch, ..., channels).

    Reference: He et al., https://arxiv.org/abs/1502.01852.
    """

    def __init__(self, initial_slope=0.25, **kwargs):
        super().__init__(**kwargs)
        self.initial_slope = initial_slope

    def build(self, input_shape):
        initial = keras.initializers.Constant(self.initial_slope)
        self.slope = self.add_weight((input_shape[-1],), initial, name="slope")

    def call(self, x):
        return _prelu(x, self.slope)

    def get_config(self):
        return super().get_config() | {"initial_slope": self.initial_slope}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class ELU(_Elementwise):
    """Computes x above zero, alpha (e^x - 1) below: nearly zero mean, saturates below only.

    Args:
        alpha: what it saturates at, negated; above 0.

    Reference: Clevert et al., https://arxiv.org/abs/1511.07289.
    """

    def __init__(self, alpha=1.0, **kwargs):
        super().__init__(**kwargs)
        if not alpha > 0:
            raise InputError(f"got alpha={alpha}, expected a number above 0")
        self.alpha = alpha

    def call(self, x):
        return _elu(x, alpha=self.alpha)

    def get_config(self):
        return super().get_config() | {"alpha": self.alpha}
