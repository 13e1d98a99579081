"""GoogLeNet: nine inception modules, no hidden fully connected layer.

Szegedy et al., "Going Deeper with Convolutions", https://arxiv.org/abs/1409.4842.
"""

from collections.abc import Callable

import keras
from keras import layers

from dlcv_tf.layers.local_response_norm import LocalResponseNorm
from dlcv_tf.models.classify.scores import scores

# Table 1 of the paper: filters of 1x1; of 3x3 and the 1x1 before it; of 5x5 and the 1x1 before it;
# of the 1x1 behind the pooling.
MODULES = {
    "3a": (64, (96, 128), (16, 32), 32),
    "3b": (128, (128, 192), (32, 96), 64),
    "4a": (192, (96, 208), (16, 48), 64),
    "4b": (160, (112, 224), (24, 64), 64),
    "4c": (128, (128, 256), (24, 64), 64),
    "4d": (112, (144, 288), (32, 64), 64),
    "4e": (256, (160, 320), (32, 128), 128),
    "5a": (256, (160, 320), (32, 128), 128),
    "5b": (384, (192, 384), (48, 128), 128),
}
POOLED_AFTER = ("3b", "4e")
HEADS_AT = {"4a": "logits1", "4d": "logits2"}  # auxiliary heads


def googlenet(
    input_shape: tuple[int, int, int],
    num_classes: int,
    batch_norm: bool = False,
    auxiliary: bool = False,
    width: float = 1.0,
    dropout: float = 0.4,
) -> keras.Model:
    """Builds GoogLeNet, 22 layers deep.

    As in the paper it has 6,998,552 parameters for 1000 classes; with batch norm, which also puts
    3x3 filters in the place of the 5x5 ones as torchvision does, 6,624,904 that are trained.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture; 224x224x3 in the paper.
        num_classes: number of scores.
        batch_norm: normalise every convolution; without it there are biases, and local response
            normalisation as in the paper.
        auxiliary: also answer `logits1` and `logits2`, from the middle of the network.
        width: factor of every number of filters.
        dropout: probability of DROPPING a unit before the last layer (inverted dropout).

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, num_classes)}`.
    """

    def filters(count: int) -> int:
        return max(1, round(count * width))

    def conv(x, count, size, name, strides=1):
        return _conv(x, filters(count), size, batch_norm, name, strides)

    images = keras.Input(input_shape, name="images")
    x = conv(images, 64, 7, "conv1", strides=2)
    x = layers.MaxPooling2D(3, 2, padding="same", name="pool1")(x)
    x = x if batch_norm else LocalResponseNorm(name="norm1")(x)
    x = conv(x, 64, 1, "conv2_reduce")
    x = conv(x, 192, 3, "conv2")
    x = x if batch_norm else LocalResponseNorm(name="norm2")(x)
    x = layers.MaxPooling2D(3, 2, padding="same", name="pool2")(x)
    outputs = {}
    for name, branches in MODULES.items():
        x = inception(x, conv, branches, 3 if batch_norm else 5, f"inception{name}")
        if name in POOLED_AFTER:
            x = layers.MaxPooling2D(3, 2, padding="same", name=f"pool{name}")(x)
        if auxiliary and name in HEADS_AT:
            outputs[HEADS_AT[name]] = _head(x, conv, filters(1024), num_classes, HEADS_AT[name])
    x = layers.GlobalAveragePooling2D(name="pool5")(x)
    x = layers.Dropout(dropout, name="dropout")(x)
    outputs["logits"] = scores(x, num_classes)
    return keras.Model(images, outputs, name="googlenet")


def inception(x, conv: Callable, branches: tuple, large: int, name: str):
    """Applies an inception module: four branches side by side, their maps concatenated.

    Args:
        x: (batch, height, width, channels).
        conv: function of x, filters, size and name that applies a convolution.
        branches: a row of `MODULES`.
        large: size of the largest filters.
        name: of the module.

    Returns:
        (batch, height, width, sum of the branches' filters).
    """
    one, (reduce_three, three), (reduce_five, five), pooled = branches
    pool = layers.MaxPooling2D(3, 1, padding="same", name=f"{name}_pool")(x)
    sides = [
        conv(x, one, 1, f"{name}_1x1"),
        conv(conv(x, reduce_three, 1, f"{name}_3x3_reduce"), three, 3, f"{name}_3x3"),
        conv(conv(x, reduce_five, 1, f"{name}_5x5_reduce"), five, large, f"{name}_5x5"),
        conv(pool, pooled, 1, f"{name}_pool_1x1"),
    ]
    return layers.Concatenate(name=name)(sides)


def _conv(x, filters: int, size: int, batch_norm: bool, name: str, strides: int):
    """Applies convolution, batch norm where asked for, and ReLU."""
    options = {"padding": "same", "use_bias": not batch_norm, "kernel_initializer": "he_normal"}
    x = layers.Conv2D(filters, size, strides, name=name, **options)(x)
    if batch_norm:
        x = layers.BatchNormalization(momentum=0.9, epsilon=1e-3, name=f"{name}_bn")(x)
    return layers.ReLU(name=f"{name}_relu")(x)


def _head(x, conv: Callable, units: int, num_classes: int, name: str):
    """Applies an auxiliary head; of small pictures it pools all there is."""
    size = min(5, *x.shape[1:3])
    x = layers.AveragePooling2D(size, 3, name=f"{name}_pool")(x)
    x = conv(x, 128, 1, f"{name}_conv")
    x = layers.Flatten(name=f"{name}_flatten")(x)
    x = layers.Dense(units, activation="relu", name=f"{name}_hidden")(x)
    x = layers.Dropout(0.7, name=f"{name}_dropout")(x)
    return scores(x, num_classes, name)
