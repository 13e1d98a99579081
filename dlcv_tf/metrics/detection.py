"""Mean average precision of boxes, of masks and of joints: VOC's and COCO's."""

import numpy as np

from dlcv_tf.artifact import masks as artifact_masks
from dlcv_tf.errors import InputError
from dlcv_tf.metrics import average_precision as ap
from dlcv_tf.metrics import coco

# What is in a box: the prefix of its figures, and what pycocotools calls it.
PARTS = {"masks": ("mask", "segm"), "joints": ("keypoint", "keypoints")}
MASK_SHARE = 0.53  # of a person's box, where the mask is not known


class DetectionMetric:
    """Mean average precision (mAP) of boxes, over whole data sets.

    `map50`, the mean over the classes of the average precision at an overlap of 0.5, and `map`,
    the mean over overlaps from 0.5 to 0.95 too, are two of COCO's twelve numbers, which are all
    reported: precision is read at 101 recalls. `voc_map50` is VOC's figure since 2010 (the area
    under the curve), `voc_map50_11_point` the one until 2009. Ignored objects (crowds, "difficult"
    ones) are neither found nor missed. Classes without objects do not count; -1 where there are no
    objects at all.

    Args:
        num_classes: number of classes.
        labels: their names, for the figures of each class; numbers by default.
        plus_one: VOC's boxes are x2 - x1 + 1 wide, as in its own code; COCO's never are.

    Example:
        >>> boxes = np.array([[[2.0, 2, 12, 12]]])
        >>> there, one = np.array([[True]]), np.array([[0]])
        >>> metric = DetectionMetric(1)
        >>> metric.update_state(
        ...     {"boxes": boxes, "classes": one, "valid": there, "ignored": ~there},
        ...     {"boxes": boxes, "classes": one, "scores": one + 0.9, "num_detections": [1]},
        ... )
        >>> round(metric.result()["map50"], 6)
        1.0

    Reference: Lin et al., "Microsoft COCO", https://arxiv.org/abs/1405.0312.
    """

    def __init__(self, num_classes: int, labels=None, plus_one: bool = False):
        names = range(num_classes) if labels is None else labels
        self.labels = [str(name) for name in names]
        if len(self.labels) != num_classes:
            raise InputError(f"got {len(self.labels)} labels for {num_classes} classes")
        self.num_classes = num_classes
        self.plus_one = plus_one
        self._pictures = []

    def update_state(self, targets: dict, answers: dict) -> None:
        """Adds a batch.

        Args:
            targets: `boxes` (batch, objects, 4), `classes`, `valid` and `ignored` (batch, objects).
            answers: `boxes` (batch, most, 4), `scores` and `classes` (batch, most), best first, and
                `num_detections` (batch,).

        Raises:
            InputError: unlike batches, a class that is none, or a number that is not finite.
        """
        targets, answers = (
            {name: np.asarray(each) for name, each in batch.items()} for batch in (targets, answers)
        )
        if len(targets["boxes"]) != len(answers["boxes"]):
            raise InputError(
                f"got the objects of {len(targets['boxes'])} pictures and the detections of "
                f"{len(answers['boxes'])}, expected as many"
            )
        for number in range(len(targets["boxes"])):
            valid = targets["valid"][number].astype(bool)
            count = int(answers["num_detections"][number])
            objects = {name: each[number][valid] for name, each in targets.items()}
            found = {
                name: answers[name][number][:count]
                for name in ("boxes", "scores", "classes", "masks", "joints")
                if name in answers
            }
            self._pictures.append(self._picture(objects, found))

    def _picture(self, objects: dict, found: dict) -> dict:
        """Returns what `coco.evaluate` wants to know of a picture."""
        for what, things in (("objects", objects), ("detections", found)):
            classes = things["classes"]
            if ((classes < 0) | (classes >= self.num_classes)).any():
                raise InputError(
                    f"got {what} of the classes {sorted({*classes.tolist()})}, expected 0 to "
                    f"{self.num_classes - 1}"
                )
            if not all(np.isfinite(things[k]).all() for k in ("boxes", "scores") if k in things):
                raise InputError(f"got {what} that are not finite: {things['boxes'].tolist()}")
        sides = np.maximum(objects["boxes"][:, 2:] - objects["boxes"][:, :2], 0)
        truth = [
            {"class": int(kind), "box": box, "area": float(area), "crowd": bool(ignored)}
            for kind, box, area, ignored in zip(
                objects["classes"],
                objects["boxes"],
                sides.prod(axis=-1),
                objects["ignored"],
                strict=True,
            )
        ]
        detections = [
            {"class": int(kind), "box": box, "score": float(score)}
            for kind, box, score in zip(
                found["classes"], found["boxes"], found["scores"], strict=True
            )
        ]
        return {"size": (0, 0), "truth": truth, "found": detections}

    def voc(self, threshold: float = 0.5, interpolation: str = "all_point") -> np.ndarray:
        """Returns VOC's average precision (classes,) of each class, -1 for one without objects.

        Args:
            threshold: least overlap.
            interpolation: of `average_precision.average_precision`.
        """
        found = [[] for _ in range(self.num_classes)]
        counts = np.zeros(self.num_classes, int)
        for picture in self._pictures:
            for kind in {thing["class"] for thing in (*picture["truth"], *picture["found"])}:
                truth = [thing for thing in picture["truth"] if thing["class"] == kind]
                own = [thing for thing in picture["found"] if thing["class"] == kind]
                own.sort(key=lambda thing: -thing["score"])
                ignored = np.array([thing["crowd"] for thing in truth], bool)
                overlap = ap.overlaps(_boxes(own), _boxes(truth), plus_one=self.plus_one)
                matches = ap.match(overlap, ignored, threshold=threshold)
                scores = [thing["score"] for thing in own]
                found[kind] += zip(scores, matches, strict=True)
                counts[kind] += np.count_nonzero(~ignored)
        precisions = np.full(self.num_classes, -1.0)
        for kind in np.flatnonzero(counts):
            scores, matches = np.array(found[kind]).reshape(-1, 2).T
            curve = ap.precision_recall(scores, matches, counts[kind])
            precisions[kind] = ap.average_precision(*curve, interpolation)
        return precisions

    def result(self) -> dict[str, float]:
        """Returns COCO's numbers, `voc_map50`, `voc_map50_11_point`, `ap50_LABEL` of each class."""
        numbers, classes = coco.evaluate(self._pictures, self.num_classes)
        for name, interpolation in (("voc_map50", "all_point"), ("voc_map50_11_point", "11_point")):
            precisions = self.voc(interpolation=interpolation)
            known = precisions >= 0
            numbers[name] = float(precisions[known].mean()) if known.any() else -1.0
        return numbers | _named("ap50", self.labels, classes)


