"""What every room may raise when a user can mend the cause."""

import difflib
from collections.abc import Iterable


class InputError(ValueError):
    """Bad input: the message says what was got, what is expected and how to mend it.

    The command line prints it as one line and exits with status 2; the server answers 400.
    """


class RefusedError(RuntimeError):
    """What cannot be done though the input is right: the command line prints one line, status 1."""


def unknown(kind: str, name: str, known: Iterable[str], also: Iterable[str] = ()) -> InputError:
    """Returns the error for a name that is not among the known ones, with a suggestion.

    Args:
        kind: what the name stands for, e.g. `"recipe"`.
        name: the name that was given.
        known: the names there are.
        also: more names, which are suggested where close, but are too many to be listed.
    """
    names = sorted(known)
    close = difflib.get_close_matches(name, [*names, *also], n=1, cutoff=0.5)
    hint = f"did you mean {close[0]!r}?" if close else f"known are: {', '.join(names) or 'none'}"
    return InputError(f"unknown {kind} {name!r}: {hint}")
