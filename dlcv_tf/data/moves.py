"""Moves of pictures: mirrored, turned, shifted or scaled, and what becomes of places in them."""

import dataclasses

import tensorflow as tf

from dlcv_tf.data.targets import IGNORED

OUTSIDE = 128.0  # middle grey, the colour of what comes from outside of a picture


@dataclasses.dataclass(frozen=True)
class Move:
    """How each picture of a batch is moved: new place = old place * scale + offset.

    Args:
        scale: (batch, 2) float32 along x and y; below zero where mirrored.
        offset: (batch, 2) float32 along x and y, pixels.
        transposed: (batch,) bool, whether x and y are exchanged before; None for never. Only for
            square pictures.
    """

    scale: tf.Tensor
    offset: tf.Tensor
    transposed: tf.Tensor | None = None

    def then(self, other: "Move") -> "Move":
        """Returns the move that does this one, then the other."""
        scale, offset = (other.exchanged(part) for part in (self.scale, self.offset))
        transposed = other.transposed if self.transposed is None else self.transposed
        if self.transposed is not None and other.transposed is not None:
            transposed = tf.math.logical_xor(self.transposed, other.transposed)
        return Move(scale * other.scale, offset * other.scale + other.offset, transposed)

    @property
    def mirrors(self) -> tf.Tensor:
        """(batch,) bool, whether left becomes right."""
        mirrored = self.scale[:, 0] * self.scale[:, 1] < 0
        if self.transposed is None:
            return mirrored
        return tf.math.logical_xor(mirrored, self.transposed)

    def exchanged(self, points: tf.Tensor) -> tf.Tensor:
        """Returns points (batch, ..., 2) with x and y exchanged where the move does that."""
        if self.transposed is None:
            return points
        where = tf.reshape(self.transposed, (-1, *(1,) * (points.shape.rank - 1)))
        return tf.where(where, tf.reverse(points, [-1]), points)


def of_images(images: tf.Tensor, move: Move) -> tf.Tensor:
    """Moves pictures, with antialiased bilinear weights as two matrix products; their size stays.

    Mirrors, turns and shifts by whole pixels come out exactly.

    Args:
        images: (batch, height, width, channels) uint8 or float [0, 255] pictures.
        move: how each of them is moved.

    Returns:
        Pictures of the same shape and type, middle grey where they were moved away.
    """
    _, height, width, channels = images.shape
    dtype = images.dtype
    if move.transposed is not None:
        across = tf.transpose(images, (0, 2, 1, 3))
        images = tf.raw_ops.Select(condition=move.transposed, x=across, y=images)
    rows, row_inside = _weights(move, 1, height)
    columns, column_inside = _weights(move, 0, width)
    pixels = tf.reshape(tf.cast(images, tf.float32), (-1, height, width * channels))
    pixels = tf.reshape(tf.matmul(rows, pixels), (-1, height, width, channels))
    pixels = tf.reshape(tf.transpose(pixels, (0, 2, 1, 3)), (-1, width, height * channels))
    pixels = tf.reshape(tf.matmul(columns, pixels), (-1, width, height, channels))
    pixels = tf.transpose(pixels, (0, 2, 1, 3))
    inside = row_inside[:, :, None, None] * column_inside[:, None, :, None]
    pixels += OUTSIDE * (1 - inside)
    return tf.cast(tf.round(pixels) if dtype == tf.uint8 else pixels, dtype)


