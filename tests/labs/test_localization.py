"""The labs of localisation and pose, shortened, bear out what the course says."""

import keras
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.labs import localization


@pytest.mark.slow
def test_the_least_loss_is_not_the_best_weight():
    """Row 139 of the curriculum."""
    finding = localization.choosing_the_box_weight(weights=(0.01, 10.0), pictures=600, epochs=6)
    assert finding.holds
    assert (finding.numbers["by_loss"], finding.numbers["by_metric"]) == (0.01, 10.0)
    assert finding.numbers["loss"][0] < finding.numbers["loss"][1]
    assert finding.numbers["iou"][0] < finding.numbers["iou"][1]


@pytest.mark.slow
def test_heads_are_trained_on_a_backbone_that_stays_as_it_is():
    """Row 140 of the curriculum."""
    finding = localization.joint_or_freeze_then_tune(pictures=400, epochs=(2, 2, 2))
    assert finding.numbers["kept"]
    assert {len(curve) for curve in finding.numbers["curves"].values()} == {6}


@pytest.mark.slow
def test_heatmaps_find_joints_more_exactly():
    finding = localization.coordinates_or_heatmaps(pictures=300, epochs=6)
    assert finding.holds
    parameters = finding.numbers["parameters"]
    assert 0.5 < parameters["heatmaps"] / parameters["coordinates"] < 2


def test_pictures_are_learnt_and_measured_epoch_by_epoch():
    found = localization._load("object", pictures=32, size=16)
    assert found.train[0].shape == (32, 16, 16, 3)
    keras.utils.set_random_seed(0)
    task = localization._localizer(found, box_weight=1.0)
    curve = found.curve(task, epochs=2)
    assert len(curve) == 2 and curve[1] == found.measure(task)
    with pytest.raises(InputError, match="expected two different ones"):
        localization.choosing_the_box_weight(weights=(1.0,))
    with pytest.raises(InputError, match="unknown metric 'loss'"):
        localization.choosing_the_box_weight(metric="loss")
    with pytest.raises(InputError, match="expected three numbers of 1 or more"):
        localization.joint_or_freeze_then_tune(epochs=(1, 0, 1))
