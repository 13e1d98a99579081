"""Labs of the chapter on detection."""

import numpy as np

from dlcv_tf import data
from dlcv_tf.data import shapes
from dlcv_tf.labs.lab import Finding, Table
from dlcv_tf.ops import matching
from dlcv_tf.plots import detections
from dlcv_tf.tasks.methods import anchors, grid, objects

SHOWN = 3  # scenes in a figure
MANY = 10  # background anchors for each positive one: too many to learn from all


def one_pass(
    *,
    grids: tuple[int, ...] = (1, 2, 3, 4, 7, 14),
    strides: tuple[int, ...] = (4, 8, 16),
    side: float = 14.0,
    boxes_per_cell: int = 2,
) -> Finding:
    """Detection as regression: every object needs a place of its own in one fixed output.

    A network that sees a picture once answers the same number of numbers for every picture. YOLO's
    first form keeps a place for each cell of a grid: an object belongs to the cell with its centre,
    and of two in a cell one is lost. SSD keeps a place for each anchor: an object belongs to all
    anchors that overlap it enough. Both are counted on the drawn scenes. Finer grids lose fewer
    objects and find better anchors, and leave ever more places that must answer "nothing": why SSD
    picks three of them for each positive one, and YOLO weighs theirs by a half.

    Curriculum: row 146.

    Args:
        grids: cells along a side of the picture, for YOLO.
        strides: pixels between the cells, for SSD with square anchors.
        side: of the anchors, pixels; one more is half as large again.
        boxes_per_cell: of YOLO.

    Reference: Redmon et al., https://arxiv.org/abs/1506.02640; Liu et al.,
    https://arxiv.org/abs/1512.02325.
    """
    dataset, info = data.load("shapes", "test", targets="boxes")
    images, targets = next(dataset.batch(info.num_examples).as_numpy_iterator())
    things = objects.objects(targets)
    total, size = int(np.sum(things.counted)), info.image_shape[:2]
    cells = [_cells(things, count, size, total) for count in grids]
    sizes = ((side, side), (1.5 * side, 1.5 * side))
    tiles = [_tiles(things, stride, sizes, size, total) for stride in strides]
    lost = [row["lost"] for row in cells]
    reached = [row["reached"] for row in tiles]
    outputs = [5 * boxes_per_cell + info.num_classes] * len(grids)
    return Finding(
        claim="A single pass gives every object a place in a fixed output: YOLO a cell, SSD the "
        "anchors that overlap it.",
        holds=lost == sorted(lost, reverse=True)
        and reached == sorted(reached, reverse=True)
        and lost[0] > 0.5 > 0.02 > lost[-1]
        and tiles[0]["negatives"] > MANY,
        summary=f"Of {total} objects {lost[0]:.1%} share their cell with an earlier one on a "
        f"{grids[0]}x{grids[0]} grid, {lost[-1]:.1%} on {grids[-1]}x{grids[-1]}. At stride "
        f"{strides[-1]} {reached[-1]:.1%} of them are overlapped by half by an anchor, at stride "
        f"{strides[0]} {reached[0]:.1%}, with {tiles[0]['negatives']:.0f} background anchors for "
        "each positive one.",
        numbers={"objects": total, "cells": cells, "anchors": tiles},
        tables=[
            Table(
                ("grid", "numbers out", "objects lost"),
                [
                    (f"{n}x{n}", f"{n * n * each:,}", f"{row['lost']:.1%}")
                    for n, each, row in zip(grids, outputs, cells, strict=True)
                ],
                f"The first YOLO: {boxes_per_cell} boxes and a class in each cell.",
            ),
            Table(
                ("stride", "anchors", "objects overlapped", "for each object", "background"),
                [
                    (
                        stride,
                        row["anchors"],
                        f"{row['reached']:.1%}",
                        f"{row['positives']:.1f}",
                        f"{row['negatives']:.0f} to 1",
                    )
                    for stride, row in zip(strides, tiles, strict=True)
                ],
                "SSD: objects with an anchor of overlap 0.5 or more, anchors for each object, and "
                "background anchors for each of those.",
            ),
        ],
        figures=_figures(images, targets, size, strides, sizes),
    )


def _cells(things, count: int, size, total: int) -> dict:
    """Counts the objects that a grid of count x count cells has no place for."""
    places = grid.cell_of(things.boxes, (count, count), size)
    _, occupied = grid.first_in_cell(things, places, count * count)
    return {"grid": count, "lost": 1 - int(np.sum(occupied)) / total}


def _tiles(things, stride: int, sizes, size, total: int) -> dict:
    """Counts what the anchors of one grid have to do with the objects."""
    tiles = anchors.grid_anchors(size, (stride,), (sizes,))

    def assigned(best):
        return np.asarray(
            matching.assign(tiles, things.boxes, things.valid, things.ignored, best=best)
        )

    overlapping, matched = assigned(False), assigned("bipartite")
    owned = sum(len(np.unique(row[row >= 0])) for row in overlapping)
    positives = int((matched >= 0).sum())
    return {
        "stride": stride,
        "anchors": len(tiles),
        "reached": owned / total,
        "positives": positives / total,
        "negatives": int((matched == matching.NEGATIVE).sum()) / positives,
    }


def _figures(images, targets, size, strides, sizes) -> dict:
    """Draws some scenes with the cells, and with the anchors, that stand for their objects."""
    picked = np.argsort(-targets["valid"].sum(axis=1), kind="stable")[:SHOWN]
    truth = {name: values[picked] for name, values in targets.items()}
    things = objects.objects(truth)
    count = 7
    places = np.asarray(grid.cell_of(things.boxes, (count, count), size))
    step = np.array(size[::-1]) / count
    corners = np.stack([places % count, places // count], axis=-1) * step
    cells = np.concatenate([corners, corners + step], axis=-1)
    tiles = anchors.grid_anchors(size, strides[1:2], (sizes,))
    matched = np.asarray(
        matching.assign(tiles, things.boxes, things.valid, things.ignored, best="bipartite")
    )
    owners = np.take_along_axis(truth["classes"], np.maximum(matched, 0), axis=1)
    tiles = np.broadcast_to(tiles, (SHOWN, *tiles.shape))
    chosen = {
        "cells": _chosen(np.asarray(things.counted), cells, truth["classes"]),
        "anchors": _chosen(matched >= 0, tiles, owners),
    }
    return {
        f"one_pass_{name}": detections.draw(
            images[picked], places, shapes.LABELS, truth, columns=SHOWN
        )
        for name, places in chosen.items()
    }


def _chosen(is_chosen, boxes, classes) -> dict:
    """Returns, for each picture, the places that stand for an object: no answers, so no scores."""
    return {
        name: [row[kept] for row, kept in zip(rows, is_chosen, strict=True)]
        for name, rows in (("boxes", boxes), ("classes", classes))
    }


LABS = (one_pass,)
