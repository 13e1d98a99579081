"""What a search is and what its trials are, as plain values that JSON can hold."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence

from dlcv_tf.errors import InputError, unknown
from dlcv_tf.train import search_space
from dlcv_tf.train.search_space import Space

SAMPLERS = ("random", "grid", "tpe")
FINE_SHARE = 3  # one trial in so many is of the fine stage
COARSE_EPOCHS = 5  # the coarse stage trains for one in so many epochs


@dataclasses.dataclass(frozen=True)
class Stage:
    """A part of a search.

    Args:
        name: of the stage.
        trials: how many trials it has; a grid may have fewer.
        epochs: how long each trains.
    """

    name: str
    trials: int
    epochs: int


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a search is.

    Args:
        space: what is searched.
        stages: one after another, each about the best of the one before.
        sampler: "random", "grid", or "tpe" (Tree-structured Parzen Estimator, which learns).
        maximize: whether larger values are better.
        median: also stop a trial that is worse than the median of the others after as many epochs.
        seed: of what is drawn.

    Raises:
        InputError: no stage, a stage without trials or epochs, or an unknown sampler.
    """

    space: Space
    stages: tuple[Stage, ...]
    sampler: str = "random"
    maximize: bool = True
    median: bool = False
    seed: int = 0

    def __post_init__(self):
        if self.sampler not in SAMPLERS:
            raise unknown("sampler", self.sampler, SAMPLERS)
        if not self.stages or any(each.trials < 1 or each.epochs < 1 for each in self.stages):
            raise InputError(
                f"got stages of {[(each.trials, each.epochs) for each in self.stages]} trials and "
                "epochs, expected 1 or more of each"
            )


@dataclasses.dataclass(frozen=True)
class Task:
    """A trial to carry out, as an objective gets it.

    Args:
        number: of the trial, from 0 on through all stages.
        stage: name of its stage.
        epochs: how long to train.
        values: hyperparameters by name.
    """

    number: int
    stage: str
    epochs: int
    values: Mapping


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a trial ended, as an objective returns it.

    Args:
        value: what is searched for; None where the trial was stopped.
        loss: decides between equal values; the smaller one is better.
        state: "complete", "exploded" (the cost is more than 3 times the original one), "pruned"
            (worse than the median) or "failed".
        reason: why it is not complete.
    """

    value: float | None = None
    loss: float | None = None
    state: str = "complete"
    reason: str = ""


@dataclasses.dataclass(frozen=True)
class Trial(Task):
    """A trial with its outcome so far.

    Args:
        state: that of the `Outcome`, or "running".
        value: likewise, and so the others.
        loss: likewise.
        reason: likewise.
        seconds: it took.
        epoch_values: value after each epoch.
    """

    state: str
    value: float | None
    loss: float | None
    reason: str
    seconds: float
    epoch_values: Sequence[float]


Report = Callable[[int, float], bool]  # (epoch from 0, value) -> whether to go on
Objective = Callable[[Task, Report], Outcome]


def stages(trials: int, epochs: int) -> tuple[Stage, ...]:
    """Returns the coarse and the fine stage; one stage where there are fewer than three trials.

    Args:
        trials: in all; two thirds of them are coarse.
        epochs: of a fine trial; a coarse one has a fifth of them.

    Raises:
        InputError: no trials or no epochs.
    """
    if trials < 1:
        raise InputError(f"got {trials} trials, expected 1 or more, as --trials 12")
    fine = trials // FINE_SHARE
    if not fine:
        return (Stage("only", trials, epochs),)
    coarse = Stage("coarse", trials - fine, max(1, epochs // COARSE_EPOCHS))
    return coarse, Stage("fine", fine, epochs)


def to_json(settings: Settings) -> dict:
    """Returns settings as plain JSON values."""
    return dataclasses.asdict(settings) | {"space": search_space.to_json(settings.space)}


def from_json(values: Mapping) -> Settings:
    """Returns the settings that were written by `to_json`."""
    made = {
        "space": search_space.from_json(values["space"]),
        "stages": tuple(Stage(**each) for each in values["stages"]),
    }
    return Settings(**(dict(values) | made))
