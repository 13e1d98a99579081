"""The first YOLO's way: the cell with an object's centre finds it, by squared errors alone."""

import keras
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops import boxes as box_ops
from dlcv_tf.tasks.methods.method import Method
from dlcv_tf.tasks.methods.objects import inside_ignored, objects


@keras.saving.register_keras_serializable(package="dlcv_tf")
class GridMethod(Method):
    """Training and reading of the first YOLO's grid of numbers.

    The cell with an object's centre is to predict it; of the cell's boxes the one that overlaps
    the object most now (the nearest one where none does) is responsible. Its confidence should be
    that overlap, all others' zero. Sizes are compared by square roots, so that the same error
    counts more for a small box. A cell has one class, and learns the first object in it alone:
    what the paper calls a strong spatial constraint.

    All losses are squared errors, summed over the cells and averaged over the pictures (equation
    3 of the paper; Darknet sums over the pictures too).

    Args:
        boxes_per_cell: as in the network.
        box_weight: lambda_coord.
        no_object_weight: lambda_noobj.
        rescore: a responsible box's confidence should be its overlap, as in the paper (Darknet's
            `rescore=1`); False for 1, as many others have it.

    Reference: Redmon et al., "You Only Look Once", https://arxiv.org/abs/1506.02640.
    """

    loss_names = ("box_loss", "object_loss", "no_object_loss", "class_loss")

    def __init__(
        self,
        boxes_per_cell: int = 2,
        box_weight: float = 5.0,
        no_object_weight: float = 0.5,
        rescore: bool = True,
    ):
        if boxes_per_cell < 1:
            raise InputError(f"got boxes_per_cell={boxes_per_cell}, expected 1 or more")
        self.boxes_per_cell = boxes_per_cell
        self.box_weight = box_weight
        self.no_object_weight = no_object_weight
        self.rescore = rescore

    def losses(self, network, outputs, targets, size, training):
        things = objects(targets)
        raw, classes = self._split(outputs["grid"])  # (batch, cells, boxes, 5), (..., num_classes)
        grid = outputs["grid"].shape[1:3]
        full, occupied = first_in_cell(things, cell_of(things.boxes, grid, size), grid[0] * grid[1])
        own = tf.gather(things.boxes, full, batch_dims=1)[:, :, None]  # (batch, cells, 1, 4)
        wanted = _to_raw(own, grid, size)
        boxes = tf.stop_gradient(_to_boxes(raw[..., :4], grid, size))
        overlaps = box_ops.iou(boxes, own)[..., 0]  # (batch, cells, boxes)
        responsible = _responsible(overlaps, boxes, own) & occupied[..., None]
        flat = tf.reshape(boxes, (tf.shape(boxes)[0], -1, 4))
        ignored = tf.reshape(inside_ignored(flat, things), tf.shape(overlaps))

        def total(errors, taking_part):
            # Zero before it is squared: an unused error may be of any size.
            errors = tf.where(taking_part, errors, 0) ** 2
            return tf.reduce_sum(tf.reduce_mean(errors, axis=0))

        confidence = overlaps if self.rescore else tf.ones_like(overlaps)
        one_hot = tf.one_hot(tf.gather(things.classes, full, batch_dims=1), classes.shape[-1])
        return {
            "box_loss": self.box_weight * total(raw[..., :4] - wanted, responsible[..., None]),
            "object_loss": total(raw[..., 4] - confidence, responsible),
            "no_object_loss": self.no_object_weight * total(raw[..., 4], ~responsible & ~ignored),
            "class_loss": total(classes - one_hot, occupied[..., None]),
        }

    def candidates(self, network, outputs, size):
        raw, classes = self._split(outputs["grid"])
        boxes = _to_boxes(raw[..., :4], outputs["grid"].shape[1:3], size)
        scores = tf.clip_by_value(raw[..., 4:] * classes[:, :, None], 0, 1)
        batch = tf.shape(boxes)[0]
        count = boxes.shape[1] * boxes.shape[2]
        return tf.reshape(boxes, (batch, count, 4)), tf.reshape(
            scores, (batch, count, classes.shape[-1])
        )

    def _split(self, grid) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns (batch, cells, boxes, 5) and (batch, cells, classes) of a network's output."""
        rows, columns, numbers = grid.shape[1:]
        of_boxes = 5 * self.boxes_per_cell
        if numbers <= of_boxes:
            raise InputError(
                f"got {numbers} numbers in a cell for {self.boxes_per_cell} boxes, expected 5 "
                "each and one per class: give the method the network's boxes_per_cell"
            )
        cells = tf.reshape(tf.cast(grid, tf.float32), (-1, rows * columns, numbers))
        shape = (-1, rows * columns, self.boxes_per_cell, 5)
        return tf.reshape(cells[..., :of_boxes], shape), cells[..., of_boxes:]

    def get_config(self):
        names = ("boxes_per_cell", "box_weight", "no_object_weight", "rescore")
        return {name: getattr(self, name) for name in names}


