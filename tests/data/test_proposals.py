"""Proposals: where selective search finds shapes, and what of them a step of training sees."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.data import proposals, scenes
from dlcv_tf.errors import InputError
from dlcv_tf.ops import boxes as box_ops


def square(side=32):
    """Returns a dark picture with a bright rectangle, and its box."""
    picture = np.full((side, side, 3), 60, np.uint8)
    picture[6:18, 10:26] = (220, 180, 40)
    return picture, np.array([[10, 6, 26, 18]], np.float32)


def test_a_rectangle_is_found_to_the_pixel_or_so():
    picture, box = square()
    found = proposals.selective_search(picture)
    assert found.dtype == np.float32
    assert box_ops.iou(found, box).numpy().max() > 0.8
    assert (found[:, :2] >= 0).all() and (found[:, 2:] <= 32).all()
    assert (found[:, 2:] > found[:, :2]).all()


def test_the_order_follows_from_the_seed_and_none_is_there_twice():
    image = scenes.draw(np.random.default_rng(1)).image
    found = proposals.selective_search(image)
    np.testing.assert_array_equal(proposals.selective_search(image), found)
    np.testing.assert_array_equal(proposals.selective_search(image, 5), found[:5])
    other = proposals.selective_search(image, seed=1)
    assert not np.array_equal(other, found)
    np.testing.assert_array_equal(np.unique(other, axis=0), np.unique(found, axis=0))
    assert len(np.unique(found, axis=0)) == len(found)


def test_shapes_are_found():
    overlaps = []
    for seed in range(5):
        scene = scenes.draw(np.random.default_rng(seed))
        found = proposals.selective_search(scene.image)
        overlaps += box_ops.iou(scenes.boxes_of(scene.masks), found).numpy().max(axis=1).tolist()
    assert min(overlaps) > 0.5 and np.mean(overlaps) > 0.75


def test_a_picture_of_one_colour_has_no_more_than_itself():
    found = proposals.selective_search(np.full((9, 7, 3), 50, np.uint8))
    assert len(found) <= 1
    rows = proposals.padded(np.full((2, 9, 7, 3), 50, np.uint8), 4)
    assert rows.shape == (2, 4, 4) and not rows[:, 1:].any()
    assert proposals.selective_search(np.zeros((1, 1, 3), np.uint8)).shape[1] == 4


@pytest.mark.parametrize(
    "image, options, text",
    [
        (np.zeros((8, 8), np.uint8), {}, r"shape \(8, 8\).*expected \(height, width, 3\) uint8"),
        (np.zeros((8, 8, 3)), {}, "type float64"),
        (np.zeros((8, 8, 3), np.uint8), {"mode": "fst"}, "did you mean 'fast'"),
        (np.zeros((8, 8, 3), np.uint8), {"most": 0}, "got most=0"),
    ],
)
def test_what_cannot_be_searched_is_refused(image, options, text):
    with pytest.raises(InputError, match=text):
        proposals.selective_search(image, **options)


REGIONS = np.array(
    [[0, 0, 10, 10], [1, 0, 11, 10], [5, 0, 15, 10], [20, 20, 30, 30], [9, 9, 19, 19], [0] * 4],
    np.float32,
)
TARGETS = {
    "boxes": np.array([[0, 0, 10, 10], [20, 20, 30, 30], [0, 0, 0, 0]], np.float32),
    "valid": np.array([True, True, False]),
    "ignored": np.array([False, True, False]),
}


def drawn(count, **options):
    return proposals.sample(REGIONS, TARGETS, count, tf.constant([3, 4]), **options).numpy()


def test_a_sample_has_its_share_of_objects():
    # Positive: rows 0 and 1 and the object's own box; the ignored object is none.
    for number in range(20):
        seed = tf.constant([number, 0])
        got = proposals.sample(REGIONS, TARGETS, 4, seed, positive_share=0.5).numpy()
        overlaps = box_ops.iou(got, TARGETS["boxes"][:1]).numpy()[:, 0]
        assert (overlaps >= 0.5).sum() == 2
        assert len(np.unique(got[overlaps < 0.5], axis=0)) == 2  # two of three, none twice


def test_what_is_missing_is_filled_up_then_padded():
    got = drawn(5, positive_share=0.2)  # one and three, and one more that shows the object
    overlaps = box_ops.iou(got, TARGETS["boxes"][:1]).numpy()[:, 0]
    assert (overlaps >= 0.5).sum() == 2 and (overlaps < 0.5).sum() == 3
    got = drawn(12)
    assert (box_ops.area(got).numpy() > 0).sum() == 6 and not got[6:].any()
    near = drawn(12, negative=0.1)  # row 2 overlaps by a third, rows 3 and 4 hardly or not at all
    assert (box_ops.area(near).numpy() > 0).sum() == 4


def test_a_picture_without_objects_gives_background():
    targets = {key: value[2:] for key, value in TARGETS.items()}
    got = proposals.sample(REGIONS, targets, 3, tf.constant([0, 1])).numpy()
    assert (box_ops.area(got).numpy() > 0).all()
    empty = {key: value[:0] for key, value in TARGETS.items()}
    assert proposals.sample(REGIONS, empty, 3, tf.constant([0, 1])).shape == (3, 4)


def test_attached_and_drawn_anew_in_every_epoch():
    count = 6
    images = np.arange(count, dtype=np.uint8)[:, None, None, None] * np.ones((1, 4, 4, 3), np.uint8)
    targets = {key: np.tile(value, (count, *[1] * value.ndim)) for key, value in TARGETS.items()}
    examples = tf.data.Dataset.from_tensor_slices((images, targets))
    found = REGIONS[None] + np.arange(count, dtype=np.float32)[:, None, None] / 100
    pairs = proposals.attach(examples, found)
    for number, ((image, boxes), _) in enumerate(pairs):
        assert image.numpy()[0, 0, 0] == number
        np.testing.assert_array_equal(boxes, found[number])
    batches = proposals.training_batches(pairs, 2, 4, seed=5)
    first, second = ([batch[0] for batch in batches] for _ in range(2))
    assert len(first) == 3 and first[0][1].shape == (2, 4, 4)
    assert sorted(int(image[0, 0, 0]) for images, _ in first for image in images) == [*range(count)]
    assert not all(np.array_equal(a[1], b[1]) for a, b in zip(first, second, strict=True))
    with pytest.raises(InputError, match="proposals of 5 pictures for 6 examples"):
        proposals.attach(examples, found[:5])
