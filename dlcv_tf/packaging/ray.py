"""Package for Ray Serve: `dlcv serve --engine ray` as an application of a cluster."""

import pathlib
from collections.abc import Sequence

from dlcv_tf.packaging import readme, tf_serving, yaml_text
from dlcv_tf.packaging.models import Model, by_name
from dlcv_tf.packaging.plan import DRAIN, GRPC_PORT, HTTP_PORT, Plan

ENGINE = "dlcv_tf.serve.ray_engine"


def files(models: Sequence[Model], plan: Plan) -> dict[str, str | bytes | pathlib.Path]:
    """Returns what the package holds, by path."""
    folders = {
        name: f"models/{name}" if plan.copy else plan.beside(versions[-1].directory.parent)
        for name, versions in by_name(models)
    }
    made: dict[str, str | bytes | pathlib.Path] = {
        "serve_config.yaml": yaml_text.text(_config(), note="serve run serve_config.yaml"),
        "models.config": tf_serving.models_config(models, folders),
        "README.md": _readme(models),
    }
    if plan.copy:
        for model in models:
            names = [*model.manifest.files, "manifest.json"]
            made |= {f"models/{model.place}/{name}": model.directory / name for name in names}
    return made


def _config() -> dict:
    arguments = {
        "models_config": "models.config",
        "config_poll": 5.0,  # labels and versions change while it serves
        "drain": float(DRAIN),
        "replicas": 2,
        "max_replicas": 8,
    }
    application = {
        "name": "dlcv",
        "route_prefix": "/",
        "import_path": f"{ENGINE}:application",
        "args": arguments,
    }
    return {
        "http_options": {"host": "127.0.0.1", "port": HTTP_PORT},
        "grpc_options": {
            "port": GRPC_PORT,
            "grpc_servicer_functions": [f"{ENGINE}.add_to_server"],
        },
        "applications": [application],
    }


def _readme(models: Sequence[Model]) -> str:
    name = models[0].name
    body = f"""
## Start

Needs `pip install '.[ray]'`, in the project's directory. **Ray listens on all interfaces** for its
own processes, whatever `host` says here: use it inside a network that you trust, or in a network
namespace.

    cd THIS_DIRECTORY && serve run serve_config.yaml       # a cluster of this machine alone
    serve deploy serve_config.yaml                         # a cluster that runs already
    RAY_AUTH_MODE=token serve status

    curl --data-binary @PICTURE.jpg -H 'Content-Type: image/jpeg' \\
        http://127.0.0.1:{HTTP_PORT}/v1/models/{name}:predict

`serve run` turns Ray's token authentication on, so later commands need `RAY_AUTH_MODE=token`, as
above, or end with an AuthenticationError (Ray 2.60).

One machine alone needs no Ray: `dlcv serve --models-config models.config` is faster there.

## What is what

- `serve_config.yaml`: 2 replicas, up to 8 under load; each holds all models. HTTP on
  {HTTP_PORT}, gRPC on {GRPC_PORT}, as everywhere.
- `models.config`: names, versions and labels, read anew every 5 s by each replica. Its paths
  start from its own directory, which has to be at the same place on every machine of a cluster;
  so does the working directory, where `serve_config.yaml` looks for it: write both as absolute
  paths there.
- Canary by labels: give `dlcv package` two versions of a model, and the older is `stable`, the
  newer `canary` (`/v1/models/NAME/labels/canary:predict`). Moving a label is an edit of
  `models.config`.
"""
    checked = """
`serve_config.yaml` was run as it is (`serve run`, Ray 2.60.0, in a network namespace of one
machine): ready after 12 s with two replicas. It was not run on a cluster of several machines;
what else was run of the engine stands in `docs/serving.md`.
"""
    return readme.text("Ray Serve", models, "ray", body, checked)
