"""The report of the nine steps as one page: a section for each, with its picture."""

import functools
from collections.abc import Callable, Sequence

import numpy as np
from matplotlib.figure import Figure

from dlcv_tf.plots import charts, report, style

# Step -> name of its figure, and what stands beneath it.
FIGURES = {
    5: ("overfit", "Loss on a few examples, learnt by heart."),
    6: (
        "learning_rate",
        "Each learning rate tried for some steps from the same initial weights; those at which the "
        "loss explodes are left out. Your own is marked.",
    ),
    8: ("loss_curve", "Loss of each step of a short training."),
    9: ("update_ratio", "||W new - W old|| / ||W old||, the mean of the last steps."),
}
MOST_BARS = 30


def page(name: str, found) -> str:
    """Returns the page.

    Args:
        name: of the recipe or model.
        found: a `train.sanity.Report`.
    """
    passed = sum(step.status == "PASS" for step in found.steps)
    others = [f"{step.number} {step.status}" for step in found.steps if step.status != "PASS"]
    best = found[6].numbers.get("best")
    sections = [
        report.Text(
            f"What can be known of a training of {name} before it is begun: nine steps, each with "
            "what was measured, what is sound, and what to do."
        ),
        report.Tiles(
            [
                (f"{passed} of {len(found.steps)}", "steps pass", ", ".join(others)),
                (f"{best:.2g}" if best else "none", "best learning rate", "of a short trial"),
                (f"{found.seconds:.0f} s", "in all", ""),
            ]
        ),
    ]
    drawn = figures(found)
    for step in found.steps:
        title = step.name[0].upper() + step.name[1:]
        sections.append(report.Heading(f"{step.number}. {title}: {step.status}"))
        sections.append(report.Text(f"Measured: {step.measured}.\n\nExpected: {step.expected}."))
        if step.advice:
            sections.append(report.Text(f"What to do: {step.advice}."))
        name_of_figure, caption = FIGURES.get(step.number, ("", ""))
        if draw := drawn.get(name_of_figure):
            picture = report.Picture(draw(style.WIDE), title, caption, draw(style.NARROW))
            sections.append(picture)
    return report.html(f"dlcv check {name}", sections)


def figures(found) -> dict[str, Callable[[float], Figure]]:
    """Returns what draws each step's figure at a width in inches, by the figure's name."""
    guessing = found[3].numbers.get("expected", 0.0)
    drawings = {5: _overfit, 6: _sweep, 8: functools.partial(_curve, guessing), 9: _ratios}
    return {
        FIGURES[number][0]: functools.partial(draw, found[number])
        for number, draw in drawings.items()
        if any(_finite(y).any() for _, y in found[number].curves.values())
    }


def _overfit(step, width: float) -> Figure:
    steps, costs = step.curves["loss"]
    panel = charts.Panel(
        f"Loss on {step.numbers['examples']} examples",
        {"loss": (steps, _above_zero(costs))},
        x_label="step of Adam",
        y_log=True,
        references={"learnt": 0.01},
    )
    return charts.draw([panel], width=width)


def _sweep(step, width: float) -> Figure:
    titles = {"drop": "Fall of the loss, as a part of it", "gain": "Gain of the accuracy"}
    panels = []
    for name, title in titles.items():
        rates, values = step.curves[name]
        series = {"tried": charts.Series(rates, values, marks=True)}
        if (own := step.numbers["learning_rate"]) in rates:
            value = values[list(rates).index(own)]
            series["yours"] = charts.Series([own], [value], marks=True)
        panels.append(
            charts.Panel(
                title,
                series,
                x_label="learning rate",
                x_log=True,
                x_limits=(min(rates) / 1.5, max(rates) * 1.5),
                y_limits=(min(-0.05, max(-1.0, min(values))), 1.0),
            )
        )
    return charts.draw(panels, columns=2 if width > style.NARROW else 1, width=width)


def _curve(guessing: float, step, width: float) -> Figure:
    panel = charts.Panel(
        "Loss",
        {"loss": step.curves["loss"]},
        x_label="step",
        references={"guessing": guessing},
    )
    return charts.draw([panel], width=width)


def _ratios(step, width: float) -> Figure:
    names, values = step.curves["ratio"]
    places = range(len(names))
    if len(names) > MOST_BARS:  # from all over the network
        places = np.linspace(0, len(names) - 1, MOST_BARS).round().astype(int)
    ratios = {_short(names[place]): max(values[place], 1e-12) for place in places}
    marks = {"best about": 1e-3, "too fast": 1e-1}
    return charts.bars(ratios, "update / weight", log=True, references=marks, width=width)


def _short(path: str) -> str:
    """Returns a weight's path without what every one has: its `kernel`."""
    return path.removesuffix("/kernel")


def _finite(values: Sequence[float]) -> np.ndarray:
    return np.isfinite(np.asarray(values, float))


def _above_zero(values: Sequence[float]) -> list[float]:
    return [max(value, 1e-12) for value in values]
