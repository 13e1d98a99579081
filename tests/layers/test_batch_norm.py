"""Batch normalisation: its running statistics, in the conventions of published codes."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import layers
from dlcv_tf.ops.by_hand import batch_norm

BATCHES = [np.random.default_rng(seed).normal(3, 2, size=(6, 5, 4, 3)) for seed in range(4)]


@pytest.mark.parametrize("initial", [0.0, 1.0])
@pytest.mark.parametrize("unbiased", [False, True])
@pytest.mark.parametrize("shape", [(120, 3), (6, 5, 4, 3)])
def test_running_statistics(initial, unbiased, shape):
    layer = layers.BatchNorm(0.8, 1e-4, initial, unbiased, dtype="float64")
    mean, variance = np.zeros(3), np.full(3, initial)
    for batch in BATCHES:
        batch = batch.reshape(shape)
        y = layer(batch, training=True)
        rows = batch.reshape(-1, 3)
        expected = (rows - rows.mean(0)) / np.sqrt(rows.var(0) + 1e-4)  # always the biased one
        np.testing.assert_allclose(np.reshape(y, (-1, 3)), expected, rtol=1e-9, atol=1e-9)
        mean = 0.8 * mean + 0.2 * rows.mean(0)
        variance = 0.8 * variance + 0.2 * rows.var(0, ddof=int(unbiased))
    np.testing.assert_allclose(layer.moving_mean, mean, rtol=1e-9)
    np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-9)
    x = BATCHES[0].reshape(shape)
    at_test = layer(x)
    np.testing.assert_allclose(at_test, (x - mean) / np.sqrt(variance + 1e-4), rtol=1e-9, atol=1e-9)
    np.testing.assert_array_equal(layer(x), at_test)  # a test changes nothing


def test_means_and_deviations_of_the_output_are_beta_and_gamma():
    layer = layers.BatchNorm(dtype="float64")
    layer.build((None, 5, 4, 3))
    layer.gamma.assign([1.0, 2.0, 3.0])
    layer.beta.assign([11.0, 12.0, 13.0])
    y = np.reshape(layer(BATCHES[0], training=True), (-1, 3))
    np.testing.assert_allclose(y.mean(0), [11, 12, 13], rtol=1e-9)
    np.testing.assert_allclose(y.std(0), [1, 2, 3], rtol=1e-4)


def test_gamma_the_deviation_and_beta_the_mean_is_the_identity():
    x = BATCHES[0]
    mean, variance = batch_norm.statistics(x)
    y, _ = batch_norm.forward(x, np.sqrt(variance), mean)
    assert abs(y - x).numpy().max() < 1e-4
    layer = layers.BatchNorm(dtype="float64")
    layer.build(x.shape)
    layer.gamma.assign(np.sqrt(variance))
    layer.beta.assign(mean)
    assert abs(layer(x, training=True) - x).numpy().max() < 1e-4
    at_test = batch_norm.inference(x, np.sqrt(variance), mean, mean, variance)
    assert abs(at_test - x).numpy().max() < 1e-4


def test_plain_fit_updates_the_running_statistics():
    model = keras.Sequential([keras.Input((3,)), layers.BatchNorm(0.5)])
    model.compile("sgd", "mse")
    x = BATCHES[0].reshape(-1, 3)
    model.fit(x, x, epochs=20, batch_size=len(x), verbose=0)
    np.testing.assert_allclose(model.layers[0].moving_mean, x.mean(0), rtol=1e-4)
    np.testing.assert_allclose(model.layers[0].moving_variance, x.var(0), rtol=1e-4)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_is_normalised_in_float32_as_in_keras(policy):
    x = np.random.default_rng(0).normal(size=(256, 10)) * 100
    ours = layers.BatchNorm(0.9, 1e-3, dtype=policy)
    theirs = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-3, dtype=policy)
    answers, gradients = [], []
    for layer in (ours, theirs):
        inputs = tf.Variable(x, dtype=tf.float32)
        with tf.GradientTape() as tape:
            y = layer(inputs, training=True)
            loss = tf.reduce_sum(tf.cast(y, tf.float32) ** 3)
        assert y.dtype == layer.compute_dtype
        answers += [y, layer(inputs)]
        variables = [inputs, layer.gamma.value, layer.beta.value]
        gradients.append(tape.gradient(loss, variables))
    np.testing.assert_allclose(np.std(np.float32(answers[0]), axis=0), 1, rtol=1e-2)
    tolerance = 2e-3 if policy == "mixed_float16" else 2e-2  # of one rounding at the end
    for one, other in ((answers[0], answers[2]), (answers[1], answers[3])):
        np.testing.assert_allclose(np.float32(one), np.float32(other), rtol=0, atol=tolerance)
    for one, other in zip(*gradients, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance * np.max(abs(one)))
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, rtol=1e-5)


def test_the_unbiased_variance_of_many_numbers_in_float16():
    x = np.tile(np.float16([[1], [3]]), (50_000, 1))  # more than the largest float16
    layer = layers.BatchNorm(0.0, unbiased=True, dtype="mixed_float16")
    np.testing.assert_allclose(layer(x, training=True), x - 2, rtol=1e-3)
    np.testing.assert_allclose(layer.moving_variance, 1 + 1e-5, rtol=1e-7)


def test_one_example_does_not_poison_the_unbiased_average():
    model = keras.Sequential([keras.Input((3,)), layers.BatchNorm(0.5, unbiased=True)])
    model.compile("sgd", "mse")
    x = BATCHES[0].reshape(-1, 3)[:9]
    model.fit(x, x, batch_size=4, shuffle=False, verbose=0)  # 4, 4 and 1
    expected = 1.0
    for variance in (x[:4].var(0, ddof=1), x[4:8].var(0, ddof=1), 0):
        expected = 0.5 * expected + 0.5 * variance
    np.testing.assert_allclose(model.layers[0].moving_variance, expected, rtol=1e-5)


def test_a_frozen_layer_uses_its_averages_and_keeps_them_as_in_keras():
    x, answers = BATCHES[0], []
    for layer in (
        layers.BatchNorm(epsilon=1e-3, dtype="float64"),
        keras.layers.BatchNormalization(epsilon=1e-3, dtype="float64"),
    ):
        layer(x, training=True)
        layer.trainable = False
        before = layer.get_weights()
        answers.append(layer(x, training=True))
        np.testing.assert_array_equal(answers[-1], layer(x))
        for one, other in zip(layer.get_weights(), before, strict=True):
            np.testing.assert_array_equal(one, other)
        layer.trainable = True
        assert np.any(layer(x, training=True) != answers[-1])
    assert np.all(np.isfinite(answers[0]))
