"""Training curves: the lines are the history, the names stand beside them."""

import numpy as np
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.plots import curves, style
from tests.plots import drawn

HISTORY = {
    "loss": [2.2, 1.1, 0.4],
    "val_loss": [2.0, 1.2, 0.6],
    "accuracy": [0.31, 0.7, 0.95],
    "val_accuracy": [0.33, 0.66, 0.9],
    "learning_rate": [0.1, 0.05, 0.00001],
    "top5": [1, 1, 1],
}


def texts(axes):
    return [text.get_text() for text in axes.texts]


def lines(axes):
    return {line.get_label(): line for line in axes.lines if not line.get_label().startswith("_")}


def test_the_lines_are_the_history():
    loss, accuracy, rate = curves.training_curves(HISTORY).axes
    for axes, name in ((loss, "loss"), (accuracy, "accuracy")):
        shown = lines(axes)
        np.testing.assert_array_equal(shown["training"].get_xdata(), [1, 2, 3])
        np.testing.assert_array_equal(shown["training"].get_ydata(), HISTORY[name])
        np.testing.assert_array_equal(shown["validation"].get_ydata(), HISTORY[f"val_{name}"])
    assert list(lines(rate)) == ["training"]
    np.testing.assert_array_equal(lines(rate)["training"].get_ydata(), HISTORY["learning_rate"])


def test_panels_and_lines_are_named_with_their_last_value():
    loss, accuracy, rate = curves.training_curves(HISTORY).axes
    assert {"Loss", "epoch", "training 0.400", "validation 0.600"} == set(texts(loss))
    assert {"Accuracy", "epoch", "training 0.950", "validation 0.900"} == set(texts(accuracy))
    assert set(texts(rate)) == {"Learning rate", "epoch"}


def test_a_panel_only_for_what_the_history_holds():
    figure = curves.training_curves({"loss": [1.0], "val_loss": []})
    assert len(figure.axes) == 1
    assert "training 1.000" in texts(figure.axes[0])
    assert len(curves.training_curves({"val_accuracy": [0.5, 0.6]}).axes) == 1


def test_a_reference_is_a_line_in_the_loss_panel_only():
    loss, accuracy = curves.training_curves(
        {"loss": [1.0, 0.5], "accuracy": [0.5, 0.7]}, {"log C": np.log(10)}
    ).axes
    assert "log C 2.303" in texts(loss) and "log C 2.303" not in texts(accuracy)
    flat = [line for line in loss.lines if set(line.get_ydata()) == {np.log(10)}]
    assert len(flat) == 1
    assert loss.get_ylim()[1] > np.log(10)


def test_a_narrow_figure_stands_its_panels_under_each_other():
    wide = curves.training_curves(HISTORY)
    narrow = curves.training_curves(HISTORY, width=style.NARROW)
    assert len({round(axes.get_position().y0, 6) for axes in wide.axes}) == 1
    assert len({round(axes.get_position().x0, 6) for axes in narrow.axes}) == 1
    heights = [axes.get_position().y0 for axes in narrow.axes]
    assert heights == sorted(heights, reverse=True)
    assert wide.get_size_inches()[0] == pytest.approx(style.WIDE)
    assert narrow.get_size_inches()[0] == pytest.approx(style.NARROW)


@pytest.mark.parametrize("width", [style.WIDE, style.NARROW])
@pytest.mark.parametrize("last_loss", [0.4, 0.0])
def test_nothing_overlaps_and_nothing_leaves_the_figure(width, last_loss):
    close = HISTORY | {
        "loss": [*[2.2] * 9, last_loss],
        "val_loss": [*[2.0] * 9, last_loss],
        "val_accuracy": [0.3, 0.6, 0.951],
        "learning_rate": [0.0009, 0.0005, 0.00005],
    }
    figure = curves.training_curves(close, {"log C": 0.4}, width)
    drawn.pixels(figure)  # only then have the ticks their labels
    artists = []
    for axes in figure.axes:
        ticks = [*axes.xaxis.get_ticklabels(), *axes.yaxis.get_ticklabels()]
        # matplotlib makes ticks beyond the ends of an axis too, and does not draw them.
        seen = visible(axes, [tick for tick in ticks if tick.get_text()])
        artists += [*axes.texts, *seen]
    drawn.check_apart_and_inside(figure, artists)


def visible(axes, ticks):
    """Returns the tick labels that are drawn."""
    low, high = sorted(axes.get_ylim())
    return [
        tick
        for tick in ticks
        if tick in axes.xaxis.get_ticklabels() or low <= tick.get_position()[1] <= high
    ]


def test_infinite_and_missing_losses_leave_a_drawable_figure():
    figure = curves.training_curves({"loss": [2.0, 1.5, float("nan"), float("inf")]})
    assert "training 1.500" in texts(figure.axes[0])
    assert np.isfinite(figure.axes[0].get_ylim()).all()
    nothing_finite = curves.training_curves({"loss": [float("nan")]})
    assert texts(nothing_finite.axes[0]) == ["Loss", "epoch"]


def test_accuracy_ends_at_one_and_loss_begins_at_zero():
    loss, accuracy = curves.training_curves({"loss": [0.5, 0.4], "accuracy": [0.66, 0.7]}).axes
    assert loss.get_ylim()[0] == 0
    assert accuracy.get_ylim() == pytest.approx((0.6, 1.0))


@pytest.mark.parametrize("history", [{}, {"loss": []}, {"perplexity": [3.0]}])
def test_a_history_without_anything_to_draw_is_an_error(history):
    with pytest.raises(InputError, match="expected numbers of at least one epoch of loss"):
        curves.training_curves(history)


def test_spread_keeps_order_and_distance_and_moves_little():
    wished = np.array([0.5, 0.1, 0.52, 0.9])
    placed = curves.spread(wished, 0.1)
    assert (np.argsort(placed) == np.argsort(wished)).all()
    assert np.diff(np.sort(placed)).min() >= 0.1 - 1e-12
    np.testing.assert_allclose(placed, [0.46, 0.1, 0.56, 0.9])  # the pair moves apart evenly


def test_spread_leaves_what_is_apart_and_stays_above_the_least_height():
    np.testing.assert_allclose(curves.spread(np.array([0.2, 0.8]), 0.1), [0.2, 0.8])
    np.testing.assert_allclose(
        curves.spread(np.array([0.0, 0.0, 0.0]), 0.1, low=0.03), [0.03, 0.13, 0.23]
    )
    assert curves.spread(np.array([]), 0.1).shape == (0,)
