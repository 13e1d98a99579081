"""Convolutions as the decoders of this folder share them."""

import keras
from keras import layers

BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-5


def convolution(
    x, filters: int, name: str, *, size=3, stride=1, padding="same", batch_norm=True, dilation=1
):
    """Adds a convolution, He initialised, perhaps a batch normalisation, and a ReLU.

    Args:
        x: (batch, height, width, channels).
        filters: maps that come out.
        name: of the convolution; `_norm` and `_relu` follow it.
        size: height and width of the filters.
        stride: pixels from place to place.
        padding: "same" or "valid".
        batch_norm: normalise; the convolution then has no bias.
        dilation: pixels from weight to weight.
    """
    x = layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding=padding,
        dilation_rate=dilation,
        use_bias=not batch_norm,
        kernel_initializer=keras.initializers.HeNormal(),
        name=name,
    )(x)
    if batch_norm:
        x = layers.BatchNormalization(
            momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=f"{name}_norm"
        )(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def pixel_scores(x, num_classes: int, name: str = "logits"):
    """Adds the scores of every place, small at first: a training starts from log(classes).

    Args:
        x: (batch, height, width, channels).
        num_classes: scores of a place.
        name: of the layer.
    """
    initializer = keras.initializers.RandomNormal(stddev=0.01)
    return layers.Conv2D(num_classes, 1, kernel_initializer=initializer, name=name)(x)
