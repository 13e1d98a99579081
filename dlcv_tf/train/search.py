"""Coarse-to-fine search for hyperparameters, kept trial by trial in one SQLite file by Optuna.

A first stage trains briefly all over the ranges, a second one for longer about the best of the
first. What a trial tries follows from the seed and its number alone (but for TPE, which learns from
the trials before), and only one process writes to the file: a search that was killed goes on with
the trials it had begun, and then with those it would have come to.

Reference: Bergstra and Bengio 2012, "Random Search for Hyper-Parameter Optimization",
https://jmlr.org/papers/v13/bergstra12a.html.
"""

import dataclasses
import functools
import math
import pathlib
import time
import typing
from collections.abc import Callable

import numpy as np

from dlcv_tf.errors import InputError, RefusedError
from dlcv_tf.train.search_plan import Objective, Outcome, Settings, Task, Trial
from dlcv_tf.train.search_space import Space

if typing.TYPE_CHECKING:
    import optuna

GOOD_SHARE = 4  # the best one in so many trials say where the fine stage searches
TRIALS_BEFORE_MEDIAN = 3  # finished trials that a median is taken of


def _unwritten(error: Exception) -> RefusedError:
    """Returns what to say of SQLAlchemy's or Optuna's error about a file that cannot be written."""
    error = error.__cause__ or error
    reason = getattr(error, "orig", error)
    return RefusedError(
        f"the search's file cannot be written ({reason}): is the disk full, or the directory not "
        "yours? What was written is kept: make room, then go on with --resume"
    )


def _writes(method: Callable) -> Callable:
    """Lets a method that writes to the file say in one line where it cannot."""

    @functools.wraps(method)
    def call(*arguments):
        import optuna

        try:
            return method(*arguments)
        except optuna.exceptions.StorageInternalError as error:
            raise _unwritten(error) from error

    return call


