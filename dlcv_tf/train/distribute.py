"""Training on several devices or machines: every replica takes its rows of one global batch.

A model made in the scope of a `tf.distribute` strategy trains in `train.train` like any other. Each
step is that of a single process on the whole batch, to rounding: the gradients are summed before
they are clipped or used, batch normalisation takes its statistics over all replicas, and metrics
count all of them. So weights, moving statistics, optimizer and metrics are the same on every
replica after every step, a checkpoint says nothing of who made it, and a run may go on with
another number of workers. Only random layers differ: each replica draws its own numbers.

Every worker reads and augments the whole batch and takes its rows; work on them is divided.
Measured: `docs/distributed.md`.
"""

import contextlib
import functools
import itertools
import json
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf.errors import InputError, RefusedError
from dlcv_tf.layers.batch_norm import BatchNorm
from dlcv_tf.train import cluster, kernels, peers

REPLICA_SEED = 1_000_003  # between the seeds of one replica's random layers and the next one's


class WorkerGoneError(RefusedError):
    """Another worker has ended: this one cannot go on alone."""


@functools.cache
def join() -> tf.distribute.Strategy | None:
    """Meets the other workers that `TF_CONFIG` names, once per process; waits until all are there.

    To be called before TensorFlow runs anything.

    Returns:
        The strategy, or None where this process trains alone.

    Raises:
        InputError: a broken `TF_CONFIG`, or TensorFlow has run something already.
    """
    here = cluster.place()
    if not here.addresses:
        return None
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        raise InputError(
            "got a process in which TensorFlow runs already, expected a new one to train with "
            f"other workers ({error}): use dlcv train, or call train.join first"
        ) from error
    peers.watch(here)
    return strategy


@contextlib.contextmanager
def scope() -> Iterator[None]:
    """Makes models inside this context that train on all workers, if there are any."""
    strategy = join()
    with strategy.scope() if strategy else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def watched() -> Iterator[None]:
    """Says in one line that a worker has gone where TensorFlow reports a broken connection.

    Raises:
        WorkerGoneError: a worker has gone.
    """
    try:
        yield
    except (
        tf.errors.UnavailableError,
        tf.errors.AbortedError,
        tf.errors.CancelledError,
        tf.errors.DeadlineExceededError,
        tf.errors.FailedPreconditionError,
        tf.errors.InternalError,
    ) as error:
        here = cluster.place()
        if not here.addresses:
            raise
        others = [a for index, a in enumerate(here.addresses) if index != here.index]
        raise WorkerGoneError(
            f"{cluster.GONE} ({', '.join(others)}): start all "
            "workers again with --resume, to go on from the last checkpoint "
            f"[{type(error).__name__}]"
        ) from error


def strategy_of(model: keras.Model) -> tf.distribute.Strategy | None:
    """Returns the strategy that a model was made under, or None."""
    return getattr(
        model, "_distribute_strategy", None
    )  # its public name hides whether there is one


def components(variable: keras.Variable) -> tuple:
    """Returns the copies that this process has of a variable, one per local replica.

    Reading a variable as a whole may take all workers, which would wait for each other.
    """
    value = variable.value
    return getattr(value, "values", (value,))


def read(variable: keras.Variable) -> np.ndarray:
    """Returns the value of a variable on this process's first replica."""
    return np.asarray(components(variable)[0])


def write(variable: keras.Variable, value: np.ndarray) -> None:
    """Gives a variable a value on all replicas of this process."""
    for part in components(variable):
        part.assign(value)


