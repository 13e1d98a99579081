"""Loss surfaces of two weights, and the path that an update rule takes over them.

Every surface is a function of points (..., 2): of a whole grid to draw it, of one point to descend.
"""

import math
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError


def quadratic(matrix: np.ndarray) -> Callable:
    """Returns f(x) = x^T A x / 2, whose gradient is A x and whose minimum is 0 at the origin.

    Gradient descent from x_0 is x_t = (I - rate * A)^t x_0: it falls for rates below 2 / L, L being
    the largest eigenvalue, and diverges above.

    Args:
        matrix: A, (n, n), symmetric.
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.ndim != 2 or not np.allclose(matrix, matrix.T):
        raise InputError(f"got a matrix of shape {matrix.shape}, expected a symmetric one")
    return lambda x: tf.reduce_sum(tf.tensordot(x, matrix, 1) * x, axis=-1) / 2


def valley(condition: float, degrees: float = 0.0) -> np.ndarray:
    """Returns the matrix of a long valley: curvature 1 along it, `condition` across it.

    Args:
        condition: its condition number, 1 or more.
        degrees: the valley's direction against the x axis; at 45 no weight has a scale of its own.
    """
    cosine, sine = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    turn = np.array([[cosine, -sine], [sine, cosine]])
    return turn @ np.diag([1.0, condition]) @ turn.T


def condition_number(matrix: np.ndarray) -> float:
    """Returns the ratio of a matrix's LARGEST to its smallest singular value: 1 or more.

    The notes have it the other way round. It says how long and narrow the valley of a quadratic is,
    and so how slow gradient descent: about that many steps for each factor e. Infinite for a
    singular matrix.

    Args:
        matrix: (n, m), finite.
    """
    matrix = np.asarray(matrix, np.float64)
    if matrix.ndim != 2 or not matrix.size or not np.isfinite(matrix).all():
        raise InputError(f"got an array of shape {matrix.shape}, expected a finite matrix")
    values = np.linalg.svd(matrix, compute_uv=False)
    return float(values[0] / values[-1]) if values[-1] > 0 else math.inf


def saddle(x):
    """Returns x^2 - y^2: at the origin the gradient is 0, and yet it is no minimum."""
    return x[..., 0] ** 2 - x[..., 1] ** 2


def two_minima(x):
    """Returns (x^2 - 1)^2 + 0.3 x + y^2: minima near (-1.04, 0), and (0.96, 0), which is higher."""
    return (x[..., 0] ** 2 - 1) ** 2 + 0.3 * x[..., 0] + x[..., 1] ** 2


def rosenbrock(x):
    """Returns (1 - x)^2 + 100 (y - x^2)^2: a long bent valley, minimum 0 at (1, 1)."""
    return (1 - x[..., 0]) ** 2 + 100 * (x[..., 1] - x[..., 0] ** 2) ** 2


def descend(
    loss: Callable,
    start: tuple[float, ...] | np.ndarray,
    optimizer: keras.optimizers.Optimizer,
    steps: int,
    *,
    noise: float = 0.0,
    seed: int = 0,
) -> np.ndarray:
    """Returns the path of an optimizer: the lecture's loop "evaluate the gradient, update, repeat".

    Everything is in float64.

    Args:
        loss: function of a point (n,), in TensorFlow operations.
        start: (n,) where the path starts.
        optimizer: a new one; any Keras optimizer.
        steps: number of updates.
        noise: standard deviation of what is added to each gradient, as a minibatch would.
        seed: of the noise.

    Returns:
        (steps + 1, n) points, the start included. With Nesterov momentum they are the look-ahead
        points.

    Example:
        >>> path = descend(quadratic(np.eye(2)), (1.0, 1.0), keras.optimizers.SGD(0.1), steps=100)
    """
    weights = keras.Variable(np.asarray(start, np.float64), dtype="float64")
    optimizer.build([weights])

    @tf.function(autograph=False)
    def run(jitters):
        def update(step, path):
            with tf.GradientTape() as tape:
                value = loss(tf.convert_to_tensor(weights.value))
            gradient = tape.gradient(value, weights.value)
            optimizer.apply([gradient + jitters[step]], [weights])
            return step + 1, path.write(step, tf.convert_to_tensor(weights.value))

        path = tf.TensorArray(tf.float64, steps, element_shape=weights.shape)
        return tf.while_loop(lambda step, _: step < steps, update, (0, path))[1].stack()

    first = weights.numpy()[None]
    jitters = np.random.default_rng(seed).normal(0.0, 1.0, (steps, *weights.shape)) * noise
    jitters = tf.constant(jitters)
    # Called by itself, a function that is traced anew for each descent would be warned about.
    return np.concatenate([first, run.get_concrete_function(jitters)(jitters).numpy()])
