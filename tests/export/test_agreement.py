"""What counts as the same answer: matched detections, thresholds, twins, maps and joints."""

import numpy as np
import pytest

from dlcv_tf import export
from dlcv_tf.export import agreement, parity

BOXES = np.float32([[0, 0, 20, 20], [30, 30, 50, 60], [5, 40, 25, 60]])
THRESHOLDS = (0.3, 0.5)


def detections(boxes=BOXES, scores=(0.9, 0.8, 0.7), classes=(0, 1, 0), most=4):
    """One picture's answer, filled up with zeros."""
    count = len(boxes)
    answer = {
        "boxes": np.zeros((1, most, 4), np.float32),
        "scores": np.zeros((1, most), np.float32),
        "classes": np.zeros((1, most), np.int32),
        "num_detections": np.array([count], np.int32),
    }
    for name, values in (("boxes", boxes), ("scores", scores), ("classes", classes)):
        answer[name][0, :count] = values
    return answer


def compare(got, expected):
    return agreement.compare(got, expected, thresholds=THRESHOLDS)["boxes"]


def test_order_does_not_count_and_the_worst_corner_does():
    swapped = detections(BOXES[[1, 0, 2]] + 0.25, (0.8, 0.9, 0.7), (1, 0, 0))
    found = compare(swapped, detections())
    assert found.worst_error == 0.25 and found.disagreeing == 0


@pytest.mark.parametrize(
    "changed",
    [
        detections(classes=(0, 1, 1)),
        detections(scores=(0.9, 0.8, 0.69)),
        detections(BOXES + np.float32([[0, 0, 0, 0], [0, 0, 0, 0.6], [0, 0, 0, 0]])),
    ],
)
def test_another_class_score_or_place_is_another_detection(changed):
    found = compare(changed, detections())
    assert found.disagreeing == pytest.approx(2 / 6)
    with pytest.raises(export.ExportError, match="33.33 % of the detections of onnx have no"):
        parity.check_agreement("onnx", {"boxes": found})


def test_a_missing_detection_counts_unless_it_stands_at_the_threshold():
    two = detections(BOXES[:2], (0.9, 0.8), (0, 1))
    assert compare(two, detections()).disagreeing == pytest.approx(1 / 5)
    assert compare(two, detections(scores=(0.9, 0.8, 0.3005))).disagreeing == 0
    assert compare(detections(most=3), detections(scores=(0.9, 0.8, 0.7), most=3)).disagreeing == 0


def test_one_at_the_suppressing_overlap_may_be_missing():
    near = np.float32([[0, 0, 20, 20], [0, 0, 20, 10.01]])  # overlap 0.5005
    both = detections(near, (0.9, 0.8), (0, 0))
    one = detections(near[:1], (0.9,), (0,))
    assert compare(one, both).disagreeing == 0
    near[1, 3] = 8
    assert compare(one, detections(near, (0.9, 0.8), (0, 0))).disagreeing == pytest.approx(1 / 3)


def test_of_two_boxes_with_one_score_either_may_be_left_but_rarely():
    many = np.arange(30, dtype=np.float32)[:, None] * 40 + BOXES[0]  # apart from each other
    moved = many.copy()
    moved[0] += 2
    scores, classes = np.linspace(0.4, 0.9, 30), np.zeros(30)
    expected = detections(many, scores, classes, most=31)
    assert compare(detections(moved, scores, classes, most=31), expected).disagreeing == 0
    scores[0] += 0.0005  # not one score
    assert compare(detections(moved, scores, classes, most=31), expected).disagreeing > 0
    scores[0] -= 0.0005
    everywhere = detections(many + 0.6, scores, classes, most=31)
    assert compare(everywhere, expected).disagreeing == 1


def test_not_a_number_and_masks():
    broken = detections(BOXES * np.float32(np.nan))
    assert compare(broken, detections()).worst_error == np.inf
    ones = {"masks": np.ones((1, 4, 5, 5), np.float32)}
    found = agreement.compare(detections() | {"masks": ones["masks"] - 0.01}, detections() | ones)
    assert found["masks"].worst_error == pytest.approx(0.01, rel=1e-4)
    with pytest.raises(export.ExportError, match="onnx differs .* by 0.01 in a probability"):
        parity.check_agreement("onnx", found)


def test_class_maps_and_joints_by_their_share():
    expected = {"class_map": np.zeros((2, 50, 50), np.uint8)}
    got = {"class_map": expected["class_map"].copy()}
    got["class_map"][0, 0, :6] = 1
    found = agreement.compare(got, expected)["class_map"]
    assert found.worst_error == pytest.approx(6 / 5000) and found.bound == 0.001
    joints = np.zeros((10, 14, 3), np.float32)
    moved = joints.copy()
    moved[0, 0, 0] = 0.4
    assert agreement.compare({"joints": moved}, {"joints": joints})["joints"].disagreeing == 0
    moved[0, 1, 1] = 9
    found = agreement.compare({"joints": moved}, {"joints": joints})["joints"]
    assert found.worst_error == np.float32(0.4) and found.disagreeing == pytest.approx(1 / 140)
