"""Gradient checks pass right gradients, catch wrong ones, and say when they say little."""

import doctest

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data, losses, models, tasks
from dlcv_tf.errors import InputError
from dlcv_tf.ops import finite_differences, gradcheck
from dlcv_tf.ops.gradcheck import gradient_check

X = np.random.default_rng(0).normal(size=(3, 4))


def test_right_gradients_pass_and_wrong_ones_do_not():
    assert gradient_check(lambda x: tf.sin(x) * x, X).error < 1e-8
    right = gradient_check(np.exp, X, gradient=np.exp(X))  # NumPy, with a gradient given
    assert right.error < 1e-9 and right.variables["x"].checked == 12
    wrong = np.exp(X)
    wrong[1, 2] *= 1.01
    found = gradient_check(np.exp, X, gradient=wrong).variables["x"]
    assert found.error == pytest.approx(0.01 / 1.01, rel=1e-4) and found.index == (1, 2)
    assert found.analytic == wrong[1, 2]
    assert found.numerical == pytest.approx(np.exp(X[1, 2]), rel=1e-9)


def test_several_variables_by_name_and_a_gradient_from_above():
    variables = {"w": X, "b": np.array([1.0, 2.0, 3.0, 4.0])}
    above = np.random.default_rng(1).normal(size=X.shape)
    check = gradient_check(lambda w, b: w * w * b, variables, output_gradient=above)
    assert list(check.variables) == ["w", "b"] and check.error < 1e-8
    gradients = {"w": above * 2 * X * variables["b"], "b": (above * X * X).sum(0)}
    same = gradient_check(
        lambda w, b: w * w * b, variables, gradient=gradients, output_gradient=above
    )
    assert same.error < 1e-8
    table = str(check).splitlines()
    assert table[0] == "centred differences, h = 1e-05, float64"
    assert [line.split()[0] for line in table[1:]] == ["variable", "w", "b"]


def test_centred_is_of_second_order_and_one_sided_of_first():
    errors = {
        centred: [gradient_check(tf.exp, X, h, centred).error for h in (1e-2, 1e-3)]
        for centred in (True, False)
    }
    assert errors[True][0] / errors[True][1] == pytest.approx(100, rel=0.05)
    assert errors[False][0] / errors[False][1] == pytest.approx(10, rel=0.05)
    assert errors[True][1] < errors[False][1] / 100


def test_the_sparse_variant_checks_some_places_by_a_seed():
    called = []

    def function(x):
        called.append(1)
        return np.sum(x**2)

    x = np.random.default_rng(0).normal(size=(100, 100))
    wrong = 2 * x
    wrong[50:] = 0  # half of it: ten random places find it but once in a thousand times
    checks = [
        gradient_check(function, x, gradient=wrong, dimensions=10, seed=seed) for seed in (0, 0, 1)
    ]
    assert checks[0] == checks[1] != checks[2]
    assert checks[0].variables["x"].checked == 10 and checks[0].error == 1
    assert len(called) == 3 * (2 + 1 + 2 * 10)
    few = gradient_check(function, X, gradient=2 * X, dimensions=1000)
    assert few.variables["x"].checked == 12


def test_relative_error_in_both_conventions():
    a, n = np.array([1.0, 0.0, 2.0, 1e-12]), np.array([1.1, 0.0, -2.0, 0.0])
    error = finite_differences.relative_error
    np.testing.assert_allclose(error(a, n), [0.1 / 1.1, 0, 2, 1], rtol=1e-12)
    np.testing.assert_allclose(error(a, n, "sum"), [0.1 / 2.1, 0, 1, 1], rtol=1e-12)
    np.testing.assert_array_equal(error([np.inf, 1, np.nan, 2], [np.inf, np.inf, 0, 2])[:3], np.nan)
    np.testing.assert_allclose(error(a, n, "sum", 1e-8), [0.1 / 2.1, 0, 1, 1e-4], rtol=1e-12)
    with pytest.raises(InputError, match="got denominator='mean', expected 'max' or 'sum'"):
        error(a, n, "mean")
    with pytest.raises(InputError, match=r"got gradients of shapes \(4,\) and \(2,\)"):
        error(a, n[:2])


@pytest.mark.parametrize(
    "function, at",
    [
        (tf.nn.relu, 0.0),
        (tf.nn.relu, 4e-6),
        (tf.abs, -9e-6),
        (lambda x: tf.maximum(x, 0.5), 0.5),
        (lambda x: tf.reduce_mean(tf.nn.relu(x) ** 2 + tf.nn.relu(x)), 3e-6),
        (lambda x: 1e-4 * tf.nn.relu(x), 3e-6),
    ],
)
def test_kinks_inside_the_step_are_told(function, at):
    x = X.copy()
    x[1, 2] = at
    with pytest.warns(gradcheck.GradientCheckWarning, match="kinks within h of {'x': 1} elements"):
        check = gradient_check(function, x)
    assert check.kinks == 1
    assert gradient_check(function, X).kinks == 0  # a warning would be an error here


