"""From a network's raw outputs to answers, in NumPy: what int8 files leave to the program.

The manifest says how under `decode` of the format. The graph twins are the `decode` of the tasks.
"""

from collections.abc import Callable

import numpy as np

from dlcv_tf.artifact import detections, pictures
from dlcv_tf.errors import unknown

TOP = 5  # classes that are named


def decode(outputs: dict[str, np.ndarray], facts: dict, image_size: tuple[int, int]) -> dict:
    """Turns raw outputs into answers, as the task's own `decode` does.

    Args:
        outputs: raw outputs by name, (batch, ...).
        facts: the manifest's `decode`: `task`, `size` (height, width) of the network's input, and
            what else the task's function here takes.
        image_size: (height, width) of the original pictures, in whose pixels places are answered.

    Returns:
        The answers by name, (batch, ...).

    Raises:
        InputError: for a task that this version cannot decode.
    """
    options = {name: value for name, value in facts.items() if name != "task"}
    if facts["task"] not in TASKS:
        raise unknown("task to decode", facts["task"], TASKS)
    outputs = {name: np.asarray(values, np.float32) for name, values in outputs.items()}
    return TASKS[facts["task"]](outputs, image_size, **options)


def localizer(outputs: dict, image_size: tuple[int, int], *, size) -> dict:
    """Returns the classes and the box of `{"logits": (batch, classes), "box": (batch, 4)}`.

    Args:
        outputs: the box in parts of the sides.
        image_size: of the original pictures.
        size: makes no difference.
    """
    probabilities = _softmax(outputs["logits"])
    classes = np.argsort(-probabilities, axis=1, kind="stable")[:, :TOP].astype(np.int32)
    box = np.clip(outputs["box"], 0, 1)
    low, high = np.minimum(box[:, :2], box[:, 2:]), np.maximum(box[:, :2], box[:, 2:])
    return {
        "probabilities": probabilities,
        "classes": classes,
        "scores": np.take_along_axis(probabilities, classes, axis=1),
        "box": np.concatenate([low, high], axis=1) * _sides(image_size, 2),
    }


def pose_estimator(
    outputs: dict, image_size: tuple[int, int], *, size, loss: str, decoding: str
) -> dict:
    """Returns the joints of `heatmaps` (batch, h, w, joints) or `joints` (batch, joints, 2).

    Args:
        outputs: joints in parts of the sides, perhaps with `visible` (batch, joints), logits.
        image_size: of the original pictures.
        size: makes no difference.
        loss: "crossentropy" makes a peak's score the probability of its cell.
        decoding: of heatmaps: "argmax", "quarter" (of a cell to the higher neighbour) or "soft".
    """
    if "heatmaps" not in outputs:
        places = outputs["joints"]
        visible = outputs.get("visible")
        scores = np.ones_like(places[..., 0]) if visible is None else detections.sigmoid(visible)
    else:
        maps = np.moveaxis(outputs["heatmaps"], -1, 1)  # (batch, joints, h, w)
        flat = maps.reshape(*maps.shape[:2], -1)
        places = _places(maps, flat, decoding) / np.float32(maps.shape[:1:-1])
        scores = np.clip(flat.max(axis=-1), 0, 1)
        if loss == "crossentropy":
            scores = _softmax(flat).max(axis=-1)
    joints = np.concatenate([places * _sides(image_size, 1), scores[..., None]], axis=-1)
    return {"joints": joints.astype(np.float32)}


def _places(maps: np.ndarray, flat: np.ndarray, decoding: str) -> np.ndarray:
    """Returns x and y (batch, joints, 2) of each map's peak, in cells."""
    height, width = maps.shape[2:]
    cells = np.arange(height * width)
    centres = np.stack([cells % width, cells // width], axis=-1).astype(np.float32) + 0.5
    if decoding == "soft":
        return _softmax(flat) @ centres
    best = flat.argmax(axis=-1)
    places = centres[best]
    if decoding == "argmax":
        return places
    for axis, number, step, side in (
        (0, best % width, 1, width),
        (1, best // width, width, height),
    ):
        inside = (number > 0) & (number < side - 1)
        after, before = (
            np.take_along_axis(flat, np.where(inside, best + s, best)[..., None], -1)[..., 0]
            for s in (step, -step)
        )
        places[..., axis] += np.float32(0.25) * np.sign(after - before)
    return places


def segmenter(outputs: dict, image_size: tuple[int, int], *, size) -> dict:
    """Returns the likeliest class of every pixel of `{"logits": (batch, h, w, classes)}`.

    Args:
        outputs: logits of each pixel of the network's input.
        image_size: of the original pictures; logits are brought to it.
        size: makes no difference.
    """
    logits = pictures.resize(outputs["logits"], image_size)
    return {"class_map": logits.argmax(axis=-1).astype(np.uint8)}


def detector(
    outputs: dict,
    image_size: tuple[int, int],
    *,
    size,
    method: dict,
    score_threshold: float,
    iou_threshold: float,
    max_detections: int,
    candidates: int,
) -> dict:
    """Returns boxes after non-maximum suppression for each class.

    Args:
        outputs: what the method's network gives.
        image_size: of the original pictures.
        size: (height, width) of the network's input.
        method: `name` in `detections.METHODS`, and the arguments of its function.
        score_threshold: boxes with this score or less are left out.
        iou_threshold: largest overlap of two boxes of one class.
        max_detections: number of boxes in an answer, filled up with zeros.
        candidates: boxes, with their best classes, that are compared with each other.
    """
    name, options = method["name"], {key: method[key] for key in method if key != "name"}
    if name not in detections.METHODS:
        raise unknown("method to decode", name, detections.METHODS)
    boxes, scores = detections.METHODS[name](outputs, size, **options)
    answers = {
        "boxes": np.zeros((len(boxes), max_detections, 4), np.float32),
        "scores": np.zeros((len(boxes), max_detections), np.float32),
        "classes": np.zeros((len(boxes), max_detections), np.int32),
        "num_detections": np.zeros(len(boxes), np.int32),
    }
    scale = _sides(image_size, 2) / _sides(size, 2)
    for number, (own_boxes, own_scores) in enumerate(zip(boxes, scores, strict=True)):
        found = detections.best(own_boxes, own_scores, candidates, score_threshold)
        found = detections.inside(*found, size)
        taken = detections.suppress(
            *found,
            score_threshold=score_threshold,
            iou_threshold=iou_threshold,
            max_boxes=max_detections,
        )
        count = len(taken)
        for key, values in zip(("boxes", "scores", "classes"), found, strict=True):
            answers[key][number, :count] = values[taken]
        answers["boxes"][number, :count] *= scale
        answers["num_detections"][number] = count
    return answers


TASKS: dict[str, Callable[..., dict]] = {
    "Detector": detector,
    "Localizer": localizer,
    "PoseEstimator": pose_estimator,
    "Segmenter": segmenter,
}


def _softmax(logits: np.ndarray) -> np.ndarray:
    exponents = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponents / exponents.sum(axis=-1, keepdims=True)


def _sides(size, times: int) -> np.ndarray:
    """Returns (width, height) of a (height, width), once or more."""
    return np.tile(np.float32(tuple(size)[::-1]), times)
