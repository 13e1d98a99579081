"""The same server as a Ray Serve application: replicas of it, on one machine or on many.

Ray's proxies own the ports. They hand each request to a replica, which answers it with the same
`App` and the same methods of gRPC as the embedded server, from its own copy of the models. So
versions, policies and labels are what they are there: every replica looks at the same directory.

    dlcv serve --engine ray             a cluster on this machine, or the one of RAY_ADDRESS
    serve deploy serve_config.yaml      import_path: dlcv_tf.serve.ray_engine:application

This module imports Ray only where it is used: it is an extra.
"""

import dataclasses
import logging
import os
import secrets
import shutil
import signal
import threading

import grpc

from dlcv_tf.errors import InputError
from dlcv_tf.serve import access, grpc_server, http_server, ray_replica, stopping
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.repository import Repository

APPLICATION = "dlcv"  # name of the application
SERVICERS = "dlcv_tf.serve.ray_engine.add_to_server"
# What Ray counts for a replica. Half a core each leaves room for as many new ones, which start
# before the old ones stop, where there are as many replicas as cores.
CORES = 0.5

log = logging.getLogger(__name__)


def serve(config: Config, as_json: bool = False) -> None:
    """Serves on Ray until SIGINT (Ctrl-C) or SIGTERM; prints one line when ready.

    Args:
        config: the server's options.
        as_json: print the ready line as JSON.

    Raises:
        InputError: without Ray, for a directory without models, a port that cannot be had.
    """
    _prepare()
    from dlcv_tf.serve import server

    _check(config)
    Repository(config)  # says at once what is wrong with the directory
    config = _placed(config)
    stop, run = threading.Event(), secrets.token_hex(8)
    ray_serve = start(config)
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in stopping.signals()}
    try:
        deployed = deploy(config, run)
        ready = {
            "rest": server.url(config, config.host, config.port),
            "grpc": config.grpc_port and server.address(config.host, config.grpc_port),
            "models": deployed.served.remote().result(),
        }
        print(server.ready_line(ready, as_json), flush=True)
        stop.wait()
    finally:
        ray_serve.delete(APPLICATION)  # the replicas answer what they have first
        _ray().shutdown()
        shutil.rmtree(ray_replica.counts(run), ignore_errors=True)
        for number, handler in before.items():
            signal.signal(number, handler)


def start(config: Config):
    """Starts Ray, or connects to the cluster of RAY_ADDRESS, and opens the ports.

    A cluster of its own asks its processes for a secret (Ray's token authentication): the ports
    that they talk through are open to all interfaces, and whoever may use them may run programs.

    Args:
        config: the server's options, with ports.

    Returns:
        The module `ray.serve`.
    """
    _prepare()
    ray = _ray()
    ray.init(include_dashboard=False, logging_level="WARNING")
    from ray import serve as ray_serve

    tls = {"ssl_certfile": config.tls_certificate, "ssl_keyfile": config.tls_key}
    options = {
        "proxy_location": "EveryNode",
        "http_options": {
            "host": config.host,
            "port": config.port,
            "keep_alive_timeout_s": http_server.KEEP_ALIVE,
            "request_timeout_s": config.timeout,
            **(tls if config.tls_certificate else {}),
        },
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
    }
    if config.grpc_port is not None:
        options["grpc_options"] = {
            "port": config.grpc_port,
            "grpc_servicer_functions": [SERVICERS],
            "request_timeout_s": config.timeout,
            "enable_reflection": False,
        }
    ray_serve.start(**options)
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    return ray_serve


def deploy(config: Config, run: str | None = None):
    """Puts the application in place, or in that of the one before, and waits until it serves.

    Args:
        config: the server's options.
        run: names what the replicas count together; a new name by default.

    Returns:
        Ray's handle of the deployment.

    Raises:
        InputError: where the replicas cannot load the models.
    """
    from ray import serve as ray_serve

    try:
        return ray_serve.run(bound(config, run), name=APPLICATION, route_prefix="/")
    except RuntimeError as error:
        found = ray_serve.status().applications[APPLICATION].deployments
        said = found["Models"].message if "Models" in found else str(error)
        lines = [line for line in said.splitlines() if line.strip()]
        raise InputError(f"Ray cannot start the replicas: {lines[-1].strip()}") from None


def application(args: dict):
    """Builds the application from the arguments of a Serve config file (YAML).

    Args:
        args: fields of `Config`: models, executor, replicas, max_replicas, ...; instead of the
            token `token_file`, a file that holds it, since Ray shows the arguments to operators.

    Returns:
        A bound Ray Serve application.

    Raises:
        InputError: for an unknown field, or a wrong value.
    """
    known = {field.name for field in dataclasses.fields(Config)} - {"token"} | {"token_file"}
    if unknown := sorted(set(args) - known):
        raise InputError(f"got args {unknown}, expected some of {sorted(known)}")
    values = dict(args)
    if file := values.pop("token_file", None):
        values["token"] = access.read_token(file, "token_file")
    return bound(_absolute(Config(**values)))


