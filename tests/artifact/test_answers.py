"""Answers as entries for a reader: detections, joints, class maps, located classes."""

import io

import numpy as np
from PIL import Image

from dlcv_tf.artifact import answers

DETECTIONS = {
    "boxes": np.float32([[2, 4, 10, 12], [0, 0, 5, 5], [0, 0, 0, 0]]),
    "scores": np.float32([0.9, 0.2, 0]),
    "classes": np.int32([1, 0, 0]),
    "num_detections": np.int32(2),
}


def test_detections_above_a_score_are_listed():
    found = answers.things(DETECTIONS, ["cat", "dog"], (20, 20), 0.3)
    assert found == [{"label": "dog", "score": 0.9, "box": [2.0, 4.0, 10.0, 12.0]}]
    assert len(answers.things(DETECTIONS, ["cat", "dog"], (20, 20), 0.0)) == 2


def test_masks_become_files_of_the_pictures_size():
    whole = np.ones((3, 28, 28), np.float32)
    joints = np.ones((3, 2, 3), np.float32)
    found = answers.things(DETECTIONS | {"masks": whole, "joints": joints}, ["a", "b"], (16, 20), 0)
    mask = np.asarray(Image.open(io.BytesIO(found[0]["mask"])))
    expected = np.zeros((16, 20), np.uint8)
    expected[4:12, 2:10] = 1
    np.testing.assert_array_equal(mask, expected)
    assert found[1]["joints"] == [[1.0, 1.0, 1.0]] * 2


def test_a_class_map_is_told_by_the_share_of_each_class():
    class_map = np.zeros((4, 5), np.uint8)
    class_map[:3] = 2
    found = answers.things({"class_map": class_map}, ["road", "sky", "tree"], (4, 5), 0.3)
    assert found == [{"label": "tree", "share": 0.75}, {"label": "road", "share": 0.25}]
    np.testing.assert_array_equal(Image.open(io.BytesIO(answers.png(class_map))), class_map)


def test_joints_and_a_located_class():
    joints = np.float32([[1, 2, 0.5], [3, 4, 0.1]])
    found = answers.things({"joints": joints}, ["neck", "head"], (9, 9), 0.3)
    assert found[1] == {"label": "head", "score": 0.1, "place": [3.0, 4.0]}
    one = {"classes": np.int32([1, 0]), "scores": np.float32([0.75, 0.25])}
    assert answers.things(one, ["cat", "dog"], (9, 9), 0.9) == [
        {"label": "dog", "score": 0.75},
        {"label": "cat", "score": 0.25},
    ]
    found = answers.things(one | {"box": np.float32([1, 2, 3, 4])}, ["cat", "dog"], (9, 9), 0.9)
    assert found[0]["box"] == [1.0, 2.0, 3.0, 4.0] and "box" not in found[1]


def test_what_fills_detections_up_has_no_name():
    batch = {name: values[None] for name, values in DETECTIONS.items()}
    assert answers.labels_of(batch, ["cat", "dog"]).tolist() == [["dog", "cat", ""]]
    del batch["num_detections"]
    assert answers.labels_of(batch, ["cat", "dog"]).tolist() == [["dog", "cat", "cat"]]
