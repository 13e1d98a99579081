"""Circuits of gates, drawn as in the lectures: values above the wires, gradients beneath."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Circle

from dlcv_tf.errors import InputError
from dlcv_tf.plots import style

ROW_HEIGHT = 0.62  # inches
RADIUS = 0.21  # inches: of a gate
BESIDE = 0.06  # inches from a gate to its numbers
LEVEL = 0.68  # inches from a gate's centre over which its wire is level


@dataclasses.dataclass(frozen=True)
class Node:
    """An input or a gate.

    Args:
        label: what stands in the circle, e.g. `"+"`; of an input, its name.
        inputs: numbers of the nodes it takes, all of which stand before it.
        value: its output.
        gradient: that of the circuit's output by this one.
    """

    label: str
    inputs: Sequence[int]
    value: float
    gradient: float


def draw(nodes: Sequence[Node], width: float = style.WIDE) -> Figure:
    """Draws a circuit from left to right; the last node is its output.

    Args:
        nodes: each after its inputs.
        width: of the figure, in inches.

    Raises:
        InputError: no node, or one that stands before its inputs.
    """
    if not nodes or any(
        number <= max(node.inputs, default=-1) for number, node in enumerate(nodes)
    ):
        raise InputError("got no node or one before its inputs, expected each after its inputs")
    columns, rows = _layout(nodes)
    height = (max(rows) + 1) * ROW_HEIGHT
    step = width / (max(columns) + 1)
    figure = style.figure(width, height)
    axes = style.axes(figure, 0, 0, width, height)
    axes.set(xlim=(0, width), ylim=(height, 0))
    places = [
        (RADIUS + 0.05 + column * step, (row + 0.5) * ROW_HEIGHT)
        for column, row in zip(columns, rows, strict=True)
    ]
    for (x, y), node in zip(places, nodes, strict=True):
        for other in node.inputs:
            start, level = places[other]
            wire = (start, start + LEVEL, x), (level, level, y)  # level between its numbers
            axes.plot(*wire, color=style.LIGHT["line"], zorder=1)
    last = len(nodes) - 1
    for number, ((x, y), node) in enumerate(zip(places, nodes, strict=True)):
        if number == last:
            axes.plot((x, x + step - RADIUS), (y, y), color=style.LIGHT["line"], zorder=1)
        edge = "accent" if node.inputs else "paper"
        disc = Circle((x, y), RADIUS, facecolor=style.LIGHT["paper"], zorder=2)
        disc.set_edgecolor(style.LIGHT[edge])
        axes.add_patch(disc)
        at = {"transform": axes.transData, "zorder": 3}
        style.write(axes, x, y, node.label, "ink", ha="center", va="center", **at)
        beside = x + RADIUS + BESIDE
        style.write(axes, beside, y - 0.03, f"{node.value:.3g}", "green", va="bottom", **at)
        style.write(axes, beside, y + 0.03, f"{node.gradient:.3g}", "wrong", va="top", **at)
    return figure


def _layout(nodes: Sequence[Node]) -> tuple[list[int], list[float]]:
    """Returns each node's column, one right of its inputs, and its row, amid its inputs."""
    columns, rows, inputs = [], [], 0
    for node in nodes:
        columns.append(1 + max((columns[each] for each in node.inputs), default=-1))
        if node.inputs:
            rows.append(float(np.mean([rows[each] for each in node.inputs])))
        else:
            rows.append(float(inputs))
            inputs += 1
    return columns, rows
