"""One two-layer network, trained by programs of every style that TensorFlow has known.

y = max(0, x w1) w2 without biases, fitted to noise by plain gradient descent. Each program takes
the same `Problem` and returns the loss of every step, before that step's update, so that programs
can be compared number by number. The first four are static graphs of TensorFlow 1, as the lecture
shows them; `tf.compat.v1` still runs them.
"""

import dataclasses
from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf
from tensorflow.compat import v1


@dataclasses.dataclass(frozen=True)
class Problem:
    """What is fitted, from which weights, and how.

    Args:
        x: (N, D_in) inputs.
        y: (N, D_out) targets.
        w1: (D_in, H) first weights.
        w2: (H, D_out) second weights.
        rate: learning rate.
        steps: number of updates.
        mean: whether the loss is the mean over the examples; else their sum.
    """

    x: np.ndarray
    y: np.ndarray
    w1: np.ndarray
    w2: np.ndarray
    rate: float
    steps: int
    mean: bool

    def loss(self, difference: tf.Tensor) -> tf.Tensor:
        """Returns the squared error of each example, averaged or summed over the examples."""
        squared = tf.reduce_sum(difference**2, axis=1)
        return tf.reduce_mean(squared) if self.mean else tf.reduce_sum(squared)


def noise(
    sizes: tuple[int, int, int, int], rate: float, steps: int, *, mean: bool, dtype: str, seed: int
) -> Problem:
    """Returns a problem of normally distributed inputs, targets and weights.

    Args:
        sizes: N, D_in, H, D_out.
        rate: learning rate.
        steps: number of updates.
        mean: see `Problem`.
        dtype: of all arrays.
        seed: of the random numbers.
    """
    examples, inputs, hidden, outputs = sizes
    random = np.random.default_rng(seed)
    shapes = ((examples, inputs), (examples, outputs), (inputs, hidden), (hidden, outputs))
    arrays = [random.standard_normal(shape).astype(dtype) for shape in shapes]
    return Problem(*arrays, rate, steps, mean)


# ---- TensorFlow 1: first the graph is written down, then a session runs parts of it ----


def feed_weights(problem: Problem) -> list[float]:
    """Feeds the weights in at every step and fetches their gradients: they cross over each time."""
    with tf.Graph().as_default(), v1.Session() as session:
        x, y, w1, w2 = (
            v1.placeholder(each.dtype, each.shape)
            for each in (problem.x, problem.y, problem.w1, problem.w2)
        )
        loss = problem.loss(tf.matmul(tf.maximum(tf.matmul(x, w1), 0), w2) - y)
        gradients = v1.gradients(loss, [w1, w2])
        values = {x: problem.x, y: problem.y, w1: problem.w1, w2: problem.w2}
        losses = []
        for _ in range(problem.steps):
            value, gradient1, gradient2 = session.run([loss, *gradients], values)
            values[w1] = values[w1] - problem.rate * gradient1
            values[w2] = values[w2] - problem.rate * gradient2
            losses.append(float(value))
        return losses


def updates_not_fetched(problem: Problem) -> list[float]:
    """Keeps the weights in the graph, but never asks for the updates: erratum E9.

    `assign` only adds an operation to the graph. The lecture fetches `[loss]` alone (and unpacks
    two values from it, which fails before that): nothing depends on the updates, so they never run.
    """
    return _variables(problem, lambda loss, updates: [loss])


def updates_grouped(problem: Problem) -> list[float]:
    """Fetches a `tf.group` of the updates with the loss: now they run."""
    return _variables(problem, lambda loss, updates: [loss, tf.group(*updates)])


def optimizer_minimize(problem: Problem) -> list[float]:
    """Lets `optimizer.minimize` write down gradients, updates and their group."""
    optimizer = v1.train.GradientDescentOptimizer(problem.rate)
    return _variables(problem, lambda loss, updates: [loss, optimizer.minimize(loss)])


def _variables(problem: Problem, fetches: Callable) -> list[float]:
    """Runs a graph that holds its weights; `fetches` says what of it every step asks for."""
    with tf.Graph().as_default(), v1.Session() as session:
        x, y = (v1.placeholder(each.dtype, each.shape) for each in (problem.x, problem.y))
        w1, w2 = (
            v1.get_variable(name, initializer=tf.constant(value), use_resource=True)
            for name, value in (("w1", problem.w1), ("w2", problem.w2))
        )
        loss = problem.loss(tf.matmul(tf.maximum(tf.matmul(x, w1), 0), w2) - y)
        gradient1, gradient2 = v1.gradients(loss, [w1, w2])
        updates = w1.assign(w1 - problem.rate * gradient1), w2.assign(w2 - problem.rate * gradient2)
        asked = fetches(loss, updates)
        session.run(v1.global_variables_initializer())
        values = {x: problem.x, y: problem.y}
        return [float(session.run(asked, values)[0]) for _ in range(problem.steps)]


