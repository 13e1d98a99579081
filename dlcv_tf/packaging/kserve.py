"""Package for KServe: the models in its TensorFlow and Triton runtimes, and in one of our own."""

import pathlib
from collections.abc import Sequence

from dlcv_tf.packaging import kubernetes, readme, yaml_text
from dlcv_tf.packaging.models import Model, by_name, cluster_name
from dlcv_tf.packaging.plan import Plan, server_arguments

API = "serving.kserve.io/v1beta1"
RUNTIME = "dlcv-serve"
MOUNT = "/mnt/models"  # where KServe puts what the storage URI names
PORT = 8080  # the one KServe's proxies expect
GRPC_PORT = 9000


def files(models: Sequence[Model], plan: Plan) -> dict[str, str | bytes | pathlib.Path]:
    """Returns what the package holds, by path."""
    tensorflow = [_tensorflow(versions, plan) for _, versions in by_name(models)]
    return {
        "tensorflow.yaml": yaml_text.text(*tensorflow, note="One service for each model."),
        "tensorflow.gpu.yaml": yaml_text.text(*map(_on_gpu, tensorflow)),
        "triton.yaml": yaml_text.text(
            _triton(plan), note="All models in one service, as they share its GPU."
        ),
        "dlcv.yaml": yaml_text.text(
            _runtime(plan), _dlcv(plan), note="The runtime is needed once in a namespace."
        ),
        "canary.yaml": yaml_text.text(
            {"spec": {"predictor": {"canaryTrafficPercent": 10}}},
            note="kubectl patch inferenceservice NAME --type merge --patch-file canary.yaml",
        ),
        "README.md": _readme(models, plan),
    }


def _service(name: str, model: dict, scaling: dict) -> dict:
    """Returns an InferenceService.

    Args:
        name: of the service.
        model: the predictor's model: format, storage, resources.
        scaling: fields of the predictor that say how many pods.
    """
    return {
        "apiVersion": API,
        "kind": "InferenceService",
        "metadata": {"name": name},
        "spec": {"predictor": scaling | {"timeout": 30, "model": model}},
    }


