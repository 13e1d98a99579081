"""A recipe chooses its update rule and schedule by name."""

import keras
import numpy as np
import pytest

from dlcv_tf import optimizers, recipes
from dlcv_tf.errors import InputError
from dlcv_tf.optimizers import schedules
from dlcv_tf.recipes import recipe as module
from dlcv_tf.recipes import run


def compiled(**changes):
    recipe = recipes.get("digits_linear").replace(**changes)
    task = recipe.task(recipe.describe("train"))
    recipe.compile(task, steps_per_epoch=10)
    return task


def test_names_are_those_that_optimizers_has():
    assert set(module.OPTIMIZERS) == set(optimizers.RULES)
    assert set(module.SCHEDULES) == set(schedules.SCHEDULES)


def test_the_default_is_nesterov_under_one_cycle():
    optimizer = compiled(epochs=3).optimizer
    assert type(optimizer) is keras.optimizers.SGD and optimizer.nesterov
    assert isinstance(optimizer._learning_rate, optimizers.OneCycle)
    assert optimizer._learning_rate.total_steps == 30


@pytest.mark.parametrize("name", module.OPTIMIZERS)
def test_every_rule_can_be_chosen(name):
    optimizer = compiled(optimizer=name, momentum=0.7, weight_decay=1e-3).optimizer
    assert optimizer.weight_decay == 1e-3
    if name in ("adagrad", "rmsprop", "adam"):
        assert type(optimizer) is optimizers.RULES[name]
    else:
        assert optimizer.momentum == (0.0 if name == "sgd" else 0.7)
        assert optimizer.nesterov == (name == "nesterov")


@pytest.mark.parametrize("name", module.SCHEDULES)
def test_every_schedule_spans_the_training(name):
    optimizer = compiled(schedule=name, epochs=8, learning_rate=0.2).optimizer
    rates = []
    for step in range(80):
        optimizer.iterations.assign(step)
        rates.append(float(keras.ops.convert_to_numpy(optimizer.learning_rate)))
    assert max(rates) == pytest.approx(0.2, rel=1e-6)
    if name == "constant":
        assert min(rates) == pytest.approx(0.2, rel=1e-6)
    else:
        assert rates[-1] < 0.02 * 0.2
    if name not in ("one_cycle", "constant"):
        assert rates[0] == pytest.approx(0.2, rel=1e-6) and np.all(np.diff(rates) <= 0)


def test_unknown_names_are_answered_with_a_suggestion():
    with pytest.raises(InputError, match="unknown optimizer 'adma': did you mean 'adam'"):
        recipes.get("digits_linear").replace(optimizer="adma")
    with pytest.raises(InputError, match="unknown schedule 'steps': did you mean 'step'"):
        recipes.get("digits_linear").replace(schedule="steps")
    with pytest.raises(InputError, match="unknown schedule 'steps': did you mean 'step'"):
        optimizers.spanning("steps", 0.1, 100)


def test_a_recipe_trains_with_adam_under_a_decay(tmp_path):
    recipe = recipes.get("digits_linear").replace(
        optimizer="adam", schedule="exponential", learning_rate=0.02, epochs=8
    )
    assert run.run(recipe, tmp_path / "run", verbose=0)["test_accuracy"] > 0.93
    assert run.read_recipe(tmp_path / "run") == recipe
