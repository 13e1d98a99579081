"""Every layer, network and task answers the same in every form it can take."""

import inspect

import keras
import pytest

from dlcv_tf import data, models, tasks
from tests import helpers
from tests.conformance import cases


@pytest.mark.parametrize("name", cases.LAYERS)
def test_layer(name, tmp_path):
    build, inputs, gradients = cases.LAYERS[name]
    helpers.check_layer(build, inputs, tmp_path, gradients=gradients)


@pytest.mark.parametrize("name", cases.MODELS)
def test_model(name, tmp_path):
    build, inputs = cases.MODELS[name]
    helpers.check_model(build(), inputs, tmp_path)


@pytest.mark.parametrize("name", cases.TASKS)
def test_task(name, tmp_path):
    build, images, targets = cases.TASKS[name]
    helpers.check_task(build(), images, targets, tmp_path)


def test_nothing_is_missing_from_the_table():
    assert set(cases.MODELS) == set(models.BUILDERS)
    public = {name for name, kind in inspect.getmembers(tasks, inspect.isclass)}
    assert set(cases.TASKS) == {
        name for name in public if issubclass(vars(tasks)[name], keras.Model)
    }
    assert set(cases.LAYERS) == {data.Preprocess.__name__}
