"""Regions of interest (RoI): boxes cut out of feature maps and brought to one size.

Everything is matrix products, gathers and maxima, so that ONNX and TensorFlow Lite can run it.
Where published codes disagree, the convention is an argument.
"""

import tensorflow as tf

from dlcv_tf.errors import InputError, unknown

ROUNDINGS = ("nearest", "floor", "outward")
BINS = ("overlapping", "larger_first", "floor")


def align(
    features,
    boxes,
    size: int | tuple[int, int],
    *,
    scale: float = 1.0,
    sampling_ratio: int = 2,
    aligned: bool = True,
) -> tf.Tensor:
    """Returns the mean of bilinear samples in each bin of each box (RoI align).

    Nothing is rounded: a box is divided into bins, a bin has `sampling_ratio`^2 evenly spaced
    samples, and a sample weighs its four neighbours by a hat function in y times one in x. So the
    weights are two matrices for each box, and the result is rows @ features @ columns.

    A sample more than one pixel outside of the map counts as zero, a nearer one as the border's
    value. An empty box gives the value at its place (zeros where the sampling ratio is adaptive), a
    reversed one is read backwards.

    Args:
        features: (batch, height, width, channels) maps, float32 or float64.
        boxes: (batch, n, 4) boxes, x1, y1, x2, y2 in pixels of the picture.
        size: bins along y and x, or one number for both.
        scale: pixels of the map for one pixel of the picture, 1 / stride.
        sampling_ratio: samples along each side of a bin; 0 takes as many as the bin is long,
            rounded up: each box has its own number.
        aligned: pixel i covers [i, i + 1], so its centre is at i + 0.5. False has pixels centred
            at i, as the first published codes did, which is half a pixel off; those also make boxes
            at least one pixel of the map long.

    Returns:
        (batch, n, *size, channels); gradients reach the features, and the boxes.

    Raises:
        InputError: the shapes or arguments do not fit.

    Reference: He et al., "Mask R-CNN", section 3, https://arxiv.org/abs/1703.06870.
    """
    features, boxes, (bins_y, bins_x) = _checked(features, boxes, size)
    if sampling_ratio < 0:
        raise InputError(f"got sampling_ratio={sampling_ratio}, expected 0 (adaptive) or more")
    height, width = _shape(features)[1:3]
    places = boxes * scale - (0.5 if aligned else 0.0)
    least = None if aligned else 1.0
    rows = _bin_weights(places[..., 1], places[..., 3], bins_y, height, sampling_ratio, least)
    columns = _bin_weights(places[..., 0], places[..., 2], bins_x, width, sampling_ratio, least)
    return _weighted(features, rows, columns)


def crop_and_resize(
    images, boxes, size: int | tuple[int, int], *, extrapolation_value: float = 0.0
) -> tf.Tensor:
    """Returns boxes of pictures resized by bilinear sampling, as `tf.image.crop_and_resize` does.

    The corners of a box are sampled themselves, and what lies between at equal distances; a size of
    one samples the middle. There is no averaging: a large box is seen at few points.

    Args:
        images: (batch, height, width, channels) pictures, float32 or float64.
        boxes: (batch, n, 4), in TensorFlow's form, not the house's: y1, x1, y2, x2, where 0 is the
            centre of the first pixel and 1 that of the last. Boxes in pixels become that by
            `(x - 0.5) / (width - 1)`. Reversed boxes give mirrored crops.
        size: height and width of the crops, or one number for both.
        extrapolation_value: of samples outside of the pictures.

    Returns:
        (batch, n, *size, channels).

    Raises:
        InputError: the shapes do not fit.
    """
    images, boxes, (crop_height, crop_width) = _checked(images, boxes, size)
    height, width = _shape(images)[1:3]
    rows = _corner_weights(boxes[..., 0], boxes[..., 2], crop_height, height)
    columns = _corner_weights(boxes[..., 1], boxes[..., 3], crop_width, width)
    crops = _weighted(images, rows, columns)
    inside = tf.reduce_sum(rows, -1)[..., None] * tf.reduce_sum(columns, -1)[..., None, :]
    return crops + extrapolation_value * (1 - tf.round(inside))[..., None]


