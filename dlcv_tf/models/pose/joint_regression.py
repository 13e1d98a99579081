"""The place of each joint as two numbers: https://arxiv.org/abs/1312.4659, its first stage."""

import keras
from keras import layers

from dlcv_tf.layers.blocks import normalised
from dlcv_tf.models.pose.encoder import encoder


def joint_regression(
    input_shape: tuple[int, int, int],
    num_classes: int,
    widths: tuple[int, ...] = (16, 32, 64, 96, 96),
    blocks: int = 2,
    hidden_units: int = 128,
    dropout: float = 0.0,
) -> keras.Model:
    """Builds the network that answers where each joint is by its coordinates.

    The encoder of `joint_heatmaps`; its last map is flattened, since an average over all places
    would lose where things are.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: number of joints.
        widths: filters at strides 2, 4, 8, ...
        blocks: residual blocks at each stride.
        hidden_units: of the fully connected layer.
        dropout: probability that a hidden unit is left out of a training step.

    Returns:
        Model from (batch, height, width, channels) to `{"joints": (batch, num_classes, 2),
        "visible": (batch, num_classes)}`: x, y in parts of the picture's sides, 0 to 1 inside of
        it, and the logits of whether a joint is seen.
    """
    images = keras.Input(input_shape, name="images")
    x = layers.Flatten(name="places")(encoder(images, tuple(widths), blocks)[-1])
    x = layers.Dense(hidden_units, use_bias=False, kernel_initializer="he_normal", name="hidden")(x)
    x = layers.ReLU(name="hidden_relu")(normalised(x, "hidden_norm"))
    x = layers.Dropout(dropout, name="dropout")(x)
    small = keras.initializers.RandomNormal(stddev=0.001)
    middle = keras.initializers.Constant(0.5)
    places = layers.Dense(
        num_classes * 2, kernel_initializer=small, bias_initializer=middle, name="coordinates"
    )(x)
    joints = layers.Reshape((num_classes, 2), name="joints")(places)
    visible = layers.Dense(num_classes, kernel_initializer=small, name="visible")(x)
    return keras.Model(images, {"joints": joints, "visible": visible}, name="joint_regression")
