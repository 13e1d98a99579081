"""Kinds of layers, by what they do to places: Keras's own and ours.

A layer that is in none of these tables is not known: a summary then says so. One line here is all
that a new layer needs.
"""

import math
from collections.abc import Iterator, Sequence

from keras import layers

from dlcv_tf import layers as own

CONVOLUTIONS = (
    *(layers.Conv1D, layers.Conv2D, layers.Conv3D),
    *(layers.DepthwiseConv1D, layers.DepthwiseConv2D),
    *(layers.SeparableConv1D, layers.SeparableConv2D, own.Convolution),
)
TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
POOLINGS = (
    *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
    *(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
    *(own.MaxPool, own.AveragePool, own.SoftPool, own.MaxPoolWithSwitches),
)
WINDOWED = CONVOLUTIONS + POOLINGS
UPSAMPLINGS = (
    *(layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D),
    *(own.NearestUnpool, own.BedOfNails),
)
PADDINGS = (layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
CROPPINGS = (layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)

# Products of each place's channels, or of all that comes in, with a matrix.
FULLY_CONNECTED = (layers.Dense, own.Affine, own.Maxout)
RECURRENT = (layers.LSTM, layers.GRU, layers.SimpleRNN)
BATCH_NORMS = own.BATCH_NORMS
VIEWS = (layers.Flatten, layers.Reshape, layers.Identity)  # they hold no numbers of their own

# Layers whose outputs see all places of their input, as do all that leave no places.
GLOBAL = (
    *(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
    *(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D),
    *(layers.Reshape, layers.RNN, layers.Bidirectional, layers.MultiHeadAttention),
    *(own.Resize, own.WindowBoxes),
)
# Layers that keep the places apart: each output sees what the input at its place does.
POINTWISE = (
    *(layers.Dense, layers.Activation, layers.ReLU, layers.LeakyReLU, layers.PReLU, layers.ELU),
    *(layers.Softmax, layers.LayerNormalization, own.LocalResponseNorm, *BATCH_NORMS),
    *(layers.Identity, layers.Rescaling, layers.Normalization, layers.Embedding, layers.Masking),
    *(layers.Dropout, layers.GaussianDropout, layers.GaussianNoise, layers.AlphaDropout),
    *(layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D, own.Dropout),
    *(layers.Add, layers.Subtract, layers.Multiply, layers.Average, layers.Maximum, layers.Minimum),
    *(own.Sigmoid, own.Tanh, own.ReLU, own.LeakyReLU, own.PReLU, own.ELU, own.MaxUnpool),
)
# Names of `keras.ops` that do, too.
POINTWISE_OPERATIONS = frozenset(
    "Abs Add Cast Clip Divide Elu Exp Gelu HardSigmoid HardSwish HardTanh LeakyRelu Log LogSigmoid "
    "Maximum Minimum Mod Multiply Negative Power Reciprocal Relu Relu6 Rsqrt Selu Sigmoid Sign "
    "Silu Softplus Softsign Sqrt Square Subtract Tanh TrueDivide Where".split()
)


def is_pointwise(operation) -> bool:
    """Says whether each output sees what the input at its place does, and no more."""
    return isinstance(operation, POINTWISE) or type(operation).__name__ in POINTWISE_OPERATIONS


def windows(layer, sizes: Sequence[int]) -> Iterator[tuple[int, int, int, int]]:
    """Gives the window of a convolution or pooling along each axis.

    Args:
        layer: one of `WINDOWED`.
        sizes: of its input's axes between batch and channels.

    Returns:
        For each axis: taps, stride, dilation, and padding at the low end, in pixels.
    """
    count = len(sizes)
    taps = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    taps, strides = (taps, layer.strides) if taps else (layer.size, layer.stride)
    dilation = getattr(layer, "dilation_rate", 1)
    padding = getattr(layer, "padding", "valid")
    each_axis = (for_each(value, count) for value in (taps, strides, dilation))
    for size, kernel, stride, step in zip(sizes, *each_axis, strict=True):
        span = (kernel - 1) * step + 1
        yield kernel, stride, step, _before(padding, size, span, stride)


def for_each(value, count: int) -> tuple[int, ...]:
    """Returns a value for each axis, of a tuple or of one number for all."""
    return (value,) * count if isinstance(value, int) else tuple(value)


def _before(padding: str | int, size: int, span: int, stride: int) -> int:
    """Returns the padding at the low end; TensorFlow's "same" puts an odd pixel at the high end."""
    if isinstance(padding, int):
        return padding
    if padding == "valid":
        return 0
    if padding == "causal":
        return span - 1
    return max((math.ceil(size / stride) - 1) * stride + span - size, 0) // 2
