"""The house style: sizes in inches, colours with enough contrast, nothing global."""

import subprocess
import sys

import matplotlib
import numpy as np
import pytest

from dlcv_tf.plots import confusion, curves, pictures, style, svg


def luminance(colour):
    """WCAG's relative luminance of #rrggbb."""
    channels = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    linear = np.where(channels <= 0.04045, channels / 12.92, ((channels + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


@pytest.mark.parametrize("palette", [style.LIGHT, style.DARK])
@pytest.mark.parametrize("name", ["ink", *style.SERIES])
@pytest.mark.parametrize("ground", ["paper", "panel"])
def test_text_is_legible_on_both_grounds(palette, name, ground):
    low, high = sorted([luminance(palette[name]), luminance(palette[ground])])
    assert (high + 0.05) / (low + 0.05) >= 4.5  # WCAG AA


def test_the_palettes_have_the_same_names_and_no_colour_twice():
    assert list(style.LIGHT) == list(style.DARK)
    assert len(set(style.LIGHT.values())) == len(style.LIGHT)


def test_axes_stand_where_they_are_put_in_inches():
    figure = style.figure(4, 2)
    axes = style.axes(figure, left=1, top=0.5, width=2, height=1)
    assert axes.get_position().bounds == pytest.approx((0.25, 0.25, 0.5, 0.5))
    assert style.inches(axes) == pytest.approx((2, 1))


def test_a_text_too_wide_is_cut():
    assert style.shorten("cat", 1) == "cat"
    cut = style.shorten("a very long label indeed", 1)
    assert cut.endswith("…") and style.text_width(cut) <= 1
    assert style.shorten("cat", 0) == "…"


def test_dollars_are_no_mathematics():
    figure = style.figure(2, 1)
    written = style.write(style.axes(figure, 0, 0, 2, 1), 0, 0, "$a_1$ and $b$")
    assert "$a_1$ and $b$" in svg.inline(figure, "", "")
    assert written.get_color() == style.LIGHT["ink"]


def test_drawing_changes_no_setting():
    before = dict(matplotlib.rcParams)
    drawn = [
        curves.training_curves({"loss": [2.0, 1.0]}),
        pictures.grid(np.zeros((1, 4, 4, 1), np.uint8)),
        confusion.confusion(np.eye(2, dtype=int), ["a", "b"]),
    ]
    for figure in drawn:
        svg.inline(figure, "", "")
    assert dict(matplotlib.rcParams) == before


def test_the_room_needs_neither_tensorflow_nor_pyplot():
    program = (
        "import sys; from dlcv_tf.plots import confusion, curves, pictures, report, svg\n"
        "svg.inline(curves.training_curves({'loss': [1.0]}), '', '')\n"
        "print([name for name in ('tensorflow', 'keras', 'matplotlib.pyplot')"
        " if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert answer.stdout.strip() == "[]", answer.stderr
