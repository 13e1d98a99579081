"""One thing per picture, named and framed: a classifier's backbone with two heads."""

import keras
from keras import layers

from dlcv_tf.models.classify.scores import scores
from dlcv_tf.models.pose.encoder import encoder

BACKBONE = "backbone"  # the layer that `tasks.Localizer` freezes


def localizer(
    input_shape: tuple[int, int, int],
    num_classes: int,
    widths: tuple[int, ...] = (16, 32, 64, 96),
    blocks: int = 1,
    hidden_units: int = 128,
) -> keras.Model:
    """Builds a network with a head for the class and a head for the box.

    Both start from the last map of a residual encoder, the layer "backbone". The class is read
    from its mean over all places; the box from the map itself, since the mean would lose where
    things are.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: number of classes.
        widths: filters at strides 2, 4, 8, ...
        blocks: residual blocks at each stride.
        hidden_units: of the box head's fully connected layer.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, num_classes), "box":
        (batch, 4)}`: x1, y1, x2, y2 in parts of the picture's sides.
    """
    inputs = keras.Input(input_shape, name="backbone_images")
    features = encoder(inputs, tuple(widths), blocks)[-1]
    backbone = keras.Model(inputs, features, name=BACKBONE)
    images = keras.Input(input_shape, name="images")
    x = backbone(images)
    logits = scores(layers.GlobalAveragePooling2D(name="features")(x), num_classes)
    x = layers.Flatten(name="places")(x)
    x = layers.Dense(
        hidden_units, activation="relu", kernel_initializer="he_normal", name="box_hidden"
    )(x)
    box = layers.Dense(
        4,
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.001),
        bias_initializer=keras.initializers.Constant(0.5),  # the middle of the picture
        name="box",
    )(x)
    return keras.Model(images, {"logits": logits, "box": box}, name="localizer")
