"""Class maps against the truth: mean intersection over union and what it is made of."""

import numpy as np

from dlcv_tf.errors import InputError, unknown

IGNORED = 255
ABSENT = ("left_out", "truth_only", "zero", "one")


def confusion_matrix(truth, found, num_classes: int, ignore: int | None = IGNORED) -> np.ndarray:
    """Returns how many pixels of each class were taken for each class.

    Args:
        truth: class numbers, any shape.
        found: class numbers of the same shape.
        num_classes: number of classes.
        ignore: value in the truth of pixels that are left out; None for none.

    Returns:
        (num_classes, num_classes) int64, rows: truth, columns: found.

    Raises:
        InputError: shapes that differ, or values that are no class.

    Example:
        >>> confusion_matrix([[0, 1, 255]], [[0, 0, 1]], 2)
        array([[1, 0],
               [1, 0]])
    """
    truth, found = np.asarray(truth), np.asarray(found)
    if truth.shape != found.shape:
        raise InputError(
            f"got class maps of shape {found.shape} for a truth of shape {truth.shape}, expected "
            "the same"
        )
    counts = np.ones(truth.shape, bool) if ignore is None else truth != ignore
    truth, found = truth[counts].astype(np.int64), found[counts].astype(np.int64)
    for what, values in (("truth", truth), ("answer", found)):
        bad = (values < 0) | (values >= num_classes)
        if bad.any():
            raise InputError(
                f"got the value {values[bad][0]} in the {what}, expected 0 to {num_classes - 1}"
                + ("" if ignore is None or what == "answer" else f", or {ignore} to be left out")
            )
    flat = np.bincount(truth * num_classes + found, minlength=num_classes**2)
    return flat.reshape(num_classes, num_classes)


def class_ious(confusion: np.ndarray) -> np.ndarray:
    """Returns |truth and answer| / |truth or answer| of each class; NaN for a class in neither.

    Args:
        confusion: (classes, classes), rows: truth, columns: answer.
    """
    confusion = np.asarray(confusion, np.float64)
    both = np.diag(confusion)
    either = confusion.sum(0) + confusion.sum(1) - both
    return np.divide(both, either, where=either > 0, out=np.full(len(both), np.nan))


def mean_iou(confusion: np.ndarray, absent: str = "left_out") -> float:
    """Returns the mean of the classes' intersections over unions.

    Published codes differ in what they do with a class that no pixel of the truth has:

    * "left_out" (here, Keras, FCN): a class in neither truth nor answer does not count; one in the
      answer alone counts as 0;
    * "truth_only": only classes in the truth count;
    * "zero", "one": a class in neither counts as 0 or 1.

    Args:
        confusion: (classes, classes), rows: truth, columns: answer, of all pictures together.
        absent: one of these.

    Returns:
        0 to 1; NaN where no class counts.
    """
    if absent not in ABSENT:
        raise unknown("absent", absent, ABSENT)
    ious = class_ious(confusion)
    if absent in ("zero", "one"):
        ious = np.nan_to_num(ious, nan=float(absent == "one"))
    elif absent == "truth_only":
        ious = ious[np.asarray(confusion).sum(1) > 0]
    counted = ious[~np.isnan(ious)]
    return float(counted.mean()) if len(counted) else float("nan")


class SegmentationMetric:
    """Mean intersection over union, pixel accuracy and the classes' own, over all pictures.

    One confusion matrix is counted over all pictures, as in all published figures; the mean of the
    pictures' own would weigh a pixel by its picture.

    Args:
        num_classes: number of classes.
        ignore: value in the truth of pixels that are left out; None for none.
        absent: as for `mean_iou`.
        labels: names of the classes, for the names in the result; numbers by default.

    Example:
        >>> metric = SegmentationMetric(2, labels=("sky", "road"))
        >>> metric.update_state([[[0, 1]]], {"class_map": [[[0, 0]]]})
        >>> metric.result()["iou_sky"]
        0.5
    """

    def __init__(self, num_classes, ignore=IGNORED, absent="left_out", labels=None):
        if absent not in ABSENT:
            raise unknown("absent", absent, ABSENT)
        if labels is not None and len(labels) != num_classes:
            raise InputError(f"got {len(labels)} labels for {num_classes} classes")
        self.num_classes = num_classes
        self.ignore = ignore
        self.absent = absent
        self.labels = [str(label) for label in labels or range(num_classes)]
        self.confusion = np.zeros((num_classes, num_classes), np.int64)

    def update_state(self, targets, answers) -> None:
        """Adds a batch.

        Args:
            targets: (batch, height, width) class maps.
            answers: with `class_map` of the same shape.

        Raises:
            InputError: as `confusion_matrix`.
        """
        found = answers["class_map"]
        self.confusion += confusion_matrix(targets, found, self.num_classes, self.ignore)

    def result(self) -> dict[str, float]:
        """Returns `miou`, `pixel_accuracy`, `mean_accuracy` and `iou_LABEL` of each class.

        The mean accuracy is that of the classes in the truth. NaN where nothing was counted.
        """
        of_truth = self.confusion.sum(1)
        right, total = np.diag(self.confusion), of_truth.sum()
        seen = of_truth > 0
        accuracies = right[seen] / of_truth[seen]
        ious = class_ious(self.confusion)
        return {
            "miou": mean_iou(self.confusion, self.absent),
            "pixel_accuracy": float(right.sum() / total) if total else float("nan"),
            "mean_accuracy": float(accuracies.mean()) if total else float("nan"),
            **{f"iou_{name}": float(iou) for name, iou in zip(self.labels, ious, strict=True)},
        }
