"""The linear classifier f(x) = W x + b on raw pixels."""

import keras
import numpy as np
from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.losses import regularize


def linear(
    input_shape: tuple[int, ...],
    num_classes: int,
    use_bias: bool = True,
    l1: float = 0.0,
    l2: float = 0.0,
) -> keras.Model:
    """Builds the linear classifier: one score per class, one template per class.

    The weights start at zero, so the first softmax loss is log(num_classes) exactly, and the first
    hinge loss num_classes - 1.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture, or the shape of any
            other example.
        num_classes: number of scores.
        use_bias: add one number to each class's score, whatever the picture.
        l1: factor of the penalty sum of |W|, added to the loss.
        l2: factor of the penalty sum of W^2, added to the loss; no factor 1/2.

    Returns:
        Model from (batch, *input_shape) to `{"logits": (batch, num_classes)}`.
    """
    images = keras.Input(input_shape, name="images")
    pixels = layers.Flatten(name="pixels")(images)
    logits = layers.Dense(
        num_classes,
        use_bias=use_bias,
        kernel_initializer="zeros",
        kernel_regularizer=regularize.regularizer(l1, l2) if l1 or l2 else None,
        name="logits",
    )(pixels)
    return keras.Model(images, {"logits": logits}, name="linear")


def templates(network: keras.Model) -> np.ndarray:
    """Returns the weights of a linear classifier as pictures, one for each class.

    A class's score is the inner product of the picture with its template, so the template is the
    picture of its own size that scores highest: bright where the class tends to be bright, dark
    where it tends to be dark.

    Args:
        network: a model that `linear` has made for pictures.

    Returns:
        (classes, height, width, channels) uint8 pictures; each has its lowest weight at 0 and its
        highest at 255. Weights that are all the same give middle grey.

    Raises:
        InputError: the network has other layers between picture and scores, or takes no pictures.
    """
    shape = network.input_shape[1:]
    kinds = [type(layer) for layer in network.layers]
    if kinds != [layers.InputLayer, layers.Flatten, layers.Dense] or len(shape) != 3:
        raise InputError(
            f"got the network {network.name} on inputs of shape {shape}, expected one by "
            "models.linear on pictures (height, width, channels): others have no template per class"
        )
    weights = np.asarray(network.get_layer("logits").kernel).T  # (classes, pixels)
    low, high = weights.min(1, keepdims=True), weights.max(1, keepdims=True)
    flat = high == low
    scaled = np.where(flat, 0.5, (weights - low) / np.where(flat, 1, high - low))
    return np.round(255 * scaled).astype(np.uint8).reshape(-1, *shape)
