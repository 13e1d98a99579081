"""SegNet, https://arxiv.org/abs/1511.00561: a decoder that knows where each maximum was."""

import keras
from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.models.segment import upsampling as ways
from dlcv_tf.models.segment.blocks import convolution, pixel_scores

# Of the paper: the thirteen convolutions of VGG-16.
VGG16_FILTERS = (64, 128, 256, 512, 512)
VGG16_DEPTHS = (2, 2, 3, 3, 3)


def segnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    filters: tuple[int, ...] = VGG16_FILTERS,
    depths: tuple[int, ...] = VGG16_DEPTHS,
    upsampling: str = "max_unpooling",
    stride: int = 1,
) -> keras.Model:
    """Builds an encoder of convolutions and pooling, and a decoder that is its mirror image.

    Nothing of the way down reaches the way up but the places of the maxima ("max_unpooling"), or
    not even that. The paper's bilinear and transposed relatives are `upsampling` too.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: scores of each pixel.
        filters: of the encoder's levels.
        depths: convolutions of each level.
        upsampling: one of `upsampling.UPSAMPLINGS`.
        stride: of the first convolution: 1 as in the paper; 2 makes all maps, and the logits, half
            as high and wide, for a quarter of the work.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, height / stride, width /
        stride, num_classes)}`.
    """
    ways.check(upsampling)
    if len(filters) != len(depths) or not filters or min(depths) < 1:
        raise InputError(
            f"got filters={filters} and depths={depths}, expected as many of both, and at least "
            "one convolution on each level"
        )
    if input_shape[0] % stride or input_shape[1] % stride:
        raise InputError(
            f"got pictures of {input_shape[0]}x{input_shape[1]} pixels, expected sides that can be "
            f"divided by stride={stride}: change image_size"
        )
    images = keras.Input(input_shape, name="images")
    x, pools = images, []
    for level, (width, depth) in enumerate(zip(filters, depths, strict=True), start=1):
        for number in range(1, depth + 1):
            step = stride if level == number == 1 else 1
            x = convolution(x, width, f"down{level}_conv{number}", stride=step)
        size = x.shape[1:3]
        x, switches = ways.pool(x, upsampling, f"down{level}_pool")
        pools.append((size, switches))
    for level in range(len(filters), 0, -1):
        size, switches = pools[level - 1]
        if upsampling == "transposed_convolution":
            x = layers.Conv2DTranspose(x.shape[-1], 2, strides=2, name=f"up{level}_larger")(x)
            x = ways.cut(x, size, name=f"up{level}_cut")
        else:
            x = ways.unpool(x, upsampling, size, switches, f"up{level}_larger")
        # The last convolution of a level has as many maps as the level before has switches.
        last = filters[max(level - 2, 0)]
        for number in range(1, depths[level - 1] + 1):
            width = last if number == depths[level - 1] else filters[level - 1]
            x = convolution(x, width, f"up{level}_conv{number}")
    return keras.Model(images, {"logits": pixel_scores(x, num_classes)}, name="segnet")
