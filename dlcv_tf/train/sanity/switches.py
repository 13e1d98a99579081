"""Switches for a model while it is traced: noise off, regularisation scaled, learning rate given.

Only what is traced inside these contexts is changed; the model is as before when they end.
"""

import contextlib
import inspect
import warnings
from collections.abc import Iterator

import keras
import tensorflow as tf

from dlcv_tf.train import kernels


def noisy_layers(model: keras.Model) -> list[keras.layers.Layer]:
    """Returns the layers that draw random numbers in training: dropout, noise, random flips."""
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if any(isinstance(value, keras.random.SeedGenerator) for value in vars(layer).values())
        and "training" in inspect.signature(type(layer).call).parameters
    ]


@contextlib.contextmanager
def without_noise(model: keras.Model) -> Iterator[None]:
    """Lets layers that draw random numbers behave as in inference, and no label be smoothed."""
    with contextlib.ExitStack() as stack:
        for layer in noisy_layers(model):
            stack.enter_context(kernels.replaced(layer, call=_as_in_inference))
        for attributes, name in _smoothings(model):
            stack.enter_context(_changed(attributes, name, 0.0))
        yield


def smoothing(model: keras.Model) -> float:
    """Returns how much the compiled loss smooths its labels, 0 for not at all."""
    return max((attributes[name] for attributes, name in _smoothings(model)), default=0.0)


@contextlib.contextmanager
def no_word_of_softmax() -> Iterator[None]:
    """Holds back Keras's warning of a softmax before a loss of scores: step 2 says it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*received `from_logits=True`", UserWarning)
        yield


@contextlib.contextmanager
def scaled_regularization(model: keras.Model, strength) -> Iterator[None]:
    """Multiplies the penalties on weights and activations.

    Args:
        model: the model.
        strength: scalar tensor or variable, read when the traced function runs.
    """
    with contextlib.ExitStack() as stack:
        for variable in regularized(model):
            stack.enter_context(
                _changed(vars(variable), "_regularizer", _Scaled(variable.regularizer, strength))
            )
        for layer in model._flatten_layers():
            if penalty := getattr(layer, "activity_regularizer", None):
                stack.enter_context(
                    _changed(vars(layer), "activity_regularizer", _Scaled(penalty, strength))
                )
        yield


def regularized(model: keras.Model) -> list[keras.Variable]:
    """Returns the trainable weights on which a penalty stands."""
    return [variable for variable in model.trainable_variables if variable.regularizer]


@contextlib.contextmanager
def learning_rate(optimizer: keras.optimizers.Optimizer, rate) -> Iterator[None]:
    """Gives an optimizer another learning rate, in the place of its own or of its schedule.

    Args:
        optimizer: the optimizer.
        rate: scalar tensor or variable, read when the traced function runs.
    """
    with kernels.replaced(
        optimizer, _get_current_learning_rate=lambda _: tf.convert_to_tensor(rate)
    ):
        yield


def learning_rates(optimizer: keras.optimizers.Optimizer) -> tuple[float, float]:
    """Returns the first and the highest learning rate of an optimizer; its schedule is sampled."""
    schedule = optimizer._learning_rate
    if not isinstance(schedule, keras.optimizers.schedules.LearningRateSchedule):
        rates = [float(tf.convert_to_tensor(optimizer.learning_rate))]
    else:
        steps = [0, *sorted({round(1.1**power) for power in range(145)})]  # up to a million
        rates = [float(schedule(step)) for step in steps]
    first, highest = (float(f"{rate:.6g}") for rate in (rates[0], max(rates)))  # as was written
    return first, highest


def _as_in_inference(layer, *inputs, training=None, **options):
    """Stands in for the `call` of a layer that draws random numbers in training."""
    return type(layer).call(layer, *inputs, training=False, **options)


class _Scaled:
    """A regularizer whose penalty is multiplied by a variable."""

    def __init__(self, regularizer, strength):
        self.regularizer, self.strength = regularizer, strength

    def __call__(self, value):
        penalty = self.regularizer(value)
        return penalty * tf.cast(self.strength, penalty.dtype)


def _smoothings(model: keras.Model) -> list[tuple[dict, str]]:
    """Returns where the compiled losses keep their label smoothing: attributes and name."""
    places = []
    for loss in tf.nest.flatten(model.loss):
        for attributes in (getattr(loss, "__dict__", {}), getattr(loss, "_fn_kwargs", {})):
            places += [(attributes, name) for name in ("smoothing", "label_smoothing")]
    return [(attributes, name) for attributes, name in places if attributes.get(name)]


@contextlib.contextmanager
def _changed(attributes: dict, name: str, value) -> Iterator[None]:
    before = attributes[name]
    attributes[name] = value
    try:
        yield
    finally:
        attributes[name] = before
