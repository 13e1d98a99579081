"""Hyperparameters and where they are searched: ranges, choices, and what is drawn from them.

Learning rates and penalties act by factors, so their ranges are uniform in the logarithm: between
0.001 and 0.1, half of the draws lie below 0.01.
"""

import dataclasses
import json
import math
import typing
from collections.abc import Mapping, Sequence

import numpy as np

from dlcv_tf.errors import InputError

if typing.TYPE_CHECKING:
    from optuna.distributions import BaseDistribution

EDGE = 0.05  # outer part of a range, on its own scale, in which a best value calls for a wider one
NARROWEST, WIDEST = 0.1, 0.25  # part of a range on either side of the best that a next stage keeps


@dataclasses.dataclass(frozen=True)
class Range:
    """Numbers between two ends.

    Args:
        low: lower end, included.
        high: upper end, included.
        log: uniform in the logarithm instead of in the number itself.
        integer: whole numbers only.
        least: natural limit below, e.g. 0 for a probability; None for none.
        most: natural limit above.
        digits: significant digits that draws are rounded to, so that they can be typed.

    Raises:
        InputError: ends that are no numbers, reversed, outside the limits or, for a logarithm, not
            above 0.

    Example:
        >>> Range(1e-4, 1e-1, log=True).spread(4)
        [0.0001, 0.001, 0.01, 0.1]
    """

    low: float
    high: float
    log: bool = False
    integer: bool = False
    least: float | None = None
    most: float | None = None
    digits: int = 4

    def __post_init__(self):
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low <= self.high):
            raise InputError(f"got {self}, expected LOW..HIGH of two numbers, the lower one first")
        if self.log and self.low <= 0:
            raise InputError(f"got {self} on a logarithmic scale, expected both ends above 0")
        least, most = self._limits()
        if self.low < least or self.high > most:
            raise InputError(f"got {self}, expected ends within {least:g}..{most:g}")

    def __str__(self):
        return f"{self.low:g}..{self.high:g}"

    def position(self, value: float) -> float:
        """Returns where a value lies on the range's own scale: 0 at the lower end, 1 at the upper.

        Args:
            value: a number; outside of the ends the position is below 0 or above 1.
        """
        low, high = self._scaled(self.low), self._scaled(self.high)
        return 0.5 if low == high else (self._scaled(value) - low) / (high - low)

    def at(self, position: float) -> float:
        """Returns the value at a position, rounded; positions outside of 0..1 are extrapolated."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        return self._rounded(self._unscaled(low + position * (high - low)))

    def draw(self, random: np.random.Generator) -> float:
        """Returns a random value; of whole numbers, the ends are as likely as others."""
        share = 0.5 if self.integer else 0.0
        low, high = self._scaled(self.low - share), self._scaled(self.high + share)
        value = self._rounded(self._unscaled(low + random.uniform() * (high - low)))
        return min(max(value, self.low), self.high)

    def spread(self, count: int) -> list[float]:
        """Returns evenly spaced values: from three on with both ends, fewer well inside.

        Args:
            count: how many; whole numbers may be fewer, as none is given twice.
        """
        if count > 2:
            positions = np.linspace(0, 1, count)
        else:
            positions = (np.arange(count) + 0.5) / count
        values = [min(max(self.at(position), self.low), self.high) for position in positions]
        return list(dict.fromkeys(values))

    def around(self, values: Sequence[float]) -> "Range":
        """Returns the part of the range about the first of some good values.

        It reaches as far as the others do, but at least `NARROWEST` and at most `WIDEST` of the
        whole range to either side, and not beyond its ends.

        Args:
            values: good values, the best one first.
        """
        best, *others = map(self.position, values)
        reach = max((abs(position - best) for position in others), default=0.0)
        reach = min(max(reach, NARROWEST), WIDEST)
        low, high = self.at(max(0.0, best - reach)), self.at(min(1.0, best + reach))
        low, high = max(self.low, min(low, values[0])), min(self.high, max(high, values[0]))
        return dataclasses.replace(self, low=low, high=high)

    def wider(self, value: float) -> "Range | None":
        """Returns where to search on if a best value is at the edge of the range, else None.

        The edge is the outer 5 % on the range's own scale, unless the range ends there by nature.
        The range returned is as wide as this one and begins, or ends, in the middle of it.

        Args:
            value: the best value.
        """
        position, (least, most) = self.position(value), self._limits()
        if position < EDGE and self.low > least:
            low, high = max(self.at(-0.5), least), self.at(0.5)
        elif position > 1 - EDGE and self.high < most:
            low, high = self.at(0.5), min(self.at(1.5), most)
        else:
            return None
        return dataclasses.replace(self, low=low, high=high)

    def distribution(self) -> "BaseDistribution":
        """Returns the range as Optuna has it."""
        from optuna import distributions

        if self.integer:
            return distributions.IntDistribution(int(self.low), int(self.high), log=self.log)
        return distributions.FloatDistribution(self.low, self.high, log=self.log)

    def label(self, value: float) -> float:
        """Returns how Optuna keeps a value."""
        return value

    def value(self, label: float) -> float:
        """Returns the value to use for what Optuna keeps: rounded, and within the ends."""
        return min(max(self._rounded(label), self.low), self.high)

    def _limits(self) -> tuple[float, float]:
        least = -math.inf if self.least is None else self.least
        return least, math.inf if self.most is None else self.most

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else float(value)

    def _unscaled(self, scaled: float) -> float:
        return math.exp(scaled) if self.log else scaled

    def _rounded(self, value: float) -> float:
        return round(value) if self.integer else float(f"{value:.{self.digits}g}")


@dataclasses.dataclass(frozen=True)
class Choice:
    """Some values, of any type.

    Args:
        values: to choose from.

    Raises:
        InputError: none, or one of them twice.
    """

    values: tuple

    def __post_init__(self):
        labels = [self.label(value) for value in self.values]
        if not labels or len(set(labels)) < len(labels):
            raise InputError(
                f"got the choices {self}, expected at least one, and none of them twice"
            )

    def __str__(self):
        return ",".join(map(self.label, self.values))

    def draw(self, random: np.random.Generator):
        """Returns one of the values at random."""
        return self.values[random.integers(len(self.values))]

    def spread(self, count: int) -> list:
        """Returns all values, whatever the count."""
        return list(self.values)

    def around(self, values: Sequence) -> "Choice":
        """Returns the choice among the good values alone."""
        kept = {self.label(value) for value in values}
        return Choice(tuple(value for value in self.values if self.label(value) in kept))

    def distribution(self) -> "BaseDistribution":
        """Returns the choice as Optuna has it: of texts, for it keeps no tuples."""
        from optuna import distributions

        return distributions.CategoricalDistribution([self.label(value) for value in self.values])

    def label(self, value) -> str:
        """Returns a value as text."""
        return value if isinstance(value, str) else json.dumps(value)

    def value(self, label: str):
        """Returns the value of a text."""
        return next(value for value in self.values if self.label(value) == label)


@dataclasses.dataclass(frozen=True)
class Space:
    """All that is searched: any hyperparameter by name.

    Args:
        parameters: a `Range` or a `Choice` for each name.

    Raises:
        InputError: there is none.

    Example:
        >>> space = Space({"learning_rate": Range(1e-4, 1e-1, log=True),
        ...                "optimizer": Choice(("sgd", "adam"))})
        >>> len(space.grid(8))
        8
    """

    parameters: Mapping[str, Range | Choice]

    def __post_init__(self):
        if not self.parameters:
            raise InputError("got no hyperparameter to search, expected at least one range")

    def random(self, seed: Sequence[int]) -> dict:
        """Returns values drawn at random, which follow from the seed alone.

        Args:
            seed: numbers of 0 or more.
        """
        random = np.random.default_rng(list(seed))
        return {name: each.draw(random) for name, each in self.parameters.items()}

    def grid(self, most: int) -> list[dict]:
        """Returns a grid: all choices, and for ranges as many values each as the number allows.

        Args:
            most: points there may be; the grid has fewer where no finer one fits.

        Raises:
            InputError: the choices alone make more.
        """
        counts = dict.fromkeys(self.parameters, 1)
        if self._size(counts) > most:
            raise InputError(
                f"got a grid of {most} points, expected at least {self._size(counts)}, as the "
                "choices alone make so many: leave out some, or take more trials"
            )
        finest = False
        while not finest:
            finest = True
            for name in sorted(counts, key=lambda name: counts[name]):
                finer = counts | {name: counts[name] + 1}
                if self._spread(finer) != self._spread(counts) and self._size(finer) <= most:
                    counts, finest = finer, False
                    break
        points = [{}]
        for name, values in self._spread(counts).items():
            points = [point | {name: value} for point in points for value in values]
        return points

    def around(self, best: Sequence[Mapping]) -> "Space":
        """Returns the space about some good points.

        Args:
            best: values by name of each point, the best one first.
        """
        return Space(
            {
                name: each.around([values[name] for values in best])
                for name, each in self.parameters.items()
            }
        )

    def edges(self, best: Mapping) -> dict[str, Range]:
        """Returns where to search on for each value that is best at the edge of its range.

        Args:
            best: values by name.
        """
        ranges = {n: each for n, each in self.parameters.items() if isinstance(each, Range)}
        found = {name: each.wider(best[name]) for name, each in ranges.items()}
        return {name: wider for name, wider in found.items() if wider is not None}

    def _spread(self, counts: Mapping[str, int]) -> dict[str, list]:
        return {name: each.spread(counts[name]) for name, each in self.parameters.items()}

    def _size(self, counts: Mapping[str, int]) -> int:
        return math.prod(map(len, self._spread(counts).values()))


def to_json(space: Space) -> dict:
    """Returns a space as plain JSON values."""
    return {name: dataclasses.asdict(each) for name, each in space.parameters.items()}


def from_json(values: Mapping) -> Space:
    """Returns the space that was written by `to_json`; JSON knows no tuples."""
    parameters = {}
    for name, each in values.items():
        if "values" in each:
            chosen = (tuple(v) if isinstance(v, list) else v for v in each["values"])
            parameters[name] = Choice(tuple(chosen))
        else:
            parameters[name] = Range(**each)
    return Space(parameters)
