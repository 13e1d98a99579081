"""What annotation files say of pictures, as it stands there, and what is wrong with it."""

import dataclasses
import difflib
import pathlib
import re
import types
from collections.abc import Iterator, Mapping

import numpy as np

from dlcv_tf.data import folder
from dlcv_tf.errors import InputError

# By its last letters a file is taken for a picture; what is in it decides when it is read.
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png")
SPLITS = ("train", "val", "test")
NONE: Mapping[str, str] = types.MappingProxyType({})  # no options
ROUNDING = 1.0  # pixels that a box may stand out of its picture without a word
SPLIT_WORD = re.compile(r"(?<![a-z])(train(?:ing)?|val(?:id(?:ation)?)?|test)(?![a-z])")


@dataclasses.dataclass(frozen=True)
class Fault:
    """Something wrong with a data set.

    Args:
        kind: in one or two words, the same for faults of one kind.
        where: the file.
        message: what is wrong there, and what comes of it.
        broken: whether it makes training impossible or wrong; else it is a warning.
    """

    kind: str
    where: pathlib.Path
    message: str
    broken: bool = True


@dataclasses.dataclass(frozen=True)
class Picture:
    """One picture and what its annotation says, unchecked.

    Args:
        path: the picture.
        source: the file that annotates it.
        boxes: (n, 4) float64 x1, y1, x2, y2 in pixels, or in parts of the sides.
        names: (n,) class names as they are written there.
        ignored: (n,) whether a thing is to be neither found nor missed.
        size: (height, width) that the annotation says the picture has; None where it does not.
        relative: whether places are parts of the picture's sides.
        outlines: for each thing its polygons [(k, 2), ...] or a run-length code as in COCO.
        joints: (n, joints, 3) x, y, and 1 where the place is known.
        mask: the picture of class numbers.
    """

    path: pathlib.Path
    source: pathlib.Path
    boxes: np.ndarray = dataclasses.field(default_factory=lambda: np.zeros((0, 4)))
    names: tuple[str, ...] = ()
    ignored: tuple[bool, ...] = ()
    size: tuple[int, int] | None = None
    relative: bool = False
    outlines: tuple | None = None
    joints: np.ndarray | None = None
    mask: pathlib.Path | None = None


@dataclasses.dataclass(frozen=True)
class Found:
    """The annotated pictures of one split.

    Args:
        labels: class names, in the order of the class numbers.
        pictures: each with its annotation.
        faults: what is wrong with the annotation files themselves.
        joint_names: names of the joints.
        numbers: for masks, the value of each class; others are faults.
        ignored: for masks, values of pixels that are ignored.
    """

    labels: tuple[str, ...]
    pictures: tuple[Picture, ...]
    faults: tuple[Fault, ...] = ()
    joint_names: tuple[str, ...] = ()
    numbers: tuple[int, ...] = ()
    ignored: tuple[int, ...] = ()


def class_number(name: str, labels: tuple[str, ...]) -> int:
    """Returns a name's place in the labels, -1 where it is not among them."""
    return labels.index(name) if name in labels else -1


def faults(picture: Picture, size: tuple[int, int], labels: tuple[str, ...]) -> Iterator[Fault]:
    """Yields what is wrong with the classes and boxes of a picture.

    Args:
        picture: with its annotation.
        size: (height, width) of the picture.
        labels: class names.
    """
    if picture.size and tuple(picture.size) != tuple(size):
        yield Fault(
            "size",
            picture.source,
            f"{picture.path.name} is {size[1]} x {size[0]}, annotated as "
            f"{picture.size[1]} x {picture.size[0]} pixels: the boxes are for another picture",
        )
    for name in sorted({name for name in picture.names if name not in labels}):
        close = difflib.get_close_matches(name, labels, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(labels)}"
        message = f"{picture.path.name} has the unknown class {name!r}: {hint}"
        yield Fault("unknown class", picture.source, message)
    scale = np.tile(size[::-1], 2) if picture.relative else np.ones(4)
    for box in picture.boxes * scale:
        if (found := _box_fault(box, size)) is not None:
            kind, broken, text = found
            written = ", ".join(f"{number:g}" for number in box)
            message = f"{picture.path.name} has the box ({written}), {text}"
            yield Fault(kind, picture.source, message, broken)


def _box_fault(box: np.ndarray, size: tuple[int, int]) -> tuple[str, bool, str] | None:
    """Returns the kind of fault, whether it breaks training, and a text; None for a sound box."""
    height, width = size
    x1, y1, x2, y2 = box
    if not np.isfinite(box).all():
        return "not a number", True, "which is not finite"
    if x2 < x1 or y2 < y1:
        return "reversed box", True, "expected x1 <= x2 and y1 <= y2: exchange them"
    if x2 == x1 or y2 == y1:
        return "empty box", False, "which has no area: left out"
    if x1 >= width or y1 >= height or x2 <= 0 or y2 <= 0:
        return "box outside", True, f"outside of its {width} x {height} pixels"
    if min(x1, y1, width - x2, height - y2) < -ROUNDING:
        return "box over the border", False, f"partly outside of {width} x {height} pixels: clipped"
    return None


