"""Who may call: the bearer token, and what is to be said where there is none."""

import hmac
import ipaddress
import pathlib

from dlcv_tf.errors import InputError
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError


def check_token(config: Config, authorization: str) -> None:
    """Raises UNAUTHENTICATED unless the request brings the server's token, if it has one.

    Args:
        config: the server's options.
        authorization: the request's `Authorization` header, "" where it has none.
    """
    if config.token is None:
        return
    scheme, _, token = authorization.partition(" ")
    given = token.strip().encode(errors="surrogateescape")
    # In a time that does not tell how much of a wrong token is right.
    is_right = hmac.compare_digest(given, config.token.encode())
    if scheme.lower() != "bearer" or not is_right:
        got = "another token" if authorization else "none"
        raise ServingError(
            Code.UNAUTHENTICATED, f"got {got}, expected the header Authorization: Bearer TOKEN"
        )


def read_token(path: str, option: str) -> str:
    """Reads the token from a file: what stands on a command line, all users of a machine see.

    Args:
        path: of the file.
        option: how the user named it, for the error.

    Raises:
        InputError: for a file that cannot be read.
    """
    try:
        return pathlib.Path(path).read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"got {option} {path}, which cannot be read: {error}") from None


def warning(config: Config) -> str | None:
    """Returns what is to be said of a server that whoever reaches the machine may call."""
    if config.token is not None or config.host == "localhost":
        return None
    try:
        if ipaddress.ip_address(config.host).is_loopback:
            return None
    except ValueError:  # a name: who knows
        pass
    return (
        f"anyone who reaches {config.host} may call: set a token (--token-file), or listen on "
        "127.0.0.1 behind a proxy that checks who calls"
    )
