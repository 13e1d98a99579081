"""`dlcv serve`: the models of a directory as a TF Serving compatible endpoint."""

import argparse
import logging
import math

from dlcv_tf.errors import InputError

# Options that are those of `serve.config.Config`, by name.
AS_THEY_ARE = (
    "models",
    "poll",
    "models_config",
    "config_poll",
    "labels_before_load",
    "unload_emptied",
    "host",
    "port",
    "tls_certificate",
    "tls_key",
    "cors",
    "grpc_compression",
    "tensor_content",
    "executor",
    "threads",
    "gpu_memory",
    "batching",
    "request_threads",
    "fronts",
    "timeout",
    "drain",
    "queue",
    "max_requests",
    "max_connections",
    "request_log",
    "log_pictures",
    "engine",
    "replicas",
    "max_replicas",
)


# Those of `serve.executors`, without the time to import it.
EXECUTORS = ("auto", "onnx", "tflite", "tflite_int8", "openvino", "openvino_int8", "tensorflow")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    _add_models(parser.add_argument_group("models"))
    _add_ports(parser.add_argument_group("ports, and who may call"))
    _add_running(parser.add_argument_group("how the networks run"))
    _add_limits(parser.add_argument_group("limits"))
    _add_ray(parser.add_argument_group("Ray Serve (an extra, dlcv-tf[ray])"))
    group = parser.add_argument_group("what is said")
    group.add_argument(
        "--request-log", metavar="FILE", help="append a line of JSON for each request"
    )
    group.add_argument(
        "--log-pictures", action="store_true", help="have the request log hold the bodies too"
    )
    group.add_argument("--json", action="store_true", help="print the ready line as JSON")
    group.add_argument(
        "--verbose",
        action="store_true",
        help="say what is loaded, and what was measured of it: threads, batches",
    )
    group.add_argument(
        "--print-config", action="store_true", help="print all options as JSON, and serve nothing"
    )


def _add_ray(group) -> None:
    group.add_argument(
        "--engine",
        choices=("embedded", "ray"),
        default="embedded",
        help="what runs the server: this process, or Ray Serve (default: %(default)s)",
    )
    group.add_argument(
        "--replicas",
        type=int,
        default=1,
        metavar="N",
        help="of the server, with --engine ray (default: %(default)s)",
    )
    group.add_argument(
        "--max-replicas",
        type=int,
        default=1,
        metavar="N",
        help="that Ray starts under load, where above --replicas",
    )


def _add_models(group) -> None:
    group.add_argument(
        "--models",
        default="savedmodels",
        metavar="DIR",
        help="directory of NAME/VERSION artifacts (default: %(default)s)",
    )
    group.add_argument(
        "--poll",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="between two looks for new versions, 0 for none (default: %(default)s)",
    )
    group.add_argument(
        "--models-config",
        metavar="FILE",
        help="TF Serving's models.config: names, directories, policies and labels of versions",
    )
    group.add_argument(
        "--config-poll",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="between two looks at --models-config, 0 for none (default: %(default)s)",
    )
    group.add_argument(
        "--labels-before-load",
        action="store_true",
        help="let a label point to a version that is not loaded",
    )
    group.add_argument(
        "--unload-emptied",
        action="store_true",
        help="unload a model whose directory holds no version any more, as TF Serving does",
    )


def _add_ports(group) -> None:
    group.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    group.add_argument(
        "--port",
        type=int,
        default=8501,
        help="HTTP port, 0 for a free one (default: %(default)s)",
    )
    group.add_argument(
        "--grpc-port",
        type=int,
        metavar="PORT",
        help="gRPC port (default: 8500, or a free one with --port 0)",
    )
    group.add_argument("--no-grpc", action="store_true", help="answer over HTTP alone")
    group.add_argument(
        "--token-file",
        metavar="FILE",
        help="its text is what clients must send as Authorization: Bearer TOKEN",
    )
    group.add_argument("--tls-certificate", metavar="FILE", help="PEM file, for HTTPS and gRPC")
    group.add_argument("--tls-key", metavar="FILE", help="PEM file of its private key")
    group.add_argument("--cors", action="store_true", help="let pages of other origins call")
    group.add_argument(
        "--grpc-compression",
        action="store_true",
        help="take compressed gRPC messages, which unfold before their number is limited: for "
        "clients that are trusted",
    )
    group.add_argument(
        "--tensor-content",
        action="store_true",
        help="gRPC answers hold bytes, not lists of values: quicker, if clients read them",
    )