# Pods by requests under way for each; the last one stays, as the first call would wait for models.
_SCALING = {"minReplicas": 1, "maxReplicas": 8, "scaleMetric": "concurrency", "scaleTarget": 16}
_CPU = {"requests": {"cpu": "1", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}
_DLCV = _CPU | {"limits": {"memory": kubernetes.MEMORY_LIMIT}}
_GPU = {
    "requests": {"cpu": "2", "memory": "4Gi"},
    "limits": {"memory": "8Gi", "nvidia.com/gpu": "1"},
}


def _probes(ready: str, live: str, port: int = PORT) -> dict:
    """Returns the three probes of a container."""
    asked = {"httpGet": {"path": ready, "port": port}, "timeoutSeconds": 2}
    alive = {"httpGet": {"path": live, "port": port}, "timeoutSeconds": 2}
    return {
        "startupProbe": asked | {"periodSeconds": 2, "failureThreshold": 60},
        "readinessProbe": asked | {"periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": alive | {"periodSeconds": 10, "failureThreshold": 3},
    }


def _tensorflow(versions: Sequence[Model], plan: Plan) -> dict:
    name = cluster_name(versions[-1].name)
    # TF Serving has no path of health; that its port is open is all there is to ask before a
    # model of this name is there.
    opened = {"tcpSocket": {"port": PORT}, "timeoutSeconds": 2}
    model = {
        "modelFormat": {"name": "tensorflow"},
        "protocolVersion": "v1",
        "storageUri": f"{plan.storage}/{versions[-1].name}",
        "resources": _CPU,
        "readinessProbe": {
            "httpGet": {"path": f"/v1/models/{name}", "port": PORT},
            "timeoutSeconds": 2,
            "periodSeconds": 5,
        },
        "livenessProbe": opened | {"periodSeconds": 10},
    }
    return _service(name, model, _SCALING)


def _on_gpu(service: dict) -> dict:
    """Returns the same service with a GPU for each pod."""
    predictor = service["spec"]["predictor"]
    model = predictor["model"] | {"resources": _GPU}
    tolerations = [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}]
    changed = {"tolerations": tolerations, **predictor, "model": model}
    return service | {"spec": {"predictor": changed}}


def _triton(plan: Plan) -> dict:
    model = {
        "modelFormat": {"name": "onnx"},
        "runtime": "kserve-tritonserver",
        "protocolVersion": "v2",
        "storageUri": f"{plan.storage}-triton",
        "resources": _GPU,
        **_probes("/v2/health/ready", "/v2/health/live"),
    }
    return _on_gpu(_service("dlcv-triton", model, _SCALING | {"scaleTarget": 64}))


def _runtime(plan: Plan) -> dict:
    """Returns the ServingRuntime of the project's own image."""
    container = kubernetes.container(plan.image) | {
        "name": "kserve-container",
        "args": server_arguments(
            *kubernetes.PICTURES, models=MOUNT, port=PORT, grpc_port=GRPC_PORT
        ),
        "ports": [{"name": "http1", "containerPort": PORT, "protocol": "TCP"}],
        **_probes("/v2/health/ready", "/v2/health/live"),
    }
    del container["lifecycle"]  # Knative takes none
    del container["resources"]  # as each service says
    annotations = {"prometheus.kserve.io/port": str(PORT), "prometheus.kserve.io/path": "/metrics"}
    return {
        "apiVersion": "serving.kserve.io/v1alpha1",
        "kind": "ServingRuntime",
        "metadata": {"name": RUNTIME},
        "spec": {
            "annotations": annotations,
            "supportedModelFormats": [{"name": "dlcv", "version": "1", "autoSelect": True}],
            "protocolVersions": ["v1", "v2", "grpc-v2"],
            "containers": [container],
            "volumes": [kubernetes.SCRATCH],
        },
    }


def _dlcv(plan: Plan) -> dict:
    model = {
        "modelFormat": {"name": "dlcv"},
        "runtime": RUNTIME,
        "protocolVersion": "v2",
        "storageUri": plan.storage,
        "resources": _DLCV,
    }
    return _service("dlcv", model, _SCALING)


def _readme(models: Sequence[Model], plan: Plan) -> str:
    name = models[0].name
    body = f"""
## Start

Put the models where the cluster finds them; here that is `{plan.storage}` (`--storage URI
--force` writes another):

- the artifacts as they are, a tree of NAME/VERSION (`savedmodels/`), to `{plan.storage}`;
- for Triton, `models/` of `dlcv package triton`, to `{plan.storage}-triton`.

Then one of

    kubectl apply -f tensorflow.yaml          # TF Serving, one service for each model
    kubectl apply -f tensorflow.gpu.yaml      # the same, a GPU for each pod
    kubectl apply -f triton.yaml              # Triton on a GPU, all models
    kubectl apply -f dlcv.yaml                # dlcv serve (image {plan.image}), all models

    kubectl wait --for=condition=Ready inferenceservice --all --timeout=5m
    (printf '{{"signature_name": "image_bytes", "instances": [{{"b64": "'
     base64 < PICTURE.jpg | tr -d '\\n'
     printf '"}}]}}') > REQUEST
    curl -H "Host: HOST_OF_THE_SERVICE" -d @REQUEST \\
        http://INGRESS/v1/models/{cluster_name(name)}:predict

`dlcv serve` takes the file as it is, too: `--data-binary @PICTURE.jpg -H 'Content-Type:
image/jpeg'`.

In `tensorflow.yaml` a model's name is the service's: small letters, `-` for `_`. Triton and `dlcv
serve` keep the names above.

## Canary

Export the next version into the same tree, then send it a tenth of the calls, and all of them
later (needs KServe's serverless mode, Knative):

    kubectl patch inferenceservice {cluster_name(name)} --type merge --patch-file canary.yaml
    kubectl patch inferenceservice {cluster_name(name)} --type json \\
        -p '[{{"op": "remove", "path": "/spec/predictor/canaryTrafficPercent"}}]'

A patch of traffic alone makes no new revision: change `storageUri` (or an annotation) in the
same step. `dlcv serve` itself answers `/v1/models/NAME/labels/canary:predict` where versions
are labelled.

## What is what

- Pods: 1 to 8, by requests under way. Autoscaling by concurrency is Knative's; in raw
  deployment mode set `scaleMetric: cpu`.
- Probes: `/v2/health/...` of Triton and `dlcv serve`; TF Serving has none, so the model's status.
- `dlcv.yaml` listens on port {PORT} for HTTP; gRPC is on {GRPC_PORT} in the pod, for whoever adds
  that port.
- The root of `dlcv.yaml`'s container is read-only; `/tmp` is a volume of its own.
{kubernetes.memory("`dlcv.yaml`: 1 GiB is")}
"""
    checked = """
No cluster was at hand. All fields of the services and of the runtime are ones that the classes of
KServe's own Python package (0.21.0, `openapi_types`) have. Nothing of it was run, and neither was
Triton's or TensorFlow's runtime.
"""
    return readme.text("KServe", models, "kserve", body, checked)
