"""Splits and folds have no example in common, and leave none out."""

import numpy as np
import pytest
from sklearn.model_selection import KFold

from dlcv_tf import data
from dlcv_tf.errors import InputError


@pytest.mark.parametrize("seed", [0, 1, None])
def test_the_parts_of_a_split_are_disjoint(seed):
    parts = data.split(100, {"train": 60, "val": 25, "test": 10}, seed=seed)
    assert {name: len(indices) for name, indices in parts.items()} == {
        "train": 60,
        "val": 25,
        "test": 10,
    }
    everything = np.concatenate(list(parts.values()))
    assert len(np.unique(everything)) == 95 and everything.min() >= 0 and everything.max() < 100
    assert all((np.diff(indices) > 0).all() for indices in parts.values())


def test_a_split_follows_from_its_seed_and_none_keeps_the_order():
    sizes = {"a": 60, "b": 40}
    first, again, other = (data.split(100, sizes, seed=seed)["a"] for seed in (3, 3, 4))
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    in_order = data.split(100, sizes, seed=None)
    np.testing.assert_array_equal(in_order["a"], np.arange(60))
    np.testing.assert_array_equal(in_order["b"], np.arange(60, 100))


@pytest.mark.parametrize("seed", [0, 7])
def test_a_stratified_split_gives_every_part_each_class_in_proportion(seed):
    labels = np.repeat([0, 1, 2], [500, 300, 200])
    parts = data.split(1000, {"train": 800, "val": 100, "test": 50}, seed=seed, labels=labels)
    assert len(np.unique(np.concatenate(list(parts.values())))) == 950
    for indices in parts.values():
        expected = np.array([0.5, 0.3, 0.2]) * len(indices)
        np.testing.assert_allclose(np.bincount(labels[indices]), expected, atol=1.5)


@pytest.mark.parametrize("seed", [0, None])
def test_the_course_split_of_cifar10(seed):
    parts = data.course_split(seed=seed)
    sizes = {name: len(np.unique(indices)) for name, indices in parts.items()}
    assert sizes == {"train": 49_000, "val": 1_000, "test": 1_000, "dev": 500}
    assert not np.intersect1d(parts["train"], parts["val"]).size
    assert len(np.union1d(parts["train"], parts["val"])) == 50_000
    assert np.isin(parts["dev"], parts["train"]).all()
    assert parts["test"].max() < 10_000
    if seed is None:  # CS231n's own
        np.testing.assert_array_equal(parts["val"], np.arange(49_000, 50_000))
        np.testing.assert_array_equal(parts["test"], np.arange(1_000))


@pytest.mark.parametrize("count, number", [(10, 5), (11, 3), (7, 7), (5000, 5)])
def test_folds_in_order_are_those_of_scikit_learn(count, number):
    expected = list(KFold(number).split(np.zeros(count)))
    found = data.folds(count, number)
    assert len(found) == number
    for pair, other in zip(found, expected, strict=True):
        for indices, wanted in zip(pair, other, strict=True):
            np.testing.assert_array_equal(indices, wanted)


def test_drawn_folds_hold_every_example_once():
    found = data.folds(103, 4, seed=1)
    held = np.concatenate([validation for _, validation in found])
    np.testing.assert_array_equal(np.sort(held), np.arange(103))
    assert {len(validation) for _, validation in found} == {25, 26}
    for training, validation in found:
        assert not np.intersect1d(training, validation).size
        assert len(training) + len(validation) == 103
    assert (np.diff(found[0][1]) > 1).any()  # drawn, not cut


def test_bad_input_says_how_to_mend_it():
    with pytest.raises(InputError, match="at most 10 together"):
        data.split(10, {"train": 9, "val": 2})
    with pytest.raises(InputError, match="at least one in each"):
        data.split(10, {"train": 9, "val": 0})
    with pytest.raises(InputError, match=r"labels of shape \(9,\) for 10 examples"):
        data.split(10, {"train": 5}, labels=np.zeros(9))
    for number in (1, 6):
        with pytest.raises(InputError, match=f"got {number} folds for 5 examples, expected 2 to 5"):
            data.folds(5, number)
