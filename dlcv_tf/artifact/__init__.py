"""An artifact on disk and what reads it: manifest, pictures, runners, messages. No TensorFlow."""

import importlib

_MODULES = (
    "answers",
    "batching_parameters",
    "decoding",
    "detections",
    "examples",
    "inference_messages",
    "manifest",
    "masks",
    "pictures",
    "protos",
    "runners",
    "tfs_messages",
)


def __getattr__(name: str):
    """Imports a module of the room on first use (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {_MODULES}")
