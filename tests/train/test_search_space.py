"""Ranges and choices: what is drawn, narrowed, and found too narrow."""

import math

import numpy as np
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.train import search_space
from dlcv_tf.train.search_space import Choice, Range, Space

RATE = Range(1e-4, 1e0, log=True, least=0.0)
HYPERPARAMETERS = Space(  # those the course lists
    {
        "network": Choice(("linear", "mlp")),
        "learning_rate": RATE,
        "decay": Choice(("step", "exponential", "1/t")),
        "optimizer": Choice(("sgd", "momentum", "adam")),
        "l2": Range(1e-6, 1e-2, log=True),
        "dropout": Range(0.0, 0.7, least=0.0, most=0.999),
        "hidden_units": Choice(((16,), (64, 64))),
        "depth": Range(1, 8, integer=True),
        "batch_norm": Choice((False, True)),
    }
)


def test_a_space_holds_all_hyperparameters_the_course_lists():
    drawn = [HYPERPARAMETERS.random((0, number)) for number in range(200)]
    assert {point["network"] for point in drawn} == {"linear", "mlp"}
    assert {point["hidden_units"] for point in drawn} == {(16,), (64, 64)}
    assert {point["depth"] for point in drawn} == set(range(1, 9))
    assert all(0 <= point["dropout"] <= 0.7 for point in drawn)
    assert HYPERPARAMETERS.random((0, 7)) == drawn[7]
    written = search_space.to_json(HYPERPARAMETERS)
    assert search_space.from_json(written) == HYPERPARAMETERS


def test_a_logarithmic_range_gives_every_decade_its_share():
    random = np.random.default_rng(0)
    draws = np.array([RATE.draw(random) for _ in range(4000)])
    assert draws.min() >= 1e-4 and draws.max() <= 1
    counts, _ = np.histogram(np.log10(draws), bins=4, range=(-4, 0))
    assert counts.min() > 900 and counts.max() < 1100
    linear = np.array([Range(1e-4, 1.0).draw(random) for _ in range(4000)])
    assert np.mean(linear > 0.1) > 0.87  # where a linear range spends its trials


def test_whole_numbers_are_drawn_alike_the_ends_too():
    random = np.random.default_rng(0)
    draws = [Range(1, 4, integer=True).draw(random) for _ in range(4000)]
    assert all(isinstance(value, int) for value in draws)
    assert min(np.bincount(draws)[1:]) > 900


def test_draws_can_be_typed():
    value = RATE.draw(np.random.default_rng(3))
    assert value == float(f"{value:.4g}")


def test_a_spread_has_both_ends_from_three_values_on():
    assert RATE.spread(5) == [1e-4, 1e-3, 1e-2, 1e-1, 1.0]
    assert RATE.spread(1) == [0.01]
    assert RATE.spread(2) == [1e-3, 1e-1]
    assert Range(1, 3, integer=True).spread(9) == [1, 2, 3]


def test_a_grid_is_as_fine_as_the_number_of_points_allows():
    space = Space({"x": Range(0, 1), "y": Range(0, 1)})
    assert len(space.grid(9)) == 9 == len({(p["x"], p["y"]) for p in space.grid(9)})
    assert len({point["x"] for point in space.grid(9)}) == 3
    assert [len(space.grid(most)) for most in (1, 2, 3, 8, 11)] == [1, 2, 3, 8, 9]
    both = Space({"rate": RATE, "width": Choice((1, 2, 3))})
    assert len(both.grid(11)) == 9
    with pytest.raises(InputError, match="got a grid of 2 points, expected at least 3"):
        both.grid(2)


def test_a_narrowed_range_lies_about_the_best_and_within_the_old_one():
    narrowed = RATE.around([0.01, 0.03])
    assert math.isclose(narrowed.low, 0.01 / 3, rel_tol=0.01)
    assert math.isclose(narrowed.high, 0.03, rel_tol=0.01)
    assert RATE.around([0.01]).position(0.01) == pytest.approx(0.5, abs=0.01)
    wide = RATE.around([0.01, 1e-4, 1.0])
    assert math.isclose(wide.low, 1e-3, rel_tol=0.01) and math.isclose(wide.high, 0.1, rel_tol=0.01)
    assert RATE.around([1.0]).high == 1.0 and RATE.around([1e-4]).low == 1e-4
    assert Choice(((), ("shift",), ("flip",))).around([("flip",), ()]).values == ((), ("flip",))
    exact = 0.012346  # has more digits than draws
    assert RATE.around([exact]).low <= exact <= RATE.around([exact]).high


@pytest.mark.parametrize(
    ("position", "low", "high"),
    [
        (0.02, 1e-6, 1e-2),
        (0.049, 1e-6, 1e-2),
        (0.051, None, None),
        (0.5, None, None),
        (0.949, None, None),
        (0.951, 1e-2, 1e2),
        (1.0, 1e-2, 1e2),
    ],
)
def test_a_best_value_in_the_outer_5_percent_in_log_space_asks_for_a_wider_range(
    position, low, high
):
    wider = RATE.wider(10 ** (-4 + 4 * position))
    if low is None:
        assert wider is None
    else:
        assert math.isclose(wider.low, low, rel_tol=1e-3)
        assert math.isclose(wider.high, high, rel_tol=1e-3)


def test_a_range_that_ends_by_nature_is_not_widened_there():
    dropout = Range(0.0, 0.5, least=0.0, most=0.999)
    assert dropout.wider(0.0) is None
    assert (dropout.wider(0.5).low, dropout.wider(0.5).high) == (0.25, 0.75)
    assert Range(0.0, 0.9, least=0.0, most=0.999).wider(0.9).high == 0.999
    assert Space({"x": dropout, "y": Choice((1, 2))}).edges({"x": 0.5, "y": 2}).keys() == {"x"}


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Range(1.0, 0.1), "got 1..0.1, expected LOW..HIGH of two numbers, the lower one"),
        (lambda: Range(float("nan"), 0.1), "expected LOW..HIGH of two numbers"),
        (lambda: Range(0.0, 0.1, log=True), "on a logarithmic scale, expected both ends above 0"),
        (lambda: Range(0.5, 2.0, most=1.0), "got 0.5..2, expected ends within -inf..1"),
        (lambda: Choice(()), "expected at least one"),
        (lambda: Choice((1, 2, 1)), "none of them twice"),
        (lambda: Space({}), "expected at least one range"),
    ],
)
def test_bad_ranges_are_named(make, message):
    with pytest.raises(InputError, match=message):
        make()
