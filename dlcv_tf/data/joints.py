"""Joints of one person in each picture, from a NumPy file as Leeds Sports Pose has it."""

import pathlib
import zipfile
from collections.abc import Mapping

import numpy as np

from dlcv_tf.data import annotations, scenes
from dlcv_tf.data.annotations import NONE, Found, Picture
from dlcv_tf.errors import InputError

FILE = "joints.npz"


def contents(root: pathlib.Path) -> dict[str, np.ndarray]:
    """Returns the arrays of `joints.npz`.

    `joints` (n, joints, 2 or 3): x, y in pixels of the picture, and above 0 where the place is
    known; `filename` (n,), below `images`; `split` (n,), of `"train"`, `"val"` and `"test"`;
    perhaps `names` (joints,).

    Args:
        root: the data set's folder.

    Raises:
        InputError: no such file, or not these arrays.
    """
    path = root / FILE
    try:
        with np.load(path, allow_pickle=False) as file:
            found = {key: file[key] for key in file.files}
    except FileNotFoundError:
        raise InputError(f"{root} has no {FILE}, expected one with the joints") from None
    except (OSError, ValueError, zipfile.BadZipFile, AttributeError) as error:
        raise InputError(f"{path}: cannot be read ({error}), expected a file of numpy.savez") from (
            error
        )
    missing = [key for key in ("joints", "filename", "split") if key not in found]
    if missing:
        raise InputError(f"{path}: got the arrays {sorted(found)}, expected {missing[0]!r} too")
    shape = found["joints"].shape
    if len(shape) != 3 or shape[2] not in (2, 3) or len(found["filename"]) != shape[0]:
        raise InputError(
            f"{path}: got joints of shape {shape} for {len(found['filename'])} pictures, expected "
            "(pictures, joints, 3)"
        )
    return found


def splits(root: pathlib.Path, options: Mapping[str, str] = NONE) -> dict[str, int]:
    """Returns the number of pictures of each split; there are no options."""
    names, counts = np.unique(contents(root)["split"], return_counts=True)
    return dict(zip(map(str, names), counts.tolist(), strict=True))


def read(root: pathlib.Path, split: str, kind: str) -> Found:
    """Reads the joints of one split; no picture is opened.

    Fourteen joints without names are those of Leeds Sports Pose.

    Args:
        root: the data set's folder.
        split: `"train"`, `"val"` or `"test"`.
        kind: not used, joints are all there is.

    Raises:
        InputError: as `contents`, or no such split.
    """
    found = contents(root)
    if split not in set(found["split"].tolist()):
        raise annotations.no_split(root, split, set(found["split"].tolist()))
    joints = np.asarray(found["joints"], np.float64)
    if joints.shape[2] == 2:
        joints = np.concatenate([joints, np.ones((*joints.shape[:2], 1))], axis=2)
    joints[..., 2] = joints[..., 2] > 0
    if "names" in found:
        names = tuple(map(str, found["names"]))
    elif joints.shape[1] == len(scenes.JOINT_NAMES):
        names = scenes.JOINT_NAMES
    else:
        names = tuple(f"joint {number}" for number in range(joints.shape[1]))
    directory = root / "images" if (root / "images").is_dir() else root
    pictures = tuple(
        Picture(directory / str(name), root / FILE, joints=person[None])
        for name, person, own in zip(found["filename"], joints, found["split"], strict=True)
        if own == split
    )
    return Found(("person",), pictures, joint_names=names)
