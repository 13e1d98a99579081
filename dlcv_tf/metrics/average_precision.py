"""Average precision of detections, as the PASCAL VOC challenges measured it.

The detections of one class, best first, are true or false; precision is drawn over recall, and its
mean is the average precision (AP). Published figures differ in what "mean" is: see
`average_precision`.
"""

import numpy as np

from dlcv_tf.errors import InputError, unknown

# The recalls that precision is read at; None for all of them.
INTERPOLATIONS = {
    "all_point": None,
    "11_point": np.arange(11) / 10,
    "101_point": np.linspace(0, 1, 101),  # pycocotools's very numbers
}
TRUE, FALSE, IGNORED = 1, 0, -1


def overlaps(boxes: np.ndarray, others: np.ndarray, *, plus_one: bool = False) -> np.ndarray:
    """Returns the intersection over union (n, m) of boxes (n, 4) with others (m, 4).

    The NumPy twin of `ops.boxes.iou`.
    """
    boxes, others = (np.asarray(each, np.float64).reshape(-1, 4) for each in (boxes, others))
    one = 1 if plus_one else 0
    low = np.maximum(boxes[:, None, :2], others[:, :2])
    high = np.minimum(boxes[:, None, 2:], others[:, 2:])
    intersection = np.maximum(high - low + one, 0).prod(axis=-1)
    areas = [np.maximum(each[:, 2:] - each[:, :2] + one, 0).prod(-1) for each in (boxes, others)]
    union = areas[0][:, None] + areas[1] - intersection
    return np.divide(intersection, union, out=np.zeros_like(union), where=union > 0)


def match(
    overlap: np.ndarray,
    ignored=None,
    *,
    threshold: float = 0.5,
    inclusive: bool = True,
    retry: bool = False,
) -> np.ndarray:
    """Tells which detections of one class in one picture are true.

    Each detection, best first, takes the object that it overlaps most. It is true if the overlap
    is enough and no better detection took the object before; it is neither true nor false if the
    object is to be ignored ("difficult").

    Args:
        overlap: (detections, objects) intersection over union; detections best first.
        ignored: (objects,) bool; none are by default.
        threshold: overlap that is enough.
        inclusive: an overlap of exactly the threshold is enough (VOC's own code; py-faster-rcnn
            wants more).
        retry: a detection whose object is taken may take the best other one (COCO); if not, it is
            false (VOC).

    Returns:
        (detections,) int: 1 true, 0 false, -1 neither.

    Reference: Everingham et al., "The PASCAL VOC challenge", section 4.2.
    """
    overlap = np.asarray(overlap, np.float64)
    ignored = np.zeros(overlap.shape[1], bool) if ignored is None else np.asarray(ignored, bool)
    free = np.ones(overlap.shape[1], bool)
    matches = np.full(len(overlap), FALSE)
    for number, row in enumerate(overlap if overlap.shape[1] else ()):
        if retry:
            # An object that counts comes before one to be ignored, whatever the overlaps.
            row = np.where(free | ignored, row, -1)
            enough = row >= threshold if inclusive else row > threshold
            row = np.where(ignored & (enough & ~ignored).any(), -1, row)
        best = int(row.argmax())
        if row[best] < threshold or (row[best] == threshold and not inclusive):
            continue
        if ignored[best]:
            matches[number] = IGNORED
        elif free[best]:
            matches[number] = TRUE
            free[best] = False
    return matches


def precision_recall(scores, matches, num_objects: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns precision and recall after each detection, the best first.

    Args:
        scores: (n,) scores of the detections of a class in all pictures; equal ones keep their
            order.
        matches: (n,) of `match`; those that are ignored are left out.
        num_objects: number of objects to find, without those to be ignored.

    Returns:
        Precision and recall, (k,) each; recall is 0 where there is no object.

    Raises:
        InputError: unlike lengths, or a score that is NaN.
    """
    scores, matches = np.asarray(scores, np.float64), np.asarray(matches)
    if scores.shape != matches.shape or scores.ndim != 1:
        raise InputError(
            f"got {scores.shape} scores and {matches.shape} matches, expected one for each"
        )
    if np.isnan(scores).any():
        raise InputError("got NaN among the scores, expected numbers: see where they come from")
    order = np.argsort(-scores, kind="stable")
    order = order[matches[order] != IGNORED]
    true = np.cumsum(matches[order] == TRUE)
    return true / np.arange(1, len(true) + 1), true / max(num_objects, 1)


def average_precision(precision, recall, interpolation: str = "all_point") -> float:
    """Returns the mean precision over recall, where precision is the best at that recall or more.

    * "11_point": at the recalls 0, 0.1, ..., 1 (VOC until 2009);
    * "all_point": the area under the curve (VOC since 2010);
    * "101_point": at the recalls 0, 0.01, ..., 1 (COCO).

    Args:
        precision: (k,) of `precision_recall`.
        recall: (k,) likewise, rising.
        interpolation: one of these.

    Returns:
        0 to 1; 0 for no detections.

    Raises:
        InputError: an unknown interpolation.

    Example:
        >>> average_precision([1.0, 0.5], [0.5, 0.5])
        0.5

    Reference: Everingham et al., "The PASCAL VOC challenge", section 4.2.
    """
    if interpolation not in INTERPOLATIONS:
        raise unknown("interpolation", interpolation, INTERPOLATIONS)
    precision, recall = (np.asarray(each, np.float64) for each in (precision, recall))
    best = np.maximum.accumulate(precision[::-1])[::-1]
    wanted = INTERPOLATIONS[interpolation]
    if wanted is None:
        return float(np.sum(best * np.diff(recall, prepend=0)))
    reached = np.searchsorted(recall, wanted, side="left")
    return float(np.append(best, 0)[reached].mean())
