"""Directories of runs and searches: `runs/RECIPE/DATE-N`. Needs no TensorFlow."""

import datetime
import pathlib

from dlcv_tf.errors import InputError


def new_directory(recipe_name: str, root: str | pathlib.Path = "runs") -> pathlib.Path:
    """Returns `root/RECIPE/DATE-N` with the first N that is free."""
    parent = pathlib.Path(root) / recipe_name
    today = datetime.date.today().isoformat()
    number = 1
    while (parent / f"{today}-{number}").exists():
        number += 1
    return parent / f"{today}-{number}"


def newest_directory(
    recipe_name: str, root: str | pathlib.Path = "runs", kind: str = "run"
) -> pathlib.Path:
    """Returns the recipe's run, or search, that was last written to.

    Args:
        recipe_name: name of the recipe.
        root: directory of the runs of all recipes, or of the searches.
        kind: "run" or "search".

    Raises:
        InputError: there is none.
    """
    file, verb = {"run": ("recipe.json", "train"), "search": ("search.json", "search")}[kind]
    found = list((pathlib.Path(root) / recipe_name).glob(f"*/{file}"))
    if not found:
        raise InputError(
            f"there is no {kind} of {recipe_name} in {root}: start one with dlcv {verb} "
            f"{recipe_name}"
        )
    return max(found, key=lambda path: path.stat().st_mtime).parent
