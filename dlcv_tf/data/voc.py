"""Boxes from XML files as PASCAL VOC has them, one for each picture."""

import pathlib
import xml.etree.ElementTree
from collections.abc import Mapping

import numpy as np

from dlcv_tf.data import annotations, folder
from dlcv_tf.data.annotations import NONE, Fault, Found, Picture
from dlcv_tf.errors import InputError

CORNERS = ("xmin", "ymin", "xmax", "ymax")


def splits(root: pathlib.Path, options: Mapping[str, str] = NONE) -> dict[str, list[pathlib.Path]]:
    """Returns the annotation files of each split.

    From `ImageSets/Main/SPLIT.txt`, of any name, and `Annotations/NAME.xml`; or `SPLIT/NAME.xml`
    beside the pictures; or all files of `Annotations`, divided 80/10/10 by a hash of their names.

    Args:
        root: the data set's folder.
        options: of `read`, none of which matters here.
    """
    found = {}
    for path in sorted(root.glob("ImageSets/Main/*.txt")):
        lines = path.read_text(encoding="utf-8").splitlines()
        names = [line.split()[0] for line in lines if line.strip()]
        found[path.stem] = [root / "Annotations" / f"{name}.xml" for name in names]
    if found:
        return found
    for path in sorted(entry for entry in root.iterdir() if entry.is_dir()):
        split = annotations.split_of(path.name)
        if split and (files := sorted(path.rglob("*.xml"))):
            found[split] = files
    if found:
        return found
    files = sorted([*root.glob("Annotations/*.xml"), *root.glob("*.xml")])
    return {split: folder.part(files, split) for split in annotations.SPLITS} if files else {}


def read(
    root: pathlib.Path, split: str, kind: str, *, one_based: str = "", names: str = ""
) -> Found:
    """Reads the annotations of one split; no picture is opened.

    Objects marked `difficult` are ignored ones. Class names are those of the training split in
    alphabetical order, unless they are given.

    Args:
        root: the data set's folder.
        split: a key of `splits`.
        kind: not used, boxes are all there is.
        one_based: `"true"` where pixels count from 1 and the last one is included, as in PASCAL's
            own files: then 1 is taken off xmin and ymin. `"false"` leaves the numbers as they are.
            By default true in files whose `<database>` names PASCAL VOC, false elsewhere.
        names: class names, as for `annotations.class_names`.

    Raises:
        InputError: no such split.
    """
    files = splits(root)
    if split not in files:
        raise annotations.no_split(root, split, files)
    if one_based not in ("", "true", "false"):
        raise InputError(f"got one_based={one_based}, expected true or false")
    images = annotations.pictures_in(root / "JPEGImages")
    faults: list[Fault] = []
    pictures = [_picture(path, images, one_based, faults) for path in files[split]]
    labels = tuple(annotations.class_names(root, names).values())
    if not labels:
        trained = pictures
        if split != "train" and "train" in files:
            trained = [_picture(path, images, one_based, []) for path in files["train"]]
        labels = tuple(sorted({name for each in trained if each for name in each.names}))
    return Found(labels, tuple(filter(None, pictures)), tuple(faults))


def _picture(path: pathlib.Path, images: dict, one_based: str, faults: list) -> Picture | None:
    """Returns what one file says; None, and a fault, where it cannot be read."""
    try:
        root = xml.etree.ElementTree.parse(path).getroot()
    except FileNotFoundError:
        faults.append(Fault("missing file", path, "is named in ImageSets, but does not exist"))
        return None
    except xml.etree.ElementTree.ParseError as error:
        faults.append(Fault("unreadable file", path, f"is no XML file: {error}"))
        return None
    written = root.findtext("filename") or ""
    picture = images.get(path.stem) or images.get(pathlib.Path(written).stem)
    if picture is None:
        beside = annotations.pictures_in(path.parent)
        picture = beside.get(path.stem, path.parent.parent / "JPEGImages" / (written or path.stem))
    counted = "VOC" in (root.findtext("source/database") or "") if not one_based else False
    first = 1.0 if counted or one_based == "true" else 0.0
    boxes, names, ignored = [], [], []
    for thing in root.findall("object"):
        texts = [thing.findtext(f"bndbox/{corner}") for corner in CORNERS]
        try:
            numbers = [float(text) for text in texts]
        except (TypeError, ValueError):
            message = f"has a box of {texts}, expected four numbers: xmin, ymin, xmax, ymax"
            faults.append(Fault("unreadable box", path, message))
            continue
        boxes.append(np.array(numbers) - (first, first, 0, 0))
        names.append((thing.findtext("name") or "").strip())
        ignored.append((thing.findtext("difficult") or "0").strip() == "1")
    sides = [root.findtext(f"size/{side}") or "0" for side in ("height", "width")]
    size = tuple(int(float(side)) if side.replace(".", "").isdigit() else 0 for side in sides)
    return Picture(
        picture,
        path,
        np.array(boxes).reshape(-1, 4),
        tuple(names),
        tuple(ignored),
        size if all(size) else None,
    )
