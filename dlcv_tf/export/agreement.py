"""How far two answers to the same pictures are apart: probabilities, boxes, masks, joints, maps."""

import dataclasses

import numpy as np

PIXEL_BOUND = 0.5  # of a box's corner, of a joint
MASK_BOUND = 1e-3  # of a probability in a mask
SCORE_TOLERANCE = 1e-3  # a detection this close to a threshold may fall on either side of it
TWIN_TOLERANCE = 1e-4  # two boxes of one thing with scores this close may change places
OVERLAP_TOLERANCE = 2e-3  # likewise for the overlap at which a box is suppressed
PIXELS_BOUND = 0.001  # share of a class map's pixels
JOINTS_BOUND = 0.001  # share of joints
EXCHANGED_BOUND = 0.05  # share of detections that may have changed places so
DETECTIONS_BOUND = 0.005  # share of detections: a rounded proposal may give another one


@dataclasses.dataclass(frozen=True)
class Agreement:
    """How well one kind of answer agrees.

    Args:
        worst_error: largest difference of what has a counterpart; infinity where a value is not a
            number.
        bound: what it may be.
        what: in what it is measured, e.g. `"a probability"`.
        disagreeing: share of the things without a counterpart, in [0, 1].
        disagreeing_bound: what it may be.
        things: what they are, e.g. `"pixels"`; empty where there are none.
    """

    worst_error: float
    bound: float
    what: str
    disagreeing: float = 0.0
    disagreeing_bound: float = 0.0
    things: str = ""

    def worse(self, other: "Agreement") -> "Agreement":
        """Returns the larger difference and share of the two."""
        return dataclasses.replace(
            self,
            worst_error=max(self.worst_error, other.worst_error),
            disagreeing=max(self.disagreeing, other.disagreeing),
        )

    def facts(self) -> dict:
        """Returns the figures and their bounds for the manifest."""
        values = {"in": self.what, "worst_error": self.worst_error, "bound": self.bound}
        if self.things:
            values["without_counterpart"] = self.disagreeing
            values["without_counterpart_bound"] = self.disagreeing_bound
        return values


def compare(
    got: dict,
    expected: dict,
    *,
    probability_bound: float = 1e-4,
    thresholds: tuple[float, float] = (0.0, 1.0),
) -> dict[str, Agreement]:
    """Compares two answers of a task to the same pictures.

    Args:
        got: answers by name, (n, ...) each.
        expected: the reference, with the same names.
        probability_bound: what a probability may differ by.
        thresholds: least score of a detection, and the overlap from which on it is suppressed.

    Returns:
        An `Agreement` for each of `probabilities`, `boxes`, `class_map`, `masks`, `joints` and
        `box` that there is.
    """
    if "boxes" in expected:
        return _detections(got, expected, *thresholds)
    found = {}
    if "probabilities" in expected:
        error = worst_error(got["probabilities"], expected["probabilities"])
        found["probabilities"] = Agreement(error, probability_bound, "a probability")
    if "box" in expected:
        error = worst_error(got["box"], expected["box"])
        found["box"] = Agreement(error, PIXEL_BOUND, "pixels of a box")
    if "class_map" in expected:
        found["class_map"] = _class_maps(got["class_map"], expected["class_map"])
    if "joints" in expected:
        found["joints"] = _joints(got["joints"], expected["joints"])
    return found


def worst_error(got: np.ndarray, expected: np.ndarray) -> float:
    """Returns the largest difference; infinity where a value is not a number or is missing."""
    if got.shape != expected.shape or not np.isfinite(got).all():
        return float("inf")
    return float(np.abs(got.astype(np.float64) - expected).max(initial=0.0))


def _class_maps(got: np.ndarray, expected: np.ndarray) -> Agreement:
    """Compares class maps: every pixel has the same class or not."""
    is_alike = got.shape == expected.shape
    share = float(np.mean(got != expected)) if is_alike else float("inf")
    return Agreement(share, PIXELS_BOUND, "the share of pixels")


def _joints(got: np.ndarray, expected: np.ndarray) -> Agreement:
    """Compares joints (..., 3): a heatmap with two peaks of one height may give either."""
    error = worst_error(got, expected)
    if np.isfinite(error) and error > PIXEL_BOUND:
        apart = np.abs(got - expected).max(axis=-1)
        near = apart <= PIXEL_BOUND
        error = float(apart[near].max(initial=0.0))
        share = float(np.mean(~near))
    else:
        share = 0.0
    return Agreement(error, PIXEL_BOUND, "pixels of a joint", share, JOINTS_BOUND, "joints")


