"""Labs on graphs, backpropagation and gradient checks: the numbers of the curriculum's checks."""

import numpy as np
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.labs import backprop


def test_gates_circuit():
    """cs231n.github.io, optimization-2.md."""
    finding = backprop.gates_circuit()
    assert finding.holds
    assert finding.numbers["f"] == -12
    assert finding.numbers["gradients"] == finding.numbers["gradients_by_tensorflow"] == [-4, -4, 3]
    assert finding.numbers["branches"] == 2 * -2 + 1
    assert backprop.gates_circuit(x=1.1, y=-0.3, z=2.7).holds


def test_sigmoid_circuit():
    """cs231n.github.io, optimization-2.md: values printed to two decimals."""
    finding = backprop.sigmoid_circuit()
    assert finding.holds and finding.numbers["dot"] == 1
    assert finding.numbers["f"] == pytest.approx(0.73, abs=0.006)
    assert finding.numbers["dw"] == pytest.approx([-0.2, -0.39, 0.2], abs=0.006)
    assert finding.numbers["dx"] == pytest.approx([0.39, -0.59], abs=0.006)
    circuit = finding.tables[0].rows
    assert [row[1].split("(")[0] for row in circuit[-4:]] == ["Negate", "Exp", "Add", "Reciprocal"]
    assert backprop.sigmoid_circuit(w=(1.0, 2.0, -1.0, 0.5), x=(0.3, -0.2, 0.9)).holds
    with pytest.raises(InputError, match="got 2 weights for 2 inputs, expected 3: the last"):
        backprop.sigmoid_circuit(w=(1.0, 2.0))


def test_l2_norm_gradient():
    """The numbers of CS231n's lecture 4."""
    finding = backprop.l2_norm_gradient()
    assert finding.holds and max(finding.numbers["numerical_errors"].values()) < 1e-8
    expected = {
        "q": [0.22, 0.26],
        "f": 0.116,
        "dW": [[0.088, 0.176], [0.104, 0.208]],
        "dx": [-0.112, 0.636],
        "norm_gradient": np.array([0.2, 0.4]) / np.hypot(0.2, 0.4),
        "norm_gradient_at_zero": [0, 0],
    }
    for name, value in expected.items():
        np.testing.assert_allclose(finding.numbers[name], value, atol=1e-12, err_msg=name)
    with pytest.raises(InputError, match="got 4 weights, expected a multiple of x's 3 numbers"):
        backprop.l2_norm_gradient(x=(1.0, 2.0, 3.0))


def test_gradient_check_steps():
    finding = backprop.gradient_check_steps()
    assert finding.holds
    best = finding.numbers["best_error"]
    assert best["float64 centred"] < 1e-9 < 1e-8 < best["float64 one-sided"] < 1e-6
    assert best["float32 centred"] > 1e-5
    (kinks,) = finding.tables
    assert all(row[2] <= row[1] for row in kinks.rows)  # a kink is told only where one is
    assert all(row[2] == row[1] for row in kinks.rows if float(row[0]) <= 3e-3)
    assert finding.figures.keys() == {"gradient_check_steps"}


def test_relu_jacobian():
    finding = backprop.relu_jacobian()
    assert finding.holds and finding.numbers["off_diagonal_max"] == 0
    assert finding.numbers["rows"] == 4096 and finding.numbers["batch_rows"] == 409_600
    assert round(finding.numbers["batch_jacobian_bytes"] / 1e9) == 671
    assert "671 GB" in finding.summary
