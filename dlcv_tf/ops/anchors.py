"""Anchors: boxes of several shapes around every cell of a feature map, which a network adjusts.

They are constants of a network, so these functions are plain NumPy, float32: any graph, and any
exported format, can hold what they return.
"""

from collections.abc import Sequence

import numpy as np

from dlcv_tf.errors import InputError
from dlcv_tf.ops.whole_numbers import whole_number

RATIOS = ("h/w", "w/h")


def shapes(
    scales: Sequence[float], ratios: Sequence[float], *, ratio: str = "h/w", every: bool = True
) -> np.ndarray:
    """Returns widths and heights of anchors, by scales and aspect ratios.

    An anchor of scale s has the area s^2, whatever its aspect ratio.

    Args:
        scales: square roots of areas, in whatever unit the result is wanted.
        ratios: aspect ratios, positive.
        ratio: what a ratio is: "h/w" (Faster R-CNN, Detectron2, torchvision) or "w/h" (SSD, d2l).
        every: each scale with each ratio, the ratio changing fastest (Detectron2); else each scale
            with the first ratio and then the first scale with the other ratios (d2l).

    Returns:
        (k, 2) float32: width, height.

    Raises:
        InputError: no scale or ratio, one that is not positive, or an unknown kind of ratio.

    Example:
        >>> shapes([10.0], [1.0, 4.0]).tolist()
        [[10.0, 10.0], [5.0, 20.0]]
    """
    if ratio not in RATIOS:
        raise InputError(f"got ratio={ratio!r}, expected one of {RATIOS}")
    for name, values in (("scales", scales), ("ratios", ratios)):
        if not len(values) or not all(value > 0 for value in values):
            raise InputError(f"got {name}={values}, expected positive numbers")
    if every:
        pairs = [(scale, each) for scale in scales for each in ratios]
    else:
        pairs = [(s, ratios[0]) for s in scales] + [(scales[0], each) for each in ratios[1:]]
    scale, tall = np.array(pairs, np.float64).T
    root = np.sqrt(tall if ratio == "h/w" else 1 / tall)
    return np.stack([scale / root, scale * root], axis=-1).astype(np.float32)


def grid(
    feature_size: tuple[int, int],
    stride,
    anchor_shapes,
    *,
    offset: float = 0.5,
    plus_one: bool = False,
) -> np.ndarray:
    """Returns anchors of the given shapes around every cell of a feature map.

    Args:
        feature_size: (height, width) of the feature map.
        stride: what a step from cell to cell is in the units of the boxes, or (vertical,
            horizontal).
        anchor_shapes: (k, 2) widths and heights, of `shapes` or by hand.
        offset: where in a cell its anchors have their centre, in strides: 0.5 is the middle (SSD,
            d2l); Detectron2 and torchvision take 0, the corner.
        plus_one: a box is x2 - x1 + 1 wide (py-faster-rcnn; its offset is 7.5 / 16).

    Returns:
        (height * width * k, 4) float32 boxes: row by row, cell by cell, shape by shape. Some reach
        beyond the picture.

    Raises:
        InputError: a size that is no whole number, a stride that is not positive, or shapes that
            are not (k, 2).
    """
    height, width = (whole_number(each, "feature_size") for each in feature_size)
    anchor_shapes = np.asarray(anchor_shapes, np.float64)
    if anchor_shapes.ndim != 2 or anchor_shapes.shape[1] != 2:
        raise InputError(f"got anchor shapes {anchor_shapes.shape}, expected (k, 2): width, height")
    stride = np.broadcast_to(np.asarray(stride, np.float64), (2,))
    if not (stride > 0).all():
        raise InputError(f"got stride={stride.tolist()}, expected positive numbers")
    rows = (np.arange(height) + offset) * stride[0]
    columns = (np.arange(width) + offset) * stride[1]
    y, x = np.meshgrid(rows, columns, indexing="ij")
    centres = np.stack([x, y], axis=-1)[:, :, None]  # (height, width, 1, 2)
    half = (anchor_shapes - (1 if plus_one else 0)) / 2
    boxes = np.concatenate([centres - half, centres + half], axis=-1)
    return boxes.reshape(-1, 4).astype(np.float32)


def pyramid(feature_sizes, strides, level_shapes, *, offset: float = 0.5) -> np.ndarray:
    """Returns the anchors of several feature maps in one array, map by map.

    Args:
        feature_sizes: (height, width) of each.
        strides: one for each, as for `grid`.
        level_shapes: (k, 2) widths and heights for each.
        offset: as for `grid`.

    Returns:
        (n, 4) float32 boxes.

    Raises:
        InputError: unlike numbers of maps; or as `grid`.
    """
    counts = len(feature_sizes), len(strides), len(level_shapes)
    if len(set(counts)) != 1 or not counts[0]:
        raise InputError(
            f"got {counts[0]} feature maps, {counts[1]} strides and {counts[2]} sets of shapes, "
            "expected as many of each"
        )
    levels = zip(feature_sizes, strides, level_shapes, strict=True)
    return np.concatenate([grid(*level, offset=offset) for level in levels])


def normalised(
    feature_size: tuple[int, int],
    scales: Sequence[float],
    ratios: Sequence[float],
    *,
    offset: float = 0.5,
    square: bool = True,
) -> np.ndarray:
    """Returns anchors in [0, 1] coordinates, as d2l's `multibox_prior` has them.

    Every scale with the first ratio, and the first scale with the other ratios, ratio = w/h.

    Args:
        feature_size: (height, width) of the feature map, or of the picture, one cell a pixel.
        scales: parts of the height of the picture, in (0, 1].
        ratios: aspect ratios w/h, positive.
        offset: as for `grid`.
        square: a ratio of 1 is a square in pixels, as in d2l; else it has the same part of the
            width as of the height (SSD's paper).

    Returns:
        (height * width * (scales + ratios - 1), 4) float32: x1, y1, x2, y2 in parts of the sides.
    """
    sides = shapes(scales, ratios, ratio="w/h", every=False).astype(np.float64)
    height, width = feature_size
    if square:
        sides[:, 0] *= height / width
    return grid(feature_size, (1 / height, 1 / width), sides, offset=offset)
