"""A heatmap for each joint, by an hourglass: https://arxiv.org/abs/1603.06937, narrow and one only.

Down to a small map that sees the whole person, up again with what the way down had at each size.
"""

import keras
from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.layers.blocks import convolution, residual
from dlcv_tf.models.pose.encoder import encoder


def joint_heatmaps(
    input_shape: tuple[int, int, int],
    num_classes: int,
    widths: tuple[int, ...] = (16, 32, 64, 96, 96),
    blocks: int = 1,
    stride: int = 4,
) -> keras.Model:
    """Builds the network that answers where each joint is by a map.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture; sides that the smallest
            stride, 2 to the number of widths, divides.
        num_classes: number of joints.
        widths: filters at strides 2, 4, 8, ...; the way up has the same.
        blocks: residual blocks at each stride on the way down.
        stride: input pixels to a cell of the heatmaps: 2, 4, ...

    Returns:
        Model from (batch, height, width, channels) to
        `{"heatmaps": (batch, height / stride, width / stride, num_classes)}`.

    Raises:
        InputError: sides or a stride that do not fit the widths.
    """
    smallest = 2 ** len(widths)
    if any(side % smallest for side in input_shape[:2]):
        raise InputError(
            f"got pictures of {input_shape[0]}x{input_shape[1]}, expected sides that {smallest} "
            f"divides: the network halves them {len(widths)} times"
        )
    strides = [2**number for number in range(1, len(widths) + 1)]
    if stride not in strides:
        raise InputError(f"got stride={stride}, expected one of {strides}")
    images = keras.Input(input_shape, name="images")
    features = encoder(images, tuple(widths), blocks)
    x = features[-1]
    for number in range(len(widths) - 1, strides.index(stride), -1):
        name, width = f"up{strides[number - 1]}", widths[number - 1]
        x = convolution(x, width, 1, name=f"{name}_narrow")
        x = layers.UpSampling2D(2, interpolation="nearest", name=f"{name}_size")(x)
        lateral = convolution(features[number - 1], width, 1, name=f"{name}_lateral")
        x = layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, lateral]))
        x = residual(x, width, name=f"{name}_block")
    heatmaps = layers.Conv2D(
        num_classes,
        1,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
        name="heatmaps",
    )(x)
    return keras.Model(images, {"heatmaps": heatmaps}, name="joint_heatmaps")
