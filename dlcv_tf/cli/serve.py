"""`dlcv serve`: the models of a directory as a TF Serving compatible endpoint."""

import argparse
import math


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


def run(arguments: argparse.Namespace) -> int:
    """Serves until Ctrl-C or SIGTERM."""
    from dlcv_tf.serve import config, server

    options = config.Config(
        models=arguments.models,
        host=arguments.host,
        port=arguments.port,
        max_body=int(arguments.max_megabytes * config.MEGABYTE),
        max_pixels=int(arguments.max_megapixels * 1e6),
    )
    server.serve(options, as_json=arguments.json)
    return 0


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"got {text}, expected a number above zero")
    return value
