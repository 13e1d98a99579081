"""A user's own pictures: one folder per class, with or without train/val/test folders above."""

import collections
import concurrent.futures
import dataclasses
import hashlib
import pathlib
import re

import numpy as np
import tensorflow as tf

from dlcv_tf.artifact import pictures
from dlcv_tf.errors import InputError

SPLIT_NAMES = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
}
HELD_OUT = 0.1  # part of each class in val, and again in test
# ImageNet's folders are named by the numbers of synsets; these files beside them have the words.
WORD_FILES = ("LOC_synset_mapping.txt", "synset_words.txt", "words.txt")
STREAM_SEED = 2017
SYNSET = re.compile(r"n\d{8}")


@dataclasses.dataclass(frozen=True)
class Listing:
    """The picture files of one split.

    Args:
        labels: class names, in the order of the folders' names.
        files: path and class number of every file.
    """

    labels: tuple[str, ...]
    files: tuple[tuple[pathlib.Path, int], ...]


def listing(root: str | pathlib.Path, split: str) -> Listing:
    """Finds the files of a split.

    `root/SPLIT/CLASS/FILE` where such split folders exist; else `root/CLASS/FILE`, divided 80/10/10
    within each class in the order of a hash of the file names, so that the split depends neither on
    the machine nor on the order of the directory. Folders of ImageNet, named by synsets like
    `n01440764`, get the words of a `LOC_synset_mapping.txt` in the root as class names.

    Args:
        root: the folder.
        split: `"train"`, `"val"` or `"test"`.

    Raises:
        InputError: no such folder, no classes in it, or a class that one split has and train lacks.
    """
    root = pathlib.Path(root).expanduser()
    if not root.is_dir():
        raise InputError(f"got data=folder:{root}, expected an existing folder of class folders")
    split_folders = {
        SPLIT_NAMES[folder.name.lower()]: folder
        for folder in _folders(root)
        if folder.name.lower() in SPLIT_NAMES
    }
    if "train" in split_folders:
        if split not in split_folders:
            raise InputError(
                f"{root} has the split folders {sorted(split_folders)}, none for {split!r}: "
                "add it, or put the class folders right below the root: they are divided 80/10/10"
            )
        labels = tuple(folder.name for folder in _folders(split_folders["train"]))
        members = {folder.name: _files(folder) for folder in _folders(split_folders[split])}
        strangers = sorted(set(members) - set(labels))
        if strangers:
            raise InputError(
                f"{split_folders[split]} has classes {strangers} that {split_folders['train']} "
                "lacks: every class needs training pictures"
            )
    else:
        labels = tuple(folder.name for folder in _folders(root))
        members = {folder.name: part(_files(folder), split) for folder in _folders(root)}
    if len(labels) < 2:
        raise InputError(
            f"found {len(labels)} class folder(s) in {root}, expected two or more: "
            "root/CLASS/picture.jpg, or root/train/CLASS/picture.jpg"
        )
    files = tuple(
        (path, number) for number, label in enumerate(labels) for path in members.get(label, ())
    )
    return Listing(_in_words(root, labels), files)


def _folders(root: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in root.iterdir() if path.is_dir() and path.name[0] != ".")


def _files(folder: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file() and path.name[0] != ".")


def _in_words(root: pathlib.Path, labels: tuple[str, ...]) -> tuple[str, ...]:
    """Replaces synsets by their first word; where that is another's too, the synset is added."""
    found = [root / name for name in WORD_FILES if (root / name).is_file()]
    if not found or not all(SYNSET.fullmatch(label) for label in labels):
        return labels
    lines = found[0].read_text(encoding="utf-8").splitlines()
    synonyms = dict(line.split(maxsplit=1) for line in lines if len(line.split()) > 1)
    words = [synonyms.get(label, label).split(",")[0] for label in labels]
    count = collections.Counter(words)
    pairs = zip(labels, words, strict=True)
    return tuple(word if count[word] == 1 else f"{word} ({label})" for label, word in pairs)


