"""The claims about linear classifiers hold, with the numbers that the curriculum asks for."""

import math

import pytest

from dlcv_tf.labs import linear


def test_a_choice_wants_softmax_and_a_quantity_l2():
    finding = linear.regression_or_classification(epochs=40)
    assert finding.holds
    assert finding.numbers["digit_accuracy_softmax"] > 0.93
    assert finding.numbers["place_error_l2"] < 0.05


@pytest.mark.parametrize("share", [0.9, 0.5])
def test_the_bias_raises_the_prior_log_odds_by_log_9(share):
    finding = linear.bias_and_priors(share=share)
    assert finding.holds
    assert finding.numbers["log_odds_without_bias"] == 0
    assert abs(finding.numbers["raised_by"] - math.log(share / (1 - share))) < 0.1


def test_there_is_a_template_for_each_class():
    finding = linear.templates(epochs=4)
    assert finding.holds
    assert finding.numbers["num_templates"] == 10
    assert (finding.numbers["lowest"], finding.numbers["highest"]) == (0, 255)


def test_a_line_fails_where_a_hidden_layer_does_not():
    finding = linear.linear_limits(num_examples=400, steps=400)
    assert finding.holds
    for name in ("xor", "annulus", "modes", "parity"):
        assert finding.numbers[f"{name}_linear"] <= 0.75
        assert finding.numbers[f"{name}_mlp"] > 0.95


def test_spiral_is_for_two_layers():
    finding = linear.spiral()
    assert finding.holds
    assert 0.45 <= finding.numbers["softmax_accuracy"] <= 0.6
    assert finding.numbers["two_layers_accuracy"] >= 0.97


def test_one_network_is_trained_by_three_losses():
    finding = linear.score_and_loss(epochs=8)
    assert finding.holds and finding.numbers["scores_are_the_same"]
    assert finding.numbers["softmax_first_loss"] == pytest.approx(math.log(10), rel=0.01)
    assert finding.numbers["hinge_first_loss"] == pytest.approx(9, rel=0.01)
