"""Masks without TensorFlow are the graph's."""

import numpy as np
import pytest

from dlcv_tf.artifact import masks
from dlcv_tf.errors import InputError
from dlcv_tf.ops import masks as graph_masks
from tests.helpers import ramp

BOXES = np.array(
    [[3, 2, 11, 9], [-4.5, 1.25, 6.5, 20], [7.2, 7.9, 7.9, 8.1], [5, 5, 5, 9]], np.float32
)


def test_paste_is_the_graphs():
    cells = ramp((2, 2, 6, 6), low=0)
    boxes = BOXES.reshape(2, 2, 4)
    got = masks.paste(cells, boxes, (14, 12), None)
    assert got.dtype == np.float32 and got.shape == (2, 2, 14, 12)
    np.testing.assert_allclose(
        got, graph_masks.paste(cells, boxes, (14, 12), None).numpy(), atol=1e-6
    )
    hard = masks.paste(cells, boxes, (14, 12))
    assert hard.dtype == np.uint8 and hard[0].any() and not hard[1, 1].any()
    np.testing.assert_array_equal(hard, graph_masks.paste(cells, boxes, (14, 12)))


def test_no_masks_and_shapes_that_do_not_fit():
    assert masks.paste(np.zeros((0, 4, 4)), np.zeros((0, 4)), (6, 5)).shape == (0, 6, 5)
    with pytest.raises(InputError, match="one box for each mask"):
        masks.paste(np.zeros((2, 4, 4)), np.zeros((3, 4)), (8, 8))
    with pytest.raises(InputError, match=r"masks of shape \(2, 4, 5\)"):
        masks.paste(np.zeros((2, 4, 5)), np.zeros((2, 4)), (8, 8))
