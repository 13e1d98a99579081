"""Average precision by hand."""

import doctest

import numpy as np
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.metrics import average_precision as ap
from dlcv_tf.ops import boxes as box_ops


def test_overlaps_are_those_of_the_ops():
    random = np.random.default_rng(0)
    corners = random.uniform(0, 9, (2, 5, 2))
    first, second = np.concatenate([corners, corners + random.uniform(0, 9, (2, 5, 2))], axis=-1)
    for plus_one in (False, True):
        expected = box_ops.iou(first, second, plus_one=plus_one)
        np.testing.assert_allclose(ap.overlaps(first, second, plus_one=plus_one), expected)
    assert ap.overlaps(np.zeros((0, 4)), first).shape == (0, 5)
    assert ap.overlaps([[1, 1, 1, 1]], [[1, 1, 1, 1]]) == 0


def test_ap_by_hand():
    """Five objects; detections true, false, true, true, false, of falling scores."""
    precision, recall = ap.precision_recall([0.9, 0.8, 0.7, 0.6, 0.5], [1, 0, 1, 1, 0], 5)
    np.testing.assert_allclose(precision, [1, 1 / 2, 2 / 3, 3 / 4, 3 / 5])
    np.testing.assert_allclose(recall, [0.2, 0.2, 0.4, 0.6, 0.6])
    # The best precision at that recall or more is 1 up to 0.2, then 3/4 up to 0.6, then 0.
    assert ap.average_precision(precision, recall) == pytest.approx(0.2 * 1 + 0.4 * 0.75)
    eleven = ap.average_precision(precision, recall, "11_point")
    assert eleven == pytest.approx((3 * 1 + 4 * 0.75) / 11)  # 0, 0.1, 0.2; 0.3 to 0.6
    coco = ap.average_precision(precision, recall, "101_point")
    assert coco == pytest.approx((21 * 1 + 40 * 0.75) / 101)


def test_a_recall_of_three_tenths_is_reached():
    """0.3 as a product, 3 * 0.1, would be a little larger."""
    precision, recall = ap.precision_recall(np.arange(3.0), [1, 1, 1], 10)
    assert ap.average_precision(precision, recall, "11_point") == pytest.approx(4 / 11)


@pytest.mark.parametrize("interpolation", ap.INTERPOLATIONS)
def test_ap_of_all_and_of_nothing(interpolation):
    curve = ap.precision_recall([0.5, 0.9], [1, 1], 2)
    assert ap.average_precision(*curve, interpolation) == pytest.approx(1)
    assert ap.average_precision(*ap.precision_recall([], [], 3), interpolation) == 0
    assert ap.average_precision(*ap.precision_recall([0.5], [0], 3), interpolation) == 0


def test_scores_are_sorted_and_equal_ones_keep_their_order():
    precision, _ = ap.precision_recall([0.2, 0.8, 0.8, 0.9], [1, 0, 1, -1], 2)
    np.testing.assert_allclose(precision, [0, 1 / 2, 2 / 3])


def test_a_second_detection_of_an_object_is_false():
    overlap = np.array([[0.9, 0.0], [0.8, 0.6], [0.4, 0.0]])
    np.testing.assert_array_equal(ap.match(overlap), [1, 0, 0])  # VOC: the second is a double
    np.testing.assert_array_equal(ap.match(overlap, retry=True), [1, 1, 0])  # COCO: the next best


def test_difficult_objects_are_neither_found_nor_missed():
    overlap = np.array([[0.9, 0.0], [0.8, 0.0], [0.0, 0.7], [0.0, 0.0]])
    difficult = [True, False]
    np.testing.assert_array_equal(ap.match(overlap, difficult), [-1, -1, 1, 0])
    np.testing.assert_array_equal(ap.match(overlap, [True, True], retry=True), [-1, -1, -1, 0])
    # COCO takes an object that counts, though the one to be ignored overlaps more.
    both = np.array([[0.9, 0.6]])
    np.testing.assert_array_equal(ap.match(both, difficult, retry=True), [1])
    np.testing.assert_array_equal(ap.match(both, difficult), [-1])


def test_exactly_the_threshold():
    half = np.array([[0.5]])
    assert ap.match(half) == [1] and ap.match(half, inclusive=False) == [0]
    assert ap.match(half, retry=True) == [1] and ap.match(half, inclusive=False, retry=True) == [0]
    np.testing.assert_array_equal(ap.match(np.zeros((2, 0))), [0, 0])


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: ap.precision_recall([0.5], [1, 0], 1), "expected one for each"),
        (lambda: ap.precision_recall([np.nan], [1], 1), "got NaN among the scores"),
        (lambda: ap.average_precision([1], [1], "12_point"), "unknown interpolation '12_point'"),
    ],
)
def test_bad_input_is_named(call, message):
    with pytest.raises(InputError, match=message):
        call()


def test_examples():
    assert doctest.testmod(ap).failed == 0
