"""Class maps from pictures of class numbers beside the pictures."""

import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
from PIL import Image

from dlcv_tf.data import annotations, folder
from dlcv_tf.data.annotations import NONE, Fault, Found, Picture
from dlcv_tf.errors import InputError

IGNORED = 255  # in every mask
MASK_FOLDERS = ("masks", "labels", "annotations", "SegmentationClass")
# CamVid as the authors of SegNet share it: https://arxiv.org/abs/1511.00561. 11 is unlabelled.
CAMVID = (
    *("sky", "building", "pole", "road", "pavement", "tree", "sign", "fence", "car"),
    *("pedestrian", "bicyclist"),
)
CAMVID_IGNORED = len(CAMVID)


def pairs(
    root: pathlib.Path, images: str = "", masks: str = ""
) -> dict[str, list[tuple[pathlib.Path, pathlib.Path]]]:
    """Returns each picture and its mask, of the same name, by split.

    `SPLIT` and `SPLITannot`, as CamVid; `images/SPLIT` and `masks/SPLIT` (or `labels`,
    `annotations`); `SPLIT/images` and `SPLIT/masks`; `JPEGImages`, `SegmentationClass` and
    `ImageSets/Segmentation/SPLIT.txt`, as PASCAL VOC; or `images` and `masks` alone, divided
    80/10/10 by a hash of the names. A picture without mask is paired with the name it should have,
    and so is a mask without picture.

    Args:
        root: the data set's folder.
        images: other folder of the pictures, below the root, with or without split folders.
        masks: likewise, of the masks.
    """
    if images or masks:
        pictures, classes = root / (images or "images"), root / (masks or "masks")
        found = _by_split(pictures, classes)
        return found or _divided(_paired(pictures, classes))
    found = {}
    for directory in _folders(root):
        split = annotations.split_of(directory.name)
        if split is None:
            continue
        beside = root / f"{directory.name}annot"
        if beside.is_dir():
            found[split] = _paired(directory, beside)
        for name in MASK_FOLDERS:
            if (directory / name).is_dir() and (directory / "images").is_dir():
                found[split] = _paired(directory / "images", directory / name)
    for name in MASK_FOLDERS:
        if found:
            return found
        found = _by_split(root / "images", root / name)
    lists = root / "ImageSets" / "Segmentation"
    if not found and lists.is_dir():
        everything = _paired(root / "JPEGImages", root / "SegmentationClass")
        for path in sorted(lists.glob("*.txt")):
            names = set(path.read_text(encoding="utf-8").split())
            found[path.stem] = [pair for pair in everything if pair[0].stem in names]
    for name in MASK_FOLDERS:
        if not found and (root / "images").is_dir() and (root / name).is_dir():
            found = _divided(_paired(root / "images", root / name))
    return found


def splits(root: pathlib.Path, options: Mapping[str, str] = NONE) -> dict[str, list]:
    """Returns the pairs of each split; see `pairs`. The options are of `read`."""
    return pairs(root, options.get("images", ""), options.get("masks", ""))


def read(
    root: pathlib.Path,
    split: str,
    kind: str,
    *,
    names: str = "",
    ignored: str = "",
    images: str = "",
    masks: str = "",
) -> Found:
    """Finds pictures and masks of one split; none of them is read where class names are given.

    Pictures without a mask are left out, with one line of all of them.

    Class numbers may have gaps, as in COCO: the classes are then numbered anew in their order.
    Without class names they are the numbers in the masks of the training split; CamVid, known by
    its folders `trainannot` and masks of 0 to 11, has its own, and ignores 11.

    Args:
        root: the data set's folder.
        split: `"train"`, `"val"` or `"test"`.
        kind: not used, class maps are all there is.
        names: class names, as for `annotations.class_names`.
        ignored: values of pixels that are ignored, with commas between; 255 always is.
        images: as for `pairs`.
        masks: as for `pairs`.

    Raises:
        InputError: no such split, no classes.
    """
    found = pairs(root, images, masks)
    if split not in found:
        raise annotations.no_split(root, split, found)
    values = [value.strip() for value in ignored.split(",") if value.strip()]
    if not all(value.isdigit() for value in values):
        raise InputError(f"got ignored={ignored}, expected values of pixels: 11, or 0,11")
    left_out = {int(value) for value in values}
    faults = []
    missing = [path for path, mask in found[split] if not mask.is_file()]
    if missing:
        message = f"there is no mask for {len(missing)} of {len(found[split])} pictures: left out"
        faults.append(Fault("no annotation", missing[0], message, broken=False))
    for path, mask in found[split]:
        if not path.is_file():
            faults.append(Fault("missing picture", mask, f"has no picture in {path.parent}"))
    numbers = annotations.class_names(root, names)
    if not numbers:
        trained = found.get("train", found[split])
        present = _values([mask for _, mask in trained if mask.is_file()])
        numbers = {value: str(value) for value in present}
        if (root / "trainannot").is_dir() and max(numbers, default=0) == CAMVID_IGNORED:
            numbers = dict(enumerate(CAMVID))
            left_out |= {CAMVID_IGNORED}
    numbers = {n: numbers[n] for n in sorted(numbers) if n not in {*left_out, IGNORED}}
    if not numbers:
        raise InputError(f"{root}: found no class in the masks, expected class numbers as pixels")
    annotated = [pair for pair in found[split] if all(path.is_file() for path in pair)]
    return Found(
        tuple(numbers.values()),
        tuple(Picture(path, mask, mask=mask) for path, mask in annotated),
        tuple(faults),
        numbers=tuple(numbers),
        ignored=tuple(sorted({*left_out, IGNORED})),
    )


