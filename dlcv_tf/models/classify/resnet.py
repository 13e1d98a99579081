"""Residual networks, https://arxiv.org/abs/1512.03385: for small (CIFAR) and large pictures.

Endpoints `c2` ... `c5` (large) and `c2` ... `c4` (small) are named layers, so that detectors and
explainers fetch them with `model.get_layer("c4")`.
"""

import keras
from keras import layers

from dlcv_tf.layers import blocks
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
    counts, bottleneck = LARGE_DEPTHS[depth]
    images = keras.Input(input_shape, name="images")
    x = blocks.convolution_relu(images, width, 7, stride=2, name="stem")
    x = layers.ZeroPadding2D(1, name="pool_pad")(x)  # ReLU output: zero is its minimum
    x = layers.MaxPooling2D(3, strides=2, name="pool")(x)
    dilation = 1
    for stage, count in enumerate(counts):
        strided = stage > 0 and 2 ** (stage + 2) <= output_stride
        dilated = stage > 0 and not strided
        for block in range(count):
            x = blocks.residual(
                x,
                width * 2**stage,
                stride=2 if strided and block == 0 else 1,
                dilation_rate=2 * dilation if dilated and block > 0 else dilation,
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
    x = blocks.convolution_relu(images, width, name="stem")
    for stage in range(3):
        for block in range(SMALL_DEPTHS[depth]):
            x = blocks.residual(
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
