"""Batch normalisation: its running statistics, in the conventions of published codes."""

import keras
import numpy as np
import pytest

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
