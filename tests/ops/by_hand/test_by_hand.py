"""Every pair of passes against NumPy, against TensorFlow's own, and against finite differences."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import by_hand, gradcheck
from dlcv_tf.ops.by_hand import activations, affine, batch_norm, convolution, pooling
from tests.ops.by_hand import oracles

SAME, VALID = ((1, 1), (1, 1)), ((0, 0), (0, 0))
PICTURES, KERNEL = (2, 7, 6, 3), (3, 3, 3, 4)


def keras_norm(x, gamma, beta, epsilon):
    axes = list(range(len(x.shape) - 1))
    return tf.nn.batch_normalization(x, *tf.nn.moments(x, axes), beta, gamma, epsilon)


def keras_affine(x, kernel, bias):
    return keras.ops.matmul(keras.ops.reshape(x, (len(x), -1)), kernel) + bias


def keras_convolution(padding, stride, images, kernel, bias):
    padded = tf.pad(images, ((0, 0), *padding, (0, 0)))
    return keras.ops.conv(padded, kernel, strides=stride, padding="valid") + bias


def case(pair, shapes, options, oracle, library, bound):
    return *pair, shapes, options, oracle, library, bound


def convolution_case(method, size, stride, padding, zeros):
    return case(
        (convolution.forward, convolution.backward),
        [PICTURES, (size, size, 3, 4), (4,)],
        {"stride": stride, "padding": padding, "method": method},
        functools.partial(oracles.convolution, stride=stride, padding=zeros),
        functools.partial(keras_convolution, zeros, stride),
        1e-8,
    )


def pooling_case(pair, size, stride, oracle, library, bound=1e-11):
    return case(
        pair,
        [(2, 8, 7, 3)],
        {"size": size, "stride": stride},
        functools.partial(oracle, size=size, stride=stride),
        lambda x: library(x, size, strides=stride),
        bound,
    )


def soft_pool_of_tensorflow(x, size, strides):
    weights = tf.exp(x)
    pool = functools.partial(tf.nn.avg_pool2d, ksize=size, strides=strides, padding="VALID")
    return pool(weights * x) / pool(weights)


A, P = activations, pooling
MAX, MEAN = (P.max_forward, P.max_backward), (P.average_forward, P.average_backward)
# forward, backward, shapes of the inputs, options, NumPy's, TensorFlow's or Keras's own, and the
# largest relative error by finite differences: that which CS231n's exercises allow.
CASES = {
    "affine": case(
        (affine.forward, affine.backward),
        [(5, 2, 3), (6, 4), (4,)],
        {},
        oracles.affine,
        keras_affine,
        1e-9,
    ),
    "sigmoid": case(
        (A.sigmoid_forward, A.sigmoid_backward),
        [(3, 5)],
        {},
        oracles.sigmoid,
        keras.ops.sigmoid,
        1e-8,
    ),
    "tanh": case(
        (A.tanh_forward, A.tanh_backward), [(3, 5)], {}, oracles.tanh, keras.ops.tanh, 1e-8
    ),
    "relu": case(
        (A.relu_forward, A.relu_backward), [(3, 5)], {}, oracles.relu, keras.ops.relu, 1e-11
    ),
    "leaky_relu": case(
        (A.leaky_relu_forward, A.leaky_relu_backward),
        [(3, 5)],
        {},
        oracles.leaky_relu,
        lambda x: keras.ops.leaky_relu(x, 0.01),
        1e-9,
    ),
    "leaky_relu 0.25": case(
        (A.leaky_relu_forward, A.leaky_relu_backward),
        [(3, 5)],
        {"slope": 0.25},
        functools.partial(oracles.leaky_relu, slope=0.25),
        lambda x: keras.ops.leaky_relu(x, 0.25),
        1e-9,
    ),
    "prelu": case(
        (A.prelu_forward, A.prelu_backward),
        [(2, 3, 4, 5), (5,)],
        {},
        oracles.prelu,
        lambda x, slope: keras.ops.relu(x) - slope * keras.ops.relu(-x),
        1e-9,
    ),
    "elu": case((A.elu_forward, A.elu_backward), [(3, 5)], {}, oracles.elu, keras.ops.elu, 1e-8),
    "elu 0.5": case(
        (A.elu_forward, A.elu_backward),
        [(3, 5)],
        {"alpha": 0.5},
        functools.partial(oracles.elu, alpha=0.5),
        lambda x: keras.ops.elu(x, 0.5),
        1e-8,
    ),
    "maxout": case(
        (A.maxout_forward, A.maxout_backward),
        [(3, 5, 4)],
        {},
        oracles.maxout,
        lambda x: keras.ops.max(x, axis=-1),
        1e-11,
    ),
    "batch_norm": case(
        (batch_norm.forward, batch_norm.backward),
        [(9, 4), (4,), (4,)],
        {"epsilon": 1e-3},
        functools.partial(oracles.batch_norm, epsilon=1e-3),
        functools.partial(keras_norm, epsilon=1e-3),
        1e-8,
    ),
    "batch_norm of maps": case(
        (batch_norm.forward, batch_norm.backward),
        [(3, 4, 2, 3), (3,), (3,)],
        {},
        oracles.batch_norm,
        functools.partial(keras_norm, epsilon=1e-5),
        1e-8,
    ),
    "max pool F2 S2": pooling_case(MAX, 2, 2, oracles.max_pool, keras.ops.max_pool),
    "max pool F3 S2": pooling_case(MAX, 3, 2, oracles.max_pool, keras.ops.max_pool),
    "max pool F2 S1": pooling_case(MAX, 2, 1, oracles.max_pool, keras.ops.max_pool),
    "average pool F2 S2": pooling_case(
        MEAN, 2, 2, oracles.average_pool, keras.ops.average_pool, 1e-9
    ),
    "average pool F3 S2": pooling_case(
        MEAN, 3, 2, oracles.average_pool, keras.ops.average_pool, 1e-9
    ),
    "soft pool F3 S2": pooling_case(
        (P.soft_forward, P.soft_backward), 3, 2, oracles.soft_pool, soft_pool_of_tensorflow, 1e-7
    ),
} | {
    f"convolution F{size} S{stride} {padding} {method}": convolution_case(
        method, size, stride, padding, zeros
    )
    for method in convolution.METHODS
    for size, stride, padding, zeros in [
        (3, 1, "valid", VALID),
        (3, 1, "same", SAME),
        (3, 2, "same", ((1, 1), (0, 1))),  # 7 pixels need two zeros, 6 one: at the end
        (3, 2, 1, SAME),
        (2, 1, 2, ((2, 2), (2, 2))),
        (1, 3, "valid", VALID),
    ]
}


def drawn(shapes, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.normal(size=shape) for shape in shapes]


@pytest.mark.parametrize("name", CASES)
def test_value_and_every_gradient(name):
    forward, backward, shapes, options, oracle, library, _ = CASES[name]
    inputs = drawn(shapes)
    output, cache = forward(*map(tf.constant, inputs), **options)
    (above,) = drawn([output.shape], seed=1)
    expected, gradients = oracle(above, *inputs)
    np.testing.assert_allclose(output, expected, rtol=1e-9, atol=1e-9)
    got = tf.nest.flatten(backward(tf.constant(above), cache))
    variables = [tf.constant(each) for each in inputs]
    with tf.GradientTape() as tape:
        tape.watch(variables)
        outputs = library(*variables)
    np.testing.assert_allclose(output, outputs, rtol=1e-9, atol=1e-9)
    theirs = tape.gradient(outputs, variables, output_gradients=tf.constant(above))
    assert len(got) == len(inputs)
    for ours, oracles_own, library_own, variable in zip(
        got, gradients, theirs, inputs, strict=True
    ):
        assert ours.dtype == tf.float64
        assert ours.shape == variable.shape  # a gradient has the variable's shape
        np.testing.assert_allclose(ours, oracles_own, rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(ours, library_own, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", CASES)
def test_gradient_check_within_the_bounds_of_the_course(name):
    forward, backward, shapes, options, _, _, bound = CASES[name]
    inputs = {f"input{number}": value for number, value in enumerate(drawn(shapes))}

    def output(**moved):
        return forward(*moved.values(), **options)[0]

    result, cache = forward(*inputs.values(), **options)
    (above,) = drawn([result.shape], seed=1)
    gradients = tf.nest.flatten(backward(tf.constant(above), cache))
    check = gradcheck.gradient_check(
        tf.function(output),
        inputs,
        gradient=dict(zip(inputs, gradients, strict=True)),
        output_gradient=above,
        dimensions=20,
    )
    assert check.error <= bound, str(check)


def test_differentiable_takes_the_gradient_from_backward_and_from_nowhere_else():
    twice = by_hand.differentiable(lambda x, w: (x * w, None), lambda g, cache: (7 * g, 8 * g))
    x, w = tf.Variable([1.0, 2.0]), tf.Variable([3.0, 4.0])
    for call in (twice, tf.function(twice)):
        with tf.GradientTape() as tape:
            y = call(x, w)
        np.testing.assert_array_equal(y, [3, 8])
        got = tape.gradient(y, [x, w], output_gradients=tf.constant([1.0, -1.0]))
        np.testing.assert_array_equal(got, [[7, -7], [8, -8]])


def test_second_derivatives_go_through_the_written_backward_pass():
    sigmoid = by_hand.differentiable(A.sigmoid_forward, A.sigmoid_backward)
    x = tf.Variable(0.3, dtype=tf.float64)
    with tf.GradientTape() as outer:
        with tf.GradientTape() as inner:
            y = sigmoid(x)
        slope = inner.gradient(y, x)
    s = 1 / (1 + np.exp(-0.3))
    np.testing.assert_allclose(outer.gradient(slope, x), s * (1 - s) * (1 - 2 * s), rtol=1e-12)


def test_erratum_e2_the_sigmoid_has_a_plus():
    x = np.array([-2.0, 0.0, 1.0])
    value, _ = A.sigmoid_forward(tf.constant(x))
    np.testing.assert_allclose(value, [0.11920292202211755, 0.5, 0.7310585786300049], rtol=1e-12)
    extremes, _ = A.sigmoid_forward(tf.constant([-1000.0, 1000.0]))
    np.testing.assert_array_equal(extremes, [0, 1])


def test_erratum_e3_the_sigmoid_is_steepest_at_zero():
    x = tf.constant(np.linspace(-3, 3, 601))
    output, cache = A.sigmoid_forward(x)
    slopes = A.sigmoid_backward(tf.ones_like(x), cache).numpy()
    assert abs(x[slopes.argmax()]) < 1e-12 and slopes.max() == 0.25
    assert output[slopes.argmax()] == 0.5
    ends, cache = A.sigmoid_forward(tf.constant([-10.0, 10.0], tf.float64))
    np.testing.assert_allclose(A.sigmoid_backward(tf.ones_like(ends), cache), 4.54e-5, rtol=1e-3)


def test_erratum_e18_the_leaky_slope_is_positive():
    x = tf.constant([-5.0, 5.0], tf.float64)
    output, cache = A.leaky_relu_forward(x)
    np.testing.assert_allclose(output, [-0.05, 5])
    np.testing.assert_allclose(A.leaky_relu_backward(tf.ones_like(x), cache), [0.01, 1])


def test_elu_at_minus_one_and_far_away():
    x = tf.constant([-1.0, -1000.0, 1000.0], tf.float64)
    output, cache = A.elu_forward(x, alpha=2.0)
    np.testing.assert_allclose(output, [2 * (np.exp(-1) - 1), -2, 1000], rtol=1e-12)
    np.testing.assert_allclose(
        A.elu_backward(tf.ones_like(x), cache), [2 * np.exp(-1), 0, 1], atol=1e-12
    )


def test_ties_route_the_gradient_to_the_first():
    x = tf.constant([[1.0, 1.0, 0.0]])
    np.testing.assert_array_equal(
        A.maxout_backward(tf.ones(1), A.maxout_forward(x)[1]), [[1, 0, 0]]
    )
    images = tf.zeros((1, 2, 2, 1))
    gradient = P.max_backward(tf.ones((1, 1, 1, 1)), P.max_forward(images)[1])
    with tf.GradientTape() as tape:
        tape.watch(images)
        pooled = tf.nn.max_pool2d(images, 2, 2, "VALID")
    np.testing.assert_array_equal(gradient, tape.gradient(pooled, images))
    np.testing.assert_array_equal(gradient[0, :, :, 0], [[1, 0], [0, 0]])


def test_max_pool_of_d2l():
    """d2l-ai/d2l-en, chapter_convolutional-neural-networks/pooling.md."""
    images = np.arange(9.0).reshape(1, 3, 3, 1)
    pooled, _ = P.max_forward(images, size=2, stride=1)
    np.testing.assert_array_equal(pooled[0, :, :, 0], [[4, 5], [7, 8]])


def test_pooling_works_on_each_map_and_halves_the_picture():
    pooled, _ = P.max_forward(tf.zeros((1, 224, 224, 64)))
    assert pooled.shape == (1, 112, 112, 64)
    pooled, _ = P.max_forward(tf.zeros((1, 55, 55, 2)), size=3, stride=2)
    assert pooled.shape == (1, 27, 27, 2)


def test_soft_pool_lies_between_average_and_max():
    (images,) = drawn([(1, 4, 4, 2)])
    largest, mean = P.max_forward(images)[0], P.average_forward(images)[0]
    np.testing.assert_allclose(P.soft_forward(images, temperature=1e-4)[0], largest, atol=1e-9)
    np.testing.assert_allclose(P.soft_forward(images, temperature=1e9)[0], mean, atol=1e-8)
    between = P.soft_forward(images)[0]
    assert np.all(between > mean) and np.all(between < largest)


@pytest.mark.parametrize("method", convolution.METHODS)
def test_correlations_of_d2l(method):
    """d2l-ai/d2l-en, chapter_convolutional-neural-networks/conv-layer.md and channels.md."""
    image = np.arange(9.0)
    one, _ = convolution.forward(
        image.reshape(1, 3, 3, 1), np.arange(4.0).reshape(2, 2, 1, 1), np.zeros(1), method=method
    )
    np.testing.assert_array_equal(one[0, :, :, 0], [[19, 25], [37, 43]])
    images = np.stack([image, image + 1], axis=-1).reshape(1, 3, 3, 2)
    kernel = np.stack([np.arange(4.0), np.arange(4.0) + 1], axis=-1).reshape(2, 2, 2, 1)
    several, _ = convolution.forward(images, kernel, np.zeros(1), method=method)
    assert several[0, 0, 0, 0] == 56


def test_the_three_ways_to_convolve_agree():
    images, kernel, bias = drawn([(2, 9, 8, 3), (3, 3, 3, 5), (5,)])
    results = {}
    for method in convolution.METHODS:
        output, cache = convolution.forward(images, kernel, bias, 2, 1, method)
        (above,) = drawn([output.shape], seed=1)
        results[method] = [output, *convolution.backward(tf.constant(above), cache)]
    for method in ("naive", "im2col"):
        for got, expected in zip(results[method], results["library"], strict=True):
            np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9)


def test_shapes_that_do_not_go_together_are_refused():
    zeros = np.zeros
    with pytest.raises(InputError, match=r"got a kernel of shape \(5, 2\).*expected \(6, units\)"):
        affine.forward(zeros((4, 2, 3)), zeros((5, 2)), zeros(2))
    with pytest.raises(InputError, match=r"got a kernel.*expected \(size, size, 3, filters\)"):
        convolution.forward(zeros(PICTURES), zeros((3, 3, 2, 4)), zeros(4))
    with pytest.raises(InputError, match=r"got a bias of shape \(1,\).*expected \(2,\)"):
        affine.forward(zeros((4, 2, 3)), zeros((6, 2)), zeros(1))
    with pytest.raises(InputError, match=r"got a bias of shape \(1,\).*expected \(4,\)"):
        convolution.forward(zeros(PICTURES), zeros(KERNEL), zeros(1))
    with pytest.raises(InputError, match=r"got pictures of shape \(6, 5, 3\), expected \(batch"):
        convolution.forward(zeros((6, 5, 3)), zeros(KERNEL), zeros(4))
    with pytest.raises(InputError, match="unknown method 'im2row': did you mean 'im2col'"):
        convolution.forward(zeros(PICTURES), zeros(KERNEL), zeros(4), method="im2row")
    for padding in ("full", -1, 1.5):
        with pytest.raises(InputError, match="expected 'valid', 'same' or a number of pixels"):
            convolution.forward(zeros(PICTURES), zeros(KERNEL), zeros(4), padding=padding)


@pytest.mark.parametrize("method", convolution.METHODS)
def test_every_way_to_convolve_refuses_the_same(method):
    images, kernel, bias = np.zeros((1, 2, 2, 2)), np.zeros((3, 3, 2, 4)), np.zeros(4)
    with pytest.raises(InputError, match="got windows of 3 pixels.*2x2.*pad the pictures"):
        convolution.forward(images, kernel, bias, method=method)
    for stride in (0, (2, 2)):
        with pytest.raises(InputError, match="got stride=.*expected a whole number, 1 or more"):
            convolution.forward(images, kernel, bias, stride, "same", method)
    output, _ = convolution.forward(images, kernel, bias, np.int64(2), np.int64(1), method)
    assert output.shape == (1, 1, 1, 4)
