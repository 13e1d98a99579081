"""Pure functions on tensors: no state, no layers, no drawing."""

import importlib

_MODULES = ("bias", "by_hand", "finite_differences", "gates", "gradcheck", "images", "patches")


def __getattr__(name: str):
    """Imports a module of the room on first use (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {_MODULES}")
