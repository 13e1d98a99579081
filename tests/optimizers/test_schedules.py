"""The schedules rise and fall where they say."""

import keras
import numpy as np
import pytest

from dlcv_tf import optimizers
from dlcv_tf.errors import InputError
from dlcv_tf.optimizers import OneCycle


def test_values_at_the_corners():
    schedule = OneCycle(0.2, total_steps=100, warmup=0.25, start=0.1, end=0.01)
    steps = {0: 0.02, 25: 0.2, 100: 0.002, 200: 0.002}
    for step, expected in steps.items():
        np.testing.assert_allclose(float(schedule(step)), expected, rtol=1e-5)
    rates = [float(schedule(step)) for step in range(101)]
    assert np.argmax(rates) == 25
    assert np.all(np.diff(rates[:26]) > 0) and np.all(np.diff(rates[25:]) < 0)


def test_config_round_trip():
    schedule = OneCycle(0.2, total_steps=100)
    optimizer = keras.optimizers.SGD(schedule)
    clone = keras.optimizers.SGD.from_config(optimizer.get_config())
    assert float(clone.learning_rate) == float(optimizer.learning_rate)


def rates(schedule, steps):
    return np.array([float(schedule(step)) for step in steps])


def test_step_decay_halves():
    got = rates(optimizers.step_decay(0.8, every=10), [0, 9, 10, 19, 20, 35])
    np.testing.assert_allclose(got, [0.8, 0.8, 0.4, 0.4, 0.2, 0.1], rtol=1e-6)


def test_exponential_decay_is_the_formula():
    steps = np.arange(0, 200, 7)
    got = rates(optimizers.exponential_decay(0.3, k=0.05, steps=4), steps)
    np.testing.assert_allclose(got, 0.3 * np.exp(-0.05 * steps / 4), rtol=1e-5)


def test_one_over_t_decay_is_half_at_one_over_k():
    k, steps_per_epoch = 0.05, 30
    schedule = optimizers.one_over_t_decay(0.3, k, steps_per_epoch)
    steps = np.arange(0, 3000, 101)
    np.testing.assert_allclose(
        rates(schedule, steps), 0.3 / (1 + k * steps / steps_per_epoch), rtol=1e-5
    )
    np.testing.assert_allclose(float(schedule(steps_per_epoch / k)), 0.15, rtol=1e-6)


@pytest.mark.parametrize("decay", [optimizers.exponential_decay, optimizers.one_over_t_decay])
def test_decays_are_continuous_at_the_start(decay):
    schedule = decay(0.3, k=2.0)
    np.testing.assert_allclose(rates(schedule, [0.0, 1e-4]), 0.3, rtol=3e-4)


def test_cosine_restarts():
    got = rates(optimizers.cosine_restarts(0.4, every=10), range(30))
    expected = 0.2 * (1 + np.cos(np.pi * (np.arange(30) % 10) / 10))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-6)


def test_bad_schedules_are_named():
    with pytest.raises(ValueError, match="got a learning rate of 0, expected above 0"):
        optimizers.step_decay(0, every=3)
    with pytest.raises(ValueError, match="got every=0, expected 1 or more"):
        optimizers.cosine_restarts(0.1, every=0)
    with pytest.raises(ValueError, match="got factor=2, expected above 0, at most 1"):
        optimizers.step_decay(0.1, 3, factor=2)
    with pytest.raises(ValueError, match="got k=-1, expected 0 or more"):
        optimizers.one_over_t_decay(0.1, k=-1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0.0, 10), "got a learning rate of 0.0, expected above 0"),
        ((1.0, 0), "got total_steps=0, expected 1 or more"),
        ((1.0, 10, 1.0), "got warmup=1.0, expected a part of the steps"),
    ],
)
def test_one_cycle_refuses_what_has_no_cycle(arguments, message):
    with pytest.raises(InputError, match=message):
        OneCycle(*arguments)
