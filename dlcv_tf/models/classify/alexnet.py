"""AlexNet, "ImageNet Classification with Deep Convolutional Neural Networks" (Krizhevsky 2012)."""

import keras
from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.layers.local_response_norm import LocalResponseNorm
from dlcv_tf.models.classify.scores import scores

# Kernel, stride, padding and what follows, section 3.5. The paper's 224 pixels do not fit its own
# first layer; 227 do: (227 - 11) / 4 + 1 = 55.
CONVOLUTIONS = (
    (11, 4, "valid", "norm+pool"),
    (5, 1, "same", "norm+pool"),
    (3, 1, "same", ""),
    (3, 1, "same", ""),
    (3, 1, "same", "pool"),
)
TWO_TOWERS = (2, 4, 5)  # convolutions that see one graphics card's half of the maps, figure 2
SMALLEST = 67  # pixels a side: one is left after the last pool


def alexnet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    widths: tuple[int, int, int, int, int] = (96, 256, 384, 384, 256),
    hidden_units: int = 4096,
    dropout: float = 0.5,
    grouped: bool = False,
) -> keras.Model:
    """Builds AlexNet; 62,378,344 parameters for 227x227x3 and 1,000 classes.

    Of those, 58.6 million (94 %) are in the three fully connected layers. Convolutions 1 and 2 are
    followed by `LocalResponseNorm`; pools are 3x3 with stride 2 (overlapping). Weights start by
    He's rule: the paper's fixed 0.01 needs its biases of one to learn at all.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture; 67 pixels or more.
        num_classes: number of scores.
        widths: filters of the five convolutions.
        hidden_units: width of both hidden fully connected layers.
        dropout: probability of DROPPING a unit of those (inverted dropout).
        grouped: split convolutions 2, 4 and 5 into the paper's two towers, which see half of the
            maps each: 60,965,224 parameters.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, num_classes)}`.

    Raises:
        InputError: the picture is too small for the strides and pools.
    """
    if min(input_shape[:2]) < SMALLEST:
        raise InputError(
            f"got pictures of {input_shape[0]}x{input_shape[1]} pixels, expected {SMALLEST}x"
            f"{SMALLEST} or more (the paper's are 227x227): resize them, or take another network"
        )
    images = keras.Input(input_shape, name="images")
    x = images
    for number, (width, layer) in enumerate(zip(widths, CONVOLUTIONS, strict=True), 1):
        kernel, stride, padding, after = layer
        towers = 2 if grouped and number in TWO_TOWERS else 1
        options = {"strides": stride, "padding": padding, "kernel_initializer": "he_normal"}
        x = _convolution(x, width, kernel, towers, options, name=f"conv{number}")
        x = layers.ReLU(name=f"relu{number}")(x)
        if "norm" in after:
            x = LocalResponseNorm(name=f"norm{number}")(x)
        if "pool" in after:
            x = layers.MaxPooling2D(3, strides=2, name=f"pool{number}")(x)
    x = layers.Flatten(name="flatten")(x)
    for number in (6, 7):
        x = layers.Dense(hidden_units, kernel_initializer="he_normal", name=f"fc{number}")(x)
        x = layers.ReLU(name=f"relu{number}")(x)
        x = layers.Dropout(dropout, name=f"dropout{number}")(x)
    return keras.Model(images, {"logits": scores(x, num_classes)}, name="alexnet")


def _convolution(x, filters: int, kernel: int, towers: int, options: dict, name: str):
    """Adds a convolution, or one for each tower on its share of the maps.

    A tower is a layer of its own: Keras's grouped convolution has no ONNX form.
    """
    if towers == 1:
        return layers.Conv2D(filters, kernel, name=name, **options)(x)
    shares = keras.ops.split(x, towers, axis=-1)
    halves = [
        layers.Conv2D(filters // towers, kernel, name=f"{name}_tower{number}", **options)(share)
        for number, share in enumerate(shares, 1)
    ]
    return layers.Concatenate(name=f"{name}_towers")(halves)
