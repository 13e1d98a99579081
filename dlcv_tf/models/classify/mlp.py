"""The fully connected network: affine layers with ReLU between them."""

import keras
from keras import layers

from dlcv_tf.losses import regularize
from dlcv_tf.models.classify.scores import scores


def mlp(
    input_shape: tuple[int, ...],
    num_classes: int,
    hidden_units: tuple[int, ...] = (256, 128),
    dropout: float = 0.0,
    batch_norm: bool = False,
    activation: str = "relu",
    l2: float = 0.0,
) -> keras.Model:
    """Builds a multi-layer perceptron on raw pixels, with He initialisation.

    Each hidden layer is affine, batch norm where it is asked for, activation, dropout.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture, or the shape of any
            other example.
        num_classes: number of scores.
        hidden_units: width of each hidden layer.
        dropout: probability of DROPPING a hidden unit in training (inverted dropout).
        batch_norm: normalise each hidden unit over the batch before its activation; momentum 0.9
            (part of the old running statistics that is kept), epsilon 1e-5.
        activation: name of a Keras activation.
        l2: factor of the penalty sum of W^2 over all layers, added to the loss; no factor 1/2.

    Returns:
        Model from (batch, *input_shape) to `{"logits": (batch, num_classes)}`.
    """
    penalty = regularize.regularizer(l2=l2) if l2 else None
    images = keras.Input(input_shape, name="images")
    x = layers.Flatten(name="pixels")(images)
    for number, units in enumerate(hidden_units, 1):
        x = layers.Dense(
            units,
            activation=None if batch_norm else activation,
            use_bias=not batch_norm,  # the shift of batch norm takes its place
            kernel_initializer="he_normal",
            kernel_regularizer=penalty,
            name=f"hidden{number}",
        )(x)
        if batch_norm:
            x = layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=f"norm{number}")(x)
            x = layers.Activation(activation, name=f"activation{number}")(x)
        if dropout:
            x = layers.Dropout(dropout, name=f"dropout{number}")(x)
    logits = scores(x, num_classes, kernel_regularizer=penalty)
    return keras.Model(images, {"logits": logits}, name="mlp")
