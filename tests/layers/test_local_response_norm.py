"""Local response normalisation against the paper's formula and the other published convention."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import layers
from dlcv_tf.errors import InputError
from tests.helpers import ramp


def oracle(a, depth, bias, factor, beta):
    """The paper's formula, section 3.3: the sum runs from i - n/2 to i + n/2, cut at the ends."""
    b = np.empty_like(a)
    for i in range(a.shape[-1]):
        window = a[..., max(0, i - depth // 2) : i + depth // 2 + 1]
        b[..., i] = a[..., i] / (bias + factor * (window**2).sum(-1)) ** beta
    return b


def test_defaults_are_the_papers():
    config = layers.LocalResponseNorm().get_config()
    paper = {"depth": 5, "bias": 2.0, "alpha": 1e-4, "beta": 0.75}
    assert {name: config[name] for name in paper} == paper and not config["mean"]


@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-6), ("float64", 1e-12)])
@pytest.mark.parametrize("mean", [False, True])
def test_value_is_the_papers_formula(dtype, tolerance, mean):
    a = ramp((2, 3, 4, 9), "float64", low=-20, high=20)
    layer = layers.LocalResponseNorm(depth=5, bias=2.0, alpha=0.3, mean=mean, dtype=dtype)
    got = layer(tf.constant(a, dtype))
    assert got.dtype == dtype
    # With `mean`, alpha is divided by n, as Caffe's and PyTorch's LocalResponseNorm do.
    expected = oracle(a, 5, 2.0, 0.3 / 5 if mean else 0.3, 0.75)
    np.testing.assert_allclose(got, expected, rtol=tolerance, atol=tolerance)


def test_gradient_is_that_of_the_formula():
    a = ramp((1, 2, 2, 7), "float64", low=-3, high=3)
    upstream = ramp(a.shape, "float64", low=0.5, high=2)
    layer = layers.LocalResponseNorm(depth=3, alpha=0.4, dtype="float64")
    values = tf.constant(a)
    with tf.GradientTape() as tape:
        tape.watch(values)
        total = tf.reduce_sum(layer(values) * upstream)
    got = tape.gradient(total, values).numpy()
    # db_j/da_i = [i=j] scale^-beta - 2 alpha beta a_i a_j scale_j^(-beta-1) for j near i.
    scale = a / oracle(a, 3, 2.0, 0.4, 1.0)  # k + alpha * energy
    near = np.abs(np.subtract.outer(np.arange(7), np.arange(7))) <= 1
    pulled = (upstream * a * scale ** (-1.75)) @ near
    expected = upstream * scale**-0.75 - 2 * 0.4 * 0.75 * a * pulled
    np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)
    with tf.GradientTape() as tape:
        single = tf.constant(a, tf.float32)
        tape.watch(single)
        total = tf.reduce_sum(
            layers.LocalResponseNorm(depth=3, alpha=0.4)(single) * upstream.astype("float32")
        )
    np.testing.assert_allclose(tape.gradient(total, single), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("largest", [20, 1000])
def test_half_precision_computes_in_float32(policy, largest):
    a = ramp((2, 3, 4, 9), low=-largest, high=largest)
    got = layers.LocalResponseNorm(depth=5, alpha=0.3, dtype=policy)(a)
    assert got.dtype == policy.removeprefix("mixed_")
    expected = oracle(a, 5, 2.0, 0.3, 0.75)
    np.testing.assert_allclose(np.float32(got), expected, rtol=1e-2, atol=1e-2)


def test_neighbours_compete():
    alone, beside = np.zeros((1, 1, 1, 5), "float32"), np.zeros((1, 1, 1, 5), "float32")
    alone[..., 2], beside[..., 1:4] = 10.0, 10.0
    layer = layers.LocalResponseNorm(alpha=1.0)
    assert layer(beside)[0, 0, 0, 2] < layer(alone)[0, 0, 0, 2]


@pytest.mark.parametrize(
    "options, message",
    [
        ({"depth": 4}, "got depth=4, expected an odd number"),
        ({"depth": 0}, "got depth=0"),
        ({"bias": 0.0}, "expected a bias above 0"),
        ({"alpha": -1.0}, "an alpha of 0 or more"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InputError, match=message):
        layers.LocalResponseNorm(**options)


def test_bad_shape():
    with pytest.raises(InputError, match=r"got activations of shape \(2, 3\), expected \(batch"):
        layers.LocalResponseNorm()(np.ones((2, 3), "float32"))
