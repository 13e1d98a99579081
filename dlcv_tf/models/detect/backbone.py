"""A plain narrow backbone for detectors: 3x3 convolutions, half the size at each stage."""

from collections.abc import Sequence

from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.layers.blocks import convolution_relu


def plain(images, widths: Sequence[int], depths: Sequence[int]) -> dict[int, object]:
    """Adds stages of 3x3 convolutions with batch norm and ReLU, the first of each with stride 2.

    Args:
        images: (batch, height, width, channels) preprocessed pictures, symbolic.
        widths: filters of each stage.
        depths: convolutions of each stage.

    Returns:
        Stride in pixels (2, 4, 8, ...) to the features of the stage that has it, layers named
        `c1`, `c2`, ...; sizes that are odd are rounded up.

    Raises:
        InputError: there are not as many depths as widths, or one is below 1.
    """
    if len(widths) != len(depths) or not widths or min(*widths, *depths, 1) < 1:
        raise InputError(
            f"got widths={tuple(widths)} and depths={tuple(depths)}, expected one of each per "
            "stage, 1 or more"
        )
    features = {}
    x = images
    for stage, (width, depth) in enumerate(zip(widths, depths, strict=True), start=1):
        for number in range(depth):
            stride = 2 if number == 0 else 1
            x = convolution_relu(x, width, stride=stride, name=f"stage{stage}_{number + 1}")
        x = layers.Identity(name=f"c{stage}")(x)
        features[2**stage] = x
    return features


def chosen(features: dict[int, object], strides: Sequence[int]) -> list:
    """Returns the features at some strides.

    Raises:
        InputError: a stride is none of the backbone's.
    """
    for stride in strides:
        if stride not in features:
            raise InputError(
                f"got a head at stride {stride}, expected some of {sorted(features)}: one for "
                "each stage of the backbone"
            )
    return [features[stride] for stride in strides]
