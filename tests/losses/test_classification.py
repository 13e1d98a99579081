"""Losses of classifiers against Keras's own and against NumPy."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, losses, models, tasks
from dlcv_tf.errors import InputError
from tests.helpers import pictures, ramp

CLASSES = 5
LABELS = np.array([0, 3, 4, 1, 3, 2])
LOGITS = ramp((6, CLASSES), low=-4, high=6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("kind", [np.int64, np.float32])
def test_smoothed_crossentropy_is_keras_own_of_smoothed_targets(smoothing, kind):
    targets = np.eye(CLASSES, dtype=np.float32)[LABELS]
    oracle = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    loss = losses.SmoothedCrossentropy(smoothing)
    logits = tf.Variable(LOGITS)
    gradients = []
    for function, labels in ((loss, LABELS.astype(kind)), (oracle, targets)):
        with tf.GradientTape() as tape:
            value = function(labels, logits)
        gradients.append(tape.gradient(value, logits))
    np.testing.assert_allclose(loss(LABELS, LOGITS), oracle(targets, LOGITS), rtol=1e-5)
    np.testing.assert_allclose(*gradients, atol=1e-6)


def test_more_axes_and_weights_of_examples():
    labels, logits = LABELS.reshape(2, 3), LOGITS.reshape(2, 3, CLASSES)
    each = losses.SmoothedCrossentropy(0.2, reduction="none")(labels, logits)
    likely = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    expected = -0.8 * likely[np.arange(6), LABELS] - 0.2 * likely.mean(-1)
    np.testing.assert_allclose(each, expected.reshape(2, 3), rtol=1e-5)
    weighted = losses.SmoothedCrossentropy(0.2)(LABELS, LOGITS, sample_weight=np.arange(6.0))
    np.testing.assert_allclose(weighted, (expected * np.arange(6)).mean(), rtol=1e-5)


def test_large_logits_stay_finite():
    assert np.isfinite(losses.SmoothedCrossentropy(0.1)(LABELS, 1e30 * LOGITS))


def test_it_is_saved_with_the_task_that_it_trains(tmp_path):
    loss = losses.SmoothedCrossentropy(0.3, name="other")
    clone = losses.SmoothedCrossentropy.from_config(loss.get_config())
    assert clone.get_config() == loss.get_config() and clone.smoothing == 0.3
    task = tasks.Classifier(models.linear((8, 8, 3), 3), data.Preprocess((8, 8), 3), list("abc"))
    task.compile("sgd", loss)
    images, labels = pictures(6, (8, 8)), np.arange(6) % 3
    task.fit(images, labels, verbose=0)
    task.save(tmp_path / "task.keras")
    loaded = keras.models.load_model(tmp_path / "task.keras")
    assert isinstance(loaded.loss, losses.SmoothedCrossentropy) and loaded.loss.smoothing == 0.3
    expected = task.evaluate(images, labels, return_dict=True, verbose=0)
    got = loaded.evaluate(images, labels, return_dict=True, verbose=0)
    assert got == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, 2, float("nan")])
def test_smoothing_outside_its_range_is_refused(smoothing):
    with pytest.raises(InputError, match=f"got smoothing={smoothing}, expected 0 or more, below 1"):
        losses.SmoothedCrossentropy(smoothing)
