"""Masks: which pixels are a thing's. Between a picture's size and m x m cells of a box; as runs.

Pixel i covers [i, i + 1] and its centre is at i + 0.5, as for `ops.boxes`. `paste` and `crop` are
matrix products, which every format can run; `paste`'s NumPy twin is in `artifact/masks.py`.
"""

import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import roi


def paste(
    masks, boxes, size, threshold: float | None = 0.5, *, strict=False, whole_pixels=False
) -> tf.Tensor:
    """Puts masks of boxes into pictures.

    A pixel's value is read off the m x m cells at the pixel's centre, bilinearly between the
    centres of the cells, which share the box out evenly; beyond the cells all is zero. So does
    Detectron2. The first codes of Mask R-CNN cut boxes to whole pixels and count their last pixel
    too, which `whole_pixels` does: masks are up to a pixel larger.

    Args:
        masks: (..., m, m) probabilities in the boxes.
        boxes: (..., 4) boxes in pixels of the picture; one without area has an empty mask.
        size: (height, width) of the picture, ints or an int32 tensor (2,).
        threshold: least probability of a thing's pixel; None returns the probabilities.
        strict: the probability has to be above the threshold, as in torchvision's examples.
        whole_pixels: the box is of whole pixels, both ends included.

    Returns:
        (..., height, width) uint8, 0 or 1; or the probabilities, of the type of `masks`.

    Raises:
        InputError: masks that are not square, or not one box for each.

    Reference: He et al., "Mask R-CNN", section 3.1, https://arxiv.org/abs/1703.06870.
    """
    masks = tf.convert_to_tensor(masks)
    boxes = tf.cast(boxes, masks.dtype)
    _check(masks, boxes)
    if masks.shape[-1] != masks.shape[-2]:
        raise InputError(f"got masks of shape {tuple(masks.shape)}, expected (..., m, m)")
    if whole_pixels:
        masks, boxes = _in_whole_pixels(masks, boxes)
    cells = masks.shape[-1]
    columns = _cell_weights(boxes[..., 0], boxes[..., 2], size[1], cells)  # (..., width, m)
    rows = _cell_weights(boxes[..., 1], boxes[..., 3], size[0], cells)
    pasted = tf.matmul(tf.matmul(rows, masks), columns, transpose_b=True)
    if threshold is None:
        return pasted
    is_in = pasted > threshold if strict else pasted >= threshold
    has_area = (boxes[..., 2] > boxes[..., 0]) & (boxes[..., 3] > boxes[..., 1])
    return tf.cast(is_in & has_area[..., None, None], tf.uint8)


def crop(masks, boxes, cells: int, *, sampling_ratio: int = 2, aligned: bool = True) -> tf.Tensor:
    """Reads masks of pictures in the cells of boxes: what a mask branch is to say.

    It is `ops.roi.align` of every mask in its own box.

    Args:
        masks: (..., height, width) masks, 0 and 1.
        boxes: (..., 4) boxes in pixels of the masks, one for each mask.
        cells: m, cells a side.
        sampling_ratio: readings a side of each cell; 0 takes as many as it has pixels, as
            Detectron2 does for mask targets.
        aligned: pixel i's centre is at i + 0.5; if not, at i, which moves masks by half a pixel
            (the first RoI align, and what torchvision makes mask targets with).

    Returns:
        (..., m, m) shares of the cells that are the thing's, in [0, 1]; float32, or float64 for
        masks of that type. Targets of 0 and 1 are `crop(...) >= 0.5`.

    Raises:
        InputError: not one box for each mask; no cells.
    """
    masks, boxes = tf.convert_to_tensor(masks), tf.convert_to_tensor(boxes)
    _check(masks, boxes)
    shape = tf.shape(masks)
    size = [
        static if static is not None else shape[axis]
        for axis, static in zip((-2, -1), masks.shape[-2:], strict=True)
    ]
    pictures = tf.reshape(masks, [-1, *size, 1])
    cut = roi.align(
        pictures,
        tf.reshape(boxes, [-1, 1, 4]),
        cells,
        sampling_ratio=sampling_ratio,
        aligned=aligned,
    )
    known = masks.shape[:-2]
    leading = known if known.is_fully_defined() else shape[:-2]
    return tf.reshape(cut, tf.concat([leading, [cells, cells]], axis=0))


def boxes_of(masks, *, inclusive: bool = False) -> tf.Tensor:
    """Returns the smallest boxes (..., 4) float32 that hold the masks (..., height, width).

    Args:
        masks: 0 and 1; an empty one has the box 0, 0, 0, 0.
        inclusive: x2 and y2 are the last column and row themselves, as torchvision gives them, not
            their far edges; the box of one pixel has no area then.
    """
    masks = tf.convert_to_tensor(masks) > 0
    edges = []
    for axis in (-2, -1):
        is_in = tf.reduce_any(masks, axis=axis)  # columns, then rows
        size = tf.shape(is_in)[-1]
        places = tf.range(size)
        low = tf.reduce_min(tf.where(is_in, places, size), axis=-1)
        high = tf.reduce_max(tf.where(is_in, places, -1), axis=-1)
        edges.append((low, high if inclusive else high + 1))
    (x1, x2), (y1, y2) = edges
    boxes = tf.stack([x1, y1, x2, y2], axis=-1)
    any_pixel = tf.reduce_any(masks, axis=(-2, -1))
    return tf.cast(tf.where(any_pixel[..., None], boxes, 0), tf.float32)


