"""Boxes: (x1, y1, x2, y2) in absolute pixels, x1 <= x2 and y1 <= y2, float32 or float64.

Coordinates are continuous: pixel i covers [i, i + 1] and a box is x2 - x1 wide. Codes for VOC and
old Detectron have whole pixels instead, the last one included, so that a box is x2 - x1 + 1 wide:
`plus_one=True`.
"""

import math

import tensorflow as tf

from dlcv_tf.errors import InputError, unknown

FORMATS = ("xyxy", "yxyx", "xywh", "cxcywh")
# What a decoded size may grow by, Detectron's choice: from an anchor of 16 pixels to 1,000.
LARGEST_LOG = math.log(1000 / 16)
SMALLEST_SIDE = 1e-6  # a shorter side counts as this long where a logarithm or a ratio is taken


def area(boxes, *, plus_one: bool = False) -> tf.Tensor:
    """Returns the areas (...,) of boxes (..., 4); none is negative, reversed boxes have none."""
    boxes = _checked(boxes, 1)
    sides = _sides(boxes[..., :2], boxes[..., 2:], plus_one)
    return sides[..., 0] * sides[..., 1]


def iou(boxes, others, *, pairwise: bool = True, plus_one: bool = False) -> tf.Tensor:
    """Returns the intersection over union, of every box with every other one or of pairs.

    Args:
        boxes: (..., n, 4) boxes.
        others: (..., m, 4) boxes; one for each of `boxes`, or shapes that broadcast, if not
            `pairwise`.
        pairwise: compare every box with every other one.
        plus_one: the last pixel belongs to a box, which is x2 - x1 + 1 wide.

    Returns:
        (..., n, m) in [0, 1], or (..., n) if not `pairwise`; 0 where a pair has no area at all.

    Raises:
        InputError: the last axis is not 4.

    Example:
        >>> float(iou([[0.0, 0, 2, 2]], [[1.0, 0, 3, 2]])[0, 0])
        0.3333333432674408
    """
    first, second = _pairs(boxes, others, pairwise)
    intersection, union = _intersection_and_union(first, second, plus_one)
    return tf.math.divide_no_nan(intersection, union)


def ioa(boxes, others, *, pairwise: bool = True, plus_one: bool = False) -> tf.Tensor:
    """Returns the intersection over the area of the OTHER box, as Detectron2's `pairwise_ioa`.

    A measure for ignored regions: how much of an other box lies inside a box. Arguments, result
    and errors are those of `iou`.
    """
    first, second = _pairs(boxes, others, pairwise)
    intersection, _ = _intersection_and_union(first, second, plus_one)
    return tf.math.divide_no_nan(intersection, area(second, plus_one=plus_one))


def giou(boxes, others, *, pairwise: bool = True, plus_one: bool = False) -> tf.Tensor:
    """Returns the generalised intersection over union, which also tells how far apart boxes are.

    IoU - (C - U) / C, where C is the area of the smallest box around both and U that of their
    union: from 1 for equal boxes down to -1 for small ones far apart. Arguments and errors are
    those of `iou`; a pair that spans no area has 0.

    Reference: Rezatofighi et al. 2019, https://arxiv.org/abs/1902.09630.
    """
    first, second = _pairs(boxes, others, pairwise)
    intersection, union = _intersection_and_union(first, second, plus_one)
    around = area(_around(first, second), plus_one=plus_one)
    overlap = tf.math.divide_no_nan(intersection, union)
    return overlap - tf.math.divide_no_nan(around - union, around)


def diou(boxes, others, *, pairwise: bool = True, plus_one: bool = False) -> tf.Tensor:
    """Returns IoU - d^2 / c^2: d lies between the centres, c is the diagonal around both boxes.

    Arguments and errors are those of `iou`.

    Reference: Zheng et al. 2020, https://arxiv.org/abs/1911.08287.
    """
    first, second = _pairs(boxes, others, pairwise)
    intersection, union = _intersection_and_union(first, second, plus_one)
    around = _around(first, second)
    diagonal = tf.reduce_sum(_sides(around[..., :2], around[..., 2:], plus_one) ** 2, axis=-1)
    apart = (first[..., :2] + first[..., 2:] - second[..., :2] - second[..., 2:]) / 2
    distance = tf.reduce_sum(apart**2, axis=-1)
    overlap = tf.math.divide_no_nan(intersection, union)
    return overlap - tf.math.divide_no_nan(distance, diagonal)


