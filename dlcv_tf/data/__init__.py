"""Data sets as `tf.data`: readers, embedded sets, preprocessing, augmentation, batches."""

import importlib

# Data sets by name, with what they are. Any other image-classification set of TensorFlow Datasets
# works by its own name too.
DATASETS = {
    "digits": "1,797 real 8x8 grey handwritten digits, embedded, nothing to download",
    "shapes": "drawn 64x64 RGB pictures of six shapes, embedded, nothing to download",
    "mnist": "70,000 28x28 grey handwritten digits (TensorFlow Datasets)",
    "fashion_mnist": "28x28 grey pictures of clothes, ten classes (TensorFlow Datasets)",
    "cifar10": "60,000 32x32 RGB pictures, ten classes (TensorFlow Datasets)",
    "folder:PATH": "your own pictures, one folder per class, with or without train/val/test",
    "voc:PATH": "your own pictures with boxes in XML files, as PASCAL VOC",
    "coco:PATH": "your own pictures with boxes, masks or keypoints in JSON files, as COCO",
    "yolo:PATH": "your own pictures with boxes or polygons in text files, as YOLO",
    "masks:PATH": "your own pictures with a class for each pixel, as CamVid",
    "joints:PATH": "your own pictures of one person each with joints.npz, as Leeds Sports Pose",
}

_MEMBERS = {
    "load": "sets",
    "describe": "sets",
    "Info": "info",
    "Preprocess": "preprocess",
    "TrainingBatches": "pipeline",
    "evaluation_batches": "pipeline",
    "split": "partition",
    "course_split": "partition",
    "folds": "partition",
    "mean_image": "statistics",
    "drift": "statistics",
}
_MODULES = (
    "annotated",
    "annotations",
    "augment",
    "coco",
    "digits",
    "folder",
    "info",
    "joints",
    "masks",
    "moves",
    "partition",
    "pipeline",
    "preprocess",
    "proposals",
    "scenes",
    "sets",
    "shapes",
    "statistics",
    "targets",
    "toys",
    "voc",
    "yolo",
)


def __getattr__(name: str):
    """Imports a member of the room on first use (PEP 562)."""
    if name in _MEMBERS:
        return getattr(importlib.import_module(f"{__name__}.{_MEMBERS[name]}"), name)
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__():
    return sorted([*globals(), *_MEMBERS, *_MODULES])
