"""Searching a recipe's hyperparameters: what can be searched, one trial's training, the directory.

The directory of a search holds `search.json` (recipe and settings), `trials.sqlite` (Optuna's file)
and, when it is finished, `results.json` and `report.html`. Only the training and the validation
split are read, never the test split. Needs no TensorFlow until a trial trains.
"""

import contextlib
import dataclasses
import json
import pathlib
from collections.abc import Iterator, Mapping

from dlcv_tf.errors import InputError, unknown
from dlcv_tf.recipes.recipe import LOSSES, Recipe
from dlcv_tf.train import search_plan
from dlcv_tf.train.search_space import Choice, Range, Space

SEARCHED = ("learning_rate", "weight_decay")  # where no other is named: what matters most
FIXED = {
    "name": "it names the recipe",
    "data": "results on other data do not compare",
    "train_split": "results on other data do not compare",
    "validation_split": "results on other data do not compare",
    "test_split": "the test split is for the end",
    "epochs": "the stages of a search have their own; give one number for the longest",
    "seed": "the best of some seeds is luck; give one number",
}
LIMITS = {  # least, most
    "momentum": (0.0, 1.0),
    "label_smoothing": (0.0, 0.999),
    "dropout": (0.0, 0.999),
    "batch_size": (1, None),
    "learning_rate": (0.0, None),
    "weight_decay": (0.0, None),
    "l2": (0.0, None),
}
BY_FACTORS = ("learning_rate", "weight_decay", "l2")  # always on a logarithmic scale above 0
LOG_FROM = 10.0  # a range that spans such a factor is logarithmic, whatever it is of
MOMENTA = (0.5, 0.9, 0.95, 0.99)  # those that CS231n's notes on training name
_loaded: dict = {}  # splits by what they were loaded with, kept between the trials of a process


