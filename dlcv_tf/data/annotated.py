"""A user's own annotated pictures, in the formats that annotation tools write."""

import concurrent.futures
import dataclasses
import inspect
import pathlib
import re
import urllib.parse

import numpy as np
import tensorflow as tf
from PIL import Image

from dlcv_tf.artifact import pictures as picture_files
from dlcv_tf.data import annotations, coco, joints, masks, voc, yolo
from dlcv_tf.data import targets as places
from dlcv_tf.data.annotations import Found, Picture
from dlcv_tf.data.info import Info
from dlcv_tf.errors import InputError, unknown
from dlcv_tf.ops import images as image_ops

# Each has `splits(root)` and `read(root, split, kind, **options)`.
READERS = {"voc": voc, "coco": coco, "yolo": yolo, "masks": masks, "joints": joints}
KINDS = {
    "voc": ("boxes", "object"),
    "coco": ("boxes", "object", "masks", "keypoints"),
    "yolo": ("boxes", "object", "masks"),
    "masks": ("class_map",),
    "joints": ("joints",),
}
SPLIT = re.compile(r"(?P<name>[\w.-]+)(\[(?P<start>-?\d+%?)?:(?P<stop>-?\d+%?)?\])?")
CACHE_BYTES = 2**31  # examples are kept in memory up to two gigabytes


def is_name(name: str) -> bool:
    """Tells whether a data set's name is of one of the formats: `"voc:PATH"`."""
    return name.partition(":")[0] in READERS and ":" in name


def find(name: str, split: str, kind: str) -> Found:
    """Returns what the annotation files of a split say.

    Args:
        name: `FORMAT:PATH` or `FORMAT:PATH?option=value&option=value`, with the options of the
            format's `read`, such as `masks:PATH?ignored=11`.
        split: a name of the data set's own, mostly `"train"`, `"val"` and `"test"`; perhaps with
            a slice by order, `"trainval[:270]"` or `"train[80%:]"`, perhaps several with `+`.
        kind: what stands beside each picture, a key of `targets.KINDS`.

    Raises:
        InputError: no such folder, split or option, or targets that the format does not have.
    """
    style, root, options = parts(name)
    if kind not in KINDS[style]:
        raise InputError(
            f"got targets={kind!r} for {name}, expected {' or '.join(map(repr, KINDS[style]))}: "
            f"{style} files have nothing else"
        )
    found = []
    for one in split.split("+"):
        written = SPLIT.fullmatch(one)
        if written is None:
            raise InputError(f"got split={split!r}, expected train, train[:100] or train+val[:50%]")
        whole = READERS[style].read(root, written["name"], kind, **options)
        start, stop = (_place(text, len(whole.pictures)) for text in written.group("start", "stop"))
        found.append(dataclasses.replace(whole, pictures=whole.pictures[start:stop]))
    joined = {
        key: tuple(entry for each in found for entry in getattr(each, key))
        for key in ("pictures", "faults")
    }
    return dataclasses.replace(found[0], **joined)


def _place(text: str | None, count: int) -> int | None:
    """Returns an end of a slice, given as a number or in percent; None for the list's own end."""
    if not text:
        return None
    return round(int(text[:-1]) / 100 * count) if text.endswith("%") else int(text)


def parts(name: str) -> tuple[str, pathlib.Path, dict[str, str]]:
    """Returns format, folder and options of a data set's name.

    Raises:
        InputError: as `find`.
    """
    style, _, rest = name.partition(":")
    path, _, query = rest.partition("?")
    options = dict(urllib.parse.parse_qsl(query, keep_blank_values=True))
    known = [
        each.name
        for each in inspect.signature(READERS[style].read).parameters.values()
        if each.kind is each.KEYWORD_ONLY
    ]
    for option in options:
        if option not in known:
            raise unknown(f"option of {style}:PATH", option, known)
    return style, annotations.existing(path, name), options


