"""Nearest neighbours beside scikit-learn's brute force: the same points, the same machine.

    .venv/bin/python tools/bench_neighbours.py           a minute; a section of bench.py too

The ten nearest in L2 of 50,000 points of 3,072 numbers, CIFAR-10's sizes, for 1,000 queries, from
arrays to arrays; what each library does to get ready is counted. `tasks.NearestNeighbours` has
remembered the points before it is asked, which is not counted, as a user fits once.
"""

import contextlib
import pathlib
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from bench_worker import Channel, Worker

from dlcv_tf.cli import tables

OUTPUT = pathlib.Path(__file__).parents[1] / ".bench"
ROUNDS = 8
FEATURES, QUERIES, K = 32 * 32 * 3, 1000, 10
EXAMPLES = 50_000
VARIANTS = {
    "ours": "ops.distances.nearest",
    "task": "tasks.NearestNeighbours, fitted",
    "sklearn": "scikit-learn NearestNeighbors, brute",
}


def points(examples: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the examples and the queries, alike in every process."""
    random = np.random.default_rng(0)
    return tuple(random.random((count, FEATURES), np.float32) for count in (examples, QUERIES))


def ours(examples: np.ndarray, queries: np.ndarray) -> Callable:
    """Returns a call that finds the neighbours, and so the others."""
    from dlcv_tf.ops import distances

    return lambda: distances.nearest(queries, examples, K)[0].numpy()


def task(examples: np.ndarray, queries: np.ndarray) -> Callable:
    """Returns a call that answers with the votes of the neighbours."""
    from dlcv_tf import data, models, tasks

    shape = (32, 32, 3)
    network = models.knn(shape, 10, len(examples), k=K)
    preprocess = data.Preprocess(shape[:2], 3, mean=0.5, std=1.0)
    made = tasks.NearestNeighbours(network, preprocess, list("0123456789"))
    made.compile()
    made.fit(examples.reshape(-1, *shape), np.arange(len(examples)) % 10)
    pictures = queries.reshape(-1, *shape)
    return lambda: made.predict(pictures, batch_size=256, verbose=0)


def sklearn(examples: np.ndarray, queries: np.ndarray) -> Callable:
    """Returns a call of scikit-learn's search."""
    from sklearn.neighbors import NearestNeighbors

    def call():
        search = NearestNeighbors(n_neighbors=K, algorithm="brute").fit(examples)
        return search.kneighbors(queries, return_distance=False)

    return call


def work(variant: str, examples: int) -> None:
    """Measures calls on request, until the input ends; a worker of `measure`."""
    channel = Channel()
    call = globals()[variant](*points(examples))
    found = call()  # the first call, traced and compiled, is not counted
    check = found[:20].tolist() if isinstance(found, np.ndarray) else None
    channel.answer(neighbours=check)
    for _ in channel.requests():
        started = time.perf_counter()
        call()
        channel.answer(seconds=time.perf_counter() - started)


def measure(rounds: int = ROUNDS, examples: int = EXAMPLES, logs: pathlib.Path = OUTPUT) -> dict:
    """Returns the seconds of every variant, and the ratios of scikit-learn's to ours.

    Args:
        rounds: calls of each, which alternate; every second round in reverse.
        examples: how many points to search.
        logs: directory for what the workers print.

    Raises:
        ValueError: the libraries found other neighbours.
    """
    seconds = {name: [] for name in VARIANTS}
    with contextlib.ExitStack() as stack:
        workers = {}
        for name in VARIANTS:
            command = [sys.executable, __file__, name, examples]
            workers[name] = stack.enter_context(Worker(f"neighbours {name}", command, logs))
        if workers["ours"].facts != workers["sklearn"].facts:
            raise ValueError("got other neighbours than scikit-learn, expected the same")
        for number in range(rounds):
            for name in list(VARIANTS)[:: 1 if number % 2 == 0 else -1]:
                seconds[name].append(workers[name].measure()["seconds"])
    ratios = {
        name: statistics.median(
            theirs / own for theirs, own in zip(seconds["sklearn"], seconds[name], strict=True)
        )
        for name in VARIANTS
    }
    return {"examples": examples, "seconds": seconds, "ratios": ratios}


def verdict(result: dict) -> tuple[bool, str]:
    """Tells whether we are at least as fast as scikit-learn, and says it in a sentence."""
    slowest = min(result["ratios"][name] for name in ("ours", "task"))
    passed = slowest >= 1
    return passed, (
        f"{'PASSED' if passed else 'FAILED'}: nearest neighbours are found {slowest:.2f} times as "
        "fast as by scikit-learn's brute force, expected 1 or more"
    )


def print_result(result: dict) -> None:
    """Prints the table and the verdict."""
    rows = [
        (
            what,
            f"{statistics.median(result['seconds'][name]):.2f}",
            f"{min(result['seconds'][name]):.2f} to {max(result['seconds'][name]):.2f}",
            f"{QUERIES / statistics.median(result['seconds'][name]):,.0f}",
            f"{result['ratios'][name]:.2f}",
        )
        for name, what in VARIANTS.items()
    ]
    title = (
        f"The {K} nearest of {result['examples']:,} points of {FEATURES:,} numbers, {QUERIES:,} "
        "queries, L2;\nratio of scikit-learn's time to this one's in the same round"
    )
    tables.print_table(title, ("search", "s", "rounds", "queries/s", "ratio"), rows)
    print(verdict(result)[1])


def main(arguments: list[str]) -> int:
    """Measures and prints; with the arguments VARIANT EXAMPLES it is a worker."""
    if arguments:
        work(arguments[0], int(arguments[1]))
        return 0
    OUTPUT.mkdir(exist_ok=True)
    result = measure()
    print_result(result)
    return 0 if verdict(result)[0] else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
