"""The confusion matrix: a square and a count for every cell that is not zero."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from dlcv_tf.errors import InputError
from dlcv_tf.plots import confusion, style
from tests.plots import drawn

MATRIX = np.array([[40, 3, 0], [12, 33, 1], [0, 0, 7]])
LABELS = ["ant", "bee", "cow"]


def counts(figure):
    """Returns {(truth, answer): text} of the cells, leaving out the names outside."""
    (axes,) = figure.axes
    inside = {}
    for text in axes.texts:
        x, y = text.get_position()
        if text.get_transform() == axes.transData and x > 0 and y > 0:
            inside[int(y), int(x)] = text.get_text()
    return inside


def squares(figure):
    """Returns {(truth, answer): (colour, shade)} of the cells that are drawn."""
    return {
        (int(patch.get_y()), int(patch.get_x())): (
            to_hex(patch.get_facecolor()),
            patch.get_alpha(),
        )
        for patch in figure.axes[0].patches
        if patch.get_width() == 1 and patch.get_height() == 1
    }


def test_counts_stand_in_their_cells_and_zeros_are_left_out():
    assert counts(confusion.confusion(MATRIX, LABELS)) == {
        (truth, answer): str(MATRIX[truth, answer]) for truth, answer in np.argwhere(MATRIX)
    }


def test_rows_go_down_and_are_named():
    (axes,) = confusion.confusion(MATRIX, LABELS).axes
    assert axes.get_ylim() == (3, 0) and axes.get_xlim() == (0, 3)
    rows = {text.get_text(): text.get_position() for text in axes.texts if text.get_ha() == "right"}
    assert [rows[label][1] for label in LABELS] == [0.5, 1.5, 2.5]
    assert "truth ↓" in rows
    above = [text for text in axes.texts if text.get_text() in LABELS and text not in rows]
    assert {text.get_position()[0] for text in above if text.get_position()[1] < 0} == {
        0.5,
        1.5,
        2.5,
    }


def test_right_and_wrong_differ_and_the_shade_grows_with_the_part_of_the_row():
    shown = squares(confusion.confusion(MATRIX, LABELS))
    for (truth, answer), (colour, _) in shown.items():
        assert colour == style.LIGHT["accent" if truth == answer else "wrong"]
    assert shown[2, 2][1] == pytest.approx(1)  # all of its row
    assert shown[1, 0][1] > shown[0, 1][1] > shown[1, 2][1] > 0


def test_a_class_without_examples_is_a_row_of_nothing():
    matrix = np.array([[5, 0], [0, 0]])
    assert counts(confusion.confusion(matrix, ["a", "b"])) == {(0, 0): "5"}


@pytest.mark.parametrize("classes", [2, 10, 30])
@pytest.mark.parametrize("name", ["{}", "class number {}"])
@pytest.mark.parametrize("width", [confusion.WIDTH, style.NARROW])
def test_names_and_counts_fit(classes, name, width):
    matrix = 907 * np.eye(classes, dtype=int) + 70 * np.eye(classes, k=1, dtype=int)
    figure = confusion.confusion(matrix, [name.format(i) for i in range(classes)], width)
    (axes,) = figure.axes
    assert len(counts(figure)) == 2 * classes - 1
    longest = next(text for text in axes.texts if text.get_text() == "907")
    whole, count = drawn.boxes(figure, [axes, longest])
    assert count.width < whole.width / classes and count.height < whole.height / classes
    drawn.check_apart_and_inside(figure, list(axes.texts))
    assert figure.get_size_inches()[0] <= style.WIDE + 0.9


def test_counts_that_do_not_fit_are_left_out():
    matrix = np.diag(np.full(40, 1_000_000_000))
    figure = confusion.confusion(matrix, [str(i) for i in range(40)])
    assert counts(figure) == {} and len(squares(figure)) == 40


def test_a_dark_cell_has_light_text():
    (axes,) = confusion.confusion(MATRIX, LABELS).axes
    colours = {text.get_text(): text.get_color() for text in axes.texts}
    assert colours["7"] == style.LIGHT["paper"] and colours["1"] == style.LIGHT["ink"]


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((3, 2), int), r"shape \(3, 2\) for 3 labels"),
        (np.zeros((4, 4), int), r"shape \(4, 4\) for 3 labels"),
        (np.zeros((3, 3)), "matrix of float64"),
        (np.array([[1, 0, 0], [0, -1, 0], [0, 0, 1]]), "from -1 up, expected counts"),
    ],
)
def test_a_wrong_matrix_is_an_error(matrix, message):
    with pytest.raises(InputError, match=message):
        confusion.confusion(matrix, LABELS)
