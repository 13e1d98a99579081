"""Every option of the server, with its default: what `dlcv serve --print-config` shows."""

import dataclasses
import json
import math
import ssl

from dlcv_tf.errors import InputError

MEGABYTE = 2**20
MAX_PIXELS = 50_000_000  # `pictures.MAX_PIXELS`, without the time to import NumPy and Pillow


@dataclasses.dataclass(frozen=True)
class Config:
    """How a server serves. The defaults are safe on a machine that others can reach.

    With several `fronts`, every limit is that of one of them.

    Args:
        models: directory of NAME/VERSION artifacts; not read where `models_config` is given.
        models_config: TF Serving's `models.config` (text of a ModelServerConfig), or None.
        poll: seconds between two looks at the versions on disk; 0 looks once, at the start.
        config_poll: seconds between two looks at `models_config`; 0 looks once, at the start.
        host: address to listen on.
        port: HTTP port; 0 takes a free one.
        grpc_port: gRPC port; 0 takes a free one, None has no gRPC.
        executor: `"auto"`, or one of `executors.NAMES`, which runs the networks.
        threads: of one execution; None measures at load whether more than one pays.
        gpu_memory: megabytes of GPU memory that TensorFlow may take for each version; None for as
            much as it needs.
        batching: `"auto"` measures at load whether batches pay, `"off"` makes none; otherwise a
            file of TF Serving's BatchingParameters.
        queue: most requests of one model version that may wait; more are refused (503).
        timeout: seconds a request may take that brings no deadline of its own.
        drain: seconds that requests under way get to finish after SIGTERM.
        fronts: processes that share the ports, each with its own copy of the models; who starts
            several says so to each of them.
        engine: `"embedded"`, this process and its fronts, or `"ray"`, replicas on Ray Serve.
        replicas: of the server on Ray, each with its own copy of the models.
        max_replicas: how many Ray may start where load asks for them; as many as `replicas`, or
            fewer, for no such scaling.
        request_threads: requests that are worked on at once, those waiting for a batch included.
        max_requests: requests of one port that are under way or wait for a thread; more are refused
            (503). None for `request_threads` and `queue` together.
        max_connections: open ones of HTTP, and as many of gRPC; beyond, those that idle longest are
            closed, and where none idles, new ones are refused.
        max_body: largest request body in bytes, before and after inflation.
        max_bodies: bytes of all request bodies together, of HTTP from their first byte until they
            are answered; beyond, the largest that still arrive are refused (503). As many of gRPC,
            from the moment that they are whole.
        max_pixels: of all encoded pictures in one request together.
        token: what clients must send as `Authorization: Bearer TOKEN`, or None.
        tls_certificate: PEM file of the certificate chain, or None for plain HTTP and gRPC.
        tls_key: PEM file of its private key.
        cors: whether pages of other origins may call.
        request_log: file that gets a line of JSON for each request, or None.
        log_pictures: whether that log holds the pictures too.
        grpc_compression: clients may compress gRPC messages; whoever may call could then have
            them unfold to more than the machine has.
        tensor_content: gRPC answers hold bytes, rather than TF Serving's lists of values.
        labels_before_load: a version label may point to a version that is not loaded.
        unload_emptied: a model whose directory holds no version any more is unloaded, as in TF
            Serving; otherwise the versions that served last go on.
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
    gpu_memory: int | None = None
    batching: str = "auto"
    queue: int = 256
    timeout: float = 30.0
    drain: float = 10.0
    fronts: int = 1
    engine: str = "embedded"
    replicas: int = 1
    max_replicas: int = 1
    request_threads: int = 32
    max_requests: int | None = None
    max_connections: int = 10_000
    max_body: int = 100 * MEGABYTE
    max_bodies: int = 1000 * MEGABYTE
    max_pixels: int = MAX_PIXELS
    token: str | None = None
    tls_certificate: str | None = None
    tls_key: str | None = None
    cors: bool = False
    request_log: str | None = None
    log_pictures: bool = False
    grpc_compression: bool = False
    tensor_content: bool = False
    labels_before_load: bool = False
    unload_emptied: bool = False

    def __post_init__(self):
        for name, least in LEAST.items():
            value = getattr(self, name)
            if value is not None and not least <= value < math.inf:
                raise InputError(f"got {name} {value}, expected a number from {least} up")
        if self.max_requests is None:
            object.__setattr__(self, "max_requests", self.request_threads + self.queue)
        for name in ("port", "grpc_port"):
            port = getattr(self, name)
            if port is not None and not 0 <= port <= 65535:
                raise InputError(f"got {name} {port}, expected 0 to 65535, 0 for a free one")
        if self.port and self.port == self.grpc_port:
            raise InputError(f"got port {self.port} for HTTP and gRPC, expected two ports")
        if self.token is not None and not (self.token.isascii() and self.token.isprintable()):
            raise InputError("got a token of other than printable ASCII characters")
        if self.token is not None and not self.token.strip():
            raise InputError("got an empty token: leave it out, or give one")
        if (self.tls_certificate is None) != (self.tls_key is None):
            got, lacks = ("key", "certificate") if self.tls_key else ("certificate", "key")
            raise InputError(f"got --tls-{got} without --tls-{lacks}, expected both")
        if self.log_pictures and self.request_log is None:
            raise InputError("got --log-pictures without --request-log FILE, which is to hold them")
        if self.tls_certificate is not None:
            self.tls_context()

    def tls_context(self) -> ssl.SSLContext:
        """Returns what HTTPS takes of the certificate and the key.

        Raises:
            InputError: for files that cannot be read, or that do not belong together.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        try:
            context.load_cert_chain(self.tls_certificate, self.tls_key)
        except (OSError, ssl.SSLError) as error:
            raise InputError(
                f"got certificate {self.tls_certificate} and key {self.tls_key}, expected PEM "
                f"files that belong together: {error}"
            ) from None
        return context

    def to_json(self) -> str:
        """Returns the options as JSON, without the token."""
        values = dataclasses.asdict(self) | {"token": self.token and "(set, not shown)"}
        return json.dumps(values, indent=2)


# What each number is at least.
LEAST = {
    "poll": 0,
    "config_poll": 0,
    "threads": 1,
    "gpu_memory": 1,
    "queue": 1,
    "timeout": 0.001,
    "drain": 0,
    "fronts": 1,
    "replicas": 1,
    "max_replicas": 1,
    "request_threads": 1,
    "max_requests": 1,
    "max_connections": 1,
    "max_body": 1,
    "max_bodies": 1,
    "max_pixels": 1,
}
