"""Draws a figure, so that tests can look at its pixels and at where its text comes to stand."""

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg


def pixels(figure):
    """Returns what is drawn, (height, width, 4) uint8."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


def boxes(figure, artists):
    """Returns the boxes of artists, in pixels, once the figure is drawn."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return [artist.get_window_extent(canvas.get_renderer()) for artist in artists]


def check_apart_and_inside(figure, artists):
    """Asserts that no two artists overlap and none leaves the figure."""
    edges = np.array([[box.x0, box.y0, box.x1, box.y1] for box in boxes(figure, artists)])
    low, high = edges[:, :2], edges[:, 2:]
    for name, outside in zip(
        artists, (low < -1).any(1) | (high > figure.bbox.max + 1).any(1), strict=True
    ):
        assert not outside, name
    slack = 0.2 * (high - low)[:, 1] * [[0], [1]]  # a line's box has room above its letters
    meet = (low[:, None] + slack.T[:, None] < high).all(-1) & (
        low < high[:, None] - slack.T[:, None]
    ).all(-1)
    np.fill_diagonal(meet, False)
    assert [(artists[one], artists[other]) for one, other in np.argwhere(meet)] == []
