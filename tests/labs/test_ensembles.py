"""The labs on ensembles find what the lecture says."""

import numpy as np
import pytest

from dlcv_tf.labs import ensembles


@pytest.mark.slow
def test_networks_together_are_better_than_the_mean_one():
    finding = ensembles.independent_networks(members=3)
    assert finding.holds
    assert len(finding.numbers["members"]) == 3
    assert finding.numbers["mean_member"] == pytest.approx(np.mean(finding.numbers["members"]))
    assert finding.numbers["ensemble"] >= finding.numbers["mean_member"]


@pytest.mark.slow
def test_snapshots_together_are_as_good_as_the_last():
    finding = ensembles.snapshots()
    assert finding.holds
    assert len(finding.numbers["snapshots"]) == 4
    assert finding.numbers["together"] >= finding.numbers["last"] - 0.2


def test_the_average_is_steadier_than_the_weights():
    finding = ensembles.polyak_averaging(epochs=8)
    assert finding.holds
    spread = finding.numbers["spread_of_loss"]
    assert spread["their average"] < spread["weights"]
