"""Augmentations keep shape and type, follow from the seed, and are the same inside `tf.data`."""

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


def test_unknown_name_is_suggested():
    with pytest.raises(InputError, match="unknown augmentation 'flop': did you mean 'flip'"):
        augment.augment(pictures(1, (4, 4)), SEED, ("flop",))
