"""Export: a trained task to SavedModel, ONNX and TensorFlow Lite, certified format by format.

One function per format; `build.export` makes the whole artifact directory.
"""

import importlib

_MEMBERS = {
    "export": "build",
    "ExportError": "parity",
    "export_saved_model": "saved_model",
    "export_onnx": "onnx",
    "export_tflite": "tflite",
    "export_tflite_int8": "tflite",
}


def __getattr__(name: str):
    """Imports a member of the room on first use (PEP 562)."""
    if name in _MEMBERS:
        return getattr(importlib.import_module(f"{__name__}.{_MEMBERS[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
