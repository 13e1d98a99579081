"""Block functions: a convolution with what belongs to it, and the residual block made of them."""

from keras import layers, ops

BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-5
# A description and not an initializer: each layer makes its own.
HE_FAN_OUT = {"class_name": "VarianceScaling", "config": {"scale": 2.0, "mode": "fan_out"}}


def convolution(
    x,
    filters: int,
    size: int = 3,
    *,
    name: str,
    stride: int = 1,
    padding: str = "centred",
    batch_norm: bool = True,
    **options,
):
    """Adds a convolution, He initialised, and batch normalisation.

    Args:
        x: (batch, height, width, channels).
        filters: maps that come out.
        size: height and width of the filters.
        name: of the convolution; `_pad` and `_norm` follow it.
        stride: pixels from place to place.
        padding: "centred", "same" or "valid". They differ where there is a stride: "same" lays
            zeros on one side only, and differently for odd and even sizes; "centred" on both.
        batch_norm: normalise; the convolution then has no bias.
        options: of `keras.layers.Conv2D`.
    """
    if padding == "centred":
        padding = "same"
        if stride != 1 and size != 1:
            x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
            padding = "valid"
    options = {"kernel_initializer": HE_FAN_OUT, "use_bias": not batch_norm} | options
    x = layers.Conv2D(filters, size, stride, padding, name=name, **options)(x)
    return normalised(x, f"{name}_norm") if batch_norm else x


def convolution_relu(x, filters: int, size: int = 3, *, name: str, **options):
    """Adds `convolution` and a ReLU, whose name ends in `_relu`."""
    x = convolution(x, filters, size, name=name, **options)
    return layers.ReLU(name=f"{name}_relu")(x)


def normalised(x, name: str):
    """Adds batch normalisation that keeps nine tenths of its old running statistics."""
    return layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=name
    )(x)


def residual(
    x,
    filters: int,
    *,
    name: str,
    stride: int = 1,
    bottleneck: bool = False,
    projection: bool = True,
    **options,
):
    """Adds a residual block: x + F(x), F of two 3x3 or 1x1-3x3-1x1 convolutions.

    Args:
        x: (batch, height, width, channels).
        filters: of the 3x3 convolutions.
        name: what the names of its layers begin with.
        stride: of its first 3x3 convolution.
        bottleneck: three convolutions, of which the last has four times as many filters.
        projection: where the shape changes, a 1x1 convolution makes x fit; without it, x is
            subsampled and gets channels of zeros.
        options: of the 3x3 convolutions; see `convolution`.

    Reference: He et al., "Deep residual learning", https://arxiv.org/abs/1512.03385.
    """
    out_filters = filters * 4 if bottleneck else filters
    shortcut = x
    if stride != 1 or x.shape[-1] != out_filters:
        if projection:
            shortcut = convolution(x, out_filters, 1, stride=stride, name=f"{name}_shortcut")
        else:
            shortcut = _padded_shortcut(x, out_filters, stride, name=f"{name}_subsample")
    if bottleneck:
        x = layers.ReLU(name=f"{name}_relu1")(convolution(x, filters, 1, name=f"{name}_conv1"))
        x = convolution(x, filters, stride=stride, name=f"{name}_conv2", **options)
        x = layers.ReLU(name=f"{name}_relu2")(x)
        x = convolution(x, out_filters, 1, name=f"{name}_conv3")
    else:
        x = convolution(x, filters, stride=stride, name=f"{name}_conv1", **options)
        x = layers.ReLU(name=f"{name}_relu1")(x)
        x = convolution(x, filters, name=f"{name}_conv2", **options)
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)


def _padded_shortcut(x, filters: int, stride: int, name: str):
    """Subsamples in space and pads new channels with zeros: the paper's option A."""
    if stride != 1:
        # A 1x1 max pool with a stride takes every second pixel; every export format has it.
        x = layers.MaxPooling2D(1, strides=stride, name=name)(x)
    missing = filters - x.shape[-1]
    return ops.pad(x, ((0, 0), (0, 0), (0, 0), (missing // 2, missing - missing // 2)))
