"""Proposals are the best anchors, moved, that do not overlap better ones."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import layers
from dlcv_tf.errors import InputError
from dlcv_tf.ops import boxes


def proposals(**options):
    """Returns the layer of a 32x48 input with a 4x6 and a 2x3 map."""
    options = {"count": 5} | options
    return layers.Proposals((32, 48), [(4, 6), (2, 3)], [8, 16], [[8], [16, 24]], **options)


def test_anchors_go_by_map_row_column_size_and_shape():
    anchors = proposals().anchors()
    assert anchors.shape == (4 * 6 * 3 + 2 * 3 * 6, 4)
    half = 4 * 2**-0.5  # height / width 1/2, 1, 2, all of area 64
    expected = [[4 - 2 * half, 4 - half], [0, 0], [4 - half, 4 - 2 * half]]
    np.testing.assert_allclose(anchors[:3, :2], expected, atol=1e-6)
    np.testing.assert_allclose(anchors[3 + 1], [8, 0, 16, 8])  # the next column
    np.testing.assert_allclose(anchors[18 + 1], [0, 8, 8, 16])  # the next row
    np.testing.assert_allclose(anchors[72 + 1], [0, 0, 16, 16])  # the next map
    np.testing.assert_allclose(anchors[72 + 4], [-4, -4, 20, 20])  # its next size


def test_the_best_anchors_are_moved_clipped_and_suppressed():
    layer = proposals()
    anchors = layer.anchors()
    wanted = np.array([[3.0, 5, 9, 20], [30, 20, 60, 40], [3.5, 5, 9, 20]], np.float32)
    numbers = [40, 90, 2]
    logits = np.full((2, len(anchors)), -3e4, np.float32)
    deltas = np.zeros((2, len(anchors), 4), np.float32)
    logits[0, numbers] = 1, 3, 2
    deltas[0, numbers] = boxes.encode(wanted, anchors[numbers])
    logits[1] = np.nan
    got = layer(logits, deltas).numpy()
    assert got.shape == (2, 5, 4)
    # Best first, the second one inside the picture; the first of `wanted` overlaps the last.
    np.testing.assert_allclose(got[0, :2], [[30, 20, 48, 32], wanted[2]], atol=1e-4)
    overlaps = boxes.iou(got[0], got[0]).numpy() - np.eye(5)
    assert overlaps.max() <= 0.7
    np.testing.assert_array_equal(got[1], 0)  # no score, no proposal


def test_what_follows_the_last_one_is_zeros():
    layer = layers.Proposals((8, 8), [(1, 1)], [8], [[8]], count=4, iou_threshold=0.1)
    got = layer(np.array([[0.0, 1, 0.5]], np.float32), np.zeros((1, 3, 4), np.float32)).numpy()
    np.testing.assert_allclose(got[0, 0], [0, 0, 8, 8])
    np.testing.assert_array_equal(got[0, 1:], 0)


def test_no_gradient_passes():
    layer = proposals()
    logits, deltas = tf.random.normal((1, 108)), tf.random.normal((1, 108, 4))
    with tf.GradientTape() as tape:
        tape.watch([logits, deltas])
        total = tf.reduce_sum(layer(logits, deltas))
    assert tape.gradient(total, [logits, deltas]) == [None, None]


def test_bad_input_is_named():
    with pytest.raises(InputError, match="expected one for each map"):
        layers.Proposals((8, 8), [(1, 1)], [8, 16], [[8]])
    with pytest.raises(InputError, match="got 7 logits a picture, expected 108"):
        proposals()(np.zeros((1, 7), np.float32), np.zeros((1, 7, 4), np.float32))