def ciou(boxes, others, *, pairwise: bool = True, plus_one: bool = False) -> tf.Tensor:
    """Returns the distance IoU less a v for unlike aspect ratios.

    v = 4 / pi^2 (atan(w / h) - atan(w' / h'))^2 and a = v / (1 - IoU + v); no gradient passes
    through a, as in the authors' code. Arguments and errors are those of `iou`.

    Reference: Zheng et al. 2020, https://arxiv.org/abs/1911.08287.
    """
    overlap = iou(boxes, others, pairwise=pairwise, plus_one=plus_one)
    first, second = _pairs(boxes, others, pairwise)
    apart = _angle(first, plus_one) - _angle(second, plus_one)
    unlike = 4 / math.pi**2 * apart**2
    weight = tf.stop_gradient(tf.math.divide_no_nan(unlike, 1 - overlap + unlike))
    return diou(boxes, others, pairwise=pairwise, plus_one=plus_one) - weight * unlike


def convert(boxes, source: str, target: str, *, image_size=None, plus_one: bool = False):
    """Returns boxes in another format.

    Formats are "xyxy" (ours), "yxyx" (`tf.image`), "xywh" (the corner and the sides: COCO),
    "cxcywh" (the centre and the sides: YOLO), and each with "rel_" in front: x divided by the
    width of the picture, y by its height.

    Args:
        boxes: (..., 4) boxes.
        source: their format.
        target: the format wanted.
        image_size: (height, width), ints or tensor (2,) or (..., 2); for formats with "rel_".
        plus_one: sides are x2 - x1 + 1.

    Raises:
        InputError: an unknown format, or no picture size where one is needed.

    Example:
        >>> convert([[10.0, 20, 30, 60]], "xyxy", "rel_cxcywh", image_size=(100, 200)).numpy()
        array([[0.1, 0.4, 0.1, 0.4]], dtype=float32)
    """
    boxes = _checked(boxes, 1)
    for name in (source, target):
        if name.removeprefix("rel_") not in FORMATS:
            raise unknown("box format", name, (*FORMATS, *(f"rel_{each}" for each in FORMATS)))
    relative = [name.startswith("rel_") for name in (source, target)]
    if any(relative) and image_size is None:
        raise InputError(
            f"got no image_size, expected (height, width) to convert {source}, {target}"
        )
    if relative[0]:
        boxes = boxes * _units(source, image_size, boxes.dtype)
    one = 1 if plus_one else 0
    boxes = _from_corners(_to_corners(boxes, source, one), target, one)
    return boxes / _units(target, image_size, boxes.dtype) if relative[1] else boxes


def clip(boxes, image_size, *, plus_one: bool = False) -> tf.Tensor:
    """Returns boxes moved inside the picture; one that lay outside has no area left.

    Args:
        boxes: (..., n, 4) boxes.
        image_size: (height, width), ints or tensor (2,) or (..., 2).
        plus_one: the largest coordinate is that of the last pixel, the side less one.
    """
    boxes = _checked(boxes)
    most = _units("xyxy", image_size, boxes.dtype) - (1 if plus_one else 0)
    return tf.minimum(tf.maximum(boxes, 0), most)


def encode(boxes, anchors, *, variances=(1.0, 1.0, 1.0, 1.0), plus_one: bool = False) -> tf.Tensor:
    """Returns how anchors are to be moved and scaled to become boxes: what a network learns.

    dx = (x - xa) / wa / vx, dw = log(w / wa) / vw, where x is a centre, w a width; y and h alike.
    Dividing by small variances makes the numbers about as large as one. SSD has variances
    (0.1, 0.1, 0.2, 0.2), Faster R-CNN's RPN ones and its second stage the same as SSD, written as
    weights (10, 10, 5, 5) to multiply by.

    Args:
        boxes: (..., n, 4) boxes.
        anchors: (..., n, 4) anchors; sides below 1e-6 count as 1e-6, of boxes too.
        variances: four positive numbers.
        plus_one: sides are x2 - x1 + 1.

    Returns:
        (..., n, 4) deltas dx, dy, dw, dh.

    Raises:
        InputError: the last axis is not 4, or a variance is not positive.
    """
    boxes = _checked(boxes)
    anchors = _checked(anchors, dtype=boxes.dtype)
    centres, sides = _centres_and_sides(boxes, plus_one)
    own_centres, own_sides = _centres_and_sides(anchors, plus_one)
    moved = (centres - own_centres) / own_sides
    return tf.concat([moved, tf.math.log(sides / own_sides)], -1) / _variances(variances, boxes)


def decode(
    deltas,
    anchors,
    *,
    variances=(1.0, 1.0, 1.0, 1.0),
    largest_log: float | None = LARGEST_LOG,
    plus_one: bool = False,
) -> tf.Tensor:
    """Returns the boxes that deltas make of anchors; the inverse of `encode`.

    Args:
        deltas: (..., n, 4) deltas dx, dy, dw, dh.
        anchors: (..., n, 4) anchors.
        variances: those of `encode`.
        largest_log: no box becomes larger than exp(this) times its anchor, so that a network that
            is not yet trained makes no infinite boxes; None for no limit.
        plus_one: sides are x2 - x1 + 1.

    Returns:
        (..., n, 4) boxes, which may reach beyond the picture.

    Raises:
        InputError: the last axis is not 4, or a variance is not positive.
    """
    deltas = _checked(deltas)
    anchors = _checked(anchors, dtype=deltas.dtype)
    own_centres, own_sides = _centres_and_sides(anchors, plus_one)
    deltas = deltas * _variances(variances, deltas)
    logs = deltas[..., 2:] if largest_log is None else tf.minimum(deltas[..., 2:], largest_log)
    centres = own_centres + deltas[..., :2] * own_sides
    half = (own_sides * tf.exp(logs) - (1 if plus_one else 0)) / 2
    return tf.concat([centres - half, centres + half], axis=-1)