def _weights(move: Move, coordinate: int, side: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns resampling matrices (batch, side, side), and 1 where a pixel comes from inside."""
    scale = move.scale[:, coordinate, None]
    pixels = tf.range(side, dtype=tf.float32) + 0.5
    centres = (pixels - move.offset[:, coordinate, None]) / scale  # (batch, side)
    inside = tf.cast((centres > 0) & (centres < side), tf.float32)
    wide = tf.maximum(1 / tf.abs(scale), 1.0)[..., None]
    weights = tf.maximum(1 - tf.abs(pixels - centres[..., None]) / wide, 0)
    weights = tf.math.divide_no_nan(weights, tf.reduce_sum(weights, axis=-1, keepdims=True))
    return weights * inside[..., None], inside


def of_targets(targets, move: Move, size: tuple[int, int], least_part: float):
    """Returns a batch of targets after its pictures were moved; their size stays.

    Boxes are clipped to the picture. One of which less than `least_part` is left becomes
    `ignored`, one of which nothing is left becomes padding. Joints outside get visible 0. Masks
    and class maps take the nearest pixel; from outside come 0 and 255, ignored.

    Args:
        targets: of a batch, of any kind in `targets.KINDS`.
        move: how the pictures were moved.
        size: (height, width) of the pictures.
        least_part: of a box's area, from 0 to 1.
    """
    if not isinstance(targets, dict):  # labels, or a class map
        return _moved_maps(targets, move, size, IGNORED) if targets.shape.rank == 3 else targets
    height, width = size
    result = dict(targets)
    if "box" in targets:
        boxes = _moved_boxes(targets["box"][:, None], move)
        result["box"] = _clipped(boxes, size)[:, 0]
    if "boxes" in targets:
        boxes = _moved_boxes(targets["boxes"], move)
        clipped = _clipped(boxes, size)
        part = tf.math.divide_no_nan(_area(clipped), _area(boxes))
        result["valid"] = targets["valid"] & (part > 0)
        result["ignored"] = result["valid"] & (targets["ignored"] | (part < least_part))
        result["boxes"] = tf.where(result["valid"][..., None], clipped, 0.0)
        result["classes"] = tf.where(result["valid"], targets["classes"], 0)
    if "joints" in targets:
        places, visible = targets["joints"][..., :2], targets["joints"][..., 2:]
        places = _moved_points(places, move)
        inside = tf.reduce_all(
            (places >= 0) & (places <= tf.constant([width, height], tf.float32)), -1, True
        )
        result["joints"] = tf.concat([places, tf.where(inside, visible, 0.0)], -1)
        if "boxes" in targets:
            result["joints"] = tf.where(result["valid"][..., None, None], result["joints"], 0.0)
    if "masks" in targets:
        masks = _moved_maps(targets["masks"], move, size, 0)
        result["masks"] = masks * tf.cast(result["valid"][..., None, None], tf.uint8)
    return result


def _moved_points(points: tf.Tensor, move: Move) -> tf.Tensor:
    """Moves points (batch, ..., 2)."""
    inner = (1,) * (points.shape.rank - 2)
    scale, offset = (tf.reshape(part, (-1, *inner, 2)) for part in (move.scale, move.offset))
    return move.exchanged(points) * scale + offset


def _moved_boxes(boxes: tf.Tensor, move: Move) -> tf.Tensor:
    corners = tf.reshape(boxes, (-1, boxes.shape[1], 2, 2))
    corners = _moved_points(corners, move)
    low, high = tf.reduce_min(corners, axis=2), tf.reduce_max(corners, axis=2)
    return tf.concat([low, high], axis=-1)


def _clipped(boxes: tf.Tensor, size: tuple[int, int]) -> tf.Tensor:
    height, width = size
    return tf.clip_by_value(boxes, 0.0, tf.constant([width, height, width, height], tf.float32))


def _area(boxes: tf.Tensor) -> tf.Tensor:
    return (boxes[..., 2] - boxes[..., 0]) * (boxes[..., 3] - boxes[..., 1])


def _moved_maps(maps: tf.Tensor, move: Move, size: tuple[int, int], outside: int) -> tf.Tensor:
    """Moves maps (batch, ..., height, width) by the nearest pixel."""
    if move.transposed is not None:
        axes = [*range(maps.shape.rank - 2), maps.shape.rank - 1, maps.shape.rank - 2]
        exchanged = tf.reshape(move.transposed, (-1, *(1,) * (maps.shape.rank - 1)))
        maps = tf.where(exchanged, tf.transpose(maps, axes), maps)
    for axis, (side, coordinate) in enumerate(zip(size, (1, 0), strict=True)):
        centres = tf.range(side, dtype=tf.float32) + 0.5
        places = centres - move.offset[:, coordinate : coordinate + 1]
        places = tf.cast(tf.floor(places / move.scale[:, coordinate : coordinate + 1]), tf.int32)
        inside = (places >= 0) & (places < side)  # (batch, side)
        places = tf.clip_by_value(places, 0, side - 1)
        where = maps.shape.rank - 2 + axis
        maps = tf.gather(maps, places, axis=where, batch_dims=1)
        ones = [1] * (where - 1)
        inside = tf.reshape(inside, (-1, *ones, side, *[1] * (maps.shape.rank - 1 - where)))
        maps = tf.where(inside, maps, tf.cast(outside, maps.dtype))
    return maps
