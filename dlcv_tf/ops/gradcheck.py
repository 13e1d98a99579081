"""Gradient checks: a gradient that was derived, against one measured by finite differences.

A numerical gradient is slow (two evaluations for every number) and only approximate, but easy to
get right. So it is what a gradient written by hand is held against: `gradient_check` for a
function, `check_layer` and `check_loss` for what Keras knows. In a few lines:

    >>> check = check_layer(keras.layers.Dense(3), np.array([[0.1, -0.2]]))
    >>> list(check.variables), check.error < 1e-8
    (['inputs', 'kernel', 'bias'], True)

An error is relative, |a - n| / max(|a|, |n|) of the analytic and the numerical value, and 0 where
both are 0. In float64 with h = 1e-5 a right gradient stays below about 1e-7; above 1e-2 it is
probably wrong; a kink (ReLU, max, hinge) inside the step gives what lies between.

Reference: CS231n notes, "Learning", section "Gradient checks".
"""

import dataclasses
import inspect
import warnings
from collections.abc import Callable, Mapping

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError
from dlcv_tf.ops.finite_differences import Slopes, checked, numerical_gradient, relative_error


class GradientCheckWarning(UserWarning):
    """A gradient check is not what it seems: float32, a kink inside the step, or a NaN derived."""


@dataclasses.dataclass(frozen=True)
class VariableCheck:
    """How well the gradient by one variable agrees.

    Args:
        error: the largest relative error of the elements that were checked.
        index: the element that has it.
        analytic: the derivative there, as derived.
        numerical: and as measured.
        checked: number of elements that were checked.
        kinks: number of those with a kink inside the step.
    """

    error: float
    index: tuple[int, ...]
    analytic: float
    numerical: float
    checked: int
    kinks: int


@dataclasses.dataclass(frozen=True)
class GradientCheck:
    """What a gradient check found; prints as a table.

    Args:
        variables: a `VariableCheck` for every variable, by name.
        settings: in words.
    """

    variables: dict[str, VariableCheck]
    settings: str

    @property
    def error(self) -> float:
        """The largest relative error of all variables; NaN if a derived gradient is not finite."""
        return float(np.max([each.error for each in self.variables.values()]))

    @property
    def kinks(self) -> int:
        """Number of elements with a kink inside the step."""
        return sum(each.kinks for each in self.variables.values())

    def __str__(self):
        wide = max(len("variable"), *map(len, self.variables))
        lines = [self.settings, f"{'variable':{wide}}    error  checked  kinks  largest error at"]
        for name, each in self.variables.items():
            line = f"{name:{wide}}  {each.error:7.1e}  {each.checked:7}  {each.kinks:5}"
            worst = f"{list(each.index)}: {each.analytic:.9g}, measured {each.numerical:.9g}"
            lines.append(f"{line}  {worst}")
        return "\n".join(lines)


def gradient_check(
    f: Callable,
    x,
    h: float = 1e-5,
    centred: bool = True,
    *,
    gradient=None,
    output_gradient=None,
    dimensions: int | None = None,
    seed: int = 0,
) -> GradientCheck:
    """Checks a gradient against finite differences.

    Warns (`GradientCheckWarning`) of float32, whose rounding hides what is to be seen, of kinks,
    where there is no gradient to agree with, and of a derived gradient that is not finite, whose
    error is NaN.

    Args:
        f: function of x, or of keyword arguments if x is a mapping, of TensorFlow operations; of
            anything if `gradient` is given.
        x: float array, or a mapping of names to arrays. Use float64.
        h: step of the finite differences.
        centred: whether to measure on both sides.
        gradient: the derived gradient, an array or a mapping as x is; TensorFlow's by default.
        output_gradient: weights of f's elements, the gradient from above; ones by default.
        dimensions: how many elements of each array to check, chosen at random; all by default.
        seed: of the choice.

    Returns:
        A `GradientCheck`; the variable is called `"x"` if x is an array.

    Raises:
        InputError: x or f(x) not finite, f random, a variable without a gradient, or a gradient
            not of its variable's shape.

    Example:
        >>> check = gradient_check(lambda x: x**3, np.array([1.0, -2.0]))
        >>> check.error < 1e-9, check.variables["x"].checked
        (True, 2)
    """
    if dimensions is not None and dimensions < 1:
        raise InputError(f"got dimensions={dimensions}, expected 1 or more, or None for all")
    if not isinstance(x, Mapping):
        gradients = None if gradient is None else {"x": gradient}
        variables, call = {"x": checked(x, "x")}, lambda x: f(x)
    else:
        variables, gradients, call = {k: checked(v, k) for k, v in x.items()}, gradient, f
    if not np.array_equal(checked(call(**variables), "f(x)"), call(**variables)):
        raise InputError("got an f that is random, expected the same answer for the same x")
    if gradients is None:
        gradients = _tensorflow_gradients(call, variables, output_gradient)
    generator, checks, infinite = np.random.default_rng(seed), {}, []
    for name, value in variables.items():
        derived = _derived(gradients, name, value.shape)
        if not np.isfinite(derived).all():
            infinite.append(name)
        places = np.arange(value.size)
        slopes = numerical_gradient(
            lambda moved, name=name: call(**(variables | {name: moved})),
            value,
            h,
            centred,
            output_gradient=output_gradient,
            places=places if dimensions is None else generator.permutation(places)[:dimensions],
        )
        checks[name] = _compared(derived, slopes)
    dtypes = sorted({value.dtype.name for value in variables.values()})
    sides = "centred" if centred else "one-sided"
    check = GradientCheck(checks, f"{sides} differences, h = {h:g}, {' and '.join(dtypes)}")
    _warn(check, dtypes, infinite)
    return check