class Search:
    """A search in progress: hands out trials, takes their outcomes, and knows the best.

    Args:
        settings: what is searched; those of the file where it is one of a search that goes on.
        file: SQLite file that keeps the trials; in memory alone by default. Only one process may
            have it open.

    Raises:
        InputError: the file is none of a search.
        RefusedError: it cannot be written; so do the methods.
    """

    def __init__(self, settings: Settings, file: str | pathlib.Path | None = None):
        self.settings = settings
        self._storage, self._studies = _open(settings, file)
        self._running: dict[int, optuna.Trial] = {}  # what this process has handed out
        self._spaces = {0: settings.space}  # of the stages that have begun

    @_writes
    def take(self) -> Task | None:
        """Returns the next trial to carry out; None if all are done, or a stage's last ones run.

        Trials that were begun by a process that has gone come first: with the same number and
        values.
        """
        for place, study in enumerate(self._studies):
            made = study.get_trials(deepcopy=False)
            unfinished = [trial.number for trial in made if not trial.state.is_finished()]
            left = [n for n in unfinished if self._first(place) + n not in self._running]
            if left:
                return self._begin(place, left[0])
            if len(made) < self._count(place):
                self._make(place, len(made))
                return self._begin(place, len(made))
            if unfinished or self.best(place) is None:
                return None
        return None

    @_writes
    def report(self, task: Task, epoch: int, value: float) -> bool:
        """Notes a value after an epoch; returns whether the trial should go on.

        Args:
            task: the trial.
            epoch: from 0 on.
            value: after it.
        """
        trial = self._running[task.number]
        place, number = self._place(task.number)
        frozen = self._studies[place].get_trials(deepcopy=False)[number]
        if epoch not in frozen.intermediate_values:  # as it is in a trial that is begun anew
            trial.report(value, epoch)
        return not (self.settings.median and trial.should_prune())

    @_writes
    def tell(self, task: Task, outcome: Outcome, seconds: float) -> Trial:
        """Keeps a trial's outcome for good.

        Args:
            task: the trial.
            outcome: of it; a value that is not finite counts as exploded.
            seconds: it took.
        """
        import optuna

        if outcome.state == "complete" and not math.isfinite(outcome.value):
            outcome = Outcome(state="exploded", reason=f"the result is {outcome.value}")
        states = {"complete": "COMPLETE", "failed": "FAIL"}
        state = optuna.trial.TrialState[states.get(outcome.state, "PRUNED")]
        place, number = self._place(task.number)
        kept = dataclasses.asdict(outcome) | {"seconds": round(seconds, 3)}
        self._running[task.number].set_user_attr("outcome", kept)
        value = outcome.value if outcome.state == "complete" else None
        self._studies[place].tell(number, value, state)  # from here on it is done
        del self._running[task.number]
        return self.trials(place)[number]

    def trials(self, place: int | None = None) -> list[Trial]:
        """Returns all trials so far, or those of one stage."""
        if place is None:
            return [trial for each in range(len(self._studies)) for trial in self.trials(each)]
        return [self._record(place, t) for t in self._studies[place].get_trials(deepcopy=False)]

    def best(self, place: int | None = None) -> Trial | None:
        """Returns the best complete trial of a stage; of the last that has any by default."""
        if place is None:
            found = (self.best(each) for each in reversed(range(len(self._studies))))
            return next((trial for trial in found if trial), None)
        ranked = self._ranked(place)
        return ranked[0] if ranked else None

    def improved(self) -> bool | None:
        """Tells whether the best of the last stage is at least that of the first; None with one."""
        first, last = self.best(0), self.best(len(self._studies) - 1)
        if len(self._studies) < 2 or first is None or last is None:
            return None
        return last.value >= first.value if self.settings.maximize else last.value <= first.value

    def space(self, place: int) -> Space:
        """Returns where a stage searches: about the best trials of the stage before.

        Args:
            place: of the stage; the one before must be over, with a trial that is complete.
        """
        if place not in self._spaces:
            ranked = self._ranked(place - 1)
            good = ranked[: max(2, len(ranked) // GOOD_SHARE)]
            if self.settings.sampler == "grid":  # choices multiply: only the best one is kept
                good = ranked[:1]
            self._spaces[place] = self.space(place - 1).around([trial.values for trial in good])
        return self._spaces[place]

    def warnings(self) -> list[str]:
        """Returns a sentence for each best value at the edge of its range: where to search on."""
        best = self.best()
        if best is None:
            return []
        sentences = []
        for name, wider in self.settings.space.edges(best.values).items():
            searched = self.settings.space.parameters[name]
            side = "upper" if wider.high > searched.high else "lower"
            sentences.append(
                f"the best {name}, {best.values[name]}, is in the outer 5 % at the {side} edge of "
                f"{searched}: search on with {name}={wider}"
            )
        return sentences

    def _ranked(self, place: int) -> list[Trial]:
        """Returns a stage's complete trials, the best first."""
        sign = -1 if self.settings.maximize else 1
        complete = [trial for trial in self.trials(place) if trial.state == "complete"]
        return sorted(complete, key=lambda t: (sign * t.value, t.loss or 0.0, t.number))

    def _first(self, place: int) -> int:
        """Returns the number of a stage's first trial, among those of all stages."""
        return sum(stage.trials for stage in self.settings.stages[:place])

    def _place(self, number: int) -> tuple[int, int]:
        """Returns the stage of a trial, and its number there."""
        place = max(each for each in range(len(self._studies)) if self._first(each) <= number)
        return place, number - self._first(place)

    def _count(self, place: int) -> int:
        """Returns how many trials a stage has."""
        if self.settings.sampler == "grid":
            return len(self._fixed(place))
        return self.settings.stages[place].trials

    def _fixed(self, place: int) -> list[dict]:
        """Returns the values of a stage's first trials, which no sampler draws.

        A later stage begins with the best of the one before: trained for longer, it must hold.
        """
        fixed = [dict(self.best(place - 1).values)] if place else []
        if self.settings.sampler == "grid":
            most = self.settings.stages[place].trials - len(fixed)
            fixed += self.space(place).grid(most) if most else []
        return fixed

    def _values(self, place: int, number: int) -> dict:
        """Returns the values that a stage's next trial tries."""
        fixed, space = self._fixed(place), self.space(place)
        if number < len(fixed):
            return fixed[number]
        seeds = (self.settings.seed, place, number)
        return (
            self._learned(place, seeds) if self.settings.sampler == "tpe" else space.random(seeds)
        )

    def _learned(self, place: int, seeds: tuple[int, ...]) -> dict:
        """Returns the values that TPE proposes after the stage's trials so far.

        It is asked in a copy, so that a trial comes into the file whole or not at all.
        """
        import optuna

        study, parameters = self._studies[place], self.space(place).parameters
        seed = int(np.random.SeedSequence(seeds).generate_state(1)[0])
        copy = optuna.create_study(
            direction=study.direction, sampler=optuna.samplers.TPESampler(seed=seed)
        )
        copy.add_trials(study.get_trials(deepcopy=False))
        asked = copy.ask({name: each.distribution() for name, each in parameters.items()})
        return {name: each.value(asked.params[name]) for name, each in parameters.items()}

    def _make(self, place: int, number: int) -> None:
        """Writes a new trial, in one transaction."""
        import optuna

        values, parameters = self._values(place, number), self.space(place).parameters
        self._studies[place].add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.RUNNING,
                params={name: parameters[name].label(value) for name, value in values.items()},
                distributions={name: each.distribution() for name, each in parameters.items()},
            )
        )

    def _begin(self, place: int, number: int) -> Task:
        """Notes that a trial runs here, and returns what is to be done."""
        import optuna

        study = self._studies[place]
        study_id = self._storage.get_study_id_from_name(study.study_name)
        trial_id = self._storage.get_trial_id_from_study_id_trial_number(study_id, number)
        trial = self.trials(place)[number]
        self._running[trial.number] = optuna.trial.Trial(study, trial_id)
        return Task(trial.number, trial.stage, trial.epochs, trial.values)

    def _record(self, place: int, trial) -> Trial:
        stage, parameters = self.settings.stages[place], self.space(place).parameters
        outcome = {"state": "running", "value": None, "loss": None, "reason": "", "seconds": 0.0}
        if trial.state.is_finished():
            outcome |= trial.user_attrs["outcome"]
        values = {name: each.value(trial.params[name]) for name, each in parameters.items()}
        epochs = [value for _, value in sorted(trial.intermediate_values.items())]
        number = self._first(place) + trial.number
        return Trial(number, stage.name, stage.epochs, values, epoch_values=epochs, **outcome)


