"""Package for Docker: images of `dlcv serve` on the CPU and on a GPU, without TensorFlow."""

import importlib.resources
import json
import os
import pathlib
import re
from collections.abc import Sequence

import dlcv_tf
from dlcv_tf.errors import InputError
from dlcv_tf.packaging import readme, yaml_text
from dlcv_tf.packaging.models import Model
from dlcv_tf.packaging.plan import GRPC_PORT, HTTP_PORT, USER, Plan, server_arguments

BASE = "python:3.11-slim"
SOURCE = pathlib.Path(dlcv_tf.__file__).parent
# What the server is made of: no other room is in the image.
ROOMS = ("__init__.py", "errors.py", "artifact", "serve", "cli")
READY = f"http://127.0.0.1:{HTTP_PORT}/v2/health/ready"
PROBE = f"import urllib.request as r; r.urlopen('{READY}', timeout=2)"


def files(models: Sequence[Model], plan: Plan) -> dict[str, str | bytes | pathlib.Path]:
    """Returns what the package holds, by path.

    Raises:
        InputError: for artifacts that are to stay where they are and share no directory with
            this package's source.
    """
    context = plan.directory if plan.copy else _context(models, plan)
    made: dict[str, str | bytes | pathlib.Path] = {
        "requirements.txt": requirements(),
        "requirements-gpu.txt": requirements(gpu=True),
        "compose.yaml": yaml_text.text(_compose(plan, context)),
        "compose.gpu.yaml": yaml_text.text(
            _compose_gpu(plan, context),
            note="docker compose -f compose.yaml -f compose.gpu.yaml up",
        ),
        "README.md": _readme(models, plan, context),
    }
    copies = _copies(models, plan, context)
    for variant in ("", "-gpu"):
        name = f"Dockerfile{variant.replace('-', '.')}"
        lock = _inside(plan.directory / f"requirements{variant}.txt", context)
        made[name] = dockerfile(lock, copies, gpu=bool(variant))
        # A Dockerfile's own list of what the build may see, by its name.
        made[f"{name}.dockerignore"] = _ignore([lock, *copies])
    if plan.copy:
        made |= {f"dlcv_tf/{path.relative_to(SOURCE)}": path for path in _source()}
        for model in models:
            names = [*model.manifest.files, "manifest.json"]
            made |= {f"models/{model.place}/{name}": model.directory / name for name in names}
    return made


def requirements(gpu: bool = False) -> str:
    """Returns the packages of the server, pinned and hashed.

    Args:
        gpu: ONNX Runtime for CUDA, with CUDA's libraries, in place of the one for CPUs.
    """
    folder = importlib.resources.files(__package__)
    text = folder.joinpath("server.lock").read_text(encoding="utf-8")
    if gpu:
        text = re.sub(r"^onnxruntime==(?:.*\\\n)*.*\n(?:    #.*\n)*", "", text, flags=re.MULTILINE)
        text += folder.joinpath("gpu.lock").read_text(encoding="utf-8")
    return text


def dockerfile(lock: str, copies: dict[str, str], gpu: bool = False) -> str:
    """Returns a Dockerfile of two stages: packages first, then what changes more often.

    Args:
        lock: the requirements, in the build's context.
        copies: path in the context to path in the image.
        gpu: for NVIDIA GPUs.
    """
    copied = "\n".join(f"COPY {json.dumps([path, place])}" for path, place in copies.items())
    # auto would choose what is fastest for single pictures; a GPU is there for many.
    command = server_arguments(*(["--executor", "onnx"] if gpu else []))
    # What the container runtime of NVIDIA looks at; the driver is the host's.
    more = "ENV NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility\n"
    return f"""\
FROM {BASE} AS packages
COPY {json.dumps([lock, "/requirements.txt"])}
RUN python -m venv /opt/venv && \\
    /opt/venv/bin/pip install --no-cache-dir --disable-pip-version-check \\
        --require-hashes --only-binary :all: -r /requirements.txt

FROM {BASE}
COPY --from=packages /opt/venv /opt/venv
{copied}
ENV PATH=/opt/venv/bin:$PATH PYTHONPATH=/opt/dlcv PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
{more if gpu else ""}RUN python -m compileall -q /opt/dlcv && \\
    python -m dlcv_tf.cli.main serve --help > /dev/null
USER {USER}:{USER}
EXPOSE {HTTP_PORT} {GRPC_PORT}
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s --retries=3 \\
    CMD {json.dumps(["python", "-c", PROBE])}
ENTRYPOINT {json.dumps(["python", "-m", "dlcv_tf.cli.main", "serve"])}
CMD {json.dumps(command)}
"""


def _source() -> list[pathlib.Path]:
    """Returns the source files the image holds."""
    found = []
    for room in ROOMS:
        path = SOURCE / room
        within = sorted(path.rglob("*")) if path.is_dir() else [path]
        found += [file for file in within if file.is_file() and "__pycache__" not in file.parts]
    return found


def _copies(models: Sequence[Model], plan: Plan, context: pathlib.Path) -> dict[str, str]:
    """Returns what the Dockerfile copies: path in the context to path in the image."""
    source = "dlcv_tf" if plan.copy else _inside(SOURCE, context)
    copies = {f"{source}/{room}": f"/opt/dlcv/dlcv_tf/{room}" for room in ROOMS}
    for model in models:
        place = plan.of(model) if plan.copy else _inside(model.directory, context)
        copies[place] = f"/models/{model.place}"
    return copies