def check_layer(
    layer: keras.layers.Layer,
    inputs,
    *,
    training: bool = False,
    h: float = 1e-5,
    centred: bool = True,
    dimensions: int | None = None,
    seed: int = 0,
) -> GradientCheck:
    """Checks the gradients of a Keras layer or model by its inputs and every trainable weight.

    The layer is rebuilt in float64 and left as it is. The gradient from above is random. What is
    random in the layer is drawn once: dropout keeps its mask.

    Args:
        layer: any layer or model, built or not.
        inputs: array, or a nest of arrays as the layer takes it; integers are not checked.
        training: how to call the layer, where it makes a difference.
        h: step of the finite differences.
        centred: whether to measure on both sides.
        dimensions: how many elements of each array to check, chosen at random; all by default.
        seed: of the choice and of the gradient from above.

    Returns:
        A `GradientCheck` of the variables `inputs` (`inputs1`... where there are more) and, by
        their paths, the weights.
    """
    exact = in_float64(layer, inputs)
    arrays = {}
    for number, array in enumerate(map(np.asarray, tf.nest.flatten(inputs))):
        name = f"inputs{number or ''}"
        arrays[name] = array.astype(np.float64) if array.dtype.kind == "f" else array
    weights = {
        variable.path.removeprefix(f"{exact.name}/"): variable.numpy()
        for variable in exact.trainable_variables
    }
    variables = {k: v for k, v in arrays.items() if v.dtype.kind == "f"} | weights
    others = [variable.numpy() for variable in exact.non_trainable_variables]
    takes_training = "training" in inspect.signature(exact.call).parameters
    options = {"training": training} if takes_training else {}

    @tf.function
    def answer(moved):
        given = tf.nest.pack_sequence_as(inputs, [(arrays | moved)[name] for name in arrays])
        trainable = [moved[name] for name in weights]
        outputs, _ = exact.stateless_call(trainable, others, given, **options)
        flat = [tf.reshape(tf.cast(each, tf.float64), [-1]) for each in tf.nest.flatten(outputs)]
        return tf.concat(flat, axis=0)

    # A stream of its own: inputs drawn with the same seed would be the same numbers, along which
    # batch norm's gradient is zero.
    above = np.random.default_rng([seed, 1]).normal(size=answer(variables).shape)
    return gradient_check(
        lambda **moved: answer(moved),
        variables,
        h,
        centred,
        output_gradient=above,
        dimensions=dimensions,
        seed=seed,
    )


def check_loss(
    loss: Callable,
    targets,
    predictions,
    *,
    h: float = 1e-5,
    centred: bool = True,
    dimensions: int | None = None,
    seed: int = 0,
) -> GradientCheck:
    """Checks the gradient of a Keras loss, or of any function, by the predictions.

    Args:
        loss: `keras.losses.Loss`, which is rebuilt in float64, or function of targets, predictions.
        targets: what the loss takes as `y_true`.
        predictions: float array, what it takes as `y_pred`; checked in float64.
        h: step of the finite differences.
        centred: whether to measure on both sides.
        dimensions: how many predictions to check, chosen at random; all by default.
        seed: of the choice.

    Returns:
        A `GradientCheck` of the variable `predictions`.
    """
    if isinstance(loss, keras.losses.Loss):
        loss = type(loss).from_config(loss.get_config() | {"dtype": "float64"})
    targets = tf.convert_to_tensor(targets)
    traced = tf.function(lambda predictions: loss(targets, predictions))
    variables = {"predictions": np.asarray(predictions, np.float64)}
    return gradient_check(traced, variables, h, centred, dimensions=dimensions, seed=seed)


