"""Dropout: both forms leave the expectation alone."""

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import layers
from dlcv_tf.errors import InputError
from dlcv_tf.ops import by_hand
from dlcv_tf.ops.by_hand import dropout

MASKS = 100_000
W, X = np.array([0.7, -1.3]), np.array([2.0, 0.5])


def test_expectation_of_two_inputs_is_half_by_all_four_masks():
    masks = list(itertools.product([0, 1], repeat=2))
    outputs = [(W * X * mask).sum() for mask in masks]
    assert np.mean(outputs) == pytest.approx(0.5 * (W * X).sum(), rel=1e-15)
    at_test = dropout.inference(tf.constant(X), keep=0.5, inverted=False)
    assert np.mean(outputs) == pytest.approx((W * at_test).numpy().sum(), rel=1e-15)


@pytest.mark.parametrize("inverted", [False, True])
@pytest.mark.parametrize("keep", [0.5, 0.8])
def test_erratum_e13_multiply_by_the_probability_of_keeping(keep, inverted):
    layer = layers.Dropout(keep=keep, inverted=inverted, seed=3, dtype="float64")
    outputs = layer(np.tile(X, (MASKS, 1)), training=True).numpy() @ W
    expected = (layer(X[None]).numpy() @ W)[0]
    assert expected == pytest.approx((W @ X) * (1 if inverted else keep), rel=1e-12)
    three_sigma = 3 * outputs.std() / np.sqrt(MASKS)
    assert abs(outputs.mean() - expected) < three_sigma
    wrong = (W @ X) * ((1 - keep) / keep if inverted else 1 - keep)  # scaled by what is dropped
    assert keep == 0.5 or abs(outputs.mean() - wrong) > 10 * three_sigma


@pytest.mark.parametrize("keep", [0.25, 0.8])
def test_both_forms_agree_in_training_and_at_test_but_for_the_scale(keep):
    x = tf.ones((1000, 10), tf.float64)
    plain, _ = dropout.forward(x, keep, (1, 2), inverted=False)
    inverted, _ = dropout.forward(x, keep, (1, 2))
    np.testing.assert_allclose(plain, inverted * keep, rtol=1e-12)
    np.testing.assert_allclose(
        dropout.inference(x, keep, False), dropout.inference(x, keep) * keep, rtol=1e-12
    )
    assert set(np.unique(plain)) == {0, 1} and set(np.unique(inverted)) == {0, 1 / keep}


def test_keep_and_drop_are_two_words_for_one_thing():
    kept, dropped = layers.Dropout(keep=0.75, seed=1), layers.Dropout(drop=0.25, seed=1)
    x = np.ones((50, 20), np.float32)
    np.testing.assert_array_equal(kept(x, training=True), dropped(x, training=True))
    assert kept.get_config()["keep"] == dropped.get_config()["keep"] == 0.75
    everything = layers.Dropout(keep=1.0)
    np.testing.assert_array_equal(everything(x, training=True), x)


def test_keras_own_drops_the_same_share_and_scales_alike():
    x = np.ones((MASKS, 1), np.float32)
    ours = layers.Dropout(drop=0.3, seed=5)(x, training=True).numpy()
    theirs = keras.layers.Dropout(0.3, seed=5)(x, training=True).numpy()
    np.testing.assert_allclose(ours.max(), theirs.max(), rtol=1e-6)
    three_sigma = 3 * np.sqrt(2 * 0.3 * 0.7 / MASKS)
    assert abs((ours == 0).mean() - (theirs == 0).mean()) < three_sigma


def test_masks_are_new_at_each_call_and_the_same_for_the_same_seed():
    x = np.ones((4, 50), np.float32)
    one, other = layers.Dropout(keep=0.5, seed=7), layers.Dropout(keep=0.5, seed=7)
    first = one(x, training=True)
    np.testing.assert_array_equal(first, other(x, training=True))
    assert np.any(one(x, training=True) != first)


def test_whole_maps():
    x = tf.ones((200, 4, 5, 10))
    y = layers.Dropout(drop=0.25, whole_maps=True, seed=0)(x, training=True).numpy()
    assert (y.min((1, 2)) == y.max((1, 2))).all()  # a map is kept or dropped
    assert (y.max((1, 2)) == 0).mean() == pytest.approx(0.25, abs=3 * np.sqrt(0.1875 / 2000))
    spatial = keras.layers.SpatialDropout2D(0.25, seed=0)(x, training=True).numpy()
    assert set(np.unique(spatial)) == set(np.unique(y))


def test_backward_multiplies_by_the_mask():
    x = tf.Variable(np.random.default_rng(0).normal(size=(30, 4)))
    drop = by_hand.differentiable(dropout.forward, dropout.backward)
    with tf.GradientTape() as tape:
        y = drop(x, keep=0.6, seed=(1, 2))
    gradient = tape.gradient(y, x, output_gradients=tf.ones_like(x) * 3)
    kept = y.numpy() != 0
    np.testing.assert_allclose(gradient, np.where(kept, 3 / 0.6, 0), rtol=1e-12)
    np.testing.assert_allclose(y, np.where(kept, x / 0.6, 0), rtol=1e-12)
    assert 0.4 < kept.mean() < 0.8


@pytest.mark.parametrize("keep", [0, -1, 1.5, float("nan")])
def test_what_is_no_probability_of_keeping_is_refused(keep):
    for call in (
        lambda: dropout.forward(np.ones(3), keep, seed=(1, 2)),
        lambda: dropout.inference(np.ones(3), keep, inverted=False),
    ):
        with pytest.raises(InputError, match=f"got keep={keep}, expected a probability.*1 - drop"):
            call()
