"""Writes the packages of the images of `dlcv serve`, which `dlcv package docker` puts beside them.

    python tools/lock_server.py           server.lock, cut out of requirements.lock
    python tools/lock_server.py --gpu     gpu.lock too, which needs uv (or UV=/path/to/uv)

Run it after `make lock`, in the environment that the lock describes.
"""

import importlib.metadata
import os
import pathlib
import re
import subprocess
import sys
import tempfile

from packaging.requirements import Requirement

ROOT = pathlib.Path(__file__).parents[1]
FOLDER = ROOT / "dlcv_tf" / "packaging"

# What `dlcv serve` imports, as pyproject.toml has it under "inference and serving".
SERVER = (
    "ai-edge-litert",
    "grpcio",
    "httptools",
    "numpy",
    "onnxruntime",
    "orjson",
    "pillow",
    "prometheus-client",
    "protobuf",
    "pysimdjson",
    "uvicorn",
    "uvloop",
)
# The image's Python, whichever this runs in.
IMAGE = {
    "extra": "",
    "python_version": "3.11",
    "python_full_version": "3.11.0",
    "sys_platform": "linux",
    "platform_system": "Linux",
}
GPU = "onnxruntime-gpu[cuda,cudnn]"


def sections(lock: str) -> dict[str, str]:
    """Returns the text of each package in a lock, hashes included, without comments."""
    text = "".join(line for line in lock.splitlines(True) if not line.lstrip().startswith("#"))
    parts = re.split(r"^(?=[a-z0-9])", text, flags=re.MULTILINE)
    found: dict[str, str] = {}
    for part in filter(None, parts):
        name = re.split(r"[=\[ ;]", part)[0]
        # A package may have one version for each version of Python.
        found[name] = found.get(name, "") + part
    return found


def needed(names) -> set[str]:
    """Returns the packages and all they need, as installed here."""
    found: set[str] = set()
    waiting = list(names)
    while waiting:
        name = re.sub(r"[-_.]+", "-", waiting.pop()).lower()
        if name in found:
            continue
        found.add(name)
        for text in importlib.metadata.requires(name) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate(IMAGE):
                waiting.append(requirement.name)
    return found


def server_lock() -> str:
    """Returns the part of requirements.lock that the server needs."""
    parts = sections((ROOT / "requirements.lock").read_text(encoding="utf-8"))
    return "".join(parts[name] for name in sorted(needed(SERVER)))


def gpu_lock() -> str:
    """Returns ONNX Runtime for CUDA and CUDA's libraries, beside the versions of server.lock."""
    known = sections(server_lock())
    del known["onnxruntime"]
    with tempfile.TemporaryDirectory() as scratch:
        wanted = pathlib.Path(scratch, "gpu.in")
        wanted.write_text(f"{GPU}\n")
        beside = pathlib.Path(scratch, "server.txt")
        beside.write_text("".join(known.values()))
        command = [os.environ.get("UV", "uv"), "pip", "compile", wanted, "--constraints", beside]
        command += ["--python-version", "3.11", "--python-platform", "linux", "--generate-hashes"]
        command += ["--no-header", "--no-annotate", "--no-emit-index-url", "--quiet"]
        made = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    return "".join(text for name, text in sections(made).items() if name not in known)


def main(arguments: list[str]) -> None:
    """Writes the locks."""
    made = {"server.lock": server_lock}
    if "--gpu" in arguments:
        made["gpu.lock"] = gpu_lock
    for name, make in made.items():
        text = make()
        (FOLDER / name).write_text(text, encoding="utf-8")
        print(f"{name}: {len(sections(text))} packages")


if __name__ == "__main__":
    main(sys.argv[1:])
