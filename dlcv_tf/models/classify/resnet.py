"""Residual networks, https://arxiv.org/abs/1512.03385: for small (CIFAR) and large pictures.

Endpoints `c2` ... `c5` (large) and `c2` ... `c4` (small) are named layers, so that detectors and
explainers fetch them with `model.get_layer("c4")`.
"""

import keras
from keras import layers, ops

from dlcv_tf.models.classify.scores import scores

# Blocks per stage, and whether a block is a bottleneck (table 1 of the paper).
LARGE_DEPTHS = {
    18: ((2, 2, 2, 2), False),
    34: ((3, 4, 6, 3), False),
    50: ((3, 4, 6, 3), True),
    101: ((3, 4, 23, 3), True),
    152: ((3, 8, 36, 3), True),
}
# The CIFAR networks have three stages of n blocks: 6n + 2 layers (section 4.2).
SMALL_DEPTHS = {20: 3, 32: 5, 56: 9}

BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-5


def large_resnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    *,
    depth: int,
    width: int = 64,
    output_stride: int = 32,
) -> keras.Model:
    """Builds the ImageNet form: 7x7/2 stem, 3x3/2 max pool, four stages, projection shortcuts.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture; 32 pixels or more.
        num_classes: number of scores.
        depth: 18, 34, 50, 101 or 152.
        width: filters of the first stage; each later stage doubles them.
        output_stride: pixels of the picture between those of `c5`: 32, or 16 or 8, where the last
            one or two stages are dilated in the place of their strides, so that they see as far.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, num_classes)}`.
    """
    blocks, bottleneck = LARGE_DEPTHS[depth]
    images = keras.Input(input_shape, name="images")
    # Explicit padding: TensorFlow's "same" would pad a strided convolution on one side only.
    x = layers.ZeroPadding2D(3, name="stem_pad")(images)
    x = _conv_norm(x, width, 7, stride=2, padding="valid", name="stem")
    x = layers.ReLU(name="stem_relu")(x)
    x = layers.ZeroPadding2D(1, name="pool_pad")(x)  # ReLU output: zero is its minimum
    x = layers.MaxPooling2D(3, strides=2, name="pool")(x)
    dilation = 1
    for stage, count in enumerate(blocks):
        strided = stage > 0 and 2 ** (stage + 2) <= output_stride
        dilated = stage > 0 and not strided
        for block in range(count):
            x = _residual(
                x,
                width * 2**stage,
                stride=2 if strided and block == 0 else 1,
                dilation=2 * dilation if dilated and block > 0 else dilation,
                bottleneck=bottleneck,
                name=f"stage{stage + 2}_block{block + 1}",
            )
        dilation *= 2 if dilated else 1
        x = layers.Identity(name=f"c{stage + 2}")(x)
    return _head(images, x, num_classes, name=f"resnet{depth}")


def small_resnet(
    input_shape: tuple[int, int, int], num_classes: int, *, depth: int, width: int = 16
) -> keras.Model:
    """Builds the CIFAR form: 3x3 stem, three stages, parameter-free shortcuts (option A).

    Args:
        input_shape: (height, width, channels) of the preprocessed picture; 8 pixels or more.
        num_classes: number of scores.
        depth: 20, 32 or 56.
        width: filters of the first stage; each later stage doubles them.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, num_classes)}`.
    """
    images = keras.Input(input_shape, name="images")
    x = _conv_norm(images, width, 3, name="stem")
    x = layers.ReLU(name="stem_relu")(x)
    for stage in range(3):
        for block in range(SMALL_DEPTHS[depth]):
            x = _residual(
                x,
                width * 2**stage,
                stride=2 if stage > 0 and block == 0 else 1,
                projection=False,
                name=f"stage{stage + 2}_block{block + 1}",
            )
        x = layers.Identity(name=f"c{stage + 2}")(x)
    return _head(images, x, num_classes, name=f"resnet{depth}")


def _head(images, x, num_classes: int, name: str) -> keras.Model:
    x = layers.GlobalAveragePooling2D(name="features")(x)
    return keras.Model(images, {"logits": scores(x, num_classes)}, name=name)


