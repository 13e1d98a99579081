"""The linear classifier f(x) = W x + b on raw pixels."""

import keras
from keras import layers


def linear(input_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Builds the linear classifier: one score per class, one template per class.

    The weights start at zero, so the first softmax loss is log(num_classes) exactly.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: number of scores.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, num_classes)}`.
    """
    images = keras.Input(input_shape, name="images")
    pixels = layers.Flatten(name="pixels")(images)
    logits = layers.Dense(num_classes, kernel_initializer="zeros", name="logits")(pixels)
    return keras.Model(images, {"logits": logits}, name="linear")
