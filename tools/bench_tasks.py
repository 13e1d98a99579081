"""Training of the shipped detector and segmenter with our loop, beside `fit` of the same task.

    .venv/bin/python tools/bench_tasks.py        two minutes; a section of bench.py too

The recipes' own networks, losses, optimizers, batch sizes and augmentations, on random pictures
of the recipes' sizes: eight boxes in each, or a class for each pixel. `fit` is Keras's, of the same
task, fed with the same augmented batches; one core or several, as the environment gives.
"""

import pathlib
import statistics
import sys

import numpy as np
from bench_worker import Channel, Worker

from dlcv_tf.cli import tables

OUTPUT = pathlib.Path(__file__).parents[1] / ".bench"
ROUNDS, STEPS = 8, 6
RECIPES = {"bccd_ssd": 3, "camvid_unet": 11}  # name to number of classes
VARIANTS = {"ours": "our loop", "fit": "Keras fit"}
PICTURES, BOXES = 64, 8
EPOCHS = 10_000  # more than there is time for: the worker ends when its input does


def examples(recipe, classes: int) -> tuple:
    """Returns random pictures and targets of the kind that a recipe's task is trained on."""
    random = np.random.default_rng(0)
    height, width = recipe.image_size
    images = random.integers(0, 256, (PICTURES, height, width, 3), np.uint8)
    if recipe.targets == "class_map":
        targets = random.integers(0, classes, (PICTURES, height, width), np.uint8)
    else:
        low = random.uniform(0, (width - 60, height - 60), (PICTURES, BOXES, 2))
        corners = [low, low + random.uniform(20, 60, (PICTURES, BOXES, 2))]
        targets = {
            "boxes": np.concatenate(corners, axis=-1).astype(np.float32),
            "classes": random.integers(0, classes, (PICTURES, BOXES), np.int32),
            "valid": np.ones((PICTURES, BOXES), bool),
            "ignored": np.zeros((PICTURES, BOXES), bool),
        }
    return images, targets


def work(name: str, variant: str) -> None:
    """Trains when told to, until the input ends; the worker of `measure`."""
    channel = Channel()
    import tensorflow as tf
    from bench_training import Blocks

    from dlcv_tf import data, recipes, train
    from dlcv_tf.recipes import run as runs

    recipe = recipes.get(name)
    runs.make_reproducible(recipe.seed)
    labels = tuple(str(number) for number in range(RECIPES[name]))
    info = data.Info("random", "train", labels, PICTURES, (*recipe.image_size, 3))
    dataset = tf.data.Dataset.from_tensor_slices(examples(recipe, len(labels)))
    order = (recipe.batch_size, recipe.seed, recipe.augmentations)
    batches = data.TrainingBatches(dataset, PICTURES, *order)
    task = recipe.task(info)
    recipe.compile(task, batches.steps_per_epoch)
    steps = channel.steps(parameters=task.network.count_params(), batch_size=recipe.batch_size)
    callbacks = [Blocks(steps)]
    if variant == "ours":
        train.train(task, batches, epochs=EPOCHS, callbacks=callbacks)
    else:
        stream = batches.stream(EPOCHS).prefetch(tf.data.AUTOTUNE)
        length = batches.steps_per_epoch
        task.fit(stream, epochs=EPOCHS, steps_per_epoch=length, callbacks=callbacks)


def measure(rounds: int = ROUNDS, steps: int = STEPS, logs: pathlib.Path = OUTPUT) -> dict:
    """Returns the pictures a second of both variants of every recipe in every round.

    Args:
        rounds: blocks of each, which alternate; every second round in reverse.
        steps: training steps in a block.
        logs: directory for what the workers print.
    """
    results = {}
    for name in RECIPES:
        speeds = {variant: [] for variant in VARIANTS}
        command = [sys.executable, __file__, name]
        with (
            Worker(f"{name} ours", [*command, "ours"], logs) as ours,
            Worker(f"{name} fit", [*command, "fit"], logs) as fit,
        ):
            workers = {"ours": ours, "fit": fit}
            for number in range(rounds):
                for variant in list(speeds)[:: 1 if number % 2 == 0 else -1]:
                    answer = workers[variant].measure(steps=steps)
                    pictures = answer["steps"] * ours.facts["batch_size"]
                    speeds[variant].append(pictures / answer["seconds"])
            facts = ours.facts
        ratio = statistics.median(
            own / other for own, other in zip(speeds["ours"], speeds["fit"], strict=True)
        )
        results[name] = {"pictures_per_second": speeds, "ratio": ratio, "facts": facts}
    return results


def print_result(results: dict) -> None:
    """Prints the table."""
    rows = [
        (
            name,
            f"{result['facts']['parameters']:,}",
            what,
            f"{statistics.median(result['pictures_per_second'][variant]):.1f}",
            f"{min(result['pictures_per_second'][variant]):.1f} to "
            f"{max(result['pictures_per_second'][variant]):.1f}",
            f"{result['ratio']:.2f}" if variant == "ours" else "",
        )
        for name, result in results.items()
        for variant, what in VARIANTS.items()
    ]
    title = "Training of shipped tasks; ratio of ours to fit in the same round"
    header = ("recipe", "parameters", "variant", "pictures/s", "rounds", "ratio")
    tables.print_table(title, header, rows)


def main(arguments: list[str]) -> int:
    """Measures and prints; with a recipe and a variant it is the worker for them."""
    if arguments:
        work(*arguments)
        return 0
    OUTPUT.mkdir(exist_ok=True)
    print_result(measure())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
