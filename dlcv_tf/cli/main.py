"""Entry point of the command line: finds the verb, runs it, and turns errors into one line."""

import argparse
import contextlib
import importlib
import os
import re
import sys
import typing

from dlcv_tf import __version__, errors
from dlcv_tf.cli import console

# Every verb is the module of its name beside this one, with `add_arguments(parser)` and
# `run(options) -> int`; only the one that is called gets imported.
VERBS = {
    "quickstart": "the main job from training to an answering endpoint, offline, in minutes",
    "list": "models, recipes, labs, data sets and artifacts there are",
    "train": "train a recipe; --resume goes on with an interrupted run",
    "search": "good hyperparameters of a recipe, coarse to fine; resumable, side by side",
    "evaluate": "metrics of a run or an artifact on a data set",
    "predict": "pictures in, answers out",
    "lab": "try one claim of the course: numbers and figure",
    "summary": "shapes, parameters, work, memory and receptive fields of a model",
    "data": "what is wrong with your pictures, boxes or masks, before a training",
    "check": "the nine-step training recipe, before a recipe or model is trained",
    "export": "a run to SavedModel, ONNX and TensorFlow Lite, certified format by format",
    "benchmark": "time every format of an artifact on this machine",
    "serve": "the models of a directory as a TF Serving compatible endpoint",
    "package": "models for TF Serving, Triton, Docker, Kubernetes, KServe or Ray Serve",
}

REFUSED = 1
BAD_INPUT = 2
INTERRUPTED = 130  # 128 + SIGINT, as shells count


class Parser(argparse.ArgumentParser):
    """A parser whose complaints are errors of ours: one line, and how to mend it."""

    def error(self, message: str) -> typing.NoReturn:
        """Raises what argparse would print with its usage and exit on."""
        raise errors.InputError(f"{message}: {self.prog} --help shows what it takes")


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line.

    Args:
        arguments: what follows `dlcv`; the process's own by default.

    Returns:
        The exit status: 0, 1 where the machine refuses, 2 for bad input, 130 for Ctrl-C.
    """
    try:
        status = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()  # here, so that a reader that has gone is noticed below
        return status
    except KeyboardInterrupt:
        console.interrupted("dlcv train and dlcv search go on with --resume")
        return INTERRUPTED
    except (errors.InputError, errors.RefusedError, OSError) as error:
        if os.environ.get("DLCV_TRACEBACK") == "1":
            raise
        if isinstance(error, BrokenPipeError):  # the reader has gone, as in `dlcv list | head -1`
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return REFUSED
        if isinstance(error, errors.InputError):
            console.complain(str(error))
            return BAD_INPUT
        filename = getattr(error, "filename", None)
        console.complain(f"{filename}: {error.strerror}" if filename else str(error))
        return REFUSED


def _run(arguments: list[str]) -> int:
    parser = _top_parser()
    verb = parser.parse_args(arguments[:1]).verb
    if verb is None:
        parser.print_help()
        return 0
    if verb not in VERBS:
        raise errors.unknown("verb", verb, VERBS)
    module = importlib.import_module(f"dlcv_tf.cli.{verb}")
    options = _parse(verb, module, arguments[1:])
    # `serve` prints its one line itself, as soon as it is ready, and goes on.
    alone = getattr(options, "json", False) and verb != "serve"
    with console.only_json() if alone else contextlib.nullcontext():
        return module.run(options)


def _top_parser() -> Parser:
    width = max(map(len, VERBS))
    verbs = "\n".join(f"  {verb:{width}}  {text}" for verb, text in VERBS.items())
    parser = Parser(
        prog="dlcv",
        usage="dlcv VERB [TARGET] [key=value ...] [--json]",
        description="Deep learning for computer vision: train, export, certify, serve.",
        epilog=f"verbs:\n{verbs}\n\n`dlcv VERB --help` shows what a verb takes.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("verb", nargs="?", help=argparse.SUPPRESS)
    parser.add_argument("--version", action="version", version=f"dlcv {__version__}")
    return parser


def _parse(verb: str, module, arguments: list[str]) -> argparse.Namespace:
    """Returns a verb's options, given in any order: `key=value` may stand after `--resume`."""
    parser = Parser(
        prog=f"dlcv {verb}", description=module.__doc__.partition(": ")[2], allow_abbrev=False
    )
    module.add_arguments(parser)
    options, unknown = parser.parse_known_intermixed_args(arguments)
    if unknown and unknown[0].startswith("-"):
        name = unknown[0].partition("=")[0]
        known = re.findall(r"--[a-z][a-z-]*", parser.format_usage())
        raise errors.unknown(f"option of dlcv {verb}", name, known)
    if unknown:
        parser.error(f"got {unknown[0]!r}, expected nothing more")
    return options


if __name__ == "__main__":
    sys.exit(main())
