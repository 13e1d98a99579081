"""SSD: one pass, anchors of several sizes on several grids, https://arxiv.org/abs/1512.02325."""

from collections.abc import Sequence

import keras
from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.models.detect import backbone


def ssd(
    input_shape: tuple[int, int, int],
    num_classes: int,
    widths: Sequence[int] = (16, 32, 64, 96, 128),
    depths: Sequence[int] = (1, 2, 2, 2, 1),
    strides: Sequence[int] = (8, 16, 32),
    anchors_per_cell: Sequence[int] = (4, 6, 6),
) -> keras.Model:
    """Builds a single-shot multibox network on a narrow backbone.

    On the features of each chosen stage, one 3x3 convolution predicts the class scores and one
    the box of every anchor (section 2.1). The anchors themselves belong to the method that trains
    and reads the network: this only knows how many there are in a cell. The paper has VGG-16 below
    and six grids of 4 or 6 anchors.

    Args:
        input_shape: (height, width, channels) of the preprocessed picture.
        num_classes: number of classes, without the background.
        widths: filters of each stage of the backbone, which halves the size.
        depths: 3x3 convolutions of each stage.
        strides: pixels between the cells of each grid, some of 2, 4, 8, ...
        anchors_per_cell: how many anchors each grid has in a cell.

    Returns:
        Model from (batch, height, width, channels) to `{"logits": (batch, anchors, num_classes +
        1), "deltas": (batch, anchors, 4)}`: class 0 is the background; anchors go by grid, row,
        column and anchor of the cell.

    Raises:
        InputError: not one number of anchors per grid, or a stride that the backbone lacks.
    """
    images = keras.Input(input_shape, name="images")
    grids = backbone.chosen(backbone.plain(images, widths, depths), strides)
    check_anchors(strides, anchors_per_cell)
    logits, deltas = [], []
    for stride, features, count in zip(strides, grids, anchors_per_cell, strict=True):
        logits.append(head(features, count, num_classes + 1, 3, f"logits{stride}"))
        deltas.append(head(features, count, 4, 3, f"deltas{stride}"))
    outputs = {"logits": joined(logits, "logits"), "deltas": joined(deltas, "deltas")}
    return keras.Model(images, outputs, name="ssd")


def check_anchors(strides: Sequence[int], anchors_per_cell: Sequence[int]) -> None:
    """Raises an `InputError` unless each grid has a number of anchors."""
    if len(strides) != len(anchors_per_cell) or min(anchors_per_cell, default=0) < 1:
        raise InputError(
            f"got strides={tuple(strides)} and anchors_per_cell={tuple(anchors_per_cell)}, "
            "expected one number of anchors, 1 or more, for each stride"
        )


def head(features, count: int, numbers: int, size: int, name: str):
    """Adds a convolution that predicts some numbers for each anchor: (batch, anchors, numbers)."""
    x = layers.Conv2D(count * numbers, size, padding="same", name=name)(features)
    return layers.Reshape((-1, numbers), name=f"{name}_rows")(x)


def joined(parts: list, name: str):
    """Puts the anchors of all grids into one axis."""
    if len(parts) == 1:
        return layers.Identity(name=name)(parts[0])
    return layers.Concatenate(axis=1, name=name)(parts)
