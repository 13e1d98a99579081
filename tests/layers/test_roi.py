"""RoI align of a pyramid reads each box in the map of its size."""

import numpy as np
import pytest

from dlcv_tf import layers
from dlcv_tf.errors import InputError
from tests.helpers import ramp

MAPS = [ramp((1, 16, 16, 2)), ramp((1, 8, 8, 2), low=2, high=3), ramp((1, 4, 4, 2), low=5, high=6)]
# 15 x 15 just below, 16 x 16 and 8 x 32 (the same area) at, 40 x 40 above, the whole.
BOXES = np.array(
    [[[1, 1, 16, 16], [1, 1, 17, 17], [4, 0, 12, 32], [2, 3, 42, 43], [0, 0, 64, 64]]], np.float32
)
LEVELS = [0, 1, 1, 2, 2]


def test_each_box_is_read_in_its_map():
    got = layers.RoIAlign(3, (4, 8, 16), least_side=2)(MAPS, BOXES)
    for number, level in enumerate(LEVELS):
        alone = layers.RoIAlign(3, 4 * 2**level)(MAPS[level], BOXES[:, number : number + 1])
        np.testing.assert_allclose(got[:, number : number + 1], alone, atol=1e-6)


def test_a_stride_is_needed_for_each_map():
    with pytest.raises(InputError, match="got 3 maps and stride=4"):
        layers.RoIAlign(3, 4)(MAPS, BOXES)
