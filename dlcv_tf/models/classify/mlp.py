"""The fully connected network: affine layers with ReLU between them."""

import keras
from keras import layers


def mlp(
    input_shape: tuple[int, int, int],
    num_classes: int,
    hidden_units: tuple[int, ...] = (256, 128),
    dropout: float = 0.0,
) -> keras.Model:
    """Builds a multi-layer perceptron on raw pixels, with He initialisation.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: number of scores.
        hidden_units: width of each hidden layer.
        dropout: probability of DROPPING a hidden unit in training (inverted dropout).

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, num_classes)}`.
    """
    images = keras.Input(input_shape, name="images")
    x = layers.Flatten(name="pixels")(images)
    for number, units in enumerate(hidden_units, 1):
        x = layers.Dense(
            units, activation="relu", kernel_initializer="he_normal", name=f"hidden{number}"
        )(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout{number}")(x)
    logits = layers.Dense(num_classes, name="logits")(x)
    return keras.Model(images, {"logits": logits}, name="mlp")
