"""Masks without TensorFlow: from the cells of boxes into a picture.

The graph twin of this function is in `dlcv_tf/ops/masks.py`.
"""

import numpy as np

from dlcv_tf.errors import InputError


def paste(
    masks: np.ndarray, boxes: np.ndarray, size: tuple[int, int], threshold: float | None = 0.5
) -> np.ndarray:
    """Puts masks of boxes into a picture.

    A pixel's value is read off the m x m cells at the pixel's centre, bilinearly between the
    centres of the cells, which share the box out evenly; beyond the cells all is zero.

    Args:
        masks: (..., m, m) probabilities in the boxes.
        boxes: (..., 4) boxes x1, y1, x2, y2 in pixels of the picture; one without area has an
            empty mask.
        size: (height, width) of the picture.
        threshold: least probability of a thing's pixel; None returns the probabilities.

    Returns:
        (..., height, width) uint8, 0 or 1; or float32 probabilities.

    Raises:
        InputError: shapes that do not fit.
    """
    masks, boxes = np.asarray(masks, np.float32), np.asarray(boxes, np.float32)
    square = masks.ndim >= 2 and masks.shape[-1] == masks.shape[-2]
    if not square or boxes.shape != (*masks.shape[:-2], 4):
        raise InputError(
            f"got masks of shape {masks.shape} and boxes of shape {boxes.shape}, expected "
            "(..., m, m) and (..., 4): one box for each mask"
        )
    cells = masks.shape[-1]
    columns = _cell_weights(boxes[..., 0], boxes[..., 2], size[1], cells)
    rows = _cell_weights(boxes[..., 1], boxes[..., 3], size[0], cells)
    pasted = rows @ masks @ np.swapaxes(columns, -1, -2)
    if threshold is None:
        return pasted
    has_area = (boxes[..., 2:] > boxes[..., :2]).all(axis=-1)
    return ((pasted >= threshold) & has_area[..., None, None]).astype(np.uint8)


def _cell_weights(low: np.ndarray, high: np.ndarray, size: int, cells: int) -> np.ndarray:
    """Returns (..., size, cells) weights of the cells between low and high in every pixel."""
    has_area = high > low
    pixels = np.arange(size, dtype=np.float32) + np.float32(0.5)
    spans = np.where(has_area, high - low, np.float32(1))[..., None]
    places = (pixels - low[..., None]) / spans
    centres = np.arange(cells, dtype=np.float32) + np.float32(0.5)
    distances = np.abs(places[..., None] * np.float32(cells) - centres)
    return np.maximum(np.float32(1) - distances, np.float32(0)) * has_area[..., None, None]
