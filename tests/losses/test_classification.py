"""Losses of classifiers against Keras's own and against NumPy."""

import math

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


def test_softmax_and_its_losses_in_float64():
    logits = ramp((6, CLASSES), dtype="float64", low=-4, high=6)
    likely = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    np.testing.assert_allclose(losses.softmax(logits), np.exp(likely), rtol=1e-12)
    np.testing.assert_allclose(losses.log_softmax(logits), likely, rtol=1e-12)
    smoothed = losses.SmoothedCrossentropy(0.2, reduction="none", dtype="float64")
    expected = -0.8 * likely[np.arange(6), LABELS] - 0.2 * likely.mean(-1)
    np.testing.assert_allclose(smoothed(LABELS, logits), expected, rtol=1e-9)


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


# CS231n notes, "Linear classification", github.com/cs231n/cs231n.github.io, linear-classify.md:
# lines 132-138 (hinge), 303 (overflow), 328 and 334 (probabilities).
def test_published_hinge_example():
    assert float(losses.multiclass_hinge(0, [13, -7, 11], delta=10)) == 8
    assert float(losses.multiclass_hinge(0, [13, -7, 11], delta=10, squared=True)) == 64


@pytest.mark.parametrize(
    "scores, expected",
    [
        ([1, -2, 0], [0.7, 0.04, 0.26]),
        ([0.5, -1, 0], [0.55, 0.12, 0.33]),
        ([123, 456, 789], [0, 0, 1]),
    ],
)
def test_published_probabilities(scores, expected):
    np.testing.assert_allclose(losses.softmax(scores), expected, atol=6e-3)
    exact = losses.softmax(np.array(scores, np.float64)).numpy()
    assert exact.dtype == np.float64 and abs(exact.sum() - 1) < 1e-12


def test_hinge_is_content_with_the_margin_and_softmax_is_not():
    scores = [[10.0, -2, 3], [10, 9, 9], [10, -100, -100]]
    assert not np.any(losses.multiclass_hinge([0, 0, 0], scores))
    found = losses.softmax_crossentropy([0, 0, 0], scores)
    np.testing.assert_allclose(found, [9.1e-4, 0.551, 0], rtol=0.01, atol=1e-6)


# The forms by loops are the oracle: written from the definition, with gradients by hand.
ORACLES = {
    "hinge": (
        lambda labels, logits: losses.multiclass_hinge(labels, logits, 2.5),
        lambda labels, logits: losses.naive.multiclass_hinge(labels, logits, 2.5),
    ),
    "squared hinge": (
        lambda labels, logits: losses.multiclass_hinge(labels, logits, 0.5, squared=True),
        lambda labels, logits: losses.naive.multiclass_hinge(labels, logits, 0.5, squared=True),
    ),
    "softmax": (losses.softmax_crossentropy, losses.naive.softmax_crossentropy),
}


