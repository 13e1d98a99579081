"""One row for each public layer, loss, optimizer, network and task, for the tests that loop.

A layer, loss, optimizer, network or task that is missing here fails `test_conformance.py`.
"""

import numpy as np

from dlcv_tf import data, layers, losses, models, optimizers, tasks
from tests.helpers import pictures, ramp

SMALL = (8, 8, 3)
LARGE = (32, 32, 3)


def remembering(layer):
    """Returns a layer of neighbours that knows nine examples of six numbers, in five classes."""
    layer.build((None, 6))
    layer.remember(ramp((9, 6), low=-0.9), np.arange(9) % 5)
    return layer


# name: (function that makes it, example input, whether gradients reach a float input)
LAYERS = {
    "Affine": (lambda: layers.Affine(4), ramp((5, 2, 3)), True),
    "AveragePool": (lambda: layers.AveragePool(), ramp((3, 6, 4, 2)), True),
    "BatchNorm": (lambda: layers.BatchNorm(), ramp((3, 4, 5, 2)), True),
    "Convolution": (lambda: layers.Convolution(4, 3, 2, "same"), ramp((3, 6, 5, 2)), True),
    "Dropout": (lambda: layers.Dropout(keep=0.8, inverted=False), ramp((3, 6)), True),
    "ELU": (lambda: layers.ELU(0.5), ramp((3, 6)), True),
    "LeakyReLU": (lambda: layers.LeakyReLU(), ramp((3, 6)), True),
    "MaxPool": (lambda: layers.MaxPool(3, 2), ramp((3, 7, 5, 2)), True),
    "Maxout": (lambda: layers.Maxout(4, pieces=3), ramp((5, 6)), True),
    "NeighbourVotes": (
        lambda: remembering(layers.NeighbourVotes(9, 5, 3, "l1")),
        ramp((4, 6)),
        False,
    ),
    "PReLU": (lambda: layers.PReLU(), ramp((3, 4, 6)), True),
    "ReLU": (lambda: layers.ReLU(), ramp((3, 6)), True),
    "Sigmoid": (lambda: layers.Sigmoid(), ramp((3, 6)), True),
    "SoftPool": (lambda: layers.SoftPool(temperature=0.5), ramp((3, 6, 4, 2)), True),
    "Tanh": (lambda: layers.Tanh(), ramp((3, 6)), True),
    "Preprocess": (
        lambda: data.Preprocess((6, 5), 3, (10.0, 20.0, 30.0), (40.0, 50.0, 60.0)),
        pictures(2, (9, 7)),
        True,
    ),
    "HOG": (lambda: layers.HOG(cell=3, bins=4), ramp((2, 7, 6, 3), low=0, high=255), True),
    "HueHistogram": (lambda: layers.HueHistogram(4), ramp((2, 7, 6, 3), low=0), False),
    "LocalResponseNorm": (
        lambda: layers.LocalResponseNorm(depth=3, alpha=0.5),
        ramp((2, 3, 4, 6), low=-3, high=3),
        True,
    ),
}

# name: (function that makes it, targets, predictions)
LOSSES = {
    "MulticlassHinge": (
        lambda: losses.MulticlassHinge(delta=12.0, squared=True),
        np.array([0, 3, 4, 1, 3, 2]),
        ramp((6, 5), low=-4, high=6),
    ),
    "SmoothedCrossentropy": (
        lambda: losses.SmoothedCrossentropy(0.2),
        np.array([0, 3, 4, 1, 3, 2]),
        ramp((6, 5), low=-4, high=6),
    ),
}

