"""Runs: a recipe carried out in a directory, resumable, and read back for evaluation and export.

A run directory holds `recipe.json`, `variant.json` (how steps are carried out), `checkpoint.npz`
(the exact state), `tensorboard/`, and when it is finished `task.keras`, `history.json` and
`metrics.json`.
"""

import dataclasses
import datetime
import functools
import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf import data, train
from dlcv_tf.errors import InputError
from dlcv_tf.recipes.recipe import Recipe
from dlcv_tf.train import tuning

SMOKE_EXAMPLES = 256


def new_directory(recipe_name: str, root: str | pathlib.Path = "runs") -> pathlib.Path:
    """Returns `root/RECIPE/DATE-N` with the first N that is free."""
    parent = pathlib.Path(root) / recipe_name
    today = datetime.date.today().isoformat()
    number = 1
    while (parent / f"{today}-{number}").exists():
        number += 1
    return parent / f"{today}-{number}"


def newest_directory(recipe_name: str, root: str | pathlib.Path = "runs") -> pathlib.Path:
    """Returns the recipe's run that was last written to.

    Raises:
        InputError: there is none.
    """
    found = list((pathlib.Path(root) / recipe_name).glob("*/recipe.json"))
    if not found:
        raise InputError(
            f"there is no run of {recipe_name} in {root}: start one with dlcv train {recipe_name}"
        )
    return max(found, key=lambda path: path.stat().st_mtime).parent


def read_recipe(directory: str | pathlib.Path) -> Recipe:
    """Returns the recipe a run was started with."""
    path = pathlib.Path(directory) / "recipe.json"
    if not path.exists():
        raise InputError(f"got {directory}, expected the directory of a run: it has no recipe.json")
    values = json.loads(path.read_text())
    tuples = {name: tuple(v) if isinstance(v, list) else v for name, v in values.items()}
    return Recipe(**tuples)


def make_reproducible(seed: int) -> None:
    """Seeds everything and makes every op deterministic, for this process."""
    keras.utils.set_random_seed(seed)
    tf.config.experimental.enable_op_determinism()


def trial(recipe: Recipe, data_dir: str | None = None) -> tuple[keras.Model, tuple]:
    """Returns a recipe's compiled task and a batch of random pictures, for `tuning.choose`."""
    make_reproducible(recipe.seed)
    info = recipe.describe(recipe.train_split, data_dir=data_dir)
    task = recipe.task(info)
    recipe.compile(task, steps_per_epoch=1000)
    random = np.random.default_rng(recipe.seed)
    count = min(recipe.batch_size, info.num_examples)
    images = random.integers(0, 256, (count, *info.image_shape), np.uint8)
    return task, (images, random.integers(0, info.num_classes, count))


def choose_variant(recipe: Recipe, data_dir: str | None = None) -> tuning.Choice:
    """Returns the fastest way on this machine to carry out the recipe's training steps."""
    names = ("data", "network", "network_options", "image_size", "channels", "batch_size")
    subject = {name: getattr(recipe, name) for name in names}
    build = functools.partial(trial, recipe, data_dir)
    return tuning.choose(build, subject, say=lambda text: print(text, file=sys.stderr, flush=True))


