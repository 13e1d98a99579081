"""YOLO: one pass over a grid, https://arxiv.org/abs/1506.02640, and its successors with anchors."""

from collections.abc import Sequence

import keras
from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.layers import blocks
from dlcv_tf.models.detect import backbone, ssd

LEAK = 0.1  # of the leaky ReLU before the published network's last layer (section 2.2)


def yolo(
    input_shape: tuple[int, int, int],
    num_classes: int,
    widths: Sequence[int] = (16, 32, 64, 128),
    depths: Sequence[int] = (1, 1, 2, 2),
    grid: int = 7,
    boxes_per_cell: int = 2,
    hidden_units: int | None = 256,
) -> keras.Model:
    """Builds the first YOLO: each cell of a grid predicts a few boxes and one class.

    The paper's form has 24 convolutions, two fully connected layers (`hidden_units=4096`) and
    `grid=7`, `boxes_per_cell=2`: 7x7x30 numbers for the 20 classes of VOC.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: number of classes; there is no background.
        widths: filters of each stage of the backbone, which halves the size.
        depths: 3x3 convolutions of each stage.
        grid: cells along each side of the picture.
        boxes_per_cell: boxes that each cell predicts.
        hidden_units: of the fully connected layer, which sees all of the picture; None for a 1x1
            convolution on features that have the size of the grid.

    Returns:
        Model from (batch, height, width, channels) to `{"grid": (batch, grid, grid,
        5 * boxes_per_cell + num_classes)}`, linear: for each box x, y (within the cell, 0 to 1),
        the square roots of width and height (as parts of the picture) and the confidence, then
        the classes.

    Raises:
        InputError: without hidden units, the features have not the size of the grid.
    """
    images = keras.Input(input_shape, name="images")
    x = list(backbone.plain(images, widths, depths).values())[-1]
    numbers = 5 * boxes_per_cell + num_classes
    if hidden_units is None:
        if tuple(x.shape[1:3]) != (grid, grid):
            raise InputError(
                f"got features of {x.shape[1]}x{x.shape[2]} cells for a grid of {grid}x{grid}: "
                "choose the grid, the stages or the picture's size to fit, or hidden_units"
            )
        x = layers.Conv2D(numbers, 1, name="grid")(x)
        return keras.Model(images, {"grid": x}, name="yolo")
    x = layers.Flatten(name="flat")(x)
    x = layers.Dense(hidden_units, kernel_initializer="he_normal", name="hidden")(x)
    x = layers.LeakyReLU(LEAK, name="hidden_leaky")(x)
    x = layers.Dense(grid * grid * numbers, name="predictions")(x)
    x = layers.Reshape((grid, grid, numbers), name="grid")(x)
    return keras.Model(images, {"grid": x}, name="yolo")


def yolo_anchors(
    input_shape: tuple[int, int, int],
    num_classes: int,
    widths: Sequence[int] = (16, 32, 64, 96, 128),
    depths: Sequence[int] = (1, 2, 2, 2, 1),
    strides: Sequence[int] = (8, 16, 32),
    anchors_per_cell: Sequence[int] = (3, 3, 3),
    top_down: bool = True,
) -> keras.Model:
    """Builds a successor of YOLO: fully convolutional, every anchor with its own class.

    YOLOv2 (https://arxiv.org/abs/1612.08242) has one grid of five anchors, YOLOv3
    (https://arxiv.org/abs/1804.02767) three of three, the finer ones with the coarser features
    brought up to them (`top_down`).

    Args:
        input_shape: (height, width, channels) of the preprocessed picture; sides divisible by the
            largest stride where features go top down.
        num_classes: number of classes; there is no background.
        widths: filters of each stage of the backbone, which halves the size.
        depths: 3x3 convolutions of each stage.
        strides: pixels between the cells of each grid, finest first.
        anchors_per_cell: how many anchors each grid has in a cell.
        top_down: bring the features of each coarser grid up to the next finer one.

    Returns:
        Model from (batch, height, width, channels) to `{"boxes": (batch, anchors, 4),
        "objectness": (batch, anchors, 1), "classes": (batch, anchors, num_classes)}`, linear;
        anchors go by grid, row, column and anchor of the cell.

    Raises:
        InputError: not one number of anchors per grid, a stride that the backbone lacks, or sides
            that do not fit `top_down`.
    """
    ssd.check_anchors(strides, anchors_per_cell)
    images = keras.Input(input_shape, name="images")
    grids = backbone.chosen(backbone.plain(images, widths, depths), strides)
    if top_down:
        grids = _top_down(grids, strides)
    parts = {"boxes": 4, "objectness": 1, "classes": num_classes}
    rows = {name: [] for name in parts}
    for stride, features, count in zip(strides, grids, anchors_per_cell, strict=True):
        for name, numbers in parts.items():
            rows[name].append(ssd.head(features, count, numbers, 1, f"{name}{stride}"))
    outputs = {name: ssd.joined(rows[name], name) for name in parts}
    return keras.Model(images, outputs, name="yolo_anchors")


def _top_down(grids: list, strides: Sequence[int]) -> list:
    """Joins each grid's features with those of the next coarser one, enlarged."""
    merged = [grids[-1]]
    for number in range(len(grids) - 2, -1, -1):
        fine, coarse = grids[number], merged[0]
        width = fine.shape[-1]
        factor = strides[number + 1] // strides[number]
        name = f"down{strides[number]}"
        x = blocks.convolution_relu(coarse, width, 1, name=f"{name}_narrow")
        x = layers.UpSampling2D(factor, name=f"{name}_up")(x)
        if x.shape[1:3] != fine.shape[1:3]:
            raise InputError(
                f"got features of {tuple(fine.shape[1:3])} cells below {tuple(x.shape[1:3])} "
                f"enlarged ones, expected a picture whose sides {strides[-1]} divides"
            )
        x = layers.Concatenate(name=f"{name}_joined")([fine, x])
        merged.insert(0, blocks.convolution_relu(x, width, name=f"{name}_mixed"))
    return merged
