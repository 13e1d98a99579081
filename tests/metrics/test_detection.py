"""Mean average precision: by hand, by our own matching, and as pycocotools is meant to be used."""

import contextlib
import doctest
import io
import json

import numpy as np
import pytest

from dlcv_tf import metrics
from dlcv_tf.artifact import masks as artifact_masks
from dlcv_tf.errors import InputError
from dlcv_tf.metrics import average_precision as ap
from dlcv_tf.metrics import coco, detection

CLASSES = 3


def batch(seed=0, pictures=12, most=6, crowds=True):
    """Returns targets and answers: objects found a little beside their place, and false ones."""
    random = np.random.default_rng(seed)
    corners = random.uniform(0, 100, (pictures, most, 2))
    boxes = np.concatenate([corners, corners + random.uniform(5, 120, corners.shape)], axis=-1)
    classes = random.integers(0, CLASSES, (pictures, most)).astype(np.int32)
    valid = random.uniform(size=classes.shape) < 0.8
    targets = {
        "boxes": boxes.astype(np.float32) * valid[..., None],
        "classes": classes * valid,
        "valid": valid,
        "ignored": valid & (random.uniform(size=classes.shape) < 0.15 * crowds),
    }
    moved = boxes + random.normal(0, 4, boxes.shape)
    false = np.roll(boxes, 1, axis=0) + random.normal(0, 9, boxes.shape)
    found = np.concatenate([moved, false], axis=1)
    found[..., 2:] = np.maximum(found[..., 2:], found[..., :2] + 1)
    scores = random.uniform(0, 1, (pictures, 2 * most))
    order = np.argsort(-scores, axis=1)
    kinds = np.concatenate([classes, np.roll(classes, 1, axis=1)], axis=1)
    answers = {
        "boxes": np.take_along_axis(found, order[..., None], axis=1).astype(np.float32),
        "scores": np.take_along_axis(scores, order, axis=1).astype(np.float32),
        "classes": np.take_along_axis(kinds, order, axis=1),
        "num_detections": random.integers(0, 2 * most + 1, pictures),
    }
    return targets, answers


def rows(batch, number, count=None):
    """Returns the objects of a picture that are valid, or the first detections."""
    names = ("boxes", "classes", "scores", "ignored")
    chosen = batch["valid"][number] if count is None else slice(count)
    return {name: batch[name][number][chosen] for name in names if name in batch}


