"""Non-maximum suppression and RoI align beside what `tf.image` has: the same boxes, one machine.

    .venv/bin/python tools/bench_detection.py            a minute; a section of bench.py too

Suppression among 10,000 boxes at an overlap of 0.5, until 1,000 stay, or 100. RoI align of 1,000
boxes to 7x7 bins with four samples each, from a map of 38x50x64; `tf.image` has no averaging, so
that its `crop_and_resize` to 14x14 is followed by average pooling, as the first Mask R-CNN codes
in TensorFlow did. All run as traced functions on the CPU and must find the same.
"""

import pathlib
import statistics
import sys
import time
from collections.abc import Callable

import numpy as np
from bench_worker import Channel, Worker

from dlcv_tf.cli import tables

OUTPUT = pathlib.Path(__file__).parents[1] / ".bench"
ROUNDS, BLOCK_SECONDS = 8, 0.3
BOXES, ROIS, BINS = 10_000, 1000, 7
MAP = (38, 50, 64)
MOST = {"nms_1000": 1000, "nms_100": 100}
TASKS = {
    "nms_1000": "10,000 boxes, until 1,000 stay",
    "nms_100": "10,000 boxes, until 100 stay",
    "roi": "RoI align of 1,000 boxes",
}
# The first is ours, the second what it is compared with.
VARIANTS = {
    "nms": {
        "greedy": "ops.nms.greedy",
        "image": "tf.image.non_max_suppression",
        "padded": "tf.image.non_max_suppression_padded",
    },
    "roi": {
        "align": "ops.roi.align",
        "crop": "tf.image.crop_and_resize, avg_pool",
    },
}


def variants(task: str) -> dict[str, str]:
    """Returns the names of a task's variants, and what they are."""
    return VARIANTS[task.split("_")[0]]


def suppression(task: str) -> tuple[dict[str, Callable], tuple]:
    """Returns the functions that suppress, and their arguments."""
    import tensorflow as tf

    from dlcv_tf.ops import nms

    random = np.random.default_rng(0)
    corners = random.uniform(0, 800, (BOXES, 2))
    boxes = np.concatenate([corners, corners + random.uniform(10, 100, (BOXES, 2))], axis=1)
    scores = random.uniform(0, 1, BOXES)
    most = MOST[task]
    functions = {
        "greedy": lambda boxes, scores: nms.greedy(boxes, scores, max_boxes=most),
        "image": lambda boxes, scores: tf.image.non_max_suppression(boxes, scores, most, 0.5),
        "padded": lambda boxes, scores: tf.image.non_max_suppression_padded(
            boxes, scores, most, 0.5
        )[0],
    }
    return functions, (tf.constant(boxes, tf.float32), tf.constant(scores, tf.float32))


def alignment(_: str) -> tuple[dict[str, Callable], tuple]:
    """Returns the functions that align, and their arguments."""
    import tensorflow as tf

    from dlcv_tf.ops import roi

    random = np.random.default_rng(0)
    height, width, _ = MAP
    features = tf.constant(random.normal(size=(1, *MAP)), tf.float32)
    low = random.uniform(1, (width - 11, height - 11), (ROIS, 2))  # away from the borders
    boxes = np.concatenate([low, low + random.uniform(2, 9, (ROIS, 2))], axis=1)
    boxes = tf.constant(boxes, tf.float32)

    def crop(features, boxes):
        # The first and the last of the 14 samples of a side lie 1/28 of the box inside of it.
        inset = (boxes[:, 2:] - boxes[:, :2]) / (4 * BINS)
        low, high = boxes[:, :2] + inset - 0.5, boxes[:, 2:] - inset - 0.5
        scale = tf.constant([width - 1, height - 1], tf.float32)
        corners = tf.concat([(low / scale)[:, ::-1], (high / scale)[:, ::-1]], axis=1)
        samples = tf.image.crop_and_resize(
            features, corners, tf.zeros(len(boxes), tf.int32), (2 * BINS, 2 * BINS)
        )
        return tf.nn.avg_pool2d(samples, 2, 2, "VALID")

    functions = {
        "align": lambda features, boxes: roi.align(features, boxes[None], BINS)[0],
        "crop": crop,
    }
    return functions, (features, boxes)


def work(task: str) -> None:
    """Measures calls on request, until the input ends; the worker of `measure`."""
    channel = Channel()
    import tensorflow as tf

    functions, arguments = (alignment if task == "roi" else suppression)(task)
    functions = {name: tf.function(function) for name, function in functions.items()}
    found = {name: function(*arguments).numpy() for name, function in functions.items()}
    first, *others = found.values()
    channel.answer(alike=all(np.allclose(first, other, atol=1e-4) for other in others))
    for request in channel.requests():
        function = functions[request["variant"]]
        calls, started = 0, time.perf_counter()
        while not calls or time.perf_counter() - started < request["seconds"]:
            function(*arguments)
            calls += 1
        channel.answer(milliseconds=(time.perf_counter() - started) / calls * 1e3)


def measure(
    rounds: int = ROUNDS, seconds: float = BLOCK_SECONDS, logs: pathlib.Path = OUTPUT
) -> dict:
    """Returns the milliseconds of a call of every variant, and the ratios of theirs to ours.

    Args:
        rounds: blocks of each, which alternate; every second round in reverse.
        seconds: length of a block.
        logs: directory for what the workers print.

    Raises:
        ValueError: the variants found different things.
    """
    results = {}
    for task in TASKS:
        times = {name: [] for name in variants(task)}
        with Worker(f"detection {task}", [sys.executable, __file__, task], logs) as worker:
            if not worker.facts["alike"]:
                raise ValueError(f"got other results than tf.image of {task}, expected the same")
            for number in range(rounds):
                for name in list(times)[:: 1 if number % 2 == 0 else -1]:
                    answer = worker.measure(variant=name, seconds=seconds)
                    times[name].append(answer["milliseconds"])
        ours = times[next(iter(times))]
        ratios = {
            name: statistics.median(other / own for other, own in zip(each, ours, strict=True))
            for name, each in times.items()
        }
        results[task] = {"milliseconds": times, "ratios": ratios}
    return results


def print_result(results: dict) -> None:
    """Prints the table."""
    rows = [
        (
            TASKS[task],
            what,
            f"{statistics.median(result['milliseconds'][name]):.2f}",
            f"{min(result['milliseconds'][name]):.2f} to {max(result['milliseconds'][name]):.2f}",
            f"{result['ratios'][name]:.2f}",
        )
        for task, result in results.items()
        for name, what in variants(task).items()
    ]
    title = "Boxes beside tf.image; ratio of its time to ours in the same round"
    tables.print_table(title, ("what", "function", "ms", "rounds", "ratio"), rows)


def main(arguments: list[str]) -> int:
    """Measures and prints; with the name of a task it is the worker for it."""
    if arguments:
        work(arguments[0])
        return 0
    OUTPUT.mkdir(exist_ok=True)
    print_result(measure())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
