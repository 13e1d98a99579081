"""`dlcv summary`: shape, parameters, work, memory and receptive field of a model's layers."""

import argparse
import dataclasses
import inspect
import pathlib

from dlcv_tf.cli import arguments, console, tables, targets
from dlcv_tf.errors import InputError, unknown

HEADER = ("layer", "kind", "output", "parameters", "MACs", "memory", "field", "stride")


@dataclasses.dataclass(frozen=True)
class Asked:
    """What a network is built for.

    Args:
        input: (height, width, channels).
        classes: number of scores.
    """

    input: tuple[int, int, int]
    classes: int


# What the papers' networks take and tell apart; the others are for CIFAR-10.
IMAGENET = Asked((224, 224, 3), 1000)
CIFAR = Asked((32, 32, 3), 10)
PAPERS = {"lenet5": Asked((32, 32, 1), 10), "alexnet": Asked((227, 227, 3), 1000)}
PAPERS |= dict.fromkeys(("googlenet", "resnet18", "resnet34", "resnet50"), IMAGENET)
PAPERS |= dict.fromkeys(("resnet101", "resnet152"), IMAGENET)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument("model", help="a network's name, a run's directory or a .keras file")
    parser.add_argument("changes", nargs="*", metavar="key=value", help="arguments of the network")
    parser.add_argument(
        "--input", metavar="H,W,C", help="shape of the input (default: that of the paper)"
    )
    parser.add_argument(
        "--classes", metavar="N", help="number of scores (default: that of the paper)"
    )
    parser.add_argument("--json", action="store_true", help="print the table as JSON")


def run(options: argparse.Namespace) -> int:
    """Prints a row for every layer, the totals, and what is likely to be better otherwise."""
    with console.tensorflow_quietly():
        from dlcv_tf.models import summary

    model, input_shape = _model(options)
    facts = summary.summarize(model, input_shape)
    totals = {
        "name": facts.name,
        "input_shape": facts.input_shape,
        "parameters": facts.parameters,
        "trainable": facts.trainable,
        "macs": facts.macs,
        "uncounted": facts.uncounted,
        "memory": facts.memory,
        "seen": facts.seen,
    }
    if options.json:
        rows = [dataclasses.asdict(row) for row in facts.rows]
        warnings = [dataclasses.asdict(each) for each in facts.warnings]
        console.print_json(totals | {"layers": rows, "warnings": warnings})
        return 0
    title = f"{facts.name} on an input of {_times(facts.input_shape)}"
    tables.print_table(title, HEADER, [_row(row) for row in facts.rows])
    for line in _totals(facts):
        print(line)
    for each in facts.warnings:
        print(f"warning: {_names(each.layers)}: {each.message}")
    return 0


def _model(options: argparse.Namespace):
    """Returns what the verb is pointed at, and the input shape to trace it with."""
    from dlcv_tf import models

    name = options.model
    asked = [f"{key}={value}" for key in ("input", "classes") if (value := getattr(options, key))]
    if name in models.BUILDERS:
        defaults = PAPERS.get(name, CIFAR)
        asked = dataclasses.replace(defaults, **arguments.changes(asked, defaults))
        _check(asked)
        builder = models.BUILDERS[name]
        values = _values(name, builder, options.changes)
        return builder(asked.input, asked.classes, **values), None
    is_run = targets.is_run(name)
    if not is_run and not (pathlib.Path(name).is_file() and name.endswith(".keras")):
        raise unknown("model", name, models.BUILDERS)
    arguments.refuse_changes(options.changes, name, "it is built already")
    arguments.refuse_changes(asked[-1:] if options.classes else [], name, "it has its own classes")
    if is_run:
        from dlcv_tf.recipes import run as runs

        model = runs.load_task(name)
    else:
        model = _load(name)
    shape = arguments.changes(asked, CIFAR).get("input")
    return getattr(model, "network", model), shape  # a task's cost is its network's


def _load(path: str):
    """Returns the model in a file."""
    import keras

    from dlcv_tf import layers, tasks  # noqa: F401  registers the classes that the file names

    targets.check_keras_file(path)
    try:
        return keras.models.load_model(path, compile=False)
    except (ValueError, TypeError, OSError) as error:
        reason = str(error).splitlines()[0][:200]
        raise InputError(f"got {path}, expected a file of model.save: {reason}") from error


def _values(name: str, builder, changes: list[str]) -> dict:
    """Returns the network's own arguments that are asked for."""
    parameters = list(inspect.signature(builder).parameters.values())[2:]
    needed = [each.name for each in parameters if each.default is each.empty]
    values = arguments.changes(changes, arguments.of_function(parameters))
    missing = [f"{key}=VALUE" for key in needed if key not in values]
    if missing:
        raise InputError(f"got {name} alone, expected what it cannot do without: add {missing[0]}")
    return values


def _check(asked: Asked) -> None:
    if min(*asked.input, asked.classes) < 1:
        raise InputError(
            f"got --input {','.join(map(str, asked.input))} and --classes {asked.classes}, "
            "expected whole numbers of 1 or more, as in --input 224,224,3 --classes 1000"
        )


def _row(row) -> tuple[str, ...]:
    """Returns a row's texts, in the order of `HEADER`."""
    field = "?" if row.field is None else _times(row.field)
    stride = row.stride or ()
    return (
        row.name,
        row.kind,
        _times(row.output_shape),
        f"{row.parameters:,}" if row.parameters else "",
        "?" if row.macs is None else f"{row.macs:,}" if row.macs else "",
        _bytes(row.memory) if row.memory else "",
        field,
        _times(stride, "{:g}") if any(stride) else "",
    )


def _totals(facts) -> list[str]:
    """Returns the lines beneath the table."""
    fixed = facts.parameters - facts.trainable
    lines = [
        f"parameters {facts.parameters:,}" + (f" ({fixed:,} not trained)" if fixed else ""),
        f"multiply-adds {facts.macs:,} a picture, of convolutions, dense and recurrent layers",
        f"memory {_bytes(facts.memory)} for the outputs of all layers, one picture",
    ]
    if facts.uncounted:
        lines[1] += f"; not counted: {_names(facts.uncounted)}"
    if facts.seen:
        size = facts.input_shape[: len(facts.seen)]
        lines.append(f"the outputs see {_times(facts.seen)} of {_times(size)} pixels")
    return lines


def _names(names) -> str:
    shown = ", ".join(names[:4])
    return shown + (f" and {len(names) - 4} more" if len(names) > 4 else "")


def _times(sizes, form: str = "{}") -> str:
    return "x".join(form.format(size) for size in sizes)


def _bytes(count: int) -> str:
    return f"{count / 1e6:.2f} MB" if count >= 1e5 else f"{count / 1e3:.2f} kB"