def in_float64(layer: keras.layers.Layer, inputs) -> keras.layers.Layer:
    """Returns a copy of a layer or model, built and with the same weights, in float64.

    Args:
        layer: any layer with a complete config.
        inputs: an example of what it takes; the layer itself is built by it if it is not yet.
    """
    if not layer.built:
        layer(tf.nest.map_structure(tf.convert_to_tensor, inputs))
    exact = type(layer).from_config(_with_float64(layer.get_config()))
    if not exact.built:
        exact(tf.nest.map_structure(tf.convert_to_tensor, inputs))
    exact.set_weights(layer.get_weights())
    return exact


def _with_float64(config):
    """Returns a config with every floating-point dtype in it replaced by float64."""
    if isinstance(config, list | tuple):
        return type(config)(_with_float64(each) for each in config)
    if not isinstance(config, Mapping):
        return config
    config = {key: _with_float64(value) for key, value in config.items()}
    dtype = config.get("dtype")
    if isinstance(dtype, Mapping):
        dtype = dtype["config"]["name"]
    if isinstance(dtype, str) and "float" in dtype:
        config["dtype"] = "float64"
    return config


def _tensorflow_gradients(f: Callable, variables: Mapping, output_gradient) -> dict:
    tensors = {name: tf.convert_to_tensor(value) for name, value in variables.items()}
    with tf.GradientTape() as tape:
        tape.watch(tensors)
        outputs = tf.convert_to_tensor(f(**tensors))
    above = None if output_gradient is None else tf.cast(output_gradient, outputs.dtype)
    gradients = tape.gradient(outputs, tensors, output_gradients=above)
    if all(gradient is None for gradient in gradients.values()):
        raise InputError(
            "got an f that TensorFlow cannot differentiate, expected one of TensorFlow operations: "
            "or give gradient=, the derivative to check"
        )
    return {
        name: np.zeros_like(variables[name]) if gradient is None else tf.convert_to_tensor(gradient)
        for name, gradient in gradients.items()
    }


def _derived(gradients, name: str, shape: tuple[int, ...]) -> np.ndarray:
    """Returns the derived gradient by a variable; InputError if there is none of its shape."""
    if not isinstance(gradients, Mapping) or name not in gradients:
        got = list(gradients) if isinstance(gradients, Mapping) else type(gradients).__name__
        raise InputError(
            f"got gradient={got} without {name!r}, expected a mapping with a gradient for every "
            "variable of x, by its name"
        )
    derived = np.asarray(gradients[name])
    if derived.shape != shape:
        raise InputError(
            f"got a gradient of shape {derived.shape} by {name}, expected the variable's own "
            f"shape {shape}"
        )
    return derived


def _compared(derived: np.ndarray, slopes: Slopes) -> VariableCheck:
    derived_there = derived.reshape(-1)[slopes.places].astype(np.float64)
    errors = relative_error(derived_there, slopes.values)
    worst = int(np.argmax(errors))
    return VariableCheck(
        error=float(errors[worst]),
        index=tuple(int(i) for i in np.unravel_index(slopes.places[worst], derived.shape)),
        analytic=float(derived_there[worst]),
        numerical=float(slopes.values[worst]),
        checked=len(errors),
        kinks=int(slopes.kinks.sum()),
    )


def _warn(check: GradientCheck, dtypes: list[str], infinite: list[str]) -> None:
    if infinite:
        warnings.warn(
            f"the derived gradient by {' and '.join(infinite)} is not finite: look for a square "
            "root or a norm at 0, a division by 0, or an overflow",
            GradientCheckWarning,
            stacklevel=3,
        )
    if dtypes != ["float64"]:
        warnings.warn(
            f"got {' and '.join(dtypes)}, whose rounding hides errors: give float64 arrays",
            GradientCheckWarning,
            stacklevel=3,
        )
    if check.kinks:
        kinks = {name: each.kinks for name, each in check.variables.items() if each.kinks}
        warnings.warn(
            f"kinks within h of {kinks} elements: the slopes left and right of them disagree, so "
            "their errors say nothing; take a smaller h, or inputs that are further from the kinks",
            GradientCheckWarning,
            stacklevel=3,
        )
