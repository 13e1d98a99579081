"""Augmentations keep shape and type, follow from the seed, and are the same inside `tf.data`."""

import collections

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.data import augment
from dlcv_tf.errors import InputError
from tests.helpers import pictures

SEED = tf.constant([3, 7], tf.int64)


@pytest.mark.parametrize("name", augment.AUGMENTATIONS)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_eager_equals_tf_data(name, dtype):
    images = pictures(16, (12, 10)).astype(dtype)
    eager = augment.augment(images, SEED, (name,))
    dataset = tf.data.Dataset.from_tensors(images).map(lambda x: augment.augment(x, SEED, (name,)))
    inside = next(iter(dataset))
    np.testing.assert_array_equal(eager, inside)
    assert inside.shape == images.shape and inside.dtype == images.dtype
    assert not np.array_equal(eager, images)
    np.testing.assert_array_equal(augment.augment(images, SEED, (name,)), eager)
    assert not np.array_equal(augment.augment(images, SEED + 1, (name,)), eager)


def test_flip_gives_the_picture_or_its_mirror_about_equally_often():
    images = pictures(400, (4, 4))
    flipped = np.asarray(augment.flip(images, SEED))
    mirrored = (flipped == images[:, :, ::-1]).all(axis=(1, 2, 3))
    kept = (flipped == images).all(axis=(1, 2, 3))
    assert (mirrored | kept).all()
    assert 140 < mirrored.sum() < 260  # six standard deviations around a half


def test_shift_moves_by_at_most_the_fraction_and_reflects_the_border():
    images = pictures(50, (16, 16))
    shifted = np.asarray(augment.shift(images, SEED, fraction=0.125))
    padded = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect")
    offsets = set()
    for original, moved in zip(padded, shifted, strict=True):
        places = [
            (y, x)
            for y in range(5)
            for x in range(5)
            if np.array_equal(original[y : y + 16, x : x + 16], moved)
        ]
        assert len(places) == 1
        offsets.add(places[0])
    assert len(offsets) > 10


@pytest.mark.parametrize("size, square", [((16, 12), (4, 3)), ((2, 3), (1, 1)), ((32, 32), (8, 8))])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_cutout_covers_one_square_inside_the_picture_with_grey(size, square, dtype):
    images = (pictures(60, size) // 2).astype(dtype)  # no grey of 128 in them
    cut = np.asarray(augment.cutout(images, SEED))
    covered = (cut == 128).all(axis=-1)
    np.testing.assert_array_equal(cut[~covered], images[~covered])
    corners = set()
    for picture in covered:
        rows, columns = (np.flatnonzero(picture.any(axis=axis)) for axis in (1, 0))
        assert (len(rows), len(columns)) == square
        assert picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1].all()
        corners.add((int(rows[0]), int(columns[0])))
    assert len({y for y, _ in corners}) > 1 and len({x for _, x in corners}) > 1


def test_cutout_reaches_every_place():
    cut = np.asarray(augment.cutout(np.zeros((400, 4, 4, 1), np.uint8), SEED, fraction=0.5))
    covered = (cut[..., 0] == 128).reshape(400, 16)
    corners = collections.Counter(int(np.flatnonzero(picture)[0]) for picture in covered)
    assert sorted(corners) == [0, 1, 2, 4, 5, 6, 8, 9, 10]
    assert min(corners.values()) > 15  # 44 expected, with a standard deviation of 6.3


def test_unknown_name_is_suggested():
    with pytest.raises(InputError, match="unknown augmentation 'flop': did you mean 'flip'"):
        augment.augment(pictures(1, (4, 4)), SEED, ("flop",))
