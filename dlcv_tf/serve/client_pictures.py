"""Pictures to what a client sends, and arrays that come back to what they say of each picture."""

import dataclasses
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from dlcv_tf.artifact import answers, pictures
from dlcv_tf.errors import InputError
from dlcv_tf.serve import kserve_tensors


@dataclasses.dataclass(frozen=True)
class PictureAnswer:
    """What a model says of one picture.

    Args:
        things: an entry for each thing, best first, as `artifact.answers.things` lists them: labels
            with scores, boxes, masks and joints, or the shares of a class map; empty where the
            answer is a picture or something else.
        arrays: output name to array, without the batch axis; answered files are decoded.
    """

    things: list[dict]
    arrays: dict[str, np.ndarray]


def inputs(given) -> dict[str, np.ndarray]:
    """Returns the inputs that a call sends: `images` of pixels, else `image_bytes`.

    Args:
        given: one picture or a list of them: pixels (height, width[, channels]) uint8, the bytes of
            a file, or its path; or an array (batch, height, width, channels); or a dict of input
            name to array, which is taken as it is. Pixels of several sizes travel as PNG files,
            which lose nothing.

    Raises:
        InputError: for what is no picture.
    """
    if isinstance(given, Mapping):
        return {name: _sendable(name, array) for name, array in given.items()}
    if isinstance(given, np.ndarray) and given.ndim == 4:
        return {"images": _sendable("images", given)}
    listed = _list(given)
    arrays = [_with_channels(each) for each in listed if isinstance(each, np.ndarray)]
    if len(arrays) == len(listed) and len({(each.shape, each.dtype) for each in arrays}) == 1:
        return {"images": _sendable("images", np.stack(arrays))}
    return {"image_bytes": as_files(listed)}


def as_files(given) -> np.ndarray:
    """Returns pictures, given as for `inputs` but no dict, as an array of the bytes of their files.

    Raises:
        InputError: for what is no picture.
    """
    listed = _list(given)
    files = np.empty(len(listed), dtype=object)
    files[:] = [_file(picture) for picture in listed]
    return files


def needs_names(found: Mapping) -> bool:
    """Whether outputs number classes or joints whose names do not come with them."""
    return "class_map_bytes" in found or "joints" in found and "labels" not in found


def answer(
    found: dict[str, np.ndarray], data: bytes, names: list[str], score: float
) -> PictureAnswer:
    """Returns what a model says of one picture.

    Args:
        found: its outputs for the picture's file, without the batch axis.
        data: the file.
        names: of the classes or joints where `needs_names`; their numbers where it is too short.
        score: least one of a detection.
    """
    arrays = {
        name.removesuffix("_bytes"): pictures.decode(value) if name.endswith("_bytes") else value
        for name, value in found.items()
    }
    if "class_map" in arrays:
        arrays["class_map"] = arrays["class_map"][..., 0]
        known = names + [str(number) for number in range(len(names), 256)]
    elif "classes" in arrays and "labels" in arrays:
        # What only fills detections up has the empty name, whatever its number.
        pairs = zip(arrays["classes"].tolist(), arrays["labels"].tolist(), strict=True)
        known = {number: name for number, name in pairs if name}
    elif "joints" in arrays:
        count = len(arrays["joints"])
        known = (names + [str(number) for number in range(len(names), count)])[:count]
    else:
        return PictureAnswer([], arrays)
    size = pictures.decode(data).shape[:2] if "masks" in arrays else (0, 0)
    return PictureAnswer(answers.things(arrays, known, size, score), arrays)


def _list(given) -> list:
    if isinstance(given, np.ndarray) and given.ndim == 4:
        return [*given]
    listed = [*given] if isinstance(given, list | tuple) else [given]
    if not listed:
        raise InputError("got no pictures, expected at least one")
    return listed


def _with_channels(picture: np.ndarray) -> np.ndarray:
    if picture.ndim not in (2, 3):
        raise InputError(
            f"got a picture of shape {picture.shape}, expected (height, width[, channels])"
        )
    return picture[..., None] if picture.ndim == 2 else picture


def _file(picture) -> bytes:
    if isinstance(picture, bytes | bytearray | memoryview):
        return bytes(picture)
    if isinstance(picture, str | os.PathLike):
        try:
            return pathlib.Path(picture).read_bytes()
        except OSError as error:
            raise InputError(f"cannot read picture {picture}: {error.strerror}") from None
    if not isinstance(picture, np.ndarray):
        raise InputError(
            f"got a picture of type {type(picture).__name__}, expected an array, bytes or a path"
        )
    pixels = _with_channels(picture)
    if pixels.dtype != np.uint8 or pixels.shape[-1] not in (1, 3) or not pixels.size:
        raise InputError(
            f"got pixels {pixels.dtype} of shape {picture.shape}, expected uint8 of 1 or 3 channels"
        )
    return answers.png(np.ascontiguousarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels))


def _sendable(name: str, values) -> np.ndarray:
    """Returns an input as an array that protocols have; strings and bytes as objects."""
    try:
        array = np.asarray(values)
        if array.dtype.kind in "SU":  # which would lose the zeros at the end of a file
            array = np.array(values, dtype=object)
    except ValueError as error:
        raise InputError(f"got input {name} that makes no array: {error}") from None
    is_text = array.dtype.kind == "O" and all(isinstance(v, bytes | str) for v in array.flat)
    if not is_text and array.dtype.name not in kserve_tensors.DATATYPES:
        raise InputError(
            f"got input {name} of type {array.dtype}, expected numbers, or strings or bytes alone"
        )
    return array
