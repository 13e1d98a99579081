"""Drawn answers: boxes where they are, masks, joints and class maps; tags apart and readable."""

import numpy as np
import pytest
from matplotlib.colors import to_hex
from matplotlib.patches import Rectangle

from dlcv_tf.errors import InputError
from dlcv_tf.plots import detections, style
from tests.plots import drawn

LABELS = ["cat", "dog", "owl"]
GREY = np.full((48, 64, 3), 128, np.uint8)
BOXES = {
    "boxes": np.array([[[8.0, 20, 30, 40], [10, 22, 50, 44], [1, 1, 9, 9], [0, 0, 0, 0]]]),
    "scores": np.array([[0.9, 0.6, 0.1, 0.0]]),
    "classes": np.array([[0, 2, 1, 0]]),
    "num_detections": np.array([3]),
}


def rectangles(axes):
    return [patch for patch in axes.patches if isinstance(patch, Rectangle) and not patch.fill]


def texts(axes):
    return {text.get_text() for text in axes.texts}


def test_boxes_stand_in_their_own_pixels_with_class_and_score():
    figure = detections.draw([GREY], BOXES, LABELS)
    (axes,) = figure.axes
    assert texts(axes) == {"cat 0.90", "owl 0.60"}  # the third is below the least score
    places = {tuple(box.get_bbox().extents) for box in rectangles(axes)}
    assert places == {(8, 20, 30, 40), (10, 22, 50, 44)}
    assert axes.images[0].get_extent() == [0, 64, 48, 0]
    seen = drawn.pixels(figure)[..., :3]
    blue = np.abs(seen.astype(int) - [29, 95, 194]).sum(axis=-1) < 30
    rows, columns = np.nonzero(blue[:, : seen.shape[1]])
    scale = seen.shape[1] / 64
    assert columns.min() / scale == pytest.approx(8, abs=1.5)  # the box, not only its number
    assert rows.max() / scale == pytest.approx(40, abs=1.5)


def test_every_class_has_its_colour_and_the_score_can_be_lowered():
    figure = detections.draw([GREY], BOXES, LABELS, score=0.05)
    colours = {to_hex(box.get_edgecolor()) for box in rectangles(figure.axes[0])}
    assert colours == {style.LIGHT[name] for name in style.SERIES[:3]}
    assert len({to_hex(colour) for colour in detections.class_colours(24)}) == 24


def test_tags_neither_overlap_nor_leave_the_picture():
    many = {
        "boxes": np.array([[[x, y, x + 20, y + 20] for x in (0, 3, 40) for y in (0, 4, 27)]]),
        "scores": np.linspace(0.99, 0.5, 9)[None],
        "classes": np.arange(9)[None] % 3,
    }
    figure = detections.draw([GREY], many, LABELS, columns=2)
    (axes,) = figure.axes
    assert len(axes.texts) == 9
    drawn.check_apart_and_inside(figure, axes.texts)


def test_true_boxes_are_dashed_and_padding_is_left_out():
    truth = {"boxes": BOXES["boxes"], "valid": np.array([[True, True, False, False]])}
    figure = detections.draw([GREY], BOXES | {"num_detections": [0]}, LABELS, truth)
    dashed = [box for box in rectangles(figure.axes[0]) if box.get_linestyle() == "--"]
    assert len(dashed) == 2
    assert texts(figure.axes[-1]) == {"truth dashed"}


def test_a_mask_tints_its_inside_only():
    masks = np.zeros((1, 4, 28, 28))
    masks[0, 0, :, :14] = 1  # the left half of the first box
    figure = detections.draw([GREY], BOXES | {"masks": masks, "num_detections": [1]}, LABELS)
    seen = drawn.pixels(figure)[..., :3].astype(int)
    scale = seen.shape[1] / 64
    left, right = (seen[int(30 * scale), int(x * scale)] for x in (13, 25))
    assert left[2] - left[0] > 30  # tinted blue
    np.testing.assert_array_equal(right, [128, 128, 128])


def test_joints_are_a_skeleton_and_unsure_ones_are_left_out():
    joints = np.column_stack([np.linspace(5, 60, 14), np.linspace(5, 40, 14), np.full(14, 0.9)])
    joints[0, 2] = 0.0
    figure = detections.draw([GREY], {"joints": joints[None]}, [])
    axes = figure.axes[0]
    assert len(axes.collections[0].get_offsets()) == 13
    bones = sum(len(pairs) for pairs in detections.LSP_BONES.values())
    assert len(axes.lines) == 2 * (bones - 1)  # each on a white line; one ends in the joint
    assert texts(figure.axes[-1]) == {"the person's right", "left"}


def test_bones_connect_joints_that_are_there():
    for count, colours in detections.BONES.items():
        pairs = [pair for some in colours.values() for pair in some]
        assert {joint for pair in pairs for joint in pair} <= set(range(count))
        assert len(set(map(frozenset, pairs))) == len(pairs)


def test_a_class_map_stands_beside_its_picture_and_the_truth_with_a_legend():
    labels = ["background", "road", "car", "tree"]
    answered = np.zeros((1, 48, 64), np.uint8)
    answered[:, 20:] = 1
    truth = answered.copy()
    truth[:, 40:] = 2
    truth[:, :4] = 255
    figure = detections.draw([GREY], {"class_map": answered}, labels, truth)
    picture, answer, true, legend = figure.axes
    np.testing.assert_array_equal(picture.images[0].get_array(), GREY)
    assert texts(legend) == {"background", "road", "car"}  # no tree anywhere
    colours = [tuple(answer.images[0].get_array()[row, 0]) for row in (0, 30)]
    assert colours[1] == (29, 95, 194) and colours[0] != colours[1]
    assert tuple(true.images[0].get_array()[0, 0]) == (255, 255, 255)
    assert [axes.texts[0].get_text() for axes in (picture, answer, true)] == [
        "picture",
        "answer",
        "truth",
    ]


def test_one_thing_has_its_box_class_and_score():
    one = {"classes": [[1, 0]], "scores": [[0.8, 0.2]], "box": [[4.0, 5, 20, 30]]}
    figure = detections.draw([GREY], one, LABELS)
    assert texts(figure.axes[0]) == {"dog 0.80"}
    assert len(rectangles(figure.axes[0])) == 1
    del one["box"]
    assert not rectangles(detections.draw([GREY], one, LABELS).axes[0])


def test_pictures_of_different_sizes_keep_their_shapes():
    images = [GREY, np.zeros((20, 20, 1), np.uint8)]
    figure = detections.draw(images, {"classes": [[0], [1]], "scores": [[0.5], [0.6]]}, LABELS)
    shapes = [np.divide(*style.inches(axes)) for axes in figure.axes]
    np.testing.assert_allclose(shapes, [64 / 48, 1], rtol=1e-6)


def test_bad_input_is_an_error():
    with pytest.raises(InputError, match="uint8"):
        detections.draw([GREY.astype(np.float32)], BOXES, LABELS)
    with pytest.raises(InputError, match="at least one"):
        detections.draw([], {"boxes": []}, LABELS)
    with pytest.raises(InputError, match="got 1 boxes for 2 pictures"):
        detections.draw([GREY, GREY], BOXES, LABELS)
    with pytest.raises(InputError, match="expected 'boxes', 'class_map'"):
        detections.draw([GREY], {"depth": [0]}, LABELS)
    with pytest.raises(InputError, match="got 2 class maps for 1 pictures"):
        maps = np.zeros((1, 48, 64), np.uint8)
        detections.draw([GREY], {"class_map": maps}, LABELS, np.repeat(maps, 2, axis=0))
