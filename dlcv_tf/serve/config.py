"""Every option of the server, with its default: what `dlcv serve --print-config` shows."""

import dataclasses
import json

from dlcv_tf.artifact import pictures

MEGABYTE = 2**20


@dataclasses.dataclass(frozen=True)
class Config:
    """How a server serves. The defaults are safe on a machine that others can reach.

    Args:
        models: directory of NAME/VERSION artifacts; not read where `models_config` is given.
        models_config: TF Serving's `models.config` (text of a ModelServerConfig), or None.
        poll: seconds between two looks at the versions on disk; 0 looks once, at the start.
        config_poll: seconds between two looks at `models_config`; 0 looks once, at the start.
        host: address to listen on.
        port: HTTP port; 0 takes a free one.
        grpc_port: gRPC port; 0 takes a free one, None has no gRPC.
        executor: `"auto"`, or one of `executors.NAMES`, which runs the networks.
        threads: of one execution; None leaves it to the executor.
        batching: `"auto"` measures at load whether batches pay, `"off"` makes none; otherwise a
            file of TF Serving's BatchingParameters.
        queue: most requests of one model version that may wait; more are refused (503).
        timeout: seconds a request may take that brings no deadline of its own.
        drain: seconds that requests under way get to finish after SIGTERM.
        fronts: processes that answer, each with its own copy of the models.
        max_body: largest request body in bytes, before and after inflation.
        max_pixels: of all encoded pictures in one request together.
        max_connections: most HTTP connections at once; more are refused.
        token: what clients must send as `Authorization: Bearer TOKEN`, or None.
        tls_certificate: PEM file of the certificate chain, or None for plain HTTP and gRPC.
        tls_key: PEM file of its private key.
        cors: whether pages of other origins may call.
        request_log: file that gets a line of JSON for each request, or None.
        log_pictures: whether that log holds the pictures too.
        tensor_content: gRPC answers hold bytes, rather than TF Serving's lists of values.
        labels_before_load: a version label may point to a version that is not loaded.
    """

    models: str = "savedmodels"
    models_config: str | None = None
    poll: float = 1.0
    config_poll: float = 0.0
    host: str = "127.0.0.1"
    port: int = 8501
    grpc_port: int | None = 8500
    executor: str = "auto"
    threads: int | None = None
    batching: str = "auto"
    queue: int = 256
    timeout: float = 30.0
    drain: float = 10.0
    fronts: int = 1
    max_body: int = 100 * MEGABYTE
    max_pixels: int = pictures.MAX_PIXELS
    max_connections: int = 20_000
    token: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    cors: bool = False
    request_log: str | None = None
    log_pictures: bool = False
    tensor_content: bool = False
    labels_before_load: bool = False

    def to_json(self) -> str:
        """Returns the options as JSON, without the token."""
        values = dataclasses.asdict(self) | {"token": self.token and "(set, not shown)"}
        return json.dumps(values, indent=2)
