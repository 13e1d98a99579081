"""Convolutions as the decoders of this folder share them."""

import keras
from keras import layers

from dlcv_tf.layers import blocks


def convolution(x, filters: int, name: str, **options):
    """Adds a convolution, perhaps a batch normalisation, and a ReLU; see `layers.blocks`."""
    options = {"padding": "same", "kernel_initializer": "he_normal"} | options
    return blocks.convolution_relu(x, filters, name=name, **options)


def pixel_scores(x, num_classes: int, name: str = "logits"):
    """Adds the scores of every place, small at first: a training starts from log(classes).

    Args:
        x: (batch, height, width, channels).
        num_classes: scores of a place.
        name: of the layer.
    """
    initializer = keras.initializers.RandomNormal(stddev=0.01)
    return layers.Conv2D(num_classes, 1, kernel_initializer=initializer, name=name)(x)
