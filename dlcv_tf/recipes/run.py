"""Runs: a recipe carried out in a directory, resumable, and read back for evaluation and export.

A run directory holds `recipe.json`, `variant.json` (how steps are carried out), `checkpoint.npz`
(the exact state), `tensorboard/`, and when it is finished `task.keras`, `history.json` and
`metrics.json`.
"""

import dataclasses
import functools
import json
import pathlib
import sys

import keras
import numpy as np
import tensorflow as tf

from dlcv_tf import data, train
from dlcv_tf.errors import InputError
from dlcv_tf.recipes.directories import new_directory as new_directory
from dlcv_tf.recipes.directories import newest_directory as newest_directory
from dlcv_tf.recipes.recipe import Recipe
from dlcv_tf.train import distribute, tuning

SMOKE_EXAMPLES = 256
NOT_TUNED = tuning.Choice(tuning.DEFAULT, {}, "not tuned")


def read_recipe(directory: str | pathlib.Path) -> Recipe:
    """Returns the recipe a run was started with."""
    path = pathlib.Path(directory) / "recipe.json"
    if not path.exists():
        raise InputError(f"got {directory}, expected the directory of a run: it has no recipe.json")
    return _recipe_of(json.loads(path.read_text()))


def _recipe_of(values: dict) -> Recipe:
    """Returns the recipe that was written as JSON, which knows no tuples."""
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
    if recipe.targets != "labels":
        dataset, _ = recipe.load(recipe.train_split, data_dir=data_dir)
        return task, next(iter(dataset.batch(count)))
    images = random.integers(0, 256, (count, *info.image_shape), np.uint8)
    return task, (images, random.integers(0, info.num_classes, count))


def choose_variant(recipe: Recipe, data_dir: str | None = None) -> tuning.Choice:
    """Returns the fastest way on this machine to carry out the recipe's training steps."""
    names = ("data", "network", "network_options", "image_size", "channels", "batch_size")
    subject = {name: getattr(recipe, name) for name in names}
    build = functools.partial(trial, recipe, data_dir)
    return tuning.choose(build, subject, say=lambda text: print(text, file=sys.stderr, flush=True))


