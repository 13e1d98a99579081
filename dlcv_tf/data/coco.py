"""Boxes, masks, keypoints and captions from JSON files as COCO has them."""

import json
import pathlib
from collections.abc import Mapping

import numpy as np

from dlcv_tf.data import annotations, targets
from dlcv_tf.data.annotations import NONE, Fault, Found, Picture
from dlcv_tf.errors import InputError

CAPTIONS, KEYPOINTS, OBJECTS = "captions", "keypoints", "objects"


def files(root: pathlib.Path, what: str) -> dict[str, pathlib.Path]:
    """Returns the JSON file of each split, found by the words in the names of files and folders.

    As `annotations/instances_train2017.json` or `train/_annotations.coco.json`. Where several are
    for one split the one nearest to the root counts, then `instances` before others.

    Args:
        root: the data set's folder.
        what: `CAPTIONS`, `KEYPOINTS`, or `OBJECTS`, which is all the others.
    """
    found: dict[str, pathlib.Path] = {}
    paths = sorted(
        root.rglob("*.json"), key=lambda path: (len(path.parts), "instances" not in path.stem, path)
    )
    for path in paths:
        kind = next((kind for kind in (CAPTIONS, KEYPOINTS) if kind in path.stem), OBJECTS)
        split = annotations.split_of(path.stem) or annotations.split_of(path.parent.name)
        if kind == what and split:
            found.setdefault(split, path)
    return found


def splits(root: pathlib.Path, options: Mapping[str, str] = NONE) -> dict[str, pathlib.Path]:
    """Returns the file with objects of each split; see `files`. No option of `read` matters."""
    return files(root, OBJECTS) or files(root, KEYPOINTS)


def read(root: pathlib.Path, split: str, kind: str, *, images: str = "") -> Found:
    """Reads the annotations of one split; no picture is opened.

    Objects with `iscrowd` are ignored ones. Classes are numbered in the order of the categories'
    ids. A joint's place is known where COCO's flag is above 0, whether it can be seen or not.

    Args:
        root: the data set's folder.
        split: `"train"`, `"val"` or `"test"`.
        kind: what is to be read, a key of `targets.KINDS`; for `"keypoints"` another file is read,
            and only categories that have keypoints.
        images: folder of the pictures, below the root; by default the first one in which the first
            picture is found.

    Raises:
        InputError: no such split, or a file that is not COCO's JSON.
    """
    found = files(root, KEYPOINTS if kind == "keypoints" else OBJECTS)
    if kind == "keypoints":
        found = {**files(root, OBJECTS), **found}
    if split not in found:
        raise annotations.no_split(root, split, found)
    path = found[split]
    content = _content(path)
    categories = sorted(content["categories"], key=lambda category: category["id"])
    joint_names: tuple[str, ...] = ()
    if kind == "keypoints":
        categories = [category for category in categories if category.get("keypoints")]
        if not categories:
            raise InputError(f"{path}: got no category with keypoints, expected one")
        joint_names = tuple(name.replace("_", " ") for name in categories[0]["keypoints"])
    numbers = {category["id"]: str(category["name"]) for category in categories}
    faults: list[Fault] = []
    directory = _directory(root, path, content["images"], images, split)
    known = {image["id"] for image in content["images"]}
    things: dict[int, list[dict]] = {}
    for thing in content["annotations"]:
        if thing.get("image_id") not in known:
            message = f"annotation {thing.get('id')} is of image {thing.get('image_id')}, unknown"
            faults.append(Fault("missing picture", path, message))
        elif kind != "keypoints" or thing.get("category_id") in numbers:
            things.setdefault(thing["image_id"], []).append(thing)
    pictures = []
    for image in content["images"]:
        own = things.get(image["id"], [])
        size = (image.get("height"), image.get("width"))
        pictures.append(
            Picture(
                directory / image["file_name"],
                path,
                np.array([_box(thing, path, faults) for thing in own]).reshape(-1, 4),
                tuple(_class(thing, numbers) for thing in own),
                tuple(bool(thing.get("iscrowd")) for thing in own),
                size if all(size) else None,
                outlines=tuple(_outline(thing) for thing in own),
                joints=_joints(own, len(joint_names)) if joint_names else None,
            )
        )
    return Found(tuple(numbers.values()), tuple(pictures), tuple(faults), joint_names)


