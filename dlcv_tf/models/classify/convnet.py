"""A LeNet-style convolutional network (LeCun et al. 1998) with today's parts.

Convolution, ReLU and max pooling twice, then fully connected layers; batch norm and dropout are
what LeNet-5 did not have yet.
"""

import keras
from keras import layers

from dlcv_tf.models.classify.scores import scores


def convnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    filters: tuple[int, ...] = (32, 64),
    hidden_units: int = 128,
    dropout: float = 0.5,
) -> keras.Model:
    """Builds conv-pool stages and a fully connected head.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: number of scores.
        filters: 5x5 filters of each stage; each stage halves the picture.
        hidden_units: width of the fully connected layer.
        dropout: probability of DROPPING a unit before the last layer (inverted dropout).

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, num_classes)}`.
    """
    images = keras.Input(input_shape, name="images")
    x = images
    for number, width in enumerate(filters, 1):
        x = layers.Conv2D(width, 5, padding="same", use_bias=False, name=f"conv{number}")(x)
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"norm{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        x = layers.MaxPooling2D(2, padding="same", name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(hidden_units, activation="relu", name="hidden")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    return keras.Model(images, {"logits": scores(x, num_classes)}, name="convnet")
