"""The gRPC port: TF Serving's services, KServe's and health, their threads, TLS and the token."""

import pathlib
import time
from collections.abc import Callable
from concurrent import futures

import grpc

from dlcv_tf.errors import InputError
from dlcv_tf.serve import grpc_health, grpc_methods, kserve_grpc, tensorflow_grpc
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError
from dlcv_tf.serve.grpc_threads import Threads
from dlcv_tf.serve.repository import Repository

STREAMS = 64  # open at once; each holds a thread
REFUSING = 0.1  # seconds between the last request taken and the end of all connections
HEALTH = 64  # threads for health checks, which must not wait for the others
REFUSALS = 4  # threads for refusals, which wait for nothing

# Seconds without a message of its client after which an RPC, a stream of them, or a health check
# gives its thread to another one that needs it.
PATIENCE = 1.0
STREAM_PATIENCE = 30.0
HEALTH_PATIENCE = 0.1

# What a client may do to the port without asking anything: not keep a connection that is dead,
# unused, or never spoke; but look every ten seconds whether the server is there.
CONNECTIONS = (
    ("grpc.keepalive_time_ms", 60_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.max_connection_idle_ms", 300_000),
    ("grpc.server_handshake_timeout_ms", 20_000),
    ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
    ("grpc.keepalive_permit_without_calls", 1),
    ("grpc.max_concurrent_streams", 1024),
    ("grpc.max_metadata_size", 64 * 1024),
)

# Path of an RPC to its method.
METHODS: dict[str, grpc_methods.Method] = {**tensorflow_grpc.METHODS, **kserve_grpc.METHODS}

CHECK = grpc_methods.Method("grpc_health", "check", bytes, lambda *arguments: None)  # if refused
BUSY = "all threads are busy and the queue is full: try again later"


def start(models: Repository, config: Config, observe: Callable[[Call], None]) -> "Server":
    """Starts to answer; health says NOT_SERVING until the models are loaded.

    Args:
        models: they may still be loading.
        config: the server's options: host, grpc_port, limits, TLS, token.
        observe: gets every call at its end, from many threads.

    Raises:
        InputError: for a port that cannot be had.
    """
    return Server(models, config, observe)


class Server:
    """A running gRPC server; `start` makes it.

    Attributes:
        port: that it listens on.
    """

    def __init__(self, models: Repository, config: Config, observe: Callable[[Call], None]):
        self._health = grpc_health.Health(models)
        # A thread is taken before a request has arrived: there are as many as may wait for a turn.
        self._threads = Threads(config.max_requests, "grpc", PATIENCE)
        self._services = _Services(models, config, observe, self._health, self._threads)
        self._server = grpc.server(
            self._threads,
            handlers=[self._services],
            options=[
                ("grpc.max_receive_message_length", config.max_body),
                ("grpc.max_send_message_length", -1),
                ("grpc.so_reuseport", int(config.fronts > 1)),
                ("grpc.max_allowed_incoming_connections", config.max_connections),
                ("grpc.compression_enabled_algorithms_bitset", _algorithms(config)),
                *CONNECTIONS,
            ],
        )
        self.port = _bind(self._server, config)
        self._server.start()

    def stop(self, grace: float) -> None:
        """Refuses further requests (UNAVAILABLE), and waits for those under way.

        Args:
            grace: seconds they get; what is not answered by then is cancelled.
        """
        self._health.stop()
        self._services.stop()
        # What gRPC has received, but not yet asked a handler for, would be cancelled by its stop,
        # which no client takes for a reason to try elsewhere; so it is refused first.
        refusing = min(REFUSING, grace)
        time.sleep(refusing)
        self._server.stop(grace - refusing).wait()
        self._threads.shutdown(wait=False)

    @property
    def is_busy(self) -> bool:
        """Whether a thread still works on a request."""
        return self._threads.taken > 0


class _Services(grpc.GenericRpcHandler):
    """Finds the handler of an RPC, before any of its request has been read."""

    def __init__(self, models, config, observe, health, threads):
        self._config = config
        self._is_stopped = False
        self._runner = grpc_methods.Runner(models, config, observe)
        self._threads = threads
        self._stream_threads = Threads(STREAMS, "grpc-stream", STREAM_PATIENCE)
        self._health_threads = Threads(HEALTH, "grpc-health", HEALTH_PATIENCE)
        self._refusals = futures.ThreadPoolExecutor(REFUSALS, "grpc-refusal")
        self._health = {
            path: self._health_threads.handler(handler)
            for path, handler in health.handlers(self._health_threads).items()
        }
        self._handlers = {
            path: self._threads_of(method).handler(self._runner.handler(method))
            for path, method in METHODS.items()
        }

    def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
        """Returns the handler of an RPC; None, which is UNIMPLEMENTED, for one there is not."""
        if details.method in self._health:
            if self._health_threads.make_room():
                return self._health[details.method]
            return self._refusal(CHECK, ServingError(Code.UNAVAILABLE, BUSY))
        method = METHODS.get(details.method)
        if method is None:
            return None
        try:
            if self._is_stopped:
                raise ServingError(Code.UNAVAILABLE, "the server stops: ask another one")
            grpc_methods.check_caller(self._config, details.invocation_metadata)
            if not self._threads_of(method).make_room():
                raise ServingError(Code.UNAVAILABLE, BUSY)
        except ServingError as error:
            return self._refusal(method, error)
        return self._handlers[details.method]

    def stop(self) -> None:
        """Refuses every RPC from now on, but for health."""
        self._is_stopped = True

    def _threads_of(self, method: grpc_methods.Method) -> Threads:
        return self._stream_threads if method.on_error else self._threads

    def _refusal(self, method: grpc_methods.Method, error: ServingError) -> grpc.RpcMethodHandler:
        def refuse(requests, context):
            self._runner.refuse(method, error, context)

        refuse.experimental_thread_pool = self._refusals
        # As a stream, it is called before the request has arrived.
        return grpc.stream_unary_rpc_method_handler(refuse)


def _algorithms(config: Config) -> int:
    """Returns a bit for each way to compress a message that clients may use.

    gRPC inflates a message before anybody is asked, so many that come at once are bounded by
    nothing: sixty-four of 90 KB take 6 GB.
    """
    allowed = [grpc.Compression.NoCompression]
    if config.grpc_compression:
        allowed += [grpc.Compression.Deflate, grpc.Compression.Gzip]
    return sum(1 << int(algorithm) for algorithm in allowed)


def _bind(server: grpc.Server, config: Config) -> int:
    """Gives the server its address; returns the port."""
    host = f"[{config.host}]" if ":" in config.host else config.host
    address = f"{host}:{config.grpc_port}"
    try:
        if config.tls_certificate is None:
            return server.add_insecure_port(address)
        pair = [pathlib.Path(p).read_bytes() for p in (config.tls_key, config.tls_certificate)]
        return server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    except RuntimeError:
        raise InputError(
            f"cannot listen on port {config.grpc_port} of {config.host} for gRPC: it is in use, or "
            "no address of this machine; choose another with --grpc-port (0 takes a free one)"
        ) from None