@distribute.watched()
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

    Where `TF_CONFIG` names several workers, all of them train together what the first one, the
    chief, was called with; it alone reads and writes the directory.

    Args:
        recipe: what to train; ignored when resuming, where the run's own recipe counts.
        directory: of the run.
        resume: go on with the run in the directory.
        smoke: use a few hundred examples and one epoch, to see that all of it works.
        tune: find the fastest variant of the training step first, by a trial of some seconds, and
            keep it for resuming; needs a process in which TensorFlow has run nothing yet.
        data_dir: as for `data.load`.
        download: as for `data.load`.
        verbose: 1 shows the progress bar, 2 a line for each epoch, 0 nothing.

    Returns:
        The metrics: the task's main one on the test split (`test_accuracy`), `test_loss` and what
        else it has; examples, epochs, seconds of training; and the files that were skipped, which
        are also named on stderr as soon as the data is read.

    Raises:
        InputError: bad recipe or data, or another run in the directory; see `data.load` and
            `train.train`.
    """
    directory = pathlib.Path(directory)
    train.join()  # first of all: before TensorFlow runs anything
    if train.is_chief():
        recipe = _chosen(recipe, directory, resume, smoke)
    recipe = _recipe_of(distribute.from_chief(dataclasses.asdict(recipe)))
    where = {"data_dir": data_dir, "download": download}
    choice = _kept_choice(directory) if resume else NOT_TUNED
    if tune and not (resume or smoke):
        choice = _choice(recipe, **where)
    choice.variant.use_threads()
    make_reproducible(recipe.seed)
    loaded, skipped = _load(recipe, where)
    most = SMOKE_EXAMPLES if smoke else sys.maxsize
    train_set, validation_set, test_set = (dataset.take(most) for dataset, _ in loaded)
    num_examples, _, num_tested = (min(facts.num_examples, most) for _, facts in loaded)
    info = loaded[0][1]
    order = (recipe.batch_size, recipe.seed, recipe.augmentations, info.joint_names)
    batches = data.TrainingBatches(train_set, num_examples, *order)
    with train.scope():
        task = recipe.task(info)
        recipe.initialize(task, train_set)
        recipe.compile(task, batches.steps_per_epoch)
    checkpoint = directory / "checkpoint.npz"
    callbacks = _begin(recipe, choice, directory, resume) if train.is_chief() else []
    evaluated = {} if recipe.targets == "labels" else {"batch_size": recipe.batch_size}
    history = train.train(
        task,
        batches,
        epochs=recipe.epochs,
        validation=data.evaluation_batches(validation_set, **evaluated),
        callbacks=callbacks,
        checkpoint=checkpoint,
        resume=resume,
        variant=choice.variant,
        verbose=verbose,
    )
    test = _test(task, data.evaluation_batches(test_set, **evaluated))
    metrics = {
        **test,
        "test_examples": num_tested,
        "train_examples": num_examples,
        "epochs": recipe.epochs,
        "skipped": skipped,
    }
    if train.is_chief():
        metrics["seconds"] = round(train.read_progress(checkpoint).seconds, 1)
        _keep(directory, task, history, metrics)
    return distribute.from_chief(metrics)  # so that no worker ends before all is written


def _begin(recipe: Recipe, choice: tuning.Choice, directory: pathlib.Path, resume: bool) -> list:
    """Writes what a run keeps from its beginning; returns the callbacks that write there."""
    directory.mkdir(parents=True, exist_ok=True)
    callbacks = [keras.callbacks.TensorBoard(directory / "tensorboard", write_graph=False)]
    if not resume:  # a run keeps its recipe, also on a full disk
        (directory / "recipe.json").write_text(json.dumps(dataclasses.asdict(recipe), indent=1))
        tuning.write_choice(choice, directory / "variant.json")
    return callbacks


def _test(task: keras.Model, batches: tf.data.Dataset) -> dict[str, float]:
    """Returns the task's main metric, the loss, and what other metrics it has."""
    test = train.evaluate(task, batches)
    if task.targets != "labels":
        test |= task.measure(batches)
    first = (task.main_metric, "loss")
    rest = [name for name in test if name not in first]
    return {f"test_{name}": test[name] for name in (*first, *rest)}


def _load(recipe: Recipe, where: dict) -> tuple[list, list[str]]:
    """Returns the splits and their facts, and the files that were skipped, named on stderr too."""
    splits = (recipe.train_split, recipe.validation_split, recipe.test_split)
    loaded = [recipe.load(split, **where) for split in splits]
    skipped = [line for _, facts in loaded for line in facts.skipped]
    for line in skipped:
        print(f"skipped {line}", file=sys.stderr)
    return loaded, skipped


def _chosen(recipe: Recipe, directory: pathlib.Path, resume: bool, smoke: bool) -> Recipe:
    """Returns the recipe to train: that of the run in the directory when resuming."""
    if resume:
        return read_recipe(directory)
    if (directory / "recipe.json").exists():
        raise InputError(
            f"{directory} holds a run already: go on with it by --resume, or choose another --run"
        )
    return recipe.smoke() if smoke else recipe


def _keep(directory: pathlib.Path, task: keras.Model, history: dict, metrics: dict) -> None:
    """Writes what a finished run leaves."""
    unfinished = directory / "unfinished.keras"
    task.save(unfinished)
    unfinished.replace(directory / "task.keras")
    (directory / "history.json").write_text(json.dumps(history, indent=1))
    (directory / "metrics.json").write_text(json.dumps(metrics, indent=1))


def _choice(recipe: Recipe, data_dir: str | None, download: bool) -> tuning.Choice:
    """Returns the variant to train with, and says what was chosen and why."""
    if train.join():
        return NOT_TUNED
    try:
        choice = choose_variant(recipe, data_dir)
    except InputError:
        if download:  # the data may be what is missing
            return NOT_TUNED
        raise
    print(f"training step: {choice.variant} ({choice.reason})", file=sys.stderr, flush=True)
    return choice


def _kept_choice(directory: pathlib.Path) -> tuning.Choice:
    """Returns the variant that a run was begun with."""
    kept = directory / "variant.json"
    return NOT_TUNED if train.join() or not kept.exists() else tuning.read_choice(kept)


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
