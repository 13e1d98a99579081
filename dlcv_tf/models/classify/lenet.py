"""LeNet-5, "Gradient-Based Learning Applied to Document Recognition" (LeCun et al. 1998)."""

import keras
from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.models.classify.scores import scores

SIDE = 32  # pixels: "the input is a 32x32 pixel image", section II.B
ACTIVATIONS = ("tanh", "relu")
POOLINGS = {"average": layers.AveragePooling2D, "max": layers.MaxPooling2D}


def lenet5(
    input_shape: tuple[int, int, int],
    num_classes: int,
    activation: str = "tanh",
    pooling: str = "average",
) -> keras.Model:
    """Builds LeNet-5; 61,706 parameters for ten classes of 32x32 grey pictures.

    Two stages of 5x5 convolution and 2x2 pooling, then 120 (a convolution over all that is left),
    84 and `num_classes` units. As is usual since, C3 sees all maps of S2 (the paper leaves some
    out), pooling has no weights, tanh is not scaled, and the output is one score per class instead
    of the distance to a drawn digit.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture; smaller ones than 32x32
            are padded with zeros to that, as the paper does with MNIST's 28x28 digits.
        num_classes: number of scores.
        activation: `"tanh"` (the paper's) or `"relu"`, which learns faster.
        pooling: `"average"` (the paper's) or `"max"`.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, num_classes)}`.

    Raises:
        InputError: an activation or pooling of another name.
    """
    if activation not in ACTIVATIONS:
        raise InputError(f"got activation={activation!r}, expected {' or '.join(ACTIVATIONS)}")
    if pooling not in POOLINGS:
        raise InputError(f"got pooling={pooling!r}, expected {' or '.join(POOLINGS)}")
    images = keras.Input(input_shape, name="images")
    x = images
    missing = [max(0, SIDE - side) for side in input_shape[:2]]
    if any(missing):
        margins = tuple((pixels // 2, pixels - pixels // 2) for pixels in missing)
        x = layers.ZeroPadding2D(margins, name="pad")(x)
    for number, (filters, convolution) in enumerate(((6, "c1"), (16, "c3")), 1):
        x = layers.Conv2D(filters, 5, name=convolution)(x)
        x = layers.Activation(activation, name=f"{convolution}_{activation}")(x)
        x = POOLINGS[pooling](2, name=f"s{2 * number}")(x)
    x = layers.Conv2D(120, 5, name="c5")(x)
    x = layers.Activation(activation, name=f"c5_{activation}")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(84, name="f6")(x)
    x = layers.Activation(activation, name=f"f6_{activation}")(x)
    return keras.Model(images, {"logits": scores(x, num_classes)}, name="lenet5")
