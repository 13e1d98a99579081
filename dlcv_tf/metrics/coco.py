"""COCO's numbers for boxes, masks and keypoints, by pycocotools, the challenge's own code."""

import contextlib
import io

import numpy as np

# In the order of pycocotools' `stats`; "ar" is average recall, with so many detections a picture.
NUMBERS = (
    "map",
    "map50",
    "map75",
    "map_small",
    "map_medium",
    "map_large",
    "mar_1",
    "mar_10",
    "mar_100",
    "mar_small",
    "mar_medium",
    "mar_large",
)
# Those of keypoints, with 20 detections a picture at most; no small people have any.
KEYPOINT_NUMBERS = (
    *("map", "map50", "map75", "map_medium", "map_large"),
    *("mar", "mar50", "mar75", "mar_medium", "mar_large"),
)
# How far apart two people mark the joints of COCO: standard deviations of the distance, in roots of
# a person's area; from nose, eyes and ears down to the ankles. Of other sets' joints: their mean.
SIGMAS = np.repeat([0.026, 0.025, 0.035, 0.079, 0.072, 0.062, 0.107, 0.087, 0.089], [1] + [2] * 8)
SIGMA = SIGMAS.mean()


def evaluate(pictures: list[dict], num_classes: int, kind: str = "bbox") -> tuple[dict, np.ndarray]:
    """Returns COCO's numbers, and the AP of each class at an overlap of 0.5.

    `map` is the mean over the classes and over the overlaps 0.5, 0.55, ..., 0.95. A number is -1
    where there are no such objects, and 0 where there are, but no detections.

    The overlap of joints is their similarity (OKS): the mean over an object's visible joints of
    exp(-d^2 / (2 (2 sigma)^2 area)), d being the distance in pixels and sigma of `SIGMAS`. Objects
    without a visible joint are ignored.

    Args:
        pictures: for each, `size` (height, width) and two lists of dicts: `truth` of `class`,
            `box` (4,), `area` and `crowd`, and `found` of `class`, `box` (4,) and `score`; both
            with a `mask`, as pycocotools encodes it, for "segm", and with `joints` (joints, 3) x,
            y, visible (or score) for "keypoints".
        num_classes: number of classes.
        kind: "bbox", "segm" or "keypoints".

    Returns:
        The numbers by name, twelve or ten for joints, and (num_classes,) APs.
    """
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints whatever it does
        return _evaluate(pictures, num_classes, kind)


def _evaluate(pictures, num_classes, kind):
    from pycocotools.cocoeval import COCOeval

    truth, found = [], []
    for number, picture in enumerate(pictures):
        for thing in picture["truth"]:
            crowd = {"iscrowd": int(thing["crowd"]), "area": float(thing["area"])}
            truth.append(_annotation(number, len(truth), thing) | crowd)
        for thing in picture["found"]:
            annotation = _annotation(number, len(found), thing) | {"score": float(thing["score"])}
            found.append(annotation | {"area": _area(thing, kind)})
    images = [
        {"id": number, "height": int(picture["size"][0]), "width": int(picture["size"][1])}
        for number, picture in enumerate(pictures)
    ]
    categories = [{"id": number} for number in range(num_classes)]
    evaluation = COCOeval(*(_coco(images, each, categories) for each in (truth, found)), kind)
    names = KEYPOINT_NUMBERS if kind == "keypoints" else NUMBERS
    if not images:
        return dict.fromkeys(names, -1.0), np.full(num_classes, -1.0)
    if kind == "keypoints":
        evaluation.params.kpt_oks_sigmas = _sigmas(pictures)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    at_half = evaluation.eval["precision"][0, :, :, 0, -1]  # (recalls, classes)
    classes = np.where((at_half > -1).any(axis=0), at_half.mean(axis=0), -1.0)
    return dict(zip(names, (float(each) for each in evaluation.stats), strict=True)), classes


def _sigmas(pictures: list[dict]) -> np.ndarray:
    """Returns the sigma of each joint; all objects have as many joints."""
    things = (thing for picture in pictures for key in ("truth", "found") for thing in picture[key])
    joints = next((thing["joints"] for thing in things), SIGMAS)
    return SIGMAS if len(joints) == len(SIGMAS) else np.full(len(joints), SIGMA)


def _coco(images: list[dict], annotations: list[dict], categories: list[dict]):
    """Returns pycocotools' data set; its own reader of results fails where there are none."""
    from pycocotools.coco import COCO

    made = COCO()
    made.dataset = {"images": images, "annotations": annotations, "categories": categories}
    made.createIndex()
    return made


def _annotation(picture: int, number: int, thing: dict) -> dict:
    x1, y1, x2, y2 = (float(each) for each in thing["box"])
    annotation = {
        "id": number + 1,  # 0 stands for "not matched"
        "image_id": picture,
        "category_id": int(thing["class"]),
        "bbox": [x1, y1, x2 - x1, y2 - y1],
    }
    if "joints" in thing:
        joints = np.asarray(thing["joints"], float)
        annotation["keypoints"] = joints.ravel().tolist()
        annotation["num_keypoints"] = int(np.count_nonzero(joints[:, 2] > 0))
    return annotation | ({"segmentation": thing["mask"]} if "mask" in thing else {})


def _area(thing: dict, kind: str) -> float:
    """Returns the area of a detection, as pycocotools' reader of results takes it."""
    if kind == "segm":
        from pycocotools import mask

        return float(mask.area(thing["mask"]))
    if kind == "keypoints":
        return float(np.ptp(np.asarray(thing["joints"], float)[:, :2], axis=0).prod())
    x1, y1, x2, y2 = thing["box"]
    return float((x2 - x1) * (y2 - y1))
