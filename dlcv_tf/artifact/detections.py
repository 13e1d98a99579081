"""Boxes in NumPy: what the raw outputs of single-shot detectors mean, and suppression.

The graph twins are `Method.candidates` in `dlcv_tf/tasks/methods/` and `dlcv_tf/ops/nms.py`.
"""

from collections.abc import Callable, Sequence

import numpy as np

LARGEST_LOG = np.float32(np.log(1000 / 16))  # no box grows more from its anchor
FAR = 1e30  # coordinates beyond are not finite


def anchors(size, strides: Sequence[int], sizes) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns centres (n, 2), widths and heights (n, 2) and strides (n, 1) of the anchors.

    Args:
        size: (height, width) of the network's input.
        strides: pixels between the cells of each grid.
        sizes: for each grid, the (width, height) of the anchors in a cell.
    """
    centres, sides, steps = [], [], []
    for stride, pairs in zip(strides, sizes, strict=True):
        rows, columns = (-(-side // stride) for side in size)
        y, x = np.meshgrid(*((np.arange(n) + 0.5) * stride for n in (rows, columns)), indexing="ij")
        cells = np.stack([x, y], axis=-1).reshape(-1, 1, 2)
        pairs = np.broadcast_to(np.asarray(pairs, np.float64), (len(cells), len(pairs), 2))
        centres.append(np.broadcast_to(cells, pairs.shape).reshape(-1, 2))
        sides.append(pairs.reshape(-1, 2))
        steps.append(np.full((pairs.shape[0] * pairs.shape[1], 1), stride))
    joined = (np.concatenate(each).astype(np.float32) for each in (centres, sides, steps))
    return tuple(joined)


def anchor_candidates(outputs: dict, size, *, strides, sizes, variances):
    """Reads `{"logits": (batch, n, classes + 1), "deltas": (batch, n, 4)}`, background first.

    Args:
        outputs: raw outputs; deltas dx, dy, dw, dh of the anchors, divided by the variances.
        size: (height, width) of the network's input.
        strides: as for `anchors`.
        sizes: likewise.
        variances: four numbers.

    Returns:
        (batch, n, 4) boxes in pixels of the input and (batch, n, classes) scores.
    """
    centres, sides, _ = anchors(size, strides, sizes)
    exponents = np.exp(outputs["logits"] - outputs["logits"].max(axis=-1, keepdims=True))
    scores = (exponents / exponents.sum(axis=-1, keepdims=True))[..., 1:]
    deltas = outputs["deltas"] * np.float32(variances)
    middles = centres + deltas[..., :2] * sides
    half = sides * np.exp(np.minimum(deltas[..., 2:], LARGEST_LOG)) / 2
    return np.concatenate([middles - half, middles + half], axis=-1), scores


def yolo_anchor_candidates(outputs: dict, size, *, strides, sizes):
    """Reads `boxes` (batch, n, 4), `objectness` (batch, n, 1) and `classes` (batch, n, classes).

    Centres are sigmoids within the anchor's cell, sizes exponentials times the anchor's, scores the
    products of two sigmoids. Arguments and result are those of `anchor_candidates`.
    """
    centres, sides, steps = anchors(size, strides, sizes)
    raw = outputs["boxes"]
    middles = centres - steps / 2 + sigmoid(raw[..., :2]) * steps
    half = sides * np.exp(np.minimum(raw[..., 2:], LARGEST_LOG)) / 2
    scores = sigmoid(outputs["objectness"]) * sigmoid(outputs["classes"])
    return np.concatenate([middles - half, middles + half], axis=-1), scores


def grid_candidates(outputs: dict, size, *, boxes_per_cell: int):
    """Reads `grid` (batch, rows, columns, 5 boxes_per_cell + classes) of the first YOLO.

    For each box x, y within the cell, the square roots of width and height as parts of the picture
    and the confidence; then the classes. Result as of `anchor_candidates`.
    """
    batch, rows, columns, _ = outputs["grid"].shape
    cells = outputs["grid"].reshape(batch, rows * columns, -1)
    raw = cells[..., : 5 * boxes_per_cell].reshape(batch, rows * columns, boxes_per_cell, 5)
    classes = cells[..., None, 5 * boxes_per_cell :]
    y, x = np.meshgrid(np.arange(rows), np.arange(columns), indexing="ij")
    corners = np.stack([x, y], axis=-1).reshape(-1, 1, 2).astype(np.float32)
    pixels = np.float32([size[1], size[0]])
    middles = (raw[..., :2] + corners) * pixels / np.float32([columns, rows])
    half = raw[..., 2:4] ** 2 * pixels / 2
    boxes = np.concatenate([middles - half, middles + half], axis=-1)
    scores = np.clip(raw[..., 4:] * classes, 0, 1)
    return boxes.reshape(batch, -1, 4), scores.reshape(batch, boxes.shape[1] * boxes_per_cell, -1)


METHODS: dict[str, Callable[..., tuple[np.ndarray, np.ndarray]]] = {
    "AnchorMethod": anchor_candidates,
    "GridMethod": grid_candidates,
    "YOLOAnchorMethod": yolo_anchor_candidates,
}


def best(boxes: np.ndarray, scores: np.ndarray, count: int, least: float):
    """Selects the boxes and classes with the best scores, a box with several classes several times.

    Args:
        boxes: (n, 4) boxes of one picture.
        scores: (n, classes).
        count: most to select.
        least: scores of this or less are left out.

    Returns:
        (k, 4) boxes, (k,) scores, best first, and (k,) int32 classes.
    """
    classes = scores.shape[1]
    usable = (np.abs(boxes) < FAR).all(axis=-1, keepdims=True) & (scores > least)
    places = np.flatnonzero(usable)
    flat = scores.ravel()[places]
    places = places[np.argsort(-flat, kind="stable")[:count]]
    return (
        boxes[places // classes],
        scores.ravel()[places],
        (places % classes).astype(np.int32),
    )


def inside(boxes: np.ndarray, scores: np.ndarray, classes: np.ndarray, size):
    """Returns boxes clipped to a picture of some (height, width); those outside have score 0."""
    height, width = size
    boxes = np.clip(boxes, 0, np.float32([width, height, width, height]))
    has_area = (boxes[:, 2:] > boxes[:, :2]).all(axis=-1)
    return boxes, np.where(has_area, scores, np.float32(0)), classes


def suppress(
    boxes: np.ndarray,
    scores: np.ndarray,
    classes: np.ndarray,
    *,
    score_threshold: float,
    iou_threshold: float,
    max_boxes: int,
) -> np.ndarray:
    """Returns the indices of the boxes that stay, best first, at most some.

    A box goes if one with a better score and of its class overlaps it by more than the threshold;
    among equal scores the first counts as better.

    Args:
        boxes: (n, 4) boxes of one picture.
        scores: (n,) scores.
        classes: (n,) class numbers.
        score_threshold: boxes with this score or less are left out.
        iou_threshold: largest overlap that does not count.
        max_boxes: most to keep.
    """
    remaining = np.where(scores > score_threshold, scores, -np.inf)
    areas = np.prod(boxes[:, 2:] - boxes[:, :2], axis=-1)
    taken = []
    while len(taken) < max_boxes and remaining.size and np.isfinite(remaining.max()):
        one = int(remaining.argmax())
        taken.append(one)
        low, high = (
            np.maximum(boxes[:, :2], boxes[one, :2]),
            np.minimum(boxes[:, 2:], boxes[one, 2:]),
        )
        shared = np.prod(np.maximum(high - low, 0), axis=-1)
        union = areas + areas[one] - shared
        overlap = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
        remaining[(overlap > iou_threshold) & (classes == classes[one])] = -np.inf
        remaining[one] = -np.inf
    return np.array(taken, np.int64)


def sigmoid(logits: np.ndarray) -> np.ndarray:
    """Returns 1 / (1 + exp(-x)), without overflow."""
    return (0.5 * (np.tanh(0.5 * logits) + 1)).astype(np.float32)