def _detections(got: dict, expected: dict, score_threshold: float, iou_threshold: float) -> dict:
    """Matches detections one to one: same class, same place, same score.

    Those that stand at a threshold in one of the answers may be missing from the other. Of two
    boxes with one score, of which either suppresses the other, either may be left; but that is
    rare, so that answers in which it seems to happen often are at fault.
    """
    kinds = {"masks": ("a probability", MASK_BOUND), "joints": ("pixels of a joint", PIXEL_BOUND)}
    kinds = {name: kind for name, kind in kinds.items() if name in expected}
    if any(worst_error(got[name], expected[name]) == float("inf") for name in ("boxes", "scores")):
        infinite = Agreement(float("inf"), PIXEL_BOUND, "pixels of a box")
        return {"boxes": infinite} | {name: infinite for name in kinds}
    errors = {name: 0.0 for name in ("boxes", *kinds)}
    counts, total = {"lost": 0, "exchanged": 0}, 0
    for number in range(len(expected["boxes"])):
        mine = _picture(got, number)
        other = _picture(expected, number)
        pairs = _match(mine, other)
        for name in errors:
            if pairs:
                ours, theirs = map(list, zip(*pairs, strict=True))
                error = worst_error(mine[name][ours], other[name][theirs])
                errors[name] = max(errors[name], error)
        for one, another, places in (
            (mine, other, {i for i, _ in pairs}),
            (other, mine, {j for _, j in pairs}),
        ):
            for i in sorted(set(range(len(one["boxes"]))) - places):
                if not _at_threshold(one, i, another, score_threshold, iou_threshold):
                    counts[
                        "exchanged" if _has_twin(one, i, another, iou_threshold) else "lost"
                    ] += 1
        total += len(mine["boxes"]) + len(other["boxes"])
    exchanged, lost = (counts[name] / max(total, 1) for name in ("exchanged", "lost"))
    share = lost if exchanged <= EXCHANGED_BOUND else lost + exchanged
    found = Agreement(
        errors["boxes"], PIXEL_BOUND, "pixels of a box", share, DETECTIONS_BOUND, "detections"
    )
    others = {name: Agreement(errors[name], bound, what) for name, (what, bound) in kinds.items()}
    return {"boxes": found} | others


def _picture(answers: dict, number: int) -> dict:
    """Returns the detections of one picture, without what fills them up."""
    count = int(answers["num_detections"][number])
    return {
        name: values[number][:count] for name, values in answers.items() if name != "num_detections"
    } | {"is_full": count == answers["boxes"].shape[1]}


def _match(mine: dict, other: dict) -> list[tuple[int, int]]:
    """Returns pairs of the same detection; each takes part once."""
    if not (len(mine["boxes"]) and len(other["boxes"])):
        return []
    apart = np.abs(mine["boxes"][:, None] - other["boxes"][None]).max(axis=-1)
    differs = mine["classes"][:, None] != other["classes"][None]
    unlike = np.abs(mine["scores"][:, None] - other["scores"][None]) > SCORE_TOLERANCE
    apart = np.where(differs | unlike | (apart > PIXEL_BOUND), np.inf, apart)
    pairs = []
    while np.isfinite(nearest := apart.min()):
        i, j = map(int, np.argwhere(apart == nearest)[0])
        pairs.append((i, j))
        apart[i], apart[:, j] = np.inf, np.inf
    return pairs


def _at_threshold(one: dict, i: int, another: dict, least: float, overlap: float) -> bool:
    """Tells whether rounding may keep a detection of one answer out of another one."""
    score = one["scores"][i]
    if another["is_full"]:  # the last place went to an equally good one
        least = max(least, float(another["scores"][-1]))
    if score <= least + SCORE_TOLERANCE:
        return True
    rivals = another["classes"] == one["classes"][i]
    rivals &= another["scores"] >= score - SCORE_TOLERANCE
    overlaps = _overlap(one["boxes"][i], another["boxes"][rivals])
    return bool((np.abs(overlaps - overlap) <= OVERLAP_TOLERANCE).any())


def _has_twin(one: dict, i: int, another: dict, overlap: float) -> bool:
    """Tells whether another answer has a box of the same thing with the same score."""
    twins = another["classes"] == one["classes"][i]
    twins &= np.abs(another["scores"] - one["scores"][i]) <= TWIN_TOLERANCE
    return bool((_overlap(one["boxes"][i], another["boxes"][twins]) > overlap).any())


def _overlap(box: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Returns the intersection over union (n,) of a box (4,) with others (n, 4), in NumPy."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.prod(np.maximum(sides, 0), axis=-1)
    areas = np.prod(others[:, 2:] - others[:, :2], axis=-1)
    return shared / np.maximum(np.prod(box[2:] - box[:2]) + areas - shared, 1e-9)
