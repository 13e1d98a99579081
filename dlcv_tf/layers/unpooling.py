"""Ways to make maps larger that have no weights: what a decoder puts in the place of pooling."""

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError, unknown
from dlcv_tf.ops.transposed_convolution import bilinear_kernel
from dlcv_tf.ops.whole_numbers import whole_number

PADDINGS = ("same", "valid")


@keras.saving.register_keras_serializable(package="dlcv_tf")
class NearestUnpool(keras.layers.Layer):
    """Repeats each number over a block: nearest-neighbour unpooling.

    The same as `keras.layers.UpSampling2D`.

    Args:
        size: height and width of a block.

    Input shape: (batch, height, width, channels) of known height and width.
    Output shape: (batch, size * height, size * width, channels).

    Example:
        >>> NearestUnpool()([[[[1.0], [2.0]], [[3.0], [4.0]]]]).numpy()[0, :, :, 0]
        array([[1., 1., 2., 2.],
               [1., 1., 2., 2.],
               [3., 3., 4., 4.],
               [3., 3., 4., 4.]], dtype=float32)
    """

    def __init__(self, size=2, **kwargs):
        super().__init__(**kwargs)
        self.size = whole_number(size, "size")

    def call(self, values):
        row = [values] * self.size
        return _interleaved([row] * self.size)

    def get_config(self):
        return super().get_config() | {"size": self.size}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class BedOfNails(NearestUnpool):
    """Puts each number into the top left corner of a block of zeros.

    Args:
        size: height and width of a block.

    Input shape: (batch, height, width, channels) of known height and width.
    Output shape: (batch, size * height, size * width, channels).

    Example:
        >>> BedOfNails()([[[[1.0], [2.0]]]]).numpy()[0, :, :, 0]
        array([[1., 0., 2., 0.],
               [0., 0., 0., 0.]], dtype=float32)
    """

    def call(self, values):
        nothing = tf.zeros_like(values)
        first, other = [values, *[nothing] * (self.size - 1)], [nothing] * self.size
        return _interleaved([first, *[other] * (self.size - 1)])


@keras.saving.register_keras_serializable(package="dlcv_tf")
class MaxPoolWithSwitches(keras.layers.Layer):
    """2x2 max pooling that also says where each maximum was, for `MaxUnpool`.

    Where the numbers of a window are equal, the first one, row by row, is the maximum. Gradients
    reach the maxima only. TensorFlow's `max_pool_with_argmax` gives indices instead; neither
    TensorFlow Lite nor a scatter in an int8 file can follow those.

    Args:
        padding: what happens to the last row and column of an odd size: "same" makes a smaller
            window of them (as SegNet's Caffe), "valid" leaves them out (as PyTorch).

    Input shape: (batch, height, width, channels) of known height and width.
    Output shape: maxima (batch, half height, half width, channels), halves rounded up ("same") or
        down ("valid"); and switches (batch, height, width, channels), 1 at maxima and 0 elsewhere.

    Reference: Badrinarayanan et al., "SegNet", https://arxiv.org/abs/1511.00561.
    """

    size = stride = 2  # of the windows, pixels

    def __init__(self, padding="same", **kwargs):
        super().__init__(**kwargs)
        if padding not in PADDINGS:
            raise unknown("padding", padding, PADDINGS)
        self.padding = padding

    def call(self, images):
        height, width = images.shape[1:3]
        if self.padding == "valid" and min(height, width) < 2:
            raise InputError(
                f"got pictures of {height}x{width} pixels for 2x2 windows, expected 2x2 or more: "
                'use padding="same"'
            )
        if self.padding == "same":
            whole = _padded(images, height + height % 2, width + width % 2, images.dtype.min)
        else:
            whole = images[:, : height - height % 2, : width - width % 2]
        corners = [[whole[:, row::2, column::2] for column in (0, 1)] for row in (0, 1)]
        maxima = corners[0][0]
        for corner in (corners[0][1], *corners[1]):
            maxima = tf.maximum(maxima, corner)  # a gradient goes to the first of equal numbers
        is_free, switches = tf.ones_like(maxima, tf.bool), []
        for row in corners:
            switches.append([])
            for corner in row:
                is_maximum = is_free & tf.equal(corner, maxima)
                is_free &= ~is_maximum
                switches[-1].append(tf.cast(is_maximum, maxima.dtype))
        switches = _fitted(_interleaved(switches), height, width)
        return maxima, tf.stop_gradient(switches)

    def get_config(self):
        return super().get_config() | {"padding": self.padding}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class MaxUnpool(keras.layers.Layer):
    """Puts each number where the maximum was that `MaxPoolWithSwitches` found; zeros elsewhere.

    Call arguments:
        values: (batch, half height, half width, channels).
        switches: (batch, height, width, channels) of the pooling.

    Output shape: that of the switches.

    Reference: Zeiler and Fergus, https://arxiv.org/abs/1311.2901; SegNet.
    """

    def call(self, values, switches):
        height, width = switches.shape[1:3]
        halves = [(side // 2, (side + 1) // 2) for side in (height, width)]
        is_half = all(n in both for n, both in zip(values.shape[1:3], halves, strict=True))
        if not is_half or values.shape[3] != switches.shape[3]:
            raise InputError(
                f"got values {tuple(values.shape[1:])} for switches {tuple(switches.shape[1:])}, "
                "expected half the height and width, and as many channels: convolve to these first"
            )
        blocks = _interleaved([[values] * 2] * 2)
        return _fitted(blocks, height, width) * tf.cast(switches, values.dtype)

    def compute_output_shape(self, values_shape, switches_shape):
        return (values_shape[0], *switches_shape[1:])


@keras.saving.register_keras_serializable(package="dlcv_tf")
class BilinearKernel(keras.initializers.Initializer):
    """Weights with which a transposed convolution interpolates, each map by itself.

    For `keras.layers.Conv2DTranspose`, whose kernel is (height, width, outputs, inputs).

    Reference: Long et al., "Fully convolutional networks", https://arxiv.org/abs/1411.4038.
    """

    def __call__(self, shape, dtype=None):
        height, width, outputs, inputs = shape
        if height != width:
            raise InputError(f"got a kernel of {height}x{width}, expected a square one")
        weights = bilinear_kernel(height)[:, :, None, None] * np.eye(outputs, inputs)
        return tf.constant(weights, dtype or keras.config.floatx())


def _interleaved(rows: list[list[tf.Tensor]]) -> tf.Tensor:
    """Returns the map whose blocks are made of the given maps, one for each place in a block.

    Only concatenations and reshapes of four axes, which every format has.

    Args:
        rows: (batch, height, width, channels) maps, by row and column in a block.

    Returns:
        (batch, height * rows, width * columns, channels).
    """
    height, width, channels = rows[0][0].shape[1:]
    wide = width * len(rows[0]) * channels
    lines = [tf.reshape(tf.concat(row, axis=-1), (-1, height, 1, wide)) for row in rows]
    shape = (-1, height * len(rows), width * len(rows[0]), channels)
    return tf.reshape(tf.concat(lines, axis=2), shape)


def _fitted(maps: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Returns maps cut, or filled up with zeros, below and on the right."""
    return _padded(maps[:, :height, :width], height, width, 0.0)


def _padded(maps: tf.Tensor, height: int, width: int, value: float) -> tf.Tensor:
    below, right = height - maps.shape[1], width - maps.shape[2]
    if not (below or right):
        return maps
    borders = [[0, 0], [0, below], [0, right], [0, 0]]
    return tf.pad(maps, borders, constant_values=tf.cast(value, maps.dtype))
