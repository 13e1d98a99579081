"""The claims about losses hold, with the numbers that the curriculum asks for."""

import pytest

from dlcv_tf.labs import losses


def test_first_loss_is_c_minus_one_and_log_c():
    finding = losses.first_loss()
    assert finding.holds
    assert finding.numbers["hinge_10"] == pytest.approx(9, rel=0.01)
    # CS231n's assignments print 2.302545844500738 for ten classes and small random weights.
    assert finding.numbers["softmax_10"] == pytest.approx(2.302545844500738, abs=1e-3)


def test_softmax_always_wants_more():
    finding = losses.margin_or_probability()
    assert finding.holds and finding.numbers["hinge"] == [0, 0, 0]
    expected = pytest.approx([9.1e-4, 0.551, 0], rel=0.01, abs=1e-6)
    assert finding.numbers["softmax"] == expected
    assert not losses.margin_or_probability(delta=2.0).holds  # the second is ahead by 1 only


def test_weights_without_loss_can_be_doubled():
    finding = losses.zero_loss_is_not_unique()
    assert finding.holds and finding.numbers["hinge"] == [0, 0, 0]
    l2 = finding.numbers["l2"]
    assert l2[1] == pytest.approx(4 * l2[0])
    assert not losses.zero_loss_is_not_unique(steps=1).holds


def test_the_squared_hinge_is_moved_by_outliers():
    finding = losses.squared_hinge()
    assert finding.holds
    assert (finding.numbers["example"], finding.numbers["example_squared"]) == (8, 64)
    assert not losses.squared_hinge(outliers=0).holds


def test_l2_prefers_diffuse_weights():
    finding = losses.diffuse_weights(steps=300)
    assert finding.holds
    assert finding.numbers["score"] == [1, 1]
    assert (finding.numbers["l1"], finding.numbers["l2"]) == ([1, 1], [1, 0.25])
    assert finding.numbers["effective_l2"] > 1.5 * finding.numbers["effective_l1"]


def test_the_mean_of_all_minibatch_gradients_is_the_full_one():
    finding = losses.minibatch_gradient()
    assert finding.holds
    assert finding.numbers["largest_difference"] < 1e-12
    assert finding.numbers["slope"] == pytest.approx(-0.5, abs=0.1)