def _context(models: Sequence[Model], plan: Plan) -> pathlib.Path:
    """Returns the directory that holds the package, the artifacts and this source."""
    inside = [plan.directory, SOURCE.parent, *(model.directory for model in models)]
    common = pathlib.Path(os.path.commonpath([os.path.realpath(path) for path in inside]))
    if common == pathlib.Path(os.path.realpath(SOURCE.parent)):
        return common
    raise InputError(
        f"got --no-copy with files in {common}, expected the package and all artifacts in "
        f"{SOURCE.parent}, beside the source of dlcv_tf: leave out --no-copy"
    )


def _inside(path: pathlib.Path, context: pathlib.Path) -> str:
    relative = os.path.relpath(os.path.realpath(path), os.path.realpath(context))
    return pathlib.Path(relative).as_posix()


def _ignore(paths: Sequence[str]) -> str:
    """Returns a .dockerignore that lets through these paths alone."""
    allowed = "".join(f"!{path}\n" for path in paths)
    return f"# All but what the Dockerfile copies.\n**\n{allowed}**/__pycache__\n"


def _compose(plan: Plan, context: pathlib.Path) -> dict:
    server = {
        "image": plan.image,
        "build": {
            "context": plan.beside(context),
            "dockerfile": _inside(plan.directory / "Dockerfile", context),
        },
        "ports": [f"127.0.0.1:{port}:{port}" for port in (HTTP_PORT, GRPC_PORT)],
        "read_only": True,
        "tmpfs": ["/tmp"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "stop_grace_period": "30s",
        "restart": "unless-stopped",
    }
    return {"services": {"dlcv": server}}


def _compose_gpu(plan: Plan, context: pathlib.Path) -> dict:
    gpu = {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    server = {
        "image": plan.gpu_image,
        "build": {"dockerfile": _inside(plan.directory / "Dockerfile.gpu", context)},
        "deploy": {"resources": {"reservations": {"devices": [gpu]}}},
    }
    return {"services": {"dlcv": server}}


def _readme(models: Sequence[Model], plan: Plan, context: pathlib.Path) -> str:
    name = models[0].name
    up = plan.beside(context)
    where = f"{_inside(plan.directory / 'Dockerfile', context)} {up}"
    gpu = f"{_inside(plan.directory / 'Dockerfile.gpu', context)} {up}"
    if up != ".":
        where, gpu = (f"{up}/{each}" for each in (where, gpu))
    body = f"""
## Start

    docker compose up --build                                          # CPU
    docker compose -f compose.yaml -f compose.gpu.yaml up --build      # NVIDIA GPU

    curl --data-binary @PICTURE.jpg -H 'Content-Type: image/jpeg' \\
        http://127.0.0.1:{HTTP_PORT}/v1/models/{name}:predict

Or without Compose, from this directory:

    docker build -t {plan.image} -f {where}
    docker build -t {plan.gpu_image} -f {gpu}
    docker run --rm --read-only --tmpfs /tmp --cap-drop ALL -p 127.0.0.1:{HTTP_PORT}:{HTTP_PORT} \\
        {plan.image}

What follows the image's name replaces the arguments after `dlcv serve`: give them all (`docker
run ... {plan.image} {" ".join(server_arguments())} --cors`). Other models: mount a tree of
NAME/VERSION at `/models`.

## What is what

- Two stages: the packages of `requirements.txt`, each pinned with its hashes and taken as a wheel
  (they are a part of the project's `requirements.lock`), then the rooms `artifact`, `serve` and
  `cli` of dlcv_tf, then the models. There is no TensorFlow and no compiler in the image.
- It runs as user {USER}, writes nothing (a read-only root is fine), listens on all addresses
  *of the container*, and ends within 20 s of SIGTERM when requests are under way. `HEALTHCHECK`
  asks `/v2/health/ready`; with `--tls-certificate` replace it, as it speaks plain HTTP.
- Before others can reach it: a token (`--token-file`) and TLS (`--tls-certificate`, `--tls-key`).
- `Dockerfile.gpu`: ONNX Runtime for CUDA 13 with CUDA's libraries as wheels (about 2 GB); the
  host needs NVIDIA's driver and container toolkit. Without a GPU the same image runs on the
  CPU.
- `Dockerfile.dockerignore` lets only what is copied into the build (BuildKit reads it).
"""
    checked = """
No image was built: there is no Docker daemon on the machine where this was made. What the
Dockerfile for the CPU runs was run there one by one in an empty directory: a new virtual
environment, `pip install --require-hashes --only-binary :all:` of `requirements.txt`, the
copied rooms alone on PYTHONPATH, the command with these arguments as a user without privileges.
It answered the probe and a picture on HTTP and gRPC, and `import tensorflow` failed, as it
should (`tools/try_image.py` does it again). The GPU image was not run: `requirements-gpu.txt`
was resolved for Linux, not installed, and inference on a GPU was not tried.
"""
    return readme.text("Docker: dlcv serve without TensorFlow", models, "docker", body, checked)
