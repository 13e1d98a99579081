"""Localiser and pose networks: shapes, sizes, and what they refuse."""

import numpy as np
import pytest

from dlcv_tf import models
from dlcv_tf.errors import InputError
from tests.helpers import ramp


@pytest.mark.parametrize("stride", [2, 4, 8])
def test_heatmaps_have_a_cell_for_each_stride(stride):
    network = models.joint_heatmaps((32, 48, 3), 14, widths=(4, 4, 6), stride=stride)
    assert network.output["heatmaps"].shape == (None, 32 // stride, 48 // stride, 14)


def test_regression_gives_two_numbers_and_a_visibility_for_each_of_fourteen_joints():
    network = models.joint_regression((32, 32, 3), 14, widths=(4, 6))
    outputs = network(ramp((5, 32, 32, 3)))
    assert outputs["joints"].shape == (5, 14, 2) and outputs["visible"].shape == (5, 14)
    np.testing.assert_allclose(outputs["joints"], 0.5, atol=0.05)  # begins in the middle


def test_the_two_pose_networks_are_comparable():
    heatmaps = models.joint_heatmaps((128, 128, 3), 14, widths=(16, 32, 64, 96, 96))
    regression = models.joint_regression((128, 128, 3), 14, widths=(16, 32, 64, 96, 96))
    assert 0.5 < heatmaps.count_params() / regression.count_params() < 2


def test_an_hourglass_sees_the_whole_picture():
    network = models.joint_heatmaps((32, 32, 3), 2, widths=(4, 4, 6, 8))
    pictures = np.zeros((2, 32, 32, 3), np.float32)
    pictures[1, 0, 0] = 50  # one corner
    maps = network(pictures, training=True)["heatmaps"].numpy()
    assert np.any(maps[0, -1, -1] != maps[1, -1, -1])  # changes the other one


def test_localizer_has_a_backbone_and_two_heads():
    network = models.localizer((16, 16, 3), 5, widths=(4, 6), hidden_units=8)
    shapes = {name: value.shape for name, value in network.output.items()}
    assert shapes == {"logits": (None, 5), "box": (None, 4)}
    heads = {layer.name for layer in network.layers if layer.weights} - {"backbone"}
    assert heads == {"logits", "box_hidden", "box"}


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((30, 32, 3), {}, "got pictures of 30x32, expected sides that 8 divides"),
        ((32, 32, 3), {"stride": 3}, "got stride=3, expected one of"),
        ((32, 32, 3), {"stride": 16}, "got stride=16, expected one of"),
    ],
)
def test_bad_input(shape, options, message):
    with pytest.raises(InputError, match=message):
        models.joint_heatmaps(shape, 3, widths=(4, 4, 6), **options)