def run(
    recipe: Recipe,
    directory: str | pathlib.Path,
    *,
    resume: bool = False,
    smoke: bool = False,
    tune: bool = False,
    data_dir: str | None = None,
    download: bool = False,
    verbose: int = 1,
) -> dict:
    """Trains a recipe in a directory, evaluates the result on the test split and saves it.

    Args:
        recipe: what to train; ignored when resuming, where the run's own recipe counts.
        directory: of the run.
        resume: go on with the run in the directory.
        smoke: use a few hundred examples and one epoch, to see that all of it works.
        tune: find the fastest variant of the training step first, by a trial of some seconds, and
            keep it for resuming; needs a process in which TensorFlow has run nothing yet.
        data_dir: as for `data.load`.
        download: as for `data.load`.
        verbose: 1 shows the progress bar, 0 nothing.

    Returns:
        The metrics: test loss and accuracy, examples, epochs, seconds of training; and the files
        that were skipped, which are also named on stderr as soon as the data is read.

    Raises:
        InputError: bad recipe or data, or another run in the directory; see `data.load` and
            `train.train`.
    """
    directory = pathlib.Path(directory)
    if resume:
        recipe = read_recipe(directory)
    elif (directory / "recipe.json").exists():
        raise InputError(
            f"{directory} holds a run already: go on with it by --resume, or choose another --run"
        )
    elif smoke:
        recipe = recipe.smoke()
    choice = _choice(recipe, directory, resume, tune and not smoke, data_dir)
    choice.variant.use_threads()
    make_reproducible(recipe.seed)
    load = {"data_dir": data_dir, "download": download}
    train_set, info = recipe.load(recipe.train_split, **load)
    validation_set, validation_info = recipe.load(recipe.validation_split, **load)
    test_set, test_info = recipe.load(recipe.test_split, **load)
    skipped = [*info.skipped, *validation_info.skipped, *test_info.skipped]
    for line in skipped:
        print(f"skipped {line}", file=sys.stderr)
    num_examples, num_tested = info.num_examples, test_info.num_examples
    if smoke:
        num_examples, num_tested = (min(n, SMOKE_EXAMPLES) for n in (num_examples, num_tested))
        train_set, validation_set, test_set = (
            dataset.take(SMOKE_EXAMPLES) for dataset in (train_set, validation_set, test_set)
        )
    batches = data.TrainingBatches(
        train_set, num_examples, recipe.batch_size, recipe.seed, recipe.augmentations
    )
    task = recipe.task(info)
    recipe.initialize(task, train_set)
    recipe.compile(task, batches.steps_per_epoch)
    checkpoint = directory / "checkpoint.npz"
    directory.mkdir(parents=True, exist_ok=True)
    if not resume:  # a run keeps its recipe, also on a full disk
        (directory / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe), indent=1))
        tuning.write_choice(choice, directory / "variant.json")
    history = train.train(
        task,
        batches,
        epochs=recipe.epochs,
        validation=data.evaluation_batches(validation_set),
        callbacks=[keras.callbacks.TensorBoard(directory / "tensorboard", write_graph=False)],
        checkpoint=checkpoint,
        resume=resume,
        variant=choice.variant,
        verbose=verbose,
    )
    test = task.evaluate(data.evaluation_batches(test_set), return_dict=True, verbose=0)
    metrics = {
        "test_accuracy": float(test["accuracy"]),
        "test_loss": float(test["loss"]),
        "test_examples": num_tested,
        "train_examples": num_examples,
        "epochs": recipe.epochs,
        "seconds": round(train.read_progress(checkpoint).seconds, 1),
        "skipped": skipped,
    }
    unfinished = directory / "unfinished.keras"
    task.save(unfinished)
    unfinished.replace(directory / "task.keras")
    (directory / "history.json").write_text(json.dumps(history, indent=1))
    (directory / "metrics.json").write_text(json.dumps(metrics, indent=1))
    return metrics


def _choice(
    recipe: Recipe, directory: pathlib.Path, resume: bool, tune: bool, data_dir: str | None
) -> tuning.Choice:
    """Returns the variant to train with, and says what was chosen and why."""
    kept = directory / "variant.json"
    if resume and kept.exists():
        return tuning.read_choice(kept)
    if resume or not tune:
        return tuning.Choice(tuning.DEFAULT, {}, "not tuned")
    choice = choose_variant(recipe, data_dir)
    print(f"training step: {choice.variant} ({choice.reason})", file=sys.stderr, flush=True)
    return choice


def load_task(directory: str | pathlib.Path) -> keras.Model:
    """Returns the trained task of a finished run.

    Raises:
        InputError: not a run, or not finished.
    """
    from dlcv_tf import tasks  # noqa: F401  registers the classes that the file names

    path = pathlib.Path(directory) / "task.keras"
    if not path.exists():
        read_recipe(directory)
        raise InputError(f"the run {directory} is not finished: go on with dlcv train --resume")
    return keras.models.load_model(path)