def values_of(path: pathlib.Path) -> np.ndarray:
    """Returns the pixels of a mask, (height, width) integers, those of a palette as its numbers.

    Raises:
        InputError: it cannot be read, or is a picture in colours.
    """
    try:
        with Image.open(path) as image:
            pixels = np.asarray(image)
    except FileNotFoundError as error:
        raise InputError(f"{path}: there is no such mask, expected one for each picture") from error
    except (OSError, SyntaxError, ValueError) as error:
        raise InputError(f"{path}: cannot be read as a picture: {error}") from error
    if pixels.ndim == 3 and (pixels[..., :3] == pixels[..., :1]).all():
        pixels = pixels[..., 0]
    if pixels.ndim != 2 or not (np.issubdtype(pixels.dtype, np.integer) or pixels.dtype == bool):
        raise InputError(
            f"{path}: got a mask in colours, expected one class number for each pixel: a grey or "
            "palette PNG"
        )
    return pixels.astype(np.int64)


def class_map(path: pathlib.Path, found: Found, size: tuple[int, int]) -> np.ndarray:
    """Returns the class numbers of a mask, (height, width) uint8, 255 where ignored.

    Args:
        path: the mask.
        found: what `read` returned.
        size: (height, width) of its picture.

    Raises:
        InputError: another size, or values that are neither a class nor ignored.
    """
    pixels = values_of(path)
    for fault in faults(pixels, path, found, size):
        raise InputError(f"{path}: {fault.message}")
    table = np.full(max(*found.numbers, *found.ignored) + 1, IGNORED, np.uint8)
    table[list(found.numbers)] = np.arange(len(found.numbers))
    return table[pixels]


def faults(pixels: np.ndarray, path: pathlib.Path, found: Found, size) -> Iterator[Fault]:
    """Yields what is wrong with the pixels of a mask.

    Args:
        pixels: (height, width) integers.
        path: the mask.
        found: what `read` returned.
        size: (height, width) of its picture.
    """
    if pixels.shape != tuple(size):
        message = f"got a mask of {pixels.shape[1]} x {pixels.shape[0]} pixels for a picture of "
        message += f"{size[1]} x {size[0]}, expected the same size"
        yield Fault("size", path, message)
    values, counts = np.unique(pixels, return_counts=True)
    for value, count in zip(values.tolist(), counts.tolist(), strict=True):
        if value not in found.numbers and value not in found.ignored:
            message = (
                f"got the unknown value {value} in {count} pixels, expected "
                f"{_ranges(found.numbers)} or ignored {_ranges(found.ignored)}: repair it, or "
                f"ignore it with masks:PATH?ignored={value}"
            )
            yield Fault("mask value", path, message)


def _values(paths: list[pathlib.Path]) -> list[int]:
    found: set[int] = set()
    for path in paths:
        found |= set(np.unique(values_of(path)).tolist())
    return sorted(found)


def _ranges(numbers: tuple[int, ...]) -> str:
    if len(numbers) > 2 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]} to {numbers[-1]}"
    return ", ".join(map(str, numbers[:12])) + (", ..." if len(numbers) > 12 else "")


def _folders(directory: pathlib.Path) -> list[pathlib.Path]:
    if not directory.is_dir():
        return []
    return sorted(path for path in directory.iterdir() if path.is_dir())


def _by_split(images: pathlib.Path, masks: pathlib.Path) -> dict:
    return {
        split: _paired(directory, masks / directory.name)
        for directory in _folders(images)
        if (split := annotations.split_of(directory.name)) and (masks / directory.name).is_dir()
    }


def _paired(images: pathlib.Path, masks: pathlib.Path) -> list[tuple[pathlib.Path, pathlib.Path]]:
    """Pairs the pictures of two folders by name."""
    classes, found = annotations.pictures_in(masks), annotations.pictures_in(images)
    paired = [(path, classes.get(stem, masks / f"{stem}.png")) for stem, path in found.items()]
    alone = [(images / f"{stem}.*", mask) for stem, mask in classes.items() if stem not in found]
    return paired + alone


def _divided(everything: list) -> dict:
    by_path = dict(everything)
    parts = {split: folder.part(list(by_path), split) for split in annotations.SPLITS}
    return {
        split: [(path, by_path[path]) for path in paths] for split, paths in parts.items() if paths
    }
