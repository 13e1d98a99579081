"""Support vector machines with hard negatives come out as liblinear's; ridges in closed form."""

import numpy as np
import pytest
from sklearn.svm import LinearSVC

from dlcv_tf.errors import InputError
from dlcv_tf.train import linear_heads
from tests.helpers import ramp


def regions(count=300, numbers=6, classes=3, seed=0):
    """Returns features of clouds of points, and whether each is in that of a class."""
    random = np.random.default_rng(seed)
    cloud = random.integers(0, classes + 3, count)  # most are of no class
    centres = random.normal(0, 2, (classes + 3, numbers))
    features = centres[cloud] + random.normal(0, 1, (count, numbers))
    positive = cloud[:, None] == np.arange(classes)
    return features.astype(np.float32), positive


def objective(features, positive, penalty, weights, bias):
    margins = np.where(positive, 1, -1) * (features @ weights + bias)
    return (weights**2).sum() / 2 + penalty * np.maximum(0, 1 - margins).sum()


def test_machines_are_those_of_liblinear():
    features, positive = regions()
    scale = linear_heads.MEAN_NORM / np.linalg.norm(features, axis=1).mean()
    found = linear_heads.one_against_rest(
        features, positive, ~positive, penalty=0.01, first_negatives=1000, rounds=1
    )
    for number in range(positive.shape[1]):
        theirs = LinearSVC(loss="hinge", C=0.01, intercept_scaling=100, max_iter=200_000, dual=True)
        theirs.fit(features * scale, positive[:, number])
        best = objective(
            features * scale, positive[:, number], 0.01, theirs.coef_[0], theirs.intercept_
        )
        ours = objective(
            features * scale,
            positive[:, number],
            0.01,
            found.weights[:, number] / scale,
            found.biases[number],
        )
        assert ours < best * 1.01


def test_the_objective_is_that_of_the_definition():
    features, positive = ramp((5, 4)), np.array([[1, 0], [0, 1], [0, 0], [1, 1], [0, 0]], bool)
    weights, biases = ramp((4, 2), high=0.5), np.array([0.3, -0.2], np.float32)
    part = np.ones_like(positive)
    got = linear_heads.hinge_objective(features, positive, part, 0.7, weights, biases)
    each = [objective(features, positive[:, k], 0.7, weights[:, k], biases[k]) for k in range(2)]
    np.testing.assert_allclose(got, sum(each), rtol=1e-6)
    half = linear_heads.hinge_objective(features, positive, ~part, 0.7, weights, biases)
    np.testing.assert_allclose(half, (weights**2).sum() / 2, rtol=1e-6)


def test_hard_negatives_do_what_all_negatives_do():
    features, positive = regions(count=2000)
    options = {"penalty": 0.01, "steps": 500}
    everything = linear_heads.one_against_rest(
        features, positive, ~positive, first_negatives=2000, rounds=1, **options
    )
    mined = linear_heads.one_against_rest(
        features, positive, ~positive, first_negatives=50, rounds=4, **options
    )
    assert (mined.negatives[0] == 50).all()
    assert (np.diff(mined.negatives, axis=0) >= 0).all()
    assert (mined.negatives[-1] < 0.6 * everything.negatives[-1]).all()
    right = [((each.scores(features) > 0) == positive).mean() for each in (everything, mined)]
    assert right[1] > right[0] - 0.01 and right[0] > 0.9


def test_regions_that_are_neither_take_no_part():
    features, positive = regions()
    features[0] = 1000  # would turn everything around
    negative = ~positive
    negative[0] = positive[0] = False
    found = linear_heads.one_against_rest(features, positive, negative, rounds=1)
    without = linear_heads.one_against_rest(features[1:], positive[1:], negative[1:], rounds=1)
    ours, theirs = (each.scores(features[1:]) > 0 for each in (found, without))
    assert (ours == theirs).mean() > 0.9


def test_ridge_is_the_least_of_its_objective():
    features, targets = ramp((20, 4)) + 3, ramp((20, 2), low=-2)
    weights, biases = linear_heads.ridge(features, targets, penalty=5.0)
    scale = linear_heads.MEAN_NORM / np.linalg.norm(features, axis=1).mean()

    def value(weights, biases):
        errors = targets - features * scale @ (weights / scale) - biases
        return (errors**2).sum() + 5.0 * ((weights / scale) ** 2).sum()

    least = value(weights, biases)
    random = np.random.default_rng(0)
    for _ in range(20):
        moved = weights + random.normal(0, 0.01, weights.shape)
        assert value(moved, biases) > least
        assert value(weights, biases + random.normal(0, 0.01, 2)) > least


def test_without_a_penalty_a_linear_map_is_found():
    features = np.random.default_rng(0).normal(size=(30, 3))
    targets = features @ ramp((3, 2), "float64") + [1.0, -2.0]
    weights, biases = linear_heads.ridge(features, targets, penalty=0.0)
    np.testing.assert_allclose(weights, ramp((3, 2), "float64"), atol=1e-9)
    np.testing.assert_allclose(biases, [1, -2], atol=1e-9)


def test_what_teaches_nothing_is_refused():
    features, positive = regions(60)
    with pytest.raises(InputError, match=r"no positive region for the classes \[1\]"):
        linear_heads.one_against_rest(features, positive & (np.arange(3) != 1), ~positive)
    with pytest.raises(InputError, match=r"no negative region for the classes \[0, 1, 2\]"):
        linear_heads.one_against_rest(features, positive | True, positive & False)
    with pytest.raises(InputError, match="expected \\(n, numbers\\)"):
        linear_heads.one_against_rest(features[1:], positive, ~positive)
    with pytest.raises(InputError, match="got 0 features and 0 targets"):
        linear_heads.ridge(np.zeros((0, 3)), np.zeros((0, 4)))
