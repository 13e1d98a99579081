"""The labs on searching bear out what the course says."""

import math

import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.labs import search


def test_random_versus_grid():
    finding = search.random_versus_grid()
    assert finding.holds
    assert finding.numbers["distinct_x"] == {"grid": 3, "random": 9}
    assert finding.numbers["share"] >= 0.8
    assert finding.numbers["random_best_mean"] > 10 * finding.numbers["grid_best"]
    # A grid line has a peak anywhere within a quarter; 9 draws miss all places nearer than d of it
    # with probability (1 - 2d)^9, so the share is 1 - the mean of that: 0.8.
    assert abs(finding.numbers["share_over_all_peaks"] - 0.8) < 0.02
    assert finding.figures.keys() == {"random_versus_grid", "random_versus_grid_peaks"}


def test_random_versus_grid_where_a_grid_line_meets_the_peak():
    finding = search.random_versus_grid(peak=0.5, seeds=200)
    assert not finding.holds and finding.numbers["share"] < 0.1


def test_coarse_to_fine():
    finding = search.coarse_to_fine(trials=9, epochs=5)
    assert finding.holds, finding.summary
    wide, low = finding.numbers["wide"], finding.numbers["too low"]
    assert wide["fine_best"] >= wide["coarse_best"] > 0.9
    assert wide["exploded"] >= 1 and finding.numbers["exploded_in_first_epoch"]
    fine_low, fine_high = finding.numbers["fine_range"]
    assert fine_low <= wide["learning_rate"] <= fine_high
    assert math.log10(fine_high / fine_low) <= 4.01  # half of the eight decades, at most
    assert low["learning_rate"] > 10**-3.15 and low["fine_best"] < wide["fine_best"]
    assert any("learning_rate=" in warning for warning in low["warnings"])
    assert len(finding.tables) == 2 and finding.figures.keys() == {"coarse_to_fine"}


@pytest.mark.parametrize(
    ("lab", "values", "message"),
    [
        (search.random_versus_grid, {"peak": 2.0}, "expected 1 or more of both, and a peak"),
        (search.random_versus_grid, {"seeds": 0}, "got trials=9, seeds=0"),
        (search.coarse_to_fine, {"trials": 2}, "got trials=2, expected 3 or more"),
        (search.coarse_to_fine, {"learning_rates": (1.0, 0.1)}, "the lower one first"),
        (search.coarse_to_fine, {"trials": 3, "learning_rates": (1e4, 1e6)}, "try lower rates"),
    ],
)
def test_bad_arguments_are_named(lab, values, message):
    with pytest.raises(InputError, match=message):
        lab(**values)
