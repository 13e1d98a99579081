"""What answers say to a reader: named classes, an entry for each thing, class maps as PNG files."""

import io

import numpy as np
from PIL import Image

from dlcv_tf.artifact import masks


def labels_of(answers: dict[str, np.ndarray], labels: list[str]) -> np.ndarray:
    """Returns the names of `classes`; what fills detections up has the empty name.

    Args:
        answers: `classes` (batch, n), perhaps `num_detections` (batch,).
        labels: class names.

    Returns:
        (batch, n) object array of str.
    """
    names = np.array(labels, dtype=object)[answers["classes"]]
    if "num_detections" not in answers:
        return names
    is_found = np.arange(names.shape[1]) < np.asarray(answers["num_detections"])[:, None]
    return np.where(is_found, names, "")


def png(class_map: np.ndarray) -> bytes:
    """Returns a class map (height, width) uint8, or a mask of 0 and 1, as a grey PNG file."""
    buffer = io.BytesIO()
    Image.fromarray(class_map).save(buffer, "PNG")
    return buffer.getvalue()


def things(
    answers: dict[str, np.ndarray], labels: list[str], size: tuple[int, int], score: float
) -> list[dict]:
    """Returns what one picture's answers say, one entry for each thing, best first.

    A detection has `label`, `score`, `box` (x1, y1, x2, y2) and perhaps `mask` (a PNG file of the
    picture's size) and `joints`; a joint has `label`, `score` and `place` (x, y); a class of a
    class map has `label` and `share` of the picture; a class of a picture `label` and `score`, the
    likeliest of a located thing also `box`.

    Args:
        answers: of a task, without the batch axis.
        labels: class names, or names of the joints.
        size: (height, width) of the picture.
        score: least score of a detection.
    """
    if "class_map" in answers:
        shares = np.bincount(answers["class_map"].ravel(), minlength=len(labels))
        shares = shares / answers["class_map"].size
        return [
            {"label": labels[number], "share": round(float(shares[number]), 6)}
            for number in np.argsort(-shares, kind="stable")
            if shares[number]
        ]
    if "boxes" in answers:
        count = int(answers["num_detections"])
        kept = [i for i in range(count) if answers["scores"][i] >= score]
        return [_detection(answers, i, labels, size) for i in kept]
    if "classes" in answers:
        found = [
            {"label": labels[number], "score": round(float(likelihood), 6)}
            for number, likelihood in zip(answers["classes"], answers["scores"], strict=True)
        ]
        if "box" in answers:
            found[0]["box"] = _numbers(answers["box"])
        return found
    return [
        {"label": name, "score": round(float(joint[2]), 6), "place": _numbers(joint[:2])}
        for name, joint in zip(labels, answers["joints"], strict=True)
    ]


def _detection(answers: dict, number: int, labels: list[str], size: tuple[int, int]) -> dict:
    box = answers["boxes"][number]
    found = {
        "label": labels[answers["classes"][number]],
        "score": round(float(answers["scores"][number]), 6),
        "box": _numbers(box),
    }
    if "masks" in answers:
        found["mask"] = png(masks.paste(answers["masks"][number], box, size))
    if "joints" in answers:
        found["joints"] = [_numbers(joint) for joint in answers["joints"][number]]
    return found


def _numbers(values) -> list[float]:
    return [round(float(value), 3) for value in values]
