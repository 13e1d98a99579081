"""Sandwiches: several layers as one, against TensorFlow's gradient of the same."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.ops import by_hand, gradcheck
from dlcv_tf.ops.by_hand import sandwiches


def norm(x, gamma, beta):
    axes = list(range(len(x.shape) - 1))
    return tf.nn.batch_normalization(x, *tf.nn.moments(x, axes), beta, gamma, 1e-5)


def conv_relu_pool(images, kernel, bias):
    mapped = tf.nn.relu(tf.nn.conv2d(images, kernel, 1, "SAME") + bias)
    return tf.nn.max_pool2d(mapped, 2, 2, "VALID")


CASES = {
    "affine, relu": (
        (sandwiches.affine_relu_forward, sandwiches.affine_relu_backward),
        lambda x, kernel, bias: tf.nn.relu(tf.reshape(x, (len(x), -1)) @ kernel + bias),
        [(5, 2, 3), (6, 4), (4,)],
    ),
    "affine, norm, relu": (
        (sandwiches.affine_norm_relu_forward, sandwiches.affine_norm_relu_backward),
        lambda x, kernel, bias, gamma, beta: tf.nn.relu(norm(x @ kernel + bias, gamma, beta)),
        [(7, 6), (6, 4), (4,), (4,), (4,)],
    ),
    "conv, relu, pool": (
        (sandwiches.conv_relu_pool_forward, sandwiches.conv_relu_pool_backward),
        conv_relu_pool,
        [(2, 6, 4, 3), (3, 3, 3, 4), (4,)],
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_forward_and_backward(name):
    (forward, backward), library, shapes = CASES[name]
    generator = np.random.default_rng(0)
    inputs = [tf.constant(generator.normal(size=shape)) for shape in shapes]
    output, cache = forward(*inputs)
    above = tf.constant(generator.normal(size=output.shape))
    got = backward(above, cache)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        expected = library(*inputs)
    gradients = tape.gradient(expected, inputs, output_gradients=above)
    np.testing.assert_allclose(output, expected, rtol=1e-9, atol=1e-9)
    for one, other, variable in zip(got, gradients, inputs, strict=True):
        assert one.shape == variable.shape
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-9)


def test_a_two_layer_network_of_sandwiches_by_finite_differences():
    generator = np.random.default_rng(1)
    layer = by_hand.differentiable(sandwiches.affine_relu_forward, sandwiches.affine_relu_backward)
    variables = {
        "x": generator.normal(size=(3, 5)),
        "w1": generator.normal(size=(5, 6)),
        "b1": generator.normal(size=6),
        "w2": generator.normal(size=(6, 2)),
        "b2": generator.normal(size=2),
    }
    check = gradcheck.gradient_check(
        lambda x, w1, b1, w2, b2: layer(layer(x, w1, b1), w2, b2), variables
    )
    assert check.error < 1e-7 and not check.kinks, str(check)
