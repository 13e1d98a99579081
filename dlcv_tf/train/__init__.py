"""Training any task: one loop, exact checkpoints. Takes any Keras model as an argument."""

import importlib

_MEMBERS = {
    "train": "loop",
    "evaluate": "loop",
    "is_chief": "loop",
    "join": "distribute",
    "scope": "distribute",
    "NonFiniteError": "loop",
    "Variant": "steps",
    "choose": "tuning",
    "Checkpoints": "checkpoints",
    "read_progress": "checkpoints",
}


def __getattr__(name: str):
    """Imports a member of the room on first use (PEP 562)."""
    if name in _MEMBERS:
        return getattr(importlib.import_module(f"{__name__}.{_MEMBERS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