def load(
    name: str,
    split: str,
    image_size: tuple[int, int] | None,
    channels: int,
    kind: str,
    most: int | None,
) -> tuple[tf.data.Dataset, Info]:
    """Loads one split; see `sets.load`.

    Args:
        name: as for `find`.
        split: as for `find`.
        image_size: (height, width); that of the pictures by default, if it is the same for all.
        channels: 1 (grey) or 3 (RGB).
        kind: as for `find`.
        most: number of rows of boxes; by default the largest number in a picture.

    Raises:
        InputError: as `find`; faults that break training, with the file's name.
    """
    found, info, rows = _facts(name, split, image_size, channels, kind, most)
    shape = info.image_shape

    def attempt(picture):
        return example(picture, found, shape, kind, rows)

    if len(found.pictures) * _example_bytes(found, shape, kind, rows) > CACHE_BYTES:
        return _stream(found, attempt, attempt(found.pictures[0])[:2]), info
    with concurrent.futures.ThreadPoolExecutor() as pool:
        images, targets, notes = zip(*pool.map(attempt, found.pictures), strict=True)
    if kind == "class_map":
        together = np.stack(targets)
    else:
        together = {key: np.stack([each[key] for each in targets]) for key in targets[0]}
    dataset = tf.data.Dataset.from_tensor_slices((np.stack(images), together))
    lines = (*info.skipped, *(line for each in notes for line in each))
    return dataset, dataclasses.replace(info, skipped=lines)


def describe(name: str, split: str, image_size, channels: int, kind: str, most) -> Info:
    """Returns what `load` says of a split but for faults that show in the pictures only.

    Args:
        name: as for `load`, and so the others.
        split: as for `load`.
        image_size: as for `load`.
        channels: as for `load`.
        kind: as for `load`.
        most: as for `load`.
    """
    return _facts(name, split, image_size, channels, kind, most)[1]


def _facts(name, split, image_size, channels, kind, most) -> tuple[Found, Info, int]:
    """Returns the pictures to read, the facts known without reading them, and the rows of boxes."""
    if most is not None and most < 1:
        raise InputError(f"got max_objects={most}, expected 1 or more")
    if channels not in (1, 3):
        raise InputError(f"got channels={channels}, expected 1 (grey) or 3 (RGB)")
    found = find(name, split, kind)
    for fault in found.faults:
        if fault.broken:
            raise InputError(f"{fault.where}: {fault.message}")
    notes = [f"{fault.where}: {fault.message}" for fault in found.faults]
    kept = found.pictures
    if kind == "object":
        kept = tuple(picture for picture in kept if _shows_something(picture))
        if len(kept) < len(found.pictures):
            notes.append(f"{len(found.pictures) - len(kept)} pictures without an object: left out")
    if not kept:
        raise InputError(
            f"found no pictures for the {split} split of {name}, expected at least one"
        )
    found = dataclasses.replace(found, pictures=kept)
    size = image_size or _common_size(found, name)
    rows = most or max(1, max(len(picture.names) for picture in kept))
    shape = (*size, channels)
    info = Info(name, split, found.labels, len(kept), shape, tuple(notes), kind, found.joint_names)
    return found, info, rows


def _shows_something(picture: Picture) -> bool:
    """Tells whether a picture has an object to be found; broken ones count, they are errors."""
    empty = (picture.boxes[:, 2:] == picture.boxes[:, :2]).any(axis=1)
    return bool((~empty & ~np.array(picture.ignored, bool)).any())


def _common_size(found: Found, name: str) -> tuple[int, int]:
    """Returns (height, width) of the pictures, from their headers alone."""
    sizes = set()
    for picture in found.pictures:
        try:
            with Image.open(picture.path) as image:
                sizes.add(image.size[::-1])
        except OSError as error:
            raise InputError(f"{picture.path}: {_reason(error)}: repair or remove it") from error
        if len(sizes) > 1:
            raise InputError(
                f"the pictures of {name} differ in size: give image_size=(height, width) to "
                "stretch them to"
            )
    return sizes.pop()


def _example_bytes(found: Found, shape, kind: str, rows: int) -> int:
    """Returns about how many bytes an example has."""
    pixels = shape[0] * shape[1]
    maps = {"masks": rows, "class_map": 1}.get(kind, 0)
    return pixels * (shape[2] + maps) + rows * (40 + 12 * len(found.joint_names))


