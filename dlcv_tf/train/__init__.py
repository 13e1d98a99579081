"""Training any task: one loop, exact checkpoints. Takes any Keras model as an argument."""

import importlib

_MEMBERS = {
    "train": "loop",
    "evaluate": "loop",
    "is_chief": "loop",
    "join": "distribute",
    "scope": "distribute",
    "NonFiniteError": "loop",
    "ExplosionStop": "monitors",
    "FlatCurve": "monitors",
    "UpdateRatio": "monitors",
    "babysit": "sanity",
    "untrained": "sanity",
    "ensemble": "ensembles",
    "SnapshotEnsemble": "ensembles",
    "PolyakAverage": "averaging",
    "measure_batch_norm": "averaging",
    "CrossValidation": "validation",
    "cross_validate": "validation",
    "validate_neighbours": "validation",
    "ActivityLog": "diagnostics",
    "activation_stats": "initialization",
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
