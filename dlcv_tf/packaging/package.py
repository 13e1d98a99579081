"""Writes a package: nothing half-written, nothing of the user's overwritten."""

import importlib
import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Sequence

from dlcv_tf import __version__
from dlcv_tf.errors import InputError, unknown
from dlcv_tf.packaging import models as artifacts
from dlcv_tf.packaging.plan import Plan

# Target to what it is, for the help of the command line.
TARGETS = {
    "tf-serving": "TensorFlow Serving: models.config, batching, warm-up, monitoring, Compose",
    "triton": "Triton: ONNX repository with config.pbtxt for GPU, CPU and TensorRT",
    "docker": "images of dlcv serve without TensorFlow, CPU and GPU",
    "kubernetes": "plain manifests of dlcv serve, with autoscaling and probes",
    "kserve": "InferenceServices of KServe, three runtimes",
    "ray": "an application of Ray Serve: replicas, autoscaling, canary by labels",
}
RECORD = "package.json"  # which files a package holds: those that --force may remove


def write(
    target: str,
    directories: Sequence[str | os.PathLike],
    plan: Plan,
    force: bool = False,
) -> list[str]:
    """Writes the package of some artifacts for one target.

    Args:
        target: key of `TARGETS`.
        directories: the artifacts, `.../NAME/VERSION` each.
        plan: where to, and what the user chose.
        force: replace a package that is there.

    Returns:
        The paths written, relative to the package.

    Raises:
        InputError: for artifacts that the target cannot take, or a directory that holds something.
    """
    check_target(target)
    if not directories:
        raise InputError(
            "got no artifact, expected one or more: dlcv package TARGET savedmodels/NAME ..."
        )
    before = _files_before(plan.directory, force)
    found = artifacts.read(directories)
    module = importlib.import_module(f"dlcv_tf.packaging.{target.replace('-', '_')}")
    files = module.files(found, plan)
    record = {
        "target": target,
        "models": [model.place for model in found],
        "dlcv_tf": __version__,
        "files": sorted(files),
    }
    _replace(plan.directory, before, files | {RECORD: json.dumps(record, indent=2) + "\n"})
    return [*record["files"], RECORD]


def check_target(target: str) -> None:
    """Raises InputError unless it is a key of `TARGETS`."""
    if target not in TARGETS:
        raise unknown("target", target, TARGETS)


def _files_before(directory: pathlib.Path, force: bool) -> list[str]:
    """Returns what is to be removed first: the files of the package that is there."""
    if not directory.exists():
        return []
    if not directory.is_dir():
        raise InputError(f"got -o {directory}, a file, expected a directory: choose another name")
    if not any(directory.iterdir()):
        return []
    try:
        record = json.loads((directory / RECORD).read_text(encoding="utf-8"))
        names = [*map(pathlib.PurePosixPath, record["files"]), pathlib.PurePosixPath(RECORD)]
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(
            f"got -o {directory}, which holds something else than a package, expected a new or "
            "empty directory: choose another name"
        ) from None
    if not force:
        raise InputError(
            f"got -o {directory}, which holds a package already: --force replaces its files"
        )
    if any(name.is_absolute() or ".." in name.parts for name in names):
        raise InputError(
            f"got a {RECORD} in {directory} that names files outside of it, expected one that "
            "dlcv package wrote: choose another directory"
        )
    return [name.as_posix() for name in names]


def _replace(
    directory: pathlib.Path, before: Sequence[str], files: dict[str, str | bytes | pathlib.Path]
) -> None:
    """Writes all files beside the directory first, then puts them in it."""
    parent = pathlib.Path(os.path.realpath(directory)).parent
    parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=parent, prefix=".package-", suffix=".tmp") as scratch:
        for name, content in files.items():
            path = pathlib.Path(scratch, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, pathlib.Path):
                shutil.copyfile(content, path)
            elif isinstance(content, bytes):
                path.write_bytes(content)
            else:
                path.write_text(content, encoding="utf-8", newline="\n")
        for name in before:
            (directory / name).unlink(missing_ok=True)
            _remove_emptied(directory, pathlib.PurePosixPath(name).parent)
        for name in files:
            path = directory / name
            path.parent.mkdir(parents=True, exist_ok=True)
            os.replace(pathlib.Path(scratch, name), path)


def _remove_emptied(directory: pathlib.Path, folder: pathlib.PurePosixPath) -> None:
    """Removes folders that a removed file leaves empty, from the inside out."""
    for name in [folder, *folder.parents]:
        if name.name:
            try:
                (directory / name).rmdir()
            except OSError:  # holds more, or has gone
                return