def captions(root: str | pathlib.Path, split: str = "train") -> dict[str, tuple[str, ...]]:
    """Returns the captions of each picture, by the name of its file.

    Args:
        root: the data set's folder, with a `captions*.json` for the split.
        split: `"train"`, `"val"` or `"test"`.

    Raises:
        InputError: no such file.
    """
    root = annotations.existing(root, f"coco:{root}")
    found = files(root, CAPTIONS)
    if split not in found:
        raise annotations.no_split(root, split, found)
    content = _content(found[split], needed=("images", "annotations"))
    names = {image["id"]: image["file_name"] for image in content["images"]}
    texts: dict[str, list[str]] = {name: [] for name in names.values()}
    for line in content["annotations"]:
        if line.get("image_id") in names:
            texts[names[line["image_id"]]].append(line["caption"].strip())
    return {name: tuple(lines) for name, lines in texts.items()}


def mask(outline, size: tuple[int, int], new_size: tuple[int, int]) -> np.ndarray:
    """Returns the pixels of polygons or of a run-length code, drawn as COCO's own code does.

    Args:
        outline: polygons [(k, 2), ...] in pixels of the picture, or a dict of `size` and `counts`.
        size: (height, width) of the picture.
        new_size: (height, width) of the mask: polygons are scaled, a run-length code is drawn and
            then takes the nearest pixel.

    Returns:
        (*new_size) uint8, 0 or 1.
    """
    from pycocotools import mask as codes

    if not outline:
        return np.zeros(new_size, np.uint8)
    if isinstance(outline, dict):
        counts = outline["counts"]
        packed = codes.frPyObjects(outline, *size) if isinstance(counts, list) else outline
        return targets.nearest_pixels(codes.decode(packed), new_size)
    scale = np.array(new_size[::-1]) / np.array(size[::-1])
    polygons = [(polygon * scale).ravel().tolist() for polygon in outline]
    return codes.decode(codes.merge(codes.frPyObjects(polygons, *new_size)))


def _content(path: pathlib.Path, needed=("images", "annotations", "categories")) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: is no JSON file ({error}): repair it") from error
    missing = [key for key in needed if not isinstance(content, dict) or key not in content]
    if missing:
        raise InputError(
            f"{path}: got no {missing[0]!r}, expected COCO's JSON: {', '.join(needed)}"
        )
    return content


def _directory(root, path, images, given: str, split: str) -> pathlib.Path:
    """Returns the folder in which the pictures are."""
    if given:
        return root / given
    name = images[0]["file_name"] if images else ""
    folders = [path.parent, root, *sorted(entry for entry in root.rglob("*") if entry.is_dir())]
    folders.sort(key=lambda entry: annotations.split_of(entry.name) != split)
    return next((entry for entry in folders if name and (entry / name).is_file()), root)


def _class(thing: dict, numbers: dict[int, str]) -> str:
    number = thing.get("category_id")
    return numbers.get(number, f"category {number}")


def _box(thing: dict, path: pathlib.Path, faults: list[Fault]) -> tuple[float, ...]:
    try:
        x, y, width, height = (float(number) for number in thing["bbox"])
    except (KeyError, TypeError, ValueError):
        message = f"annotation {thing.get('id')} has the box {thing.get('bbox')}, expected [x, y, "
        faults.append(Fault("unreadable box", path, message + "width, height]"))
        return (np.nan,) * 4
    return x, y, x + width, y + height


def _outline(thing: dict):
    """Returns polygons as arrays, a run-length code as it is, None where there is neither."""
    outline = thing.get("segmentation")
    if isinstance(outline, dict):
        return outline if outline.get("counts") else None
    polygons = [np.array(points, float).reshape(-1, 2) for points in outline or () if len(points)]
    return [polygon for polygon in polygons if len(polygon) >= 3] or None


def _joints(things: list[dict], count: int) -> np.ndarray:
    joints = np.zeros((len(things), count, 3))
    for row, thing in zip(joints, things, strict=True):
        if len(thing.get("keypoints") or ()) == 3 * count:
            row[:] = np.array(thing["keypoints"], float).reshape(count, 3)
            row[:, 2] = row[:, 2] > 0
    return joints
