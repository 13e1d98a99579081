"""Features made by hand, as layers: histograms of gradient orientations and of hues.

What pictures were classified by before networks learned their own features. Both histograms are
differences of cumulative counts: comparisons and sums, which every export format can run.
"""

import math

import keras
import tensorflow as tf

from dlcv_tf.errors import InputError

LUMA = (0.299, 0.587, 0.114)  # ITU-R 601-2
SLACK = 1e-6  # of an angle in radians or a hue: rounding, another in every runtime, decides nothing
SMALLEST_SQUARE = 1e-30  # under a square root, whose slope at 0 is infinite


@keras.saving.register_keras_serializable(package="dlcv_tf")
class HOG(keras.layers.Layer):
    """Histogram of oriented gradients: which edges each cell of the picture has.

    The grey picture's gradient is the difference to the right and lower neighbour, zero at the last
    column and row. An edge runs across its gradient, so its angle is the gradient's plus 90
    degrees, in [0, 180). Each cell is a histogram of these angles, in which a pixel counts by the
    length of its gradient, divided by the number of pixels. Histograms are not normalised over
    blocks of cells, as in CS231n's variant and unlike the paper's.

    Args:
        cell: side of a cell, pixels; rows and columns left over beneath and on the right do not
            count.
        bins: angles told apart, from 0 to 180 degrees.
        fold: count a gradient to the left as its opposite, which has the same edge. CS231n's code
            drops it (False), and with it half of the edges.

    Input shape: (batch, height, width, 1 or 3); RGB becomes grey by ITU-R 601.
    Output shape: (batch, height // cell * (width // cell) * bins).

    Reference: Dalal and Triggs, "Histograms of oriented gradients for human detection", 2005;
    CS231n, assignment 1, `features.py`.
    """

    def __init__(self, cell=8, bins=9, fold=True, **kwargs):
        super().__init__(**kwargs)
        if cell < 1 or bins < 1:
            raise InputError(f"got cell={cell} and bins={bins}, expected 1 or more of each")
        self.cell, self.bins, self.fold = cell, bins, fold

    def compute_output_shape(self, input_shape):
        if len(input_shape) != 4 or None in input_shape[1:3]:
            raise InputError(
                f"got pictures of shape {tuple(input_shape)}, expected (batch, height, width, 1 or "
                "3) of known height and width: resize them to one size"
            )
        batch, height, width, channels = input_shape
        if channels not in (1, 3) or min(height, width) < self.cell:
            raise InputError(
                f"got pictures of {height}x{width} pixels in {channels} channels, expected grey or "
                f"RGB of {self.cell}x{self.cell} or more: give a smaller cell, or larger pictures"
            )
        return batch, (height // self.cell) * (width // self.cell) * self.bins

    def call(self, images):
        size = self.compute_output_shape(images.shape)[1]
        images = tf.cast(images, _exact(self.compute_dtype))
        right = _grey(tf.concat([images[:, :, 1:], images[:, :, -1:]], axis=2) - images)
        down = _grey(tf.concat([images[:, 1:], images[:, -1:]], axis=1) - images)
        lengths = tf.sqrt(tf.maximum(right**2 + down**2, SMALLEST_SQUARE))
        slack = SLACK * lengths
        if self.fold:
            leftward = (right < -slack) | ((right <= slack) & (down > 0))
            right, down = tf.where(leftward, -right, right), tf.where(leftward, -down, down)
        else:
            lengths *= tf.cast(right > slack, lengths.dtype)
        angles = [math.pi * number / self.bins for number in range(self.bins)]
        cosines = tf.constant([math.cos(angle) for angle in angles], images.dtype)
        sines = tf.constant([math.sin(angle) for angle in angles], images.dtype)
        # The length times the sine of what the edge's angle has above a bin's lowest: not negative
        # from there on.
        reached = tf.cast(right * cosines + down * sines >= -slack, images.dtype)
        counts = _differences(lengths * reached)  # (batch, height, width, bins)
        cells = tf.nn.avg_pool2d(counts, self.cell, self.cell, "VALID")
        return tf.cast(tf.reshape(cells, (-1, size)), self.compute_dtype)

    def get_config(self):
        return super().get_config() | {"cell": self.cell, "bins": self.bins, "fold": self.fold}


@keras.saving.register_keras_serializable(package="dlcv_tf")
class HueHistogram(keras.layers.Layer):
    """Histogram of the hues of a picture: the part of its pixels that has each colour.

    The hue is that of HSV, in [0, 1): red 0, green 1/3, blue 2/3. Grey has hue 0.

    Args:
        bins: hues told apart; CS231n's variant has ten.

    Input shape: (batch, height, width, 3), RGB of any scale that begins at 0.
    Output shape: (batch, bins), parts that sum to one.

    Reference: CS231n, assignment 1, `features.py`.
    """

    def __init__(self, bins=10, **kwargs):
        super().__init__(**kwargs)
        if bins < 1:
            raise InputError(f"got bins={bins}, expected 1 or more")
        self.bins = bins

    def compute_output_shape(self, input_shape):
        if input_shape[-1] != 3:
            raise InputError(f"got pictures of {input_shape[-1]} channel(s), expected 3: RGB")
        return input_shape[0], self.bins

    def call(self, images):
        self.compute_output_shape(images.shape)
        images = tf.cast(images, _exact(self.compute_dtype))
        edges = [number / self.bins - SLACK for number in range(self.bins)]
        reached = _hues(images) >= tf.constant(edges, images.dtype)  # (batch, height, width, bins)
        parts = _differences(tf.reduce_mean(tf.cast(reached, images.dtype), axis=(1, 2)))
        return tf.cast(parts, self.compute_dtype)

    def get_config(self):
        return super().get_config() | {"bins": self.bins}


def _exact(dtype: str) -> str:
    """Returns what to compute in: half precision overflows at the squares of pixels."""
    return "float64" if dtype == "float64" else "float32"


def _grey(colours: tf.Tensor) -> tf.Tensor:
    """Returns (..., 1) luma of (..., 3) colours, or of their differences; grey stays as it is."""
    if colours.shape[-1] == 1:
        return colours
    return tf.reduce_sum(colours * tf.constant(LUMA, colours.dtype), axis=-1, keepdims=True)


def _differences(reached: tf.Tensor) -> tf.Tensor:
    """Returns what each bin holds, from how much reaches its lower edge: less what the next has."""
    beyond = tf.concat([reached[..., 1:], tf.zeros_like(reached[..., :1])], axis=-1)
    return reached - beyond


def _hues(images: tf.Tensor) -> tf.Tensor:
    """Returns (batch, height, width, 1) hues in [0, 1) of RGB pictures."""
    red, green, blue = (images[..., channel : channel + 1] for channel in range(3))
    most = tf.reduce_max(images, axis=-1, keepdims=True)
    spread = most - tf.reduce_min(images, axis=-1, keepdims=True)
    scale = tf.where(spread > 0, spread, tf.ones_like(spread))
    sixths = tf.where(
        red == most,
        (green - blue) / scale,
        tf.where(green == most, (blue - red) / scale + 2, (red - green) / scale + 4),
    )
    return tf.where(sixths < 0, sixths + 6, sixths) / 6
