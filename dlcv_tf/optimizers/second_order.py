"""Second-order methods for whole data sets: Newton's method and L-BFGS on any compiled Keras model.

Both see the loss of the whole data set as one function of one flat vector of weights, and choose
their own step lengths: there is no learning rate. They are for full batches; on minibatches the
curvature they measure is mostly noise (`dlcv lab minibatch_lbfgs`).
"""

import collections
import contextlib
import warnings
from collections.abc import Iterator

import keras
import numpy as np
import scipy.linalg
import scipy.optimize
import tensorflow as tf

from dlcv_tf.errors import InputError

HESSIAN_COPIES = 3  # the matrix, TensorFlow's parts of it, and its factors
ROWS_AT_ONCE = 32  # rows of the Hessian that are differentiated side by side


@contextlib.contextmanager
def double_precision() -> Iterator[None]:
    """Makes Keras's default float64 inside this context, for models, losses and metrics made there.

    Keras computes losses in its default type, whatever that of the layers is.

    Example:
        >>> with double_precision():
        ...     model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)])
        ...     model.compile("sgd", "mse")
    """
    default, policy = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(default)
        keras.config.set_dtype_policy(policy)


class FullBatch:
    """The loss of a compiled model over a whole data set, as a function of a flat vector.

    The loss is what `fit` minimises, regularisation included, but in inference mode: dropout and
    batch statistics would make it another function at every call.

    Args:
        model: compiled model. The vector is its trainable weights, one after the other.
        x: all inputs, one array.
        y: all targets.
    """

    def __init__(self, model: keras.Model, x, y):
        if not model.compiled:
            raise InputError("got a model without a loss, expected a compiled one: model.compile()")
        self.model = model
        self.use(x, y)
        if not model.built:
            model(self._x[:1])
        self.variables = [variable.value for variable in model.trainable_variables]
        self.size = sum(variable.shape.num_elements() for variable in self.variables)
        options = {"autograph": False, "reduce_retracing": True}
        self._gradient = tf.function(self._loss_and_gradient, **options)
        self._rows = tf.function(self._hessian_rows, **options)

    def use(self, x, y) -> None:
        """Takes other data: the function is another one from now on."""
        if len(x) != len(y) or not len(x):
            raise InputError(f"got {len(x)} inputs and {len(y)} targets, expected as many of both")
        if np.asarray(x).dtype.kind == "f" and not np.isfinite(np.asarray(x)).all():
            raise InputError("got inputs that are not all finite, expected finite ones")
        self._x, self._y = tf.convert_to_tensor(x), tf.convert_to_tensor(y)
        self._last = None

    def point(self) -> np.ndarray:
        """Returns where the model is: its trainable weights, (size,) float64."""
        return np.concatenate([np.ravel(v.numpy()) for v in self.variables]).astype(np.float64)

    def move(self, point: np.ndarray) -> None:
        """Sets the model's trainable weights."""
        ends = np.cumsum([variable.shape.num_elements() for variable in self.variables])
        for variable, part in zip(self.variables, np.split(point, ends[:-1]), strict=True):
            variable.assign(tf.cast(np.reshape(part, variable.shape), variable.dtype))

    def loss_and_gradient(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        """Returns the loss at a point, and its gradient (size,)."""
        if self._last is None or not np.array_equal(point, self._last[0]):
            self.move(point)
            loss, gradient = self._gradient(self._x, self._y)
            self.precision = np.finfo(loss.numpy().dtype).eps
            self._last = (point.copy(), float(loss), gradient.numpy())
        return self._last[1:]

    def hessian(self, point: np.ndarray) -> np.ndarray:
        """Returns the second derivatives at a point, (size, size)."""
        self.move(point)
        # `tape.jacobian` would take all rows at once: a batch of activations for each of them; told
        # to take fewer by `parallel_iterations`, it returns wrong numbers (TensorFlow 2.21).
        rows = [
            self._rows(tf.range(first, min(first + ROWS_AT_ONCE, self.size)), self._x, self._y)
            for first in range(0, self.size, ROWS_AT_ONCE)
        ]
        return tf.concat(rows, axis=0).numpy()

    def _loss_and_gradient(self, x, y):
        with tf.GradientTape() as tape:
            outputs = self.model(x, training=False)
            loss = self.model.compute_loss(x=x, y=y, y_pred=outputs, training=False)
        gradients = tape.gradient(loss, self.variables, unconnected_gradients="zero")
        return loss, _flat(gradients)

    def _hessian_rows(self, numbers, x, y):
        with tf.GradientTape(persistent=True) as tape:
            _, gradient = self._loss_and_gradient(x, y)

        def row(number):
            parts = tape.gradient(
                gradient,
                self.variables,
                output_gradients=tf.one_hot(number, self.size, dtype=tf.float64),
                unconnected_gradients="zero",
            )
            return _flat(parts)

        return tf.vectorized_map(row, numbers)


def _flat(parts: list[tf.Tensor]) -> tf.Tensor:
    return tf.concat([tf.cast(tf.reshape(part, [-1]), tf.float64) for part in parts], axis=0)


def hessian_bytes(num_parameters: int) -> int:
    """Returns the memory that Newton's method needs for a number of parameters: O(N^2) bytes."""
    return HESSIAN_COPIES * num_parameters**2 * np.dtype(np.float64).itemsize


def newton(
    model: keras.Model,
    x,
    y,
    *,
    steps: int = 10,
    damping: float = 0.0,
    tolerance: float = 1e-10,
    memory_limit: int = 2**30,
    verbose: int = 1,
) -> dict[str, list[float]]:
    """Trains a small model by Newton's method: x -= H^-1 dx, H being all second derivatives.

    One step solves a quadratic exactly, without a learning rate; elsewhere a step that leads too
    far is halved until the loss falls. The price is H itself: N^2 numbers for N parameters, N^3
    operations to solve with it. Where H is not positive definite the step may lead up, or to a
    saddle point; `damping` turns it towards plain descent.

    Args:
        model: compiled model; under `double_precision` for more than six digits.
        x: all inputs, one array.
        y: all targets.
        steps: at most so many.
        damping: added to the diagonal of H, 0 or more; needed where H is singular.
        tolerance: stop when the gradient's norm is below.
        memory_limit: bytes that the method may take.
        verbose: 1 prints the memory and each step, 0 nothing.

    Returns:
        `loss` and `gradient_norm`: before the first step and after each. Training also ends where
        no step leads lower, which is the limit of the model's precision.

    Raises:
        InputError: too many parameters for the memory, an H that is singular or leads up, a loss
            that is not finite.

    Reference: Nocedal and Wright, "Numerical Optimization", chapter 3.
    """
    if not damping >= 0:
        raise InputError(f"got damping={damping}, expected 0 or more")
    objective = FullBatch(model, x, y)
    needed = hessian_bytes(objective.size)
    estimate = f"{objective.size:,} parameters need {needed / 2**20:,.0f} MiB for their Hessian"
    if needed > memory_limit:
        raise InputError(
            f"{estimate}, expected at most {memory_limit / 2**20:,.0f}: use lbfgs, or raise "
            "memory_limit"
        )
    if verbose:
        print(f"newton: {estimate}")
    point = objective.point()
    history = {"loss": [], "gradient_norm": []}
    while not _is_done(objective, point, history, steps, tolerance, verbose):
        _, gradient = objective.loss_and_gradient(point)
        curvature = objective.hessian(point) + damping * np.eye(objective.size)
        try:
            with warnings.catch_warnings(action="error", category=scipy.linalg.LinAlgWarning):
                step = -scipy.linalg.solve(curvature, gradient, assume_a="sym")
        except (np.linalg.LinAlgError, scipy.linalg.LinAlgWarning) as error:
            raise InputError(
                f"the Hessian is singular after {len(history['loss']) - 1} steps ({error}): give "
                "damping, e.g. 1e-3, or add L2 regularisation"
            ) from error
        if gradient @ step > 0:
            raise InputError(
                f"Newton's step leads up after {len(history['loss']) - 1} steps: the Hessian is "
                "not positive definite there; give more damping"
            )
        following = _halved(objective, point, step)
        if following is None:
            break
        point = following
    objective.move(point)
    return history


def lbfgs(
    model: keras.Model,
    x,
    y,
    *,
    steps: int = 200,
    memory: int = 10,
    tolerance: float = 1e-8,
    verbose: int = 1,
) -> dict[str, list[float]]:
    """Trains a model by L-BFGS: Newton's steps from the last few gradients, without the Hessian.

    The two-loop recursion is below (`InverseHessian`); the step along its direction is SciPy's line
    search for the strong Wolfe conditions.

    Args:
        model: compiled model; under `double_precision` for more than six digits.
        x: all inputs, one array.
        y: all targets.
        steps: at most so many.
        memory: steps to remember.
        tolerance: stop when the gradient's norm is below.
        verbose: 1 prints each tenth step, 0 nothing.

    Returns:
        `loss` and `gradient_norm`: before the first step and after each. Training also ends where
        the line search finds nothing lower, which is the limit of the model's precision.

    Raises:
        InputError: a loss that is not finite.

    Reference: Nocedal and Wright, "Numerical Optimization", algorithms 7.4 and 7.5.
    """
    objective = FullBatch(model, x, y)
    inverse = InverseHessian(memory)
    point = objective.point()
    history = {"loss": [], "gradient_norm": []}
    while not _is_done(objective, point, history, steps, tolerance, verbose, every=10):
        _, gradient = objective.loss_and_gradient(point)
        following = search_along(objective, point, -inverse.times(gradient))
        if following is None and inverse.pairs:  # the memory misleads: once more without it
            inverse.pairs.clear()
            following = search_along(objective, point, -inverse.times(gradient))
        if following is None:
            break
        inverse.remember(following - point, objective.loss_and_gradient(following)[1] - gradient)
        point = following
    objective.move(point)
    return history


class InverseHessian:
    """What L-BFGS knows of the inverse Hessian: the last steps and the gradient's changes in them.

    Args:
        memory: steps to remember, 1 or more.
    """

    def __init__(self, memory: int = 10):
        if memory < 1:
            raise InputError(f"got memory={memory}, expected 1 or more")
        self.pairs = collections.deque(maxlen=memory)

    def remember(self, step: np.ndarray, change: np.ndarray) -> None:
        """Keeps a step and the change of the gradient in it, if the curvature is positive."""
        if step @ change > 1e-12 * np.linalg.norm(step) * np.linalg.norm(change):
            self.pairs.append((step, change))

    def times(self, gradient: np.ndarray) -> np.ndarray:
        """Returns the product with a gradient, by the two-loop recursion.

        Without a memory it is the gradient, at most of length one.
        """
        if not self.pairs:
            return gradient / max(1.0, np.linalg.norm(gradient))
        product, parts = gradient.copy(), []
        for step, change in reversed(self.pairs):
            parts.append(step @ product / (step @ change))
            product -= parts[-1] * change
        step, change = self.pairs[-1]
        product *= step @ change / (change @ change)
        for (step, change), part in zip(self.pairs, reversed(parts), strict=True):
            product += (part - change @ product / (step @ change)) * step
        return product


def search_along(
    objective: FullBatch, point: np.ndarray, direction: np.ndarray
) -> np.ndarray | None:
    """Returns the point along a direction that meets the strong Wolfe conditions, or None.

    Args:
        objective: the loss.
        point: (size,) where to start.
        direction: (size,) one that leads down.
    """
    loss, gradient = objective.loss_and_gradient(point)
    with warnings.catch_warnings(action="ignore"):  # it also warns when it returns None
        length, *_ = scipy.optimize.line_search(
            lambda at: objective.loss_and_gradient(at)[0],
            lambda at: objective.loss_and_gradient(at)[1],
            point,
            direction,
            gfk=gradient,
            old_fval=loss,
        )
    return None if length is None else point + length * direction


def _halved(objective: FullBatch, point: np.ndarray, step: np.ndarray) -> np.ndarray | None:
    """Returns the point after a step, halved until the loss falls in keeping with its slope there.

    None where even a millionth of the step leads to nothing lower.
    """
    loss, gradient = objective.loss_and_gradient(point)
    rounding = objective.precision * abs(loss)  # at the minimum the loss no longer changes
    for length in 0.5 ** np.arange(20):
        there, _ = objective.loss_and_gradient(point + length * step)
        if there <= loss + 1e-4 * length * (gradient @ step) + rounding:
            return point + length * step
    return None


def _is_done(objective, point, history, steps, tolerance, verbose, every=1) -> bool:
    """Writes loss and gradient norm into the history; tells whether to stop there."""
    loss, gradient = objective.loss_and_gradient(point)
    norm = float(np.linalg.norm(gradient))
    taken = len(history["loss"])
    if not (np.isfinite(loss) and np.isfinite(norm)):
        raise InputError(
            f"the loss is {loss} and its gradient's norm {norm} after {taken} steps, expected "
            "finite ones: start from smaller weights, or give newton more damping"
        )
    history["loss"].append(loss)
    history["gradient_norm"].append(norm)
    if verbose and taken % every == 0:
        print(f"step {taken}: loss {loss:.6g}, gradient {norm:.2g}")
    return norm < tolerance or taken >= steps
