"""`dlcv list`: the models, recipes, labs, data sets and artifacts there are."""

import argparse
import inspect
import pathlib

from dlcv_tf import errors
from dlcv_tf.cli import console

WHAT = ("models", "recipes", "labs", "datasets", "artifacts")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument("what", nargs="?", metavar="|".join(WHAT), help="list only these")
    parser.add_argument(
        "--models",
        default="savedmodels",
        metavar="DIR",
        help="directory of NAME/VERSION artifacts (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the list as JSON")


def run(options: argparse.Namespace) -> int:
    """Prints what there is, each kind under its own heading."""
    listers = {
        "models": _models,
        "recipes": _recipes,
        "labs": _labs,
        "datasets": _datasets,
        "artifacts": lambda: _artifacts(pathlib.Path(options.models)),
    }
    if options.what not in (None, *WHAT):
        raise errors.unknown("kind of thing", options.what, WHAT)
    kinds = [options.what] if options.what else WHAT
    found = {kind: listers[kind]() for kind in kinds}
    if options.json:
        console.print_json(found)
        return 0
    for kind, entries in found.items():
        print(kind)
        width = max((len(entry["name"]) for entry in entries), default=0)
        for entry in entries:
            print(f"  {entry['name']:{width}}  {_line(kind, entry)}")
        if not entries:
            print(f"  none in {options.models}: dlcv export RUN makes one")
    return 0


def _line(kind: str, entry: dict) -> str:
    """Returns what is said of an entry beside its name."""
    if kind in ("models", "labs"):
        return f"({', '.join(entry['arguments'])})  {entry['help']}"
    if kind == "recipes":
        return f"{entry['help']} [{entry['network']} on {entry['data'] or entry['needs']}]"
    if kind == "datasets":
        return entry["help"]
    if "error" in entry:
        return entry["error"]
    formats = ", ".join(
        f"{name} {facts[entry['metric']]:.4f}" if entry["metric"] in facts else name
        for name, facts in entry["formats"].items()
    )
    return f"{entry['task']} of {entry['classes']} classes; {entry['metric']}: {formats}"


def _models() -> list[dict]:
    with console.tensorflow_quietly():
        from dlcv_tf import models
    return _functions(models.BUILDERS)


def _labs() -> list[dict]:
    with console.tensorflow_quietly():
        from dlcv_tf import labs
    return _functions(labs.LABS)


def _functions(named: dict) -> list[dict]:
    """Returns what functions do and take, by their names."""
    return [
        {
            "name": name,
            "help": _first_line(function),
            "arguments": list(inspect.signature(function).parameters),
        }
        for name, function in named.items()
    ]


def _recipes() -> list[dict]:
    from dlcv_tf import recipes

    entries = []
    for name, function in recipes.RECIPES.items():
        recipe = function()
        entries.append(
            {
                "name": name,
                "help": _first_line(function),
                "network": recipe.network,
                "data": recipe.data,
                "needs": recipe.wanted.partition(" (")[0],
                "about": inspect.getdoc(function),  # with command, machine, time and result
            }
        )
    return entries


def _datasets() -> list[dict]:
    from dlcv_tf import data

    return [{"name": name, "help": text} for name, text in data.DATASETS.items()]


def _artifacts(root: pathlib.Path) -> list[dict]:
    """Returns the artifacts below a directory; one that cannot be read says why."""
    from dlcv_tf.artifact import manifest

    entries = []
    for path in sorted(root.glob(f"*/*/{manifest.FILE_NAME}")):
        name = f"{path.parent.parent.name}/{path.parent.name}"
        try:
            facts = manifest.Manifest.load(path.parent)
        except manifest.ArtifactError as error:
            entries.append({"name": name, "error": str(error)})
            continue
        entries.append(
            {
                "name": name,
                "task": facts.task,
                "classes": len(facts.labels),
                "metric": facts.main_metric,
                "formats": facts.formats,
                "created": facts.created,
            }
        )
    return entries


def _first_line(function) -> str:
    return (inspect.getdoc(function) or "").partition("\n")[0]
