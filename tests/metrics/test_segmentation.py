"""Mean intersection over union by hand, against Keras, and the classes that are not there."""

import keras
import numpy as np
import pytest

from dlcv_tf import metrics
from dlcv_tf.errors import InputError
from dlcv_tf.metrics import segmentation

# Three classes, one pixel ignored. 0: 2 of 3; 1: 2 of 4; 2: 1 of 3.
TRUTH = np.array([[[0, 0, 0], [1, 1, 1], [2, 2, 255]]])
FOUND = np.array([[[0, 0, 1], [1, 1, 2], [2, 1, 0]]])


def measured(truth, found, num_classes, **options):
    metric = metrics.SegmentationMetric(num_classes, **options)
    metric.update_state(truth, {"class_map": found})
    return metric.result()


def test_three_classes_by_hand():
    matrix = segmentation.confusion_matrix(TRUTH, FOUND, 3)
    np.testing.assert_array_equal(matrix, [[2, 1, 0], [0, 2, 1], [0, 1, 1]])
    result = measured(TRUTH, FOUND, 3, labels=("a", "b", "c"))
    assert result["iou_a"] == pytest.approx(2 / 3)
    assert result["iou_b"] == pytest.approx(2 / 5)
    assert result["iou_c"] == pytest.approx(1 / 3)
    assert result["miou"] == pytest.approx((2 / 3 + 2 / 5 + 1 / 3) / 3)
    assert result["pixel_accuracy"] == pytest.approx(5 / 8)
    assert result["mean_accuracy"] == pytest.approx((2 / 3 + 2 / 3 + 1 / 2) / 3)


def test_it_is_kerass_number():
    random = np.random.default_rng(0)
    truth, found = random.integers(0, 5, (2, 4, 6, 7))
    truth[0, 0] = 255
    reference = keras.metrics.MeanIoU(6, ignore_class=255)  # class 5 is nowhere
    metric = metrics.SegmentationMetric(6)
    for each in range(4):
        reference.update_state(truth[each], found[each])
        metric.update_state(truth[each : each + 1], {"class_map": found[each : each + 1]})
    assert metric.result()["miou"] == pytest.approx(float(reference.result()), abs=1e-6)


def test_one_matrix_of_all_pictures_not_the_mean_of_theirs():
    truth, found = np.array([[[0, 0, 0, 1]], [[1, 1, 1, 1]]]), np.array([[[0, 0, 0, 0]], [[1] * 4]])
    assert measured(truth, found, 2)["miou"] == pytest.approx((3 / 4 + 4 / 5) / 2)


def test_absent_classes():
    """Class 2 is in neither; class 1 in the answer alone."""
    truth, found = np.zeros((1, 2, 2), int), np.array([[[0, 0], [0, 1]]])
    expected = {"left_out": 3 / 8, "truth_only": 3 / 4, "zero": 1 / 4, "one": 7 / 12}
    for absent, miou in expected.items():
        assert measured(truth, found, 3, absent=absent)["miou"] == pytest.approx(miou), absent
    assert np.isnan(measured(truth, found, 3)["iou_2"])


def test_nothing_counted_is_nan_not_an_error():
    result = metrics.SegmentationMetric(2).result()
    assert all(np.isnan(value) for value in result.values())
    assert np.isnan(measured(np.full((1, 2, 2), 255), np.zeros((1, 2, 2), int), 2)["miou"])


def test_unsigned_maps_of_many_classes_do_not_overflow():
    truth = np.arange(250, dtype=np.uint8).reshape(1, 10, 25)
    assert measured(truth, truth, 250)["miou"] == 1


def test_bad_input_is_named():
    with pytest.raises(InputError, match="got the value 9 in the truth, expected 0 to 2, or 255"):
        measured(np.full((1, 1, 1), 9), np.zeros((1, 1, 1), int), 3)
    with pytest.raises(InputError, match="got the value 255 in the answer, expected 0 to 2"):
        measured(np.zeros((1, 1, 1), int), np.full((1, 1, 1), 255), 3)
    with pytest.raises(InputError, match="got class maps of shape .* for a truth of shape"):
        measured(TRUTH, FOUND[:, :2], 3)
    with pytest.raises(InputError, match="unknown absent 'none'"):
        metrics.SegmentationMetric(3, absent="none")
    with pytest.raises(InputError, match="got 2 labels for 3 classes"):
        metrics.SegmentationMetric(3, labels=("a", "b"))
