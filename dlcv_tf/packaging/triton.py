"""Package for Triton: a repository of ONNX models, and the older one of SavedModels."""

import pathlib
from collections.abc import Sequence

from dlcv_tf.packaging import readme, triton_config, yaml_text
from dlcv_tf.packaging.models import Model, by_name, path_of, saved_model_files
from dlcv_tf.packaging.plan import Plan

# NVIDIA's own registry, which no file here names: Compose asks for it where it is not set.
IMAGE = "${TRITON_IMAGE:?set it to NVIDIA's tritonserver image, such as tritonserver:25.10-py3}"
LEGACY_IMAGE = "${TRITON_IMAGE:?set it to NVIDIA's tritonserver:25.02-py3, or an older one}"
LEGACY = "legacy_savedmodel"


def files(models: Sequence[Model], plan: Plan) -> dict[str, str | bytes | pathlib.Path]:
    """Returns what the package holds, by path.

    Raises:
        InputError: for an artifact without ONNX or SavedModel, or whose ONNX file is not what its
            manifest says.
    """
    made = {
        "compose.yaml": yaml_text.text(_compose(models, plan)),
        "compose.cpu.yaml": yaml_text.text(
            _variant("cpu", gpu=False), note="docker compose -f compose.yaml -f compose.cpu.yaml up"
        ),
        "compose.tensorrt.yaml": yaml_text.text(
            _variant("tensorrt", gpu=True),
            note="docker compose -f compose.yaml -f compose.tensorrt.yaml up",
        ),
        f"{LEGACY}/compose.yaml": yaml_text.text(
            _compose_legacy(models, plan), note="Triton up to 25.02 alone"
        ),
        "README.md": _readme(models),
    }
    for name, versions in by_name(models):
        labels = "".join(f"{label}\n" for label in versions[-1].manifest.labels)
        made |= {
            f"models/{name}/config.pbtxt": triton_config.text(triton_config.onnx(versions)),
            f"models/{name}/configs/cpu.pbtxt": triton_config.text(
                triton_config.onnx(versions, "KIND_CPU")
            ),
            f"models/{name}/configs/tensorrt.pbtxt": triton_config.text(
                triton_config.tensorrt(versions)
            ),
            f"models/{name}/labels.txt": labels,
            f"{LEGACY}/models/{name}/config.pbtxt": triton_config.text(
                triton_config.saved_model(versions)
            ),
            f"{LEGACY}/models/{name}/labels.txt": labels,
        }
    for model in models:
        path = path_of(model, "onnx")
        triton_config.check_file(model, path)
        inside = saved_model_files(model)
        if plan.copy:
            made[f"models/{model.place}/model.onnx"] = path
            root = f"{LEGACY}/models/{model.place}/model.savedmodel"
            made |= {f"{root}/{file}": model.directory / file for file in inside}
    return made


def _mounts(models: Sequence[Model], plan: Plan, inside: str, target: str) -> list[str]:
    """Returns Compose's volumes: the whole repository, or config and artifacts one by one.

    Args:
        models: all versions of all models.
        plan: tells which.
        inside: path in the artifact, `"."` for all of it.
        target: path in the repository's version.
    """
    if plan.copy:
        return ["./models:/models:ro"]
    mounts = []
    for name, versions in by_name(models):
        entries = ["config.pbtxt", "labels.txt"] + (["configs"] if inside != "." else [])
        mounts += [f"./models/{name}/{entry}:/models/{name}/{entry}:ro" for entry in entries]
        for model in versions:
            directory = model.directory / inside
            mounts.append(f"{plan.beside(directory)}:/models/{model.place}/{target}:ro")
    return mounts


def _compose(models: Sequence[Model], plan: Plan) -> dict:
    server = {
        "image": IMAGE,
        "command": ["tritonserver", *_ARGUMENTS],
        "ports": [f"127.0.0.1:{port}:{port}" for port in (8000, 8001, 8002)],
        "volumes": [
            *_mounts(models, plan, "model.onnx", "model.onnx"),
            f"engines:{triton_config.ENGINES}",
        ],
        "shm_size": "1gb",
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
        "deploy": _DEPLOY_GPU,
    }
    return {"services": {"triton": server}, "volumes": {"engines": {}}}


