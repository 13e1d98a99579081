"""The one-cycle schedule rises, peaks and falls where it says."""

import keras
import numpy as np

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
