"""Anchors are positive, negative or left out by their overlap with the objects."""

import numpy as np
import pytest
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import boxes, matching

RANDOM = np.random.default_rng(0)


def test_erratum_e21_touching_is_not_enough_for_a_positive_anchor():
    overlaps = np.array([[0.71], [0.69], [0.3], [0.29], [0.0], [0.9]])
    expected = [0, matching.IGNORED, matching.IGNORED, matching.NEGATIVE, matching.NEGATIVE, 0]
    np.testing.assert_array_equal(matching.match(overlaps), expected)


def test_every_object_has_an_anchor():
    overlaps = np.array([[0.1, 0.8], [0.2, 0.75], [0.2, 0.0]])
    np.testing.assert_array_equal(matching.match(overlaps), [1, 0, 0])
    np.testing.assert_array_equal(matching.match(overlaps, best=False), [1, 1, -1])


def test_a_best_anchor_stands_for_its_object_or_for_the_one_it_overlaps_most():
    """The first anchor is the best of the second object, which it overlaps less than the first."""
    overlaps = np.array([[0.6, 0.5], [0.9, 0.2], [0.1, 0.4], [0.5, 0.0]])
    negative, ignored = matching.NEGATIVE, matching.IGNORED
    np.testing.assert_array_equal(matching.match(overlaps), [1, 0, ignored, ignored])
    # torchvision's Matcher(0.7, 0.3, allow_low_quality_matches=True) gives [0, 0, -2, -2]: the
    # second object has no anchor.
    got = matching.match(overlaps, best="argmax")
    np.testing.assert_array_equal(got, [0, 0, ignored, ignored])
    # Positive whatever the overlap; an object that no anchor touches makes none positive.
    low = np.array([[0.2, 0.1, 0.0], [0.1, 0.05, 0.0], [0.0, 0.0, 0.0]])
    np.testing.assert_array_equal(matching.match(low), [0, negative, negative])
    np.testing.assert_array_equal(matching.match(low, best="argmax"), [0, negative, negative])
    nobody = matching.match(overlaps, best="argmax", valid=[False, False])
    np.testing.assert_array_equal(nobody, [negative] * 4)


def test_the_published_example():
    """d2l.ai, chapter_computer-vision/anchor.md: background, dog, cat, background, cat."""
    objects = [[0.1, 0.08, 0.52, 0.92], [0.55, 0.2, 0.9, 0.88]]
    anchors = [
        [0, 0.1, 0.2, 0.3],
        [0.15, 0.2, 0.4, 0.4],
        [0.63, 0.05, 0.88, 0.98],
        [0.66, 0.45, 0.8, 0.8],
        [0.57, 0.3, 0.92, 0.9],
    ]
    labels = matching.match(boxes.iou(anchors, objects), positive=0.5, negative=0.5)
    np.testing.assert_array_equal(labels + 1, [0, 1, 2, 0, 2])
    first = matching.match(boxes.iou(anchors, objects), 0.5, 0.5, "bipartite")
    np.testing.assert_array_equal(first, labels)


def test_no_objects():
    np.testing.assert_array_equal(matching.match(np.zeros((3, 0))), [matching.NEGATIVE] * 3)
    # An object that no anchor touches makes none of them positive.
    np.testing.assert_array_equal(matching.match(np.zeros((2, 1))), [matching.NEGATIVE] * 2)
    np.testing.assert_array_equal(matching.match(np.zeros((2, 1)), 0, 0), [matching.IGNORED] * 2)


def test_padding_takes_no_part_in_a_batch():
    overlaps = RANDOM.uniform(0, 1, (3, 20, 5))
    valid = np.array([[True] * 5, [True, False, True, False, False], [False] * 5])
    for best in (True, False, "argmax", "bipartite"):
        got = matching.match(overlaps, 0.8, 0.4, best, valid=valid).numpy()
        traced = tf.function(lambda values, best=best: matching.match(values, 0.8, 0.4, best))
        np.testing.assert_array_equal(got[0], traced(overlaps)[0])
        alone = matching.match(overlaps[1][:, [0, 2]], 0.8, 0.4, best).numpy()
        np.testing.assert_array_equal(got[1], np.where(alone == 1, 2, alone))
        np.testing.assert_array_equal(got[2], [matching.NEGATIVE] * 20)


def one_by_one(overlaps):
    """The largest overlap of all first; d2l's loop."""
    left = np.array(overlaps)
    labels = np.full(len(left), matching.NEGATIVE)
    for _ in range(min(left.shape)):
        anchor, number = np.unravel_index(left.argmax(), left.shape)
        if left[anchor, number] > 0:
            labels[anchor] = number
        left[anchor], left[:, number] = 0, 0
    return labels