class InstanceMetric(DetectionMetric):
    """Mean average precision of boxes, and of masks (`mask_map50`, ...) and joints in them.

    The overlap of masks is that of their pixels; a found mask is put into its picture first. The
    figures of small, medium and large objects go by the number of their pixels, as in COCO.

    Joints (`keypoint_map50`, ...) are compared by COCO's similarity of keypoints, see
    `coco.evaluate`, whose unit is the root of a person's area. Where there are no masks it is taken
    to be 0.53 of the box, as in xtcocotools; COCO's own figures take the annotated area.

    `update_state` takes `masks` besides: (batch, objects, height, width), 0 and 1, in the targets,
    and (batch, most, m, m) in the answers, probabilities in the boxes. And `joints` (batch, objects
    or most, joints, 3): x, y in pixels, and whether it is visible in the targets. What both have is
    measured.

    Args:
        num_classes: number of classes.
        labels: their names.
        plus_one: as for `DetectionMetric`.
    """

    _parts = tuple(PARTS)

    def update_state(self, targets, answers):
        parts = tuple(name for name in PARTS if name in targets and name in answers)
        if not parts or (self._pictures and parts != self._parts):
            raise InputError(
                f"got targets {sorted(targets)} and answers {sorted(answers)}, expected masks or "
                "joints in both, in every batch alike: load other targets, or take DetectionMetric"
            )
        self._parts = parts
        super().update_state(targets, answers)

    def _picture(self, objects, found):
        picture = super()._picture(objects, found)
        if "masks" in self._parts:
            self._add_masks(picture, objects, found)
        else:
            for thing in picture["truth"]:
                thing["area"] *= MASK_SHARE
        if "joints" in self._parts:
            self._add_joints(picture, objects["joints"], found["joints"])
        return picture

    def _add_masks(self, picture: dict, objects: dict, found: dict) -> None:
        from pycocotools import mask as coco_masks

        size = objects["masks"].shape[-2:]
        pasted = artifact_masks.paste(found["masks"], found["boxes"], size)
        for things, masks in (("truth", objects["masks"]), ("found", pasted)):
            for thing, mask in zip(picture[things], masks, strict=True):
                thing["mask"] = coco_masks.encode(np.asfortranarray(mask, np.uint8))
                if things == "truth":
                    thing["area"] = float(np.count_nonzero(mask))
        picture["size"] = size

    def _add_joints(self, picture: dict, true: np.ndarray, found: np.ndarray) -> None:
        known = true[true[..., 2] > 0]
        if true.shape[1:] != found.shape[1:]:
            raise InputError(
                f"got {found.shape[1]} joints of a detection and {true.shape[1]} of an object, "
                "expected as many"
            )
        if not (np.isfinite(known).all() and np.isfinite(found).all()):
            raise InputError("got joints that are not finite, expected x and y in pixels")
        for things, joints in (("truth", true), ("found", found)):
            for thing, places in zip(picture[things], joints, strict=True):
                thing["joints"] = places

    def result(self) -> dict[str, float]:
        """Returns what `DetectionMetric` does, and COCO's numbers of masks and of joints.

        They are called `mask_NAME` and `keypoint_NAME`; before any picture there are both.
        """
        numbers = super().result()
        for prefix, kind in (PARTS[name] for name in self._parts):
            found, classes = coco.evaluate(self._pictures, self.num_classes, kind)
            found |= _named("ap50", self.labels, classes)
            numbers |= {f"{prefix}_{name}": value for name, value in found.items()}
        return numbers


def _boxes(things: list[dict]) -> np.ndarray:
    return np.array([thing["box"] for thing in things], np.float64).reshape(-1, 4)


def _named(prefix: str, labels: list[str], values: np.ndarray) -> dict[str, float]:
    return {f"{prefix}_{label}": float(v) for label, v in zip(labels, values, strict=True)}
