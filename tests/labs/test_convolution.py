"""The labs on convolution bear out what the course says."""

import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.labs import convolution


def test_oriented_edges():
    finding = convolution.oriented_edges(orientations=8, reach=3)
    assert finding.holds and finding.numbers["directions_right"] == 8
    assert finding.numbers["complex_least"] > 0.95 > 0.2 > finding.numbers["simple_least"]
    assert finding.figures.keys() == {"oriented_edges", "oriented_edges_tuning"}


def test_a_pool_that_reaches_nowhere_is_a_simple_cell():
    finding = convolution.oriented_edges(reach=0)  # nothing is moved within the pool
    assert finding.numbers["complex_least"] == finding.numbers["simple_least"] == 1.0
    assert not finding.holds


def test_output_sizes():
    finding = convolution.output_sizes()
    assert finding.holds
    cases = {(c["stride"], c["padding"]): c for c in finding.numbers["cases"]}
    assert [cases[1, 0]["places"], cases[2, 0]["places"]] == [5, 3]
    assert cases[3, 0] | {"formula": 2.33, "places": 2, "unread": 1} == cases[3, 0]
    assert cases[1, 1]["places"] == 7 and cases[3, 1]["unread"] == 0


def test_output_sizes_of_the_notes():
    finding = convolution.output_sizes(size=32, kernel=5, padding=2)
    assert finding.holds
    assert finding.numbers["cases"][5] == {
        **{"stride": 1, "padding": 2, "formula": 32.0},
        **{"places": 32, "unread": 0},
    }


def test_receptive_fields():
    finding = convolution.receptive_fields()
    assert finding.holds
    assert finding.numbers["three 3x3"] == {"computed": 7, "measured": [7, 7], "weights": 27 * 64}
    assert finding.numbers["one 7x7"]["weights"] == 49 * 64
    assert finding.numbers["ResNet-20 up to c3"]["measured"] == [37, 37]


def test_where_parameters_live_erratum_e16():
    numbers = convolution.where_parameters_live().numbers
    assert numbers["parameters"] == 62_378_344 and numbers["dense_parameters"] == 58_631_144
    assert round(numbers["dense_share"], 2) == 0.94
    assert numbers["first_layer"] == {
        "neurons": 290_400,
        "parameters": 34_944,
        "unshared_parameters": 105_705_600,
    }


def test_where_parameters_live_elsewhere():
    finding = convolution.where_parameters_live(network="lenet5")
    assert finding.numbers["parameters"] == 61_706
    with pytest.raises(InputError, match="unknown network of this lab 'vgg16'"):
        convolution.where_parameters_live(network="vgg16")
