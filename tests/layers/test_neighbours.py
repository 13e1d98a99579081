"""`NeighbourVotes` votes as a plain loop over sorted distances does."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import layers
from dlcv_tf.errors import InputError

CLASSES = 4


def examples(count=30, features=5):
    random = np.random.default_rng(0)
    return random.normal(size=(count, features)), random.integers(0, CLASSES, count)


def oracle(known, labels, queries, k, kind):
    votes = np.zeros((len(queries), CLASSES))
    for row, query in enumerate(queries):
        differences = np.abs(known - query)
        apart = differences.sum(1) if kind == "l1" else (differences**2).sum(1)
        for number in np.argsort(apart, kind="stable")[:k]:
            votes[row, labels[number]] += 1 / k
    return votes


@pytest.mark.parametrize("kind", ["l1", "l2"])
@pytest.mark.parametrize("k", [1, 3, 30])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_votes(kind, k, dtype):
    known, labels = examples()
    layer = layers.NeighbourVotes(len(known), CLASSES, k, kind, dtype=dtype)
    layer.build((None, 5))
    layer.remember(known[:11], labels[:11])
    layer.remember(known[11:], labels[11:], 11)
    queries = np.random.default_rng(1).normal(size=(8, 5))
    votes = layer(queries)
    assert votes.dtype == dtype
    atol = 1e-6 if dtype == "float32" else 1e-12
    np.testing.assert_allclose(votes, oracle(known, labels, queries, k, kind), atol=atol)
    np.testing.assert_array_equal(tf.function(layer)(tf.constant(queries, dtype)), votes)
    assert not layer.trainable_variables


def test_it_has_as_many_numbers_as_examples():
    sizes = []
    for count in (10, 20):
        layer = layers.NeighbourVotes(count, CLASSES, distance="l1")
        layer.build((None, 2, 3, 1))
        sizes.append(layer.count_params())
    assert sizes == [10 * (6 + 1), 20 * (6 + 1)]


def test_places_without_an_example_vote_for_no_class():
    layer = layers.NeighbourVotes(3, CLASSES, k=2)
    layer.build((None, 1))
    np.testing.assert_array_equal(layer(np.zeros((1, 1))), np.zeros((1, CLASSES)))
    layer.remember([[5.0], [6.0]], [3, 1])
    np.testing.assert_array_equal(layer(np.array([[5.4]])), [[0, 0.5, 0, 0.5]])


@pytest.mark.parametrize("kind", ["l1", "l2"])
def test_mixed_precision_measures_in_float32(kind):
    layer = layers.NeighbourVotes(2, 2, distance=kind, dtype="mixed_float16")
    layer.build((None, 100))
    layer.remember([[200] * 100, [100] * 100], [0, 1])
    query = np.full((1, 100), 100)
    for votes in (layer(query), layer(query.astype(np.float16)), tf.function(layer)(query)):
        assert votes.dtype == tf.float16
        np.testing.assert_array_equal(votes, [[0, 1]])
    inputs = keras.Input((100,))
    network = keras.Model(inputs, layer(inputs))
    np.testing.assert_array_equal(network(query), [[0, 1]])


def test_bad_input_says_how_to_mend_it():
    with pytest.raises(InputError, match="got k=5 with 4 examples, expected 1 to 4: lower k"):
        layers.NeighbourVotes(4, CLASSES, k=5)
    with pytest.raises(InputError, match="unknown distance 'euclid'"):
        layers.NeighbourVotes(4, CLASSES, distance="euclid")
    known, labels = examples(4)
    layer = layers.NeighbourVotes(4, CLASSES)
    layer.build((None, 5))
    layer.remember(known, labels)
    for bad, numbers, match in (
        (known[:, :4], labels, r"shape \(4, 4\) with 4 labels.* 5 numbers in each"),
        (known[:3], labels, "a label for each example"),
        (known.T, labels, r"shape \(5, 4\) with 4 labels"),
        (known.reshape(2, 10), labels, r"shape \(2, 10\) with 4 labels"),
        (known, 3, r"shape \(\) and type"),
        (known[:0], labels[:0], r"shape \(0, 5\) with 0 labels"),
        (known, [0, 1, 2, 4], "got the label 4, expected 0 to 3"),
        (known, [0, 1, -1, 3], "got the label -1, expected 0 to 3"),
        (known, [0, 1, 0.5, 3], r"expected \(n,\) class numbers"),
        (known, list("abcd"), "type <U1, expected"),
        (known, np.eye(4), "take the argmax of one-hot"),
        (np.where(known == known[1, 1], np.nan, known), labels, "1 of 4 points with a NaN"),
    ):
        with pytest.raises(InputError, match=match):
            layer.remember(bad, numbers)
    with pytest.raises(InputError, match="got 5 examples or more for 4 places.*num_examples=5"):
        layer.remember(known, labels, position=1)
    with pytest.raises(InputError, match="got position=-1, expected 0 or more"):
        layer.remember(known[:1], labels[:1], position=-1)
    with pytest.raises(InputError, match=r"inputs of shape \(1, 10\), expected 5 numbers in each"):
        layer(np.zeros((1, 10)))
    with pytest.raises(InputError, match="1 of 1 points with a NaN"):
        layer(np.full((1, 5), np.inf, np.float32))
    np.testing.assert_array_equal(np.argmax(layer(known), axis=1), labels)  # none has done harm
