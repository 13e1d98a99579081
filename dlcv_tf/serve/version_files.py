"""Versions on disk: which there are, whether they are complete, and whether they changed."""

import os
import pathlib

from dlcv_tf.artifact import manifest

MAX_NUMBER = 2**63 - 1  # a version is an int64


def find(base_path: pathlib.Path) -> dict[int, pathlib.Path]:
    """Returns the version directories of a model: number to path, leading zeros or not.

    Raises:
        OSError: if the base path is not there, or cannot be read.
    """
    found = {}
    # Longest first: of `1` and `001` the plain one counts.
    for path in sorted(base_path.iterdir(), key=lambda path: len(path.name), reverse=True):
        name = path.name
        if name.isdecimal() and name.isascii() and int(name) <= MAX_NUMBER and path.is_dir():
            found[int(name)] = path
    return found


def find_models(directory: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the models of a models directory: NAME to base path; those with a version only.

    Raises:
        OSError: if the directory is not there, or cannot be read.
    """
    return {
        path.name: path
        for path in sorted(directory.iterdir())
        if not path.name.startswith(".") and path.is_dir() and find(path)
    }


def lacking(directory: pathlib.Path) -> str:
    """Returns the first file that is not there in the length that the manifest lists; "" for none.

    One that is still being copied lacks something; whether what is there is also right,
    `manifest.verify` says.
    """
    try:
        files = manifest.Manifest.load(directory).files
    except (OSError, manifest.ArtifactError) as error:
        return str(error)
    for name, entry in files.items():
        expected = entry.get("bytes", 0)
        try:
            got = (directory / name).stat().st_size
        except OSError:
            return f"{name} is missing, expected {expected} bytes"
        if got < expected:
            return f"{name} has {got} bytes, expected {expected}"
    return ""


def fingerprint(directory: pathlib.Path) -> tuple:
    """Returns a value that changes when a file of the version does; () if it cannot be read."""
    found = []
    try:
        for folder, _, names in os.walk(directory):
            for name in names:
                status = os.stat(os.path.join(folder, name))
                times = (status.st_mtime_ns, status.st_ctime_ns)
                found.append((os.path.join(folder, name), status.st_size, *times))
    except OSError:  # it is being removed or replaced right now
        return ()
    return tuple(sorted(found))
