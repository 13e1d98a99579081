"""What happens inside a network: activations, saturated and dead units, gradients, layer by layer.

Works on any functional or Sequential `keras.Model` (of a task: its `.network`), whether a layer has
its activation function inside or behind it as a layer of its own.
"""

import dataclasses
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError, unknown

# Activation functions that stand as layers or operations of their own, by their class's name.
FUNCTIONS = {
    *("relu", "leakyrelu", "prelu", "elu", "selu", "gelu", "silu", "maxout"),
    *("tanh", "sigmoid", "softsign", "hardsigmoid", "hardtanh"),
}
# The values that a function comes near to where it is flat; ELU's is -alpha.
ASYMPTOTES = {
    "tanh": (-1.0, 1.0),
    "softsign": (-1.0, 1.0),
    "hardtanh": (-1.0, 1.0),
    "sigmoid": (0.0, 1.0),
    "hardsigmoid": (0.0, 1.0),
}
PICKED = 2048  # activations of a batch that may go into the sample

MANY_DEAD, MANY_SATURATED = 0.2, 0.5  # parts of a layer from which on it is remarked on
VANISHED, EXPLODED = 1e-3, 1e3  # standard deviations, likewise


@dataclasses.dataclass(frozen=True)
class Activity:
    """What one layer's activation function gave for a data set.

    Args:
        layer: its name.
        function: name of the activation function.
        mean: of all activations.
        std: their standard deviation.
        saturated: part of them within the margin of an asymptote; None for functions without any.
        zeros: part of them that is exactly zero: what a ReLU holds back.
        silent: (*positions, units) bool, true for a unit that is zero for EVERY example. No
            gradient reaches the weights of such a unit: a ReLU is dead.
        sample: (n,) some of the activations, for a histogram.
    """

    layer: str
    function: str
    mean: float
    std: float
    saturated: float | None
    zeros: float
    silent: np.ndarray
    sample: np.ndarray

    @property
    def dead_units(self) -> float:
        """Part of the units that are dead; in a convolution each place of each map is a unit."""
        return float(self.silent.mean())

    @property
    def dead_maps(self) -> float:
        """Part of a convolution's maps that are dead at every place: their filter does not learn.

        The same as `dead_units` for fully connected layers.
        """
        return float(self.silent.reshape(-1, self.silent.shape[-1]).all(axis=0).mean())

    @property
    def remark(self) -> str:
        """What is wrong with the layer and what helps; empty where nothing is."""
        if not np.isfinite(self.std):
            return "not finite: lower the learning rate"
        if self.function == "relu" and self.dead_maps > MANY_DEAD:
            return "dead: lower the learning rate, or take a leaky ReLU"
        if (self.saturated or 0) > MANY_SATURATED:
            return "saturated: smaller initial weights, or a ReLU"
        if self.std < VANISHED:
            return "vanishing: initial weights after Xavier or He, or batch norm"
        if self.std > EXPLODED:
            return "exploding: initial weights after Xavier or He, or batch norm"
        return ""


def activity(
    model: keras.Model,
    inputs,
    *,
    layers: Sequence[str] | None = None,
    margin: float = 0.03,
    batch_size: int = 256,
    sample: int = 20_000,
) -> list[Activity]:
    """Measures every activation function of a network over a data set, in inference.

    Args:
        model: functional or Sequential model.
        inputs: (n, ...) array of what the model takes; or a `tf.data.Dataset` of such batches, with
            or without labels.
        layers: names of the layers to look at, whatever they are; by default those that apply an
            activation function.
        margin: an activation this near to an asymptote counts as saturated: with 0.03 a tanh of
            more than 0.97 or less than -0.97, a sigmoid of more than 0.97 or less than 0.03.
        batch_size: examples at a time.
        sample: activations of a layer to keep, at most, drawn at random.

    Returns:
        One `Activity` for each layer, from the input on.

    Raises:
        InputError: a model without layers to look into, an unknown layer, no examples.

    Example:
        >>> from dlcv_tf import data, models
        >>> images, _ = data.digits.arrays("test")
        >>> network = models.mlp((8, 8, 1), 10)
        >>> [each.layer for each in activity(network, images / 255)]
        ['hidden1', 'hidden2']
    """
    watched = _watched(model, layers)
    tapped = keras.Model(model.inputs, [operation.output for operation, _ in watched])
    meters = [_Meter(operation, function, margin) for operation, function in watched]
    random = np.random.default_rng(0)
    for batch in _batches(inputs, batch_size):
        outputs = tf.nest.flatten(tapped(tf.cast(batch, model.inputs[0].dtype), training=False))
        for meter, values in zip(meters, outputs, strict=True):
            meter.add(values.numpy(), random)
    if not meters[0].count:
        raise InputError("got no examples, expected at least one: is the data set empty?")
    return [meter.result(sample, random) for meter in meters]


