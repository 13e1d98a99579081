"""`load`: any data set by name, as a `tf.data.Dataset` and its facts."""

import dataclasses
import os
import pathlib

import numpy as np
import tensorflow as tf

from dlcv_tf.data import DATASETS, annotated, digits, folder, shapes
from dlcv_tf.data import targets as places
from dlcv_tf.data.info import Info
from dlcv_tf.errors import InputError, unknown
from dlcv_tf.ops import images as image_ops

EMBEDDED = {"digits": digits, "shapes": shapes}
SPLITS = ("train", "val", "test")
CACHE_BYTES = annotated.CACHE_BYTES  # decoded pictures are kept in memory up to this
FOLDER_SIZE = (64, 64)


def load(
    name: str,
    split: str = "train",
    *,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    targets: str = "labels",
    max_objects: int | None = None,
    data_dir: str | None = None,
    download: bool = False,
) -> tuple[tf.data.Dataset, Info]:
    """Loads one split of a data set.

    Args:
        name: `"digits"`, `"shapes"`, `"folder:PATH"`, your own annotated pictures (`"voc:PATH"`,
            `"coco:PATH"`, `"yolo:PATH"`, `"masks:PATH"`, `"joints:PATH"`), or the name of an
            image-classification set of TensorFlow Datasets (`"cifar10"`, `"mnist"`, ...).
        split: `"train"`, `"val"` or `"test"`; for TensorFlow Datasets its split language
            (`"train[:49000]"`), and for annotated pictures the same, see `annotated.find`.
        image_size: (height, width) to stretch to, antialiased; the pictures' own size by default,
            64x64 for folders.
        channels: 1 (grey) or 3 (RGB) for your own pictures, 3 by default; other sets have theirs.
        targets: what stands beside each picture, a key of `targets.KINDS`; see Returns.
        max_objects: number of rows that boxes are padded to; by default the largest number of
            objects in a picture of this split. With more than that the largest are kept, which
            `Info.skipped` tells.
        data_dir: where TensorFlow Datasets are; by default the environment variable `DLCV_DATA`,
            else TensorFlow Datasets' own default.
        download: fetch a set of TensorFlow Datasets that is not on disk. Nothing is downloaded
            unless this is set.

    Returns:
        The dataset of `(image uint8 (height, width, channels), targets)`, unbatched, in a fixed
        order; and the `Info` with class names and counts. Places are in pixels of this picture,
        x to the right and y down, and pixel i covers [i, i + 1]. The targets are

        - `"labels"`: the class, int64.
        - `"object"`: a dict of `class` () int32 and `box` (4,) float32 x1, y1, x2, y2.
        - `"boxes"`: a dict of `boxes` (m, 4) float32, `classes` (m,) int32, `valid` (m,) bool,
          False in padding, and `ignored` (m,) bool, True for valid objects that are to be neither
          found nor missed (crowds, difficult ones).
        - `"masks"`: the same and `masks` (m, height, width) uint8, 0 or 1.
        - `"keypoints"`: the same as for `"boxes"` and `joints` (m, joints, 3) float32.
        - `"joints"`: a dict of `joints` (joints, 3) float32 x, y, and 1 where the place is known.
        - `"class_map"`: (height, width) uint8 class numbers, 255 where nothing is to be told.

    Raises:
        InputError: unknown name or split, data not on disk, unreadable or unlabelled data, targets
            that the set does not have.

    Example:
        >>> dataset, info = load("digits", "test")
        >>> info.num_classes, info.image_shape
        (10, (8, 8, 1))
    """
    if targets not in places.KINDS:
        raise unknown("targets", targets, places.KINDS)
    if targets != "labels" or annotated.is_name(name):
        return _with_places(name, split, image_size, channels, targets, max_objects)
    if name.startswith("folder:"):
        _check_split(name, split)
        return _folder(name, split, image_size or FOLDER_SIZE, channels or 3)
    if name in EMBEDDED:
        _check_split(name, split)
        images, labels = EMBEDDED[name].arrays(split)
        dataset = from_arrays(images, labels)
        class_names = EMBEDDED[name].LABELS
    else:
        dataset, class_names = _tensorflow_datasets(name, split, data_dir, download)
    dataset, image_shape = _fixed_size(dataset, name, image_size)
    if channels not in (None, image_shape[-1]):
        raise InputError(f"{name} has {image_shape[-1]} channel(s), got channels={channels}")
    num_examples = int(dataset.cardinality())
    if num_examples * np.prod(image_shape) <= CACHE_BYTES:
        dataset = dataset.cache()
    return dataset, Info(name, split, class_names, num_examples, image_shape)


def describe(
    name: str,
    split: str = "train",
    *,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    targets: str = "labels",
    max_objects: int | None = None,
    data_dir: str | None = None,
) -> Info:
    """Returns what `load` would say of a split, without reading the pictures of a folder.

    Args:
        name: as for `load`, and so the others.
        split: as for `load`.
        image_size: as for `load`.
        channels: as for `load`.
        targets: as for `load`.
        max_objects: as for `load`.
        data_dir: as for `load`.

    Raises:
        InputError: as `load`.
    """
    if annotated.is_name(name):
        options = (image_size, channels or 3, targets, max_objects)
        return annotated.describe(name, split, *options)
    if not name.startswith("folder:") or targets != "labels":
        options = {"image_size": image_size, "channels": channels, "data_dir": data_dir}
        return load(name, split, targets=targets, max_objects=max_objects, **options)[1]
    _check_split(name, split)
    found = _listing(name, split)
    shape = (*(image_size or FOLDER_SIZE), channels or 3)
    return Info(name, split, found.labels, len(found.files), shape)


