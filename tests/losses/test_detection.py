"""Losses of boxes and of few positives, by hand and against Keras's own."""

import doctest

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import losses
from dlcv_tf.errors import InputError
from dlcv_tf.losses import detection
from dlcv_tf.ops import boxes as box_ops
from dlcv_tf.ops.gradcheck import gradient_check

RANDOM = np.random.default_rng(0)
TARGETS, PREDICTIONS = RANDOM.normal(0, 2, (2, 6, 4))


@pytest.mark.parametrize("beta", [1.0, 1 / 9, 2.5])
def test_smooth_l1_and_huber_by_hand(beta):
    d = np.abs(PREDICTIONS - TARGETS)
    expected = np.where(d < beta, d**2 / (2 * beta), d - beta / 2)
    got = losses.smooth_l1(TARGETS, PREDICTIONS, beta=beta)
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    huber = losses.smooth_l1(TARGETS, PREDICTIONS, beta=beta, huber=True)
    np.testing.assert_allclose(huber, expected * beta, rtol=1e-12)
    keras_own = keras.losses.Huber(delta=beta, dtype="float64")(TARGETS, PREDICTIONS)
    np.testing.assert_allclose(tf.reduce_mean(huber), keras_own, rtol=1e-9)
    check = gradient_check(
        lambda predictions: losses.smooth_l1(TARGETS, predictions, beta=beta),
        {"predictions": PREDICTIONS},
    )
    assert check.error < 1e-6


def test_smooth_l1_without_a_square():
    np.testing.assert_allclose(losses.smooth_l1([1.0], [-1.5], beta=0.0), [2.5])
    with tf.GradientTape() as tape:
        same = tf.Variable([1.0, 9.0])
        value = losses.smooth_l1([1.0, 0.0], same, beta=0.5)
    np.testing.assert_array_equal(tape.gradient(value, same), [0, 1])  # the arms: at most 1


@pytest.mark.parametrize("kind", ["iou", "giou", "diou", "ciou"])
def test_box_overlap_is_what_is_missing(kind):
    corners = RANDOM.uniform(0, 9, (2, 5, 2))
    truth, found = np.concatenate([corners, corners + RANDOM.uniform(2, 9, (2, 5, 2))], axis=-1)
    expected = 1 - getattr(box_ops, kind)(found, truth, pairwise=False)
    np.testing.assert_allclose(losses.box_overlap(truth, found, kind), expected)
    np.testing.assert_allclose(losses.box_overlap(truth, truth, kind), 0, atol=1e-12)


def test_boxes_apart_have_a_gradient_only_where_distance_counts():
    truth = tf.constant([[0.0, 0, 2, 2]])
    gradients = {}
    for kind in ("iou", "giou", "diou", "ciou"):
        found = tf.Variable([[5.0, 5, 7, 7]])
        with tf.GradientTape() as tape:
            loss = losses.box_overlap(truth, found, kind)
        gradients[kind] = np.abs(tape.gradient(loss, found)).max()
    assert gradients["iou"] == 0
    assert min(gradients[kind] for kind in ("giou", "diou", "ciou")) > 0.01


@pytest.mark.parametrize(("alpha", "gamma"), [(0.25, 2.0), (None, 0.0), (0.5, 0.5)])
def test_focal_is_keras_own_and_by_hand(alpha, gamma):
    targets = RANDOM.integers(0, 2, (6, 4)).astype(float)
    logits = RANDOM.normal(0, 3, (6, 4))
    p = 1 / (1 + np.exp(-logits))
    right = np.where(targets == 1, p, 1 - p)
    expected = -((1 - right) ** gamma) * np.log(right)
    if alpha is not None:
        expected *= np.where(targets == 1, alpha, 1 - alpha)
        keras_own = keras.losses.BinaryFocalCrossentropy(
            apply_class_balancing=True, alpha=alpha, gamma=gamma, from_logits=True, dtype="float64"
        )(targets, logits)
        np.testing.assert_allclose(expected.mean(), keras_own, rtol=1e-6)
    np.testing.assert_allclose(
        losses.focal(targets, logits, alpha=alpha, gamma=gamma), expected, rtol=1e-9
    )
    check = gradient_check(
        lambda logits: losses.focal(targets, logits, alpha=alpha, gamma=gamma), {"logits": logits}
    )
    assert check.error < 1e-6


def test_focal_of_certain_answers_stays_finite():
    logits = tf.Variable([-1e4, 1e4, -1e4, 1e4])
    with tf.GradientTape() as tape:
        value = losses.focal([0, 1, 1, 0], logits, gamma=0.5)
    assert np.isfinite(value).all() and np.isfinite(tape.gradient(value, logits)).all()
    np.testing.assert_array_equal(value[:2], 0)


def test_the_hardest_negatives_are_three_to_a_positive():
    values = np.array([[5.0, 1, 4, 3, 2, 9, 8], [1, 2, 3, 3, 3, 9, 0], [1, 2, 3, 4, 5, 6, 7]])
    labels = np.array([[0, -1, -1, -1, -1, -2, -1], [-1] * 5 + [-2, -1], [0, 1, 2, -1, -1, -1, -2]])
    hard = losses.hard_negatives(values, labels)
    expected = [[0, 0, 1, 1, 0, 0, 1], [0, 0, 1, 0, 0, 0, 0], [0, 0, 0, 1, 1, 1, 0]]
    np.testing.assert_array_equal(hard, np.array(expected, bool))
    assert not losses.hard_negatives(values, labels, least=0)[1].numpy().any()
    np.testing.assert_array_equal(
        losses.hard_negatives(values, labels, ratio=1, least=2).numpy().sum(axis=1), [2, 2, 3]
    )


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: losses.smooth_l1([0.0], [1.0], beta=-1), "got beta=-1"),
        (lambda: losses.smooth_l1([0.0], [1.0], beta=0, huber=True), "expected a positive"),
        (lambda: losses.box_overlap(np.zeros((1, 4)), np.zeros((1, 4)), "jaccard"), "unknown"),
        (lambda: losses.focal([0.0], [1.0], gamma=-1), "gamma=-1"),
        (lambda: losses.hard_negatives([[0.0]], [[0]], ratio=-1), "ratio=-1"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_examples():
    assert doctest.testmod(detection).failed == 0
