"""`dlcv export`: a finished run to a certified artifact."""

import argparse
import dataclasses
import json
import pathlib

from dlcv_tf.cli import console, tables


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument("run", help="directory of a finished run")
    parser.add_argument("--name", help="name of the model (default: the recipe's)")
    parser.add_argument(
        "--models", default="savedmodels", metavar="DIR", help="where to (default: %(default)s)"
    )
    parser.add_argument("--json", action="store_true", help="print the result as JSON")


def run(options: argparse.Namespace) -> int:
    """Exports every format, certifies each and prints the table."""
    from dlcv_tf.artifact.manifest import Manifest

    directory = export_run(options.run, name=options.name, root=options.models)
    manifest = Manifest.load(directory)
    if options.json:
        left_out = {"left_out": manifest.left_out} if manifest.left_out else {}
        console.print_json({"artifact": str(directory), "formats": manifest.formats} | left_out)
        return 0
    tables.print_formats(manifest)
    print(f"exported to {directory}\nnext: dlcv serve --models {options.models}")
    return 0


def export_run(
    directory: str | pathlib.Path,
    *,
    name: str | None = None,
    root: str | pathlib.Path = "savedmodels",
    data_dir: str | None = None,
    licences: dict | None = None,
) -> pathlib.Path:
    """Exports a finished run, certified on the whole test split of its data set.

    Args:
        directory: of the run.
        name: of the model; the recipe's by default.
        root: directory of models.
        data_dir: as for `data.load`.
        licences: of weights and data, for the manifest.

    Returns:
        The artifact's directory.

    Raises:
        InputError: not a finished run, or its data is not on disk.
        ExportError: a format is outside its bound.
    """
    with console.tensorflow_quietly():
        from dlcv_tf import export
        from dlcv_tf.recipes import run as runs

    recipe = runs.read_recipe(directory)
    task = runs.load_task(directory)
    test, test_info = recipe.load(recipe.test_split, data_dir=data_dir)
    train, train_info = recipe.load(recipe.train_split, data_dir=data_dir)
    metrics = json.loads((pathlib.Path(directory) / "metrics.json").read_text())
    facts = {
        "recipe": dataclasses.asdict(recipe),
        "data": {
            "name": recipe.data,
            "train_split": recipe.train_split,
            "train_examples": train_info.num_examples,
        },
        "metrics": metrics,
        "certified_on": {"data": f"{recipe.data} {recipe.test_split}"},
        "licences": licences or {},
    }
    facts = _portable(facts, recipe.data)
    return export.export(
        task, name or recipe.name, test=test, calibration=train, root=root, facts=facts
    )


def _portable(facts: dict, data: str) -> dict:
    """Returns what the manifest says, with a folder of the user's own by its last name alone.

    Args:
        facts: plain values.
        data: the recipe's data set, perhaps `KIND:FOLDER?OPTIONS`.
    """
    folder = data.partition(":")[2].partition("?")[0].rstrip("/")
    name = pathlib.Path(folder).name
    if "/" not in folder or name in ("", ".."):
        return facts
    written, name = (json.dumps(text)[1:-1] for text in (folder, name))
    return json.loads(json.dumps(facts).replace(written, name))