def from_arrays(images: np.ndarray, labels: np.ndarray) -> tf.data.Dataset:
    """Returns pictures in memory as a dataset.

    Args:
        images: (n, height, width, channels) uint8.
        labels: (n,) class numbers.
    """
    return tf.data.Dataset.from_tensor_slices((images, labels))


def _check_split(name: str, split: str):
    if split not in SPLITS:
        raise InputError(f"got split={split!r} for {name}, expected one of {', '.join(SPLITS)}")


def _fixed_size(dataset, name: str, size) -> tuple[tf.data.Dataset, tuple[int, int, int]]:
    """Gives every picture the same static shape."""
    shape = dataset.element_spec[0].shape
    if size is None and None in shape:
        raise InputError(
            f"the pictures of {name} differ in size: give image_size=(height, width) to resize them"
        )
    if size is not None and tuple(shape[:2]) != tuple(size):

        def resized(image, targets):
            pixels = image_ops.resize(image[None], size)[0]
            image = tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8)
            return image, places.resized(targets, tuple(shape[:2]), tuple(size))

        dataset = dataset.map(resized, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset, tuple(dataset.element_spec[0].shape)


def _with_places(name, split, image_size, channels, targets, max_objects):
    """Loads a set whose targets have places."""
    if annotated.is_name(name):
        return annotated.load(name, split, image_size, channels or 3, targets, max_objects)
    _check_split(name, split)
    if name != "shapes":
        formats = ", ".join(f"{style}:PATH" for style in annotated.READERS)
        raise InputError(
            f"got targets={targets!r} for {name}, which has one class for each picture: expected "
            f"targets='labels', or a set with places: shapes, {formats}"
        )
    if channels not in (None, 3):
        raise InputError(f"{name} has 3 channel(s), got channels={channels}")
    dataset, info = places.embedded(split, targets, max_objects)
    dataset, image_shape = _fixed_size(dataset, name, image_size)
    return dataset.cache(), dataclasses.replace(info, image_shape=image_shape)


def _listing(name: str, split: str) -> folder.Listing:
    path = name.removeprefix("folder:")
    if not path:
        raise InputError(f"got {name!r}, expected folder:PATH: name the folder after the colon")
    found = folder.listing(path, split)
    if not found.files:
        raise InputError(
            f"found no pictures for the {split} split of {name}, expected at least one: a class is "
            "divided from three pictures on; or make train, val and test folders yourself"
        )
    return found


def _folder(name: str, split: str, size, channels: int) -> tuple[tf.data.Dataset, Info]:
    found = _listing(name, split)
    if len(found.files) * np.prod(size) * channels > CACHE_BYTES:
        info = Info(name, split, found.labels, len(found.files), (*size, channels))
        return folder.stream(found.files, size, channels), info
    images, labels, skipped = folder.read_all(found.files, size, channels)
    info = Info(name, split, found.labels, len(labels), (*size, channels), skipped)
    return from_arrays(images, labels), info


def _tensorflow_datasets(name: str, split: str, data_dir, download: bool):
    """Returns a prepared set of TensorFlow Datasets and its class names."""
    import tensorflow_datasets as tfds

    directory = data_dir or os.environ.get("DLCV_DATA") or None
    try:
        builder = tfds.builder(name, data_dir=directory)
    except tfds.core.DatasetNotFoundError:
        raise unknown("data set", name, DATASETS, also=tfds.list_builders()) from None
    looked_in = pathlib.Path(str(builder.data_path))
    if not looked_in.exists():
        if not download:
            raise InputError(
                f"data set {name!r} is not on disk (looked in {looked_in}): set DLCV_DATA to the "
                "TensorFlow Datasets directory that has it, or add --download to fetch it"
            )
        _download(builder, name, looked_in)
    if not builder.info.splits:
        raise InputError(
            f"data set {name!r} in {looked_in} is incomplete: remove that directory, then add "
            "--download to fetch it again"
        )
    features = builder.info.features
    is_classes = "label" in features and hasattr(features["label"], "names")
    if "image" not in features or not is_classes:
        raise InputError(
            f"data set {name!r} has the features {sorted(features)}, expected 'image' and a class "
            "'label': it is not an image-classification set"
        )
    try:
        dataset = builder.as_dataset(split=split, shuffle_files=False)
    except (KeyError, ValueError) as error:
        raise InputError(
            f"got split={split!r} for {name}, expected one of {sorted(builder.info.splits)} or a "
            f"slice like 'train[:90%]' ({error})"
        ) from error
    dataset = dataset.map(
        lambda example: (example["image"], tf.cast(example["label"], tf.int64)),
        num_parallel_calls=tf.data.AUTOTUNE,
    )
    return dataset, tuple(features["label"].names)


def _download(builder, name: str, directory: pathlib.Path) -> None:
    """Fetches and prepares a set; whatever goes wrong there is said in one line."""
    try:
        builder.download_and_prepare()
    except Exception as error:  # the hosts of the sets fail in as many ways as there are
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"could not fetch the data set {name!r} ({type(error).__name__}: {reason}): is there a "
            f"network? A prepared copy may also be put into {directory}"
        ) from error