_ARGUMENTS = ["--model-repository=/models", "--exit-on-error=false"]
_GPU = {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
_DEPLOY_GPU = {"resources": {"reservations": {"devices": [_GPU]}}}


def _variant(config: str, gpu: bool) -> dict:
    """Returns a Compose file that starts Triton with another of the configs."""
    server: dict = {"command": ["tritonserver", *_ARGUMENTS, f"--model-config-name={config}"]}
    if not gpu:
        server["deploy"] = yaml_text.Reset()
    return {"services": {"triton": server}}


def _compose_legacy(models: Sequence[Model], plan: Plan) -> dict:
    inner = Plan(plan.directory / LEGACY, plan.copy)
    server = {
        "image": LEGACY_IMAGE,
        "command": ["tritonserver", *_ARGUMENTS],
        "ports": [f"127.0.0.1:{port}:{port}" for port in (8000, 8001, 8002)],
        "volumes": _mounts(models, inner, ".", "model.savedmodel"),
        "shm_size": "1gb",
        "security_opt": ["no-new-privileges:true"],
        "deploy": _DEPLOY_GPU,
    }
    return {"services": {"triton": server}}


def _readme(models: Sequence[Model]) -> str:
    name = models[0].name
    ((images, _),) = models[0].tensors["inputs"].items()
    largest = triton_config.LARGEST_BATCH
    body = f"""
## Start

`TRITON_IMAGE` is to name NVIDIA's `tritonserver` image (NGC catalogue, tags `YY.MM-py3`).

    docker compose up                                             # NVIDIA GPU, CUDA
    docker compose -f compose.yaml -f compose.tensorrt.yaml up    # the same, TensorRT in FP16
    docker compose -f compose.yaml -f compose.cpu.yaml up         # no GPU

`compose.cpu.yaml` takes the GPU away by `!reset`, which Docker Compose knows from 2.24.4 on.

HTTP is on port 8000, gRPC on 8001, Prometheus's numbers on 8002 at `/metrics`, of this machine
alone. Wait for `/v2/models/{name}/ready`, not for `/v2/health/ready` alone.

    curl http://127.0.0.1:8000/v2/models/{name}/config

In Python, with `tritonclient` (pictures are uint8, height x width x channels, RGB):

    client = tritonclient.http.InferenceServerClient("127.0.0.1:8000")
    tensor = tritonclient.http.InferInput("{images}", pictures.shape, "UINT8")
    tensor.set_data_from_numpy(pictures)
    answer = client.infer("{name}", [tensor])

## What is what

- `models/NAME/config.pbtxt` for the GPU; `configs/cpu.pbtxt` and `configs/tensorrt.pbtxt` are
  what `--model-config-name` chooses instead.
- Batches: up to {largest} pictures, gathered for at most {triton_config.DELAY} microseconds;
  Triton batches requests of one picture size only. More than {triton_config.QUEUE} waiting
  requests are refused, and so are those that waited {triton_config.QUEUE_TIMEOUT // 1_000_000}
  s.
- Detectors answer after suppression, which is in the graph: `num_detections` is [batch, 1]
  here, as Triton has no tensor of the batch's axis alone; TF Serving and `dlcv serve` have
  [batch].
- `labels.txt`: Triton's classification extension (`class_count`) names classes by it.
- TensorRT: the first start compiles each network for minutes, and keeps it in the volume
  `engines`. Pictures must have the network's own size. FP16 changes answers a little: compare
  them first.
- Picture files are not decoded here: the ONNX graph takes pixels. `dlcv serve` takes files.
- `{LEGACY}/`: the SavedModels, for Triton 25.02 and older; from 25.03 Triton has no
  TensorFlow backend. Use it only where a server of that age has to stay.
"""
    checked = """
Every `config.pbtxt` is written from Triton's own ModelConfig proto and read back; names, types and
sizes are compared with the ONNX file by ONNX Runtime, as Triton does it at load. A real
`tritonserver` 2.51 (of `nvidia-pytriton` 0.7.0, which has the Python backend alone) loaded and
warmed up the shipped models by `config.pbtxt` and `configs/tensorrt.pbtxt`, with the backend
exchanged for Python calling ONNX Runtime on the CPU: all answers were those of the bare ONNX files,
pictures of another size were refused under `tensorrt`, and so were 33 at once. Triton's own ONNX
Runtime backend, GPUs, TensorRT and Compose were not run; no image was pulled.
"""
    return readme.text("Triton", models, "triton", body, checked)
