"""The residual encoder that the small pose networks share: one feature map at each stride."""

import keras
from keras import layers

BATCH_NORM_MOMENTUM = 0.9
BATCH_NORM_EPSILON = 1e-5


def encoder(images, widths: tuple[int, ...], blocks: int = 1) -> list:
    """Adds a stem at stride 2, then a stage of residual blocks at half the size for each width.

    Args:
        images: (batch, height, width, channels) preprocessed pictures.
        widths: filters of the stem and of each stage: strides 2, 4, 8, ...
        blocks: residual blocks in a stage; the first has the stride.

    Returns:
        The feature maps, that of the stem first.
    """
    x = layers.ReLU(name="stem_relu")(conv_norm(images, widths[0], 3, stride=2, name="stem"))
    features = [x]
    for stage, width in enumerate(widths[1:], start=2):
        for block in range(blocks):
            stride = 2 if block == 0 else 1
            x = residual(x, width, stride=stride, name=f"stage{stage}_block{block + 1}")
        features.append(layers.Identity(name=f"c{stage}")(x))
    return features


def residual(x, filters: int, *, name: str, stride: int = 1):
    """Adds a residual block of two 3x3 convolutions; a 1x1 shortcut where the shape changes."""
    shortcut = x
    if stride != 1 or x.shape[-1] != filters:
        shortcut = conv_norm(x, filters, 1, stride=stride, name=f"{name}_shortcut")
    x = layers.ReLU(name=f"{name}_relu1")(
        conv_norm(x, filters, 3, stride=stride, name=f"{name}_conv1")
    )
    x = layers.Add(name=f"{name}_add")([conv_norm(x, filters, 3, name=f"{name}_conv2"), shortcut])
    return layers.ReLU(name=f"{name}_relu")(x)


def conv_norm(x, filters: int, size: int, *, name: str, stride: int = 1):
    """Adds a bias-free convolution, He initialised, and batch normalisation."""
    x = layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.VarianceScaling(2.0, "fan_out"),
        name=name,
    )(x)
    return layers.BatchNormalization(
        momentum=BATCH_NORM_MOMENTUM, epsilon=BATCH_NORM_EPSILON, name=f"{name}_norm"
    )(x)
