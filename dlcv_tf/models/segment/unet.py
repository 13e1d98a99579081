"""U-Net, https://arxiv.org/abs/1505.04597: as in the paper, and one that works at half the size."""

import keras
from keras import layers, ops

from dlcv_tf.errors import InputError, unknown
from dlcv_tf.models.segment import upsampling as ways
from dlcv_tf.models.segment.blocks import convolution, pixel_scores

PADDINGS = ("same", "valid", "mirror")


def unet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    width: int = 64,
    levels: int = 5,
    padding: str = "same",
    upsampling: str = "transposed_convolution",
    batch_norm: bool = False,
    head_width: int = 0,
) -> keras.Model:
    """Builds the U-Net of the paper: on each level two convolutions down and two up.

    Maps of the way down are laid beside those of the way up: what says where to what says what.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: scores of each pixel.
        width: filters of the first level; each later level doubles them. 64 in the paper.
        levels: of the U; the maps are halved one time less.
        padding: of the 3x3 convolutions. "valid" is the paper's: no zeros come in and the logits
            are of the middle of the picture alone (572x572 gives 388x388). "mirror" gives the
            picture mirrored borders before that, so that every pixel has its logits: the paper's
            overlap-tile with one tile. "same": zeros at the borders, any picture size.
        upsampling: one of `upsampling.UPSAMPLINGS`; a 2x2 convolution goes with those that have no
            weights, so that all have as many parameters. The paper's is the transposed convolution.
        batch_norm: normalise after each 3x3 convolution, which the paper does not.
        head_width: filters of one more 3x3 convolution before the scores, as some published codes
            have it; 0 for none.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, height, width,
        num_classes)}`; smaller with "valid".

    Raises:
        InputError: picture sizes that "valid" and "mirror" cannot halve evenly.
    """
    ways.check(upsampling)
    if padding not in PADDINGS:
        raise unknown("padding", padding, PADDINGS)
    images = keras.Input(input_shape, name="images")
    x = images
    if padding == "mirror":
        x = _mirrored(x, levels)
    if padding != "same":
        _check_halves(x.shape[1:3], levels)
    options = {"padding": "same" if padding == "same" else "valid", "batch_norm": batch_norm}
    skips = []
    for level in range(levels):
        name = f"down{level + 1}"
        x = convolution(x, width * 2**level, f"{name}_conv1", **options)
        x = convolution(x, width * 2**level, f"{name}_conv2", **options)
        if level < levels - 1:
            pooled, switches = ways.pool(x, upsampling, f"{name}_pool")
            skips.append((x, switches))
            x = pooled
    for level in reversed(range(levels - 1)):
        name, (skip, switches) = f"up{level + 1}", skips[level]
        x = _up_convolution(x, width * 2**level, upsampling, skip, switches, name)
        x = layers.Concatenate(name=f"{name}_beside")([_middle(skip, x.shape, name), x])
        x = convolution(x, width * 2**level, f"{name}_conv1", **options)
        x = convolution(x, width * 2**level, f"{name}_conv2", **options)
    if padding == "mirror":
        x = ways.cut(x, input_shape[:2], name="unmirror")
    if head_width:
        x = convolution(x, head_width, "head", batch_norm=batch_norm)
    return keras.Model(images, {"logits": pixel_scores(x, num_classes)}, name="unet")


