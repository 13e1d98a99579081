"""The only room that draws: arrays in, figures and report pages out. No TensorFlow, no pyplot."""

import importlib

_MODULES = (
    "charts",
    "circuits",
    "confusion",
    "curves",
    "detections",
    "pictures",
    "planes",
    "report",
    "style",
    "svg",
)


def __getattr__(name: str):
    """Imports a module of the room on first use (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {_MODULES}")
