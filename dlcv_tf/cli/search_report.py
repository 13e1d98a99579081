"""The report of a search: the table of the best trials, and one page with pictures."""

import dataclasses
import math
from collections.abc import Sequence

from matplotlib.figure import Figure

from dlcv_tf.cli import search_ranges
from dlcv_tf.cli.search_progress import counted
from dlcv_tf.plots import charts, report
from dlcv_tf.train.search import Search
from dlcv_tf.train.search_plan import Trial
from dlcv_tf.train.search_space import Range

ROWS = 8  # of the table of the best
GOOD = 0.25  # part of the trials that the map shows as the best
ROOM = 0.03  # part of a range that its axis has more at either end


def ranking(trials: Sequence[Trial]) -> list[Trial]:
    """Returns the complete trials, those of the last stage and the best values first."""
    complete = [trial for trial in trials if trial.state == "complete"]
    stages = list(dict.fromkeys(trial.stage for trial in trials))
    return sorted(
        complete, key=lambda t: (-stages.index(t.stage), -t.value, t.loss or 0.0, t.number)
    )


def table(trials: Sequence[Trial]) -> tuple[tuple[str, ...], list[tuple[str, ...]]]:
    """Returns the header and the rows of the best trials, as text."""
    best = ranking(trials)[:ROWS]
    names = list(best[0].values)
    rows = [
        (
            str(trial.number + 1),
            trial.stage,
            f"{trial.value:.4f}",
            "" if trial.loss is None else f"{trial.loss:.4f}",
            *(search_ranges.text_of(trial.values[name]) for name in names),
        )
        for trial in best
    ]
    return ("trial", "stage", "val accuracy", "val loss", *names), rows


def page(title: str, search: Search, command: str, sentences: Sequence[str]) -> str:
    """Returns the report as one HTML page.

    Args:
        title: of the page.
        search: the search; at least one trial is complete.
        command: the one that trains the best.
        sentences: what is to be said of the result, the warnings among it.
    """
    trials = search.trials()
    best = search.best()
    stopped = [trial for trial in trials if trial.state != "complete"]
    seconds = sum(trial.seconds for trial in trials)
    tiles = [
        (f"{best.value:.2%}", "best validation accuracy", f"trial {best.number + 1}"),
        (str(len(trials)), "trials", f"{len(stopped)} stopped early" if stopped else ""),
        (f"{seconds:,.0f} s", "of training", f"{seconds / len(trials):.1f} s a trial"),
    ]
    header, rows = table(trials)
    parts = [
        report.Text("\n\n".join(sentences)),
        report.Tiles(tiles),
        report.Code(command, "Trains the best:"),
        report.Heading("What the values did"),
        _picture(over_values(search), "Accuracy of all trials over each value", _stages(search)),
    ]
    if len(_ranges(search)) > 1:
        parts.append(_picture(plane(search), "Where the trials lie, and how good they are"))
    parts += [
        report.Heading("How the search went"),
        _picture(progress(search), "Accuracy of the trials in their order"),
        report.Heading("The best trials"),
        report.Table(header, rows),
    ]
    if stopped:
        stopped_rows = [(str(t.number + 1), t.state, _values(t), t.reason) for t in stopped]
        parts.append(report.Heading("Trials that were stopped"))
        parts.append(report.Table(("trial", "why", "values", "what was seen"), stopped_rows))
    return report.html(title, parts)


