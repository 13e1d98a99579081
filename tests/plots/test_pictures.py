"""Pictures: one axes each with its own pixels; answers named, wrong ones marked."""

import numpy as np
import pytest
from matplotlib.colors import to_hex

from dlcv_tf.errors import InputError
from dlcv_tf.plots import pictures, style
from tests.plots import drawn

LABELS = ["cat", "dog", "owl"]
PROBABILITIES = np.array([[0.9, 0.06, 0.04], [0.2, 0.7, 0.1], [0.25, 0.25, 0.5]])


def ramp(count, height, width, channels):
    size = count * height * width * channels
    return (np.arange(size) % 256).astype(np.uint8).reshape(count, height, width, channels)


def texts(axes):
    return [text.get_text() for text in axes.texts]


@pytest.mark.parametrize("channels", [1, 3])
def test_every_picture_is_shown_with_its_own_pixels(channels):
    images = ramp(5, 8, 6, channels)
    figure = pictures.grid(images, columns=3)
    assert len(figure.axes) == 5
    for axes, image in zip(figure.axes, images, strict=True):
        (shown,) = axes.images
        np.testing.assert_array_equal(shown.get_array(), np.broadcast_to(image, (8, 6, 3)))


def test_rows_columns_and_shape():
    figure = pictures.grid(ramp(5, 8, 16, 3), columns=3, width=6)
    boxes = [axes.get_position() for axes in figure.axes]
    assert len({round(box.y0, 6) for box in boxes}) == 2
    assert [round(box.x0, 6) for box in boxes[:2]] == [round(box.x0, 6) for box in boxes[3:]]
    for axes in figure.axes:
        width, height = style.inches(axes)
        assert width / height == pytest.approx(2)
    assert figure.get_size_inches()[0] == pytest.approx(6, abs=0.05)


def test_grey_is_not_stretched_and_pixels_stay_squares():
    figure = pictures.grid(ramp(1, 2, 2, 1) * 50 + 30, columns=1, width=2)
    middle = drawn.pixels(figure)[20:-20, 20:-20]
    assert set(np.unique(middle[..., :3])) == {30, 80, 130, 180}  # nothing in between
    assert middle.shape[0] > 100


def test_a_photograph_is_smoothed_when_it_is_drawn_smaller():
    stripes = np.zeros((1, 400, 400, 1), np.uint8)
    stripes[:, :, ::2] = 255
    middle = drawn.pixels(pictures.grid(stripes, columns=1, width=1))[20:-20, 20:-20, 0]
    assert middle.std() < 40  # grey, not stripes of their own


def test_titles_stand_beneath_and_long_ones_are_cut():
    figure = pictures.grid(ramp(2, 8, 8, 3), ["a", "a title far too long for one inch"])
    first, second = (texts(axes)[0] for axes in figure.axes)
    assert first == "a"
    assert second.startswith("a title") and second.endswith("…")
    for axes in figure.axes:
        assert axes.texts[0].get_position()[1] < 0


def test_answers_name_the_best_class_and_its_probability():
    figure = pictures.answers(ramp(3, 8, 8, 3), LABELS, PROBABILITIES)
    assert [set(texts(axes)) for axes in figure.axes] == [
        {"cat", "90%"},
        {"dog", "70%"},
        {"owl", "50%"},
    ]


@pytest.mark.parametrize("columns", [3, 8])
def test_only_wrong_answers_are_marked(columns):
    truth = np.array([0, 0, 2])
    figure = pictures.answers(ramp(3, 8, 8, 1), LABELS, PROBABILITIES, truth, columns)
    right, wrong, _ = figure.axes
    assert set(texts(wrong)) == {"× dog", "70%", "is cat"}
    assert set(texts(right)) == {"cat", "90%"}
    frames = [axes.spines["left"] for axes in figure.axes]
    assert [to_hex(frame.get_edgecolor()) == style.LIGHT["wrong"] for frame in frames] == [
        False,
        True,
        False,
    ]
    assert frames[1].get_linewidth() > 2 * frames[0].get_linewidth()


@pytest.mark.parametrize("labels", [LABELS, ["aeroplane", "automobile", "rhinoceros"]])
def test_captions_neither_overlap_nor_leave_the_figure(labels):
    figure = pictures.answers(
        ramp(9, 8, 8, 1), labels, np.tile(PROBABILITIES, (3, 1)), np.zeros(9, int), columns=4
    )
    captions = [text for axes in figure.axes for text in axes.texts]
    drawn.check_apart_and_inside(figure, [*captions, *figure.axes])


@pytest.mark.parametrize(
    "images",
    [
        np.zeros((2, 8, 8, 3), np.float32),
        np.zeros((8, 8, 3), np.uint8),
        np.zeros((2, 8, 8, 4), np.uint8),
    ],
)
def test_wrong_pictures_are_an_error(images):
    with pytest.raises(InputError, match=r"expected \(n, height, width, 1 or 3\) uint8"):
        pictures.grid(images)


def test_no_picture_is_an_error():
    with pytest.raises(InputError, match="expected at least one pixel"):
        pictures.grid(np.zeros((0, 8, 8, 3), np.uint8))


def test_numbers_that_do_not_match_are_an_error():
    images = ramp(3, 8, 8, 3)
    with pytest.raises(InputError, match="got 1 titles for 3 pictures"):
        pictures.grid(images, ["a"])
    with pytest.raises(InputError, match=r"shape \(3, 3\), expected \(3, 2\)"):
        pictures.answers(images, ["a", "b"], PROBABILITIES)
    with pytest.raises(InputError, match=r"got truth of shape \(2,\), expected \(3,\)"):
        pictures.answers(images, LABELS, PROBABILITIES, np.array([0, 1]))
    with pytest.raises(InputError, match="from 0 to 3, expected 0 to 2"):
        pictures.answers(images, LABELS, PROBABILITIES, np.array([0, 1, 3]))
