"""Fully convolutional networks, https://arxiv.org/abs/1411.4038: a classifier made to slide."""

import keras
from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.layers.unpooling import BilinearKernel
from dlcv_tf.models.classify.resnet import large_resnet
from dlcv_tf.models.segment import upsampling as ways
from dlcv_tf.models.segment.blocks import convolution, pixel_scores

DEPTHS = (2, 2, 3, 3, 3)  # convolutions before each pooling of VGG-16
STRIDES = (8, 16, 32)
UPSAMPLINGS = ("bilinear", "transposed_convolution", "nearest")


def fcn(
    input_shape: tuple[int, int, int],
    num_classes: int,
    stride: int,
    width: int = 64,
    head_width: int | None = None,
    upsampling: str = "transposed_convolution",
    batch_norm: bool = True,
) -> keras.Model:
    """Builds VGG-16 whose fully connected layers are convolutions, and upsamples its scores.

    The scores of the last maps, each of 32x32 pixels, are made twice as large and added to those of
    earlier, finer maps until one is of `stride` pixels; what is left is one upsampling.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: scores of each pixel.
        stride: pixels between the finest scores: 32, 16 or 8.
        width: filters of the first level; each later one doubles them, up to eight times.
        head_width: filters of the convolutions that were fully connected; 64 times the width (4096
            in the paper) by default.
        upsampling: "transposed_convolution" begins as bilinear interpolation and is trained;
            "bilinear" and "nearest" are fixed.
        batch_norm: normalise after each convolution, which the paper does not.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, height, width,
        num_classes)}`.
    """
    _check_upsampling(upsampling)
    if stride not in STRIDES:
        raise InputError(f"got stride={stride}, expected one of {', '.join(map(str, STRIDES))}")
    images = keras.Input(input_shape, name="images")
    x, maps = images, {}
    for level, depth in enumerate(DEPTHS):
        for number in range(1, depth + 1):
            filters = width * min(2**level, 8)
            x = convolution(x, filters, f"conv{level + 1}_{number}", batch_norm=batch_norm)
        x = layers.MaxPooling2D(2, padding="same", name=f"pool{level + 1}")(x)
        maps[2 ** (level + 1)] = x
    hidden = 64 * width if head_width is None else head_width
    x = convolution(x, hidden, "conv6", size=7, batch_norm=batch_norm)
    x = convolution(x, hidden, "conv7", size=1, batch_norm=batch_norm)
    scores = pixel_scores(x, num_classes, "score32")
    reached = 32
    while reached > stride:
        reached //= 2
        scores = _larger(scores, 2, maps[reached].shape[1:3], upsampling, f"score{reached}_larger")
        finer = pixel_scores(maps[reached], num_classes, f"score{reached}")
        scores = layers.Add(name=f"score{reached}_sum")([scores, finer])
    scores = _larger(scores, stride, input_shape[:2], upsampling, "larger")
    logits = layers.Identity(name="logits")(scores)
    return keras.Model(images, {"logits": logits}, name=f"fcn{stride}s")


def _larger(scores, factor: int, size, upsampling: str, name: str):
    """Makes scores larger by a factor, cut to a size."""
    if upsampling == "transposed_convolution":
        scores = layers.Conv2DTranspose(
            scores.shape[-1],
            2 * factor,
            strides=factor,
            padding="same",
            use_bias=False,
            kernel_initializer=BilinearKernel(),
            name=name,
        )(scores)
    else:
        scores = layers.UpSampling2D(factor, interpolation=upsampling, name=name)(scores)
    return ways.cut(scores, size, name=f"{name}_cut")


def fcn32s(
    input_shape: tuple[int, int, int],
    num_classes: int,
    width: int = 64,
    head_width: int | None = None,
    upsampling: str = "transposed_convolution",
    batch_norm: bool = True,
) -> keras.Model:
    """Builds FCN-32s: one upsampling of the coarsest scores; see `fcn`."""
    options = (width, head_width, upsampling, batch_norm)
    return fcn(input_shape, num_classes, 32, *options)


def fcn16s(
    input_shape: tuple[int, int, int],
    num_classes: int,
    width: int = 64,
    head_width: int | None = None,
    upsampling: str = "transposed_convolution",
    batch_norm: bool = True,
) -> keras.Model:
    """Builds FCN-16s: scores of pool 4 too; see `fcn`."""
    options = (width, head_width, upsampling, batch_norm)
    return fcn(input_shape, num_classes, 16, *options)


def fcn8s(
    input_shape: tuple[int, int, int],
    num_classes: int,
    width: int = 64,
    head_width: int | None = None,
    upsampling: str = "transposed_convolution",
    batch_norm: bool = True,
) -> keras.Model:
    """Builds FCN-8s: scores of pools 4 and 3 too; see `fcn`."""
    options = (width, head_width, upsampling, batch_norm)
    return fcn(input_shape, num_classes, 8, *options)


def fcn_resnet50(
    input_shape: tuple[int, int, int],
    num_classes: int,
    width: int = 64,
    upsampling: str = "bilinear",
    auxiliary: bool = False,
) -> keras.Model:
    """Builds torchvision's form: ResNet-50 that stays at an eighth of the size, and one 3x3 head.

    The last two stages are dilated in the place of their strides: they see as far, and keep places.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture; 32 pixels or more.
        num_classes: scores of each pixel.
        width: filters of the first stage.
        upsampling: "bilinear", "nearest" or "transposed_convolution", from an eighth of the size.
        auxiliary: a second head on the stage before the last, as a training aid.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, height, width,
        num_classes)}`, and `auxiliary` alike where asked for.
    """
    _check_upsampling(upsampling)
    backbone = large_resnet(input_shape, 1, depth=50, width=width, output_stride=8)
    heads = {"logits": "c5"} | ({"auxiliary": "c4"} if auxiliary else {})
    outputs = {}
    for name, endpoint in heads.items():
        x = backbone.get_layer(endpoint).output
        x = convolution(x, x.shape[-1] // 4, f"{name}_head")
        x = layers.Dropout(0.1, name=f"{name}_dropout")(x)
        x = pixel_scores(x, num_classes, f"{name}_scores")
        x = _larger(x, 8, input_shape[:2], upsampling, f"{name}_larger")
        outputs[name] = layers.Identity(name=name)(x)
    return keras.Model(backbone.input, outputs, name="fcn_resnet50")


def _check_upsampling(upsampling: str) -> None:
    ways.check(upsampling)
    if upsampling not in UPSAMPLINGS:
        raise InputError(
            f"got upsampling={upsampling!r}, expected one of {', '.join(UPSAMPLINGS)}: scores have "
            "no pooling of their own to undo"
        )
