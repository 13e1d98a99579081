"""The mean picture is the mean, and drift is found where there is some and hardly anywhere else."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data
from dlcv_tf.data import digits, shapes, statistics
from dlcv_tf.errors import InputError
from tests.helpers import pictures


def test_mean_image_of_arrays_and_data_sets():
    images, labels = digits.arrays("train")
    expected = images.astype(np.float64).mean(axis=0)
    dataset = data.load("digits", "train")[0]
    for examples in (images, (images, labels), dataset, dataset.map(lambda image, _: image)):
        found = data.mean_image(examples)
        assert found.shape == (8, 8, 1) and found.dtype == np.float64
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


def halves(seed, first=900):
    images, labels = digits.arrays("train")
    parts = data.split(len(images), {"a": first, "b": len(images) - first}, seed=seed)
    return [(images[indices], labels[indices]) for indices in parts.values()]


def test_random_splits_raise_no_more_false_alarms_than_allowed():
    splits, allowed = 200, 0.05
    alarms = sum(data.drift(*halves(seed), false_alarms=allowed).drifted for seed in range(splits))
    assert alarms <= allowed * splits + 3 * np.sqrt(allowed * (1 - allowed) * splits)
    assert not data.drift(*halves(0)).drifted


def test_inverted_and_brighter_pictures_and_other_class_frequencies_are_noticed():
    first, (images, labels) = halves(0)
    inverted = data.drift(first, (255 - images, labels))
    assert "skew of grey" in inverted.reasons and "labels" not in inverted.reasons
    brighter = data.drift(first, (np.clip(images + 10.0, 0, 255), labels))
    assert "mean of grey" in brighter.reasons and brighter.moments["mean of grey"] > 0
    kept = labels != 3
    shifted = data.drift(first, (images[kept], labels[kept]))
    assert shifted.drifted and "labels" in shifted.reasons


def test_each_colour_is_looked_at_and_data_sets_are_taken():
    images, labels = shapes.arrays("val")
    warmer = images.astype(float)
    warmer[..., 0] += 25
    found = data.drift(data.load("shapes", "val")[0], (warmer, labels))
    assert found.reasons == ["mean of red"]
    test = data.load("shapes", "test", image_size=(32, 32))[0].take(400)
    assert not data.drift(data.load("shapes", "train", image_size=(32, 32))[0], test).drifted


def test_moments_are_those_of_the_pixels():
    images, labels = pictures(6, (5, 4)), np.arange(6)
    found, numbers = statistics._moments((images, labels))
    pixels = images.reshape(6, 20, 3).astype(float)
    centred = pixels - pixels.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(found[:, 0], pixels.mean(axis=1))
    np.testing.assert_allclose(found[:, 1], pixels.std(axis=1))
    np.testing.assert_allclose(found[:, 2] ** 3, (centred**3).mean(axis=1), rtol=1e-6)
    np.testing.assert_array_equal(numbers, labels)


def test_sets_without_any_spread_and_rare_classes():
    grey = np.full((4, 3, 3, 1), 7, np.uint8)
    same = data.drift((grey, np.zeros(4)), (grey, np.zeros(4)))
    assert not same.drifted and same.moments["mean of grey"] == 0
    assert data.drift((grey, np.zeros(4)), (grey + 1, np.zeros(4))).drifted
    # 300 classes, most of them in one set only, though from one source: too few to judge each.
    random = np.random.default_rng(0)
    pair = [(random.integers(0, 255, (200, 3, 3, 1)), random.integers(0, 300, 200)) for _ in "ab"]
    assert not data.drift(*pair, false_alarms=0.01).drifted


def test_bad_input_says_how_to_mend_it():
    images, labels = pictures(6, (5, 4)), np.arange(6)
    with pytest.raises(InputError, match="set without pictures"):
        data.mean_image(images[:0])
    with pytest.raises(InputError, match=r"expected \(height, width, channels\)"):
        data.mean_image(images[..., 0])
    with pytest.raises(InputError, match=r"expected \(images, labels\)"):
        data.drift(images, (images, labels))
    with pytest.raises(InputError, match="got 6 pictures and 5 labels"):
        data.drift((images, labels[1:]), (images, labels))
    with pytest.raises(InputError, match="pictures of 3 and of 1 channels"):
        data.drift((images, labels), (images[..., :1], labels))
    with pytest.raises(InputError, match="got 6 and 1 pictures, expected two or more"):
        data.drift((images, labels), (images[:1], labels[:1]))
    with pytest.raises(InputError, match=r"labels of shape \(6,\) each.*argmax of one-hot"):
        data.drift((images, np.eye(6)[labels]), (images, labels))
    for value in (np.nan, np.inf):
        bad = images.astype(np.float32)
        bad[3, 2, 1, 0] = value
        with pytest.raises(InputError, match="got pictures with NaN or infinity"):
            data.drift((images, labels), (bad, labels))
    dataset = tf.data.Dataset.from_tensor_slices(images)
    for empty in (dataset.take(0), dataset.filter(lambda image: False)):  # known, unknown
        with pytest.raises(InputError, match="set without pictures"):
            data.mean_image(empty)


def test_labels_in_a_column_are_class_numbers_too():
    images, labels = pictures(6, (5, 4)), np.arange(6) % 2
    got = data.drift((images, labels[:, None]), (images, labels))
    assert got == data.drift((images, labels), (images, labels))
