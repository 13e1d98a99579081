"""A network made for CIFAR-10 accuracy per second, https://arxiv.org/abs/2404.00498.

A first layer of fixed whitening filters, then three groups of two 3x3 convolutions, each group with
a max pool after its first. Differences from the paper: ReLU for GELU (one fused pass on a CPU
instead of many), He's initial weights instead of identities, batch-norm scales that are trained.
"""

import keras
from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.layers.blocks import normalised

WHITENING_SIZE = 2  # pixels a side (section 3.1)
SMALLEST = 9  # pixels a side: one is left after whitening and three pools
LOGIT_SCALE = 1 / 9  # section 3.1


def airbench(
    input_shape: tuple[int, int, int],
    num_classes: int,
    widths: tuple[int, int, int] = (64, 256, 256),
) -> keras.Model:
    """Builds the network of the paper; 1.97 M parameters at the paper's widths.

    The layer `whiten` is not trained: set its kernel to `ops.patches.whitening_filters` of the
    training pictures, as the recipes do. Its initial weights are random, which works less well.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture; 9 pixels or more.
        num_classes: number of scores.
        widths: filters of the three groups.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, num_classes)}`.

    Raises:
        InputError: the picture is too small for three max pools.
    """
    if min(input_shape[:2]) < SMALLEST:
        raise InputError(
            f"got pictures of {input_shape[0]}x{input_shape[1]} pixels, expected {SMALLEST}x"
            f"{SMALLEST} or more: give image_size={SMALLEST},{SMALLEST}, or take another network"
        )
    images = keras.Input(input_shape, name="images")
    x = layers.Conv2D(
        2 * WHITENING_SIZE**2 * input_shape[-1],
        WHITENING_SIZE,
        use_bias=False,
        trainable=False,
        name="whiten",
    )(images)
    x = layers.ReLU(name="whiten_relu")(x)
    for number, width in enumerate(widths, 1):
        x = _convolution(x, width, name=f"group{number}_conv1")
        x = layers.MaxPooling2D(2, name=f"group{number}_pool")(x)
        x = _norm_relu(x, name=f"group{number}_norm1")
        x = _convolution(x, width, name=f"group{number}_conv2")
        x = _norm_relu(x, name=f"group{number}_norm2")
        x = layers.Identity(name=f"c{number + 1}")(x)
    x = layers.GlobalMaxPooling2D(name="features")(x)
    x = layers.Dense(num_classes, use_bias=False, name="scores")(x)
    logits = layers.Rescaling(LOGIT_SCALE, name="logits")(x)
    return keras.Model(images, {"logits": logits}, name="airbench")


def _convolution(x, width: int, name: str):
    return layers.Conv2D(
        width, 3, padding="same", use_bias=False, kernel_initializer="he_normal", name=name
    )(x)


def _norm_relu(x, name: str):
    return layers.ReLU(name=f"{name}_relu")(normalised(x, name))
