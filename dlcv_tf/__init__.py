"""Deep learning for computer vision: train it, understand it, attack it, export it, serve it."""

import importlib
import os

# ONNX Runtime, as its makers build it, sends them what it runs, and writes an id of the machine
# into the home directory, unless this is set before it starts: whoever wants that sets it to 0.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__version__ = "0.1.0"

_ROOMS = (
    "artifact",
    "cli",
    "data",
    "export",
    "labs",
    "layers",
    "losses",
    "models",
    "ops",
    "optimizers",
    "plots",
    "recipes",
    "serve",
    "tasks",
    "train",
)


def __getattr__(name: str):
    """Imports a room on first use, so that `import dlcv_tf` costs nothing (PEP 562)."""
    if name in _ROOMS:
        return importlib.import_module(f"dlcv_tf.{name}")
    raise AttributeError(f"module 'dlcv_tf' has no attribute {name!r}; its rooms are {_ROOMS}")


def __dir__():
    return sorted([*globals(), *_ROOMS])