def bound(config: Config, run: str | None = None):
    """Returns the application as Ray's `serve.run` takes it.

    Args:
        config: the server's options; paths are those of every machine of the cluster.
        run: names what the replicas count together; a new name by default.
    """
    _ray()
    from ray import serve as ray_serve

    deployment = ray_serve.deployment(
        ray_serve.ingress()(ray_replica.Models), **deployment_options(config)
    )
    return deployment.bind(dataclasses.asdict(config), run or secrets.token_hex(8))


def deployment_options(config: Config) -> dict:
    """Returns the options of the deployment that follow from the server's.

    Args:
        config: the server's options.
    """
    options = {
        "name": "Models",
        "max_ongoing_requests": config.request_threads,
        "max_queued_requests": config.queue,
        "graceful_shutdown_timeout_s": config.drain,
        "graceful_shutdown_wait_loop_s": min(0.5, config.drain),
        "health_check_period_s": 2.0,
        "max_constructor_retry_count": 2,
        # New replicas load and warm before old ones stop; by default Ray stops old ones first.
        "max_surge_percent": 100,
        "ray_actor_options": {"num_cpus": CORES},
        "logging_config": {"log_level": "WARNING", "enable_access_log": False},
    }
    if config.max_replicas > config.replicas:
        limits = {"min_replicas": config.replicas, "max_replicas": config.max_replicas}
        return options | {"autoscaling_config": limits}
    return options | {"num_replicas": config.replicas}


def add_to_server(servicer, server: grpc.Server) -> None:
    """Adds the RPCs to the server of Ray's proxy (a function of `grpc_servicer_functions`).

    The proxy passes bytes on, and parses none of them.

    Args:
        servicer: Ray's, whose methods stand for those of `Models`.
        server: of the proxy.
    """
    services: dict[str, dict[str, grpc.RpcMethodHandler]] = {}
    for path in (*grpc_server.METHODS, ray_replica.HEALTH_CHECK):
        service, name = path.strip("/").split("/")
        is_stream = path in grpc_server.METHODS and grpc_server.METHODS[path].on_error
        make = (
            grpc.stream_stream_rpc_method_handler
            if is_stream
            else grpc.unary_unary_rpc_method_handler
        )
        services.setdefault(service, {})[name] = make(getattr(servicer, name))
    for service, handlers in services.items():
        handler = grpc.method_handlers_generic_handler(service, handlers)
        server.add_generic_rpc_handlers((handler,))


def _prepare() -> None:
    """Sets what Ray reads when it is imported; a cluster of our own is closed to others."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # Seconds after which a proxy that died is noticed, and another one started.
    os.environ.setdefault("RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S", "1")
    if "RAY_ADDRESS" not in os.environ and os.environ.get("RAY_AUTH_MODE", "token") == "token":
        os.environ["RAY_AUTH_MODE"] = "token"
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))


def _ray():
    """Returns the module, or says how to have it."""
    try:
        import ray
        import ray.serve
    except ImportError as error:
        raise InputError(
            f"got --engine ray without Ray ({error}): install the extra `ray` of dlcv-tf "
            "(pip install '.[ray]' in its directory), or serve with --engine embedded"
        ) from None
    return ray


def _check(config: Config) -> None:
    """Refuses what Ray cannot do, and says what it does otherwise."""
    if config.fronts > 1:
        raise InputError(
            f"got --fronts {config.fronts} with --engine ray, which has processes of its own: say "
            "how many with --replicas"
        )
    _ray()
    if warning := access.warning(config):
        log.warning("%s", warning)
    if config.tls_certificate and config.grpc_port is not None:
        raise InputError(
            "got a certificate with --engine ray, whose gRPC has no TLS: add --no-grpc, or have a "
            "proxy speak TLS in front"
        )
    if config.grpc_port is not None:
        log.warning(
            "Ray listens on all interfaces with gRPC, whatever --host says, and with ports of its "
            "own: keep them behind a firewall, and set a token (--token-file)"
        )


def _placed(config: Config) -> Config:
    """Returns the options with absolute paths, and with free ports in the place of 0."""
    port = _port(config.host, config.port)
    grpc_port = config.grpc_port if config.grpc_port is None else _port("", config.grpc_port)
    return dataclasses.replace(_absolute(config), port=port, grpc_port=grpc_port)


def _port(host: str, port: int) -> int:
    """Returns a port that can be had; Ray would only log that it cannot."""
    from dlcv_tf.serve import server

    if "RAY_ADDRESS" in os.environ and port:  # its proxies may listen there already
        return port
    with server.bind(host or "0.0.0.0", port) as listener:  # noqa: S104 as Ray will
        return listener.getsockname()[1]


def _absolute(config: Config) -> Config:
    """Replicas start in directories of their own."""
    names = ("models", "models_config", "request_log")
    paths = {name: getattr(config, name) for name in names}
    return dataclasses.replace(
        config, **{name: path and os.path.abspath(path) for name, path in paths.items()}
    )