def areas(masks) -> tf.Tensor:
    """Returns the numbers of pixels (...,) int32 of masks (..., height, width), 0 and 1."""
    return tf.reduce_sum(tf.cast(tf.convert_to_tensor(masks) > 0, tf.int32), axis=(-2, -1))


def encode(mask: np.ndarray) -> dict:
    """Writes a mask as the lengths of its runs, as COCO does.

    Column after column from the top, the lengths of the runs of 0 and of 1 in turn, 0 first: a
    mask that begins with 1 has a first run of length 0.

    Args:
        mask: (height, width) array, 0 and 1.

    Returns:
        `{"size": [height, width], "counts": [...]}`, ready for JSON and for pycocotools's
        `frPyObjects`.

    Raises:
        InputError: the mask is no matrix.

    Example:
        >>> encode([[0, 1], [1, 1]])
        {'size': [2, 2], 'counts': [1, 3]}

    Reference: Lin et al., "Microsoft COCO", https://arxiv.org/abs/1405.0312.
    """
    mask = np.asarray(mask)
    if mask.ndim != 2:
        raise InputError(f"got a mask of shape {mask.shape}, expected (height, width)")
    pixels = (mask > 0).ravel(order="F")
    if not pixels.size:
        return {"size": list(mask.shape), "counts": []}
    ends = np.flatnonzero(np.diff(pixels)) + 1
    counts = np.diff([0, *([0] if pixels[0] else []), *ends, pixels.size])
    return {"size": list(mask.shape), "counts": counts.tolist()}


def decode(runs: dict) -> np.ndarray:
    """Returns the mask that `encode` wrote, or that COCO or pycocotools did.

    Args:
        runs: `{"size": [height, width], "counts": ...}`; counts are lengths of runs, or the
            compressed text that pycocotools writes, str or bytes.

    Returns:
        (height, width) uint8 mask, 0 and 1.

    Raises:
        InputError: the runs are not as long as the picture is large.
    """
    height, width = (int(side) for side in runs["size"])
    counts = runs["counts"]
    if isinstance(counts, str | bytes):
        from pycocotools import mask as coco

        text = counts.encode() if isinstance(counts, str) else counts
        return coco.decode({"size": [height, width], "counts": text})
    counts = np.asarray(counts, np.int64)
    if (counts < 0).any() or counts.sum() != height * width:
        raise InputError(
            f"got runs of {counts.sum()} pixels for a mask of {height} x {width} = "
            f"{height * width}: they belong to another picture, or are no runs"
        )
    pixels = np.repeat(np.arange(len(counts)) % 2, counts).astype(np.uint8)
    return pixels.reshape((height, width), order="F")


def from_polygons(polygons, size: tuple[int, int]) -> np.ndarray:
    """Draws one thing's polygons, the parts of it that can be seen, by COCO's own rule.

    Args:
        polygons: list of polygons, each a flat list x, y, x, y, ... of three corners or more, in
            pixels.
        size: (height, width) of the picture.

    Returns:
        (height, width) uint8 mask, 0 and 1: what any of the polygons holds. Empty for no polygon.

    Raises:
        InputError: a polygon of fewer than three corners, or half a corner.
    """
    from pycocotools import mask as coco

    corners = [np.asarray(polygon, np.float64).ravel() for polygon in polygons]
    for flat in corners:
        if flat.size < 6 or flat.size % 2:
            raise InputError(
                f"got a polygon of {flat.size} numbers, expected x, y of three corners or more"
            )
    if not corners:
        return np.zeros(size, np.uint8)
    return coco.decode(coco.merge(coco.frPyObjects([flat.tolist() for flat in corners], *size)))


def _check(masks: tf.Tensor, boxes: tf.Tensor) -> None:
    shapes = tuple(masks.shape), tuple(boxes.shape)
    if len(shapes[0]) < 2 or len(shapes[1]) != len(shapes[0]) - 1 or shapes[1][-1] != 4:
        raise InputError(
            f"got masks of shape {shapes[0]} and boxes of shape {shapes[1]}, expected "
            "(..., height, width) and (..., 4): one box for each mask"
        )


def _cell_weights(low, high, size, cells: int) -> tf.Tensor:
    """Returns (..., size, cells) weights of the cells between low and high in every pixel."""
    has_area = high > low
    pixels = tf.cast(tf.range(size), low.dtype) + 0.5
    places = (pixels - low[..., None]) / tf.where(has_area, high - low, 1)[..., None]
    distances = tf.abs(places[..., None] * cells - 0.5 - tf.range(cells, dtype=low.dtype))
    return tf.maximum(1 - distances, 0) * tf.cast(has_area, low.dtype)[..., None, None]


def _in_whole_pixels(masks, boxes) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns masks with a rim of zeros, and their boxes cut to whole pixels, last one included.

    The rim keeps the resize from repeating the border; the box grows by it before it is cut.
    """
    cells = masks.shape[-1]
    masks = tf.pad(masks, [[0, 0]] * (len(masks.shape) - 2) + [[1, 1], [1, 1]])
    has_area = tf.reduce_all(boxes[..., 2:] > boxes[..., :2], axis=-1, keepdims=True)
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2
    halves = (boxes[..., 2:] - boxes[..., :2]) / 2 * ((cells + 2) / cells)
    low, high = (_towards_zero(ends) for ends in (centres - halves, centres + halves))
    return masks, tf.where(has_area, tf.concat([low, high + 1], axis=-1), 0)


def _towards_zero(values: tf.Tensor) -> tf.Tensor:
    return tf.sign(values) * tf.floor(tf.abs(values))
