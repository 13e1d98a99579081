"""The labs on initial weights bear out what the course says."""

import numpy as np
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.labs import initialization


def test_the_five_cases_of_the_course():
    finding = initialization.initial_weights()
    assert finding.holds and len(finding.numbers["std"]) == 5
    np.testing.assert_allclose(
        finding.numbers["std"]["small, tanh"][:6],
        (0.213081, 0.047551, 0.01063, 0.002378, 0.000532, 0.000119),
        rtol=0.03,
    )
    assert finding.figures.keys() == {
        "initial_weights",
        "initial_weights_tanh",
        "initial_weights_relu",
    }


@pytest.mark.parametrize(
    "init, act, holds",
    [
        ("he", "relu", True),
        ("xavier", "tanh", True),
        ("orthogonal", "tanh", True),
        ("small", "tanh", False),
        ("large", "tanh", False),
        ("xavier", "relu", False),
        ("zeros", "tanh", False),
    ],
)
def test_the_table_says_which_weights_are_good(init, act, holds):
    finding = initialization.activation_statistics(init=init, act=act)
    assert finding.holds == holds
    assert len(finding.tables[0].rows) == len(finding.numbers["std"]) == 10


def test_any_depth():
    finding = initialization.activation_statistics(init="lecun", act="selu", depth=3, width=50)
    assert [row[0] for row in finding.tables[0].rows] == ["layer1", "layer2", "layer3"]
    with pytest.raises(InputError, match="unknown initialisation"):
        initialization.activation_statistics(init="nonsense")


def test_from_zeros_all_neurons_stay_alike():
    finding = initialization.zero_weights(epochs=5)
    assert finding.holds
    zeros, constant, random = finding.numbers.values()
    assert zeros["largest_gradient"] == 0 and zeros["units_differ_by"] == 0
    assert constant["largest_gradient"] > 0  # its rows of dW are identical, not only zero
    assert constant["gradient_differs_by"] <= 1e-5 * constant["largest_gradient"]
    assert random["gradient_differs_by"] > 0.01
