"""GoogLeNet has the published sizes and shapes; its modules cost what the lecture multiplies."""

import keras
import numpy as np
import pytest
from keras import layers

from dlcv_tf import models
from dlcv_tf.models.classify import googlenet


def trainable(model):
    return sum(int(np.prod(v.shape)) for v in model.trainable_variables)


# Caffe's BVLC GoogLeNet; torchvision's googlenet, without and with its auxiliary heads.
PUBLISHED = [
    ({}, 6_998_552),
    ({"batch_norm": True}, 6_624_904),
    ({"batch_norm": True, "auxiliary": True}, 13_004_888),
]


@pytest.mark.parametrize(("options", "count"), PUBLISHED)
def test_published_counts(options, count):
    assert trainable(models.googlenet((224, 224, 3), 1000, **options)) == count


def test_erratum_e14_seven_million_parameters_are_nine_times_fewer_than_alexnets():
    googlenet_count = trainable(models.googlenet((224, 224, 3), 1000))
    alexnet_count = trainable(models.alexnet((227, 227, 3), 1000))
    assert googlenet_count > 5_000_000
    assert round(alexnet_count / googlenet_count, 1) == 8.9


def test_shapes_of_table_1():
    network = models.googlenet((224, 224, 3), 1000, auxiliary=True)
    shapes = {name: network.get_layer(name).output.shape[1:] for name in ("pool1", "pool2")}
    assert shapes == {"pool1": (56, 56, 64), "pool2": (28, 28, 192)}
    widths = [256, 480, 512, 512, 512, 528, 832, 832, 1024]
    found = [network.get_layer(f"inception{name}").output.shape for name in googlenet.MODULES]
    assert [shape[-1] for shape in found] == widths
    assert [shape[1] for shape in found] == [28, 28, 14, 14, 14, 14, 14, 7, 7]
    assert network.get_layer("logits1_pool").output.shape[1:] == (4, 4, 512)
    assert set(network.output) == {"logits", "logits1", "logits2"}


def operations(network):
    """Returns multiplications of every convolution, in the order of the layers."""
    return [
        int(np.prod(layer.output.shape[1:3])) * int(np.prod(layer.kernel.shape))
        for layer in network.layers
        if isinstance(layer, layers.Conv2D)
    ]


def module(apply):
    images = keras.Input((28, 28, 256))
    return keras.Model(images, apply(images))


def conv(x, filters, size, name):
    return layers.Conv2D(filters, size, padding="same", name=name)(x)


def test_the_lectures_naive_module():
    """CS231n lecture 9: 128 1x1, 192 3x3 and 96 5x5 filters on 28x28x256."""

    def apply(x):
        sides = [conv(x, 128, 1, "a"), conv(x, 192, 3, "b"), conv(x, 96, 5, "c")]
        return layers.Concatenate()([*sides, layers.MaxPooling2D(3, 1, padding="same")(x)])

    network = module(apply)
    assert network.output.shape[-1] == 672
    assert sum(operations(network)) == 854_196_224


def test_erratum_e15_the_reduced_module_takes_271_million_operations_not_358():
    branches = (128, (64, 192), (64, 96), 64)
    network = module(lambda x: googlenet.inception(x, conv, branches, 5, "module"))
    assert network.output.shape[-1] == 480
    names = [layer.name for layer in network.layers if layer.weights]
    by_layer = dict(zip(names, operations(network), strict=True))
    products = [12_845_056, 12_845_056, 25_690_112, 86_704_128, 120_422_400, 12_845_056]
    assert sorted(by_layer.values()) == sorted(products)
    assert sum(by_layer.values()) == 271_351_808
    # The published sum needs the 3x3 filters to read 128 maps instead of 64.
    assert sum(by_layer.values()) + by_layer["module_3x3"] == 358_055_936
