"""Circuits: every node has its label, its value above and its gradient beneath, clear of wires."""

import pytest
from matplotlib.patches import Circle

from dlcv_tf.errors import InputError
from dlcv_tf.plots import circuits
from dlcv_tf.plots.circuits import Node

CIRCUIT = [
    Node("x", (), -2, -4),
    Node("y", (), 5, -4),
    Node("+", (0, 1), 3, -4),
    Node("z", (), -4, 3),
    Node("×", (2, 3), -12, 1),
]


def test_nodes_values_and_gradients():
    (axes,) = circuits.draw(CIRCUIT).axes
    texts = [each.get_text() for each in axes.texts]
    for node in CIRCUIT:
        assert node.label in texts and f"{node.value:g}" in texts and f"{node.gradient:g}" in texts
    assert len(texts) == 3 * len(CIRCUIT)
    circles = [each for each in axes.patches if isinstance(each, Circle)]
    x = [each.center[0] for each in circles]
    assert x[0] == x[1] == x[3] < x[2] < x[4]  # each right of its inputs
    y = [each.center[1] for each in circles]
    assert y[2] == (y[0] + y[1]) / 2
    assert len(axes.lines) == 4 + 1  # a wire for each input, and the output's


def test_text_is_clear_of_wires_and_of_other_text():
    figure = circuits.draw(CIRCUIT)
    (axes,) = figure.axes
    figure.draw_without_rendering()
    boxes = [each.get_window_extent() for each in axes.texts]
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
        assert figure.bbox.containsx(box.x1) and figure.bbox.containsy(box.y0)
    for line in axes.lines:
        path = line.get_path().transformed(line.get_transform()).interpolated(100)
        for box, text in zip(boxes, axes.texts, strict=True):
            behind_a_disc = any(node.label == text.get_text() for node in CIRCUIT)
            assert behind_a_disc or not any(box.contains(*point) for point in path.vertices)


def test_nodes_before_their_inputs_are_refused():
    for nodes in ([], [Node("+", (1,), 0, 0), Node("x", (), 0, 0)], [Node("+", (0,), 0, 0)]):
        with pytest.raises(InputError, match="expected each after its inputs"):
            circuits.draw(nodes)
