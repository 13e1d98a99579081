"""Metrics of one named and framed thing per picture: class, box, and both at once."""

import numpy as np

from dlcv_tf.errors import InputError


class LocalizationMetric:
    """Accuracy of the class, mean IoU of the box, and the part of pictures right in both.

    A picture is right, `localized`, if its class is and its box overlaps the true one by an IoU of
    `threshold` or more (the classification-and-localisation challenge of ImageNet demands more
    than 0.5: `strict`; it also lets the best of five answers count).

    Args:
        threshold: least IoU of a right box.
        strict: more than the threshold is demanded.

    Reference: Russakovsky et al., section 4, https://arxiv.org/abs/1409.0575.
    """

    def __init__(self, threshold=0.5, strict=False):
        if not 0 < threshold <= 1:
            raise InputError(f"got threshold={threshold}, expected above 0, at most 1")
        self.threshold = threshold
        self.strict = strict
        self._correct, self._ious = [], []

    def update_state(self, targets: dict, answers: dict) -> None:
        """Adds a batch.

        Args:
            targets: `class` (batch,) numbers, `box` (batch, 4).
            answers: `classes` (batch, 1 or more), the likeliest first, `box` (batch, 4) in the same
                pixels.

        Raises:
            InputError: targets and answers of another number of pictures.
        """
        classes, box = np.asarray(targets["class"]), np.asarray(targets["box"], np.float64)
        first, found = np.asarray(answers["classes"])[:, 0], np.asarray(answers["box"], np.float64)
        if classes.shape != first.shape or box.shape != found.shape:
            raise InputError(
                f"got boxes of shape {box.shape} and answers of shape {found.shape}, expected one "
                "class and one box for each picture in both"
            )
        self._correct.append(classes == first)
        self._ious.append(_iou(box, found))

    def result(self) -> dict[str, float]:
        """Returns `accuracy`, `iou` and `localized`; NaN where there was no picture."""
        if not self._correct or not sum(map(len, self._correct)):
            return dict.fromkeys(("accuracy", "iou", "localized"), float("nan"))
        correct, ious = np.concatenate(self._correct), np.concatenate(self._ious)
        framed = ious > self.threshold if self.strict else ious >= self.threshold
        return {
            "accuracy": float(correct.mean()),
            "iou": float(ious.mean()),
            "localized": float((correct & framed).mean()),
        }


def _iou(boxes: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the IoU (n,) of boxes (n, 4) with the other of the same row; 0 without any area."""

    def area(box):
        return np.prod(np.maximum(box[:, 2:] - box[:, :2], 0), axis=1)

    low, high = np.maximum(boxes[:, :2], others[:, :2]), np.minimum(boxes[:, 2:], others[:, 2:])
    shared = area(np.concatenate([low, high], axis=1))
    union = area(boxes) + area(others) - shared
    return np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