def cell_of(boxes, grid, size) -> tf.Tensor:
    """Returns the number of the cell with each box's centre; row by row, the nearest if outside.

    Args:
        boxes: (batch, objects, 4) in pixels of a picture.
        grid: (rows, columns).
        size: (height, width) of the picture.

    Returns:
        (batch, objects) int32.
    """
    (rows, columns), (height, width) = grid, size
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2 * (columns / width, rows / height)
    places = tf.clip_by_value(tf.cast(tf.floor(centres), tf.int32), 0, (columns - 1, rows - 1))
    return places[..., 1] * columns + places[..., 0]


def first_in_cell(things, places, count: int) -> tuple[tf.Tensor, tf.Tensor]:
    """Returns the number of the first object in each place, and whether there is any.

    Args:
        things: `Objects`; those that are counted have a place.
        places: (batch, objects) int32, the number of each one's place.
        count: number of places.

    Returns:
        (batch, count) int32, 0 where there is none, and (batch, count) bool.
    """
    here = (places[:, None] == tf.range(count)[:, None]) & things.counted[:, None]
    first = tf.argmax(tf.cast(here, tf.int32), axis=-1, output_type=tf.int32)
    return first, tf.reduce_any(here, axis=-1)


def _cells(grid) -> tf.Tensor:
    """Returns (cells, 1, 2) float32 column and row of each cell."""
    rows, columns = tf.meshgrid(tf.range(grid[0]), tf.range(grid[1]), indexing="ij")
    return tf.cast(tf.reshape(tf.stack([columns, rows], axis=-1), (-1, 1, 2)), tf.float32)


def _to_boxes(raw, grid, size) -> tf.Tensor:
    """Returns (batch, cells, boxes, 4) corners in pixels of x, y, root width, root height."""
    pixels = tf.constant([size[1], size[0]], tf.float32)  # width, height
    centres = (raw[..., :2] + _cells(grid)) * pixels / (grid[1], grid[0])
    half = raw[..., 2:] ** 2 * pixels / 2
    return tf.concat([centres - half, centres + half], axis=-1)


def _to_raw(boxes, grid, size) -> tf.Tensor:
    """Returns what a cell's output should be for (batch, cells, 1, 4) boxes."""
    pixels = tf.constant([size[1], size[0]], tf.float32)
    centres = (boxes[..., :2] + boxes[..., 2:]) / 2 / pixels * (grid[1], grid[0])
    roots = tf.sqrt((boxes[..., 2:] - boxes[..., :2]) / pixels)
    return tf.concat([centres - _cells(grid), roots], axis=-1)


def _responsible(overlaps, boxes, own) -> tf.Tensor:
    """Returns which box of each cell (batch, cells, boxes) is the best for the cell's object."""
    distance = tf.reduce_sum((boxes - own) ** 2, axis=-1)
    quality = tf.where(tf.reduce_any(overlaps > 0, -1, keepdims=True), overlaps, -distance)
    return tf.one_hot(tf.argmax(quality, -1), quality.shape[-1], True, False, dtype=tf.bool)
