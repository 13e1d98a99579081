"""Charts show the numbers they are given, and name what they show."""

import numpy as np
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.plots import charts, style
from tests.plots import drawn

X = np.array([1.0, 10.0, 100.0])


def texts(axes):
    return [text.get_text() for text in axes.texts]


def panel(**changes):
    values = {
        "title": "Loss",
        "series": {"plain": (X, [3, 2, 1]), "with momentum": (X, [2, 1, 0.5])},
        "x_label": "step",
        "y_label": "loss",
        "references": {"log C": 2.3},
    }
    return charts.Panel(**values | changes)


def test_lines_are_the_numbers_and_have_names():
    (axes,) = charts.draw([panel(x_log=True)]).axes
    lines = {line.get_label(): line for line in axes.lines}
    np.testing.assert_array_equal(lines["plain"].get_xdata(), X)
    np.testing.assert_array_equal(lines["with momentum"].get_ydata(), [2, 1, 0.5])
    assert {"Loss", "loss", "step", "plain", "with momentum", "log C 2.3"} == set(texts(axes))
    assert axes.get_xscale() == "log" and axes.get_yscale() == "linear"
    assert axes.get_ylim()[0] < 0.5 and axes.get_ylim()[1] > 3


@pytest.mark.parametrize("x, ticks", [([16, 256], [20, 50, 100, 200]), ([2, 300], [10, 100])])
def test_a_logarithmic_axis_has_more_than_one_tick(x, ticks):
    series = {"a": (x, [1, 2])}
    (axes,) = charts.draw([panel(series=series, references=None, x_log=True)]).axes
    assert [tick for tick in axes.get_xticks() if x[0] <= tick <= x[1]] == ticks


def test_a_single_series_needs_no_name():
    (axes,) = charts.draw([panel(series={"plain": (X, X)}, references=None)]).axes
    assert set(texts(axes)) == {"Loss", "loss", "step"}


def test_what_is_not_finite_is_left_out():
    (axes,) = charts.draw([panel(series={"a": (X, [1, np.nan, 3])}, references=None)]).axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [1, 3])
    (axes,) = charts.draw([panel(series={"a": (X, [1, 0, 3])}, references=None, y_log=True)]).axes
    np.testing.assert_array_equal(axes.lines[0].get_ydata(), [1, 3])
    with pytest.raises(InputError, match="no number to show in 'Loss'"):
        charts.draw([panel(series={"a": (X, [np.nan] * 3)}, references=None)])


def test_bands_and_points():
    band = charts.Series(X, [1, 2, 3], low=[0, 1, 2], high=[2, 3, 4])
    points = charts.Series(X, [1, 2, 3], line=False)
    with_band, with_points = charts.draw(
        [panel(series={"a": band}), panel(series={"a": points, "b": points})]
    ).axes
    assert len(with_band.collections) == 1
    assert [line.get_linewidth() for line in with_points.lines[:2]] == [0, 0]
    assert {"● a", "● b"} <= set(texts(with_points))


def test_points_at_the_limits_are_whole_and_those_beyond_are_left_out():
    points = {"a": charts.Series(X, [1, 2, 3], line=False)}
    (axes,) = charts.draw([panel(series=points, references=None, x_limits=(1, 10))]).axes
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), [1, 10])
    assert not axes.lines[0].get_clip_on()


def test_categories_stand_in_the_order_given():
    series = {"a": charts.Series(["sgd", "adam"], [1, 2]), "b": (["adam", "rms"], [3, 4])}
    (axes,) = charts.draw([panel(series=series)]).axes
    assert [text.get_text() for text in axes.get_xticklabels()] == ["sgd", "adam", "rms"]
    np.testing.assert_array_equal(axes.lines[1].get_xdata(), [1, 2])


@pytest.mark.parametrize("width", [style.WIDE, 6.0])
@pytest.mark.parametrize("kind", ["lines", "points", "bars"])
def test_no_text_lies_over_another_or_outside(kind, width):
    if kind == "bars":
        figure = charts.bars(
            {"eager": 12.0, "graph": 3.0}, "ms", references={"limit": 5}, width=width
        )
    else:
        series = {
            name: charts.Series(X, [3, 2, last], line=kind == "lines")
            for name, last in {"plain": 1.0, "with momentum": 1.01, "third": 0.99}.items()
        }
        figure = charts.draw([panel(series=series, references=None)] * 2, width=width)
    for axes in figure.axes:
        drawn.check_apart_and_inside(figure, axes.texts)


def test_bars_have_their_lengths_and_values():
    (axes,) = charts.bars({"eager": 1234.5, "graph": 3.21}, "ms").axes
    assert [bar.get_width() for bar in axes.patches] == [1234.5, 3.21]
    assert {"eager", "graph", "  1,234", "  3.21", "ms"} == set(texts(axes))
    (axes,) = charts.bars({"a": 1.0, "b": 100.0}, log=True).axes
    assert axes.get_xscale() == "log"
    (axes,) = charts.bars({"a": 1.0}, log=True, references={"sound": 1e-3}).axes
    assert axes.get_xlim()[0] < 1e-3  # a reference is inside, too
    with pytest.raises(InputError, match="above 0: the axis is logarithmic"):
        charts.bars({"a": 0.0}, log=True)


def test_histograms_share_one_range():
    figure = charts.histograms({"one": [0, 1, 1], "two": [4.0, 2.0]}, bins=4)
    assert [axes.get_xlim() for axes in figure.axes] == [(0, 4)] * 2
    np.testing.assert_array_equal(figure.axes[0].patches[0].get_data().values, [1, 2, 0, 0])
    with pytest.raises(InputError, match="expected finite numbers"):
        charts.histograms({"one": [np.inf]})


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ([], "got no panel"),
        ([panel(series={})], "got no series for 'Loss'"),
        ([panel(series={"a": ([1, 2], [1])})], "got 2 x and 1 y for 'a'"),
    ],
)
def test_bad_panels_are_named(panels, message):
    with pytest.raises(InputError, match=message):
        charts.draw(panels)


def test_numbers_are_short():
    shown = {0: "0", 1e-5: "1e-05", 0.12345: "0.123", 12.345: "12.3", 12345.6: "12,346"}
    assert {value: charts.number(value) for value in shown} == shown
