"""The affine layer, written by hand."""

import keras
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import by_hand
from dlcv_tf.ops.by_hand import activations, affine
from dlcv_tf.ops.whole_numbers import whole_number

_affine = by_hand.differentiable(affine.forward, affine.backward)
_largest = by_hand.differentiable(activations.maxout_forward, activations.maxout_backward)


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Affine(keras.layers.Layer):
    """Computes x W + b, forward and backward by `ops.by_hand.affine`.

    The same as `keras.layers.Flatten` and then `keras.layers.Dense`.

    Args:
        units: number of outputs.
        kernel_initializer: Keras initializer of W; of b: zeros.

    Input shape: (batch, ...); what is behind the first axis is flattened.
    Output shape: (batch, units).
    """

    def __init__(self, units, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.units = whole_number(units, "units")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        self.kernel = self.add_weight(
            (_inputs(input_shape), self.units), self.kernel_initializer, name="kernel"
        )
        self.bias = self.add_weight((self.units,), "zeros", name="bias")

    def call(self, x):
        return _affine(x, self.kernel, self.bias)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Maxout(keras.layers.Layer):
    """Computes max(x W1 + b1, x W2 + b2): a unit that learns its activation function.

    It is linear in pieces and never saturates or dies, for twice the weights; ReLU is the case
    W1 = b1 = 0.

    Args:
        units: number of outputs.
        pieces: number of linear maps of which the largest is taken, 2 or more.
        kernel_initializer: Keras initializer of all W side by side; of every b: zeros.

    Input shape: (batch, ...); what is behind the first axis is flattened.
    Output shape: (batch, units).

    Reference: Goodfellow et al., https://arxiv.org/abs/1302.4389.
    """

    def __init__(self, units, pieces=2, kernel_initializer="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.units = whole_number(units, "units")
        self.pieces = whole_number(pieces, "pieces")
        if self.pieces < 2:
            raise InputError(f"got pieces={pieces}, expected 2 or more: one is an affine layer")
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        columns = self.units * self.pieces  # a unit's pieces are neighbours
        self.kernel = self.add_weight(
            (_inputs(input_shape), columns), self.kernel_initializer, name="kernel"
        )
        self.bias = self.add_weight((columns,), "zeros", name="bias")

    def call(self, x):
        maps = _affine(x, self.kernel, self.bias)
        return _largest(tf.reshape(maps, (-1, self.units, self.pieces)))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.units)

    def get_config(self):
        return super().get_config() | {
            "units": self.units,
            "pieces": self.pieces,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }


def _inputs(input_shape) -> int:
    if len(input_shape) < 2 or None in input_shape[1:]:
        raise InputError(
            f"got inputs of shape {tuple(input_shape)}, expected (batch, ...) with every size but "
            "the batch's known"
        )
    inputs = 1
    for side in input_shape[1:]:
        inputs *= side
    return inputs