def strided_unet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    filters: tuple[int, ...] = (16, 32, 48, 64, 96),
    upsampling: str = "bilinear",
) -> keras.Model:
    """Builds a U-Net for small machines: its first level has half the height and width.

    A strided convolution comes first, 1x1 convolutions make maps fewer before they become larger,
    and batch normalisation follows each 3x3 convolution. The logits are at half the size; a
    `Segmenter` interpolates them. A quarter of the work of `unet` with as many filters.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture, even.
        num_classes: scores of each pixel.
        filters: of the levels, from the largest maps to the smallest.
        upsampling: one of `upsampling.UPSAMPLINGS`.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, height / 2, width / 2,
        num_classes)}`.
    """
    ways.check(upsampling)
    if input_shape[0] % 2 or input_shape[1] % 2:
        raise InputError(
            f"got pictures of {input_shape[0]}x{input_shape[1]} pixels, expected even sides: "
            "change image_size"
        )
    images = keras.Input(input_shape, name="images")
    x = convolution(images, filters[0], "stem", stride=2)
    skips = []
    for level, width in enumerate(filters):
        name = f"down{level + 1}"
        if level:  # the stem was the first convolution of the first level
            x = convolution(x, width, f"{name}_conv1")
        x = convolution(x, width, f"{name}_conv2")
        if level < len(filters) - 1:
            pooled, switches = ways.pool(x, upsampling, f"{name}_pool")
            skips.append((x, switches))
            x = pooled
    for level in reversed(range(len(skips))):
        name, width, (skip, switches) = f"up{level + 1}", filters[level], skips[level]
        if upsampling == "transposed_convolution":
            x = layers.Conv2DTranspose(width, 2, strides=2, name=f"{name}_larger")(x)
            x = ways.cut(x, skip.shape[1:3], name=f"{name}_cut")
        else:
            x = layers.Conv2D(width, 1, name=f"{name}_fewer")(x)
            x = ways.unpool(x, upsampling, skip.shape[1:3], switches, f"{name}_larger")
        x = layers.Concatenate(name=f"{name}_beside")([skip, x])
        x = convolution(x, width, f"{name}_conv1")
        x = convolution(x, width, f"{name}_conv2")
    return keras.Model(images, {"logits": pixel_scores(x, num_classes)}, name="strided_unet")


def _up_convolution(x, filters: int, upsampling: str, skip, switches, name: str):
    """Doubles maps and changes their number: the paper's 2x2 up-convolution, or its like."""
    if upsampling == "transposed_convolution":
        x = layers.Conv2DTranspose(filters, 2, strides=2, activation="relu", name=name)(x)
        return ways.cut(x, skip.shape[1:3], name=f"{name}_cut")
    two_by_two = layers.Conv2D(filters, 2, padding="same", activation="relu", name=name)
    if upsampling == "max_unpooling":  # as many maps as there are switches come first
        size = [None, *(min(2 * x.shape[axis], skip.shape[axis]) for axis in (1, 2))]
        switches = _middle(switches, size, f"{name}_switches")
        return ways.unpool(two_by_two(x), upsampling, size[1:], switches, f"{name}_larger")
    return two_by_two(ways.unpool(x, upsampling, skip.shape[1:3], None, f"{name}_larger"))


def _middle(maps, shape, name: str):
    """Returns the middle of maps of the way down that the smaller ones of the way up are of."""
    below, right = maps.shape[1] - shape[1], maps.shape[2] - shape[2]
    if not (below or right):
        return maps
    borders = ((below // 2, below - below // 2), (right // 2, right - right // 2))
    return layers.Cropping2D(borders, name=f"{name}_middle")(maps)


def _mirrored(images, levels: int):
    """Gives pictures the borders that unpadded convolutions take off, and what halving needs.

    Rows and columns that are more than that come out below and on the right.
    """
    factor = 2 ** (levels - 1)
    lost = 12 * factor - 8  # by the 3x3 convolutions of all levels, in pixels of the picture
    borders = []
    for side in images.shape[1:3]:
        smallest = -(-(side + 4 * (factor - 1)) // factor)  # rows that leave the lowest level
        after = (smallest + 4) * factor + 4 * (factor - 1) - side - lost // 2
        if after >= side:
            raise InputError(
                f"got pictures of {side} pixels for mirrored borders of {after}, expected a border "
                "smaller than the picture: use fewer levels or larger pictures"
            )
        borders.append((lost // 2, after))
    return ops.pad(images, ((0, 0), *borders, (0, 0)), mode="reflect")


def _check_halves(size, levels: int) -> None:
    """Raises an InputError where unpadded maps cannot be halved without leaving pixels out."""
    factor = 2 ** (levels - 1)
    for side in size:
        smallest, left = divmod(side - 4 * (factor - 1), factor)
        if left or smallest * factor - 8 * factor + 4 < 1 or smallest <= 4:
            good = [n * factor + 4 * (factor - 1) for n in range(5, side // factor + 20)]
            good = [n for n in good if n - 12 * factor + 8 > 0]
            closest = min(good, key=lambda n: abs(n - side))
            raise InputError(
                f"got pictures of {side} pixels for {levels} levels without padding, expected maps "
                f"that halve evenly and a middle that is left, such as {closest}: change image_size"
                ' or use padding="mirror" or "same"'
            )
