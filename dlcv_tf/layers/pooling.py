"""Pooling layers, written by hand: over space only, without padding, without parameters."""

import keras

from dlcv_tf.errors import InputError
from dlcv_tf.ops import by_hand
from dlcv_tf.ops.by_hand import pooling
from dlcv_tf.ops.whole_numbers import whole_number

_max = by_hand.differentiable(pooling.max_forward, pooling.max_backward)
_average = by_hand.differentiable(pooling.average_forward, pooling.average_backward)
_soft = by_hand.differentiable(pooling.soft_forward, pooling.soft_backward)


class _Pool(keras.layers.Layer):
    """A layer of windows of `size` pixels, `stride` pixels apart."""

    def __init__(self, size=2, stride=2, **kwargs):
        super().__init__(**kwargs)
        self.size = whole_number(size, "size")
        self.stride = whole_number(stride, "stride")

    def get_config(self):
        return super().get_config() | {"size": self.size, "stride": self.stride}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class MaxPool(_Pool):
    """Takes the largest number of each window; the same as `keras.layers.MaxPooling2D`.

    Args:
        size: height and width of a window, pixels.
        stride: pixels from one window to the next; 3x3 windows with stride 2 overlap.

    Input shape: (batch, height, width, channels) of known height and width.
    Output shape: (batch, out height, out width, channels).
    """

    def call(self, images):
        return _max(images, size=self.size, stride=self.stride)


@keras.saving.register_keras_serializable(package="dlcv_tf")
class AveragePool(_Pool):
    """Takes the mean of each window; the same as `keras.layers.AveragePooling2D`.

    Args:
        size: height and width of a window, pixels.
        stride: pixels from one window to the next.

    Input shape: (batch, height, width, channels) of known height and width.
    Output shape: (batch, out height, out width, channels).
    """

    def call(self, images):
        return _average(images, size=self.size, stride=self.stride)


@keras.saving.register_keras_serializable(package="dlcv_tf")
class SoftPool(_Pool):
    """Takes the mean of each window, weighted by the softmax of its numbers.

    Args:
        size: height and width of a window, pixels.
        stride: pixels from one window to the next.
        temperature: above 0; near 0 it is max pooling, far above the average.

    Input shape: (batch, height, width, channels) of known height and width.
    Output shape: (batch, out height, out width, channels).

    Reference: Stergiou et al., https://arxiv.org/abs/2101.00440.
    """

    def __init__(self, size=2, stride=2, temperature=1.0, **kwargs):
        super().__init__(size, stride, **kwargs)
        if not temperature > 0:
            raise InputError(f"got temperature={temperature}, expected a number above 0")
        self.temperature = temperature

    def call(self, images):
        return _soft(images, size=self.size, stride=self.stride, temperature=self.temperature)

    def get_config(self):
        return super().get_config() | {"temperature": self.temperature}
