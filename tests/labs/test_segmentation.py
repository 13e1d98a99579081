"""The labs on segmentation bear out what the course says."""

import pytest

from dlcv_tf.labs import segmentation


def test_two_bad_ways():
    """At the default depth the patches cost 57 times as much; here they are smaller."""
    finding = segmentation.two_bad_ways(depth=4, width=4, train=16, epochs=1)
    numbers = finding.numbers
    assert numbers["equal_labels"] == 1
    assert numbers["patches_over_one_pass"] > 15
    assert numbers["work"]["patch by patch"] > numbers["work"]["full size"]
    assert numbers["fields"] == {"patch by patch": 9, "full size": 9, "down and up": 64}
    assert finding.figures.keys() == {"two_bad_ways"}


def test_switches_keep_places_that_a_bed_of_nails_loses():
    ways = ("bed_of_nails", "max_unpooling", "nearest")
    finding = segmentation.five_upsamplings(ways=ways, train=16, epochs=1)
    assert finding.holds
    places = finding.numbers["in_place"]
    assert places["max_unpooling"] == 1 and places["bed_of_nails"] < 0.5 > places["nearest"]
    assert finding.numbers["miou"].keys() == set(ways)


def test_convolution_as_matrix():
    finding = segmentation.convolution_as_matrix()
    assert finding.holds
    assert finding.numbers["convolution"] == [8, 20]
    assert finding.numbers["transposed"] == [2, 4, 2, 3]
    assert finding.numbers["copies"] == {
        "3x3, stride 2": [1, 2, 4],
        "4x4, stride 2": [4],
        "3x3, stride 1": [9],
    }


@pytest.mark.parametrize("stride", [1, 3])
def test_convolution_as_matrix_of_other_strides(stride):
    assert segmentation.convolution_as_matrix(kernel=3, stride=stride, size=7).holds
