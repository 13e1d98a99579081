"""Chooses, at load, by measuring: the executor, its threads, and whether batches pay.

Each step is bounded to a part of a second, since a version serves only afterwards. The machine may
have other work meanwhile, which must not change what is chosen. So what runs in one thread is
timed by that thread's own processor time; what runs in several, by the clock, again and again until
its best time has come back. Candidates take turns, so that other work hits all of them alike.
"""

import importlib.util
import logging
import os
import pathlib
import time

import numpy as np

from dlcv_tf.artifact.manifest import ArtifactError, Manifest
from dlcv_tf.errors import InputError
from dlcv_tf.serve import executors, warmup
from dlcv_tf.serve.batching import Plan, Queue, plan_of
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.executors import Executor

# What "auto" chooses from, the reference first. OpenVINO is not among them: on the shipped float
# models it won nothing over the better of these, and takes several times as long to load.
AUTO = ("onnx", "tflite")
MAY_BE_MISSING = ("openvino", "tensorflow")  # packages that an executor of the name needs
SECONDS = 0.2  # for one comparison, and for the table of batches
TIMES = 3  # so often a candidate must take about its least time
ABOUT = 1.05
CLEARLY = 0.9  # the part of the time that another executor, or a batch, must stay below
MUCH = 0.7  # the same for more threads, which others then do not have
MOST_THREADS = 4  # of one execution: a small network has no work for more
LARGEST_BATCH = 32
PROBABILITY_BOUND = 1e-4  # where the manifest states none
SHARE_BOUND = 1e-3  # of values that may be others, e.g. pixels of a class map

log = logging.getLogger(__name__)


def check(config: Config) -> None:
    """Says what no model could be run with, before any of them is loaded.

    Args:
        config: the server's options.

    Raises:
        InputError: for an executor that is unknown or not installed, and a wrong file of batching
            parameters.
    """
    name = config.executor
    if name not in executors.NAMES:
        known = ", ".join(executors.NAMES)
        raise InputError(f"got executor {name!r}, expected one of {known}")
    package = name.removesuffix("_int8")
    if package in MAY_BE_MISSING and importlib.util.find_spec(package) is None:
        extra = "extra `openvino` of dlcv-tf (pip install '.[openvino]' in its directory)"
        needed = extra if package == "openvino" else "package tensorflow"
        raise InputError(f"got executor {name!r}, which is not installed: install the {needed}")
    if config.batching not in ("auto", "off"):
        plan_of(config.batching, 1, config.queue)


