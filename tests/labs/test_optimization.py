"""The labs on update rules find what the lecture says."""

import pytest

from dlcv_tf.labs import optimization


def test_nesterov_overshoots_less():
    finding = optimization.nesterov_overshoot()
    assert finding.holds
    for name in ("overshoot_along", "overshoot_across"):
        assert 0 < finding.numbers[name]["Nesterov"] < finding.numbers[name]["momentum"]
    assert finding.numbers["forms_differ_by"] < 1e-12


def test_momentum_wins_the_race():
    finding = optimization.race_of_rules(steps=500)
    assert finding.holds
    assert finding.numbers["Momentum"]["steps"] < 150
    assert finding.numbers["SGD"]["steps"] == 500


def test_uncorrected_adam_starts_with_three_rates():
    finding = optimization.adam_bias_correction(steps=200)
    assert finding.holds
    assert finding.numbers["first_step"]["uncorrected"] == pytest.approx(3.1623, abs=1e-4)
    assert finding.numbers["longest_step"]["corrected"] == pytest.approx(1.0, abs=1e-6)


@pytest.mark.slow
def test_decays_get_closer_than_a_constant_rate():
    finding = optimization.decay_schedules(epochs=10)
    assert finding.holds
    assert finding.numbers["one_over_t_at_one_over_k"] == pytest.approx(0.5, abs=1e-6)


def test_newton_solves_a_quadratic_in_one_step():
    finding = optimization.newton_method(steps=15)
    assert finding.holds
    assert finding.numbers["steps_on_a_quadratic"] == 1
    assert finding.numbers["gradient_after_it"] < 1e-10
    assert finding.numbers["hessian_gib"]["softmax on digits"] == pytest.approx(
        3 * 650**2 * 8 / 2**30
    )


@pytest.mark.slow
def test_lbfgs_stalls_on_minibatches():
    finding = optimization.minibatch_lbfgs()
    assert finding.holds
    above = finding.numbers["above_minimum"]
    assert above["L-BFGS, all digits"] < 1e-6
    assert finding.numbers["minibatches_last_third"] > 1e-3
