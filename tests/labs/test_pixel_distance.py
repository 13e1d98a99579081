"""The labs on distances of pixels bear out what the course says."""

import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.labs import pixel_distance


def test_shifted_tinted_and_covered_pictures_are_equally_far():
    finding = pixel_distance.equal_distances()
    assert finding.holds
    apart = finding.numbers["distances"]
    assert apart.keys() == {"shifted", "tinted", "covered"}
    assert max(apart.values()) - min(apart.values()) < 1e-3 and min(apart.values()) > 1000
    assert finding.numbers["nearer_of_other_shapes"] > 0


@pytest.mark.parametrize("options", [{"picture": 1000}, {"picture": -1}, {"shift": 0}])
def test_pictures_there_are_none_of(options):
    with pytest.raises(InputError, match="expected a picture from 0 to 999 and a shift from 1"):
        pixel_distance.equal_distances(**options)


@pytest.mark.parametrize("seed", [0, 1])
def test_a_rotation_changes_l1_and_not_l2(seed):
    finding = pixel_distance.rotated_pixels(seed=seed)
    assert finding.holds
    assert finding.numbers["largest_change"]["l2"] < 1e-9
    assert finding.numbers["largest_change"]["l1"] > 1
    assert finding.numbers["other_neighbour"]["l2"] == 0
    assert finding.numbers["other_neighbour"]["l1"] > 0.1


def test_points_needed_grow_as_a_power_of_the_dimension():
    finding = pixel_distance.curse_of_dimensionality()
    assert finding.holds
    assert finding.numbers["points_needed"] == {"1": 4, "2": 16, "3": 64}
    assert finding.numbers["cells_visited"] == finding.numbers["points_needed"]
    ball = dict(
        zip(finding.numbers["dimensions"], finding.numbers["part_in_the_ball"], strict=True)
    )
    assert ball[1] == pytest.approx(1) and ball[2] == pytest.approx(0.785398, abs=1e-6)
    assert ball[4] == pytest.approx(0.308425, abs=1e-6) and ball[16] < 1e-5
    assert finding.numbers["width_of_a_hundredth"][1] == pytest.approx(0.1)
    ratios = finding.numbers["nearest_over_farthest"]
    assert ratios[0] < 0.05 and ratios[-1] > 0.9
    with pytest.raises(InputError, match="expected one over a whole number"):
        pixel_distance.curse_of_dimensionality(spacing=0.3)
