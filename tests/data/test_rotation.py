"""Turned pictures, and whether the places in them are still those of the same things."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.data import augment, rotation

SEED = tf.constant([3, 5], tf.int64)
CENTRES = np.array([[20.0, 14.0], [30.0, 30.0], [44.0, 26.0]])  # x, y in pictures of 64x48


def blobs(batch=4):
    """Returns black pictures with a white disc of radius 3 at each centre, and their targets."""
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5)
    discs = np.stack([np.hypot(x - cx, y - cy) <= 3 for cx, cy in CENTRES])
    image = np.repeat(discs.any(axis=0)[..., None], 3, axis=-1) * 255
    boxes = np.concatenate([CENTRES - 3, CENTRES + 3], axis=-1).astype(np.float32)
    targets = {
        "boxes": np.concatenate([boxes, np.zeros((1, 4), np.float32)]),
        "classes": np.array([0, 1, 2, 0], np.int32),
        "valid": np.array([True, True, True, False]),
        "ignored": np.zeros(4, bool),
        "masks": np.concatenate([discs, np.zeros((1, 48, 64))]).astype(np.uint8),
    }
    images = np.repeat(image[None], batch, axis=0).astype(np.uint8)
    return images, {name: np.repeat(value[None], batch, axis=0) for name, value in targets.items()}


def joints(batch=4):
    values = np.concatenate([CENTRES, np.ones((3, 1))], axis=-1).astype(np.float32)
    return np.repeat(values[None], batch, axis=0)


def each(batch=4):
    """Returns (batch, 4, 1, 3): for each thing one joint, its centre; the last row is padding."""
    return np.pad(joints(batch), ((0, 0), (0, 1), (0, 0)))[:, :, None]


def mean_place(image):
    """Returns the mean (x, y) of the white pixels of (height, width)."""
    rows, columns = np.nonzero(image > 0)
    return np.array([columns.mean() + 0.5, rows.mean() + 0.5])


def test_pictures_turn_the_way_that_joints_do():
    x, y = np.meshgrid(np.arange(64) + 0.5, np.arange(48) + 0.5)
    for cx, cy in CENTRES:
        image = (np.hypot(x - cx, y - cy) <= 3)[..., None] * np.uint8(255)
        images = np.repeat(np.repeat(image, 3, axis=-1)[None], 4, axis=0)
        here = np.repeat(np.float32([[cx, cy, 1]])[None], 4, axis=0)
        turned, targets = rotation.rotate_with_targets(images, {"joints": here}, SEED, 20.0)
        for picture, joint in zip(turned.numpy(), targets["joints"].numpy(), strict=True):
            picture = np.where(np.ptp(picture, axis=-1) == 0, picture[..., 0], 0)
            np.testing.assert_allclose(mean_place(picture > 140), joint[0, :2], atol=0.3)
            assert joint[0, 2] == 1


def test_masks_and_boxes_turn_along():
    images, targets = blobs()
    _, turned = rotation.rotate_with_targets(images, targets | {"joints": each()}, SEED, 20.0)
    places = turned["joints"].numpy()[:, :, 0]
    for number, thing in np.ndindex(4, 3):
        mask = turned["masks"][number, thing].numpy()
        np.testing.assert_allclose(mean_place(mask), places[number, thing, :2], atol=0.3)
        x1, y1, x2, y2 = turned["boxes"][number, thing].numpy()
        np.testing.assert_allclose(
            [(x1 + x2) / 2, (y1 + y2) / 2], places[number, thing, :2], atol=1e-3
        )
        rows, columns = np.nonzero(mask)
        assert x1 <= columns.min() + 1 and columns.max() <= x2
        assert y1 <= rows.min() + 1 and rows.max() <= y2
        assert 6 <= x2 - x1 <= 6 * np.sqrt(2) + 1e-3
    assert not turned["boxes"].numpy()[:, 3].any() and not places[:, 3].any()  # still padding
    assert turned["masks"].dtype == tf.uint8 and set(np.unique(turned["masks"])) == {0, 1}


def test_no_turn_changes_nothing():
    images, targets = blobs()
    targets |= {"joints": each()}
    same, also = rotation.rotate_with_targets(images, targets, SEED, 0.0)
    np.testing.assert_array_equal(same, images)
    for name, value in also.items():
        np.testing.assert_allclose(value, targets[name], atol=1e-5, err_msg=name)


def test_what_leaves_the_picture():
    images = np.zeros((64, 10, 40, 3), np.uint8)
    corner = np.repeat(np.float32([[[39.5, 0.5, 1], [20, 5, 1]]]), 64, axis=0)
    turned, targets = rotation.rotate_with_targets(images, {"joints": corner}, SEED)
    seen = targets["joints"].numpy()[..., 2]
    assert not seen[:, 0].all() and seen[:, 1].all()  # the middle stays where it is
    assert (turned.numpy() == 128).any()  # from outside comes middle grey
    maps = np.zeros((64, 10, 40), np.uint8)
    _, turned_maps = rotation.rotate_with_targets(images, maps, SEED)
    assert set(np.unique(turned_maps)) == {0, 255} and turned_maps.dtype == tf.uint8
    _, labels = rotation.rotate_with_targets(images, np.arange(64), SEED)
    np.testing.assert_array_equal(labels, np.arange(64))


def test_a_box_is_clipped_to_the_picture():
    box = np.repeat(np.float32([[0, 0, 40, 10]]), 16, axis=0)
    targets = {"class": np.zeros(16, np.int32), "box": box}
    images = np.zeros((16, 10, 40, 3), np.uint8)
    _, turned = rotation.rotate_with_targets(images, targets, SEED)
    got = turned["box"].numpy()
    assert (got >= 0).all() and (got <= [40, 10, 40, 10]).all()


@pytest.mark.parametrize("kind", [np.uint8, np.float32])
def test_the_same_eagerly_and_inside_tf_data_and_as_an_augmentation(kind):
    images, targets = blobs()
    images, targets = images.astype(kind), {"joints": joints()}
    turned = rotation.rotate(images, SEED)
    assert turned.dtype == kind and np.any(turned != images)
    eager = augment.augment_with_targets(images, targets, SEED, ("rotate",))
    np.testing.assert_array_equal(eager[0], turned)
    np.testing.assert_array_equal(augment.augment(images, SEED, ("rotate",)), turned)
    dataset = tf.data.Dataset.from_tensors((images, targets)).map(
        lambda pictures, places: augment.augment_with_targets(pictures, places, SEED, ("rotate",))
    )
    for got, places in dataset:
        np.testing.assert_allclose(got, turned, atol=1e-3)
        np.testing.assert_allclose(places["joints"], eager[1]["joints"], atol=1e-4)
