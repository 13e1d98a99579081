"""What every layer of a Keras model costs and sees: shapes, parameters, memory, MACs, fields.

Conventions: one example; a MAC is one multiplication with its addition, and those of convolutions
(on padding too), dense layers and recurrent cells are counted, biases and all other layers are not,
and a network that runs on each region of a picture counts once for each of them;
memory is what the layers' outputs take, each once, nothing for views (flatten, reshape, identity);
receptive fields are those of the first input and may reach into its padding.
"""

import dataclasses
import math
from collections.abc import Iterable, Sequence

import keras
import tensorflow as tf
from keras import layers

from dlcv_tf.errors import InputError
from dlcv_tf.layers import EachRegion, NeighbourVotes
from dlcv_tf.models.summary import calls, fields, kinds, lints


@dataclasses.dataclass(frozen=True)
class Row:
    """One call of a layer or operation.

    Args:
        name: of the layer.
        kind: its class.
        output_shape: without the batch; of the first output.
        parameters: all, those of a layer that is called again not counted again.
        trainable: those that training changes.
        memory: bytes of the outputs.
        dtype: of the first output.
        macs: multiply-adds, or None where they are not known.
        field: pixels of the receptive field along each axis, or None.
        stride: pixels of the input from one output to the next along each axis; 0 where all
            outputs see the same.
    """

    name: str
    kind: str
    output_shape: tuple[int, ...]
    parameters: int
    trainable: int
    memory: int
    dtype: str
    macs: int | None
    field: tuple[int, ...] | None
    stride: tuple[float, ...] | None


@dataclasses.dataclass(frozen=True)
class Summary:
    """A model as a table.

    Args:
        name: of the model.
        input_shape: of its first input, without the batch.
        rows: one for each call, in order.
        seen: pixels of the first input, along each axis, that the outputs depend on: its
            effective size; None where it is not known.
        warnings: what is likely to be better otherwise, and how.
    """

    name: str
    input_shape: tuple[int, ...]
    rows: tuple[Row, ...]
    seen: tuple[int, ...] | None
    warnings: tuple[lints.Lint, ...]

    @property
    def parameters(self) -> int:
        """Returns all parameters."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """Returns the parameters that training changes."""
        return sum(row.trainable for row in self.rows)

    @property
    def macs(self) -> int:
        """Returns the known multiply-adds of one example."""
        return sum(row.macs or 0 for row in self.rows)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Returns the layers whose multiply-adds are not known."""
        return tuple(row.name for row in self.rows if row.macs is None)

    @property
    def memory(self) -> int:
        """Returns the bytes of all outputs of one example."""
        return sum(row.memory for row in self.rows)


def summarize(model: keras.Model, input_shape: Sequence[int] | None = None) -> Summary:
    """Returns what every layer of a model costs and sees.

    Args:
        model: functional, `Sequential` or subclassed model, models in it included.
        input_shape: of its first input without the batch; needed where the model leaves it open.

    Raises:
        InputError: see `calls.trace`.

    Example:
        >>> from dlcv_tf import models
        >>> facts = summarize(models.lenet5((32, 32, 1), 10))
        >>> facts.parameters, facts.macs, facts.seen
        (61706, 416520, (32, 32))
    """
    graph = calls.trace(model, input_shape)
    known = fields.fields(graph)
    rows, counted = [], set()
    for call in graph.calls:
        weights = [each for each in _weights(call.operation) if id(each) not in counted]
        counted |= {id(each) for each in weights}
        first = call.outputs[0]
        field = known[id(first)]
        row = Row(
            name=call.name,
            kind=type(call.operation).__name__,
            output_shape=tuple(first.shape[1:]),
            parameters=_size(weights),
            trainable=_size(each for each in weights if each.trainable),
            memory=_memory(call),
            dtype=str(first.dtype),
            macs=_macs(call),
            field=None if field is None else tuple(span.size for span in field),
            stride=None if field is None else tuple(span.jump for span in field),
        )
        rows.append(row)
    return Summary(
        name=model.name,
        input_shape=tuple(graph.inputs[0].shape[1:]),
        rows=tuple(rows),
        seen=_seen(graph, known),
        warnings=tuple(lints.lint(graph)),
    )


def macs(model: keras.Model, input_shape: Sequence[int] | None = None) -> int:
    """Returns the multiply-adds of one example's way forward.

    Raises:
        InputError: a layer has weights, but it is not known what it does with them.
    """
    summary = summarize(model, input_shape)
    if summary.uncounted:
        raise InputError(
            f"got the layers {', '.join(summary.uncounted)}, expected only kinds whose work is "
            "known: say in models/summary/table.py what they take"
        )
    return summary.macs


def _macs(call: calls.Call) -> int | None:
    """Returns the multiply-adds of one call: a kernel's numbers times the places it is put at."""
    layer = call.operation
    kernels = [each for each in _weights(layer) if len(each.shape) > 1]
    if not kernels or isinstance(layer, layers.Embedding | layers.PReLU):
        return 0
    if isinstance(layer, kinds.RECURRENT):
        steps = call.inputs[0].shape[1]
        return steps * _size([layer.cell.kernel, layer.cell.recurrent_kernel])
    if isinstance(layer, kinds.TRANSPOSED):  # each input pixel is spread by the kernel
        return math.prod(fields.places(call.inputs[0], layer)) * _size(kernels)
    if isinstance(layer, kinds.CONVOLUTIONS + kinds.FULLY_CONNECTED):
        return math.prod(fields.places(call.outputs[0], layer)) * _size(kernels)
    if isinstance(layer, NeighbourVotes):  # the picture's product with every example
        return _size([layer.examples])
    regions, inside = _inside(call)
    if regions:
        each = [_macs(inner) for inner in inside]
        return None if None in each else regions * sum(each)
    return None


def _memory(call: calls.Call) -> int:
    """Returns the bytes of what a call makes."""
    if isinstance(call.operation, kinds.VIEWS):
        return 0
    regions, inside = _inside(call)
    if regions:
        return regions * sum(map(_memory, inside))
    return sum(map(_bytes, call.outputs))


def _inside(call: calls.Call) -> tuple[int, tuple[calls.Call, ...]]:
    """Returns how many regions a network in a call runs on, and its own calls for one of them."""
    layer = call.operation
    if not (isinstance(layer, EachRegion) and isinstance(layer.layer, keras.Model)):
        return 0, ()
    regions, *shape = call.inputs[0].shape[1:]
    return regions, calls.trace(layer.layer, shape).calls[1:]  # without its input


def _seen(graph: calls.Graph, known: dict[int, fields.Field]) -> tuple[int, ...] | None:
    """Returns the pixels along each axis from the first to the last that some output sees."""
    ends = [(known[id(each)], fields.places(each, None)) for each in graph.outputs]
    if any(field is None for field, _ in ends):
        return None
    ends = [fields.collapsed(field, sizes) for field, sizes in ends if field]
    seen = []
    for size, *spans in zip(graph.inputs[0].shape[1:-1], *ends, strict=bool(ends)):
        first = max(0, min(span.first for span in spans))
        last = min(size - 1, max(span.last for span in spans))
        seen.append(max(0, math.floor(last) - math.ceil(first) + 1))
    return tuple(seen)


def _weights(operation) -> list[keras.Variable]:
    return operation.weights if isinstance(operation, keras.layers.Layer) else []


def _size(variables: Iterable[keras.Variable]) -> int:
    return sum(math.prod(each.shape) for each in variables)


def _bytes(tensor: keras.KerasTensor) -> int:
    return math.prod(tensor.shape) * tf.as_dtype(tensor.dtype).size
