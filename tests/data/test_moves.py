"""Augmentations move boxes, masks, joints and class maps along with what is in the pictures."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data
from dlcv_tf.data import augment, moves, scenes
from dlcv_tf.errors import InputError
from tests.helpers import pictures

SEED = tf.constant([3, 7], tf.int64)
GEOMETRIC = ("flip", "shift", "vertical_flip", "quarter_turn", "scale", "crop")
NAMES = ("left hand", "right hand", "nose")


def batch(count=32, height=40, width=40, seed=0):
    """Returns pictures of one bright box each on black, and targets that say where it is."""
    random = np.random.default_rng(seed)
    images = np.zeros((count, height, width, 3), np.uint8)
    low = random.integers(4, (width - 20, height - 20), (count, 2))
    high = low + random.integers(6, 14, (count, 2))
    boxes = np.zeros((count, 2, 4), np.float32)  # the second row is padding
    boxes[:, 0] = np.concatenate([low, high], axis=1)
    for image, (x1, y1, x2, y2) in zip(images, boxes[:, 0].astype(int), strict=True):
        image[y1:y2, x1:x2] = 255
    masks = np.zeros((count, 2, height, width), np.uint8)
    masks[:, 0] = images[..., 0] == 255
    return images, {
        "boxes": boxes,
        "classes": np.tile(np.int32([3, 0]), (count, 1)),
        "valid": np.tile([True, False], (count, 1)),
        "ignored": np.zeros((count, 2), bool),
        "masks": masks,
    }


def tensors(values):
    return tf.nest.map_structure(tf.constant, values)


def moved(images, targets, names, seed=SEED, joint_names=()):
    found = augment.augment_with_targets(
        tf.constant(images), tensors(targets), seed, names, joint_names
    )
    return tf.nest.map_structure(lambda value: value.numpy(), found)


@pytest.mark.parametrize("names", [(name,) for name in GEOMETRIC] + [GEOMETRIC])
@pytest.mark.parametrize("size", [(40, 40), (40, 56)])
def test_the_box_stays_around_the_thing(names, size):
    images, targets = batch(height=size[0], width=size[1])
    after, found = moved(images, targets, names)
    assert not np.array_equal(after, images)
    seen = 0
    for image, boxes, masks, valid in zip(
        after, found["boxes"], found["masks"], found["valid"], strict=True
    ):
        bright = image[..., 0] > 191
        assert not valid[1] and not boxes[1].any() and not masks[1].any()
        if valid[0] and bright.sum() > 9:
            seen += 1
            np.testing.assert_allclose(scenes.boxes_of(bright[None])[0], boxes[0], atol=1.2)
            assert (bright != masks[0].astype(bool)).mean() < 0.06
    assert seen > 20


@pytest.mark.parametrize("names", [("flip",), ("vertical_flip", "quarter_turn"), ("shift",)])
def test_mirrors_turns_and_shifts_are_exact(names):
    images, targets = batch()
    after, found = moved(images, targets, names)
    np.testing.assert_array_equal(after[..., 0] == 255, found["masks"][:, 0] == 1)
    drawn = [scenes.boxes_of(image[None, ..., 0] == 255)[0] for image in after]
    np.testing.assert_array_equal(np.stack(drawn), found["boxes"][:, 0])


def test_eager_equals_tf_data():
    images, targets = batch(8)
    names = ("flip", "shift", "quarter_turn", "cutout")
    dataset = tf.data.Dataset.from_tensors((images, targets))
    inside = dataset.map(
        lambda image, places: augment.augment_with_targets(image, places, SEED, names)
    )
    tf.nest.map_structure(
        lambda one, other: np.testing.assert_array_equal(one, other.numpy()),
        moved(images, targets, names),
        next(iter(inside)),
    )


@pytest.mark.parametrize("name", ["flip", "shift", "vertical_flip"])
def test_pictures_with_and_without_targets_are_moved_alike(name):
    images, targets = batch()
    alone = augment.augment(images, SEED, (name,)).numpy()
    after, _ = moved(images, targets, (name,))
    inside = (after != 128).all(axis=-1)
    np.testing.assert_array_equal(alone[inside], after[inside])
    assert inside.mean() > 0.8


def test_a_quarter_turn_is_one_of_four_and_half_a_turn_where_pictures_are_not_square():
    images = pictures(200, (6, 6))
    turned = augment.quarter_turn(images, SEED).numpy()
    pairs = list(zip(images, turned, strict=True))
    kinds = [[np.array_equal(np.rot90(a, k), b) for k in range(4)] for a, b in pairs]
    counts = np.sum(kinds, axis=0)
    assert counts.sum() == 200 and counts.min() > 25
    images = pictures(60, (6, 8))
    turned = augment.quarter_turn(images, SEED).numpy()
    pairs = list(zip(images, turned, strict=True))
    kinds = [[np.array_equal(np.rot90(a, k), b) for k in (0, 2)] for a, b in pairs]
    assert np.sum(kinds) == 60


def test_scaling_is_the_antialiased_resize():
    images = pictures(1, (16, 16)).astype(np.float32)
    half = moves.Move(tf.constant([[0.5, 0.5]]), tf.constant([[4.0, 4.0]]))
    shrunk = moves.of_images(tf.constant(images), half).numpy()[0]
    expected = tf.image.resize(images, (8, 8), antialias=True)[0]
    np.testing.assert_allclose(shrunk[4:12, 4:12], expected, atol=1e-3)
    outside = np.ones((16, 16), bool)
    outside[4:12, 4:12] = False
    assert (shrunk[outside] == moves.OUTSIDE).all()
    twice = moves.Move(tf.constant([[2.0, 2.0]]), tf.constant([[-8.0, -8.0]]))
    grown = moves.of_images(tf.constant(images), twice).numpy()[0]
    expected = tf.image.resize(images, (32, 32), antialias=True)[0, 8:24, 8:24]
    np.testing.assert_allclose(grown, expected, atol=1e-3)


def test_two_moves_are_one():
    images, targets = batch()
    half = tf.constant([False, True] * 16)
    one = moves.Move(tf.constant([[-1.0, 1.0]] * 32), tf.constant([[40.0, 3.0]] * 32), half)
    other = moves.Move(tf.constant([[1.0, -1.0]] * 32), tf.constant([[-2.0, 40.0]] * 32), ~half)
    for first, second in ((one, other), (other, one)):
        after, places = tf.constant(images), tensors(targets)
        for move in (first, second):
            after = moves.of_images(after, move)
            places = moves.of_targets(places, move, (40, 40), 0.0)
        both = first.then(second)
        found = moves.of_targets(tensors(targets), both, (40, 40), 0.0)
        whole = places["valid"][:, 0].numpy()
        np.testing.assert_array_equal(found["masks"][whole], places["masks"][whole])
        np.testing.assert_array_equal(
            both.mirrors, tf.math.logical_xor(first.mirrors, second.mirrors)
        )
        inside = (after.numpy() != 128).all(axis=-1)
        np.testing.assert_array_equal(
            moves.of_images(tf.constant(images), both).numpy()[inside], after.numpy()[inside]
        )


def test_what_is_cut_is_clipped_then_ignored_then_gone():
    _, targets = batch(3)
    targets["boxes"][:, 0] = (10, 10, 20, 20)
    targets["classes"][:, 0] = 5
    away = moves.Move(tf.ones((3, 2)), tf.constant([[-15.0, 0], [-18, 0], [-20, 0]]))
    found = moves.of_targets(tensors(targets), away, (40, 40), 0.25)
    np.testing.assert_array_equal(found["boxes"][:, 0], [[0, 10, 5, 20], [0, 10, 2, 20], [0] * 4])
    np.testing.assert_array_equal(found["valid"][:, 0], [True, True, False])
    np.testing.assert_array_equal(found["ignored"][:, 0], [False, True, False])
    np.testing.assert_array_equal(found["classes"][:, 0], [5, 5, 0])


def test_a_crowd_stays_ignored():
    images, targets = batch()
    targets["ignored"][:, 0] = True
    _, found = moved(images, targets, ("flip", "scale"))
    np.testing.assert_array_equal(found["ignored"], found["valid"])


def test_joints_move_with_their_pixels_and_a_mirror_exchanges_left_and_right():
    images = np.zeros((64, 21, 21, 3), np.uint8)
    joints = np.ones((64, 3, 3), np.float32)
    joints[:, :, :2] = [[3.5, 10.5], [15.5, 4.5], [10.5, 18.5]]  # middles of pixels
    for colour, (x, y, _) in enumerate(joints[0]):
        images[:, int(y), int(x), colour] = 255
    for names in (("flip",), ("vertical_flip",), ("flip", "vertical_flip"), ("quarter_turn",)):
        after, found = moved(images, {"joints": joints}, names, joint_names=NAMES)
        swapped = 0
        for image, found_joints in zip(after, found["joints"], strict=True):
            values = [image[int(y), int(x)] for x, y, _ in found_joints]
            order = np.argmax(values, axis=1).tolist()
            assert order in ([0, 1, 2], [1, 0, 2]) and np.max(values, axis=1).min() == 255
            swapped += order == [1, 0, 2]
        assert (swapped > 10) == ("quarter_turn" not in names)
        assert swapped < 54
    after, found = moved(images, {"joints": joints}, ("shift", "crop"), joint_names=NAMES)
    inside = ((found["joints"][..., :2] >= 0) & (found["joints"][..., :2] <= 21)).all(axis=-1)
    np.testing.assert_array_equal(found["joints"][..., 2], inside)
    assert 0.5 < inside.mean() < 1


def test_class_maps_have_255_where_nothing_was():
    images = pictures(30, (12, 16))
    maps = np.random.default_rng(0).integers(0, 5, (30, 12, 16)).astype(np.uint8)
    after, found = moved(images, maps, ("flip", "shift"))
    np.testing.assert_array_equal(found == 255, (after == 128).all(axis=-1))
    assert found.dtype == np.uint8 and 0.02 < (found == 255).mean() < 0.4
    one, mirrored = moved(images, maps, ("flip",))
    for before, then, was, now in zip(images, one, maps, mirrored, strict=True):
        if not np.array_equal(before, then):
            np.testing.assert_array_equal(was[:, ::-1], now)


def test_colour_changes_pictures_by_no_more_than_it_says():
    images = np.full((500, 2, 2, 3), (200, 100, 60), np.uint8)
    plain = np.full((500, 2, 2, 3), 120, np.uint8)
    changed = augment.colour(images, SEED).numpy().astype(int)
    assert len({tuple(image[0, 0]) for image in changed}) > 400
    grey = augment.colour(plain, SEED).numpy().astype(int)
    assert (grey == grey[..., :1]).all()  # no colour comes from nowhere
    assert 120 - 51.5 <= grey.min() < 80 and 160 < grey.max() <= 120 + 51.5  # brightness counts
    bright = augment.colour(images, SEED, contrast=0, saturation=0).numpy().astype(int)
    np.testing.assert_allclose(bright[..., 1] - bright[..., 2], 40, atol=1)
    strong = augment.colour(images, SEED, brightness=0, contrast=0).numpy()
    np.testing.assert_allclose(strong.mean(axis=-1), 120, atol=0.7)  # only away from grey


def test_scale_and_crop_stay_within_their_bounds():
    for name, least, most in (("scale", 1 / augment.ZOOM, augment.ZOOM), ("crop", 1, 1 / 0.6)):
        move = augment.MOVES[name](400, (30, 50), SEED)
        factor, offset = move.scale.numpy(), move.offset.numpy()
        assert least <= factor.min() < least * 1.05 and most * 0.95 < factor.max() <= most + 1e-6
        ends = offset + factor * [50, 30]
        low, high = np.minimum(0, [50, 30] - factor * [50, 30]), np.maximum(offset * 0, 0)
        assert (offset >= low - 1e-3).all() and (factor[:, 0] == factor[:, 1]).all() == (
            name == "scale"
        )
        if name == "crop":  # the frame is full
            assert (offset <= high + 1e-3).all() and (ends >= [50 - 1e-3, 30 - 1e-3]).all()


def stream(kind, augmentations, joint_names=(), start=(0, 0), seed=2):
    dataset, info = data.load("shapes", "val", targets=kind, image_size=(24, 24))
    names = joint_names or info.joint_names
    batches = data.TrainingBatches(dataset.take(24), 24, 8, seed, augmentations, names)
    return [
        tf.nest.map_structure(lambda value: value.numpy(), each)
        for each in batches.stream(2, *start)
    ]


@pytest.mark.parametrize("kind", ["masks", "class_map", "keypoints"])
def test_batches_follow_from_the_seed_and_can_be_resumed(kind):
    names = ("flip", "scale", "colour", "cutout")
    whole, part = stream(kind, names), stream(kind, names, start=(1, 1))
    count = len(whole) // 2
    assert len(part) == count - 1
    for one, other in zip(whole[count + 1 :], part, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, one, other)
    assert not np.array_equal(whole[0][0], stream(kind, names, seed=3)[0][0])


def test_labels_are_as_they_were_without_targets():
    dataset = tf.data.Dataset.from_tensor_slices((pictures(8, (6, 6)), np.arange(8)))
    names = ("flip", "shift", "cutout")
    batches = data.TrainingBatches(dataset, 8, 4, 5, names)
    plain = data.TrainingBatches(dataset, 8, 4, 5)
    for step, ((after, labels), (before, same)) in enumerate(
        zip(batches.stream(2), plain.stream(2), strict=True)
    ):
        np.testing.assert_array_equal(labels, same)
        seed = tf.constant([5, step], tf.int64)
        np.testing.assert_array_equal(after, augment.augment(before, seed, names))


def test_joints_are_not_mirrored_without_their_names():
    dataset, info = data.load("shapes", "val", targets="joints")
    with pytest.raises(InputError, match="got 0 joint_names for 14 joints, expected one for each"):
        data.TrainingBatches(dataset, info.num_examples, 8, 0, ("flip",))
    data.TrainingBatches(dataset, info.num_examples, 8, 0, ("shift",))
    with pytest.raises(InputError, match="got the joint 'left ear' without 'right ear'"):
        augment.mirrored_joints(("left ear", "nose"))
    assert augment.mirrored_joints(("Right_knee", "nose", "Left_knee")) == [2, 1, 0]
    with pytest.raises(InputError, match="unknown augmentation 'scales': did you mean 'scale'"):
        data.TrainingBatches(dataset, info.num_examples, 8, 0, ("scales",))


def test_evaluation_batches_of_targets():
    dataset, _ = data.load("shapes", "val", targets="boxes")
    images, targets = next(iter(data.evaluation_batches(dataset, 16)))
    assert images.shape == (16, 64, 64, 3) and targets["boxes"].shape == (16, 4, 4)
