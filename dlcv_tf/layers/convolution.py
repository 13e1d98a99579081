"""The convolution layer, written by hand."""

import keras

from dlcv_tf.errors import InputError, unknown
from dlcv_tf.ops import by_hand, patches
from dlcv_tf.ops.by_hand import convolution
from dlcv_tf.ops.whole_numbers import whole_number

_convolution = by_hand.differentiable(convolution.forward, convolution.backward)


@keras.saving.register_keras_serializable(package="dlcv_tf")
class Convolution(keras.layers.Layer):
    """Convolves pictures, forward and backward by `ops.by_hand.convolution`.

    The same as `keras.layers.Conv2D`, at pictures of known size.

    Args:
        filters: number of maps.
        size: height and width of a filter, pixels.
        stride: pixels from one place to the next.
        padding: `"valid"` (none), `"same"`, or a number of zeros to put on each side.
        method: `"im2col"`, `"naive"` (slow: a graph of one product for every place) or `"library"`.
        kernel_initializer: Keras initializer of the filters; of the biases: zeros.

    Input shape: (batch, height, width, channels).
    Output shape: (batch, out height, out width, filters).
    """

    def __init__(
        self,
        filters,
        size,
        stride=1,
        padding="valid",
        method="im2col",
        kernel_initializer="glorot_uniform",
        **kwargs,
    ):
        super().__init__(**kwargs)
        if method not in convolution.METHODS:
            raise unknown("method", method, convolution.METHODS)
        self.filters = whole_number(filters, "filters")
        self.size = whole_number(size, "size")
        self.stride = whole_number(stride, "stride")
        self.padding = patches.checked_padding(padding)
        self.method = method
        self.kernel_initializer = keras.initializers.get(kernel_initializer)

    def build(self, input_shape):
        if len(input_shape) != 4 or None in input_shape[1:]:
            raise InputError(
                f"got pictures of shape {tuple(input_shape)}, expected (batch, height, width, "
                "channels) with every size but the batch's known"
            )
        shape = (self.size, self.size, input_shape[-1], self.filters)
        self.kernel = self.add_weight(shape, self.kernel_initializer, name="kernel")
        self.bias = self.add_weight((self.filters,), "zeros", name="bias")

    def call(self, images):
        return _convolution(
            images,
            self.kernel,
            self.bias,
            stride=self.stride,
            padding=self.padding,
            method=self.method,
        )

    def get_config(self):
        return super().get_config() | {
            "filters": self.filters,
            "size": self.size,
            "stride": self.stride,
            "padding": self.padding,
            "method": self.method,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
        }
