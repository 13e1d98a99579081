"""A model on trial: its cost, its gradients and its updates, and everything put back afterwards."""

import contextlib
import typing
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.train import distribute, kernels
from dlcv_tf.train.sanity import switches
from dlcv_tf.train.sanity.sample import Sample


class Cost(typing.NamedTuple):
    """What a batch costs.

    Args:
        cost: the model's own `compute_loss`.
        accuracy: part of the examples whose highest score is the right class.
    """

    cost: float
    accuracy: float


class Probe:
    """A compiled model on trial.

    Two graphs are traced at most: the step as the model is trained, and the bare one, without noise
    (dropout and its like) and label smoothing. They are one where a model has neither. Learning
    rate and strength of the regularisation are variables of these graphs.

    Args:
        model: compiled and built model with one input and one tensor of scores.
        sample: examples it can be called on.

    Raises:
        InputError: not compiled, made under a distribution strategy, or no scores to be found.
    """

    def __init__(self, model: keras.Model, sample: Sample):
        if not getattr(model, "compiled", False):
            raise InputError("got a model that is not compiled: call model.compile(...) first")
        if distribute.strategy_of(model) is not None:
            raise InputError("got a model made under a strategy, expected one made outside of it")
        self.model = model
        # A mixed-precision optimizer scales the loss for another one, which does the updates.
        self.optimizer = getattr(model.optimizer, "inner_optimizer", model.optimizer)
        self.outputs = model(sample.inputs[:2])
        self.classes = self.scores(self.outputs).shape[-1]
        self.takes_logits = expects_logits(model)
        if not model.trainable_variables:
            raise InputError("got a model without trainable weights: set trainable=True on some")
        model.optimizer.build(model.trainable_variables)
        self.is_noisy = bool(switches.noisy_layers(model)) or switches.smoothing(model) > 0
        self._signature = [
            tf.TensorSpec((None, *part.shape[1:]), part.dtype)
            for part in (sample.inputs, sample.labels)
        ]
        self._rate = tf.Variable(0.0, trainable=False)
        self._strength = tf.Variable(1.0, trainable=False)
        self._graphs, self._updates = {}, {}

    def scores(self, outputs) -> tf.Tensor:
        """Returns the (batch, classes) scores among a model's outputs.

        Raises:
            InputError: there is neither one output nor one called `logits`.
        """
        parts = outputs if isinstance(outputs, dict) else {"": outputs}
        found = parts.get("logits", next(iter(parts.values())) if len(parts) == 1 else None)
        if found is None or getattr(found.shape, "rank", 0) != 2:
            shapes = {name: getattr(part, "shape", None) for name, part in parts.items()}
            raise InputError(
                f"got the outputs {shapes}, expected (batch, classes) scores, alone or as 'logits'"
            )
        return found

    def cost(self, batch: Sample, *, noise: bool = False, strength: float = 1.0) -> Cost:
        """Returns what a batch costs in training mode; nothing is learnt.

        Args:
            batch: the examples.
            noise: with dropout, label smoothing and the like.
            strength: of the regularisation, 0 for none.
        """
        self._strength.assign(strength)
        return self._cost(self._graph(noise)(*self._tensors(batch)))

    def gradients(self, batch: Sample) -> list[tuple[keras.Variable, np.ndarray | None]]:
        """Returns every trainable weight with its gradient: None where the cost ignores it."""
        self._strength.assign(1.0)
        gradients = self._graph(noise=False)(*self._tensors(batch))[2]
        pairs = zip(self.model.trainable_variables, gradients, strict=True)
        return [(v, None if g is None else np.asarray(g)) for v, g in pairs]

    def learn(
        self,
        batch: Sample,
        rate: float,
        *,
        noise: bool = True,
        strength: float = 1.0,
        optimizer: keras.optimizers.Optimizer | None = None,
    ) -> Cost:
        """Takes one training step.

        Args:
            batch: the examples.
            rate: learning rate.
            noise: with dropout, label smoothing and the like.
            strength: of the regularisation.
            optimizer: one built for the model's weights; the model's own by default.

        Returns:
            The cost before the step.
        """
        self._strength.assign(strength)
        self._rate.assign(rate)
        result = self._graph(noise)(*self._tensors(batch))
        self._update(optimizer or self.optimizer)(result[2])
        return self._cost(result)

    def decay(self, rate: float) -> None:
        """Takes a step with gradients of zero: what is left of it is the weight decay."""
        self._rate.assign(rate)
        zeros = [tf.zeros(v.shape, v.dtype) for v in self.model.trainable_variables]
        self._update(self.optimizer)(zeros)

    def equal_scores(self, batch: Sample, value: float) -> float:
        """Returns what a batch costs when all scores are equal, without regularisation.

        Args:
            batch: the examples.
            value: of every score.
        """
        with switches.scaled_regularization(self.model, 0.0):
            outputs = self.model(batch.inputs)
            x, y = self._tensors(batch)
            equal = tf.nest.map_structure(lambda part: tf.fill(part.shape, value), outputs)
            equal = tf.nest.map_structure(lambda a, b: tf.cast(a, b.dtype), equal, outputs)
            return float(self.model.compute_loss(x=x, y=y, y_pred=equal))

    @contextlib.contextmanager
    def restored(self) -> Iterator[None]:
        """Puts back every variable of model, optimizer and metrics when the context ends."""
        variables = [*self.model.variables, *self.model.optimizer.variables]
        variables += [v for metric in self.model.metrics for v in metric.variables]
        before = [np.array(variable) for variable in variables]
        try:
            yield
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)

    def _tensors(self, batch: Sample) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.convert_to_tensor(batch.inputs), tf.convert_to_tensor(batch.labels)

    def _cost(self, result) -> Cost:
        return Cost(float(result[0]), float(result[1]))

    def _graph(self, noise: bool):
        """Returns the traced function of inputs and labels: cost, accuracy, gradients."""
        noise = noise and self.is_noisy
        if noise in self._graphs:
            return self._graphs[noise]
        model, weights = self.model, self.model.trainable_variables

        @tf.function(input_signature=self._signature, autograph=False)
        def forward_and_back(inputs, labels):
            with contextlib.ExitStack() as stack:
                stack.enter_context(kernels.fused(model))
                stack.enter_context(switches.no_word_of_softmax())
                stack.enter_context(switches.scaled_regularization(model, self._strength))
                if not noise:
                    stack.enter_context(switches.without_noise(model))
                with tf.GradientTape() as tape:
                    outputs = model(inputs, training=True)
                    cost = self._loss(inputs, labels, outputs)
                gradients = tape.gradient(cost, [weight.value for weight in weights])
            dense = [None if g is None else tf.convert_to_tensor(g) for g in gradients]
            # One probability stands for class 1 above a half, one score above 0.
            bound = 0.5 if self.takes_logits is False else 0.0
            return cost, accuracy(labels, self.scores(outputs), bound), dense

        self._graphs[noise] = forward_and_back
        return forward_and_back

    def _loss(self, inputs, labels, outputs):
        """Returns the model's own loss; InputError where it cannot take class numbers."""
        try:
            return self.model.compute_loss(x=inputs, y=labels, y_pred=outputs)
        except ValueError as error:
            raise InputError(
                f"got a loss that cannot take the labels ({str(error).splitlines()[0]}), expected "
                "one of class numbers: compile with SparseCategoricalCrossentropy in the place of "
                "one for one-hot labels"
            ) from error

    def _update(self, optimizer: keras.optimizers.Optimizer):
        """Returns the traced function of gradients that changes the weights."""
        if id(optimizer) in self._updates:
            return self._updates[id(optimizer)][1]
        weights = self.model.trainable_variables

        @tf.function(autograph=False)
        def update(gradients):
            scale = optimizer.loss_scale_factor or 1.0  # the optimizer divides by it
            given = [
                tf.zeros(v.shape, v.dtype) if g is None else g * scale
                for v, g in zip(weights, gradients, strict=True)
            ]
            with kernels.fused(self.model), switches.learning_rate(optimizer, self._rate):
                optimizer.apply(given, weights)

        self._updates[id(optimizer)] = (optimizer, update)  # kept, so that its id stays its own
        return update