def as_table(activities: Sequence[Activity]) -> tuple[list[str], list[list]]:
    """Returns the names of the columns, and one row of text and numbers for each layer."""
    columns = ["layer", "function", "mean", "std", "saturated", "zeros"]
    columns += ["dead units", "dead maps", "remark"]
    rows = [
        [
            each.layer,
            each.function,
            f"{each.mean:+.6f}",
            f"{each.std:.6f}",
            "-" if each.saturated is None else f"{each.saturated:.1%}",
            f"{each.zeros:.1%}",
            f"{each.dead_units:.1%}",
            f"{each.dead_maps:.1%}",
            each.remark,
        ]
        for each in activities
    ]
    return columns, rows


def describe(activities: Sequence[Activity]) -> str:
    """Returns the same as lines of text, to print."""
    columns, rows = as_table(activities)
    widths = [max(len(row[number]) for row in [columns, *rows]) for number in range(len(columns))]

    def line(row):
        cells = [
            text.ljust(width) if number in (0, 1, 8) else text.rjust(width)
            for number, (text, width) in enumerate(zip(row, widths, strict=True))
        ]
        return "  ".join(cells).rstrip()

    return "\n".join(line(row) for row in [columns, *rows])


def gradient_norms(model: keras.Model, inputs, labels, loss: Callable | None = None) -> dict:
    """Measures how much of the loss's gradient arrives at each activation function.

    Args:
        model: as for `activity`.
        inputs: (n, ...) array of what the model takes, one batch.
        labels: (n,) class numbers, or whatever the loss takes.
        loss: function of `(labels, logits)`; softmax cross-entropy by default. Of a model with
            outputs by name it gets those named `logits`.

    Returns:
        The root mean square of the loss's gradient with respect to each layer's activations, by
        the layer's name, from the input on.

    Raises:
        InputError: as `activity`.
    """
    watched = _watched(model, None)
    tapped = keras.Model(model.inputs, [[each.output for each, _ in watched], model.outputs])
    with tf.GradientTape() as tape:
        activations, outputs = tapped(tf.cast(inputs, model.inputs[0].dtype), training=False)
        value = _loss(model, outputs, labels, loss)
    gradients = tape.gradient(value, activations, unconnected_gradients="zero")
    return {
        operation.name: float(np.sqrt(np.mean(np.square(gradient))))
        for (operation, _), gradient in zip(watched, gradients, strict=True)
    }


def gradient_signs(model: keras.Model, inputs, labels, loss: Callable | None = None) -> dict:
    """Measures for how many units the gradient of all weights has one sign.

    The gradient of a unit's weights is its own error times its inputs, `dW = x * delta`. Where all
    inputs are positive (behind a sigmoid or a ReLU, or pictures from 0 to 255), all weights of the
    unit go up or all go down, and a step towards any other direction zig-zags. That is so for
    every example by itself, as measured here; the sum over a batch may mix signs.

    Args:
        model: functional or Sequential model.
        inputs: (n, ...) array of what the model takes; each example takes a backward pass.
        labels: as for `gradient_norms`.
        loss: likewise.

    Returns:
        For each layer with a kernel, by its name: the part of (example, unit) pairs whose weights'
        gradients, where not zero, are all of one sign. Units without any gradient do not count;
        NaN where there is no other.
    """
    found = {layer.name: getattr(layer, "kernel", None) for layer in model.layers}
    kernels = {name: kernel for name, kernel in found.items() if kernel is not None}
    counts = {name: np.zeros(2) for name in kernels}  # of one sign, with any gradient
    inputs, labels = np.asarray(inputs), np.asarray(labels)
    for number in range(len(inputs)):
        example = tf.cast(inputs[number : number + 1], model.inputs[0].dtype)
        with tf.GradientTape() as tape:
            outputs = tf.nest.flatten(model(example, training=False))
            value = _loss(model, outputs, labels[number : number + 1], loss)
        gradients = tape.gradient(value, [kernel.value for kernel in kernels.values()])
        for name, gradient in zip(kernels, gradients, strict=True):
            signs = np.sign(np.asarray(gradient).reshape(-1, gradient.shape[-1]))
            up, down = (signs > 0).any(axis=0), (signs < 0).any(axis=0)
            counts[name] += [(up ^ down).sum(), (up | down).sum()]
    return {name: float(one / any_) if any_ else np.nan for name, (one, any_) in counts.items()}


