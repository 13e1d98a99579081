"""Toy sets are what their names say, balanced, and follow from the seed."""

import numpy as np
import pytest

from dlcv_tf.data import toys
from dlcv_tf.errors import InputError


@pytest.mark.parametrize("name", toys.TOYS)
def test_sets_are_balanced_reproducible_and_finite(name):
    points, labels = toys.make(name, 300, seed=3)
    width = 4 if name == "parity" else 2
    assert points.shape == (300, width) and points.dtype == np.float32
    assert labels.dtype == np.int64 and len(set(np.bincount(labels))) == 1
    assert np.isfinite(points).all()
    again, others = toys.make(name, 300, seed=3), toys.make(name, 300, seed=4)
    np.testing.assert_array_equal(points, again[0])
    assert not np.array_equal(points, others[0])


def test_class_one_is_where_it_should_be():
    points, labels = toys.make("xor", 400)
    np.testing.assert_array_equal(labels, points[:, 0] * points[:, 1] < 0)
    points, labels = toys.make("annulus", 400)
    distance = np.linalg.norm(points, axis=1)
    np.testing.assert_array_equal(labels, (distance > 1) & (distance < 2))
    assert (distance[labels == 0] < 1).any() and (distance[labels == 0] > 2).any()
    points, labels = toys.make("parity", 400)
    np.testing.assert_array_equal(labels, (points > 0).sum(axis=1) % 2)
    assert len({tuple(bits) for bits in points > 0}) == 16
    points, labels = toys.make("modes", 400)
    far = np.linalg.norm(points, axis=1) > 1.2
    assert np.mean(far == labels) > 0.99
    assert len({round(np.arctan2(y, x) / 2) for x, y in points[labels == 1]}) >= 2
    points, labels = toys.make("blobs", 400)
    assert np.mean((points[:, 0] > 0) == labels) > 0.99


def test_spiral_is_cs231ns_but_for_the_noise():
    points, labels = toys.make("spiral", 300)
    for arm in range(3):
        of_arm = points[labels == arm]
        np.testing.assert_allclose(
            np.linalg.norm(of_arm, axis=1), np.linspace(0, 1, 100), atol=1e-6
        )
        angles = np.unwrap(np.arctan2(*of_arm[1:].T))
        turn = angles - np.linspace(arm * 4, (arm + 1) * 4, 100)[1:]
        noise = turn - 2 * np.pi * np.round(np.mean(turn) / (2 * np.pi))
        assert abs(noise.mean()) < 0.1 and 0.15 < noise.std() < 0.25


def test_unknown_names_and_too_few_points_are_refused():
    with pytest.raises(InputError, match="unknown toy set 'spirals': did you mean 'spiral'"):
        toys.make("spirals")
    with pytest.raises(InputError, match="got num_examples=2 for spiral, expected 3 or more"):
        toys.make("spiral", 2)
