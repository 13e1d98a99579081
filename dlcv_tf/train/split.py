"""A network run on the parts of a batch side by side, in lock step: data parallelism inside a step.

Kernels of small convolutions scale badly over threads: two parts of a batch with one thread each
are up to twice as fast as the whole batch with two threads (`docs/performance.md`). Each layer is
called on all parts before the next layer is, so that batch normalisation can take its statistics
over the whole batch. The numbers are those of Keras, to rounding.
"""

import contextlib
import functools
from collections.abc import Iterator

import keras
import tensorflow as tf
from keras import layers, tree
from keras.src.models.functional import Functional  # it has no public name

from dlcv_tf.train import kernels

# Layers whose answer for an example depends on that example alone, and which draw no random
# numbers. All others, a user's own among them, are called once, on the whole batch.
PER_EXAMPLE = (
    layers.Activation,
    layers.Add,
    layers.AveragePooling2D,
    layers.Concatenate,
    layers.Conv1D,
    layers.Conv2D,
    layers.Conv2DTranspose,
    layers.Dense,
    layers.DepthwiseConv2D,
    layers.ELU,
    layers.Embedding,
    layers.Flatten,
    layers.GlobalAveragePooling2D,
    layers.GlobalMaxPooling2D,
    layers.GRU,
    layers.Identity,
    layers.LayerNormalization,
    layers.LeakyReLU,
    layers.LSTM,
    layers.MaxPooling2D,
    layers.Multiply,
    layers.PReLU,
    layers.ReLU,
    layers.Rescaling,
    layers.SeparableConv2D,
    layers.SimpleRNN,
    layers.Softmax,
    layers.UpSampling2D,
    layers.ZeroPadding2D,
)


@contextlib.contextmanager
def batch(model: keras.Model, parts: int) -> Iterator[None]:
    """Lets the functional networks of a model run on parts of the batch where they are called.

    Args:
        model: a functional model, or a model that holds some, as a task does.
        parts: how many parts, at most one for each example.
    """
    networks = [model] if isinstance(model, Functional) else model.layers
    networks = [each for each in networks if _is_functional(each)]
    with contextlib.ExitStack() as stack:
        for network in networks:
            stack.enter_context(kernels.replaced(network, call=functools.partial(_call, parts)))
        yield


def _call(parts: int, network, inputs, training=None, mask=None, **_):
    """Does what `Functional.call` does, on parts of the batch when training."""
    if not training or mask is not None or any(x is None for x in tree.flatten(inputs)):
        return type(network).call(network, inputs, training=training, mask=mask)
    tensors = network._standardize_inputs(inputs)
    batch_size = tensors[0].shape[0]
    parts = min(parts, batch_size)
    divided = [_divide(tensor, parts, batch_size) for tensor in tensors]
    outputs = [_join(tensor) for tensor in _run(network, divided, parts, batch_size)]
    return tree.pack_sequence_as(network.output, outputs)


def _run(network, inputs: list, parts: int, batch_size: int) -> list:
    """Runs a functional network in lock step; returns the parts of each of its outputs.

    What has no parts, since its first axis is not the batch, stands whole in their place.
    """
    parts_of = dict(zip(map(id, network.inputs), inputs, strict=True))
    nodes_by_depth = network._nodes_by_depth
    for depth in sorted(nodes_by_depth, reverse=True):
        for node in nodes_by_depth[depth]:
            if node.is_input or not node.operation:
                continue
            outputs = _operate(node, parts_of, parts, batch_size)
            parts_of |= zip(map(id, node.outputs), outputs, strict=True)
    return [parts_of[id(output)] for output in network.outputs]


def _operate(node, parts_of: dict, parts: int, batch_size: int) -> list:
    """Runs one node; returns the parts of each of its outputs."""
    operation = node.operation
    received = [parts_of[id(tensor)] for tensor in node.input_tensors]
    if _is_functional(operation):
        return _run(operation, received, parts, batch_size)
    are_parts = all(isinstance(each, list) for each in received)
    if are_parts and len(received) == 1 and _is_normalization(operation, received[0][0]):
        return [kernels.batch_normalization_of_parts(operation, received[0])]
    if are_parts and _is_per_example(operation, len(received[0][0].shape)):
        answers = [_apply(node, [tensor[n] for tensor in received]) for n in range(parts)]
        return [list(parts_of_one) for parts_of_one in zip(*answers, strict=True)]
    answer = _apply(node, [_join(tensor) for tensor in received])
    return [_divide(tensor, parts, batch_size) for tensor in answer]


def _apply(node, tensors: list) -> list:
    """Calls a node's operation on other tensors than its own; returns its flat outputs."""
    values = dict(zip(map(id, node.input_tensors), tensors, strict=True))
    arguments, keywords = node.arguments.fill_in(values)
    if isinstance(node.operation, keras.layers.Layer) and node.operation._call_has_training_arg:
        keywords = keywords | {"training": True}
    return tree.flatten(node.operation(*arguments, **keywords))


def _is_functional(operation) -> bool:
    """Tells whether an operation is a functional model that is called as Keras calls them."""
    return isinstance(operation, Functional) and type(operation).call is Functional.call


def _is_normalization(operation, part) -> bool:
    rank = len(part.shape)
    return (
        kernels.suits(operation)
        and operation.trainable
        and operation.axis in (-1, rank - 1)
        and part.dtype == tf.float32
        and operation.activity_regularizer is None
    )


def _is_per_example(operation, rank: int) -> bool:
    axes = getattr(operation, "axis", None)
    axes = axes if isinstance(axes, list | tuple) else [-1 if axes is None else axes]
    activation = getattr(operation, "activation", None)
    if 0 in [axis % rank for axis in axes]:
        return False
    if not getattr(activation, "__module__", "keras.src.activations").startswith("keras."):
        return False  # a user's own, which may do anything
    random = getattr(operation, "dropout", 0) or getattr(operation, "recurrent_dropout", 0)
    watched = getattr(operation, "activity_regularizer", None) is not None
    stateful = getattr(operation, "stateful", False)
    return type(operation) in PER_EXAMPLE and not (random or watched or stateful)


def _divide(tensor, parts: int, size: int | None):
    """Returns the parts of a tensor along its first axis, the larger ones first, or it whole."""
    if size is None or not tensor.shape.rank or tensor.shape[0] != size:
        return tensor
    return tf.split(tensor, [(size + parts - 1 - part) // parts for part in range(parts)])


def _join(parts):
    return tf.concat(parts, axis=0) if isinstance(parts, list) else parts
