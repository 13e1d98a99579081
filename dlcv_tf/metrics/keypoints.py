"""Percentage of correct keypoints (PCK): how many joints are found near enough."""

import numpy as np

from dlcv_tf.errors import InputError, unknown

# The two joints whose distance is the unit, by their number in the order of Leeds Sports Pose.
SEGMENTS = {"torso": (9, 2), "head": (12, 13)}
NORMALIZERS = (*SEGMENTS, "box")


class PoseMetric:
    """PCK of joints: the part within a distance of their true place, in a unit of the person.

    The unit is an argument, since published figures differ in it: the torso from the left shoulder
    to the right hip (as with Leeds Sports Pose), the head from neck to top (PCKh; MPII takes 0.6 of
    the diagonal of its head box instead), or the longer side of the person's box (Yang and
    Ramanan). Joints that are not visible do not count, and neither do people whose unit cannot be
    measured: one of its joints is not visible, or it has no length.

    Args:
        joint_names: names for the figures of each joint; numbers by default.
        normalizer: "torso", "head" or "box", or the numbers of any two joints.
        threshold: of `pck`, in units; `pck_at_0.5` is reported beside it.
        strict: count distances below the threshold only, not equal ones, as some toolboxes do.

    Example:
        >>> joints = np.zeros((1, 14, 3)) + [5, 5, 1]
        >>> joints[0, 9, 0] = 15  # ten pixels from the left shoulder to the right hip
        >>> metric = PoseMetric()
        >>> metric.update_state({"joints": joints}, {"joints": joints + [1.5, 0, 0]})
        >>> metric.result()["pck"]
        1.0

    Reference: Sapp and Taskar, "MODEC" (2013); Yang and Ramanan (2013), section 6.
    """

    def __init__(self, joint_names=None, normalizer="torso", threshold=0.2, strict=False):
        if not isinstance(normalizer, str):
            pair = tuple(normalizer)
            if len(pair) != 2 or pair[0] == pair[1]:
                raise InputError(f"got normalizer={normalizer!r}, expected two different joints")
        elif normalizer not in NORMALIZERS:
            raise unknown("normalizer", normalizer, NORMALIZERS)
        if not threshold > 0:
            raise InputError(f"got threshold={threshold}, expected a number above 0")
        self.joint_names = None if joint_names is None else [str(name) for name in joint_names]
        self.normalizer = normalizer
        self.threshold = threshold
        self.strict = strict
        self._distances, self._visible = [], []

    def update_state(self, targets: dict, answers: dict) -> None:
        """Adds a batch.

        Args:
            targets: `joints` (batch, joints, 3) x, y, visible; for "box" perhaps `box` (batch, 4),
                else it is that of the visible joints.
            answers: `joints` (batch, joints, 2 or more) x, y in the same pixels.

        Raises:
            InputError: another number of joints, or of people, than expected.
        """
        joints = np.asarray(targets["joints"], np.float64)
        found = np.asarray(answers["joints"], np.float64)
        names = self.joint_names
        if joints.shape[:2] != found.shape[:2] or (names and len(names) != joints.shape[1]):
            expected = f" of {len(names)} joints" if names else ""
            raise InputError(
                f"got joints of shape {joints.shape} and answers of shape {found.shape}, expected "
                f"the same people and joints{expected}"
            )
        visible = joints[..., 2] > 0
        unit, known = self._units(joints, visible, targets.get("box"))
        apart = np.linalg.norm(joints[..., :2] - found[..., :2], axis=-1)
        self._distances.append(apart / np.where(known, unit, 1)[:, None])
        self._visible.append(visible & known[:, None])

    def _units(self, joints, visible, box) -> tuple[np.ndarray, np.ndarray]:
        """Returns (batch,) lengths in pixels, and whether they could be measured."""
        if self.normalizer != "box":
            pair = list(SEGMENTS.get(self.normalizer, self.normalizer))
            if max(pair) >= joints.shape[1]:
                raise InputError(
                    f"got {joints.shape[1]} joints, expected more for normalizer="
                    f"{self.normalizer!r}: give the numbers of two joints, or 'box'"
                )
            unit = np.linalg.norm(joints[:, pair[0], :2] - joints[:, pair[1], :2], axis=-1)
            return unit, visible[:, pair].all(axis=1) & (unit > 0)
        if box is not None:
            box = np.asarray(box, np.float64)
            sides = box[:, 2:] - box[:, :2]
        else:
            seen = visible[..., None]
            low = np.where(seen, joints[..., :2], np.inf).min(axis=1)
            high = np.where(seen, joints[..., :2], -np.inf).max(axis=1)
            sides = np.where(visible.any(axis=1)[:, None], high - low, 0)
        return sides.max(axis=-1), sides.max(axis=-1) > 0

    def pck(self, threshold: float) -> tuple[float, np.ndarray]:
        """Returns the part of all joints within a distance, and that of each joint; NaN for none.

        Args:
            threshold: in units of the normalizer.
        """
        if not self._distances:
            return float("nan"), np.full(len(self.joint_names or ()), np.nan)
        distances, visible = np.concatenate(self._distances), np.concatenate(self._visible)
        near = distances < threshold if self.strict else distances <= threshold
        near, counts = near & visible, visible.sum(axis=0)
        each = np.where(counts > 0, near.sum(axis=0) / np.maximum(counts, 1), np.nan)
        return (float(near.sum() / counts.sum()) if counts.any() else float("nan")), each

    def result(self) -> dict[str, float]:
        """Returns `pck`, `pck_at_0.5`, and `pck_NAME` of each joint."""
        whole, each = self.pck(self.threshold)
        names = self.joint_names or range(len(each))
        parts = {f"pck_{name}": float(value) for name, value in zip(names, each, strict=True)}
        return {"pck": whole, "pck_at_0.5": self.pck(0.5)[0]} | parts
