"""What goes to the terminal: one JSON object, one-line complaints, and not TensorFlow's noise."""

import contextlib
import contextvars
import json
import os
import sys
import tempfile
from collections.abc import Iterator

_ANSWER = contextvars.ContextVar("where the JSON object goes while stdout is kept clear")


@contextlib.contextmanager
def only_json() -> Iterator[None]:
    """Sends all that is printed to stderr, so that `print_json` alone writes to stdout.

    Keras, TensorFlow Datasets and the converters print where they like.
    """
    before = _ANSWER.set(sys.stdout)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        _ANSWER.reset(before)


def print_json(value: dict) -> None:
    """Prints one JSON object, the whole answer of a verb under `--json`, on one line."""
    print(json.dumps(value), file=_ANSWER.get(sys.stdout), flush=True)


def complain(message: str) -> None:
    """Prints an error as one line on stderr."""
    print("dlcv:", " ".join(message.split()), file=sys.stderr)


def interrupted(hint: str) -> None:
    """Says after Ctrl-C that nothing is lost.

    Args:
        hint: how to go on.
    """
    if sys.stderr.isatty():
        print(file=sys.stderr)  # the terminal stands behind a progress bar and ^C
    complain(f"interrupted; what was saved stays as it is: {hint}")


@contextlib.contextmanager
def tensorflow_quietly() -> Iterator[None]:
    """Imports TensorFlow without the start-up messages of its C++ side, then runs the body.

    They come before any log level counts, so stderr itself is turned away meanwhile. What the body
    writes to stderr is shown.

    Raises:
        Exception: what the import raised; what it had written is shown then.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    if "tensorflow" not in sys.modules:
        with _stderr_held_back():
            import tensorflow  # noqa: F401
    yield


@contextlib.contextmanager
def _stderr_held_back() -> Iterator[None]:
    """Drops what this process, its C++ side included, writes to stderr, unless the body fails."""
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        except Exception:
            held.seek(0)
            os.write(stderr, held.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(stderr, 2)
            os.close(stderr)