def check(model: keras.Model, batch_size: int) -> None:
    """Refuses what cannot be trained on several replicas.

    Args:
        model: compiled model.
        batch_size: of the global batch.

    Raises:
        InputError: the batch cannot be divided, the optimizer belongs to no or another strategy, or
            a layer's statistics could not be those of the whole batch.
    """
    strategy = strategy_of(model)
    if strategy is None:
        if join() is not None:
            raise InputError(
                "got a model made outside the scope of the workers' strategy, expected one made "
                "inside: with train.scope(): ..."
            )
        return
    replicas = strategy.num_replicas_in_sync
    if batch_size % replicas:
        near = [size for size in (batch_size // replicas * replicas,) if size]
        hint = f"batch_size={(near or [replicas])[0]}"
        raise InputError(
            f"got a batch of {batch_size} pictures for {replicas} replicas, expected equal shares "
            f"for all: choose a multiple of {replicas}, as in {hint}"
        )
    if model.optimizer._distribution_strategy is not strategy:
        raise InputError(
            "got an optimizer made outside the scope of the model's strategy, expected both made "
            "and compiled inside it"
        )
    for layer in model._flatten_layers():
        if replicas > 1 and isinstance(layer, BatchNorm):
            raise InputError(
                f"got the hand-written batch norm {layer.name} on {replicas} replicas, each of "
                "which would see its own share only: take keras.layers.BatchNormalization, whose "
                "statistics are those of the whole batch"
            )


@contextlib.contextmanager
def synchronized(model: keras.Model) -> Iterator[None]:
    """Lets a model's replicas do together what one process would do on the whole batch.

    Only what is traced meanwhile is changed.

    Args:
        model: any compiled Keras model; without a strategy nothing is done.
    """
    strategy = strategy_of(model)
    if strategy is None:
        yield
        return
    with contextlib.ExitStack() as stack:
        stack.enter_context(strategy.scope())
        for layer in model._flatten_layers():
            if isinstance(layer, keras.layers.BatchNormalization):
                stack.enter_context(kernels.replaced(layer, _moments=_moments_of_all))
            for generator in layer._seed_generators:
                stack.enter_context(kernels.replaced(generator, next=_next_seed))
        changes = {"apply": _apply_summed, "_all_reduce_sum_gradients": _as_they_are}
        stack.enter_context(kernels.replaced(model.optimizer, **changes))
        yield


def train_step(model: keras.Model, batch: tuple) -> dict[str, tf.Tensor]:
    """Takes one training step on all replicas, inside `synchronized` and a `tf.function`.

    Args:
        model: compiled and built model.
        batch: tensors of the global batch.

    Returns:
        The logs, those of the whole batch and the same on all replicas.
    """
    strategy = strategy_of(model)
    if strategy is None:
        return model.train_step(batch)

    def of_replica(batch):
        with _metrics_of_all(model):
            model.train_step(_rows(batch, strategy.num_replicas_in_sync))
        return model.get_metrics_result()

    return _first(strategy, strategy.run(of_replica, args=(batch,)))


def logs(model: keras.Model) -> dict[str, tf.Tensor]:
    """Returns what a model's metrics say of all replicas."""
    strategy = strategy_of(model)
    if strategy is None:
        return model.get_metrics_result()
    return _first(strategy, strategy.run(model.get_metrics_result))


def evaluate(model: keras.Model, batches: tf.data.Dataset) -> dict[str, tf.Tensor]:
    """Returns loss and metrics over batched data, whose batches the replicas divide among them.

    Args:
        model: compiled model that was made under a strategy.
        batches: all batches, the same ones on every worker.
    """
    here = cluster.place()
    if here.addresses:
        batches = batches.shard(len(here.addresses), here.index)
    test, total = _testing(model, model._compile_metrics)
    model.reset_metrics()
    own = iter(batches)
    while group := tuple(itertools.islice(own, _local_replicas(strategy_of(model)))):
        test(group)
    return total()


@functools.lru_cache(maxsize=1)
def _testing(model: keras.Model, _) -> tuple[Callable, Callable]:
    """Returns traced functions: a test step on a batch per replica, and the logs over all steps."""
    strategy = strategy_of(model)

    def of_replica(group):
        index = _replica() % _local_replicas(strategy)
        if index < len(group):
            model.test_step(group[index])

    @tf.function(autograph=False, reduce_retracing=True)
    def test(group):
        strategy.run(of_replica, args=(group,))

    def of_all():
        counters = _counters(model)
        _sum_metrics(counters, [tf.zeros((), each.dtype) for each in counters])
        return model.get_metrics_result()

    @tf.function(autograph=False)
    def total():
        return _first(strategy, strategy.run(of_all))

    return test, total


def _replica() -> int:
    """Returns the number of the replica that is being traced, among those of all workers."""
    return int(tf.get_static_value(tf.distribute.get_replica_context().replica_id_in_sync_group))


def _local_replicas(strategy: tf.distribute.Strategy) -> int:
    return len(strategy.extended.worker_devices)


def agree(model: keras.Model, value: bool) -> bool:
    """Returns whether a value is true on any worker: what they all go by from then on."""
    if strategy_of(model) is None or join() is None:
        return value
    return bool(_sum_of_workers(np.array([value], np.float32))[0])


def from_chief(value):
    """Returns the chief's value on every worker; that of the others is ignored.

    Args:
        value: anything that JSON can hold.
    """
    if join() is None:
        return value
    return json.loads(_bytes_from_chief(json.dumps(value).encode()))


def start_alike(model: keras.Model) -> None:
    """Gives all workers the chief's state: weights, optimizer, seeds and metrics."""
    if strategy_of(model) is None or join() is None:
        return
    metrics = [variable for metric in model.metrics for variable in metric.variables]
    variables = [*model.variables, *model.optimizer.variables, *metrics]
    arrays = [read(variable) for variable in variables]
    content = _bytes_from_chief(b"".join(array.tobytes() for array in arrays))
    for variable, array in zip(variables, arrays, strict=True):
        own, content = content[: array.nbytes], content[array.nbytes :]
        write(variable, np.frombuffer(own, array.dtype).reshape(array.shape))


def _bytes_from_chief(content: bytes) -> bytes:
    """Returns the chief's bytes. They travel as sums, two bytes to a float32, which is exact."""
    is_chief = cluster.place().is_chief
    size = np.array(divmod(len(content), 2**16), np.float32) * is_chief
    length = int(_sum_of_workers(size) @ [2**16, 1])
    if is_chief:
        numbers = np.frombuffer(content + b"\0" * (length % 2), np.uint16).astype(np.float32)
    else:
        numbers = np.zeros((length + 1) // 2, np.float32)
    return _sum_of_workers(numbers).astype(np.uint16).tobytes()[:length]


def _sum_of_workers(values: np.ndarray) -> np.ndarray:
    """Returns the sum over workers of an array of float32, whose shape is the same on all."""
    with watched():
        return np.asarray(_summing()(tf.constant(values)))


@functools.cache
def _summing() -> Callable:
    strategy = join()

    def of_replica(values):
        own = values * float(_replica() % _local_replicas(strategy) == 0)
        return _all_reduce(own)

    @tf.function(autograph=False, reduce_retracing=True)
    def total(values):
        return _first(strategy, strategy.run(of_replica, args=(values,)))

    return total


def _all_reduce(values):
    """Returns the sums of values over all replicas, inside a replica."""
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, values)


def _first(strategy, values):
    """Returns the values of this process's first replica; all have the same ones."""
    return tf.nest.map_structure(lambda v: strategy.experimental_local_results(v)[0], values)


def _rows(batch: tuple, replicas: int) -> tuple:
    """Returns this replica's share of a global batch."""
    index = _replica()

    def share(tensor):
        rows = tensor.shape[0] // replicas
        part = tensor[index * rows : (index + 1) * rows]
        return tf.ensure_shape(part, [rows, *tensor.shape[1:]])

    return tuple(share(tensor) for tensor in batch)


def _counters(model: keras.Model) -> list[keras.Variable]:
    """Returns the variables of the metrics that are sums over examples: all of Keras's own are."""
    variables = [variable for metric in model.metrics for variable in metric.variables]
    return [variable for variable in variables if variable.aggregation == "sum"]


@contextlib.contextmanager
def _metrics_of_all(model: keras.Model) -> Iterator[None]:
    """Adds to the metrics of every replica what all replicas count inside this context.

    Keras counts each replica's examples apart and sums when a metric is read. Summed at once, the
    state is the same everywhere, and a run that is resumed goes on with exactly that state.
    """
    counters = _counters(model)
    before = [tf.identity(variable.value) for variable in counters]
    for variable in counters:
        variable.assign(tf.zeros(variable.shape, variable.dtype))
    yield
    _sum_metrics(counters, before)


def _sum_metrics(counters: list[keras.Variable], before: list) -> None:
    """Gives counters what they were before plus the sum of what they are on all replicas."""
    own = [tf.cast(tf.identity(variable.value), tf.float32) for variable in counters]
    for variable, old, new in zip(counters, before, _all_reduce(own), strict=True):
        variable.assign(old + tf.cast(new, variable.dtype))


def _apply_summed(optimizer, gradients, trainable_variables=None) -> None:
    """Does what the optimizer's `apply` does on one process: it gets the whole batch's gradients.

    Keras clips first and sums then, which gives other numbers than one process has.
    """
    gradients = list(gradients)
    present = [gradient for gradient in gradients if gradient is not None]
    summed = iter(_all_reduce(present))
    gradients = [gradient if gradient is None else next(summed) for gradient in gradients]
    type(optimizer).apply(optimizer, gradients, trainable_variables)


def _as_they_are(_, gradients_and_variables):
    return gradients_and_variables


def _moments_of_all(layer: keras.layers.BatchNormalization, inputs, mask):
    """Returns mean and variance over all replicas' inputs; masked ones are taken each for itself.

    Keras's own way, `synchronized=True`, takes five messages a layer and subtracts squares, which
    cancel far from zero; this takes two, of every replica's own mean and variance.
    """
    if mask is not None:
        return type(layer)._moments(layer, inputs, mask)
    replicas = tf.distribute.get_strategy().num_replicas_in_sync
    own = tf.stack(tf.nn.moments(inputs, layer._reduction_axes))[None]  # (1, 2, channels)
    before, after = _replica(), replicas - 1 - _replica()
    every = _all_reduce(tf.pad(own, [[before, after], [0, 0], [0, 0]]))  # (replicas, 2, channels)
    means, variances = tf.unstack(every, axis=1)
    mean = tf.reduce_mean(means, axis=0)
    variance = tf.reduce_mean(variances + tf.square(means - mean), axis=0)
    return mean, variance


def _next_seed(generator: keras.random.SeedGenerator, *arguments, **keywords):
    """Returns another seed on every replica; the first replica's is that of a process alone."""
    seed = type(generator).next(generator, *arguments, **keywords)
    return seed + tf.cast([_replica() * REPLICA_SEED, 0], seed.dtype)
