"""Package for TensorFlow Serving: its configuration, and Compose files for CPU and GPU."""

import pathlib
import re
from collections.abc import Sequence

from google.protobuf import text_format

from dlcv_tf.artifact import batching_parameters, tfs_messages
from dlcv_tf.errors import InputError
from dlcv_tf.packaging import readme, warm_up, yaml_text
from dlcv_tf.packaging.models import Model, by_name, labels, path_of, saved_model_files
from dlcv_tf.packaging.plan import Plan

METRICS = "/monitoring/prometheus/metrics"
TENSORFLOW = (2, 21, 0)  # where no artifact says which one it was certified with
CONFIGS = ("models", "batching", "monitoring")
LARGEST_BATCH = 32
SIZES = (1, 2, 4, 8, 16, 32)  # others are filled up, so that the GPU meets few shapes


def files(models: Sequence[Model], plan: Plan) -> dict[str, str | bytes | pathlib.Path]:
    """Returns what the package holds, by path.

    Raises:
        InputError: for an artifact without SavedModel, or one that stays where it is and has no
            warm-up requests.
    """
    made = {
        "models.config": models_config(
            models, {name: f"/models/{name}" for name, _ in by_name(models)}
        ),
        "batching.config": batching_config(),
        "monitoring.config": f'prometheus_config {{ enable: true path: "{METRICS}" }}\n',
        "compose.yaml": yaml_text.text(_compose(models, plan)),
        "compose.gpu.yaml": yaml_text.text(
            _compose_gpu(models), note="docker compose -f compose.yaml -f compose.gpu.yaml up"
        ),
        "README.md": _readme(models),
    }
    for model in models:
        inside = saved_model_files(model)
        if plan.copy:
            root = f"models/{model.place}"
            made |= {f"{root}/{path}": model.directory / path for path in inside}
            if warm_up.FILE not in inside:
                made[f"{root}/{warm_up.FILE}"] = warm_up.requests(model)
        elif warm_up.FILE not in inside:
            raise InputError(
                f"got {model.directory} without {warm_up.FILE}, expected it in an artifact that "
                "stays where it is: leave out --no-copy, or export the model again"
            )
    return made


def models_config(models: Sequence[Model], folders: dict[str, str]) -> str:
    """Returns `models.config`: each model with all its versions, `stable` and `canary` labelled.

    Args:
        models: all versions of all models.
        folders: name to the directory that holds its versions, as the server sees it.
    """
    message = tfs_messages.ModelServerConfig()
    for name, versions in by_name(models):
        config = message.model_config_list.config.add(
            name=name, base_path=folders[name], model_platform="tensorflow"
        )
        numbers = [model.version for model in versions]
        config.model_version_policy.specific.versions.extend(numbers)
        for label, version in labels(versions).items():
            config.version_labels[label] = version
    return text_format.MessageToString(message)


def batching_config() -> str:
    """Returns BatchingParameters for a GPU, as text."""
    parameters = batching_parameters.message()()
    parameters.max_batch_size.value = LARGEST_BATCH
    parameters.batch_timeout_micros.value = 2000
    parameters.max_enqueued_batches.value = 64
    parameters.num_batch_threads.value = 4
    parameters.allowed_batch_sizes.extend(SIZES)
    return text_format.MessageToString(parameters)


def _compose(models: Sequence[Model], plan: Plan) -> dict:
    mounts = [f"{_beside(plan.of(model))}:/models/{model.place}:ro" for model in models]
    config = [f"./{name}.config:/config/{name}.config:ro" for name in CONFIGS]
    server = {
        "image": f"tensorflow/serving:{_tensorflow(models)}",
        "command": _command(models),
        "ports": ["127.0.0.1:8501:8501", "127.0.0.1:8500:8500"],
        "volumes": [*mounts, *config],
        "read_only": True,
        "tmpfs": ["/tmp"],
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
    }
    return {"services": {"tf-serving": server}}


def _compose_gpu(models: Sequence[Model]) -> dict:
    command = [
        *_command(models),
        "--enable_batching",
        "--batching_parameters_file=/config/batching.config",
    ]
    gpu = {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}
    server = {
        "image": f"tensorflow/serving:{_tensorflow(models)}-gpu",
        "command": command,
        # Otherwise the first process takes all of the GPU's memory.
        "environment": {"TF_FORCE_GPU_ALLOW_GROWTH": "true"},
        "deploy": {"resources": {"reservations": {"devices": [gpu]}}},
    }
    return {"services": {"tf-serving": server}}


def _command(models: Sequence[Model]) -> list[str]:
    command = [
        "--model_config_file=/config/models.config",
        "--monitoring_config_file=/config/monitoring.config",
    ]
    if any(labels(versions) for _, versions in by_name(models)):
        # At the start no version is loaded yet, and the labels would end the server.
        command.append("--allow_version_labels_for_unavailable_models")
    return command


def _beside(path: str) -> str:
    return path if path.startswith("../") else f"./{path}"


def _tensorflow(models: Sequence[Model]) -> str:
    """Returns the newest TensorFlow that certified one of the models: an older one may lack ops."""
    found = []
    for model in models:
        path_of(model, "saved_model")
        runtime = str(model.manifest.formats["saved_model"].get("runtime", ""))
        if version := re.fullmatch(r"tensorflow (\d+)\.(\d+)\.(\d+)", runtime):
            found.append(tuple(map(int, version.groups())))
    return ".".join(map(str, max(found, default=TENSORFLOW)))


def _readme(models: Sequence[Model]) -> str:
    name = models[0].name
    body = f"""
## Start

    docker compose up                                              # CPU
    docker compose -f compose.yaml -f compose.gpu.yaml up          # NVIDIA GPU, with batching

REST is on port 8501, gRPC on 8500, of this machine alone: TF Serving has neither a token nor
limits, so put a proxy before it before others may call. Prometheus reads `{METRICS}` on 8501.

    curl http://127.0.0.1:8501/v1/models/{name}
    (printf '{{"signature_name": "image_bytes", "instances": [{{"b64": "'
     base64 -w0 PICTURE.jpg; printf '"}}]}}') |
        curl --data-binary @- http://127.0.0.1:8501/v1/models/{name}:predict

## What is what

- `models.config`: names, versions, labels. With two versions of a model the older is `stable`,
  the newer `canary`: `/v1/models/NAME/labels/canary:predict`. A new version: give it to `dlcv
  package` as well, with `--force`, and start the server again.
- `batching.config`: batches of up to {LARGEST_BATCH} pictures, in use on the GPU alone. **TF
  Serving batches pixel values of one size only, and fails all requests of a batch whose sizes
  differ**: send picture files (signature `image_bytes`, where each is decoded and resized in
  the graph), or pixels of one size. A request of more than {LARGEST_BATCH} pictures is refused.
  On a CPU batches rarely pay.
- `monitoring.config`: turns on Prometheus's numbers, which TF Serving has off.
- `assets.extra/tf_serving_warmup_requests` in every version: TF Serving runs them before the
  version counts as available, so that no user waits for the first call.
"""
    checked = """
TensorFlow Serving's binary was not run: it is not on the machine where this was made, and
neither is Docker. `models.config` and `batching.config` are written from TF Serving's own
protos and read back; `dlcv serve` started with the same two files (other base paths) and answered.
TensorFlow ran the warm-up requests, those that `dlcv package` makes too, through the SavedModels.
`monitoring.config` and the Compose files were only parsed.
"""
    return readme.text("TensorFlow Serving", models, "tf-serving", body, checked)