def default(name: str, recipe: Recipe) -> Range | Choice:
    """Returns where a hyperparameter is searched when no range is given for it.

    Args:
        name: a value of the recipe, or an option of its network.
        recipe: rates and penalties are searched about those it has.

    Raises:
        InputError: there is no sensible range for all.
    """
    refuse_fixed(name)
    value = getattr(recipe, name, None)
    if name == "learning_rate":
        return number_range(name, value / 100, value * 10)
    if name in ("weight_decay", "l2"):
        return number_range(name, (value or 1e-4) / 100, (value or 1e-4) * 10)
    if name == "label_smoothing":
        return number_range(name, 0.0, 0.2)
    if name == "dropout":
        return number_range(name, 0.0, 0.7)
    if name == "batch_size":
        return Choice(tuple(dict.fromkeys((max(1, value // 2), value, 2 * value))))
    if name == "augmentations":
        return Choice(((), value or ("shift",)))
    choices = {"momentum": MOMENTA, "loss": LOSSES}
    if isinstance(value, bool):
        choices[name] = (False, True)
    if name not in choices:
        raise InputError(f"got {name} alone, expected a range or choices, as {name}=A,B")
    return Choice(choices[name])


def number_range(name: str, low: float, high: float, log: bool | None = None) -> Range:
    """Returns the range of a hyperparameter between two numbers, with its natural limits.

    Args:
        name: of the hyperparameter.
        low: lower end.
        high: upper end.
        log: logarithmic or not; by default for rates and penalties, and from a factor of 10 on.

    Raises:
        InputError: see `Range`; names the hyperparameter.
    """
    refuse_fixed(name)
    if log is None:
        log = low > 0 and (name in BY_FACTORS or high / low >= LOG_FROM)
    is_integer = isinstance(low, int) and isinstance(high, int)
    least, most = LIMITS.get(name, (None, None))
    try:
        made = Range(low, high, log, is_integer, least, most)
    except InputError as error:
        raise InputError(f"{name}: {error}") from None
    if low == high:
        raise InputError(
            f"got {name}={made}, expected two different ends; for one value write {name}={low}"
        )
    return made


def refuse_fixed(name: str) -> None:
    """Raises an InputError if a value of a recipe is none to search."""
    if name in FIXED:
        raise InputError(f"got a range of {name}, expected it fixed: {FIXED[name]}")


def changes(recipe: Recipe, values: Mapping) -> dict:
    """Returns the changes of a recipe that give it some values.

    Args:
        recipe: the recipe.
        values: by name: values of the recipe, and options of its network.
    """
    fields = {field.name for field in dataclasses.fields(recipe)}
    made = {name: value for name, value in values.items() if name in fields}
    options = {name: value for name, value in values.items() if name not in fields}
    if options:
        made["network_options"] = {**recipe.network_options, **options}
    return made


def settings(recipe: Recipe, space: Space, trials: int, **options) -> search_plan.Settings:
    """Returns the settings of a recipe's search, whose fine trials train as long as the recipe.

    Args:
        recipe: the recipe.
        space: what is searched.
        trials: in all.
        options: `sampler` and `median` of `search_plan.Settings`.

    Raises:
        InputError: no trials, or an end or a choice that the recipe does not take.
    """
    for name, each in space.parameters.items():
        ends = (each.low, each.high) if isinstance(each, Range) else each.values
        for value in ends:
            recipe.replace(**changes(recipe, {name: value}))
    stages = search_plan.stages(trials, recipe.epochs)
    made = search_plan.Settings(space, stages, seed=recipe.seed, **options)
    if made.sampler == "grid":  # it may have fewer points
        first = dataclasses.replace(stages[0], trials=len(space.grid(stages[0].trials)))
        made = dataclasses.replace(made, stages=(first, *stages[1:]))
    return made


@dataclasses.dataclass(frozen=True)
class Objective:
    """Trains a recipe with a trial's values; what counts is the last epoch's validation accuracy.

    With the fine stage's epochs it is the very training that `dlcv train` does with these values.

    Args:
        recipe: the recipe.
        data_dir: as for `data.load`.
    """

    recipe: Recipe
    data_dir: str | None = None

    def __call__(self, task: search_plan.Task, report: search_plan.Report) -> search_plan.Outcome:
        """Returns the outcome; it is "exploded" where the cost is over 3 times the original one."""
        import keras

        from dlcv_tf import data, train
        from dlcv_tf.recipes import run as runs
        from dlcv_tf.train import monitors

        keras.backend.clear_session()  # what trials before have left
        recipe = self.recipe.replace(**changes(self.recipe, task.values), epochs=task.epochs)
        runs.make_reproducible(recipe.seed)
        train_set, info = self._load(recipe, recipe.train_split)
        validation_set, _ = self._load(recipe, recipe.validation_split)
        batches = data.TrainingBatches(
            train_set, info.num_examples, recipe.batch_size, recipe.seed, recipe.augmentations
        )
        model = recipe.task(info)
        recipe.initialize(model, train_set)
        recipe.compile(model, batches.steps_per_epoch)
        explosion = monitors.ExplosionStop()

        def after_epoch(epoch, logs):
            if not explosion.reason and not report(epoch, logs["val_accuracy"]):
                model.stop_training = True

        try:
            history = train.train(
                model,
                batches,
                epochs=recipe.epochs,
                validation=data.evaluation_batches(validation_set),
                callbacks=[explosion, keras.callbacks.LambdaCallback(on_epoch_end=after_epoch)],
                verbose=0,
            )
        except train.NonFiniteError as error:
            return search_plan.Outcome(state="exploded", reason=str(error).partition(": ")[0])
        if explosion.reason:
            reason = explosion.reason.partition(": ")[0]
            return search_plan.Outcome(state="exploded", reason=reason)
        accuracies = history["val_accuracy"]
        if len(accuracies) < recipe.epochs:
            reason = f"below the median of the trials before after epoch {len(accuracies)}"
            return search_plan.Outcome(state="pruned", reason=reason)
        return search_plan.Outcome(accuracies[-1], loss=history["val_loss"][-1])

    def _load(self, recipe: Recipe, split: str) -> tuple:
        key = (recipe.data, split, recipe.image_size, recipe.channels, self.data_dir)
        if key not in _loaded:
            _loaded[key] = recipe.load(split, data_dir=self.data_dir)
        return _loaded[key]


def start(directory: pathlib.Path, recipe: Recipe, made: search_plan.Settings) -> None:
    """Makes the directory of a search.

    Raises:
        InputError: there is a search, or a run, in it.
    """
    for file, kind in (("search.json", "search"), ("recipe.json", "run")):
        if (directory / file).exists():
            raise InputError(
                f"{directory} holds a {kind} already: go on with it by dlcv "
                f"{'search' if kind == 'search' else 'train'} {recipe.name} --resume --run "
                f"{directory}, or choose another --run"
            )
    directory.mkdir(parents=True, exist_ok=True)
    content = {"recipe": dataclasses.asdict(recipe), "settings": search_plan.to_json(made)}
    unfinished = directory / "search.json.unfinished"
    unfinished.write_text(json.dumps(content, indent=1))
    unfinished.replace(directory / "search.json")


def read(directory: pathlib.Path) -> tuple[Recipe, search_plan.Settings]:
    """Returns the recipe and the settings of the search in a directory.

    Raises:
        InputError: it holds none, or one that cannot be read.
    """
    path = directory / "search.json"
    if not path.exists():
        raise InputError(f"nothing to resume: {directory} holds no search, it has no search.json")
    try:
        content = json.loads(path.read_text())
        return Recipe(**_tuples(content["recipe"])), search_plan.from_json(content["settings"])
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"got {path}, expected what dlcv search writes ({error})") from error


def _tuples(value):
    """Returns a value with tuples for lists, as it was before it was written as JSON."""
    if isinstance(value, dict):
        return {name: _tuples(each) for name, each in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


@contextlib.contextmanager
def alone(directory: pathlib.Path) -> Iterator[None]:
    """Keeps other processes from the search in a directory; a process that dies lets go of it.

    Raises:
        InputError: another process is at it.
    """
    import fcntl

    with (directory / "lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"another process carries out the search in {directory}: wait until it has ended, "
                "or choose another --run"
            ) from None
        yield


def check_options(names: list[str], networks: list[str]) -> None:
    """Raises an InputError for an option that one of some networks does not take.

    Args:
        names: options, besides the recipe's own values.
        networks: names in `models.BUILDERS`.
    """
    import inspect

    from dlcv_tf import models

    fields = [field.name for field in dataclasses.fields(Recipe)]
    for network in networks:
        if network not in models.BUILDERS:
            raise unknown("network", network, models.BUILDERS)
        known = list(inspect.signature(models.BUILDERS[network]).parameters)[2:]
        for name in names:
            if name not in known:
                raise unknown(
                    f"value of the recipe, or option of the network {network},",
                    name,
                    [*known, *(each for each in fields if each not in FIXED)],
                )