def _add_running(group) -> None:
    group.add_argument(
        "--executor",
        choices=EXECUTORS,
        default="auto",
        metavar="NAME",
        help=f"what runs the networks: {', '.join(EXECUTORS)} (default: %(default)s)",
    )
    group.add_argument(
        "--threads",
        type=int,
        metavar="N",
        help="threads of one execution (default: measured at load)",
    )
    group.add_argument(
        "--gpu-memory",
        type=int,
        metavar="MEGABYTES",
        help="that TensorFlow may take for each version (default: as much as it needs)",
    )
    group.add_argument(
        "--batching",
        default="auto",
        metavar="HOW",
        help="auto (where it was measured to pay), off, or a file of TF Serving's batching "
        "parameters (default: %(default)s)",
    )
    group.add_argument(
        "--fronts",
        type=int,
        default=1,
        metavar="N",
        help="processes that share the ports, each with its own models and limits (default: "
        "%(default)s)",
    )
    group.add_argument(
        "--request-threads",
        type=int,
        default=32,
        metavar="N",
        help="requests that are worked on at once (default: %(default)s)",
    )


def _add_limits(group) -> None:
    group.add_argument(
        "--timeout",
        type=float,
        default=30.0,
        metavar="SECONDS",
        help="for a request that brings no deadline, and for its body (default: %(default)s)",
    )
    group.add_argument(
        "--drain",
        type=float,
        default=10.0,
        metavar="SECONDS",
        help="that requests under way get after SIGTERM or Ctrl-C; a second one cuts them "
        "(default: %(default)s)",
    )
    group.add_argument(
        "--queue",
        type=int,
        default=256,
        metavar="N",
        help="most requests that wait for one version; more get 503 (default: %(default)s)",
    )
    group.add_argument(
        "--max-requests",
        type=int,
        metavar="N",
        help="most requests under way at one port; more get 503 (default: --request-threads and "
        "--queue together)",
    )
    group.add_argument(
        "--max-connections",
        type=int,
        default=10_000,
        metavar="N",
        help="most open connections; beyond, the longest idle are closed (default: %(default)s)",
    )
    group.add_argument(
        "--max-megabytes",
        type=_positive,
        default=100,
        metavar="N",
        help="largest request body, inflated (default: %(default)s)",
    )
    group.add_argument(
        "--max-megabytes-together",
        type=_positive,
        default=1000,
        metavar="N",
        help="of all request bodies that arrive or are being answered; beyond, the largest get "
        "503 (default: %(default)s)",
    )
    group.add_argument(
        "--max-megapixels",
        type=_positive,
        default=50,
        metavar="N",
        help="most pixels of the encoded pictures in one request (default: %(default)s)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Serves until Ctrl-C or SIGTERM, or until its terminal is closed."""
    from dlcv_tf.serve import access, config

    if arguments.engine != "ray" and max(arguments.replicas, arguments.max_replicas) > 1:
        raise InputError("got --replicas or --max-replicas without --engine ray, which has them")

    file = arguments.token_file
    options = config.Config(
        **{name: getattr(arguments, name) for name in AS_THEY_ARE},
        grpc_port=_grpc_port(arguments),
        token=file and access.read_token(file, "--token-file"),
        max_body=int(arguments.max_megabytes * config.MEGABYTE),
        max_bodies=int(arguments.max_megabytes_together * config.MEGABYTE),
        max_pixels=int(arguments.max_megapixels * 1e6),
    )
    if arguments.print_config:
        print(options.to_json())
        return 0
    if arguments.verbose:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("dlcv_tf").setLevel(logging.INFO)
    if options.engine == "ray":
        from dlcv_tf.serve import ray_engine as engine
    else:
        from dlcv_tf.serve import server as engine

    engine.serve(options, as_json=arguments.json)
    return 0


def _grpc_port(arguments: argparse.Namespace) -> int | None:
    if arguments.no_grpc:
        return None
    if arguments.grpc_port is None:
        return 8500 if arguments.port else 0
    return arguments.grpc_port


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"got {text}, expected a number above zero")
    return value