@pytest.mark.parametrize("shape", [(4, 20, 6), (4, 3, 6), (2, 5, 1), (2, 3, 0)])
def test_every_object_has_an_anchor_of_its_own(shape):
    overlaps = RANDOM.uniform(0, 1, shape) * (RANDOM.uniform(0, 1, shape) > 0.3)
    expected = [one_by_one(each) for each in overlaps]
    np.testing.assert_array_equal(matching.bipartite(overlaps), expected)
    np.testing.assert_array_equal(matching.bipartite(overlaps[1]), expected[1])


def test_bipartite_first_differs_from_the_best_of_each():
    overlaps = np.array([[0.9, 0.8], [0.6, 0.1], [0.2, 0.3]])
    np.testing.assert_array_equal(matching.match(overlaps, 0.5, 0.5, "bipartite"), [0, 0, 1])
    np.testing.assert_array_equal(matching.match(overlaps, 0.5, 0.5), [0, 0, -1])
    np.testing.assert_array_equal(matching.bipartite(overlaps), [0, -1, 1])


def test_anchors_in_ignored_regions_take_no_part():
    anchors = np.array([[0, 0, 10, 10], [20, 0, 30, 10], [25, 0, 35, 10], [28, 0, 38, 10.0]])
    truth = np.array([[[0, 0, 10, 10], [20, 0, 30, 10], [20, 0, 30, 10.0]]])
    valid = np.array([[True, True, False]])
    crowd = np.array([[False, True, False]])
    labels = matching.assign(anchors, truth, valid, crowd)
    ignored, negative = matching.IGNORED, matching.NEGATIVE
    np.testing.assert_array_equal(labels, [[0, ignored, ignored, negative]])
    per_picture = matching.assign(anchors[None], truth, valid, crowd)
    np.testing.assert_array_equal(per_picture, labels)
    less = matching.assign(anchors, truth, valid, crowd, ignored_share=0.2)
    np.testing.assert_array_equal(less, [[0, ignored, ignored, ignored]])
    none = matching.assign(anchors, truth, valid, valid)  # all crowded, or padding
    assert set(none.numpy().ravel()) == {ignored, negative}
    empty = matching.assign(anchors, np.zeros((1, 3, 4)), ~valid & False, ~valid & False)
    np.testing.assert_array_equal(empty, [[negative] * 4])


def test_a_sample_is_balanced_filled_up_and_random():
    labels = np.full((4, 1000), matching.NEGATIVE)
    labels[:, :100] = matching.IGNORED
    for picture, positives in enumerate((0, 10, 128, 400)):
        labels[picture, 100 : 100 + positives] = np.arange(positives)
    indices, drawn = matching.sample(labels, 256, 0.5, seed=(1, 2))
    assert indices.shape == drawn.shape == (4, 256) and drawn.numpy().all()
    got = np.take_along_axis(labels, indices.numpy(), axis=1)
    assert (got != matching.IGNORED).all()
    np.testing.assert_array_equal((got >= 0).sum(axis=1), [0, 10, 128, 128])
    assert (np.diff((got >= 0).astype(int), axis=1) <= 0).all()  # positives first
    assert all(len(set(row)) == 256 for row in indices.numpy())
    again, _ = matching.sample(labels, 256, 0.5, seed=(1, 2))
    other, _ = matching.sample(labels, 256, 0.5, seed=(1, 3))
    np.testing.assert_array_equal(again, indices)
    assert (other.numpy() != indices.numpy()).mean() > 0.9
    # Every positive is as likely as any other.
    counts = np.zeros(400)
    for number in range(60):
        drawn_now, _ = matching.sample(labels[3], 256, 0.5, seed=(number, 0))
        counts += np.isin(np.arange(100, 500), drawn_now)
    assert counts.min() > 4 and counts.max() < 36  # 19.2 on average, 3.6 either way


def test_a_sample_of_too_few():
    labels = np.array([0, matching.NEGATIVE, matching.IGNORED, 1])
    indices, drawn = matching.sample(labels, 6, 0.25, seed=(0, 0))
    assert (
        set(indices.numpy()[:2]) <= {0, 1, 3} and drawn.numpy().tolist() == [True] * 2 + [False] * 4
    )
    np.testing.assert_array_equal(indices[2:], 0)
    none, drawn = matching.sample(np.full(5, matching.IGNORED), 4, seed=(0, 0))
    assert not none.numpy().any() and not drawn.numpy().any()


@pytest.mark.parametrize(
    ("overlaps", "options", "message"),
    [
        (np.zeros(3), {}, r"expected \(anchors, objects\)"),
        (np.zeros((3, 1)), {"positive": 0.2}, "negative=0.3 and positive=0.2"),
        (np.zeros((3, 1)), {"best": "one"}, "best='one'"),
    ],
)
def test_bad_input_is_named(overlaps, options, message):
    with pytest.raises(InputError, match=message):
        matching.match(overlaps, **options)


@pytest.mark.parametrize(("size", "share"), [(0, 0.5), (4, 1.5)])
def test_bad_sizes_of_samples_are_named(size, share):
    with pytest.raises(InputError, match="got size=0|got positive_share=1.5"):
        matching.sample(np.zeros(3, int), size, share, seed=(0, 0))
