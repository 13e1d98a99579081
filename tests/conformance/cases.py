"""One row for every public layer, network and task, at toy size. Cross-cutting tests loop over it.

A layer, network or task that is missing here fails `test_conformance.py`.
"""

from dlcv_tf import data, models, tasks
from tests.helpers import pictures, ramp

SMALL = (8, 8, 3)
LARGE = (32, 32, 3)

# name: (function that makes it, example input, whether gradients reach a float input)
LAYERS = {
    "Preprocess": (
        lambda: data.Preprocess((6, 5), 3, (10.0, 20.0, 30.0), (40.0, 50.0, 60.0)),
        pictures(2, (9, 7)),
        True,
    ),
}

# name: (function that makes it, example input)
MODELS = {
    "linear": (lambda: models.linear(SMALL, 5), ramp((2, *SMALL))),
    "mlp": (lambda: models.mlp(SMALL, 5, hidden_units=(7,), dropout=0.2), ramp((2, *SMALL))),
    "convnet": (
        lambda: models.convnet(SMALL, 5, filters=(4, 4), hidden_units=8),
        ramp((4, *SMALL)),
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


# name: (function that makes it, pictures, targets)
TASKS = {
    "Classifier": (classifier, pictures(6, (8, 8)), ramp((6,), low=0, high=4).round()),
}
