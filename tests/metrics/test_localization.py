"""Accuracy, IoU and both at once, by hand."""

import numpy as np
import pytest

from dlcv_tf.errors import InputError
from dlcv_tf.metrics import LocalizationMetric

TARGETS = {"class": np.array([0, 1, 2, 1]), "box": np.array([[0.0, 0, 10, 10]] * 4)}
ANSWERS = {
    "classes": np.array([[0, 1], [1, 0], [1, 2], [1, 2]]),
    # IoU 1, 0.5 exactly, 0.8, and none
    "box": np.array([[0, 0, 10, 10], [0, 0, 10, 5], [0, 2, 10, 10], [20, 20, 30, 30]], float),
}


@pytest.mark.parametrize(("options", "localized"), [({}, 0.5), ({"strict": True}, 0.25)])
def test_by_hand(options, localized):
    metric = LocalizationMetric(**options)
    for part in (slice(0, 3), slice(3, 4)):
        metric.update_state(
            {name: value[part] for name, value in TARGETS.items()},
            {name: value[part] for name, value in ANSWERS.items()},
        )
    assert metric.result() == {
        "accuracy": 0.75,
        "iou": pytest.approx((1 + 0.5 + 0.8 + 0) / 4),
        "localized": localized,
    }


def test_nothing_measured_and_boxes_without_area():
    assert np.isnan(list(LocalizationMetric().result().values())).all()
    metric = LocalizationMetric()
    flat = {"class": np.array([0]), "box": np.array([[3.0, 3, 3, 3]])}
    metric.update_state(flat, {"classes": np.array([[0]]), "box": flat["box"]})
    assert metric.result() == {"accuracy": 1, "iou": 0, "localized": 0}


def test_bad_input():
    with pytest.raises(InputError, match="got threshold=0"):
        LocalizationMetric(threshold=0)
    with pytest.raises(InputError, match=r"got boxes of shape \(4, 4\) and answers of"):
        LocalizationMetric().update_state(TARGETS, {**ANSWERS, "box": np.zeros((3, 4))})
