"""`dlcv serve`: the models of a directory as a TF Serving compatible endpoint."""

import argparse
import math
import pathlib

from dlcv_tf.errors import InputError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the verb's options."""
    parser.add_argument(
        "--models",
        default="savedmodels",
        metavar="DIR",
        help="directory of NAME/VERSION artifacts (default: %(default)s)",
    )
    parser.add_argument(
        "--host", default="127.0.0.1", help="address to listen on (default: %(default)s)"
    )
    parser.add_argument(
        "--port",
        type=int,
        default=8501,
        help="HTTP port, 0 for a free one (default: %(default)s)",
    )
    parser.add_argument(
        "--grpc-port",
        type=int,
        metavar="PORT",
        help="gRPC port (default: 8500, or a free one with --port 0)",
    )
    parser.add_argument("--no-grpc", action="store_true", help="answer over HTTP alone")
    parser.add_argument(
        "--models-config",
        metavar="FILE",
        help="TF Serving's models.config: names, directories, policies and labels of versions",
    )
    parser.add_argument(
        "--poll",
        type=float,
        default=1.0,
        metavar="SECONDS",
        help="between two looks for new versions, 0 for none (default: %(default)s)",
    )
    parser.add_argument(
        "--executor",
        default="auto",
        metavar="NAME",
        help="what runs the networks: auto, onnx, tflite, tflite_int8, openvino, openvino_int8 or "
        "tensorflow (default: %(default)s)",
    )
    parser.add_argument(
        "--batching",
        default="auto",
        metavar="HOW",
        help="auto (where it was measured to pay), off, or a file of TF Serving's batching "
        "parameters (default: %(default)s)",
    )
    parser.add_argument(
        "--config-poll",
        type=float,
        default=0.0,
        metavar="SECONDS",
        help="between two looks at --models-config, 0 for none (default: %(default)s)",
    )
    parser.add_argument(
        "--token-file",
        metavar="FILE",
        help="its text is what clients must send as Authorization: Bearer TOKEN",
    )
    parser.add_argument("--tls-certificate", metavar="FILE", help="PEM file, for HTTPS and gRPC")
    parser.add_argument("--tls-key", metavar="FILE", help="PEM file of its private key")
    parser.add_argument("--cors", action="store_true", help="let pages of other origins call")
    parser.add_argument(
        "--request-log", metavar="FILE", help="append a line of JSON for each request"
    )
    parser.add_argument(
        "--log-pictures", action="store_true", help="have the request log hold the bodies too"
    )
    parser.add_argument(
        "--max-megabytes",
        type=_positive,
        default=100,
        metavar="N",
        help="largest request body, inflated (default: %(default)s)",
    )
    parser.add_argument(
        "--max-megapixels",
        type=_positive,
        default=50,
        metavar="N",
        help="most pixels of the encoded pictures in one request (default: %(default)s)",
    )
    parser.add_argument("--json", action="store_true", help="print the ready line as JSON")
    parser.add_argument(
        "--print-config", action="store_true", help="print all options as JSON, and serve nothing"
    )


def run(arguments: argparse.Namespace) -> int:
    """Serves until Ctrl-C or SIGTERM."""
    from dlcv_tf.serve import config

    options = config.Config(
        models=arguments.models,
        host=arguments.host,
        port=arguments.port,
        grpc_port=_grpc_port(arguments),
        models_config=arguments.models_config,
        poll=arguments.poll,
        config_poll=arguments.config_poll,
        token=_token(arguments.token_file),
        tls_certificate=arguments.tls_certificate,
        tls_key=arguments.tls_key,
        cors=arguments.cors,
        request_log=arguments.request_log,
        log_pictures=arguments.log_pictures,
        executor=arguments.executor,
        batching=arguments.batching,
        max_body=int(arguments.max_megabytes * config.MEGABYTE),
        max_pixels=int(arguments.max_megapixels * 1e6),
    )
    if arguments.print_config:
        print(options.to_json())
        return 0
    from dlcv_tf.serve import server

    server.serve(options, as_json=arguments.json)
    return 0


def _grpc_port(arguments: argparse.Namespace) -> int | None:
    if arguments.no_grpc:
        return None
    if arguments.grpc_port is None:
        return 8500 if arguments.port else 0
    return arguments.grpc_port


def _token(path: str | None) -> str | None:
    """Reads the token, which must not stand on the command line: all users of a machine see it."""
    if path is None:
        return None
    try:
        return pathlib.Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"got --token-file {path}, which cannot be read: {error}") from None


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"got {text}, expected a number above zero")
    return value
