"""`load`: any data set by name, as a `tf.data.Dataset` and its facts."""

import os
import pathlib

import numpy as np
import tensorflow as tf

from dlcv_tf.data import DATASETS, digits, folder, shapes
from dlcv_tf.data.info import Info
from dlcv_tf.errors import InputError, unknown
from dlcv_tf.ops import images as image_ops

EMBEDDED = {"digits": digits, "shapes": shapes}
SPLITS = ("train", "val", "test")
CACHE_BYTES = 2**31  # decoded pictures are kept in memory up to two gigabytes
FOLDER_SIZE = (64, 64)


def load(
    name: str,
    split: str = "train",
    *,
    image_size: tuple[int, int] | None = None,
    channels: int | None = None,
    data_dir: str | None = None,
    download: bool = False,
) -> tuple[tf.data.Dataset, Info]:
    """Loads one split of a data set for picture classification.

    Args:
        name: `"digits"`, `"shapes"`, `"folder:PATH"`, or the name of an image-classification set
            of TensorFlow Datasets (`"cifar10"`, `"mnist"`, ...).
        split: `"train"`, `"val"` or `"test"`; for TensorFlow Datasets its split language
            (`"train[:49000]"`).
        image_size: (height, width) to resize to, antialiased; the pictures' own size by default,
            64x64 for folders.
        channels: 1 (grey) or 3 (RGB) for folders, 3 by default; other sets have their own.
        data_dir: where TensorFlow Datasets are; by default the environment variable `DLCV_DATA`,
            else TensorFlow Datasets' own default.
        download: fetch a set of TensorFlow Datasets that is not on disk. Nothing is downloaded
            unless this is set.

    Returns:
        The dataset of `(image uint8 (height, width, channels), label int64)`, unbatched, in a fixed
        order; and the `Info` with class names and counts.

    Raises:
        InputError: unknown name or split, data not on disk, unreadable or unlabelled data.

    Example:
        >>> dataset, info = load("digits", "test")
        >>> info.num_classes, info.image_shape
        (10, (8, 8, 1))
    """
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
    data_dir: str | None = None,
) -> Info:
    """Returns what `load` would say of a split, without reading the pictures of a folder.

    Args:
        name: as for `load`, and so the others.
        split: as for `load`.
        image_size: as for `load`.
        channels: as for `load`.
        data_dir: as for `load`.

    Raises:
        InputError: as `load`.
    """
    if not name.startswith("folder:"):
        options = {"image_size": image_size, "channels": channels, "data_dir": data_dir}
        return load(name, split, **options)[1]
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

        def resized(image, label):
            pixels = image_ops.resize(image[None], size)[0]
            return tf.cast(tf.clip_by_value(tf.round(pixels), 0, 255), tf.uint8), label

        dataset = dataset.map(resized, num_parallel_calls=tf.data.AUTOTUNE)
    return dataset, tuple(dataset.element_spec[0].shape)


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