def _sides(low, high, plus_one: bool) -> tf.Tensor:
    """Returns (..., 2) widths and heights, none negative."""
    return tf.maximum(high - low + (1 if plus_one else 0), 0)


def _centres_and_sides(boxes, plus_one: bool) -> tuple[tf.Tensor, tf.Tensor]:
    low, high = boxes[..., :2], boxes[..., 2:]
    return (low + high) / 2, tf.maximum(_sides(low, high, plus_one), SMALLEST_SIDE)


def _intersection_and_union(first, second, plus_one: bool) -> tuple[tf.Tensor, tf.Tensor]:
    # One coordinate at a time: operations on axes of length two are slow.
    one = 1 if plus_one else 0
    x1, y1, x2, y2 = tf.unstack(first, axis=-1)
    u1, v1, u2, v2 = tf.unstack(second, axis=-1)
    width = tf.maximum(tf.minimum(x2, u2) - tf.maximum(x1, u1) + one, 0)
    height = tf.maximum(tf.minimum(y2, v2) - tf.maximum(y1, v1) + one, 0)
    intersection = width * height
    total = area(first, plus_one=plus_one) + area(second, plus_one=plus_one)
    return intersection, total - intersection


def _around(first, second) -> tf.Tensor:
    """Returns the smallest boxes around both."""
    low = tf.minimum(first[..., :2], second[..., :2])
    return tf.concat([low, tf.maximum(first[..., 2:], second[..., 2:])], axis=-1)


def _angle(boxes, plus_one: bool) -> tf.Tensor:
    """Returns atan(width / height)."""
    _, sides = _centres_and_sides(boxes, plus_one)
    return tf.math.atan2(sides[..., 0], sides[..., 1])


def _to_corners(boxes, name: str, one: int) -> tf.Tensor:
    first, second = boxes[..., :2], boxes[..., 2:]
    match name.removeprefix("rel_"):
        case "yxyx":
            return tf.concat([first[..., ::-1], second[..., ::-1]], axis=-1)
        case "xywh":
            return tf.concat([first, first + second - one], axis=-1)
        case "cxcywh":
            half = (second - one) / 2
            return tf.concat([first - half, first + half], axis=-1)
    return boxes


def _from_corners(boxes, name: str, one: int) -> tf.Tensor:
    first, second = boxes[..., :2], boxes[..., 2:]
    match name.removeprefix("rel_"):
        case "yxyx":
            return tf.concat([first[..., ::-1], second[..., ::-1]], axis=-1)
        case "xywh":
            return tf.concat([first, second - first + one], axis=-1)
        case "cxcywh":
            return tf.concat([(first + second) / 2, second - first + one], axis=-1)
    return boxes


def _units(name: str, image_size, dtype) -> tf.Tensor:
    """Returns what the four numbers of boxes are relative to: (4,), or (..., 1, 4)."""
    size = tf.cast(image_size, dtype)
    if name.removeprefix("rel_") != "yxyx":
        size = size[..., ::-1]
    units = tf.concat([size, size], axis=-1)
    return units if units.shape.rank == 1 else tf.expand_dims(units, -2)


def _pairs(boxes, others, pairwise: bool) -> tuple[tf.Tensor, tf.Tensor]:
    least = 2 if pairwise else 1
    boxes = _checked(boxes, least)
    others = _checked(others, least, boxes.dtype)
    return (boxes[..., :, None, :], others[..., None, :, :]) if pairwise else (boxes, others)


def _variances(variances, like: tf.Tensor) -> tf.Tensor:
    if len(variances) != 4 or not all(each > 0 for each in variances):
        raise InputError(f"got variances={variances}, expected four positive numbers")
    return tf.constant(variances, like.dtype)


def _checked(boxes, least_rank: int = 2, dtype: tf.DType | None = None) -> tf.Tensor:
    boxes = tf.convert_to_tensor(boxes, dtype_hint=dtype)  # of an array or list, not a tensor
    rank = boxes.shape.rank
    if rank is not None and (rank < least_rank or boxes.shape[-1] != 4):
        axes = "(..., n, 4)" if least_rank == 2 else "(..., 4)"
        raise InputError(
            f"got boxes of shape {tuple(boxes.shape)}, expected {axes}: x1, y1, x2, y2 each"
        )
    return boxes if boxes.dtype.is_floating else tf.cast(boxes, tf.float32)