def part(files: list[pathlib.Path], split: str) -> list[pathlib.Path]:
    """Returns the part of files that a split gets by a hash of their names, 80/10/10."""
    ranked = sorted(files, key=lambda path: hashlib.sha256(path.name.encode()).digest())
    held_out = max(1, round(len(ranked) * HELD_OUT)) if len(ranked) >= 3 else 0
    parts = {
        "test": ranked[:held_out],
        "val": ranked[held_out : 2 * held_out],
        "train": ranked[2 * held_out :],
    }
    return sorted(parts[split])


def read(path: pathlib.Path, size: tuple[int, int], channels: int = 3) -> np.ndarray:
    """Returns one picture file as (*size, channels) uint8, by the rules of `artifact.pictures`.

    Raises:
        PictureError: not a picture, broken, or over the pixel limit.
    """
    picture = pictures.decode(path.read_bytes(), channels=channels)
    resized = pictures.resize(picture[None], size)[0]
    return np.clip(np.round(resized), 0, 255).astype(np.uint8)


def read_all(
    files: tuple[tuple[pathlib.Path, int], ...], size: tuple[int, int], channels: int = 3
) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    """Reads the pictures of a listing, leaving out those that cannot be read.

    Args:
        files: path and class number of each file.
        size: (height, width) every picture is resized to.
        channels: 1 (grey) or 3 (RGB).

    Returns:
        (n, *size, channels) uint8 pictures, (n,) int64 labels, and a line for each file left out.

    Raises:
        InputError: none could be read.
    """

    def attempt(entry):
        try:
            return read(entry[0], size, channels)
        except (pictures.PictureError, OSError) as error:
            return f"{entry[0]}: {error}"

    images = np.empty((len(files), *size, channels), np.uint8)
    labels, skipped = [], []
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for (_, label), result in zip(files, pool.map(attempt, files), strict=True):
            if isinstance(result, str):
                skipped.append(result)
            else:
                images[len(labels)] = result
                labels.append(label)
    if not labels:
        reasons = collections.Counter(line.split(": ", 1)[1] for line in skipped).most_common(1)
        raise InputError(
            f"got {len(files)} files and no readable picture among them"
            + (f" (most often: {reasons[0][0]})" if reasons else ": is the folder empty?")
        )
    return images[: len(labels)], np.array(labels, np.int64), tuple(skipped)


def stream(
    files: tuple[tuple[pathlib.Path, int], ...], size: tuple[int, int], channels: int = 3
) -> tf.data.Dataset:
    """Returns the pictures of a listing as a data set that reads each file when it is asked for.

    For sets like ImageNet that no memory holds. The order is drawn once, the same every time: a
    shuffle buffer that holds part of the set would otherwise see a few classes at a time. A file
    that cannot be read ends the reading with an error that names it.

    Args:
        files: path and class number of each file.
        size: (height, width) every picture is resized to.
        channels: 1 (grey) or 3 (RGB).

    Returns:
        Dataset of `(picture uint8 (*size, channels), label int64)`.
    """
    order = np.random.default_rng(STREAM_SEED).permutation(len(files))
    paths = tf.constant([str(files[number][0]) for number in order])
    labels = tf.constant([files[number][1] for number in order], tf.int64)

    def decoded(path):
        name = pathlib.Path(path.decode())
        try:
            return read(name, size, channels)
        except (pictures.PictureError, OSError) as error:
            raise InputError(f"got {name}: {error}: repair or remove it") from error

    def example(path, label):
        picture = tf.numpy_function(decoded, [path], tf.uint8, stateful=False)
        return tf.ensure_shape(picture, (*size, channels)), label

    dataset = tf.data.Dataset.from_tensor_slices((paths, labels))
    return dataset.map(example, num_parallel_calls=tf.data.AUTOTUNE)
