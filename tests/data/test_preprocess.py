"""Preprocessing: statistics of the training pictures, kept in the layer, the same at test."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, models, tasks
from dlcv_tf.data import preprocess
from dlcv_tf.errors import InputError
from tests import helpers
from tests.helpers import pictures

FITTED = ("mean_image", "pca", "whiten", "zca")


def digits(split="train"):
    return data.digits.arrays(split)[0]


def colours(count=300, size=(4, 3)):
    """Correlated RGB pictures in which every number varies."""
    random = np.random.default_rng(0)
    mixed = random.normal(size=(count, 36)) @ random.normal(size=(36, 36))
    return (127 + 8 * mixed).clip(0, 255).round().astype(np.uint8).reshape(count, *size, 3)


def flat(layer, images):
    return np.asarray(layer(images)).reshape(len(images), -1)


def covariance(vectors):
    return vectors.T @ vectors / len(vectors)


def test_per_channel_statistics_are_those_of_the_pictures():
    images = colours()
    layer = data.Preprocess.fitted(images, dtype="float64")
    got = np.asarray(layer(images))
    np.testing.assert_allclose(layer.mean, images.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(layer.std, images.std((0, 1, 2)), rtol=1e-12)
    assert abs(got.mean((0, 1, 2))).max() < 1e-6
    np.testing.assert_allclose(got.std((0, 1, 2)), 1, atol=1e-6)


def test_the_mean_image_is_taken_off_pixel_by_pixel():
    images = colours()
    layer = data.Preprocess.fitted(images, "mean_image", std=1.0, dtype="float64")
    np.testing.assert_allclose(layer.mean_image, images.mean(axis=0), rtol=1e-12)
    np.testing.assert_allclose(layer(images), images - images.mean(axis=0), atol=1e-9)


@pytest.mark.parametrize("how", FITTED)
def test_the_mean_is_zero(how):
    images = colours()
    layer = data.Preprocess.fitted(images, how, dtype="float64")
    assert abs(flat(layer, images).mean(axis=0)).max() < 1e-6


def test_pca_leaves_a_diagonal_covariance():
    images = colours()
    layer = data.Preprocess.fitted(images, "pca", std=1.0, dtype="float64")
    found = covariance(flat(layer, images))
    variances = np.diag(found)
    assert abs(found - np.diag(variances)).max() < 1e-6 * variances.max()
    assert (np.diff(variances) < 0).all()
    centred = (images - images.mean(axis=0)).reshape(len(images), -1)
    np.testing.assert_allclose(variances.sum(), (centred**2).sum() / len(images), rtol=1e-9)


@pytest.mark.parametrize("how", ["whiten", "zca"])
def test_whitening_leaves_the_identity(how):
    images = colours()
    layer = data.Preprocess.fitted(images, how, epsilon=0.0, dtype="float64")
    np.testing.assert_allclose(covariance(flat(layer, images)), np.eye(36), atol=1e-6)


def test_whitening_real_digits_leaves_the_identity_at_the_usual_epsilon():
    images = digits()  # in grey levels; of their 64 axes these 55 have a variance of 10 or more
    layer = data.Preprocess.fitted(images, "whiten", components=55, epsilon=1e-5, dtype="float64")
    np.testing.assert_allclose(covariance(flat(layer, images)), np.eye(55), atol=1e-6)


@pytest.mark.parametrize("how", FITTED)
def test_the_statistics_of_training_are_used_at_test(how):
    train, test = digits(), digits("test")
    layer = data.Preprocess.fitted(train, how)
    before = [np.array(weight) for weight in layer.weights]
    whole, alone = layer(test), layer(test[:1])
    np.testing.assert_allclose(alone[0], whole[0], atol=1e-4)  # whatever else is in the batch
    for one, other in zip(before, layer.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    assert abs(flat(layer, test).mean(axis=0)).max() > 1e-3  # not the test pictures' own mean
    assert not layer.trainable_weights


@pytest.mark.parametrize("how", FITTED)
def test_a_fitted_layer_answers_the_same_in_every_form(how, tmp_path):
    images = pictures(20, (4, 3))

    def build():
        return data.Preprocess.fitted(images, how, epsilon=1.0)

    helpers.check_layer(build, images[:5], tmp_path)


@pytest.mark.parametrize("how", FITTED)
@pytest.mark.parametrize("labels", [True, False])
def test_a_data_set_gives_the_statistics_of_its_pictures(how, labels, monkeypatch):
    monkeypatch.setattr(preprocess, "BATCH", 32)  # several batches, the last one smaller
    images = colours()
    whole = data.Preprocess.fitted(images, how, size=(3, 3), dtype="float64")
    stream = (images, np.arange(len(images))) if labels else images
    dataset = tf.data.Dataset.from_tensor_slices(stream)
    streamed = data.Preprocess.fitted(dataset, how, size=(3, 3), dtype="float64")
    for one, other in zip(whole.weights, streamed.weights, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-7)
    centred = np.asarray(whole(images)).mean(axis=0)
    assert abs(centred).max() < 1e-6


def test_fewer_components():
    images = colours()
    whole = data.Preprocess.fitted(images, "whiten", dtype="float64")
    reduced = data.Preprocess.fitted(images, "whiten", components=5, dtype="float64")
    assert reduced.compute_output_shape((None, 4, 3, 3)) == (None, 5)
    np.testing.assert_allclose(reduced(images), whole(images)[:, :5], atol=1e-9)
    zca = data.Preprocess.fitted(images, "zca", components=5)
    assert zca(images).shape == (300, 4, 3, 3)
    assert np.linalg.matrix_rank(flat(zca, images), tol=1e-2) == 5


def test_a_task_keeps_its_statistics(tmp_path):
    images, labels = data.digits.arrays("train")
    layer = data.Preprocess.fitted(images, "whiten", components=30)
    network = models.mlp(layer.compute_output_shape((None,))[1:], 10, hidden_units=(16,))
    task = tasks.Classifier(network, layer, [str(number) for number in range(10)])
    task.compile("sgd")
    before = [np.array(weight) for weight in layer.weights]
    task.fit(images[:64], labels[:64], verbose=0)
    task.save(tmp_path / "task.keras")
    loaded = keras.models.load_model(tmp_path / "task.keras")
    for one, other in zip(before, loaded.preprocess.weights, strict=True):
        np.testing.assert_array_equal(one, other)
    np.testing.assert_allclose(
        loaded.answer(images[:9])["probabilities"],
        task.answer(images[:9])["probabilities"],
        atol=1e-6,
    )


def test_configurations_of_older_files_load():
    old = {"name": "preprocess", "size": [8, 8], "channels": 1, "mean": [33.0], "std": [78.0]}
    layer = data.Preprocess.from_config(old)
    assert layer.how == "channel" and layer.weights == []
    np.testing.assert_allclose(layer(np.full((1, 8, 8, 1), 111, np.uint8)), 1.0, rtol=1e-6)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"how": "ica"}, "got how='ica', expected one of channel, mean_image, pca, whiten, zca"),
        ({"how": "pca", "size": (65, 64)}, "got how='pca' for pictures of 4160 numbers, expected"),
        ({"how": "pca", "components": 65}, "got components=65, expected 1 to 64"),
        ({"how": "pca", "components": 0}, "got components=0, expected 1 to 64"),
        ({"how": "whiten", "epsilon": -1}, "got epsilon=-1.0, expected 0 or more"),
    ],
)
def test_bad_options_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        data.Preprocess.fitted(digits()[:99], **arguments)


def test_arrays_are_numbers_per_channel():
    layer = data.Preprocess((8, 8), 3, np.array([1, 2, 3]), np.float32(2))
    assert layer.mean == (1.0, 2.0, 3.0) and layer.std == (2.0, 2.0, 2.0)
    assert data.Preprocess.from_config(layer.get_config()).mean == layer.mean
    assert all(type(value) is float for value in layer.mean + layer.std)


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"std": float("nan")}, "got std=nan, expected finite numbers"),
        ({"mean": [1.0, float("inf"), 3.0]}, r"got mean=\[1.0, inf, 3.0\], expected finite"),
        ({"mean": None}, "got mean=None, expected finite"),
        ({"mean": "grey"}, "got mean='grey', expected 1 or 3 numbers"),
        ({"mean": np.array([1, 2])}, "got 2 numbers as mean, expected 1 or 3"),
        ({"mean": []}, "got 0 numbers as mean, expected 1 or 3"),
        ({"std": np.ones((1, 3))}, r"got numbers of shape \(1, 3\) as std, expected 1 or 3"),
        ({"std": np.array([1, 0, 1])}, "expected numbers above zero"),
    ],
)
def test_bad_numbers_per_channel_are_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        data.Preprocess((8, 8), 3, **arguments)


@pytest.mark.parametrize("how", ["channel", "mean_image", "zca"])
def test_sets_without_pictures_are_refused(how):
    dataset = tf.data.Dataset.from_tensor_slices(digits()[:9])
    for empty in (dataset.take(0), dataset.filter(lambda image: False)):
        for size in (None, (8, 8)):
            with pytest.raises(InputError, match="got a set without pictures, expected at least"):
                data.Preprocess.fitted(empty, how, size)
        if how != "channel":
            with pytest.raises(InputError, match="got a set without pictures"):
                data.Preprocess((8, 8), 1, how=how).adapt(empty)


def test_bad_pictures_are_refused():
    with pytest.raises(InputError, match=r"got pictures of shape \(8, 8, 1\)"):
        data.Preprocess.fitted(digits()[0], "pca")
    with pytest.raises(InputError, match="got pictures with NaN"):
        data.Preprocess.fitted(np.full((2, 4, 4, 1), np.nan, np.float32), "pca")
    with pytest.raises(InputError, match="got how='channel', whose mean and std are given"):
        data.Preprocess((8, 8), 1).adapt(digits())
    with pytest.raises(InputError, match="got pictures of 1 channels, expected 3"):
        data.Preprocess((8, 8), 3, how="mean_image").adapt(digits())
    with pytest.raises(InputError, match="a mirrored picture would not be normalised"):
        layer = data.Preprocess((8, 8), 1, how="mean_image")
        tasks.Classifier(models.linear((8, 8, 1), 2), layer, "ab", test_time_flip=True)
