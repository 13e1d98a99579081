"""Anchors are positive, negative or left out by their overlap with the objects."""

import numpy as np
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.ops import boxes, matching


def test_erratum_e21_touching_is_not_enough_for_a_positive_anchor():
    overlaps = np.array([[0.71], [0.69], [0.3], [0.29], [0.0], [0.9]])
    expected = [0, matching.IGNORED, matching.IGNORED, matching.NEGATIVE, matching.NEGATIVE, 0]
    np.testing.assert_array_equal(matching.match(overlaps), expected)


def test_every_object_has_an_anchor():
    overlaps = np.array([[0.1, 0.8], [0.2, 0.75], [0.2, 0.0]])
    np.testing.assert_array_equal(matching.match(overlaps), [1, 0, 0])
    np.testing.assert_array_equal(matching.match(overlaps, best=False), [1, 1, -1])


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


def test_no_objects():
    np.testing.assert_array_equal(matching.match(np.zeros((3, 0))), [matching.NEGATIVE] * 3)
    # An object that no anchor touches makes none of them positive.
    np.testing.assert_array_equal(matching.match(np.zeros((2, 1))), [matching.NEGATIVE] * 2)
    np.testing.assert_array_equal(matching.match(np.zeros((2, 1)), 0, 0), [matching.IGNORED] * 2)


@pytest.mark.parametrize(
    ("overlaps", "options", "message"),
    [
        (np.zeros(3), {}, r"expected \(anchors, objects\)"),
        (np.zeros((3, 1)), {"positive": 0.2}, "negative=0.3 and positive=0.2"),
    ],
)
def test_bad_input_is_named(overlaps, options, message):
    with pytest.raises(InputError, match=message):
        matching.match(overlaps, **options)
