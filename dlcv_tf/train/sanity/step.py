"""What a step of the recipe found, and the report of all nine."""

import dataclasses
import math
from collections.abc import Iterable, Mapping, Sequence

PASS, WARN, FAIL = "PASS", "WARN", "FAIL"

# The lecture's list has no number 2 and two of number 3; these are its steps numbered rightly.
NAMES = (
    "preprocessing",
    "architecture and gradients",
    "initial loss",
    "regularisation raises the loss",
    "overfit a few examples",
    "learning rate",
    "ranges for the search",
    "loss curve",
    "update to weight ratio",
)


@dataclasses.dataclass(frozen=True)
class Step:
    """What one step found.

    Args:
        number: 1 to 9.
        name: what is looked at, one of `NAMES`.
        status: `"PASS"`, `"WARN"` or `"FAIL"`.
        measured: what was found, as text.
        expected: what is sound, as text.
        advice: what to do; empty where all is well.
        numbers: all numbers that were found, by name; plain JSON values.
        curves: (x, y) by name, to draw.
    """

    number: int
    name: str
    status: str
    measured: str
    expected: str
    advice: str = ""
    numbers: Mapping = dataclasses.field(default_factory=dict)
    curves: Mapping[str, tuple[Sequence, Sequence]] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Report:
    """The nine steps of one model on one data set.

    Args:
        steps: in order.
        seconds: that they took.
    """

    steps: tuple[Step, ...]
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether no step failed; warnings are allowed."""
        return all(step.status != FAIL for step in self.steps)

    def __getitem__(self, number: int) -> Step:
        """Returns a step by its number, from 1."""
        return self.steps[number - 1]

    def __str__(self):
        lines = []
        for step in self.steps:
            lines.append(f"{step.number} {step.status} {step.name}: {step.measured}")
            lines += [f"    {step.advice}"] if step.advice else []
        return "\n".join(lines)


class Findings:
    """Gathers what one step notices; the worst decides its status."""

    def __init__(self, number: int, expected: str):
        self.number, self.expected = number, expected
        self.status, self.advice = PASS, []

    def warn(self, advice: str) -> None:
        """Notes something that may be meant."""
        self.status = FAIL if self.status == FAIL else WARN
        self.advice.append(advice)

    def fail(self, advice: str) -> None:
        """Notes something that is wrong."""
        self.status = FAIL
        self.advice.append(advice)

    def note(self, advice: str) -> None:
        """Notes something worth knowing that is no fault."""
        self.advice.append(advice)

    def step(
        self, measured: str | Iterable[str], numbers: dict, curves: dict | None = None
    ) -> Step:
        """Returns the step."""
        text = measured if isinstance(measured, str) else "; ".join(measured)
        advice = ". ".join(each[0].upper() + each[1:] for each in self.advice)
        name = NAMES[self.number - 1]
        found = _plain(numbers)
        return Step(
            self.number, name, self.status, text, self.expected, advice, found, curves or {}
        )


def not_run(number: int, because: Step) -> Step:
    """Returns a step that could not be taken because of another that failed."""
    findings = Findings(number, "the steps before it pass")
    findings.fail(f"mend step {because.number} first: this one needs it")
    return findings.step("not run", {})


def _plain(value):
    """Returns numbers as JSON knows them: NaN and infinity become None."""
    if isinstance(value, Mapping):
        return {name: _plain(each) for name, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, str | bool | int) or value is None:
        return value
    return float(value) if math.isfinite(value) else None