def test_a_relu_that_switches_inside_a_network_is_told():
    weights = np.random.default_rng(3).normal(size=(4, 6))
    weights[:, 2] = [1.0, -0.5, 0.7, 2.0]
    x = X.copy()
    hidden = x[:1] @ weights
    x[0] -= weights[:, 2] * hidden[0, 2] / (weights[:, 2] @ weights[:, 2])  # now it is at zero

    def loss(x):
        return tf.reduce_sum(tf.nn.relu(x @ weights) ** 2 + tf.nn.relu(x @ weights))

    with pytest.warns(gradcheck.GradientCheckWarning, match="kinks"):
        check = gradient_check(loss, x)
    assert check.kinks == 4  # all four inputs of that row move the unit over zero


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x**2,
        lambda x: tf.reduce_sum((x - X) ** 2),  # a minimum: slopes of opposite sign, and no kink
        lambda x: tf.exp(5 * x),
        lambda x: tf.sin(20 * x),
        lambda x: tf.reduce_mean(tf.nn.softmax(x) ** 3),
        lambda x: 1e-9 * x**2 + 1000,  # hardly more than rounding
    ],
)
def test_smooth_functions_have_no_kinks(function):
    assert gradient_check(function, X).kinks == 0


def test_float32_is_told_and_is_as_bad_as_said():
    x = X.astype(np.float32)
    with pytest.warns(gradcheck.GradientCheckWarning, match="got float32, whose rounding hides"):
        check = gradient_check(lambda x: tf.sin(x) * x, x)
    assert check.error > 1e-3


class WrongBackward(keras.layers.Layer):
    """A layer whose gradient by its weight lacks a factor of two."""

    def build(self, shape):
        self.weight = self.add_weight(shape[1:], "ones", name="weight")

    def call(self, x):
        @tf.custom_gradient
        def square(x, weight):
            return x * weight**2, lambda g: (g * weight**2, tf.reduce_sum(g * x * weight, axis=0))

        return square(x, tf.convert_to_tensor(self.weight))


def test_check_layer_finds_the_weight_whose_gradient_is_wrong():
    check = gradcheck.check_layer(WrongBackward(), X)
    assert check.variables["inputs"].error < 1e-8
    assert check.variables["weight"].error == pytest.approx(0.5, rel=1e-6)


@pytest.mark.parametrize(
    "build, shape, training, bound",
    [
        (lambda: keras.layers.Dense(3), (4, 5), False, 1e-8),
        (lambda: keras.layers.Conv2D(3, 3, strides=2), (2, 7, 7, 2), False, 1e-7),
        (lambda: keras.layers.MaxPooling2D(2), (2, 6, 6, 2), False, 1e-11),
        (lambda: keras.layers.BatchNormalization(), (8, 3), True, 1e-8),
        (lambda: keras.layers.SimpleRNN(4), (2, 5, 3), False, 1e-6),
        (lambda: keras.layers.LSTM(3), (2, 5, 3), False, 1e-6),
        (lambda: keras.layers.Dropout(0.5), (4, 5), True, 1e-8),
    ],
)
def test_any_keras_layer_within_the_bounds_of_the_course(build, shape, training, bound):
    inputs = np.random.default_rng(2).normal(size=shape)
    keras.utils.set_random_seed(0)  # a gradient that is next to nothing has a large relative error
    layer = build()
    check = gradcheck.check_layer(layer, inputs, training=training)
    assert check.error <= bound, str(check)
    assert layer.compute_dtype == "float32"  # it was left as it is
    checked = {name: each.checked for name, each in check.variables.items()}
    assert checked.pop("inputs") == inputs.size
    assert sum(checked.values()) == sum(np.prod(each.shape) for each in layer.trainable_variables)


def test_layers_of_several_inputs_and_of_whole_numbers():
    pair = [X, X[::-1].copy()]
    check = gradcheck.check_layer(keras.layers.Multiply(), pair)
    assert list(check.variables) == ["inputs", "inputs1"] and check.error < 1e-8
    check = gradcheck.check_layer(keras.layers.Embedding(5, 3), np.array([[0, 4], [2, 2]]))
    assert list(check.variables) == ["embeddings"] and check.error < 1e-8