# name: function that makes it
OPTIMIZERS = {
    "SGD": lambda: optimizers.SGD(0.1),
    "Momentum": lambda: optimizers.Momentum(optimizers.step_decay(0.1, every=3), momentum=0.8),
    "Nesterov": lambda: optimizers.Nesterov(0.1, form="look_ahead", weight_decay=0.01),
    "AdaGrad": lambda: optimizers.AdaGrad(0.1, epsilon=1e-6, epsilon_inside=True, initial=0.2),
    "RMSProp": lambda: optimizers.RMSProp(0.1, decay=0.8, clipnorm=1.0),
    "Adam": lambda: optimizers.Adam(0.1, beta_1=0.8, beta_2=0.99, epsilon_hat=True),
}


def knn(shape, num_classes):
    """Returns a nearest-neighbour network that knows seven examples."""
    network = models.knn(shape, num_classes, num_examples=7, k=3)
    network.get_layer("votes").remember(ramp((7, *shape), low=-0.9), np.arange(7) % num_classes)
    return network


# name: (function that makes it, example input)
MODELS = {
    "knn": (lambda: knn(SMALL, 5), ramp((2, *SMALL))),
    "linear": (lambda: models.linear(SMALL, 5), ramp((2, *SMALL))),
    "mlp": (lambda: models.mlp(SMALL, 5, hidden_units=(7,), dropout=0.2), ramp((2, *SMALL))),
    "feature_mlp": (
        lambda: models.feature_mlp(SMALL, 5, cell=4, hidden_units=(7,)),
        ramp((4, *SMALL), low=0),
    ),
    "convnet": (
        lambda: models.convnet(SMALL, 5, filters=(4, 4), hidden_units=8),
        ramp((4, *SMALL)),
    ),
    "lenet5": (lambda: models.lenet5(SMALL, 5), ramp((2, *SMALL))),
    "alexnet": (
        lambda: models.alexnet((67, 67, 3), 5, (4, 4, 6, 6, 4), 8, dropout=0.2, grouped=True),
        ramp((4, 67, 67, 3)),
    ),
    "googlenet": (
        lambda: models.googlenet((48, 48, 3), 5, True, auxiliary=True, width=0.125),
        ramp((4, 48, 48, 3)),
    ),
    "airbench": (
        lambda: models.airbench((18, 18, 3), 5, widths=(4, 6, 8)),
        ramp((4, 18, 18, 3)),
    ),
    "resnet20": (lambda: models.resnet20(SMALL, 5, width=4), ramp((4, *SMALL))),
    "resnet32": (lambda: models.resnet32(SMALL, 5, width=4), ramp((4, *SMALL))),
    "resnet56": (lambda: models.resnet56(SMALL, 5, width=4), ramp((4, *SMALL))),
    "resnet18": (lambda: models.resnet18(LARGE, 5, width=4), ramp((4, *LARGE))),
    "resnet34": (lambda: models.resnet34(LARGE, 5, width=4), ramp((4, *LARGE))),
    "resnet50": (lambda: models.resnet50(LARGE, 5, width=4), ramp((4, *LARGE))),
    "resnet101": (lambda: models.resnet101(LARGE, 5, width=4), ramp((4, *LARGE))),
    "resnet152": (lambda: models.resnet152(LARGE, 5, width=4), ramp((4, *LARGE))),
}


def classifier():
    """Returns a small classifier of 8x8 RGB pictures in five classes."""
    network = models.convnet(SMALL, 5, filters=(4,), hidden_units=8, dropout=0.0)
    return tasks.Classifier(network, data.Preprocess(SMALL[:2], 3), list("abcde"))


def nearest_neighbours():
    """Returns a nearest-neighbour task with room for six 8x8 RGB pictures in five classes."""
    network = models.knn(SMALL, 5, num_examples=6, distance="l1")
    return tasks.NearestNeighbours(network, data.Preprocess(SMALL[:2], 3), list("abcde"))


# name: (function that makes it, pictures, targets)
TASKS = {
    "Classifier": (classifier, pictures(6, (8, 8)), ramp((6,), low=0, high=4).round()),
    "NearestNeighbours": (nearest_neighbours, pictures(6, (8, 8)), np.arange(6) % 5),
}