class ActivityLog(keras.callbacks.Callback):
    """Adds the saturated and the dead part of every layer to the logs of each epoch.

    They are named `saturated/LAYER` (of functions that can) and `dead/LAYER`, and so come into the
    history and, where its callback comes later, TensorBoard.

    Args:
        network: as for `activity`; of a task its `.network`.
        inputs: as for `activity`; of a task what its `.preprocess` gives for some pictures.
        margin: as for `activity`.
    """

    def __init__(self, network: keras.Model, inputs, margin: float = 0.03):
        super().__init__()
        self.network = network
        self.inputs = inputs
        self.margin = margin

    def on_epoch_end(self, epoch, logs=None):
        for each in activity(self.network, self.inputs, margin=self.margin, sample=1):
            if each.saturated is not None:
                logs[f"saturated/{each.layer}"] = each.saturated
            logs[f"dead/{each.layer}"] = each.dead_units


class _Meter:
    """Takes the activations of one layer batch by batch."""

    def __init__(self, operation, function: str, margin: float):
        self.layer, self.function, self.margin = operation.name, function, margin
        self.asymptotes = ASYMPTOTES.get(function, ())
        if function == "elu":
            self.asymptotes = (-float(getattr(operation, "alpha", 1.0)),)
        self.count = self.zeros = self.saturated = 0
        self.total = self.squares = 0.0
        self.silent = True
        self.picked: list[np.ndarray] = []

    def add(self, values: np.ndarray, random: np.random.Generator) -> None:
        self.count += values.size
        self.total += values.sum(dtype=np.float64)
        self.squares += np.square(values, dtype=np.float64).sum()
        self.zeros += np.count_nonzero(values == 0)
        self.silent = self.silent & (values == 0).all(axis=0)
        near = [np.abs(values - asymptote) < self.margin for asymptote in self.asymptotes]
        self.saturated += np.count_nonzero(np.logical_or.reduce(near)) if near else 0
        self.picked.append(random.choice(values.ravel(), PICKED))

    def result(self, sample: int, random: np.random.Generator) -> Activity:
        mean = self.total / self.count
        return Activity(
            layer=self.layer,
            function=self.function,
            mean=float(mean),
            std=float(np.sqrt(max(self.squares / self.count - mean**2, 0))),
            saturated=self.saturated / self.count if self.asymptotes else None,
            zeros=self.zeros / self.count,
            silent=self.silent,
            sample=random.permutation(np.concatenate(self.picked))[:sample],
        )


def _watched(model: keras.Model, names: Sequence[str] | None) -> list[tuple]:
    """Returns the operations to look at, each with the name of its activation function."""
    operations = getattr(model, "operations", None)
    if not operations or not model.inputs:
        raise InputError(
            f"got {model.name}, a {type(model).__name__} whose layers cannot be seen, expected a "
            "functional or built Sequential model: of a task, pass its .network"
        )
    by_name = {operation.name: operation for operation in operations}
    for name in names or ():
        if name not in by_name:
            raise unknown("layer", name, by_name)
    if names is not None:
        return [(by_name[name], _function(by_name[name]) or "none") for name in names]
    watched = [(each, function) for each in operations if (function := _function(each))]
    if not watched:
        raise InputError(
            f"got {model.name}, a network without an activation function, expected at least one: "
            "name the layers to look at"
        )
    return watched


def _function(operation) -> str | None:
    """Returns the name of the activation function that a layer or operation applies, if any."""
    kind = type(operation).__name__.lower()
    if kind in FUNCTIONS:
        return kind
    activation = getattr(operation, "activation", None)
    name = getattr(activation, "__name__", type(activation).__name__).lower().replace("_", "")
    return None if name in ("nonetype", "linear") else name


def _batches(inputs, batch_size: int):
    if isinstance(inputs, tf.data.Dataset):
        pairs = isinstance(inputs.element_spec, tuple)
        return inputs.map(lambda batch, *_: batch) if pairs else inputs
    return [inputs[start : start + batch_size] for start in range(0, len(inputs), batch_size)]


def _loss(model: keras.Model, outputs: list, labels, loss: Callable | None):
    """Returns the mean loss of a model's outputs, given as a flat list."""
    named = tf.nest.pack_sequence_as(model.output, outputs)
    logits = named["logits"] if isinstance(named, dict) else named
    if loss is None:
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    return tf.reduce_mean(loss(labels, logits))