def run(
    search: Search,
    objective: Objective,
    on_trial: Callable[[Trial], None] = lambda _: None,
) -> None:
    """Carries out what is left of a search, one trial after another, in this process.

    Args:
        search: the search.
        objective: trains with a task's values, calls `report` after each epoch, stops where that
            says so, and returns the outcome.
        on_trial: called with each trial that has ended.
    """
    while (task := search.take()) is not None:
        started = time.perf_counter()
        outcome = objective(task, lambda epoch, value, task=task: search.report(task, epoch, value))
        on_trial(search.tell(task, outcome, time.perf_counter() - started))


def _open(settings: Settings, file) -> tuple:
    """Returns Optuna's storage and the study of each stage."""
    try:
        import sqlite3  # noqa: F401  Python may be built without it
    except ImportError:
        raise RefusedError(
            "this Python has no SQLite, which keeps a search's trials: use another Python, or "
            "build this one where SQLite's headers are (Debian: libsqlite3-dev)"
        ) from None
    import optuna
    import sqlalchemy

    optuna.logging.set_verbosity(optuna.logging.WARNING)
    pruner = optuna.pruners.NopPruner()
    if settings.median:
        pruner = optuna.pruners.MedianPruner(TRIALS_BEFORE_MEDIAN)
    try:
        if file is None:
            storage = optuna.storages.InMemoryStorage()
        else:
            file = pathlib.Path(file).resolve()
            if not file.exists():
                _make_file(file)
            storage = _storage(file)
        studies = [
            optuna.create_study(
                storage=storage,
                study_name=stage.name,
                direction="maximize" if settings.maximize else "minimize",
                pruner=pruner,
                load_if_exists=True,
            )
            for stage in settings.stages
        ]
    except (sqlalchemy.exc.OperationalError, optuna.exceptions.StorageInternalError) as error:
        raise _unwritten(error) from error
    except sqlalchemy.exc.DatabaseError as error:
        raise InputError(
            f"got {file}, expected the file of a search ({error.orig}): choose another --run"
        ) from error
    return storage, studies


def _storage(file: pathlib.Path):
    """Returns Optuna's storage in a file, which is open in a transaction alone."""
    import optuna
    import sqlalchemy

    return optuna.storages.RDBStorage(f"sqlite:///{file}", {"poolclass": sqlalchemy.pool.NullPool})


def _make_file(file: pathlib.Path) -> None:
    """Makes the file with all its tables and indices at once.

    SQLite keeps each of them by itself: a process that is killed between two would leave studies
    without the index that keeps their names unique, and the next ones would make them twice.
    """
    new = file.with_name(f"{file.name}.new")
    for left in (new, new.with_name(f"{new.name}-journal")):
        left.unlink(missing_ok=True)
    _storage(new)
    new.replace(file)
