"""Packages for other servers and for clusters: configuration and models in one directory.

A target is one file, with `files(models, plan)`: what its package holds, by path. Text is written
as it is, a path is copied. No TensorFlow; messages and schemas come from `artifact`.

    models.py       artifacts as one is to serve them, checked: names, versions, what they answer
    plan.py         where the package goes and where the models stay; what the user chose
    package.py      checks, writes and replaces a directory
    yaml_text.py    Kubernetes and Compose documents as text

    tf_serving.py   models.config, batching, monitoring, Compose; warm_up.py writes its requests
    triton.py       ONNX repository with config.pbtxt; triton_config.py makes the messages
    docker.py       images of `dlcv serve` without TensorFlow
    kubernetes.py   Deployment, Service, autoscaler, disruption budget
    kserve.py       InferenceServices of three runtimes
    ray.py          application of Ray Serve
    readme.py       the README each package gets
"""

import importlib

_MODULES = (
    "docker",
    "kserve",
    "kubernetes",
    "models",
    "package",
    "plan",
    "ray",
    "readme",
    "tf_serving",
    "triton",
    "triton_config",
    "warm_up",
    "yaml_text",
)


def __getattr__(name: str):
    """Imports a module of the room on first use (PEP 562)."""
    if name in _MODULES:
        return importlib.import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}; it has {_MODULES}")