def accuracy(labels: tf.Tensor, scores: tf.Tensor, bound: float = 0.0) -> tf.Tensor:
    """Returns the part of examples whose highest score is that of the right class.

    Args:
        labels: (batch,) or (batch, 1) class numbers, or (batch, classes) one-hot.
        scores: (batch, classes).
        bound: where there is one score, above which it stands for class 1.
    """
    count = scores.shape[-1]
    if count == 1:
        found = tf.cast(scores[:, 0] > bound, tf.int64)
    else:
        found = tf.argmax(scores, axis=-1)
    one_hot = count > 1 and labels.shape.rank == 2 and labels.shape[-1] == count
    right = tf.argmax(labels, axis=-1) if one_hot else tf.cast(tf.reshape(labels, (-1,)), tf.int64)
    return tf.reduce_mean(tf.cast(found == right, tf.float32))


def expects_logits(model: keras.Model) -> bool | None:
    """Tells whether a model's cross-entropy takes scores, True, or probabilities; None: unknown."""
    for loss in tf.nest.flatten(model.loss):
        if isinstance(loss, str) and "crossentropy" in loss:
            return False
        options = getattr(loss, "__dict__", {}) | getattr(loss, "_fn_kwargs", {})
        if "from_logits" in options:
            return bool(options["from_logits"])
    return None
