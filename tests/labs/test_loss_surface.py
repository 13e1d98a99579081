"""The labs on loss surfaces find what the lecture says."""

import pytest

from dlcv_tf.labs import loss_surface


def test_two_over_l_is_the_limit_of_the_step_size():
    finding = loss_surface.step_size()
    assert finding.holds
    assert finding.numbers["limit"] == 0.25
    assert finding.numbers["falls"] == {"0.1": True, "0.5": True, "0.9": True, "1.02": False}
    assert finding.numbers["worst_error_of_closed_form"] < 1e-12
    assert finding.numbers["last_loss"]["1.02"] > 100


def test_a_long_valley_is_descended_in_zig_zags():
    finding = loss_surface.long_valley()
    assert finding.holds
    assert finding.numbers["sign_flips"] == {"1": 0, "10": 25, "100": 25}
    steps = finding.numbers["steps"]
    assert steps["1"] == 1 and 8 < steps["100"] / steps["10"] < 12
    assert finding.numbers["measured"] == pytest.approx({"1": 1, "10": 10, "100": 100})


def test_descent_stays_at_a_saddle_and_momentum_with_noise_leaves():
    finding = loss_surface.saddle_point()
    assert finding.holds
    assert finding.numbers["distance_at_the_end"]["gradient descent"] < 1e-3
    left = finding.numbers["steps_until_it_left"]
    assert left["gradient descent"] is None and left["momentum"] is None
    assert left["momentum with noise"] < left["descent with noise"]


def test_momentum_leaves_a_local_minimum():
    finding = loss_surface.local_minimum()
    assert finding.holds
    assert finding.numbers["x"]["gradient descent"] == pytest.approx(0.96, abs=0.01)
    assert finding.numbers["x"]["momentum"] == pytest.approx(-1.035, abs=0.01)


def test_the_noise_of_a_gradient_falls_with_the_root_of_the_batch():
    finding = loss_surface.gradient_noise(draws=120, seed=3)
    assert finding.holds
    assert finding.numbers["power"] == pytest.approx(-0.5, abs=0.05)


def test_a_turned_valley_undoes_what_adaptive_rules_gain():
    finding = loss_surface.rotated_valley()
    assert finding.holds
    ratio = finding.numbers["ratio"]
    assert min(ratio[name] for name in ("AdaGrad", "RMSProp", "Adam")) >= 2
    assert ratio["gradient descent"] == ratio["momentum"] == 1
    assert finding.numbers["worst_difference_of_turned_descent"] < 1e-10
