"""Masks: pasted and cropped as loops do it, boxes, runs of lengths as pycocotools has them."""

import math

import numpy as np
import pytest
import tensorflow as tf
from pycocotools import mask as coco

from dlcv_tf.errors import InputError
from dlcv_tf.ops import masks
from tests.helpers import ramp

BOXES = np.array(
    [[3.0, 2.0, 11.0, 9.0], [-4.5, 1.25, 6.5, 20.0], [7.2, 7.9, 7.9, 8.1], [5.0, 5.0, 5.0, 9.0]]
)


def reading(grid, y, x, outside):
    """Returns a bilinear reading of (h, w) values at y, x, where value i is at i."""
    total = 0.0
    for row in (math.floor(y), math.floor(y) + 1):
        for column in (math.floor(x), math.floor(x) + 1):
            weight = (1 - abs(y - row)) * (1 - abs(x - column))
            total += weight * outside(grid, row, column)
    return total


def zero(grid, row, column):
    inside = 0 <= row < grid.shape[0] and 0 <= column < grid.shape[1]
    return grid[row, column] if inside else 0.0


def border(grid, row, column):
    return grid[min(max(row, 0), grid.shape[0] - 1), min(max(column, 0), grid.shape[1] - 1)]


def pasted_by_loops(mask, box, size):
    """Returns a picture of a mask as Detectron2's `_do_paste_mask` has it, pixel by pixel."""
    cells, (x1, y1, x2, y2) = len(mask), box
    picture = np.zeros(size)
    if x2 <= x1 or y2 <= y1:
        return picture
    for row in range(size[0]):
        for column in range(size[1]):
            y = (row + 0.5 - y1) / (y2 - y1) * cells - 0.5
            x = (column + 0.5 - x1) / (x2 - x1) * cells - 0.5
            picture[row, column] = reading(mask, y, x, zero)
    return picture


def pasted_in_whole_pixels(mask, box, size):
    """Returns a picture of a mask as torchvision's `paste_masks_in_image` has it, by loops."""
    cells = len(mask)
    padded = np.pad(mask, 1)
    centre, half = (box[:2] + box[2:]) / 2, (box[2:] - box[:2]) / 2 * (cells + 2) / cells
    x1, y1, x2, y2 = (int(end) for end in (*(centre - half), *(centre + half)))
    width, height = max(x2 - x1 + 1, 1), max(y2 - y1 + 1, 1)
    picture = np.zeros(size)
    for row in range(height):
        for column in range(width):
            if 0 <= row + y1 < size[0] and 0 <= column + x1 < size[1]:
                y = (row + 0.5) / height * (cells + 2) - 0.5
                x = (column + 0.5) / width * (cells + 2) - 0.5
                picture[row + y1, column + x1] = reading(padded, y, x, border)
    return picture