@pytest.mark.parametrize("name", ORACLES)
def test_vectorised_forms_are_those_by_loops_value_and_gradient(name):
    vectorised, by_loops = ORACLES[name]
    logits = tf.Variable(LOGITS.astype(np.float64))
    with tf.GradientTape() as tape:
        found = vectorised(LABELS, logits)
    assert found.dtype == tf.float64
    gradients = tape.gradient(found, logits)
    assert gradients.shape == logits.shape
    expected, expected_gradients = by_loops(LABELS, logits.numpy())
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(gradients, expected_gradients, rtol=0, atol=1e-12)
    traced = tf.function(vectorised)(LABELS, logits)
    np.testing.assert_allclose(traced, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", ORACLES)
def test_gradients_by_hand_are_centred_differences(name):
    by_loops, step = ORACLES[name][1], 1e-6
    logits = LOGITS.astype(np.float64)
    _, gradients = by_loops(LABELS, logits)
    for example, score in np.ndindex(logits.shape):
        moved = np.zeros_like(logits)
        moved[example, score] = step
        above, below = (by_loops(LABELS, logits + sign * moved)[0].sum() for sign in (1, -1))
        slope = (above - below) / (2 * step)
        assert abs(slope - gradients[example, score]) < 1e-7 * max(1, abs(slope))


def test_softmax_crossentropy_is_keras_own():
    oracle = keras.losses.sparse_categorical_crossentropy(LABELS, LOGITS, from_logits=True)
    np.testing.assert_allclose(losses.softmax_crossentropy(LABELS, LOGITS), oracle, rtol=1e-5)
    found = losses.log_softmax(LOGITS)
    np.testing.assert_allclose(found, tf.nn.log_softmax(LOGITS), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("classes", [2, 10, 1000])
def test_scores_that_are_alike_give_log_c_and_delta_times_c_minus_one(classes):
    scores = np.full((3, classes), 7.0)
    labels = np.array([0, 1, classes - 1])
    np.testing.assert_allclose(losses.softmax_crossentropy(labels, scores), math.log(classes))
    np.testing.assert_allclose(losses.multiclass_hinge(labels, scores), classes - 1)
    np.testing.assert_allclose(losses.multiclass_hinge(labels, scores, 3.0), 3 * (classes - 1))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_scores_of_ten_thousand_overflow_nothing(kind):
    scores = np.array([[1e4, 0, -1e4], [0, 1e4, -1e4]], kind)
    variable = tf.Variable(scores)
    with tf.GradientTape() as tape:
        softmax = losses.softmax_crossentropy([0, 0], variable)
        hinge = losses.multiclass_hinge([0, 0], variable, squared=True)
        total = tf.reduce_sum(softmax) + tf.reduce_sum(hinge)
    np.testing.assert_allclose(softmax, [0, 1e4])  # a perfect answer costs nothing at all
    np.testing.assert_allclose(hinge, [0, 10001.0**2])
    assert np.isfinite(tape.gradient(total, variable)).all()
    assert np.isfinite(losses.naive.softmax_crossentropy([0, 0], scores)[0]).all()


def test_hinge_object_is_the_mean_and_takes_weights_of_examples():
    each, _ = losses.naive.multiclass_hinge(LABELS, LOGITS, 2.0, squared=True)
    loss = losses.MulticlassHinge(2.0, squared=True)
    np.testing.assert_allclose(loss(LABELS, LOGITS), each.mean(), rtol=1e-5)
    np.testing.assert_allclose(loss(LABELS[:, None], LOGITS), each.mean(), rtol=1e-5)
    weighted = loss(LABELS, LOGITS, sample_weight=np.arange(6.0))
    np.testing.assert_allclose(weighted, (each * np.arange(6)).mean(), rtol=1e-5)
    places = losses.MulticlassHinge(2.0, squared=True, reduction="none")
    found = places(LABELS.reshape(2, 3), LOGITS.reshape(2, 3, CLASSES))
    np.testing.assert_allclose(found, each.reshape(2, 3), rtol=1e-5)


@pytest.mark.parametrize("function", [losses.multiclass_hinge, losses.softmax_crossentropy])
def test_bad_labels_and_scores_are_named(function):
    for label, shown in ((5, "5"), (-1, "-1"), (1.5, "1.5")):
        with pytest.raises(InputError, match=f"got the label {shown}, expected a class number"):
            function(np.array([label, 0]), LOGITS[:2])
    for score in (np.nan, np.inf):
        with pytest.raises(InputError, match=f"got the score {score}, expected finite numbers"):
            function([0], np.array([[score, 1.0]]))
    with pytest.raises(InputError, match=r"got labels of shape \(2, 5\).*by argmax"):
        function(np.eye(5)[:2], LOGITS[:2])
    with pytest.raises(InputError, match=r"got labels of shape \(3,\) for logits of shape"):
        function(LABELS[:3], LOGITS[:2])


@pytest.mark.parametrize("function", [losses.multiclass_hinge, losses.softmax_crossentropy])
def test_a_bad_label_in_a_graph_makes_the_loss_nan(function):
    found = tf.function(function)(np.array([0, 5, -1]), LOGITS[:3]).numpy()
    assert np.isfinite(found[0]) and np.isnan(found[1:]).all()
    broken = np.where(np.eye(3, CLASSES), np.nan, LOGITS[:3]).astype(np.float32)
    assert np.isnan(tf.function(function)(LABELS[:3], broken)).all()


@pytest.mark.parametrize("delta", [-1, float("nan"), float("inf")])
def test_margin_outside_its_range_is_refused(delta):
    with pytest.raises(InputError, match=f"got delta={delta}, expected a margin of 0 or more"):
        losses.MulticlassHinge(delta)


@pytest.mark.parametrize(
    "function", [losses.naive.multiclass_hinge, losses.naive.softmax_crossentropy]
)
def test_loops_refuse_what_the_others_refuse(function):
    with pytest.raises(InputError, match="got the label -1, expected a class number from 0 to 4"):
        function([-1, 0, 0, 0, 0, 0], LOGITS)
    with pytest.raises(
        InputError, match=r"got labels of shape \(5,\) for scores of shape \(6, 5\)"
    ):
        function(LABELS[:5], LOGITS)


def test_smoothing_refuses_labels_that_are_no_classes():
    with pytest.raises(InputError, match="got the label 1.5"):
        losses.SmoothedCrossentropy()(np.full(6, 1.5), LOGITS)
    with pytest.raises(InputError, match="turn one-hot labels into class numbers"):
        losses.SmoothedCrossentropy()(np.eye(5)[LABELS], LOGITS)
