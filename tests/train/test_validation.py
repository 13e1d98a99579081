"""Cross-validation is that of scikit-learn, number for number."""

import numpy as np
import pytest
from sklearn.model_selection import KFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier

from dlcv_tf import data, train
from dlcv_tf.data import digits
from dlcv_tf.errors import InputError
from dlcv_tf.ops import distances
from dlcv_tf.train import validation

KS = (1, 3, 5, 8, 10, 12, 15, 20, 50, 100)


@pytest.mark.parametrize("kind, metric", [("l1", "manhattan"), ("l2", "euclidean")])
def test_fifty_accuracies_are_those_of_scikit_learn(kind, metric, monkeypatch):
    images, labels = digits.arrays("train")
    noise = np.random.default_rng(0).normal(0, 0.01, (len(images), 64))
    points = images.reshape(-1, 64) + noise  # no two distances equal: scikit-learn picks any then
    searches, nearest = [], distances.nearest
    monkeypatch.setattr(distances, "nearest", lambda *a: searches.append(1) or nearest(*a))
    found = train.validate_neighbours(points, labels, KS, data.folds(len(points), 5), kind)
    assert len(searches) == 5  # once in each fold, for all k
    assert found.scores.shape == (10, 5) and found.settings == KS
    for k, scores in zip(KS, found.scores, strict=True):
        other = KNeighborsClassifier(k, algorithm="brute", metric=metric)
        expected = cross_val_score(other, points, labels, cv=KFold(5))
        np.testing.assert_allclose(scores, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.means, found.scores.mean(axis=1))
    np.testing.assert_allclose(found.deviations, np.std(found.scores, axis=1))
    assert found.best == KS[int(np.argmax(found.means))]


def test_any_score_of_any_settings():
    seen = []

    def score(training, validation_indices):
        seen.append((len(training), len(validation_indices)))
        return [1.0, 5.0, 5.0]

    found = train.cross_validate(score, ("a", "b", "c"), data.folds(10, 5))
    assert seen == [(8, 2)] * 5
    assert found.best == "b" and found.scores.shape == (3, 5)


def test_votes_go_to_the_smaller_class_where_there_are_as_many():
    examples, labels = [[0.0], [1.0], [2.0], [3.0]], [2, 1, 1, 2]
    got = validation.neighbour_labels(examples, labels, [[-1.0]], (1, 2, 3, 4))
    assert got.tolist() == [[2], [1], [1], [1]]


@pytest.mark.parametrize("dtype", "f4 f8 i1 i2 i4 i8 u1 u2 u4 u8".split())
def test_class_numbers_of_every_type(dtype):
    examples, labels = [[0.0], [1.0], [5.0]], np.array([3, 3, 100], dtype)
    got = validation.neighbour_labels(examples, labels, [[0.4], [6.0]], (1, 3))
    assert got.tolist() == [[3, 100], [3, 3]]
    points = np.repeat(np.arange(5.0), 2)[:, None]
    numbers = np.repeat(np.arange(5), 2).astype(dtype)
    halves = [(np.arange(0, 10, 2), np.arange(1, 10, 2))]
    assert train.validate_neighbours(points, numbers, (1,), halves).scores.tolist() == [[1.0]]


def test_the_largest_class_number_of_a_byte_does_not_wrap():
    labels = np.array([255, 0], np.uint8)
    assert validation.neighbour_labels([[0], [9]], labels, [[1]], (1,)).tolist() == [[255]]


def test_bad_input_says_how_to_mend_it():
    points, labels = np.zeros((10, 2)), np.arange(10)
    folds = data.folds(10, 5)
    with pytest.raises(InputError, match="got k=9 with 8 examples, expected 1 to 8"):
        train.validate_neighbours(points, labels, (1, 9), folds)
    with pytest.raises(InputError, match="got the label -1"):
        train.validate_neighbours(points, labels - 1, (1,), folds)
    with pytest.raises(InputError, match="got the label -1"):
        validation.neighbour_labels(points, labels - 1, points, (1,))
    for wrong in (labels[1:], np.append(labels, 3)):
        match = rf"examples of shape \(10, 2\) and {len(wrong)} labels.*a label for each"
        with pytest.raises(InputError, match=match):
            train.validate_neighbours(points, wrong, (1,), folds)
        with pytest.raises(InputError, match=match):
            validation.neighbour_labels(points, wrong, points, (1,))
    for bad in (np.eye(10), list("abcdefghij"), np.full(10, np.nan)):
        with pytest.raises(InputError, match=r"expected \(n,\) class numbers"):
            validation.neighbour_labels(points, bad, points, (1,))
    with pytest.raises(InputError, match="got the label inf"):
        validation.neighbour_labels(points, np.full(10, np.inf), points, (1,))
    with pytest.raises(InputError, match="got no number of neighbours to try"):
        train.validate_neighbours(points, labels, [], folds)
    with pytest.raises(InputError, match="got no number of neighbours to try"):
        validation.neighbour_labels(points, labels, points, [])
    with pytest.raises(InputError, match="got no folds, expected at least one"):
        train.validate_neighbours(points, labels, (1,), [])
    with pytest.raises(InputError, match=r"scores of shape \(2,\) for 3 settings"):
        train.cross_validate(lambda *_: [0.1, 0.2], (1, 2, 3), folds)
