"""What in a network is likely to be better otherwise: the course's guidelines as checks."""

import dataclasses
import math
from collections.abc import Iterator

import keras
from keras import layers

from dlcv_tf.models.summary import kinds
from dlcv_tf.models.summary.calls import Call, Graph

SATURATING = ("sigmoid", "tanh", "hard_sigmoid", "softsign")
DENSE_SHARE = 0.8  # of all parameters, from which fully connected layers are worth a word
DENSE_PARAMETERS = 1_000_000  # below, it does not matter


@dataclasses.dataclass(frozen=True)
class Lint:
    """One piece of advice.

    Args:
        layers: which layers it is about.
        message: what is there, why it matters and what to do.
    """

    layers: tuple[str, ...]
    message: str


def lint(graph: Graph) -> list[Lint]:
    """Returns the advice on a network's graph, in the order of its layers."""
    return [
        *_saturating(graph),
        *_biases_before_norms(graph),
        *_fully_connected_share(graph),
    ]


def _saturating(graph: Graph) -> Iterator[Lint]:
    """Finds sigmoid and tanh between hidden layers (row 48 of the curriculum).

    Those that give the model's answers or gate a product are in their place; so are those inside
    recurrent cells.
    """
    found = {name: [] for name in SATURATING}
    for call in graph.calls:
        layer = call.operation
        if not isinstance(layer, keras.layers.Layer) or isinstance(layer, layers.RNN):
            continue
        name = getattr(getattr(layer, "activation", None), "__name__", type(layer).__name__.lower())
        if name in found and not (_is_answer(call, graph) or _is_gate(call, graph)):
            found[name].append(call.name)
    for name, names in found.items():
        why = "its gradient vanishes where it saturates"
        if "sigmoid" in name:
            why += " and its outputs are all positive"
        if names:
            yield Lint(
                tuple(names),
                f"{name} in a hidden layer: {why}; take ReLU, or try leaky ReLU, ELU or maxout",
            )


def _biases_before_norms(graph: Graph) -> Iterator[Lint]:
    """Finds layers whose bias the batch normalisation behind them takes away again."""
    found = {}
    for call in graph.calls:
        layer = call.operation
        if not getattr(layer, "use_bias", False) or isinstance(layer, layers.RNN):
            continue
        linear = getattr(layer, "activation", None) in (None, keras.activations.linear)
        behind = _behind(call, graph)
        normed = behind and all(isinstance(each.operation, kinds.BATCH_NORMS) for each in behind)
        if linear and normed:
            found[call.name] = math.prod(layer.bias.shape)
    if found:
        yield Lint(
            tuple(found),
            f"{sum(found.values()):,} biases that the batch normalisation behind them subtracts "
            "again: set use_bias=False",
        )


def _fully_connected_share(graph: Graph) -> Iterator[Lint]:
    """Finds convolutional networks whose parameters are nearly all in fully connected layers."""
    own = {id(call.operation): call for call in graph.calls}.values()
    counts = {
        call.name: call.operation.count_params()
        for call in own
        if isinstance(call.operation, keras.layers.Layer) and call.operation.built
    }
    dense = {call.name for call in own if isinstance(call.operation, kinds.FULLY_CONNECTED)}
    total, in_dense = sum(counts.values()), sum(counts[name] for name in dense)
    convolutional = any(isinstance(call.operation, kinds.CONVOLUTIONS) for call in own)
    if convolutional and in_dense >= max(DENSE_PARAMETERS, DENSE_SHARE * total):
        largest = max(dense, key=counts.get)
        yield Lint(
            (largest,),
            f"{in_dense:,} of {total:,} parameters ({in_dense / total:.0%}) are in fully connected "
            f"layers, {counts[largest]:,} of them here: average over the map before it "
            "(GlobalAveragePooling2D), or make it narrower",
        )


def _behind(call: Call, graph: Graph) -> list[Call]:
    """Returns the calls that take a call's outputs."""
    given = {id(each) for each in call.outputs}
    return [each for each in graph.calls if given & {id(tensor) for tensor in each.inputs}]


def _is_answer(call: Call, graph: Graph) -> bool:
    """Says whether a call gives the model's outputs, perhaps scaled or reshaped."""
    if {id(each) for each in call.outputs} & {id(each) for each in graph.outputs}:
        return True
    passing = (layers.Rescaling, layers.Reshape, layers.Flatten, layers.Identity)
    behind = _behind(call, graph)
    return bool(behind) and all(
        isinstance(each.operation, passing) and _is_answer(each, graph) for each in behind
    )


def _is_gate(call: Call, graph: Graph) -> bool:
    """Says whether a call's outputs only multiply others, as in squeeze-and-excitation."""
    passing = (layers.Reshape, layers.Identity)
    behind = _behind(call, graph)
    return bool(behind) and all(
        type(each.operation).__name__ == "Multiply"
        or (isinstance(each.operation, passing) and _is_gate(each, graph))
        for each in behind
    )
