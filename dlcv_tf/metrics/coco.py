"""COCO's twelve numbers, by pycocotools, the challenge's own code."""

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


def evaluate(pictures: list[dict], num_classes: int, kind: str = "bbox") -> tuple[dict, np.ndarray]:
    """Returns COCO's twelve numbers, and the AP of each class at an overlap of 0.5.

    `map` is the mean over the classes and over the overlaps 0.5, 0.55, ..., 0.95. A number is -1
    where there are no such objects, and 0 where there are, but no detections.

    Args:
        pictures: for each, `size` (height, width) and two lists of dicts: `truth` of `class`,
            `box` (4,), `area` and `crowd`, and `found` of `class`, `box` (4,) and `score`; both
            with a `mask`, as pycocotools encodes it, for "segm".
        num_classes: number of classes.
        kind: "bbox" or "segm".

    Returns:
        The numbers by name, and (num_classes,) APs.
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
    if not images:
        return dict.fromkeys(NUMBERS, -1.0), np.full(num_classes, -1.0)
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    at_half = evaluation.eval["precision"][0, :, :, 0, -1]  # (recalls, classes)
    classes = np.where((at_half > -1).any(axis=0), at_half.mean(axis=0), -1.0)
    return dict(zip(NUMBERS, (float(each) for each in evaluation.stats), strict=True)), classes


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
    return annotation | ({"segmentation": thing["mask"]} if "mask" in thing else {})


def _area(thing: dict, kind: str) -> float:
    if kind == "segm":
        from pycocotools import mask

        return float(mask.area(thing["mask"]))
    x1, y1, x2, y2 = thing["box"]
    return float((x2 - x1) * (y2 - y1))
