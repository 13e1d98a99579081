"""Gates: what each does to a gradient, and whole circuits, against the notes and TensorFlow."""

import doctest

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import gates
from dlcv_tf.ops.gates import Input, Maximum, backward


def gradients(output, *inputs):
    backward(output)
    return [each.gradient.tolist() for each in inputs]


def test_x_plus_y_times_z():
    """cs231n.github.io, optimization-2.md."""
    x, y, z = Input(-2), Input(5), Input(-4)
    q = x + y
    f = q * z
    assert f.value == -12
    assert gradients(f, x, y, z, q, f) == [-4, -4, 3, -4, 1]


def test_add_distributes():
    x, y = Input(3), Input(-7)
    assert gradients((x + y) * 5, x, y) == [5, 5]


def test_maximum_routes_to_the_larger_and_at_a_tie_to_the_first():
    x, y = Input(3), Input(-7)
    assert gradients(Maximum(x, y) * 5, x, y) == [5, 0]
    assert gradients(Maximum(y, x) * 5, x, y) == [5, 0]
    x, y = Input(2), Input(2)
    assert gradients(Maximum(x, y) * 5, x, y) == [5, 0]
    assert gradients(gates.Sum(Maximum(Input([1.0, 5.0]), z := Input([4.0, 2.0]))), z) == [[1, 0]]


def test_multiply_switches():
    x, y = Input(3), Input(-7)
    assert gradients(x * y * 5, x, y) == [-35, 15]


def test_branches_add():
    for value in (-1.5, 0.0, 4.0):
        x = Input(value)
        assert gradients(x * x + x, x) == [2 * value + 1]


def test_a_second_backward_starts_anew():
    x = Input(3)
    f = x * x
    assert gradients(f, x) == gradients(f, x) == [6]


def tensorflow_twin(function, *values):
    tensors = [tf.constant(value, tf.float64) for value in values]
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        output = function(*tensors)
    return output, tape.gradient(output, tensors, unconnected_gradients="zero")


# name: (with gates, with TensorFlow, values)
MATRIX, VECTOR = np.array([[0.1, 0.5], [-0.3, 0.8]]), np.array([0.2, 0.4])
CIRCUITS = {
    "negate": (lambda x: -x, lambda x: -x, [3.0]),
    "subtract": (lambda x, y: x - y, lambda x, y: x - y, [3.0, 5.0]),
    "divide": (lambda x, y: x / y, lambda x, y: x / y, [3.0, 5.0]),
    "number minus": (lambda x: 1 - x, lambda x: 1 - x, [3.0]),
    "number over": (lambda x: 2 / x, lambda x: 2 / x, [3.0]),
    "array first": (
        lambda x: gates.Sum(VECTOR / (VECTOR - MATRIX @ x)),
        lambda x: tf.reduce_sum(VECTOR / (VECTOR - tf.linalg.matvec(MATRIX, x))),
        [VECTOR],
    ),
    "number first": (lambda x: 2 * x + 3, lambda x: 2 * x + 3, [3.0]),
    "exp": (gates.Exp, tf.exp, [1.2]),
    "log": (gates.Log, tf.math.log, [1.2]),
    "reciprocal": (gates.Reciprocal, tf.math.reciprocal, [1.7]),
    "sqrt": (gates.Sqrt, tf.sqrt, [1.7]),
    "sum": (gates.Sum, tf.reduce_sum, [MATRIX]),
    "broadcast": (
        lambda x, y, z: gates.Sum((x + y) * z * (x + y)),
        lambda x, y, z: tf.reduce_sum((x + y) * z * (x + y)),
        [MATRIX, VECTOR, 3.0],
    ),
    "broadcast a column": (
        lambda x, y: gates.Sum(x * y * y),
        lambda x, y: tf.reduce_sum(x * y * y),
        [MATRIX, VECTOR[:, None]],
    ),
    "matrix and vector": (
        lambda w, x: gates.Sum((w @ x) * (w @ x)),
        lambda w, x: tf.reduce_sum(tf.linalg.matvec(w, x) ** 2),
        [MATRIX, VECTOR],
    ),
    "matrices": (
        lambda w, x: gates.Sum((w @ x) * (w @ x) * (w @ x)),
        lambda w, x: tf.reduce_sum((w @ x) ** 3),
        [MATRIX, MATRIX + 1],
    ),
    "softmax loss": (
        lambda s: gates.Log(gates.Sum(gates.Exp(s))) - gates.Sum(s * np.array([0.0, 1.0])),
        lambda s: tf.nn.softmax_cross_entropy_with_logits([0.0, 1.0], s),
        [VECTOR],
    ),
}


@pytest.mark.parametrize("name", CIRCUITS)
def test_circuits_against_tensorflow(name):
    ours, theirs, values = CIRCUITS[name]
    inputs = [Input(value) for value in values]
    output = ours(*inputs)
    backward(output)
    expected, expected_gradients = tensorflow_twin(theirs, *values)
    np.testing.assert_allclose(output.value, expected, rtol=1e-12)
    for each, gradient, value in zip(inputs, expected_gradients, values, strict=True):
        assert each.gradient.shape == np.shape(value)  # a gradient has the variable's shape
        np.testing.assert_allclose(each.gradient, gradient, rtol=1e-12, atol=1e-12)


def test_the_gradient_of_a_square_root_at_zero_is_zero_by_convention():
    x = Input(np.zeros(3))
    norm = gates.Sqrt(gates.Sum(x * x))
    assert gradients(norm, x) == [[0, 0, 0]]


def test_topological_order_and_table():
    x, y = Input(2, "x"), Input(3, "y")
    q = x * y
    f = q + q * x + 1
    order = gates.order(f)
    assert len(order) == len(set(order)) == 7
    for gate in order:
        assert all(order.index(each) < order.index(gate) for each in gate.inputs)
    backward(f)
    rows = [(name, formula, float(v), float(g)) for name, formula, v, g in gates.table(f)]
    assert rows == [
        ("x", "given", 2, 15),
        ("y", "given", 3, 6),
        ("g1", "Multiply(x, y)", 6, 3),
        ("g2", "Multiply(g1, x)", 12, 1),
        ("g3", "Add(g1, g2)", 18, 1),
        ("g4", "Add(g3, 1.0)", 19, 1),
    ]


def test_a_long_chain_does_not_reach_python_s_limit_of_recursion():
    x = f = Input(1.0)
    for _ in range(3000):
        f = f + 0.001
    assert gradients(f, x) == [1]


def test_bad_circuits_are_refused():
    with pytest.raises(InputError, match=r"got an output of shape \(2,\), expected a scalar: put"):
        backward(Input([1.0, 2.0]) + 1)
    with pytest.raises(InputError, match="got Log of -1.0, expected a finite value"):
        gates.Log(Input(-1))
    with pytest.raises(InputError, match="got Reciprocal of 0.0, expected a finite value"):
        Input(1) / Input(0)
    for x, y in ((VECTOR, MATRIX), (VECTOR, VECTOR), (MATRIX, 3.0), (MATRIX, np.ones(3))):
        with pytest.raises(InputError, match=r"got shapes \(2,.* @ .*expected \(n, m\) @ \(m,\)"):
            Input(x) @ y
    with pytest.raises(InputError, match="got Input of nan, expected a finite value"):
        Input(float("nan"))


def test_the_examples_run():
    assert doctest.testmod(gates).failed == 0
