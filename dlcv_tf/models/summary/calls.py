"""The calls of a Keras model's graph, in order, with the shapes they have for one picture."""

import dataclasses
from collections.abc import Iterator, Sequence

import keras

from dlcv_tf.errors import InputError


@dataclasses.dataclass(frozen=True)
class Call:
    """One use of a layer, or of an operation such as `x + y`.

    Args:
        name: the layer's, behind those of the models it is in: `"encoder/conv1"`.
        operation: the layer or `keras.Operation`.
        inputs: symbolic tensors that it takes; their identity joins the calls to a graph.
        outputs: symbolic tensors that it gives, shapes with a batch of one.
    """

    name: str
    operation: keras.Operation
    inputs: tuple[keras.KerasTensor, ...]
    outputs: tuple[keras.KerasTensor, ...]


@dataclasses.dataclass(frozen=True)
class Graph:
    """A model taken apart.

    Args:
        calls: in an order in which they can be computed; inputs first.
        inputs: symbolic inputs of the model.
        outputs: symbolic outputs.
    """

    calls: tuple[Call, ...]
    inputs: tuple[keras.KerasTensor, ...]
    outputs: tuple[keras.KerasTensor, ...]


def trace(model: keras.Model, input_shape: Sequence[int] | None = None) -> Graph:
    """Takes a model apart for one example.

    Models inside are opened too. A subclassed model is called once on symbolic inputs, which works
    where its `call` uses Keras layers and operations only.

    Args:
        model: functional, `Sequential` or subclassed model.
        input_shape: of its (first) input, without the batch; needed where the model leaves sizes
            open.

    Raises:
        InputError: sizes left open, an input shape that is not the model's, or a subclassed model
            whose `call` cannot be followed.
    """
    if isinstance(model, keras.Sequential) and not model.built and input_shape:
        model.build((None, *input_shape))
    inputs = tuple(_inputs(model, input_shape))
    calls = []
    for each in inputs:
        calls.append(Call(each.name, keras.layers.InputLayer(each.shape[1:]), (), (each,)))
    outputs = keras.tree.flatten(_apply(model, inputs, "", calls))
    return Graph(tuple(calls), inputs, tuple(outputs))


def _inputs(model: keras.Model, input_shape: Sequence[int] | None) -> Iterator[keras.KerasTensor]:
    """Gives a symbolic input of batch one for each of the model's, of known size."""
    try:
        declared = [(each.shape[1:], each.dtype, each.name) for each in model.inputs]
    except (AttributeError, ValueError, TypeError):  # not built, or a subclassed model
        declared = []
    if not declared:
        if input_shape is None:
            raise InputError(
                f"got the {type(model).__name__} {model.name!r}, which does not say what it takes: "
                "give the input's shape without the batch, e.g. input_shape=(32, 32, 3), on the "
                "command line --input 32,32,3"
            )
        declared = [((None,) * len(input_shape), model.compute_dtype, "images")]
    for number, (shape, dtype, name) in enumerate(declared):
        known = shape
        if number == 0 and input_shape is not None:
            known = tuple(input_shape)
            fits = len(shape) == len(known) and all(
                own in (None, given) for own, given in zip(shape, known, strict=True)
            )
            if not fits:
                raise InputError(
                    f"got an input of {known}, expected {shape} as {model.name!r} was built: leave "
                    "it out, or build the model for this size"
                )
        if None in known:
            raise InputError(
                f"{model.name!r} takes an input {name!r} of {shape}: give a shape of whole numbers "
                "for it, e.g. input_shape=(224, 224, 3), on the command line --input 224,224,3"
            )
        yield keras.KerasTensor((1, *known), dtype=dtype, name=name)


def _apply(model: keras.Model, inputs, path: str, calls: list[Call]):
    """Appends a model's calls on symbolic inputs; returns its outputs."""

    def visit(operation):
        def compute(*arguments, **options):
            name = f"{path}{operation.name}"
            taken = _tensors((arguments, options))
            if isinstance(operation, keras.Model):
                return _apply(operation, taken, f"{name}/", calls)
            outputs = operation.compute_output_spec(*arguments, **options)
            calls.append(Call(name, operation, tuple(taken), tuple(_tensors(outputs))))
            return outputs

        return compute

    if isinstance(model, keras.Sequential):
        outputs = inputs[0]
        for layer in model.layers:
            outputs = visit(layer)(outputs)
        return outputs
    # Keras has no public way to walk a graph with other shapes than those it was built with.
    if not hasattr(model, "_run_through_graph"):
        model = _functional(model, inputs)
    return model._run_through_graph(list(inputs), operation_fn=visit)


def _functional(model: keras.Model, inputs) -> keras.Function:
    """Returns a subclassed model as a function, by calling it on symbolic inputs."""
    copies = [keras.KerasTensor(each.shape, dtype=each.dtype, name=each.name) for each in inputs]
    try:
        return keras.Function(copies, model.call(*copies))
    except Exception as error:  # whatever a user's code does with a tensor that has no values
        reason = " ".join(str(error).split())[:120]
        raise InputError(
            f"cannot follow the call of {type(model).__name__} {model.name!r} "
            f"({type(error).__name__}: {reason}): give one of its functional or Sequential parts, "
            "or write call with Keras layers and keras.ops"
        ) from error


def _tensors(structure) -> list[keras.KerasTensor]:
    flat = keras.tree.flatten(structure)
    return [each for each in flat if isinstance(each, keras.KerasTensor)]
