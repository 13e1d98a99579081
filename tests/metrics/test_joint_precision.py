"""Mean average precision of joints: as pycocotools is meant to be used, and by hand."""

import contextlib
import io
import json

import numpy as np
import pytest

from dlcv_tf import metrics
from dlcv_tf.errors import InputError
from dlcv_tf.metrics import coco

JOINTS = 17


def people(seed=0, pictures=10, most=4):
    """Returns targets and answers: people found a little beside their place, and false ones."""
    random = np.random.default_rng(seed)
    low = random.uniform(0, 200, (pictures, most, 2))
    sides = random.uniform(40, 150, (pictures, most, 2))
    boxes = np.concatenate([low, low + sides], axis=-1)
    places = low[:, :, None] + random.uniform(0, 1, (pictures, most, JOINTS, 2)) * sides[:, :, None]
    valid = random.uniform(size=(pictures, most)) < 0.8
    known = random.uniform(size=(pictures, most, JOINTS)) < 0.7
    known[:2, 0] = False  # people without a joint
    targets = {
        "boxes": boxes.astype(np.float32),
        "classes": np.zeros((pictures, most), np.int32),
        "valid": valid,
        "ignored": valid & (random.uniform(size=valid.shape) < 0.1),
        "joints": np.concatenate([places, known[..., None]], axis=-1).astype(np.float32),
    }
    apart = random.choice([1, 4, 12], (pictures, most, 1, 1))
    moved = places + random.normal(0, 1, places.shape) * apart
    false = np.roll(places, 1, axis=0)
    joints = np.concatenate([moved, false], axis=1)
    score = random.uniform(0, 1, (pictures, 2 * most, JOINTS, 1))
    answers = {
        "boxes": np.concatenate([boxes, np.roll(boxes, 1, axis=0)], axis=1).astype(np.float32),
        "scores": -np.sort(-random.uniform(0, 1, (pictures, 2 * most))).astype(np.float32),
        "classes": np.zeros((pictures, 2 * most), np.int32),
        "num_detections": random.integers(0, 2 * most + 1, pictures),
        "joints": np.concatenate([joints, score], axis=-1).astype(np.float32),
    }
    return targets, answers