def over_values(search: Search) -> Figure:
    """Draws the result over each hyperparameter."""
    trials = search.trials()
    complete = ranking(trials)
    groups = {"best": (complete[:1], "green")}
    for stage, colour in zip(search.settings.stages, ("muted", "accent"), strict=False):
        groups[stage.name] = ([t for t in complete[1:] if t.stage == stage.name], colour)
    groups["exploded"] = ([trial for trial in trials if trial.state == "exploded"], "wrong")
    floor = min(trial.value for trial in complete)
    panels = []
    for name, parameter in search.settings.space.parameters.items():
        is_range = isinstance(parameter, Range)
        write = float if is_range else search_ranges.text_of
        series = {
            group: charts.Series(
                [write(trial.values[name]) for trial in chosen],
                [floor if trial.value is None else trial.value for trial in chosen],
                line=False,
                colour=colour,
            )
            for group, (chosen, colour) in groups.items()
            if chosen
        }
        if not is_range:  # so that choices stand in their order
            first = series["best"]
            x = [*map(write, parameter.values), *first.x]
            y = [*[math.nan] * len(parameter.values), *first.y]
            series["best"] = dataclasses.replace(first, x=x, y=y)
        panels.append(
            charts.Panel(
                name.replace("_", " ").capitalize(),
                series,
                x_label=f"{name} ({search_ranges.written(parameter)})",
                y_label="val accuracy",
                x_log=is_range and parameter.log,
                x_limits=_limits(parameter) if is_range else None,
            )
        )
    return charts.draw(panels, columns=2)


def plane(search: Search) -> Figure:
    """Draws the trials over the first two ranges, the best ones apart."""
    (x_name, x), (y_name, y) = list(_ranges(search).items())[:2]
    complete = ranking(search.trials())
    by_value = sorted(complete, key=lambda trial: -trial.value)
    count = max(1, math.ceil(GOOD * len(by_value)))
    groups = {
        "best": (complete[:1], "green"),
        "best quarter": ([t for t in by_value[:count] if t is not complete[0]], "accent"),
        "others": ([t for t in by_value[count:] if t is not complete[0]], "muted"),
        "exploded": ([t for t in search.trials() if t.state == "exploded"], "wrong"),
    }
    series = {
        group: charts.Series(
            [t.values[x_name] for t in chosen],
            [t.values[y_name] for t in chosen],
            line=False,
            colour=colour,
        )
        for group, (chosen, colour) in groups.items()
        if chosen
    }
    panel = charts.Panel(
        f"{y_name.replace('_', ' ').capitalize()} and {x_name.replace('_', ' ')}",
        series,
        x_label=x_name,
        y_label=y_name,
        x_log=x.log,
        y_log=y.log,
        x_limits=_limits(x),
        y_limits=_limits(y),
    )
    return charts.draw([panel])


def progress(search: Search) -> Figure:
    """Draws the trials in their order, with the best so far."""
    trials = [trial for trial in search.trials() if trial.state == "complete"]
    numbers = [trial.number + 1 for trial in trials]
    values = [trial.value for trial in trials]
    best = [max(values[: place + 1]) for place in range(len(values))]
    series = {
        "best so far": charts.Series(numbers, best),
        "trial": charts.Series(numbers, values, line=False, colour="muted"),
    }
    exploded = [trial.number + 1 for trial in search.trials() if trial.state == "exploded"]
    if exploded:
        floor = [min(values)] * len(exploded)
        series["exploded"] = charts.Series(exploded, floor, line=False, colour="wrong")
    panel = charts.Panel("Best so far", series, x_label="trial", y_label="val accuracy")
    return charts.draw([panel])


def _picture(figure: Figure, text: str, caption: str = "") -> report.Picture:
    return report.Picture(figure, text, caption or f"{text}.")


def _stages(search: Search) -> str:
    """Returns what each stage did, in a sentence."""
    parts = []
    for place, stage in enumerate(search.settings.stages):
        done = search.trials(place)
        if done:
            parameters = search.space(place).parameters
            where = search_ranges.sentence(parameters)
            trials, epochs = counted(len(done), "trial"), counted(stage.epochs, "epoch")
            parts.append(f"{stage.name}: {trials} of {epochs} over {where}")
    return "; ".join(parts) + ". Exploded trials have no accuracy and stand at the lower edge."


def _limits(parameter: Range) -> tuple[float, float]:
    """Returns the ends of an axis that has room for points at the ends of a range."""
    return parameter.at(-ROOM), parameter.at(1 + ROOM)


def _ranges(search: Search) -> dict[str, Range]:
    parameters = search.settings.space.parameters
    return {name: each for name, each in parameters.items() if isinstance(each, Range)}


def _values(trial: Trial) -> str:
    return " ".join(f"{n}={search_ranges.text_of(v)}" for n, v in trial.values.items())