def test_a_whole_network_and_a_task():
    network = models.convnet((8, 8, 3), 3, filters=(3,), hidden_units=4, dropout=0.3)
    images = np.random.default_rng(5).normal(size=(4, 8, 8, 3))
    check = gradcheck.check_layer(network, images, training=True, dimensions=5)
    assert check.error < 1e-5 and not check.kinks, str(check)
    assert "conv1/kernel" in check.variables and "norm1/gamma" in check.variables
    task = tasks.Classifier(models.linear((8, 8, 3), 3), data.Preprocess((8, 8), 3), list("abc"))
    pictures = np.random.default_rng(0).uniform(0, 255, (2, 9, 9, 3))
    assert gradcheck.check_layer(task, pictures, dimensions=5).error < 1e-6


@pytest.mark.parametrize(
    "loss, targets",
    [
        (losses.SmoothedCrossentropy(0.1), [0, 1, 2]),
        (keras.losses.SparseCategoricalCrossentropy(from_logits=True), [0, 1, 2]),
        (keras.losses.MeanSquaredError(), X[::-1].copy()),
        (keras.losses.Huber(), X[::-1].copy()),
        (lambda targets, predictions: tf.reduce_sum(targets * predictions**2), X[::-1].copy()),
    ],
)
def test_any_loss(loss, targets):
    check = gradcheck.check_loss(loss, targets, X)
    assert list(check.variables) == ["predictions"] and check.error < 1e-7, str(check)


class NormOfZero(keras.layers.Layer):
    """A layer whose gradient by its weight is NaN: that of a norm at zero."""

    def build(self, shape):
        self.scale = self.add_weight(shape[1:], "zeros", name="scale")

    def call(self, x):
        return x * 2 + tf.norm(tf.convert_to_tensor(self.scale))


def test_a_derived_gradient_that_is_not_finite_does_not_pass():
    with pytest.warns(gradcheck.GradientCheckWarning) as told:
        check = gradcheck.check_layer(NormOfZero(), np.array([[0.3, 0.4]]))
    assert "the derived gradient by scale is not finite" in str(told[0].message)
    assert check.variables["inputs"].error < 1e-8
    assert np.isnan(check.variables["scale"].error) and np.isnan(check.error)
    wrong = 2 * X
    wrong[1, 2] = np.inf
    with pytest.warns(gradcheck.GradientCheckWarning, match="by x is not finite"):
        check = gradient_check(lambda x: x**2, X, gradient=wrong)
    assert np.isnan(check.error) and check.variables["x"].index == (1, 2)


def test_a_function_that_ends_within_the_step_is_refused():
    with pytest.raises(InputError, match="not finite a step of h=1e-05 from 5e-06.*a smaller h"):
        gradient_check(tf.math.log, np.array([1.0, 5e-6]))
    assert gradient_check(tf.math.log, np.array([1.0, 5e-6]), 1e-9).error < 1e-4


def test_bad_input_is_refused():
    with pytest.raises(InputError, match="got h=0, expected a number above 0"):
        gradient_check(tf.exp, X, h=0)
    with pytest.raises(InputError, match="got x of type int64.*expected an array of finite"):
        gradient_check(tf.exp, np.array([1, 2]))
    with pytest.raises(InputError, match="got x of type float64.*finite"):
        gradient_check(tf.exp, np.array([1.0, np.inf]))
    with pytest.raises(InputError, match=r"got f\(x\) of type float64.*finite"):
        gradient_check(tf.math.log, np.array([-1.0, 1.0]))
    with pytest.raises(InputError, match="got an f that is random"):
        gradient_check(lambda x: x * np.random.default_rng().normal(), X)
    with pytest.raises(
        InputError, match=r"got a gradient of shape \(4,\) by x, expected .*\(3, 4\)"
    ):
        gradient_check(np.exp, X, gradient=np.exp(X[0]))
    with pytest.raises(InputError, match=r"got gradient=\['w'\] without 'b', expected a mapping"):
        gradient_check(lambda w, b: w * b, {"w": X, "b": X}, gradient={"w": X})
    with pytest.raises(InputError, match="got gradient=ndarray without 'w', expected a mapping"):
        gradient_check(lambda w, b: w * b, {"w": X, "b": X}, gradient=X)
    with pytest.raises(InputError, match="TensorFlow cannot differentiate.*or give gradient="):
        gradient_check(np.exp, X)
    with pytest.raises(InputError, match="got dimensions=0, expected 1 or more"):
        gradient_check(tf.exp, X, dimensions=0)


def test_the_examples_run():
    assert doctest.testmod(gradcheck).failed == 0
