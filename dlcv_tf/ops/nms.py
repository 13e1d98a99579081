"""Non-maximum suppression: of boxes that overlap, the one with the best score stays.

Everywhere here a box is suppressed by one with a better score if their overlap is LARGER than
`iou_threshold` (torchvision, `tf.image`), or with `inclusive` if it is at least that. Scores count
if they are LARGER than `score_threshold`. Among equal scores the lowest index is first. A score of
NaN is below every threshold and a box that is not finite has no score: neither wins.
"""

import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import boxes as box_ops
from dlcv_tf.ops.whole_numbers import whole_number

TILE = 256  # boxes that `greedy` compares with each other at once
FAR = 1e15  # larger coordinates are not finite, as areas would not be
DECAYS = ("hard", "linear", "gaussian")


def greedy(
    boxes,
    scores,
    classes=None,
    *,
    iou_threshold: float = 0.5,
    score_threshold: float = float("-inf"),
    max_boxes: int | None = None,
    inclusive: bool = False,
    plus_one: bool = False,
) -> tf.Tensor:
    """Returns the indices of the boxes that stay, best first.

    The boxes are sorted and decided in tiles. In a tile all stay at first; then "stays unless a
    better one that stays overlaps it" is applied until nothing changes. That gives what going
    through them one by one gives, in a few operations on whole matrices.

    Args:
        boxes: (n, 4) boxes.
        scores: (n,) scores, any real numbers.
        classes: (n,) class numbers; boxes of different classes do not suppress each other.
        iou_threshold: largest overlap that two boxes of those that stay may have.
        score_threshold: boxes with this score or less are left out.
        max_boxes: number of boxes to stop at.
        inclusive: suppress at an overlap of exactly `iou_threshold` too.
        plus_one: boxes are x2 - x1 + 1 wide.

    Returns:
        (k,) int32 indices; k may be zero.

    Raises:
        InputError: shapes that do not fit, or a threshold that is no overlap.

    Example:
        >>> greedy([[0.0, 0, 10, 10], [1, 0, 11, 10], [20, 20, 30, 30]], [0.8, 0.9, 0.7]).numpy()
        array([1, 2], dtype=int32)
    """
    boxes, scores, classes = _checked(boxes, scores, classes, iou_threshold, rank=1)
    boxes, scores = _cleaned(boxes, scores, score_threshold)
    order = tf.argsort(scores, direction="DESCENDING", stable=True)
    count = tf.math.count_nonzero(scores > scores.dtype.min, dtype=tf.int32)
    order = order[:count]
    most = count if max_boxes is None else whole_number(max_boxes, "max_boxes")

    def suppresses(first, second):
        overlap = box_ops.iou(tf.gather(boxes, first), tf.gather(boxes, second), plus_one=plus_one)
        above = overlap >= iou_threshold if inclusive else overlap > iou_threshold
        return above & (tf.gather(classes, first)[:, None] == tf.gather(classes, second))

    def decide(start, kept):
        tile = order[start : start + TILE]
        stays = ~tf.reduce_any(suppresses(kept, tile), axis=0)
        stays = _settled(suppresses(tile, tile), stays)
        return start + TILE, tf.concat([kept, tf.boolean_mask(tile, stays)], axis=0)

    _, kept = tf.while_loop(
        lambda start, kept: (start < count) & (tf.size(kept) < most),
        decide,
        (tf.constant(0), order[:0]),
        shape_invariants=(tf.TensorShape([]), tf.TensorShape([None])),
    )
    return kept[:most]


