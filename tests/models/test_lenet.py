"""LeNet-5 has the classic count, takes MNIST's size, and learns."""

import keras
import pytest

from dlcv_tf import models
from dlcv_tf.data import digits
from dlcv_tf.errors import InputError
from dlcv_tf.models import summary
from tests.helpers import ramp


def test_parameters_are_the_classic_count():
    network = models.lenet5((32, 32, 1), 10)
    counts = [layer.count_params() for layer in network.layers if layer.count_params()]
    assert counts == [6 * 26, 16 * (6 * 25 + 1), 120 * (16 * 25 + 1), 84 * 121, 10 * 85]
    assert sum(counts) == network.count_params() == 61_706


def test_sizes_of_the_paper():
    shapes = {row.name: row.output_shape for row in summary.summarize(
        models.lenet5((32, 32, 1), 10)).rows}  # fmt: skip
    assert [shapes[name] for name in ("c1", "s2", "c3", "s4", "c5")] == [
        *((28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16), (1, 1, 120))
    ]


@pytest.mark.parametrize("shape", [(28, 28, 1), (8, 8, 1), (31, 32, 3)])
def test_smaller_pictures_are_padded(shape):
    network = models.lenet5(shape, 10)
    assert network.count_params() == 61_706 + (shape[-1] - 1) * 6 * 25
    assert network(ramp((2, *shape)))["logits"].shape == (2, 10)


@pytest.mark.parametrize("options", [{}, {"activation": "relu", "pooling": "max"}])
def test_it_learns_digits(options):
    keras.utils.set_random_seed(0)
    images, labels = digits.arrays("train")
    images, labels = images[:400].repeat(4, 1).repeat(4, 2) / 127.5 - 1.0, labels[:400]
    network = models.lenet5((32, 32, 1), 10, **options)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile(keras.optimizers.Adam(3e-3), {"logits": loss}, metrics={"logits": "accuracy"})
    history = network.fit(images, {"logits": labels}, epochs=8, batch_size=50, verbose=0).history
    assert history["accuracy"][-1] > 0.9


@pytest.mark.parametrize(
    "options, message",
    [
        ({"activation": "relux"}, "got activation='relux', expected tanh or relu"),
        ({"pooling": "mean"}, "got pooling='mean', expected average or max"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        models.lenet5((32, 32, 1), 10, **options)
