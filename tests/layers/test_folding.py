"""A network whose batch norms are folded answers as before, by fewer layers."""

import keras
import numpy as np
import pytest

from dlcv_tf import data, layers, models, tasks
from dlcv_tf.errors import InputError
from tests.helpers import ramp


def shaken(network, seed=0):
    """Gives every weight and moving statistic of a network a value that is not its first."""
    generator = np.random.default_rng(seed)
    for layer in network.layers:
        if isinstance(layer, layers.BATCH_NORMS):
            for variable in layer.variables:
                low, high = (0.3, 2.0) if "variance" in variable.name else (0.5, 1.5)
                sign = -1 if "mean" in variable.name else 1
                variable.assign(sign * generator.uniform(low, high, variable.shape))
    return network


def norms(network):
    return [each for each in network.layers if isinstance(each, layers.BATCH_NORMS)]


@pytest.mark.parametrize(
    "build, left",
    [
        (lambda: models.resnet20((32, 32, 3), 10), 0),
        (lambda: models.convnet((32, 32, 3), 10), 0),
        (lambda: models.airbench((32, 32, 3), 10, widths=(8, 8, 8)), 3),  # a pool comes between
        (lambda: models.resnet50((32, 32, 3), 10, width=4), 0),
    ],
)
def test_folded_answers_equal_unfolded(build, left):
    network = shaken(build())
    folded = layers.fold_batch_norm(network)
    images = ramp((8, 32, 32, 3))
    expected, got = network(images)["logits"], folded(images)["logits"]
    scale = np.abs(expected).max()
    assert np.abs(got - expected).max() <= 1e-5 * max(1, scale)
    assert len(norms(folded)) == left < len(norms(network))
    assert folded.count_params() < network.count_params()
    names = {each.name for each in network.layers if each.weights} - {
        each.name for each in norms(network)
    }
    assert names <= {each.name for each in folded.layers}
    assert folded.input.name == "images"
    again = layers.fold_batch_norm(folded)
    np.testing.assert_array_equal(again(images)["logits"], got)


def test_every_kind_of_layer_and_the_layers_of_the_course():
    images = keras.Input((9, 9, 3))
    x = keras.layers.DepthwiseConv2D(3, depth_multiplier=2)(images)
    x = keras.layers.BatchNormalization(scale=False)(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.Conv2D(5, 1, use_bias=True, bias_initializer="ones")(x)
    x = layers.BatchNorm()(x)
    x = keras.layers.Flatten()(x)
    x = keras.layers.Dense(4)(x)
    x = keras.layers.BatchNormalization(center=False)(x)
    network = shaken(keras.Model(images, x))
    folded = layers.fold_batch_norm(network)
    pictures = ramp((4, 9, 9, 3))
    np.testing.assert_allclose(folded(pictures), network(pictures), rtol=1e-5, atol=1e-5)
    assert len(norms(network)) == 3 and not norms(folded)


def test_what_cannot_be_folded_stays():
    images = keras.Input((9, 9, 3))
    curved = keras.layers.Conv2D(4, 3, activation="relu")(images)
    curved = keras.layers.BatchNormalization()(curved)
    twice = keras.layers.Conv2D(4, 3)
    shared = keras.layers.BatchNormalization()(twice(images))
    elsewhere = keras.layers.Conv2D(4, 3)(images)
    normed = keras.layers.BatchNormalization()(elsewhere)
    rows = keras.layers.BatchNormalization(axis=1)(keras.layers.Conv2D(4, 3)(images))
    parts = [curved, shared, twice(images), elsewhere, normed, rows]
    network = shaken(keras.Model(images, keras.layers.Add()(parts)))
    folded = layers.fold_batch_norm(network)
    pictures = ramp((4, 9, 9, 3))
    np.testing.assert_allclose(folded(pictures), network(pictures), rtol=1e-5, atol=1e-5)
    assert len(norms(folded)) == len(norms(network)) == 4


def test_the_network_itself_is_not_changed():
    network = shaken(models.convnet((8, 8, 3), 5, filters=(4,), hidden_units=6))
    before = network.get_weights()
    layers.fold_batch_norm(network)
    for one, other in zip(network.get_weights(), before, strict=True):
        np.testing.assert_array_equal(one, other)


def test_a_task_is_refused_with_the_way_out():
    network = models.convnet((8, 8, 3), 3, filters=(4,), hidden_units=6)
    task = tasks.Classifier(network, data.Preprocess((8, 8), 3), list("abc"))
    with pytest.raises(InputError, match="got Classifier, expected a functional.*task.network"):
        layers.fold_batch_norm(task)