def padded(
    boxes,
    scores,
    classes=None,
    *,
    max_boxes: int,
    iou_threshold: float = 0.5,
    score_threshold: float = float("-inf"),
    decay: str = "hard",
    sigma: float = 0.5,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Suppresses in a batch of pictures, with results of a fixed size that every format can run.

    The definition itself: take the best box of every picture, then take the scores of those that
    overlap it away, again and again. Soft suppression only lowers them, by 1 - IoU ("linear", for
    overlaps above the threshold) or by exp(-IoU^2 / sigma) ("gaussian", for all; `tf.image` has
    2 sigma instead).

    Its time grows with the number of boxes that stay: select candidates first, with
    `top_candidates`, and take `greedy` for very many boxes of one picture.

    Args:
        boxes: (batch, n, 4) boxes.
        scores: (batch, n) scores; 0 or more where they decay.
        classes: (batch, n) class numbers; different classes do not suppress each other.
        max_boxes: number of boxes in the result.
        iou_threshold: largest overlap that does not count.
        score_threshold: boxes with this score or less are left out, also once it has decayed.
        decay: "hard" (to nothing), "linear" or "gaussian".
        sigma: width of the Gaussian.

    Returns:
        Indices (batch, max_boxes) int32, best first, scores (batch, max_boxes), as decayed when
        the box was taken, and the number of boxes (batch,) int32. What follows is zeros.

    Raises:
        InputError: shapes that do not fit, a threshold that is no overlap, an unknown decay.

    Reference: Bodla et al., "Soft-NMS", https://arxiv.org/abs/1704.04503.
    """
    boxes, scores, classes = _checked(boxes, scores, classes, iou_threshold, rank=2)
    if decay not in DECAYS or sigma <= 0:
        raise InputError(f"got decay={decay!r} and sigma={sigma}, expected one of {DECAYS} and > 0")
    slots = tf.range(whole_number(max_boxes, "max_boxes"))[None, :]
    every = tf.range(tf.shape(scores)[1])[None, :]
    boxes, scores = _cleaned(boxes, scores, score_threshold)
    threshold = max(score_threshold, scores.dtype.min)
    areas, planes = box_ops.area(boxes), tf.unstack(boxes, axis=-1)

    def unfinished(step, remaining, *_):
        return (step < max_boxes) & (tf.reduce_max(remaining) > threshold)

    def take(step, remaining, indices, taken, count):
        best = tf.argmax(remaining, axis=1, output_type=tf.int32)[:, None]
        score = tf.reduce_max(remaining, axis=1, keepdims=True)
        is_slot = (slots == step) & (score > threshold)
        indices += best * tf.cast(is_slot, tf.int32)
        taken += tf.maximum(score, scores.dtype.min) * tf.cast(is_slot, scores.dtype)
        count += tf.cast(score > threshold, tf.int32)
        overlap = _overlap(tf.gather(boxes, best, batch_dims=1), planes, areas)
        same = tf.gather(classes, best, batch_dims=1) == classes
        lost = every == best
        if decay == "hard":
            lost |= same & (overlap > iou_threshold)
        else:
            linear = overlap * tf.cast(overlap > iou_threshold, overlap.dtype)
            lost |= ~(
                remaining > threshold
            )  # before it is lowered: that would lift the least number
            lower = 1 - linear if decay == "linear" else tf.exp(-(overlap**2) / sigma)
            remaining *= tf.where(same, lower, 1)
            lost |= ~(remaining > threshold)  # NaN too: what was lost, lowered to nothing
        gone = tf.constant(float("-inf"), scores.dtype)  # infinite and made here: see `_cleaned`
        remaining = tf.where(lost, gone, remaining)
        return step + 1, remaining, indices, taken, count

    shape = [tf.shape(scores)[0], max_boxes]
    state = (
        tf.zeros(shape, tf.int32),
        tf.zeros(shape, scores.dtype),
        tf.zeros([shape[0], 1], tf.int32),
    )
    state = tf.while_loop(unfinished, take, (tf.constant(0), scores, *state))
    _, _, indices, taken, count = state
    return indices, taken, count[:, 0]


def top_candidates(boxes, scores, count: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Selects the boxes and classes with the best scores, a box with several classes several times.

    Args:
        boxes: (batch, n, 4) boxes, or (batch, n, classes, 4) where each class has its own.
        scores: (batch, n, classes) scores.
        count: number to select; all if there are fewer.

    Returns:
        (batch, k, 4) boxes, (batch, k) scores, best first, and (batch, k) int32 classes. The score
        is the lowest number there is where the box or the score was not finite.
    """
    boxes, scores = tf.convert_to_tensor(boxes), tf.convert_to_tensor(scores)
    batch, number, classes = tf.shape(scores)[0], scores.shape[1], scores.shape[2]
    if boxes.shape.rank == 3:
        boxes = boxes[:, :, None]
    boxes, scores = _cleaned(boxes, scores, float("-inf"))
    flat = tf.reshape(scores, [batch, number * classes])
    best, indices = tf.math.top_k(flat, min(count, number * classes))
    own = indices if boxes.shape[2] == classes else indices // classes
    boxes = tf.reshape(boxes, [batch, number * boxes.shape[2], 4])
    return tf.gather(boxes, own, batch_dims=1), best, indices % classes


def _overlap(chosen, planes, areas) -> tf.Tensor:
    """Returns the IoU (batch, n) of a box with all: `boxes.iou`, but nothing is worked out twice.

    Args:
        chosen: (batch, 1, 4) boxes.
        planes: four (batch, n) coordinates of all boxes.
        areas: (batch, n) their areas.
    """
    x1, y1, x2, y2 = tf.unstack(chosen, axis=-1)  # (batch, 1)
    width = tf.maximum(tf.minimum(planes[2], x2) - tf.maximum(planes[0], x1), 0)
    height = tf.maximum(tf.minimum(planes[3], y2) - tf.maximum(planes[1], y1), 0)
    intersection = width * height
    union = areas + box_ops.area(chosen) - intersection
    return tf.math.divide_no_nan(intersection, union)


def _settled(suppresses, stays) -> tf.Tensor:
    """Returns which sorted boxes stay: those that no earlier one that stays suppresses.

    Args:
        suppresses: (n, n) bool, whether the row's box suppresses the column's if it is earlier.
        stays: (n,) bool, False for those already suppressed.
    """
    earlier = tf.linalg.band_part(tf.cast(suppresses, tf.float32), 0, -1)
    earlier = tf.linalg.set_diag(earlier, tf.zeros_like(stays, tf.float32))

    def apply(_, now):
        hits = tf.linalg.matvec(earlier, tf.cast(now, tf.float32), transpose_a=True)
        return now, stays & (hits == 0)

    # Right for the first box after one round, for the next after two: it must end.
    return tf.while_loop(
        lambda before, now: tf.reduce_any(before != now), apply, apply(None, stays)
    )[1]


def _cleaned(boxes, scores, score_threshold: float) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns finite boxes and scores, the lowest number for those that cannot be taken.

    ONNX gets `where` as a sum of products, through which NaN leaks, unless one side is an infinite
    constant: hence the detour.

    Args:
        boxes: (..., 4) boxes; what is not finite becomes a point far away, which overlaps nothing.
        scores: (...) scores.
        score_threshold: as elsewhere.
    """
    infinity = tf.constant(float("inf"), scores.dtype)
    finite = tf.reduce_all(tf.abs(boxes) < FAR, axis=-1)
    boxes = tf.minimum(tf.where(finite[..., None], boxes, infinity), FAR)
    usable = finite & (scores > max(score_threshold, scores.dtype.min))
    return boxes, tf.maximum(tf.where(usable, scores, -infinity), scores.dtype.min)


def _checked(boxes, scores, classes, iou_threshold: float, rank: int) -> tuple[tf.Tensor, ...]:
    scores = tf.convert_to_tensor(scores)
    boxes = tf.convert_to_tensor(boxes, dtype_hint=scores.dtype)
    classes = tf.zeros_like(scores, tf.int32) if classes is None else tf.convert_to_tensor(classes)
    axes = "(n,)" if rank == 1 else "(batch, n)"
    if scores.shape.rank != rank or boxes.shape.rank != rank + 1 or boxes.shape[-1] != 4:
        raise InputError(
            f"got boxes of shape {tuple(boxes.shape)} and scores of shape {tuple(scores.shape)}, "
            f"expected scores {axes} and four numbers more for each box"
        )
    for each in (boxes[..., 0], classes):
        if not each.shape.is_compatible_with(scores.shape):
            raise InputError(
                f"got {tuple(scores.shape)} scores, but boxes of shape {tuple(boxes.shape)} and "
                f"classes of shape {tuple(classes.shape)}; expected one of each for each"
            )
    if not 0 <= iou_threshold <= 1:
        raise InputError(f"got iou_threshold={iou_threshold}, expected 0 to 1")
    return boxes, scores, classes