def sound(
    picture: Picture, size: tuple[int, int], labels: tuple[str, ...]
) -> tuple[dict[str, np.ndarray], np.ndarray, tuple[str, ...]]:
    """Returns the boxes of a picture that can be trained on.

    Boxes are clipped to the picture, those without area are left out.

    Args:
        picture: with its annotation.
        size: (height, width) of the picture.
        labels: class names.

    Returns:
        `boxes` (n, 4) in pixels, `classes` (n,), `ignored` (n,); the numbers of these among the
        objects of the picture; and a line for each that was left out or clipped.

    Raises:
        InputError: a fault that breaks training, with the file's name.
    """
    notes = []
    for fault in faults(picture, size, labels):
        if fault.broken:
            raise InputError(f"{fault.where}: {fault.message}")
        notes.append(f"{fault.where}: {fault.message}")
    height, width = size
    scale = np.tile(size[::-1], 2) if picture.relative else np.ones(4)
    boxes = np.clip(picture.boxes * scale, 0, (width, height, width, height))
    kept = np.flatnonzero((boxes[:, 2:] > boxes[:, :2]).all(axis=1))
    classes = np.array([class_number(name, labels) for name in picture.names], np.int32)
    arrays = {
        "boxes": boxes[kept].astype(np.float32),
        "classes": classes[kept],
        "ignored": np.array(picture.ignored, bool)[kept],
    }
    return arrays, kept, tuple(notes)


def split_of(name: str) -> str | None:
    """Returns the split that a file or folder is named for: `train2017` is `"train"`."""
    found = SPLIT_WORD.search(name.lower())
    return folder.SPLIT_NAMES[found[1]] if found else None


def pictures_in(directory: pathlib.Path) -> dict[str, pathlib.Path]:
    """Returns the pictures right in a folder, by their names without the ending."""
    if not directory.is_dir():
        return {}
    paths = sorted(path for path in directory.iterdir() if path.suffix.lower() in SUFFIXES)
    return {path.stem: path for path in paths}


def class_names(root: pathlib.Path, names: str = "") -> dict[int, str]:
    """Returns class names by their numbers: from an argument, or from a file in the folder.

    Args:
        root: the data set's folder.
        names: class names with commas between; or a file in the folder: `.txt` with a name on each
            line, or `.yaml` with `names:`, a list or numbers with names. By default `classes.txt`,
            `labels.txt`, `obj.names`, `data.yaml`, or the one `.yaml` there is.

    Returns:
        Nothing where there is no such file.

    Raises:
        InputError: a file that cannot be read as such.
    """
    if names and not (root / names).is_file():
        if pathlib.Path(names).suffix:
            raise InputError(f"got names={names}, expected class names or a file in {root}")
        return dict(enumerate(name.strip() for name in names.split(",")))
    usual = ("classes.txt", "labels.txt", "obj.names", "data.yaml")
    files = [root / names] if names else [root / name for name in usual if (root / name).is_file()]
    if not files:
        files = sorted([*root.glob("*.yaml"), *root.glob("*.yml")])
        if len(files) != 1:
            return {}
    if files[0].suffix not in (".yaml", ".yml"):
        lines = files[0].read_text(encoding="utf-8").splitlines()
        return dict(enumerate(line.strip() for line in lines if line.strip()))
    found = settings(files[0])
    named = found.get("names", found.get("classes")) or {}
    pairs = named.items() if isinstance(named, dict) else enumerate(named)
    try:
        return {int(number): str(name) for number, name in pairs}
    except (TypeError, ValueError) as error:
        raise InputError(f"{files[0]}: got names={named}, expected a list of names") from error


def settings(path: pathlib.Path) -> dict:
    """Returns what a YAML file says.

    Raises:
        InputError: it cannot be read, or is not a mapping.
    """
    import yaml

    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: {' '.join(str(error).split())[:200]}: repair it") from error
    if not isinstance(found, dict):
        raise InputError(f"{path}: got {type(found).__name__}, expected `key: value` lines")
    return found


def existing(root: str | pathlib.Path, name: str) -> pathlib.Path:
    """Returns the folder of a data set.

    Args:
        root: the folder.
        name: the data set as the user gave it.

    Raises:
        InputError: it does not exist.
    """
    path = pathlib.Path(root).expanduser()
    if not str(root) or not path.is_dir():
        raise InputError(f"got data={name}, expected an existing folder after the colon")
    return path


def no_split(root: pathlib.Path, split: str, splits) -> InputError:
    """Returns the error for a split that a data set does not have."""
    known = ", ".join(sorted(splits)) or "none"
    return InputError(f"{root} has no {split!r} split, found: {known}")