def by_pycocotools(targets, answers, areas, directory):
    """Returns `stats` in the documented way: files, `loadRes`, evaluate, accumulate, summarize."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    truth, found = [], []
    for number, valid in enumerate(targets["valid"]):
        for row in np.flatnonzero(valid):
            x1, y1, x2, y2 = targets["boxes"][number, row].tolist()
            joints = targets["joints"][number, row]
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": number + 1,
                    "category_id": 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": float(areas[number, row]),
                    "iscrowd": int(targets["ignored"][number, row]),
                    "keypoints": joints.ravel().tolist(),
                    "num_keypoints": int(joints[:, 2].sum()),
                }
            )
        for row in range(answers["num_detections"][number]):
            found.append(
                {
                    "image_id": number + 1,
                    "category_id": 1,
                    "keypoints": answers["joints"][number, row].ravel().tolist(),
                    "score": float(answers["scores"][number, row]),
                }
            )
    images = [{"id": number + 1} for number in range(len(targets["valid"]))]
    categories = [{"id": 1, "name": "person"}]
    everything = {"images": images, "annotations": truth, "categories": categories}
    for name, content in (("truth.json", everything), ("found.json", found)):
        (directory / name).write_text(json.dumps(content))
    with contextlib.redirect_stdout(io.StringIO()):
        made = COCO(str(directory / "truth.json"))
        evaluation = COCOeval(made, made.loadRes(str(directory / "found.json")), "keypoints")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def measured(targets, answers):
    metric = metrics.InstanceMetric(1, ["person"])
    half = len(targets["boxes"]) // 2
    for part in (slice(half), slice(half, None)):
        metric.update_state(
            {name: each[part] for name, each in targets.items()},
            {name: each[part] for name, each in answers.items()},
        )
    return metric.result()


def named(numbers):
    return [numbers[f"keypoint_{name}"] for name in coco.KEYPOINT_NUMBERS]


def test_coco_s_ten_numbers_with_the_usual_share_of_the_box_as_area(tmp_path):
    targets, answers = people()
    numbers = measured(targets, answers)
    sides = targets["boxes"][..., 2:] - targets["boxes"][..., :2]
    expected = by_pycocotools(targets, answers, 0.53 * sides.prod(axis=-1), tmp_path)
    np.testing.assert_allclose(named(numbers), expected, atol=1e-6)
    assert 0.1 < numbers["keypoint_map"] < numbers["keypoint_map50"] < 0.9
    assert numbers["keypoint_ap50_person"] == pytest.approx(numbers["keypoint_map50"])
    assert numbers["map50"] > 0 and not any(name.startswith("mask") for name in numbers)


def test_the_area_is_that_of_the_mask_where_there_is_one(tmp_path):
    targets, answers = people(seed=1, pictures=4)
    targets["masks"] = np.zeros((4, 4, 360, 360), np.uint8)
    for picture, row in np.ndindex(4, 4):
        x1, y1, x2, y2 = targets["boxes"][picture, row].astype(int)
        targets["masks"][picture, row, y1:y2, x1 : (x1 + x2) // 2] = 1
    answers["masks"] = np.ones((4, 8, 28, 28), np.float32)
    numbers = measured(targets, answers)
    expected = by_pycocotools(targets, answers, targets["masks"].sum(axis=(2, 3)), tmp_path)
    np.testing.assert_allclose(named(numbers), expected, atol=1e-6)
    assert "mask_map50" in numbers


def one_person(shift, number=2):
    """Returns a person of 100x100 pixels whose joints are found so far to the right."""
    joints = np.full((1, 1, number, 3), 50.0)
    joints[..., 2] = 1
    there = np.array([[True]])
    boxes, classes = np.array([[[0.0, 0, 100, 100]]]), np.zeros((1, 1), int)
    targets = {"boxes": boxes, "classes": classes, "valid": there, "ignored": ~there}
    answers = {"boxes": boxes, "classes": classes, "scores": np.ones((1, 1)), "num_detections": [1]}
    return targets | {"joints": joints}, answers | {"joints": joints + [shift, 0, 0]}


def test_by_hand():
    # exp(-d^2 / (2 (2 sigma)^2 area)) = 0.62, with COCO's mean sigma for two joints of one's own
    shift = np.sqrt(-np.log(0.62) * 2 * (2 * 0.0669412) ** 2 * 0.53 * 100 * 100)
    numbers = measured(*one_person(shift))
    assert numbers["keypoint_map50"] == pytest.approx(1) and numbers["keypoint_map75"] == 0
    assert numbers["keypoint_map"] == pytest.approx(0.3)  # at 0.5, 0.55 and 0.6
    assert measured(*one_person(0.0))["keypoint_map"] == pytest.approx(1)


def test_none_found_no_joint_and_no_picture():
    targets, answers = one_person(0.0)
    assert measured(targets, answers | {"num_detections": [0]})["keypoint_map50"] == 0
    hidden = targets | {"joints": targets["joints"] * [1, 1, 0]}
    assert measured(hidden, answers)["keypoint_map50"] == -1
    nothing = targets | {"valid": ~targets["valid"]}
    assert set(measured(nothing, answers | {"num_detections": [0]}).values()) == {-1.0}
    before = metrics.InstanceMetric(1).result()
    assert before["keypoint_map50"] == before["mask_map50"] == -1


def test_what_cannot_be_compared_is_named():
    targets, answers = one_person(0.0)
    for missing in (targets, answers):
        joints = missing.pop("joints")
        with pytest.raises(InputError, match="expected masks or joints in both"):
            measured(targets, answers)
        missing["joints"] = joints
    with pytest.raises(InputError, match="got 3 joints of a detection and 2 of an object"):
        measured(targets, one_person(0.0, number=3)[1])
    with pytest.raises(InputError, match="joints that are not finite"):
        measured(targets, answers | {"joints": answers["joints"] * np.nan})
