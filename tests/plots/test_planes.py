"""Planes show surfaces, regions, points and paths where they are."""

import numpy as np
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.plots import planes

LIMITS = {"x_limits": (-2, 2), "y_limits": (-1, 1)}
PATH = np.array([[-1.5, 0.5], [0, -0.5], [1, 0]])


def test_the_grid_runs_from_low_to_high():
    places = planes.grid((-2, 2), (0, 1), size=3)
    assert places.shape == (3, 3, 2)
    np.testing.assert_array_equal(places[0, :, 0], [-2, 0, 2])
    np.testing.assert_array_equal(places[:, 0, 1], [0, 0.5, 1])


def test_contours_lie_where_the_surface_is():
    places = planes.grid(**LIMITS)
    plane = planes.Plane("Bowl", heights=places[..., 0] ** 2, log_heights=True, **LIMITS)
    (axes,) = planes.draw([plane]).axes
    lines = np.concatenate([path.vertices for path in axes.collections[0].get_paths()])
    assert len(lines) and np.abs(lines[:, 1]).max() <= 1
    np.testing.assert_allclose(np.sort(np.unique(np.sign(lines[:, 0]))), [-1, 1])


def test_paths_are_marked_and_named():
    plane = planes.Plane("Race", paths={"SGD": PATH, "Adam": PATH + 0.1}, **LIMITS)
    (axes,) = planes.draw([plane]).axes
    np.testing.assert_array_equal(axes.lines[0].get_xydata(), PATH)
    np.testing.assert_array_equal(axes.lines[2].get_xydata(), PATH[-1:])
    assert {"Race", "● SGD", "● Adam"} <= {text.get_text() for text in axes.texts}


def test_every_class_has_its_colour_and_mark():
    classes = np.zeros((5, 5), int)
    classes[:, 3:] = 1
    points = (np.array([[-1.0, 0.0], [1.0, 0.0]]), np.array([0, 1]))
    (axes,) = planes.draw([planes.Plane("Two", classes=classes, points=points, **LIMITS)]).axes
    assert axes.images[0].get_extent() == [-2, 2, -1, 1]
    assert len({line.get_color() for line in axes.lines}) == 2
    assert len({line.get_marker() for line in axes.lines}) == 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"heights": np.ones((3, 3))}, "a surface without heights for 'Bad'"),
        ({"heights": np.ones(3)}, r"got shape \(3,\) for 'Bad'"),
        ({"paths": {"SGD": np.ones((2, 3))}}, r"a path of shape \(2, 3\) for 'SGD'"),
    ],
)
def test_bad_planes_are_named(changes, message):
    with pytest.raises(InputError, match=message):
        planes.draw([planes.Plane("Bad", **LIMITS, **changes)])


def test_nothing_to_draw():
    with pytest.raises(InputError, match="got no plane"):
        planes.draw([])