def pool(
    features,
    boxes,
    size: int | tuple[int, int],
    *,
    scale: float = 1.0,
    rounding: str = "nearest",
    plus_one: bool = True,
    bins: str = "overlapping",
) -> tf.Tensor:
    """Returns the largest number in each bin of each box, boxes rounded to pixels (RoI pool).

    With extent e and P bins, bin i covers these pixels, counted from the box's first one:

    - `"overlapping"`: floor(i e / P) to ceil((i + 1) e / P), as Fast R-CNN; bins share pixels.
    - `"larger_first"`: a partition whose first e mod P bins are one pixel longer.
    - `"floor"`: floor(i e / P) to floor((i + 1) e / P), a partition.

    What lies outside of the map is left out; a bin without pixels is zero. An empty or reversed box
    is one pixel long.

    Args:
        features: (batch, height, width, channels) maps, float32 or float64, height and width known.
        boxes: (batch, n, 4) boxes, x1, y1, x2, y2 in pixels of the picture.
        size: bins along y and x, or one number for both.
        scale: pixels of the map for one pixel of the picture, 1 / stride.
        rounding: of the scaled corners: `"nearest"` (halves away from zero), `"floor"`, or
            `"outward"` (x1, y1 down, x2, y2 up).
        plus_one: the pixel at x2, y2 belongs to the box (Fast R-CNN); otherwise it ends before.
        bins: how the extent is divided, see above.

    Returns:
        (batch, n, *size, channels); the gradient goes to the pixel that was largest, one of them
        where several are.

    Raises:
        InputError: the shapes or arguments do not fit.

    Reference: Girshick, "Fast R-CNN", section 2.1, https://arxiv.org/abs/1504.08083.
    """
    features, boxes, (bins_y, bins_x) = _checked(features, boxes, size)
    if rounding not in ROUNDINGS:
        raise unknown("rounding", rounding, ROUNDINGS)
    if bins not in BINS:
        raise unknown("way of dividing into bins", bins, BINS)
    height, width = features.shape[1:3]
    if height is None or width is None:
        raise InputError(f"got features {features.shape}, expected a known height and width")
    low, high = _rounded(boxes * scale, rounding)  # (batch, n, 2): x, y
    extent = tf.maximum(high - low + int(plus_one), 1)
    top, bottom = _bin_ends(low[..., 1], extent[..., 1], bins_y, height, bins)
    left, right = _bin_ends(low[..., 0], extent[..., 0], bins_x, width, bins)
    largest = _largest(features, top, bottom, left, right)
    filled = (bottom > top)[..., :, None] & (right > left)[..., None, :]  # (batch, n, y, x)
    return tf.where(filled[..., None], largest, tf.zeros((), features.dtype))


def _checked(features, boxes, size):
    """Returns tensors of one type, and (height, width) of the result."""
    features = tf.convert_to_tensor(features)
    if features.dtype not in (tf.float32, tf.float64):
        features = tf.cast(features, tf.float32)
    boxes = tf.cast(tf.convert_to_tensor(boxes, dtype_hint=features.dtype), features.dtype)
    if features.shape.rank != 4:
        raise InputError(
            f"got features of shape {tuple(features.shape)}, expected (batch, height, width, "
            "channels)"
        )
    if boxes.shape.rank != 3 or boxes.shape[-1] != 4:
        raise InputError(
            f"got boxes of shape {tuple(boxes.shape)}, expected (batch, n, 4): those of each "
            "picture together"
        )
    size = (size, size) if isinstance(size, int) else tuple(size)
    if len(size) != 2 or min(size) < 1:
        raise InputError(f"got size={size}, expected one or two numbers above 0")
    return features, boxes, size


def _shape(values: tf.Tensor) -> list:
    """Returns the shape, a tensor where an axis is not known."""
    dynamic = tf.shape(values)
    return [dynamic[axis] if n is None else n for axis, n in enumerate(values.shape)]


def _hats(places: tf.Tensor, length) -> tf.Tensor:
    """Returns the weights (..., length) of pixels centred at 0, 1, ... in samples (...)."""
    pixels = tf.cast(tf.range(length), places.dtype)
    return tf.maximum(1 - tf.abs(places[..., None] - pixels), 0)


def _bin_weights(low, high, bins: int, length, sampling_ratio: int, least) -> tf.Tensor:
    """Returns the weights (batch, n, bins, length) of an axis's pixels in the bins of boxes.

    Args:
        low: (batch, n) first corners, in pixels centred at 0, 1, ...
        high: (batch, n) second corners.
        bins: their number.
        length: of the axis.
        sampling_ratio: samples in a bin; 0 is adaptive.
        least: shortest box, or None.
    """
    extent = high - low if least is None else tf.maximum(high - low, least)
    step = extent / bins
    if sampling_ratio:
        counts = tf.fill(tf.shape(step), tf.cast(sampling_ratio, step.dtype))
        samples = tf.range(sampling_ratio)
    else:
        counts = tf.maximum(tf.math.ceil(step), 0)
        samples = tf.range(tf.maximum(tf.cast(tf.reduce_max(counts), tf.int32), 0))
    samples = tf.cast(samples, step.dtype)
    counts = counts[..., None, None]  # (batch, n, bins, samples) from here on
    offsets = tf.math.divide_no_nan(samples + 0.5, counts)
    places = tf.cast(tf.range(bins), step.dtype)[:, None] + offsets
    places = low[..., None, None] + places * step[..., None, None]
    last = tf.cast(length, step.dtype)
    counted = (samples < counts) & (places >= -1) & (places <= last)
    weights = tf.where(
        counted[..., None],
        _hats(tf.clip_by_value(places, 0, last - 1), length),
        tf.zeros((), step.dtype),
    )
    return tf.math.divide_no_nan(tf.reduce_sum(weights, axis=-2), counts)


