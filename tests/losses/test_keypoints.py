"""Losses of joints against NumPy, with joints that are not seen."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.losses import keypoints
from tests.helpers import ramp

MAPS = ramp((2, 3, 4, 5), "float64", low=-2, high=2)
TARGETS = ramp((2, 3, 4, 5), "float64", low=0)
VISIBLE = np.array([[1, 0, 1, 1, 0], [0, 0, 1, 0, 1]])
SEEN = [(number, joint) for number, joint in np.ndindex(2, 5) if VISIBLE[number, joint]]


def log_softmax(values):
    shifted = values - values.max()
    return shifted - np.log(np.exp(shifted).sum())


def test_squares_of_heatmaps():
    expected = np.mean([((MAPS - TARGETS)[n, :, :, k] ** 2).sum() for n, k in SEEN])
    got = keypoints.heatmap_squares(TARGETS, tf.constant(MAPS), VISIBLE)
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_crossentropy_of_heatmaps():
    expected = np.mean(
        [
            -(TARGETS[n, :, :, k] / TARGETS[n, :, :, k].sum() * log_softmax(MAPS[n, :, :, k])).sum()
            for n, k in SEEN
        ]
    )
    got = keypoints.heatmap_crossentropy(TARGETS, tf.constant(MAPS), VISIBLE)
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_crossentropy_leaves_out_a_joint_whose_target_is_empty():
    targets = TARGETS.copy()
    targets[0, :, :, 0] = 0  # outside of the map
    hidden = VISIBLE.copy()
    hidden[0, 0] = 0
    np.testing.assert_allclose(
        keypoints.heatmap_crossentropy(targets, tf.constant(MAPS), VISIBLE),
        keypoints.heatmap_crossentropy(TARGETS, tf.constant(MAPS), hidden),
        atol=1e-12,
    )


def test_crossentropy_of_cells_is_that_of_one_hot_heatmaps():
    cells = np.array([[0, 3, 11, 5, 7], [2, 2, 8, 1, 10]])
    one_hot = np.eye(12)[cells].reshape(2, 5, 3, 4).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(
        keypoints.cell_crossentropy(cells, tf.constant(MAPS), VISIBLE),
        keypoints.heatmap_crossentropy(one_hot, tf.constant(MAPS), VISIBLE),
        atol=1e-12,
    )


@pytest.mark.parametrize(
    ("kind", "of_one"),
    [
        ("squares", lambda d: d**2),
        ("absolute", abs),
        ("smooth_l1", lambda d: d**2 / 0.4 if abs(d) < 0.2 else abs(d) - 0.1),
    ],
)
def test_coordinates(kind, of_one):
    targets, places = ramp((2, 5, 2), "float64"), ramp((2, 5, 2), "float64", low=0, high=0.9)
    expected = np.mean([sum(map(of_one, (targets - places)[n, k])) for n, k in SEEN])
    got = keypoints.coordinates(targets, tf.constant(places), VISIBLE, kind, beta=0.2)
    np.testing.assert_allclose(got, expected, atol=1e-12)


def test_visibility():
    logits = ramp((2, 5), "float64", low=-3, high=3)
    chances = 1 / (1 + np.exp(-logits))
    expected = -np.mean(np.log(np.where(VISIBLE, chances, 1 - chances)))
    np.testing.assert_allclose(keypoints.visibility(VISIBLE, logits), expected, atol=1e-12)


@pytest.mark.parametrize(
    "loss",
    [
        lambda maps, visible: keypoints.heatmap_squares(TARGETS, maps, visible),
        lambda maps, visible: keypoints.heatmap_crossentropy(TARGETS, maps, visible),
        lambda maps, visible: keypoints.cell_crossentropy(np.ones((2, 5)), maps, visible),
    ],
)
def test_what_is_not_seen_has_no_gradient_and_nothing_seen_no_loss(loss):
    maps = tf.constant(MAPS)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        value = loss(maps, VISIBLE)
    gradient = tape.gradient(value, maps).numpy()
    assert np.isfinite(gradient).all()
    np.testing.assert_array_equal(gradient.any(axis=(1, 2)), VISIBLE == 1)
    with tf.GradientTape() as tape:
        tape.watch(maps)
        value = loss(maps, np.zeros_like(VISIBLE))
    assert value == 0
    assert not tape.gradient(value, maps).numpy().any()


def test_bad_input():
    with pytest.raises(InputError, match="got loss 'cubes', expected one of squares"):
        keypoints.coordinates([[0.0, 0.0]], [[0.0, 0.0]], [1], "cubes")
    with pytest.raises(InputError, match="got beta=0"):
        keypoints.coordinates([[0.0, 0.0]], [[0.0, 0.0]], [1], "smooth_l1", beta=0)
