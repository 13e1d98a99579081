"""The content of a batch follows from (seed, epoch, step) alone."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf import data
from dlcv_tf.errors import InputError
from tests.helpers import pictures


def batches(seed=0, augmentations=("flip", "shift"), count=23, batch_size=4):
    dataset = tf.data.Dataset.from_tensor_slices((pictures(count, (6, 6)), np.arange(count)))
    return data.TrainingBatches(dataset, count, batch_size, seed, augmentations)


def content(stream):
    return [(images.numpy(), labels.numpy()) for images, labels in stream]


def test_every_epoch_has_other_whole_batches_of_distinct_examples():
    stream = content(batches().stream(3))
    assert batches().steps_per_epoch == 5 and len(stream) == 15
    orders = [np.concatenate([labels for _, labels in stream[e * 5 : e * 5 + 5]]) for e in range(3)]
    for order in orders:
        assert len(order) == 20 and len(set(order)) == 20
    assert not np.array_equal(orders[0], orders[1])
    assert not np.array_equal(orders[1], orders[2])


@pytest.mark.parametrize("epoch, step", [(0, 0), (0, 3), (1, 0), (2, 4)])
def test_a_stream_can_start_anywhere(epoch, step):
    whole = content(batches().stream(3))[epoch * 5 + step :]
    part = content(batches().stream(3, epoch, step))
    assert len(part) == len(whole)
    for (images, labels), (other_images, other_labels) in zip(part, whole, strict=True):
        np.testing.assert_array_equal(images, other_images)
        np.testing.assert_array_equal(labels, other_labels)


def test_the_order_depends_on_our_seed_and_not_on_the_global_one():
    keras.utils.set_random_seed(1)
    first = content(batches(seed=0).stream(1))
    keras.utils.set_random_seed(2)
    again = content(batches(seed=0).stream(1))
    other = content(batches(seed=1).stream(1))
    labels = [np.concatenate([labels for _, labels in stream]) for stream in (first, again, other)]
    np.testing.assert_array_equal(labels[0], labels[1])
    assert not np.array_equal(labels[0], labels[2])


def test_a_small_data_set_is_one_batch():
    ((images, _),) = content(batches(count=3, batch_size=64).stream(1))
    assert len(images) == 3


def test_an_empty_data_set_is_refused():
    with pytest.raises(InputError, match="got 0 examples"):
        batches(count=1).__class__(None, 0, 4)
