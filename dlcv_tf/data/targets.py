"""Targets with places: boxes, masks, joints and class maps beside a picture, of one shape."""

import numpy as np
import tensorflow as tf

from dlcv_tf.data import scenes, shapes
from dlcv_tf.data.info import Info
from dlcv_tf.errors import InputError

IGNORED = 255  # in a class map
KINDS = {
    "labels": "one class for each picture",
    "object": "one thing in each picture: class and box",
    "boxes": "boxes and classes of any number of things",
    "masks": "boxes, classes and a mask of each thing",
    "keypoints": "boxes, classes and the joints of each thing",
    "joints": "the joints of one person in each picture",
    "class_map": "a class for each pixel",
}


def padded(values: np.ndarray, most: int) -> np.ndarray:
    """Returns an array (n, ...) with zeros added behind, or cut, to (most, ...)."""
    values = np.asarray(values)[:most]
    return np.concatenate([values, np.zeros((most - len(values), *values.shape[1:]), values.dtype)])


def of_objects(boxes, classes, ignored, most: int, **others) -> dict[str, np.ndarray]:
    """Returns the padded targets of one picture.

    Args:
        boxes: (n, 4) x1, y1, x2, y2 in pixels of the picture.
        classes: (n,) class numbers.
        ignored: (n,) whether a thing is to be neither found nor missed.
        most: number of rows; with more objects than that the largest are kept.
        others: further arrays (n, ...): `masks`, `joints`.
    """
    boxes = np.asarray(boxes, np.float32).reshape(-1, 4)
    order = np.arange(len(boxes))
    if len(boxes) > most:
        areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
        order = np.sort(np.argsort(-areas, kind="stable")[:most])
    arrays = {
        "boxes": boxes,
        "classes": np.asarray(classes, np.int32),
        "valid": np.ones(len(boxes), bool),
        "ignored": np.asarray(ignored, bool),
    }
    return {key: padded(value[order], most) for key, value in (arrays | others).items()}


def resized(targets, from_size: tuple[int, int], to_size: tuple[int, int]):
    """Returns the targets of one picture after it was stretched to another size.

    Boxes and joints are scaled, masks and class maps take the nearest pixel.

    Args:
        targets: of one picture, of any kind in `KINDS`.
        from_size: (height, width) of the picture before.
        to_size: (height, width) of the picture after.
    """
    if not isinstance(targets, dict) and targets.shape.rank != 2:
        return targets  # a label
    scale = np.array(to_size[::-1], np.float32) / np.array(from_size[::-1], np.float32)
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int32)
        for old, new in zip(from_size, to_size, strict=True)
    )

    def nearest(maps):
        return tf.gather(tf.gather(maps, rows, axis=-2), columns, axis=-1)

    if not isinstance(targets, dict):
        return nearest(targets)
    changes = {
        "box": lambda box: box * np.tile(scale, 2),
        "boxes": lambda boxes: boxes * np.tile(scale, 2),
        "joints": lambda joints: joints * np.append(scale, np.float32(1)),
        "masks": nearest,
    }
    return {key: changes.get(key, tf.identity)(value) for key, value in targets.items()}


def nearest_pixels(maps: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns maps (height, width) stretched to another size: each pixel takes the nearest one."""
    rows, columns = (
        ((np.arange(new) + 0.5) * old / new).astype(np.int32)
        for old, new in zip(maps.shape, size, strict=True)
    )
    return maps[rows][:, columns]


def embedded(split: str, kind: str, most: int | None = None) -> tuple[tf.data.Dataset, Info]:
    """Returns the drawn pictures of `shapes` with places as targets, and their `Info`.

    Args:
        split: `"train"`, `"val"` or `"test"`.
        kind: a key of `KINDS` but `"labels"`.
        most: number of rows of boxes; the largest number of shapes by default.

    Raises:
        InputError: fewer than one row.
    """
    if most is not None and most < 1:
        raise InputError(f"got max_objects={most}, expected 1 or more")
    labels, joint_names = shapes.LABELS, ()
    if kind == "object":
        images, classes, boxes = shapes.arrays_with_boxes(split)
        places = {"class": classes.astype(np.int32), "box": boxes}
    elif kind in ("joints", "keypoints"):
        images, joints, boxes = scenes.figures(split)
        labels, joint_names = ("person",), scenes.JOINT_NAMES
        places = {"joints": joints}
        if kind == "keypoints":
            rows = zip(boxes, joints, strict=True)
            places = _stacked(
                of_objects(box[None], [0], [False], most or 1, joints=person[None])
                for box, person in rows
            )
    else:
        drawn = scenes.scenes(split)
        images = np.stack([scene.image for scene in drawn])
        if kind == "class_map":
            labels = ("background", *labels)
            places = np.stack([_class_map(scene) for scene in drawn])
        else:
            places = _stacked(_scene(scene, kind, most or scenes.MOST_SHAPES) for scene in drawn)
    dataset = tf.data.Dataset.from_tensor_slices((images, places))
    shape = images.shape[1:]
    return dataset, Info("shapes", split, labels, len(images), shape, (), kind, joint_names)


def _stacked(examples) -> dict[str, np.ndarray]:
    examples = list(examples)
    return {key: np.stack([example[key] for example in examples]) for key in examples[0]}


def _scene(scene: scenes.Scene, kind: str, most: int) -> dict[str, np.ndarray]:
    masks = {"masks": scene.masks.astype(np.uint8)} if kind == "masks" else {}
    ignored = np.zeros(len(scene.classes), bool)
    return of_objects(scenes.boxes_of(scene.masks), scene.classes, ignored, most, **masks)


def _class_map(scene: scenes.Scene) -> np.ndarray:
    numbered = scene.masks * (scene.classes + 1)[:, None, None]  # no two masks overlap
    return numbered.sum(axis=0).astype(np.uint8)
