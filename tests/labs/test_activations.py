"""The labs on activation functions bear out what the course says."""

import math

import numpy as np
import pytest

from dlcv_tf.labs import activations, relu_speed


def test_values_and_gradients_of_the_functions():
    finding = activations.activation_functions(alpha=1.5)
    numbers = finding.numbers
    assert finding.holds
    assert numbers["sigmoid_gradient_at_10"] == pytest.approx(4.54e-5, rel=1e-3)
    assert numbers["sigmoid_gradient_at_minus_10"] == pytest.approx(4.54e-5, rel=1e-3)
    assert numbers["leaky_relu_gradient_at_minus_10"] == 0.01
    assert numbers["elu_at_minus_1"] == pytest.approx(1.5 * (math.exp(-1) - 1), abs=1e-9)
    assert numbers["prelu_weights_learned"] == 1
    assert numbers["weights_of_a_maxout_layer"] == 2 * numbers["weights_of_an_affine_layer"]


def test_saturated_units_kill_gradients():
    finding = activations.saturation()
    assert finding.holds
    for act in ("sigmoid", "tanh"):
        assert (np.diff(finding.numbers["saturated"][act]) > 0).all()
        assert (np.diff(finding.numbers["weight_gradients"][act]) < 0).all()
    np.testing.assert_allclose(finding.numbers["weight_gradients"]["relu"], 1, rtol=1e-4)
    through = finding.numbers["gradients_through_depth"]["sigmoid"]
    assert all(low < high / 3 for low, high in zip(through, through[1:], strict=False))


def test_all_positive_inputs_zig_zag():
    finding = activations.zig_zag()
    assert finding.holds
    assert finding.numbers["steps_of_one_sign"]["inputs from 0 to 1"] == 1
    raw, centred = finding.numbers["path_over_straight"].values()
    assert raw > 1.5 * centred


def test_ten_times_the_learning_rate_kills_units():
    finding = activations.dead_units(epochs=3)
    assert finding.holds
    calm, hasty = finding.numbers["dead"].values()
    assert calm[-1] < 0.05 < 0.15 < hasty[3]
    assert len(calm) == 4 and len(hasty) == 7
    assert finding.numbers["first_layer_units_woken"] == 0


def test_relu_reaches_the_error_before_tanh():
    finding = relu_speed.relu_against_tanh(learning_rates=(0.03,), filters=(8, 8, 8))
    assert finding.holds and finding.numbers["ratio"] > 1
    assert finding.numbers["best_learning_rate"] == {"relu": 0.03, "tanh": 0.03}


def test_who_never_arrives_has_no_number():
    finding = relu_speed.relu_against_tanh(learning_rates=(1e-6,), most_epochs=1, pictures=99)
    assert not finding.holds
    assert finding.numbers["epochs"] == {"relu": None, "tanh": None}
