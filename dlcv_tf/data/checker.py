"""What is wrong with a user's own data set, found before it is trained on."""

import collections
import concurrent.futures
import dataclasses
import difflib
import hashlib
import pathlib

import numpy as np

from dlcv_tf.artifact import pictures as picture_files
from dlcv_tf.data import annotated, annotations, folder, masks
from dlcv_tf.data.annotations import Fault, Found, Picture
from dlcv_tf.errors import InputError

FORMATS = (*annotated.READERS, "folder")
SAMPLES = 12  # pictures to be drawn, from all over a split
RARE = 0.05  # part of a like-named class below which a class is taken for a misspelling
ALIKE = 0.8  # of two names, from which on one may be the other misspelt


@dataclasses.dataclass(frozen=True)
class Split:
    """Facts about one split.

    Args:
        name: of the split.
        num_pictures: pictures that could be read.
        num_objects: things in them, or pixels of class maps, with those ignored.
        without_objects: pictures that show nothing, or nothing that is not ignored.
        counts: things, or pixels, of each class, by its name.
        sizes: (height, width) of the pictures, and how many there are of each.
        objects: (least, mean, most) things in a picture, without those ignored.
        sides: (least, middle, most) of the square root of a box's part of its picture.
    """

    name: str
    num_pictures: int
    num_objects: int
    without_objects: int
    counts: dict[str, int]
    sizes: dict[tuple[int, int], int]
    objects: tuple[float, float, float]
    sides: tuple[float, float, float] | None = None


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found.

    Args:
        name: the data set, `FORMAT:PATH`.
        kind: of the targets that were checked, a key of `targets.KINDS`.
        labels: class names.
        splits: facts about each.
        faults: what is wrong.
        samples: some pictures of the first split with nothing wrong in them, to be drawn.
        found: the split they are of.
    """

    name: str
    kind: str
    labels: tuple[str, ...]
    splits: tuple[Split, ...]
    faults: tuple[Fault, ...]
    samples: tuple[Picture, ...]
    found: Found

    @property
    def broken(self) -> tuple[Fault, ...]:
        """Faults that make a training impossible or wrong."""
        return tuple(fault for fault in self.faults if fault.broken)

    @property
    def warnings(self) -> tuple[Fault, ...]:
        """The others."""
        return tuple(fault for fault in self.faults if not fault.broken)


@dataclasses.dataclass
class _Seen:
    """What one picture shows when it is read."""

    picture: Picture
    size: tuple[int, int] | None = None
    digest: str = ""
    faults: list[Fault] = dataclasses.field(default_factory=list)
    pixels: dict[int, int] = dataclasses.field(default_factory=dict)


def check(name: str) -> Report:
    """Reads a data set and returns what is wrong with it.

    Every picture is read whole. A `Fault` that is `broken` is one that `data.load` refuses; a
    warning is something that it leaves out or clips, or that may be meant.

    Args:
        name: `FORMAT:PATH` with a format of `FORMATS`; or the path alone: then the format is
            guessed, see `guess`.

    Raises:
        InputError: no such folder, no known format, or nothing in it.
    """
    if name.partition(":")[0] not in FORMATS or ":" not in name:
        name = f"{guess(name)}:{name}"
    if name.startswith("folder:"):
        kind = "labels"
        found = _class_folders(name)
    else:
        style, root, options = annotated.parts(name)
        kind = annotated.KINDS[style][0]
        reader = annotated.READERS[style]
        names = [split for split in annotations.SPLITS if split in reader.splits(root, options)]
        found = {split: annotated.find(name, split, kind) for split in names}
    if not found:
        raise InputError(f"found no split in {name}, expected train, val or test: see docs/data.md")
    faults, splits, samples, digests = [], [], [], collections.defaultdict(list)
    for split, content in found.items():
        with concurrent.futures.ThreadPoolExecutor() as pool:
            seen = list(pool.map(lambda each, of=content: _look(each, of, kind), content.pictures))
        faults += [*content.faults, *(fault for each in seen for fault in each.faults)]
        splits.append(_facts(split, content, seen, kind))
        samples.append([each.picture for each in seen if each.size and not each.faults])
        for each in seen:
            if each.digest:
                digests[each.digest].append((split, each.picture.path))
    first = next(iter(found.values()))
    faults += [*_duplicates(digests), *_of_classes(splits, first.labels, kind, name)]
    chosen = samples[0][:: max(1, len(samples[0]) // SAMPLES)][:SAMPLES]
    facts = (tuple(splits), tuple(faults), tuple(chosen), first)
    return Report(name, kind, first.labels, *facts)


def guess(path: str) -> str:
    """Returns the format that a folder's files look like.

    `joints.npz` is of `joints`; XML files of `voc`; JSON files named for splits of `coco`; text
    files of numbers beside pictures of `yolo`; pictures beside pictures of the same names of
    `masks`; anything else, with folders in it, is a `folder` of classes.

    Args:
        path: the folder.

    Raises:
        InputError: no such folder, or nothing of this in it.
    """
    root = annotations.existing(path, path)
    if (root / "joints.npz").is_file():
        return "joints"
    for style in ("voc", "coco", "yolo", "masks"):
        if annotated.READERS[style].splits(root):
            return style
    if any(entry.is_dir() for entry in root.iterdir()):
        return "folder"
    raise InputError(
        f"{path} looks like none of the formats {', '.join(FORMATS)}: see docs/data.md, and name "
        f"yours as in voc:{path}"
    )


def _class_folders(name: str) -> dict[str, Found]:
    """Returns the splits of a folder of classes, each picture with its class as one object."""
    root = annotations.existing(name.partition(":")[2], name)
    found = {}
    for split in annotations.SPLITS:
        try:
            listing = folder.listing(root, split)
        except InputError:
            if split == "train":
                raise
            continue
        pictures = tuple(
            Picture(path, path, names=(listing.labels[number],), ignored=(False,))
            for path, number in listing.files
        )
        found[split] = Found(listing.labels, pictures)
    return found


def _look(picture: Picture, found: Found, kind: str) -> _Seen:
    """Reads one picture, and its mask, and returns what is wrong with them."""
    seen = _Seen(picture)
    try:
        content = picture.path.read_bytes()
        seen.size = picture_files.decode(content).shape[:2]
        seen.digest = hashlib.sha256(content).hexdigest()
    except FileNotFoundError:
        seen.faults.append(Fault("missing picture", picture.path, "there is no such file"))
        return seen
    except (picture_files.PictureError, OSError) as error:
        message = str(error) or type(error).__name__
        seen.faults.append(Fault("unreadable picture", picture.path, message, kind != "labels"))
        return seen
    if kind == "class_map":
        try:
            pixels = masks.values_of(picture.mask)
        except InputError as error:
            message = str(error).removeprefix(f"{picture.mask}: ")
            seen.faults.append(Fault("unreadable mask", picture.mask, message))
            return seen
        seen.faults += masks.faults(pixels, picture.mask, found, seen.size)
        values, counts = np.unique(pixels, return_counts=True)
        seen.pixels = dict(zip(values.tolist(), counts.tolist(), strict=True))
    elif kind == "joints":
        seen.faults += _of_joints(picture, seen.size)
    elif kind != "labels":
        seen.faults += annotations.faults(picture, seen.size, found.labels)
    return seen


def _of_joints(picture: Picture, size: tuple[int, int]):
    known = picture.joints[0][picture.joints[0][:, 2] > 0, :2]
    if not np.isfinite(known).all():
        message = f"{picture.path.name} has joints that are not finite"
        yield Fault("not a number", picture.source, message)
        return
    outside = ((known < -annotations.ROUNDING) | (known > np.add(size[::-1], 1))).any(axis=1)
    if outside.any():
        message = f"{picture.path.name} has {outside.sum()} joints outside of the picture"
        yield Fault("joint outside", picture.source, message, broken=False)
    if not len(known):
        message = f"{picture.path.name} has no joint whose place is known"
        yield Fault("no joint", picture.source, message, broken=False)


def _facts(name: str, found: Found, seen: list[_Seen], kind: str) -> Split:
    """Counts what the readable pictures of a split show."""
    readable = [each for each in seen if each.size]
    sizes = collections.Counter(tuple(each.size) for each in readable)
    sides = None
    if kind == "class_map":
        pixels = collections.Counter()
        for each in readable:
            pixels.update(each.pixels)
        numbered = zip(found.numbers, found.labels, strict=True)
        counts = {label: pixels[number] for number, label in numbered}
        things = [sum(number in found.numbers for number in each.pixels) for each in readable]
    else:
        written = collections.Counter(name for each in readable for name in each.picture.names)
        counts = {label: written[label] for label in found.labels}
        things = [len(each.picture.ignored) - sum(each.picture.ignored) for each in readable]
        if kind == "joints":
            counts, things = {"person": len(readable)}, [1] * len(readable)
        if kind == "boxes":
            sides = _box_sides(readable)
    per_picture = (min(things, default=0), float(np.mean(things or [0])), max(things, default=0))
    empty = sum(count == 0 for count in things)
    num_objects = sum(counts.values())
    return Split(name, len(readable), num_objects, empty, counts, dict(sizes), per_picture, sides)


def _box_sides(readable: list[_Seen]) -> tuple[float, float, float] | None:
    parts = []
    for each in readable:
        whole = 1.0 if each.picture.relative else float(np.prod(each.size))
        sides = each.picture.boxes[:, 2:] - each.picture.boxes[:, :2]
        with np.errstate(invalid="ignore"):
            areas = sides[:, 0] * sides[:, 1]
            parts += np.sqrt(areas[(sides > 0).all(axis=1) & np.isfinite(areas)] / whole).tolist()
    return (min(parts), float(np.median(parts)), max(parts)) if parts else None


def _duplicates(digests: dict[str, list[tuple[str, pathlib.Path]]]):
    """Yields a fault for pictures that are in several splits, or several times in one."""
    for places in digests.values():
        if len(places) == 1:
            continue
        splits = sorted({split for split, _ in places})
        (_, first), *others = places
        names = ", ".join(path.name for _, path in others[:3])
        if len(splits) > 1:
            message = f"is in {' and '.join(splits)} (again as {names}): the test is no test of it"
            yield Fault("picture in two splits", first, message, broken=False)
        else:
            message = f"is {len(places)} times in {splits[0]} (again as {names})"
            yield Fault("picture twice", first, message, broken=False)


def _of_classes(splits: list[Split], labels: tuple[str, ...], kind: str, name: str):
    """Yields what is wrong with the classes of a whole data set."""
    where = pathlib.Path(name.partition(":")[2].partition("?")[0])
    trained = next((split for split in splits if split.name == "train"), splits[0])
    if not trained.num_pictures:
        yield Fault("no pictures", where, f"{trained.name} has no picture that can be read")
    elif trained.without_objects == trained.num_pictures:
        yield Fault("no objects", where, f"{trained.name} has no object that is to be found")
    for split in splits:
        some = split.num_pictures - split.without_objects
        if kind == "boxes" and 0 < some < split.num_pictures / 2:
            message = f"{split.without_objects} of {split.num_pictures} pictures of {split.name} "
            yield Fault("no objects", where, message + "show no object", broken=False)
    for label in labels:
        count = trained.counts.get(label, 0)
        if not count and trained.num_objects:
            message = f"class {label!r} is in no picture of {trained.name}"
            yield Fault("class without objects", where, message, broken=False)
        for other in labels:
            likeness = difflib.SequenceMatcher(None, label.lower(), other.lower()).ratio()
            is_rare = 0 < count < RARE * trained.counts.get(other, 0)
            if other != label and likeness >= ALIKE and is_rare and kind == "boxes":
                message = f"class {label!r} ({count} objects) may be {other!r} misspelt"
                yield Fault("like-named class", where, message, broken=False)
