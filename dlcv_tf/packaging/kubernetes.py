"""Package for Kubernetes: plain manifests of `dlcv serve`, the models inside its image."""

import pathlib
from collections.abc import Sequence

from dlcv_tf.packaging import readme, yaml_text
from dlcv_tf.packaging.models import Model
from dlcv_tf.packaging.plan import DRAIN, GRPC_PORT, HTTP_PORT, USER, Plan, server_arguments

NAME = "dlcv-serve"
LABELS = {"app.kubernetes.io/name": NAME}
LEAVING = 5  # seconds until all of the cluster has heard that a pod is leaving
GRACE = LEAVING + DRAIN + 10

# What one picture takes grows with its pixels, so both are bounded. Measured with the shipped
# models: 0.3 GB without a picture, 1.3 GB at most while one of 16 megapixels is answered. The
# server answers one such at once for every four cores; the limit holds three.
PICTURES = ("--max-megapixels", "16", "--max-megabytes", "50")  # 17 megapixels as a tensor
MEMORY_LIMIT = "4Gi"

SCRATCH = {"name": "scratch", "emptyDir": {"sizeLimit": "256Mi"}}  # /tmp beside a read-only root


def files(models: Sequence[Model], plan: Plan) -> dict[str, str | bytes | pathlib.Path]:
    """Returns what the package holds, by path."""
    parts = {
        "deployment": deployment(plan.image),
        "service": _service(),
        "autoscaler": _autoscaler(),
        "disruption-budget": _disruption_budget(),
    }
    made = {f"base/{name}.yaml": yaml_text.text(document) for name, document in parts.items()}
    made["base/kustomization.yaml"] = yaml_text.text(
        _kustomization([f"{name}.yaml" for name in parts]), note="kubectl apply -k base"
    )
    made["gpu/kustomization.yaml"] = yaml_text.text(
        _kustomization(["../base"]) | {"patches": [{"path": "deployment.yaml"}]},
        note="kubectl apply -k gpu",
    )
    made["gpu/deployment.yaml"] = yaml_text.text(
        _gpu(plan.gpu_image), note="Laid over base/deployment.yaml."
    )
    made["README.md"] = _readme(models, plan)
    return made


def container(image: str) -> dict:
    """Returns the container of `dlcv serve`: ports, probes, resources, no privileges.

    Args:
        image: made by the package `docker`.
    """
    probe = {"httpGet": {"path": "/v2/health/ready", "port": "http"}, "timeoutSeconds": 2}
    live = {"httpGet": {"path": "/v2/health/live", "port": "http"}, "timeoutSeconds": 2}
    return {
        "name": NAME,
        "image": image,
        "args": server_arguments(*PICTURES),
        "ports": [
            {"name": "http", "containerPort": HTTP_PORT},
            {"name": "grpc", "containerPort": GRPC_PORT},
        ],
        # Up to two minutes for models to load and warm up; only then the other two begin.
        "startupProbe": probe | {"periodSeconds": 2, "failureThreshold": 60},
        "readinessProbe": probe | {"periodSeconds": 5, "failureThreshold": 2},
        "livenessProbe": live | {"periodSeconds": 10, "failureThreshold": 3},
        "lifecycle": {"preStop": {"exec": {"command": ["sleep", str(LEAVING)]}}},
        "resources": {
            "requests": {"cpu": "1", "memory": "512Mi"},
            "limits": {"memory": MEMORY_LIMIT},
        },
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],
    }


def pod_security() -> dict:
    """Returns the security context of a pod: no root, the runtime's own filter of system calls."""
    return {
        "runAsNonRoot": True,
        "runAsUser": USER,
        "runAsGroup": USER,
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def deployment(image: str) -> dict:
    """Returns the Deployment: new pods are ready before old ones leave.

    Args:
        image: made by the package `docker`.
    """
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": LABELS},
    }
    annotations = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": str(HTTP_PORT),
        "prometheus.io/path": "/metrics",
    }
    pod = {
        "metadata": {"labels": LABELS, "annotations": annotations},
        "spec": {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": GRACE,
            "securityContext": pod_security(),
            "topologySpreadConstraints": [spread],
            "containers": [container(image)],
            "volumes": [SCRATCH],
        },
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME, "labels": LABELS},
        "spec": {
            # No replicas: the autoscaler's number stays when this is applied again.
            "selector": {"matchLabels": LABELS},
            "strategy": {
                "type": "RollingUpdate",
                "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0},
            },
            "template": pod,
        },
    }


def _service() -> dict:
    ports = [
        {"name": "http", "port": HTTP_PORT, "targetPort": "http", "appProtocol": "http"},
        {
            "name": "grpc",
            "port": GRPC_PORT,
            "targetPort": "grpc",
            "appProtocol": "kubernetes.io/h2c",
        },
    ]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": NAME, "labels": LABELS},
        "spec": {"type": "ClusterIP", "selector": LABELS, "ports": ports},
    }


