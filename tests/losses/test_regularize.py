"""Penalties on weights against their formulas, and as Keras's regularizers."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import losses, models
from dlcv_tf.errors import InputError
from dlcv_tf.losses import regularize
from tests.helpers import ramp

WEIGHTS = ramp((3, 4), "float64", -2, 3)


def test_l2_prefers_diffuse_weights_and_l1_cannot_tell():
    # CS231n notes, linear-classify.md, line 187: both score 1, L2 1 and 0.25.
    x, one, even = np.ones(4), np.array([1.0, 0, 0, 0]), np.full(4, 0.25)
    assert one @ x == even @ x == 1
    assert (float(regularize.l2(one)), float(regularize.l2(even))) == (1, 0.25)
    assert float(regularize.l1(one)) == float(regularize.l1(even)) == 1
    mixed = [float(regularize.elastic_net(w, l1=0.5, l2=0.5)) for w in (one, even)]
    assert mixed == [1, 0.625]


def test_erratum_e12_elastic_net_is_beta_w_squared_plus_absolute_w():
    beta = 0.3
    found = regularize.elastic_net(WEIGHTS, l1=1, l2=beta)
    assert found.dtype == tf.float64
    expected = np.sum(beta * WEIGHTS**2 + np.abs(WEIGHTS))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("half", [False, True])
def test_values_and_gradients_with_and_without_the_factor_one_half(half):
    factor = 0.5 if half else 1.0
    weights = tf.Variable(WEIGHTS)
    with tf.GradientTape() as tape:
        value = regularize.elastic_net(weights, l1=0.7, l2=0.2, half=half)
    expected = 0.7 * np.abs(WEIGHTS).sum() + factor * 0.2 * (WEIGHTS**2).sum()
    np.testing.assert_allclose(value, expected, rtol=0, atol=1e-9)
    slopes = 0.7 * np.sign(WEIGHTS) + factor * 0.4 * WEIGHTS
    np.testing.assert_allclose(tape.gradient(value, weights), slopes, rtol=0, atol=1e-9)
    np.testing.assert_allclose(regularize.l2(WEIGHTS, 0.2, half), factor * 0.2 * (WEIGHTS**2).sum())


def test_many_tensors_are_added_up():
    parts = [WEIGHTS[:1], WEIGHTS[1:, 0], WEIGHTS[1:, 1:]]
    np.testing.assert_allclose(regularize.l2(parts), np.sum(WEIGHTS**2))
    np.testing.assert_allclose(regularize.l1(tuple(parts), 2.0), 2 * np.abs(WEIGHTS).sum())


@pytest.mark.parametrize("half", [False, True])
def test_the_same_as_a_kernel_regularizer(half):
    penalty = regularize.regularizer(0.1, 0.2, half)
    layer = keras.layers.Dense(4, kernel_regularizer=penalty)
    layer(np.ones((1, 3), np.float32))
    expected = regularize.elastic_net(layer.kernel, 0.1, 0.2, half)
    np.testing.assert_allclose(sum(layer.losses), expected, rtol=1e-6)


def test_networks_add_their_penalty_to_the_loss():
    for network in (models.linear((2, 2, 1), 3, l1=0.5), models.mlp((4,), 3, (5,), l2=0.5)):
        kernels = [w for w in network.trainable_weights if len(w.shape) == 2]
        for kernel in kernels:
            kernel.assign(np.ones(kernel.shape))
        weights = sum(int(np.prod(kernel.shape)) for kernel in kernels)
        assert float(sum(network.losses)) == pytest.approx(0.5 * weights)
    assert not models.linear((2, 2, 1), 3).losses and not models.mlp((4,), 3, (5,)).losses


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_factors_outside_their_range_are_refused(value):
    with pytest.raises(InputError, match=f"got l2={value} for a penalty on weights, expected 0 or"):
        regularize.l2(WEIGHTS, value)
    with pytest.raises(InputError, match=f"got l1={value} for a penalty"):
        models.linear((2, 2, 1), 3, l1=value)


def test_published_loss_of_the_toy_two_layer_network():
    # CS231n, assignment 1 (2016 to 2020), two_layer_net.ipynb: the L2 penalty without 1/2.
    random = np.random.RandomState(0)
    w1, w2 = 0.1 * random.randn(4, 10), 0.1 * random.randn(10, 3)
    x, labels = 10 * np.random.RandomState(1).randn(5, 4), [0, 1, 2, 2, 1]
    scores = np.maximum(x @ w1, 0) @ w2
    np.testing.assert_allclose(scores[0], [-0.81233741, -1.27654624, -0.70335995], atol=1e-8)
    data_loss = float(np.mean(losses.softmax_crossentropy(labels, scores)))
    assert abs(data_loss + float(regularize.l2([w1, w2], 0.05)) - 1.30378789133) < 1e-11
