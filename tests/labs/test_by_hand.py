"""Labs on the layers written by hand."""

import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.labs import by_hand


def test_layers_by_hand():
    finding = by_hand.layers_by_hand()
    assert finding.holds
    assert len(finding.numbers) == len(by_hand.TWINS)
    for name, each in finding.numbers.items():
        assert each["value"] < 1e-9 and each["gradients"] < 1e-9, name
        assert each["check"] <= each["bound"], name


def test_batch_norm_folding():
    finding = by_hand.batch_norm_folding()
    assert finding.holds and finding.numbers["identity_difference"] <= 1e-4
    for name, left in (("resnet20", 0), ("convnet", 0), ("airbench", 3)):
        found = finding.numbers["networks"][name]
        assert found["difference"] <= 1e-5 and found["norms_left"] == left < found["norms"]
    with pytest.raises(InputError, match="unknown network 'resnet21': did you mean 'resnet"):
        by_hand.batch_norm_folding(networks=("resnet21",))


@pytest.mark.parametrize("keep", [0.5, 0.8])
def test_dropout_expectation(keep):
    finding = by_hand.dropout_expectation(keep=keep)
    assert finding.holds
    assert finding.numbers["mean_of_all_masks"] == pytest.approx(finding.numbers["half_of_the_sum"])
    forms = finding.numbers["forms"]
    assert all(each["sigmas"] < 3 for each in forms.values())
    assert forms["inverted"]["at_test"] == pytest.approx(-0.6)
    assert forms["scaled at test time"]["at_test"] == pytest.approx(-0.6 * keep)
