"""Batches of targets for tests of the methods."""

import numpy as np


def targets(boxes, classes, valid=None, ignored=None):
    """Returns a batch as `data.load(targets="boxes")` gives it; all boxes valid by default."""
    boxes = np.asarray(boxes, np.float32)
    shape = boxes.shape[:2]
    return {
        "boxes": boxes,
        "classes": np.broadcast_to(np.asarray(classes, np.int32), shape),
        "valid": np.broadcast_to(True if valid is None else np.asarray(valid), shape),
        "ignored": np.broadcast_to(False if ignored is None else np.asarray(ignored), shape),
    }


def some(size, random):
    """Returns two pictures with four rows each: objects, an ignored one, a bad one, padding."""
    low = random.uniform(0, 0.6, (2, 4, 2))
    high = low + random.uniform(0.15, 0.4, (2, 4, 2))
    boxes = np.concatenate([low, high], axis=-1) * np.tile([size[1], size[0]], 2)
    valid = [[True, True, True, False], [True, False, False, False]]
    ignored = [[False, False, True, False], [False, False, False, False]]
    batch = targets(boxes, random.integers(0, 3, (2, 4)), valid, ignored)
    batch["boxes"][1, 1:] = 0
    return batch


def iou(a, b):
    """Returns the overlap of two boxes and the part of `a` in `b`."""
    wide = max(0.0, min(a[2], b[2]) - max(a[0], b[0]))
    high = max(0.0, min(a[3], b[3]) - max(a[1], b[1]))
    first, second = ((box[2] - box[0]) * (box[3] - box[1]) for box in (a, b))
    return wide * high / (first + second - wide * high), wide * high / first
