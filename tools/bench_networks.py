"""The networks of `bench_workloads.py` as plain Keras models, as a user of Keras writes them."""

import keras
import numpy as np
from keras import layers, ops

from dlcv_tf import models
from dlcv_tf.recipes import classify

SCALE = {"scale": 1 / 127.5, "offset": -1.0}


def resnet20() -> keras.Model:
    """Builds the ResNet-20 for CIFAR-10, shortcuts without parameters."""

    def conv_norm(x, filters, stride=1):
        x = layers.Conv2D(
            filters,
            3,
            strides=stride,
            padding="same",
            use_bias=False,
            kernel_initializer="he_normal",
        )(x)
        return layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)

    inputs = keras.Input((32, 32, 3))
    x = layers.Normalization(mean=classify.CIFAR10_MEAN, variance=np.square(classify.CIFAR10_STD))(
        inputs
    )
    x = layers.ReLU()(conv_norm(x, 16))
    for filters in (16, 32, 64):
        for _ in range(3):
            stride = filters // x.shape[-1]
            shortcut = x
            if stride == 2:
                channels = [filters // 4, filters // 4]
                shortcut = ops.pad(x[:, ::2, ::2], [[0, 0], [0, 0], [0, 0], channels])
            x = layers.ReLU()(conv_norm(x, filters, stride))
            x = layers.ReLU()(layers.Add()([conv_norm(x, filters), shortcut]))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10)(x))


def resnet18() -> keras.Model:
    """Builds the ImageNet ResNet-18 for ten classes."""
    inputs = keras.Input((64, 64, 3))
    network = models.resnet18((64, 64, 3), 10)
    return keras.Model(inputs, network(layers.Rescaling(**SCALE)(inputs))["logits"])


def mobilenetv2() -> keras.Model:
    """Builds Keras's own MobileNetV2 for ten classes."""
    inputs = keras.Input((96, 96, 3))
    return keras.applications.MobileNetV2(
        input_tensor=layers.Rescaling(**SCALE)(inputs),
        weights=None,
        classes=10,
        classifier_activation=None,
    )


def mlp() -> keras.Model:
    """Builds the MLP 784-512-256-10."""
    inputs = keras.Input((28, 28, 1))
    x = layers.Flatten()(layers.Rescaling(**SCALE)(inputs))
    for units in (512, 256):
        x = layers.Dense(units, activation="relu")(x)
    return keras.Model(inputs, layers.Dense(10)(x))


def char_lstm() -> keras.Model:
    """Builds an LSTM of 256 units over 100 characters."""
    inputs = keras.Input((100,), dtype="int32")
    x = layers.LSTM(256, return_sequences=True)(layers.Embedding(65, 64)(inputs))
    return keras.Model(inputs, layers.Dense(65)(x))


def unet() -> keras.Model:
    """Builds a U-Net with padded convolutions and batch normalisation, 16 to 128 channels."""

    def double(x, width):
        for _ in range(2):
            x = layers.Conv2D(width, 3, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
        return x

    inputs = keras.Input((128, 128, 3))
    x, skipped = layers.Rescaling(**SCALE)(inputs), []
    for width in (16, 32, 64):
        x = double(x, width)
        skipped.append(x)
        x = layers.MaxPooling2D()(x)
    x = double(x, 128)
    for width in (64, 32, 16):
        x = layers.Conv2DTranspose(width, 2, strides=2)(x)
        x = double(layers.Concatenate()([skipped.pop(), x]), width)
    return keras.Model(inputs, layers.Conv2D(11, 1)(x))


NETWORKS = {
    "resnet20": resnet20,
    "resnet18": resnet18,
    "mobilenetv2": mobilenetv2,
    "mlp": mlp,
    "char_lstm": char_lstm,
    "unet": unet,
}