# ---- TensorFlow 2: operations run as they are written, or as a function traced once ----


def eager_tensors(problem: Problem) -> list[float]:
    """Holds the weights as plain tensors and replaces them: the feeding of weights, without it."""
    w1, w2 = tf.constant(problem.w1), tf.constant(problem.w2)
    losses = []
    for _ in range(problem.steps):
        with tf.GradientTape() as tape:
            tape.watch((w1, w2))
            hidden = tf.maximum(tf.matmul(problem.x, w1), 0)
            loss = problem.loss(tf.matmul(hidden, w2) - problem.y)
        gradient1, gradient2 = tape.gradient(loss, (w1, w2))
        w1, w2 = w1 - problem.rate * gradient1, w2 - problem.rate * gradient2
        losses.append(float(loss))
    return losses


def function_assigns(problem: Problem) -> list[float]:
    """Assigns inside a `tf.function` that returns the loss alone: the updates run all the same.

    A traced function runs its side effects in the order they were written, so that erratum E9
    cannot happen any more.
    """
    w1, w2 = tf.Variable(problem.w1), tf.Variable(problem.w2)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = problem.loss(tf.matmul(tf.maximum(tf.matmul(x, w1), 0), w2) - y)
        gradient1, gradient2 = tape.gradient(loss, (w1, w2))
        w1.assign_sub(problem.rate * gradient1)
        w2.assign_sub(problem.rate * gradient2)
        return loss

    x, y = tf.constant(problem.x), tf.constant(problem.y)
    return [float(step(x, y)) for _ in range(problem.steps)]


def function_optimizer(problem: Problem) -> list[float]:
    """Leaves the update to a Keras optimizer inside the `tf.function`."""
    w1, w2 = keras.Variable(problem.w1), keras.Variable(problem.w2)
    optimizer = keras.optimizers.SGD(problem.rate)
    optimizer.build([w1, w2])

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            hidden = tf.maximum(tf.matmul(x, w1.value), 0)
            loss = problem.loss(tf.matmul(hidden, w2.value) - y)
        gradients = tape.gradient(loss, [w1.value, w2.value])
        optimizer.apply(gradients, [w1, w2])
        return loss

    x, y = tf.constant(problem.x), tf.constant(problem.y)
    return [float(step(x, y)) for _ in range(problem.steps)]


# ---- six levels of abstraction ----


def numpy_by_hand(problem: Problem) -> list[float]:
    """Level 1, arrays: forward and backward written out in NumPy."""
    x, y, w1, w2 = problem.x, problem.y, problem.w1.copy(), problem.w2.copy()
    scale = 1 / len(x) if problem.mean else 1
    losses = []
    for _ in range(problem.steps):
        before = x @ w1  # (N, H)
        hidden = np.maximum(before, 0)
        difference = hidden @ w2 - y  # (N, D_out)
        losses.append(float(scale * (difference**2).sum()))
        d_outputs = 2 * scale * difference
        d_w2 = hidden.T @ d_outputs
        d_before = (d_outputs @ w2.T) * (before > 0)
        d_w1 = x.T @ d_before
        w1 -= problem.rate * d_w1
        w2 -= problem.rate * d_w2
    return losses


def gradient_tape(problem: Problem) -> list[float]:
    """Level 2, automatic gradients: `tf.GradientTape` writes the way back."""
    return _taped(problem, lambda before: tf.maximum(before, 0))


@tf.custom_gradient
def relu(before: tf.Tensor):
    """Returns max(0, x), with its gradient written by hand."""
    return tf.maximum(before, 0), lambda upstream: tf.where(before > 0, upstream, 0)


def custom_gradient(problem: Problem) -> list[float]:
    """Level 3, operations of one's own: `tf.custom_gradient` with both ways."""
    return _taped(problem, relu)


def _taped(problem: Problem, activation: Callable) -> list[float]:
    w1, w2 = tf.Variable(problem.w1), tf.Variable(problem.w2)
    losses = []
    for _ in range(problem.steps):
        with tf.GradientTape() as tape:
            outputs = tf.matmul(activation(tf.matmul(problem.x, w1)), w2)
            loss = problem.loss(outputs - problem.y)
        for weights, gradient in zip((w1, w2), tape.gradient(loss, (w1, w2)), strict=True):
            weights.assign_sub(problem.rate * gradient)
        losses.append(float(loss))
    return losses


