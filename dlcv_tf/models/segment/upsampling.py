"""Twice as large: the five ways, as one step of any decoder."""

from keras import layers

from dlcv_tf.errors import unknown
from dlcv_tf.layers import unpooling

UPSAMPLINGS = (
    "nearest",
    "bed_of_nails",
    "max_unpooling",
    "bilinear",
    "transposed_convolution",
)


def check(upsampling: str) -> None:
    """Raises an InputError for a way that does not exist."""
    if upsampling not in UPSAMPLINGS:
        raise unknown("upsampling", upsampling, UPSAMPLINGS)


def pool(x, upsampling: str, name: str):
    """Halves maps by 2x2 max pooling, odd sizes rounded up; keeps what the way back needs.

    Args:
        x: (batch, height, width, channels).
        upsampling: one of `UPSAMPLINGS`.
        name: of the layer.

    Returns:
        The pooled maps, and the switches or None.
    """
    if upsampling == "max_unpooling":
        return unpooling.MaxPoolWithSwitches(name=name)(x)
    return layers.MaxPooling2D(2, padding="same", name=name)(x), None


def unpool(x, upsampling: str, size, switches, name: str):
    """Doubles maps without weights, cut to the size they had before pooling.

    Args:
        x: (batch, half height, half width, channels).
        upsampling: one of `UPSAMPLINGS` but the transposed convolution.
        size: (height, width) before pooling.
        switches: of `pool`; their channels are those of `x`.
        name: of the layer.
    """
    if upsampling == "max_unpooling":
        return unpooling.MaxUnpool(name=name)(x, switches)
    ways = {"nearest": unpooling.NearestUnpool, "bed_of_nails": unpooling.BedOfNails}
    if upsampling in ways:
        x = ways[upsampling](name=name)(x)
    else:
        x = layers.UpSampling2D(interpolation="bilinear", name=name)(x)
    return cut(x, size, name=f"{name}_cut")


def cut(x, size, name: str):
    """Returns maps without the last rows and columns that are more than `size`."""
    below, right = (max(0, x.shape[axis + 1] - size[axis]) for axis in (0, 1))
    if not (below or right):
        return x
    return layers.Cropping2D(((0, below), (0, right)), name=name)(x)
