"""Boxes and polygons from text files as YOLO has them: class and places in parts of the sides."""

import pathlib
from collections.abc import Mapping

import numpy as np

from dlcv_tf.data import annotations
from dlcv_tf.data.annotations import NONE, Fault, Found, Picture
from dlcv_tf.errors import InputError


def folders(
    root: pathlib.Path, images: str = "", labels: str = ""
) -> dict[str, tuple[pathlib.Path, pathlib.Path]]:
    """Returns the folder of pictures and the one of text files of each split.

    `images/SPLIT` and `labels/SPLIT`, or `SPLIT/images` and `SPLIT/labels`; SPLIT may have a year,
    as in `train2017`.

    Args:
        root: the data set's folder.
        images: other folder, below the root, with a folder of pictures for each split.
        labels: likewise, with the text files.
    """
    found = {}
    pictures = root / (images or "images")
    texts = root / (labels or "labels")
    for directory in _folders(pictures):
        split = annotations.split_of(directory.name)
        if split and (texts / directory.name).is_dir():
            found[split] = (directory, texts / directory.name)
    for directory in _folders(root):
        split = annotations.split_of(directory.name)
        if split and (directory / "images").is_dir() and not found.get(split):
            found[split] = (directory / "images", directory / "labels")
    return found


def splits(root: pathlib.Path, options: Mapping[str, str] = NONE) -> dict[str, pathlib.Path]:
    """Returns the folder of text files of each split; see `folders`. The options are of `read`."""
    found = folders(root, options.get("images", ""), options.get("labels", ""))
    return {split: pair[1] for split, pair in found.items()}


def read(
    root: pathlib.Path,
    split: str,
    kind: str,
    *,
    names: str = "",
    images: str = "",
    labels: str = "",
) -> Found:
    """Reads the annotations of one split; no picture is opened.

    A line is `class centre_x centre_y width height`, or `class x y x y x y ...` for a polygon, all
    in parts of the picture's sides. An empty file says that a picture shows nothing; a picture
    without a file is left out, with one line of all of them.

    Args:
        root: the data set's folder.
        split: `"train"`, `"val"` or `"test"`.
        kind: not used.
        names: class names, as for `annotations.class_names`, which may also be in a YAML file of
            the root.
        images: as for `folders`.
        labels: as for `folders`.

    Raises:
        InputError: no such split, or no class names.
    """
    found = folders(root, images, labels)
    if split not in found:
        raise annotations.no_split(root, split, found)
    numbers = annotations.class_names(root, names)
    if not numbers:
        raise InputError(
            f"{root} has no class names: add data.yaml with `names:`, or classes.txt with a name "
            "on each line, or name them: yolo:PATH?names=FILE"
        )
    directory, texts = found[split]
    paths = annotations.pictures_in(directory)
    faults = []
    for text in sorted(texts.glob("*.txt")):
        if text.stem not in paths:
            faults.append(Fault("missing picture", text, f"has no picture in {directory}"))
    pictures, missing = [], []
    for stem, path in paths.items():
        text = texts / f"{stem}.txt"
        if text.is_file():
            pictures.append(_picture(path, text, numbers, faults))
        else:
            missing.append(path.name)
    if missing:
        message = (
            f"has no file for {len(missing)} of {len(paths)} pictures (the first: {missing[0]}): "
            "left out; an empty file says that a picture shows nothing"
        )
        faults.append(Fault("no annotation", texts, message, broken=False))
    order = tuple(numbers[number] for number in sorted(numbers))
    return Found(order, tuple(pictures), tuple(faults))


def _folders(directory: pathlib.Path) -> list[pathlib.Path]:
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.is_dir())


def _picture(path, text: pathlib.Path, numbers: dict[int, str], faults: list[Fault]) -> Picture:
    boxes, names, outlines = [], [], []
    for line in text.read_text(encoding="utf-8").splitlines():
        if not line.strip():
            continue
        try:
            number, *places = (float(word) for word in line.split())
            places = np.array(places)
            if int(number) != number or len(places) < 4 or len(places) % 2:
                raise ValueError
        except (ValueError, OverflowError):
            message = f"has the line {line[:60]!r}, expected a class number and 4 places, or a "
            faults.append(Fault("unreadable box", text, message + "polygon of 3 points or more"))
            continue
        names.append(numbers.get(int(number), f"class {int(number)}"))
        if len(places) == 4:
            centre, sides = places[:2], places[2:]
            boxes.append(np.concatenate([centre - sides / 2, centre + sides / 2]))
            outlines.append(None)
        else:
            points = places.reshape(-1, 2)
            boxes.append(np.concatenate([points.min(axis=0), points.max(axis=0)]))
            outlines.append([points])
    return Picture(
        path,
        text,
        np.array(boxes).reshape(-1, 4),
        tuple(names),
        (False,) * len(names),
        relative=True,
        outlines=tuple(outlines),
    )