def _autoscaler() -> dict:
    cpu = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": 70}}
    return {
        "apiVersion": "autoscaling/v2",
        "kind": "HorizontalPodAutoscaler",
        "metadata": {"name": NAME, "labels": LABELS},
        "spec": {
            "scaleTargetRef": {"apiVersion": "apps/v1", "kind": "Deployment", "name": NAME},
            "minReplicas": 2,
            "maxReplicas": 10,
            "metrics": [{"type": "Resource", "resource": cpu}],
            # Loads come in bursts: up at once, down after five quiet minutes.
            "behavior": {
                "scaleUp": {"stabilizationWindowSeconds": 0},
                "scaleDown": {"stabilizationWindowSeconds": 300},
            },
        },
    }


def _disruption_budget() -> dict:
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": NAME, "labels": LABELS},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": LABELS}},
    }


def _gpu(image: str) -> dict:
    """Returns what the GPU variant changes: image, executor, one GPU for each pod."""
    changed = {
        "name": NAME,
        "image": image,
        "args": server_arguments("--executor", "onnx", *PICTURES),
        "resources": {
            "requests": {"cpu": "2", "memory": "2Gi"},
            "limits": {"memory": MEMORY_LIMIT, "nvidia.com/gpu": "1"},
        },
    }
    toleration = {"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": NAME},
        "spec": {
            "template": {"spec": {"tolerations": [toleration], "containers": [changed]}},
        },
    }


def _kustomization(resources: list[str]) -> dict:
    return {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": resources,
    }


def memory(asked: str) -> str:
    """Returns what a README says of the container's memory.

    Args:
        asked: what the manifest requests, with its verb.
    """
    return f"""- Memory: {asked} asked for, {MEMORY_LIMIT} is the limit. The server takes 0.3 GB,
  and for each megapixel of a picture that it answers up to 65 MB more (measured: the segmenter 63,
  the others 20 to 25); hence `{" ".join(PICTURES)}`. One request of that size is
  answered at once for every four cores of the node, or of a CPU limit: the limit holds three. On
  nodes of 16 cores and more add 1 GiB for every further four."""


def _readme(models: Sequence[Model], plan: Plan) -> str:
    name = models[0].name
    body = f"""
## Start

Build the image that holds the server and the models (`dlcv package docker`), push it where the
cluster pulls from, and name it: `dlcv package kubernetes ... --image HOST/TEAM/dlcv-serve:1
--force` (here it is `{plan.image}`, for the GPU `{plan.gpu_image}`).

    kubectl apply -k base                     # CPU
    kubectl apply -k gpu                      # one NVIDIA GPU for each pod
    kubectl rollout status deployment/{NAME}
    kubectl port-forward service/{NAME} {HTTP_PORT} &
    curl --data-binary @PICTURE.jpg -H 'Content-Type: image/jpeg' \\
        http://127.0.0.1:{HTTP_PORT}/v1/models/{name}:predict

## What is what

- A pod gets requests once `/v2/health/ready` answers 200: all models are loaded and warm. It
  leaves without losing one: {LEAVING} s until the cluster has heard of it, then SIGTERM, then
  up to {DRAIN} s for requests under way (`--drain`), and killed only after {GRACE} s.
- An update starts a new pod before an old one leaves, and stops where the new one does not become
  ready. Undo it with `kubectl rollout undo deployment/{NAME}`.
- 2 to 10 pods, by CPU (the metrics server must run). On GPUs the CPU says little: choose a
  metric of your own there. There is no limit of CPU time, as its throttling is what makes slow
  answers.
- No root, no privileges, no service account's token, a read-only root, `RuntimeDefault`
  seccomp: it passes Pod Security's level `restricted`.
- Prometheus's annotations point to `/metrics` on port {HTTP_PORT}.
- gRPC clients keep one connection, so one pod: have them balance over a headless Service, or
  use a mesh. HTTP clients are balanced connection by connection.
- Token and TLS: mount a Secret, add `--token-file` (and `--tls-certificate`, `--tls-key`;
  probes then need `scheme: HTTPS`) to `args`, or leave both to the ingress.
{memory("512 MiB are")}
"""
    checked = """
No cluster was at hand. Every manifest is checked, field by field, against Kubernetes's own
schema (`kubernetes-validate`, strict) where that package is installed; the arguments are parsed
by `dlcv serve` itself, whose probes and drain are tested without a cluster. Kustomize,
autoscaling and the GPU variant were not run.
"""
    return readme.text("Kubernetes", models, "kubernetes", body, checked)
