"""The way of YOLO's successors: an objectness, a class and a shift of the box for each anchor."""

from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.ops import boxes as box_ops
from dlcv_tf.tasks.methods.anchors import check_sizes, grid_anchors
from dlcv_tf.tasks.methods.grid import cell_of, first_in_cell
from dlcv_tf.tasks.methods.method import Method
from dlcv_tf.tasks.methods.objects import inside_ignored, objects


@keras.saving.register_keras_serializable(package="dlcv_tf")
class YOLOAnchorMethod(Method):
    """Training and reading of networks with objectness, classes and boxes for each anchor.

    Of all anchors, the one whose shape is most like the object's stands for it, in the cell with
    the object's centre. A sigmoid keeps the centre in that cell, and the size is the anchor's
    times an exponential. All others learn that there is no object, save those that predict one
    well already (section 2.1 of YOLOv3). Classes are independent of each other.

    Losses are binary cross-entropies and, for boxes, squared errors, where a small object counts
    up to twice as much as one that fills the picture, as in Darknet. They are sums over all anchors
    divided by the number of objects in the batch.

    Args:
        strides: pixels between the cells of each grid, as in the network.
        sizes: for each grid, the (width, height) of the anchors in a cell, pixels of the input.
        ignore: overlap of a prediction with any object above which it is not told that it is wrong.
            YOLOv3 has 0.5, YOLOv2 0.6.
        box_weight: weight of the box loss.
        no_object_weight: weight of the objectness loss where there is no object.

    Reference: Redmon and Farhadi, "YOLO9000", https://arxiv.org/abs/1612.08242, and "YOLOv3",
    https://arxiv.org/abs/1804.02767.
    """

    loss_names = ("box_loss", "object_loss", "no_object_loss", "class_loss")

    def __init__(
        self,
        strides: Sequence[int],
        sizes,
        ignore: float = 0.5,
        box_weight: float = 1.0,
        no_object_weight: float = 1.0,
    ):
        self.strides, self.sizes = check_sizes(strides, sizes)
        self.ignore = ignore
        self.box_weight = box_weight
        self.no_object_weight = no_object_weight

    def losses(self, network, outputs, targets, size, training):
        things = objects(targets)
        anchors = grid_anchors(size, self.strides, self.sizes)
        raw, objectness, classes = self._parts(outputs)
        full, occupied = first_in_cell(things, self._places(things.boxes, size), len(anchors))
        own = tf.gather(things.boxes, full, batch_dims=1)  # (batch, anchors, 4)
        predicted = tf.stop_gradient(self._boxes(raw, size))
        overlaps = tf.where(things.counted[:, None], box_ops.iou(predicted, things.boxes), 0)
        good = tf.reduce_max(overlaps, axis=-1) > self.ignore
        empty = ~occupied & ~good & ~inside_ignored(predicted, things)
        count = tf.maximum(tf.reduce_sum(tf.cast(things.counted, tf.float32)), 1)

        def total(losses, taking_part):
            return tf.reduce_sum(tf.where(taking_part, losses, 0)) / count

        where = tf.cast(occupied, tf.float32)
        found = tf.nn.sigmoid_cross_entropy_with_logits(where, objectness)
        one_hot = tf.one_hot(tf.gather(things.classes, full, batch_dims=1), classes.shape[-1])
        named = tf.nn.sigmoid_cross_entropy_with_logits(one_hot, classes)
        errors = tf.where(occupied[..., None], self._errors(raw, own, size), 0)
        scale = 2 - box_ops.area(own) / (size[0] * size[1])
        return {
            "box_loss": self.box_weight * tf.reduce_sum(errors**2 * scale[..., None]) / count,
            "object_loss": total(found, occupied),
            "no_object_loss": self.no_object_weight * total(found, empty),
            "class_loss": total(named, occupied[..., None]),
        }

    def candidates(self, network, outputs, size):
        raw, objectness, classes = self._parts(outputs)
        scores = tf.sigmoid(objectness)[..., None] * tf.sigmoid(classes)
        return self._boxes(raw, size), scores

    def _parts(self, outputs) -> list[tf.Tensor]:
        """Returns (batch, anchors, 4), (batch, anchors) and (batch, anchors, classes)."""
        raw, objectness, classes = (
            tf.cast(outputs[name], tf.float32) for name in ("boxes", "objectness", "classes")
        )
        return [raw, objectness[..., 0], classes]

    def _cells(self, size) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Returns each anchor's cell's upper left corner, its stride and its own size, pixels."""
        anchors = grid_anchors(size, self.strides, self.sizes)
        cells = [
            -(-size[0] // stride) * -(-size[1] // stride) * len(pairs)
            for stride, pairs in zip(self.strides, self.sizes, strict=True)
        ]
        stride = np.repeat(np.asarray(self.strides, np.float32), cells)[:, None]
        corners = (anchors[:, :2] + anchors[:, 2:]) / 2 - stride / 2
        return corners, stride, anchors[:, 2:] - anchors[:, :2]

    def _boxes(self, raw, size) -> tf.Tensor:
        """Returns (batch, anchors, 4) corners in pixels."""
        corners, stride, anchor = self._cells(size)
        centres = corners + tf.sigmoid(raw[..., :2]) * stride
        half = tf.exp(tf.minimum(raw[..., 2:], box_ops.LARGEST_LOG)) * anchor / 2
        return tf.concat([centres - half, centres + half], axis=-1)

    def _errors(self, raw, own, size) -> tf.Tensor:
        """Returns how far the centres in the cells and the logarithms of sizes are off."""
        corners, stride, anchor = self._cells(size)
        centres = ((own[..., :2] + own[..., 2:]) / 2 - corners) / stride
        sides = tf.where(own[..., 2:] > own[..., :2], own[..., 2:] - own[..., :2], 1)
        sizes = tf.math.log(sides / anchor)
        return tf.concat([tf.sigmoid(raw[..., :2]) - centres, raw[..., 2:] - sizes], axis=-1)

    def _places(self, boxes, size) -> tf.Tensor:
        """Returns the number (batch, objects) of the anchor that stands for each box."""
        places, shapes, start = [], [], 0
        for stride, pairs in zip(self.strides, self.sizes, strict=True):
            grid = [-(-side // stride) for side in size]
            covered = [cells * stride for cells in grid]
            first = start + cell_of(boxes, grid, covered) * len(pairs)
            places += [first + number for number in range(len(pairs))]
            shapes += pairs
            start += grid[0] * grid[1] * len(pairs)
        half = np.asarray(shapes, np.float32) / 2
        sides = (boxes[..., 2:] - boxes[..., :2]) / 2
        alike = box_ops.iou(
            tf.concat([-sides, sides], axis=-1), np.concatenate([-half, half], axis=-1)
        )
        best = tf.argmax(alike, axis=-1, output_type=tf.int32)
        return tf.gather(tf.stack(places, axis=-1), best, batch_dims=2)

    def get_config(self):
        names = ("strides", "sizes", "ignore", "box_weight", "no_object_weight")
        return {name: getattr(self, name) for name in names}
