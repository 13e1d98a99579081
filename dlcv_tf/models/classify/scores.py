"""The last layer of a classifier."""

import keras
from keras import layers

STDDEV = 0.01


def scores(x, num_classes: int, name: str = "logits", **options):
    """Applies the affine layer that gives each class its score, with small initial weights.

    All scores begin near zero, so that the first softmax loss is log(num_classes), as it should be:
    a network that starts with opinions has to unlearn them first.

    Args:
        x: (batch, features).
        num_classes: number of scores.
        name: of the layer.
        options: of `keras.layers.Dense`.

    Returns:
        (batch, num_classes) scores.
    """
    small = keras.initializers.RandomNormal(stddev=STDDEV)
    return layers.Dense(num_classes, kernel_initializer=small, name=name, **options)(x)