def _corner_weights(low, high, count: int, length) -> tf.Tensor:
    """Returns the weights (batch, n, count, length) of samples from corner to corner."""
    last = tf.cast(length, low.dtype) - 1
    along = tf.linspace(tf.zeros((), low.dtype), tf.ones((), low.dtype), count)
    if count == 1:
        along = tf.constant([0.5], low.dtype)
    places = (low[..., None] + (high - low)[..., None] * along) * last
    inside = (places >= 0) & (places <= last)
    return tf.where(inside[..., None], _hats(places, length), tf.zeros((), low.dtype))


def _weighted(features, rows, columns) -> tf.Tensor:
    """Returns rows @ features @ columns of every box, (batch, n, bins y, bins x, channels)."""
    batch, height, width, channels = _shape(features)
    boxes, bins_y, bins_x = _shape(rows)[1], rows.shape[2], columns.shape[2]
    lines = tf.matmul(
        tf.reshape(rows, (batch, boxes * bins_y, height)),
        tf.reshape(features, (batch, height, width * channels)),
    )
    lines = tf.reshape(lines, (batch * boxes, bins_y, width, channels))
    columns = tf.reshape(columns, (batch * boxes, 1, bins_x, width))
    return tf.reshape(tf.matmul(columns, lines), (batch, boxes, bins_y, bins_x, channels))


def _rounded(boxes, rounding: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the corners (batch, n, 2) of boxes as int32."""
    if rounding == "nearest":  # as C's `round`; TensorFlow's takes halves to even numbers
        boxes = tf.sign(boxes) * tf.floor(tf.abs(boxes) + 0.5)
        low, high = boxes[..., :2], boxes[..., 2:]
    else:
        low = tf.floor(boxes[..., :2])
        high = tf.floor(boxes[..., 2:]) if rounding == "floor" else tf.math.ceil(boxes[..., 2:])
    return tf.cast(low, tf.int32), tf.cast(high, tf.int32)


def _bin_ends(first, extent, bins: int, length: int, how: str) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns first pixel and the one after the last, (batch, n, bins) each, inside the map."""
    numbers = tf.range(bins + 1)
    extent = extent[..., None]
    if how == "larger_first":
        ends = numbers * (extent // bins) + tf.minimum(numbers, extent % bins)
        low, high = ends[..., :-1], ends[..., 1:]
    else:
        low, high = numbers[:-1] * extent // bins, numbers[1:] * extent // bins
        if how == "overlapping":
            high = (numbers[1:] * extent + bins - 1) // bins
    low, high = (tf.clip_by_value(first[..., None] + end, 0, length) for end in (low, high))
    return low, high


def _largest(features, top, bottom, left, right) -> tf.Tensor:
    """Returns the maxima (batch, n, bins y, bins x, channels) of windows of any size.

    The maxima of all windows of 1, 2, 4, ... pixels are tabulated; a window of another size is
    covered by two of the next smaller table that overlap, along each axis.
    """
    height, width, channels = features.shape[1:]
    levels_y, levels_x = height.bit_length(), width.bit_length()
    tables = []
    for row_table in _doublings(features, 1, levels_y):
        tables += _doublings(row_table, 2, levels_x)
    tables = tf.concat(
        [tf.reshape(table, (-1, height * width, channels)) for table in tables], axis=1
    )
    places_y, places_x = _covering(top, bottom, levels_y), _covering(left, right, levels_x)
    largest = None
    for level_y, y in places_y:
        for level_x, x in places_x:
            table = level_y[..., :, None] * levels_x + level_x[..., None, :]
            pixel = y[..., :, None] * width + x[..., None, :]
            window = tf.gather(tables, table * (height * width) + pixel, batch_dims=1)
            largest = window if largest is None else tf.maximum(largest, window)
    return largest


def _doublings(table: tf.Tensor, axis: int, levels: int) -> list[tf.Tensor]:
    """Returns tables of the maxima of 1, 2, 4, ... numbers along an axis, by their first one."""
    tables = [table]
    for level in range(levels - 1):
        length = 2**level
        kept = table.shape[axis] - length
        table = tf.maximum(_part(table, axis, 0, kept), _part(table, axis, length, None))
        # Windows that would hang over the end are never looked up.
        table = tf.pad(table, [[0, length if each == axis else 0] for each in range(4)])
        tables.append(table)
    return tables


def _part(table: tf.Tensor, axis: int, first: int, end: int | None) -> tf.Tensor:
    """Returns a part of axis 1 or 2."""
    return table[:, first:end] if axis == 1 else table[:, :, first:end]


def _covering(low, high, levels: int) -> list[tuple[tf.Tensor, tf.Tensor]]:
    """Returns (table, first number) of the two windows that cover [low, high) together.

    Where the range is empty, any place in the table does.
    """
    lengths = [2**level for level in range(levels)]
    level = sum(tf.cast(high - low >= length, tf.int32) for length in lengths) - 1
    level = tf.maximum(level, 0)
    second = tf.maximum(high - tf.gather(lengths, level), 0)
    return [(level, tf.minimum(low, second)), (level, second)]