def by_pycocotools(targets, answers, directory):
    """Returns `stats` in the documented way: files, `loadRes`, evaluate, accumulate, summarize."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    pictures = range(len(targets["boxes"]))
    truth, found = [], []
    for number in pictures:
        objects = rows(targets, number)
        for box, kind, crowd in zip(
            objects["boxes"], objects["classes"], objects["ignored"], strict=True
        ):
            x1, y1, x2, y2 = box.tolist()
            truth.append(
                {
                    "id": len(truth) + 1,
                    "image_id": number + 1,
                    "category_id": int(kind) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "area": (x2 - x1) * (y2 - y1),
                    "iscrowd": int(crowd),
                }
            )
        own = rows(answers, number, answers["num_detections"][number])
        for box, kind, score in zip(own["boxes"], own["classes"], own["scores"], strict=True):
            x1, y1, x2, y2 = box.tolist()
            found.append(
                {
                    "image_id": number + 1,
                    "category_id": int(kind) + 1,
                    "bbox": [x1, y1, x2 - x1, y2 - y1],
                    "score": float(score),
                }
            )
    images = [{"id": number + 1} for number in pictures]
    categories = [{"id": number + 1, "name": str(number)} for number in range(CLASSES)]
    everything = {"images": images, "annotations": truth, "categories": categories}
    for name, content in (("truth.json", everything), ("found.json", found)):
        (directory / name).write_text(json.dumps(content))
    with contextlib.redirect_stdout(io.StringIO()):
        made = COCO(str(directory / "truth.json"))
        evaluation = COCOeval(made, made.loadRes(str(directory / "found.json")), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def measured(targets, answers, kind=metrics.DetectionMetric, **options):
    metric = kind(CLASSES, **options)
    half = len(targets["boxes"]) // 2
    for part in (slice(half), slice(half, None)):
        metric.update_state(
            {name: each[part] for name, each in targets.items()},
            {name: each[part] for name, each in answers.items()},
        )
    return metric.result()


def test_coco_s_twelve_numbers(tmp_path, capsys):
    targets, answers = batch()
    numbers = measured(targets, answers, labels=["cat", "dog", "emu"])
    assert capsys.readouterr().out == ""
    expected = by_pycocotools(targets, answers, tmp_path)
    np.testing.assert_allclose([numbers[name] for name in coco.NUMBERS], expected, atol=1e-6)
    assert 0.1 < numbers["map"] < numbers["map50"] < 0.9
    each = [numbers[f"ap50_{label}"] for label in ("cat", "dog", "emu")]
    assert np.mean(each) == pytest.approx(numbers["map50"])


def own_ap(targets, answers, kind, threshold, interpolation, retry):
    scores, matches, count = [], [], 0
    for number in range(len(targets["boxes"])):
        objects, own = (
            rows(targets, number),
            rows(answers, number, answers["num_detections"][number]),
        )
        truth = objects["boxes"][objects["classes"] == kind]
        found = own["boxes"][own["classes"] == kind]
        overlap = ap.overlaps(found, truth)
        matches.append(ap.match(overlap, threshold=threshold, retry=retry))
        scores.append(own["scores"][own["classes"] == kind])
        count += len(truth)
    curve = ap.precision_recall(np.concatenate(scores), np.concatenate(matches), count)
    return ap.average_precision(*curve, interpolation)


def test_our_own_matching_finds_the_same_for_each_class():
    targets, answers = batch(seed=1, crowds=False)
    numbers = measured(targets, answers)
    for kind in range(CLASSES):
        own = own_ap(targets, answers, kind, 0.5, "101_point", retry=True)
        assert numbers[f"ap50_{kind}"] == pytest.approx(own, abs=1e-6)
    whole = [
        own_ap(targets, answers, kind, threshold, "101_point", retry=True)
        for kind in range(CLASSES)
        for threshold in np.linspace(0.5, 0.95, 10)
    ]
    assert numbers["map"] == pytest.approx(np.mean(whole), abs=1e-6)
    for name, points in (("voc_map50", "all_point"), ("voc_map50_11_point", "11_point")):
        voc = [own_ap(targets, answers, kind, 0.5, points, retry=False) for kind in range(CLASSES)]
        assert numbers[name] == pytest.approx(np.mean(voc), abs=1e-9)


def one_picture(boxes, scores, objects, ignored):
    """Returns the targets and answers of one picture with one class."""
    there = np.ones((1, len(objects)), bool)
    targets = {
        "boxes": np.reshape(np.asarray(objects, np.float32), (1, -1, 4)),
        "classes": np.zeros((1, len(objects)), np.int32),
        "valid": there,
        "ignored": np.array([ignored], bool).reshape(1, -1),
    }
    answers = {
        "boxes": np.reshape(np.asarray(boxes, np.float32), (1, -1, 4)),
        "scores": np.reshape(np.asarray(scores, np.float32), (1, -1)),
        "classes": np.zeros((1, len(boxes)), np.int32),
        "num_detections": np.array([len(boxes)]),
    }
    return targets, answers


def test_voc_by_hand():
    """Two objects and a difficult one: a miss, a double, one on the difficult one, and a hit."""
    objects = [[0, 0, 10, 10], [20, 20, 30, 30], [40, 40, 50, 50]]
    boxes = [[40, 40, 50, 50], [0, 0, 10, 9], [0, 0, 9, 10], [60, 60, 70, 70], [20, 20, 30, 29]]
    case = one_picture(boxes, [0.9, 0.8, 0.7, 0.6, 0.5], objects, [False, False, True])
    metric = metrics.DetectionMetric(1)
    metric.update_state(*case)
    numbers = metric.result()
    # true, false, false, true: precision 1, 1/2, 1/3, 1/2 at the recalls 1/2, 1/2, 1/2, 1
    assert numbers["voc_map50"] == pytest.approx(0.5 * 1 + 0.5 * 0.5)
    assert numbers["voc_map50_11_point"] == pytest.approx((6 * 1 + 5 * 0.5) / 11)
    assert numbers["map50"] == pytest.approx((51 * 1 + 50 * 0.5) / 101)
    assert numbers["mar_1"] == 0 and numbers["mar_10"] == pytest.approx(metric.result()["mar_100"])


def test_whole_pixels_are_an_argument():
    case = one_picture([[0, 0, 9, 4]], [0.9], [[0, 0, 9, 9]], [False])  # 45 or 50 of 81 or 100
    for plus_one, threshold, expected in ((False, 0.49, 0), (True, 0.5, 1), (True, 0.51, 0)):
        metric = metrics.DetectionMetric(1, plus_one=plus_one)
        metric.update_state(*case)
        assert metric.voc(threshold)[0] == expected


def test_empty_predictions_and_no_objects():
    box = [[0, 0, 40, 40]]
    nothing = measured(*one_picture([], [], box, [False]))
    assert nothing["map"] == nothing["map50"] == nothing["mar_100"] == nothing["voc_map50"] == 0
    assert nothing["ap50_0"] == 0 and nothing["ap50_1"] == -1  # no object of the second class
    assert nothing["map_small"] == -1 and nothing["map_medium"] == 0
    for empty in (one_picture(box, [0.9], [], []), one_picture([], [], [], [])):
        numbers = measured(*empty)
        assert set(numbers.values()) == {-1.0}
    assert metrics.DetectionMetric(2).result()["map50"] == -1  # no picture at all


def test_crowds_are_neither_found_nor_missed():
    crowd, one = [0, 0, 100, 100], [200, 0, 240, 40]
    inside = [[10 * n, 0, 10 * n + 9, 40] for n in range(5)]
    case = one_picture([*inside, one], [0.9] * 5 + [0.5], [crowd, one], [True, False])
    assert measured(*case)["map"] == pytest.approx(1)
    only = measured(*one_picture(inside, [0.9] * 5, [crowd], [True]))
    assert only["map"] == -1 and only["voc_map50"] == -1


def cells(random, count):
    """Returns masks of 28 by 28 cells that leave a corner out."""
    masks = np.ones((count, 28, 28), np.float32)
    for mask in masks:
        mask[: random.integers(2, 20), : random.integers(2, 20)] = 0.1
    return masks


def test_masks_as_pycocotools_finds_them():
    from pycocotools import mask as coco_masks

    targets, answers = batch(seed=2, pictures=6, crowds=False)
    random, size = np.random.default_rng(0), (200, 210)
    masks = np.stack([cells(random, boxes.shape[0]) for boxes in targets["boxes"]])
    targets["masks"] = np.stack(
        [artifact_masks.paste(*each, size) for each in zip(masks, targets["boxes"], strict=True)]
    )
    answers["masks"] = np.stack([cells(random, boxes.shape[0]) for boxes in answers["boxes"]])
    numbers = measured(targets, answers, metrics.InstanceMetric)
    plain = measured(targets, answers)
    areas_apart = {"map_small", "map_medium", "map_large", "mar_small", "mar_medium", "mar_large"}
    assert {name: numbers[name] for name in plain if name not in areas_apart} == {
        name: value for name, value in plain.items() if name not in areas_apart
    }
    assert {f"mask_{name}" for name in coco.NUMBERS} <= set(numbers)
    assert 0 < numbers["mask_map"] < numbers["mask_map50"] < 1

    def overlap(found, truth):
        encoded = [
            [coco_masks.encode(np.asfortranarray(mask)) for mask in each] for each in (found, truth)
        ]
        return coco_masks.iou(*encoded, [0] * len(truth)) if all(map(len, encoded)) else None

    for kind in range(CLASSES):
        scores, matches, count = [], [], 0
        for number in range(6):
            seen = slice(answers["num_detections"][number])
            chosen = answers["classes"][number][seen] == kind
            found = artifact_masks.paste(
                answers["masks"][number][seen][chosen], answers["boxes"][number][seen][chosen], size
            )
            mine = targets["valid"][number] & (targets["classes"][number] == kind)
            values = overlap(found, targets["masks"][number][mine])
            values = np.zeros((len(found), mine.sum())) if values is None else values
            matches.append(ap.match(values, retry=True))
            scores.append(answers["scores"][number][seen][chosen])
            count += mine.sum()
        curve = ap.precision_recall(np.concatenate(scores), np.concatenate(matches), count)
        own = ap.average_precision(*curve, "101_point")
        assert numbers[f"mask_ap50_{kind}"] == pytest.approx(own, abs=1e-6)


def test_masks_that_are_right_and_none():
    box = [[10, 10, 50, 50]]
    targets, answers = one_picture(box, [0.9], box, [False])
    targets["masks"] = np.zeros((1, 1, 60, 70), np.uint8)
    targets["masks"][0, 0, 10:50, 10:50] = 1
    answers["masks"] = np.ones((1, 1, 28, 28), np.float32)
    assert measured(targets, answers, metrics.InstanceMetric)["mask_map"] == pytest.approx(1)
    answers["num_detections"] = np.array([0])
    assert measured(targets, answers, metrics.InstanceMetric)["mask_map50"] == 0


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"classes": np.full((1, 1), 3)}, r"detections of the classes \[3\], expected 0 to 2"),
        ({"boxes": np.full((1, 1, 4), np.nan)}, "got detections that are not finite"),
        ({"boxes": np.zeros((2, 1, 4))}, "1 pictures and the detections of 2"),
    ],
)
def test_bad_input_is_named(change, message):
    targets, answers = one_picture([[0, 0, 1, 1]], [0.5], [[0, 0, 1, 1]], [False])
    with pytest.raises(InputError, match=message):
        metrics.DetectionMetric(CLASSES).update_state(targets, answers | change)


def test_labels_are_one_for_each_class():
    with pytest.raises(InputError, match="got 1 labels for 2 classes"):
        metrics.DetectionMetric(2, ["cat"])


def test_examples():
    assert doctest.testmod(detection).failed == 0
