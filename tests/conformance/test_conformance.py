"""Each layer, loss, optimizer, network and task does the same in every form it can take."""

import inspect

import keras
import pytest

from dlcv_tf import data, layers, losses, models, optimizers, tasks
from tests import helpers
from tests.conformance import cases


@pytest.mark.parametrize("name", cases.LAYERS)
def test_layer(name, tmp_path):
    build, inputs, gradients = cases.LAYERS[name]
    helpers.check_layer(build, inputs, tmp_path, gradients=gradients)


@pytest.mark.parametrize("name", cases.LOSSES)
def test_loss(name):
    build, targets, predictions = cases.LOSSES[name]
    helpers.check_loss(build, targets, predictions)


@pytest.mark.parametrize("name", cases.OPTIMIZERS)
def test_optimizer(name, tmp_path):
    helpers.check_optimizer(cases.OPTIMIZERS[name], tmp_path)


@pytest.mark.parametrize("name", cases.MODELS)
def test_model(name, tmp_path):
    build, inputs = cases.MODELS[name]
    keras.utils.set_random_seed(0)  # with other weights a small layer may be dead: no gradient
    helpers.check_model(build(), inputs, tmp_path)


@pytest.mark.parametrize("name", cases.TASKS)
def test_task(name, tmp_path):
    keras.utils.set_random_seed(0)  # three steps from other weights may climb before they fall
    build, images, targets = cases.TASKS[name]
    helpers.check_task(build(), images, targets, tmp_path)


def public(room, kind):
    """Returns the names of a room's public classes of a kind."""
    return {
        name for name, value in inspect.getmembers(room, inspect.isclass) if issubclass(value, kind)
    }


def test_nothing_is_missing_from_the_table():
    layer_names = public(layers, keras.layers.Layer) | public(data, keras.layers.Layer)
    assert set(cases.LAYERS) == layer_names
    assert set(cases.LOSSES) == public(losses, keras.losses.Loss)
    assert set(cases.OPTIMIZERS) == public(optimizers, keras.optimizers.Optimizer)
    assert set(cases.MODELS) == set(models.BUILDERS)
    assert set(cases.TASKS) == public(tasks, keras.Model)