def example(picture: Picture, found: Found, shape, kind: str, most: int):
    """Reads one picture.

    Args:
        picture: with its annotation.
        found: the split it is of.
        shape: (height, width, channels) it is stretched to.
        kind: of targets, a key of `targets.KINDS`.
        most: rows of boxes.

    Returns:
        (*shape) uint8 picture, its targets, and a line for each thing that was left out or changed.

    Raises:
        InputError: a picture that cannot be read, or a fault that breaks training.
    """
    try:
        original = picture_files.decode(picture.path.read_bytes(), channels=shape[2])
    except (picture_files.PictureError, OSError) as error:
        raise InputError(f"{picture.path}: {_reason(error)}: repair or remove it") from error
    size, new_size = original.shape[:2], tuple(shape[:2])
    image = image_ops.resize(original[None], new_size)[0].numpy()
    image = np.clip(np.round(image), 0, 255).astype(np.uint8)
    if kind == "class_map":
        whole = masks.class_map(picture.mask, found, size)
        return image, places.nearest_pixels(whole, new_size), ()
    scale = np.array(new_size[::-1], np.float32) / np.array(size[::-1], np.float32)
    if kind == "joints":
        return image, {"joints": _joints(picture, scale)[0]}, ()
    arrays, kept, notes = annotations.sound(picture, size, found.labels)
    arrays["boxes"] *= np.tile(scale, 2)
    if kind == "object":
        wanted = {key: value[~arrays["ignored"]] for key, value in arrays.items()}
        largest = places.of_objects(**wanted, most=1)
        return image, {"class": largest["classes"][0], "box": largest["boxes"][0]}, notes
    if kind == "keypoints":
        arrays["joints"] = _joints(picture, scale)[kept]
    if kind == "masks":
        arrays["masks"] = _masks(picture, kept, size, new_size)
        shapeless = ~arrays["masks"].any(axis=(1, 2)) & ~arrays["ignored"]
        arrays["ignored"] = arrays["ignored"] | shapeless
        if shapeless.any():
            text = f"{shapeless.sum()} objects of {picture.path.name} without a pixel of mask"
            notes = (*notes, f"{picture.source}: {text} at this size: ignored")
    if len(arrays["boxes"]) > most:
        text = f"{picture.path.name} has {len(arrays['boxes'])} objects, more than {most}"
        notes = (*notes, f"{picture.source}: {text}: the largest are kept")
    return image, places.of_objects(**arrays, most=most), notes


def _joints(picture: Picture, scale: np.ndarray) -> np.ndarray:
    known = picture.joints[..., 2:] > 0
    if not np.isfinite(picture.joints[..., :2]).all(where=known):
        raise InputError(f"{picture.source}: {picture.path.name} has joints that are not finite")
    found = np.where(known, picture.joints, 0)  # what is not known may be anything in the file
    return (found * np.append(scale, 1)).astype(np.float32)


def _masks(picture: Picture, kept, size, new_size) -> np.ndarray:
    """Returns the masks (n, *new_size) uint8 of the objects that are kept."""
    outlines = [picture.outlines[number] for number in kept]
    if picture.relative:
        sides = np.array(size[::-1])
        outlines = [each and [polygon * sides for polygon in each] for each in outlines]
    drawn = [coco.mask(outline, size, new_size) for outline in outlines]
    return np.array(drawn, np.uint8).reshape(-1, *new_size)


def _reason(error: Exception) -> str:
    if isinstance(error, FileNotFoundError):
        return "there is no such file"
    return str(error) or type(error).__name__


def _stream(found: Found, attempt, first) -> tf.data.Dataset:
    """Returns a data set that reads each picture when it is asked for, in one mixed order."""
    structure = tf.nest.map_structure(tf.TensorSpec.from_tensor, _tensors(first))
    specs = tf.nest.flatten(structure)
    order = np.random.default_rng(0).permutation(len(found.pictures))

    def read(number):
        return tf.nest.flatten(_tensors(attempt(found.pictures[number])[:2]))

    def read_one(number):
        flat = tf.py_function(read, [number], [spec.dtype for spec in specs])
        shaped = [tf.ensure_shape(each, spec.shape) for each, spec in zip(flat, specs, strict=True)]
        return tf.nest.pack_sequence_as(structure, shaped)

    dataset = tf.data.Dataset.from_tensor_slices(order)
    return dataset.map(read_one, num_parallel_calls=tf.data.AUTOTUNE)


def _tensors(example):
    return tf.nest.map_structure(tf.convert_to_tensor, example)