def keras_model(problem: Problem) -> list[float]:
    """Level 4, layers: a functional `keras.Model` with `compile` and `train_on_batch`."""
    options = {"use_bias": False, "dtype": problem.x.dtype.name}
    inputs = keras.Input(problem.x.shape[1:], dtype=problem.x.dtype.name)
    hidden = keras.layers.Dense(problem.w1.shape[1], activation="relu", **options)(inputs)
    model = keras.Model(inputs, keras.layers.Dense(problem.w2.shape[1], **options)(hidden))
    model.set_weights([problem.w1, problem.w2])
    squared = SquaredError(problem, dtype=problem.x.dtype.name)
    model.compile(keras.optimizers.SGD(problem.rate), loss=squared)
    losses = []
    for _ in range(problem.steps):
        model.reset_metrics()  # or the loss would be the mean since the last reset
        losses.append(float(model.train_on_batch(problem.x, problem.y)))
    return losses


class SquaredError(keras.losses.Loss):
    """The problem's loss as a Keras loss.

    Args:
        problem: whose loss.
        dtype: that it is computed in.
    """

    def __init__(self, problem: Problem, dtype: str):
        super().__init__(reduction=None, dtype=dtype)
        self._problem = problem

    def call(self, y_true, y_pred):
        return self._problem.loss(y_pred - y_true)


class TwoLayer(tf.Module):
    """Level 5, a module of one's own: its weights are found by themselves.

    Args:
        problem: whose first weights it takes.
    """

    def __init__(self, problem: Problem):
        super().__init__()
        self.w1 = tf.Variable(problem.w1, name="w1")
        self.w2 = tf.Variable(problem.w2, name="w2")

    def __call__(self, x: tf.Tensor) -> tf.Tensor:
        return tf.matmul(tf.maximum(tf.matmul(x, self.w1), 0), self.w2)


def custom_module(problem: Problem) -> list[float]:
    """Level 5, modules: `TwoLayer` in a traced step."""
    model = TwoLayer(problem)

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = problem.loss(model(x) - y)
        gradients = tape.gradient(loss, model.trainable_variables)
        for weights, gradient in zip(model.trainable_variables, gradients, strict=True):
            weights.assign_sub(problem.rate * gradient)
        return loss

    x, y = tf.constant(problem.x), tf.constant(problem.y)
    return [float(step(x, y)) for _ in range(problem.steps)]


def dataset_batches(problem: Problem, batch_size: int = 16) -> list[float]:
    """Level 6, data: batches of a `tf.data.Dataset`; their gradients are added to one update.

    The loss is a sum over examples, so that the batches' losses and gradients add up to those of
    all examples.
    """
    model = TwoLayer(problem)
    batches = tf.data.Dataset.from_tensor_slices((problem.x, problem.y)).batch(batch_size)

    @tf.function
    def gradients_of(x, y):
        with tf.GradientTape() as tape:
            loss = problem.loss(model(x) - y)
        return loss, tape.gradient(loss, model.trainable_variables)

    losses = []
    for _ in range(problem.steps):
        total, summed = 0.0, [tf.zeros_like(each) for each in model.trainable_variables]
        for x_batch, y_batch in batches:
            loss, gradients = gradients_of(x_batch, y_batch)
            total += float(loss)
            summed = [one + other for one, other in zip(summed, gradients, strict=True)]
        for weights, gradient in zip(model.trainable_variables, summed, strict=True):
            weights.assign_sub(problem.rate * gradient)
        losses.append(total)
    return losses


def batch_losses(problem: Problem, batch_size: int = 16, *, mistaken: bool = False) -> list[float]:
    """Returns the loss of each batch of one pass, without updates: the second part of erratum E10.

    Args:
        problem: the data and weights.
        batch_size: examples in a batch.
        mistaken: take all of x and y in every turn, as the lecture's loop does, and not the batch.
    """
    model = TwoLayer(problem)
    batches = tf.data.Dataset.from_tensor_slices((problem.x, problem.y)).batch(batch_size)
    losses = []
    for x_batch, y_batch in batches:
        x, y = (problem.x, problem.y) if mistaken else (x_batch, y_batch)
        losses.append(float(problem.loss(model(x) - y)))
    return losses