def load(name: str, directory: str | os.PathLike, manifest: Manifest, config: Config) -> Queue:
    """Returns the executor of an artifact, as the options and measurements choose it.

    Args:
        name: of the model and its version, for the log.
        directory: the artifact, verified.
        manifest: its own.
        config: the server's options.

    Raises:
        ArtifactError: for an artifact that cannot be run.
        InputError: for an executor that the artifact has no file for.
    """
    images = warmup.picture(directory, manifest)
    cores = max(1, available_cores() // config.fronts)
    executor, threads, lanes = _executor(directory, manifest, config, images, cores)
    try:
        table = {}
        if config.batching == "auto":
            table = batch_table(executor, images)
            plan = Plan(lanes, config.queue, best_batch(table))
        elif config.batching == "off":
            plan = Plan(lanes, config.queue)
        else:
            plan = plan_of(config.batching, lanes, config.queue)
    except Exception:
        executor.close()
        raise
    measured = ", ".join(f"{size}: {1000 * each:.3g}" for size, each in table.items())
    log.info(
        "%s: %s, %d threads, %d at once, batches of up to %d%s",
        name,
        executor.name,
        threads,
        plan.lanes,
        plan.max_batch,
        measured and f" (milliseconds a picture by size of batch: {measured})",
    )
    return Queue(executor, plan)


def available_cores() -> int:
    """Returns the cores that this process may use, a container's share of the machine included."""
    known = getattr(os, "sched_getaffinity", None)  # Linux alone knows
    cores = len(known(0)) if known else os.cpu_count() or 1
    try:
        quota, period = pathlib.Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or "max": no limit
        return cores


def batch_table(executor: Executor, images: np.ndarray) -> dict[int, float]:
    """Measures batches of 1, 2, 4, ... pictures.

    Args:
        executor: what runs them.
        images: (1, height, width, channels).

    Returns:
        Size of the batch to seconds a picture; fewer sizes where they take long.
    """
    table: dict[int, float] = {}
    start, size = time.perf_counter(), 1
    while size <= LARGEST_BATCH:
        batch = np.repeat(images, size, axis=0)
        (seconds,) = _times([executor], batch, SECONDS / 6)
        table[size] = seconds / size
        size *= 2
        if time.perf_counter() - start + 3 * size * table[size // 2] > SECONDS:
            break
    return table


def best_batch(table: dict[int, float]) -> int:
    """Returns the smallest batch that is about as good as the best, 1 where none clearly pays."""
    least = min(table.values())
    if least > CLEARLY * table[1]:
        return 1
    return next(size for size, each in table.items() if each <= 1.05 * least)


def agree(
    got: dict[str, np.ndarray], expected: dict[str, np.ndarray], bound: float = PROBABILITY_BOUND
) -> bool:
    """Whether answers are those of the reference, to what the export was certified by.

    Args:
        got: output name to array.
        expected: the reference's.
        bound: what a number may differ by, beside a ten-thousandth of itself.
    """
    if got.keys() != expected.keys():
        return False
    for name, wanted in expected.items():
        values = got[name]
        if values.shape != wanted.shape or values.dtype != wanted.dtype:
            return False
        is_float = wanted.dtype.kind == "f"
        equal = np.isclose(values, wanted, 1e-4, bound) if is_float else values == wanted
        if not np.mean(equal) >= 1 - SHARE_BOUND:
            return False
    return True


def _executor(
    directory: str | os.PathLike,
    manifest: Manifest,
    config: Config,
    images: np.ndarray,
    cores: int,
) -> tuple[Executor, int, int]:
    """Returns the executor to use, the threads of one execution, and executions at once."""
    name = config.executor
    if name == "auto":
        named = [own for own in AUTO if own in manifest.formats]
        name = named[0] if named else "tensorflow"
    if name == "tensorflow" or name.startswith("openvino"):
        # They share their threads among all that runs, and take long to load: once is enough.
        threads = config.threads or cores
        lanes = _lanes(cores, threads)
        return executors.start(name, directory, config, threads, lanes), threads, lanes
    threads = config.threads or 1
    lanes = _lanes(cores, threads)
    chosen = executors.start(name, directory, config, threads, lanes)
    if config.executor == "auto":
        chosen = _fastest(chosen, directory, manifest, config, images, (threads, lanes))
    most = min(cores, MOST_THREADS)
    if config.threads or most == 1:
        return chosen, threads, lanes
    other_lanes = _lanes(cores, most)
    other = executors.start(chosen.name, directory, config, most, other_lanes)
    with_one, with_most = _times([chosen, other], images, SECONDS)
    if with_most < MUCH * with_one:
        chosen.close()
        return other, most, other_lanes
    other.close()
    return chosen, threads, lanes


def _lanes(cores: int, threads: int) -> int:
    """Returns how many run at once: one more than there are cores for.

    Who is done needs Python's lock before it hands its lane on; meanwhile the other one runs.
    """
    return max(1, cores // threads) + 1


def _fastest(
    reference: Executor,
    directory: str | os.PathLike,
    manifest: Manifest,
    config: Config,
    images: np.ndarray,
    size: tuple[int, int],
) -> Executor:
    """Returns the fastest of the certified executors whose answers agree with the reference."""
    expected = reference(images, Call())
    found = [reference]
    for name in AUTO:
        entry = manifest.formats.get(name, {})
        if name == reference.name or entry.get("bound") is None:  # not certified
            continue
        try:
            other = executors.start(name, directory, config, *size)
        except (ArtifactError, InputError) as error:
            log.warning("%s does not run with %s: %s", directory, name, error)
            continue
        if agree(other(images, Call()), expected, entry["bound"]):
            found.append(other)
        else:
            log.warning(
                "%s answers otherwise with %s than with %s: not used",
                directory,
                name,
                reference.name,
            )
    times = _times(found, images, SECONDS)
    best = int(np.argmin(times))
    if times[best] > CLEARLY * times[0]:
        best = 0
    for executor in found:
        if executor is not found[best]:
            executor.close()
    return found[best]


def _times(candidates: list[Executor], images: np.ndarray, budget: float) -> list[float]:
    """Returns the least seconds of each candidate, once they are settled or the time is up."""
    are_alone = all(getattr(executor, "is_alone", False) for executor in candidates)
    clock = time.thread_time if are_alone else time.perf_counter
    for executor in candidates:
        executor(images, Call())  # the first run of a shape sets things up
    start = time.perf_counter()
    times: list[list[float]] = [[] for _ in candidates]
    while True:
        for executor, taken in zip(candidates, times, strict=True):
            begin = clock()
            executor(images, Call())
            taken.append(clock() - begin)
        if time.perf_counter() - start > budget or all(map(_is_settled, times)):
            return [min(taken) for taken in times]


def _is_settled(times: list[float]) -> bool:
    """Whether the least time has come back: it is not that of a lucky moment, nor of a bad one."""
    least = sorted(times)[:TIMES]
    return len(least) == TIMES and least[-1] <= ABOUT * least[0]