def cropped_by_loops(mask, box, cells, samples, aligned):
    """Returns RoI align of a mask, reading by reading."""
    x1, y1, x2, y2 = box - (0.5 if aligned else 0)
    if not aligned:  # at least one pixel long
        x2, y2 = max(x2, x1 + 1), max(y2, y1 + 1)
    answer = np.zeros((cells, cells))
    for row in range(cells * samples):
        for column in range(cells * samples):
            y = y1 + (row + 0.5) / (cells * samples) * (y2 - y1)
            x = x1 + (column + 0.5) / (cells * samples) * (x2 - x1)
            if -1 <= y <= mask.shape[0] and -1 <= x <= mask.shape[1]:
                answer[row // samples, column // samples] += reading(mask, y, x, border)
    return answer / samples**2


@pytest.mark.parametrize(
    "options, oracle", [({}, pasted_by_loops), ({"whole_pixels": True}, pasted_in_whole_pixels)]
)
def test_paste_is_as_by_loops(options, oracle):
    cells, size = ramp((3, 5, 5), "float64", low=0), (14, 12)
    got = masks.paste(cells, BOXES[:3], size, None, **options).numpy()
    expected = [oracle(mask, box, size) for mask, box in zip(cells, BOXES[:3], strict=True)]
    np.testing.assert_allclose(got, expected, atol=1e-9)
    hard = masks.paste(cells, BOXES[:3], size, 0.4, **options)
    assert hard.dtype == tf.uint8
    np.testing.assert_array_equal(hard, np.array(expected) >= 0.4)


def test_paste_takes_batches_sizes_as_tensors_and_float32():
    cells = ramp((2, 2, 5, 5), low=0)
    boxes = BOXES.reshape(2, 2, 4).astype(np.float32)
    paste = tf.function(lambda size: masks.paste(cells, boxes, size, None))
    got = paste(tf.constant([14, 12]))
    assert got.shape == (2, 2, 14, 12) and got.dtype == tf.float32
    for one, mask, box in zip(
        got.numpy().reshape(4, 14, 12), cells.reshape(4, 5, 5), BOXES, strict=True
    ):
        np.testing.assert_allclose(one, pasted_by_loops(mask, box, (14, 12)), atol=2e-6)


def test_a_full_mask_fills_its_box_and_no_more():
    picture = masks.paste(np.ones((1, 28, 28)), [[2.0, 3.0, 8.0, 12.0]], (16, 10)).numpy()[0]
    expected = np.zeros((16, 10))
    expected[3:12, 2:8] = 1
    np.testing.assert_array_equal(picture, expected)


def test_the_threshold_itself_counts_unless_strict_and_no_area_gives_no_pixel():
    half = np.full((1, 4, 4), 0.5)
    box = [[0.0, 0.0, 8.0, 8.0]]
    assert masks.areas(masks.paste(half, box, (8, 8))).numpy() > 0
    assert masks.areas(masks.paste(half, box, (8, 8), strict=True)).numpy() == 0
    for options in ({}, {"whole_pixels": True}):
        empty = masks.paste(np.ones((2, 4, 4)), [[3.0, 3, 3, 9], [9.0, 3, 3, 9]], (12, 12), 0.0)
        assert not empty.numpy().any(), options


def test_no_masks_at_all():
    assert masks.paste(np.zeros((0, 4, 4)), np.zeros((0, 4)), (6, 5)).shape == (0, 6, 5)
    assert masks.crop(np.zeros((0, 6, 5)), np.zeros((0, 4)), 3).shape == (0, 3, 3)
    assert masks.boxes_of(np.zeros((0, 6, 5))).shape == (0, 4)


@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("aligned", [True, False])
def test_crop_is_roi_align_by_loops(samples, aligned):
    pictures = (ramp((4, 13, 12), "float64") > 0).astype(np.float64)
    got = masks.crop(pictures, BOXES, 4, sampling_ratio=samples, aligned=aligned).numpy()
    expected = [
        cropped_by_loops(picture, box, 4, samples, aligned)
        for picture, box in zip(pictures, BOXES, strict=True)
    ]
    np.testing.assert_allclose(got, expected, atol=1e-9)


def test_crop_takes_uint8_and_sizes_known_only_in_a_graph():
    pictures = (ramp((2, 3, 13, 12)) > 0).astype(np.uint8)
    boxes = np.broadcast_to(BOXES[:3].astype(np.float32), (2, 3, 4))
    specs = [tf.TensorSpec([None] * 4, tf.uint8), tf.TensorSpec([None, None, 4], tf.float32)]
    traced = tf.function(lambda m, b: masks.crop(m, b, 4), input_signature=specs)
    got = traced(pictures, boxes)
    assert got.dtype == tf.float32
    np.testing.assert_allclose(got, masks.crop(pictures, boxes, 4), atol=1e-6)


def test_what_is_cropped_and_pasted_is_the_mask_again():
    rows, columns = np.mgrid[:40, :50] + 0.5
    disc = ((rows - 19) ** 2 + (columns - 26) ** 2 < 150).astype(np.uint8)[None]
    box = masks.boxes_of(disc)
    np.testing.assert_array_equal(box, [[14, 7, 38, 31]])
    again = masks.paste(masks.crop(disc, box, 28), box, (40, 50)).numpy()
    assert (again & disc).sum() / (again | disc).sum() > 0.97


def test_gradients_reach_the_cells():
    cells = tf.constant(ramp((2, 3, 3), "float64", low=0))
    weights = ramp((2, 7, 6), "float64")
    with tf.GradientTape() as tape:
        tape.watch(cells)
        total = tf.reduce_sum(weights * masks.paste(cells, BOXES[:2] / 2, (7, 6), None))
    gradient = tape.gradient(total, cells).numpy()
    for place in [(0, 0, 0), (0, 2, 1), (1, 1, 2)]:
        moved = cells.numpy()
        moved[place] += 1
        other = (weights * masks.paste(moved, BOXES[:2] / 2, (7, 6), None).numpy()).sum()
        np.testing.assert_allclose(gradient[place], other - total.numpy(), atol=1e-9)


def test_boxes_of_masks_and_areas():
    pictures = np.zeros((2, 2, 5, 6), np.uint8)
    pictures[0, 0, 1:3, 2:5] = 1
    pictures[0, 1, 4, 5] = pictures[1, 0, 0, 0] = 1
    expected = [[[2, 1, 5, 3], [5, 4, 6, 5]], [[0, 0, 1, 1], [0, 0, 0, 0]]]
    np.testing.assert_array_equal(masks.boxes_of(pictures), expected)
    last = [[[2, 1, 4, 2], [5, 4, 5, 4]], [[0, 0, 0, 0], [0, 0, 0, 0]]]
    np.testing.assert_array_equal(masks.boxes_of(pictures, inclusive=True), last)
    np.testing.assert_array_equal(masks.areas(pictures), [[6, 1], [1, 0]])


@pytest.mark.parametrize("kind", ["noise", "empty", "full", "one"])
def test_runs_are_those_of_pycocotools(kind):
    mask = {
        "noise": (ramp((7, 5)) > 0.2).astype(np.uint8),
        "empty": np.zeros((7, 5), np.uint8),
        "full": np.ones((7, 5), np.uint8),
        "one": np.array([[1]], np.uint8),
    }[kind]
    runs = masks.encode(mask)
    assert sum(runs["counts"]) == mask.size
    theirs = coco.encode(np.asfortranarray(mask))
    assert coco.frPyObjects(runs, *mask.shape) == theirs
    assert coco.area(theirs) == masks.areas(mask)
    for written in (runs, theirs, theirs | {"counts": theirs["counts"].decode()}):
        np.testing.assert_array_equal(masks.decode(written), mask)


def test_runs_go_down_the_columns_and_begin_with_zeros():
    assert masks.encode([[0, 1], [0, 1]]) == {"size": [2, 2], "counts": [2, 2]}
    assert masks.encode([[1, 1], [0, 0]]) == {"size": [2, 2], "counts": [0, 1, 1, 1, 1]}


def test_polygons_are_drawn_as_coco_draws_them():
    square = [2, 1, 6, 1, 6, 5, 2, 5]
    expected = np.zeros((8, 9))
    expected[1:5, 2:6] = 1
    np.testing.assert_array_equal(masks.from_polygons([square], (8, 9)), expected)
    other = [7, 6, 9, 6, 9, 8, 7, 8]
    expected[6:8, 7:9] = 1
    np.testing.assert_array_equal(masks.from_polygons([square, other], (8, 9)), expected)
    assert masks.from_polygons([], (8, 9)).sum() == 0


def test_what_is_no_mask_is_refused():
    with pytest.raises(InputError, match=r"masks of shape \(2, 4, 5\), expected \(..., m, m\)"):
        masks.paste(np.zeros((2, 4, 5)), np.zeros((2, 4)), (8, 8))
    with pytest.raises(InputError, match="one box for each mask"):
        masks.paste(np.zeros((2, 4, 4)), np.zeros(4), (8, 8))
    with pytest.raises(InputError, match="expected one or two numbers above 0"):
        masks.crop(np.zeros((2, 4, 4)), np.zeros((2, 4)), 0)
    with pytest.raises(InputError, match=r"mask of shape \(4,\)"):
        masks.encode(np.zeros(4))
    with pytest.raises(InputError, match="runs of 5 pixels for a mask of 2 x 3 = 6"):
        masks.decode({"size": [2, 3], "counts": [3, 2]})
    with pytest.raises(InputError, match="polygon of 4 numbers"):
        masks.from_polygons([[1, 2, 3, 4]], (8, 9))