def _residual(
    x,
    filters: int,
    *,
    stride: int,
    name: str,
    bottleneck: bool = False,
    projection: bool = True,
    dilation: int = 1,
):
    """Adds a residual block: x + F(x), F of two 3x3 or 1x1-3x3-1x1 convolutions."""
    out_filters = filters * 4 if bottleneck else filters
    shortcut = x
    if stride != 1 or x.shape[-1] != out_filters:
        if projection:
            shortcut = _conv_norm(x, out_filters, 1, stride=stride, name=f"{name}_shortcut")
        else:
            shortcut = _padded_shortcut(x, out_filters, stride, name=f"{name}_subsample")
    if bottleneck:
        x = layers.ReLU(name=f"{name}_relu1")(_conv_norm(x, filters, 1, name=f"{name}_conv1"))
        x = _conv_norm(x, filters, 3, stride=stride, dilation=dilation, name=f"{name}_conv2")
        x = layers.ReLU(name=f"{name}_relu2")(x)
        x = _conv_norm(x, out_filters, 1, name=f"{name}_conv3")
    else:
        x = _conv_norm(x, filters, 3, stride=stride, dilation=dilation, name=f"{name}_conv1")
        x = layers.ReLU(name=f"{name}_relu1")(x)
        x = _conv_norm(x, filters, 3, dilation=dilation, name=f"{name}_conv2")
    x = layers.Add(name=f"{name}_add")([x, shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)


def _padded_shortcut(x, filters: int, stride: int, name: str):
    """Subsamples in space and pads new channels with zeros: the paper's option A."""
    if stride != 1:
        # A 1x1 max pool with a stride takes every second pixel; every export format has it.
        x = layers.MaxPooling2D(1, strides=stride, name=name)(x)
    missing = filters - x.shape[-1]
    return ops.pad(x, ((0, 0), (0, 0), (0, 0), (missing // 2, missing - missing // 2)))


def _conv_norm(
    x, filters: int, size: int, *, name: str, stride: int = 1, padding: str = "same", dilation=1
):
    """Adds a bias-free convolution, He initialised, and batch normalisation."""
    if stride != 1 and size > 1 and padding == "same":
        x = layers.ZeroPadding2D(size // 2, name=f"{name}_pad")(x)
        padding = "valid"
    x = layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding=padding,
        dilation_rate=dilation,
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
        name=name,
    )(x)
    return layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=f"{name}_norm"
    )(x)


def resnet20(input_shape: tuple[int, int, int], num_classes: int, width: int = 16) -> keras.Model:
    """Builds the CIFAR ResNet-20; see `small_resnet`."""
    return small_resnet(input_shape, num_classes, depth=20, width=width)


def resnet32(input_shape: tuple[int, int, int], num_classes: int, width: int = 16) -> keras.Model:
    """Builds the CIFAR ResNet-32; see `small_resnet`."""
    return small_resnet(input_shape, num_classes, depth=32, width=width)


def resnet56(input_shape: tuple[int, int, int], num_classes: int, width: int = 16) -> keras.Model:
    """Builds the CIFAR ResNet-56; see `small_resnet`."""
    return small_resnet(input_shape, num_classes, depth=56, width=width)


def resnet18(input_shape: tuple[int, int, int], num_classes: int, width: int = 64) -> keras.Model:
    """Builds ResNet-18; see `large_resnet`."""
    return large_resnet(input_shape, num_classes, depth=18, width=width)


def resnet34(input_shape: tuple[int, int, int], num_classes: int, width: int = 64) -> keras.Model:
    """Builds ResNet-34; see `large_resnet`."""
    return large_resnet(input_shape, num_classes, depth=34, width=width)


def resnet50(input_shape: tuple[int, int, int], num_classes: int, width: int = 64) -> keras.Model:
    """Builds ResNet-50; see `large_resnet`."""
    return large_resnet(input_shape, num_classes, depth=50, width=width)


def resnet101(input_shape: tuple[int, int, int], num_classes: int, width: int = 64) -> keras.Model:
    """Builds ResNet-101; see `large_resnet`."""
    return large_resnet(input_shape, num_classes, depth=101, width=width)


def resnet152(input_shape: tuple[int, int, int], num_classes: int, width: int = 64) -> keras.Model:
    """Builds ResNet-152; see `large_resnet`."""
    return large_resnet(input_shape, num_classes, depth=152, width=width)
