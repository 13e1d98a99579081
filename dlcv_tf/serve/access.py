"""Who may call: the bearer token, pages of other origins, and what to say where all may."""

import hmac
import ipaddress
import pathlib

from dlcv_tf.errors import InputError
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError
from dlcv_tf.serve.http_messages import Request

SAFE = ("GET", "HEAD", "OPTIONS")  # methods, which change nothing
OTHER_SITES = ("cross-site", "same-site")  # W3C Fetch Metadata: the others are "same-origin", none


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
        got = "another token" if authorization else "no token"
        raise ServingError(
            Code.UNAUTHENTICATED, f"got {got}, expected the header Authorization: Bearer TOKEN"
        )


def check_origin(config: Config, request: Request) -> None:
    """Raises PERMISSION_DENIED for what the page of another origin has a browser send.

    Browsers keep such a page from reading answers, but do send what it posts: without this, any
    page on the web could unload the models of a server on its reader's machine.

    Args:
        config: the server's options: `cors` lets such pages call.
        request: as it came. Only browsers send `Sec-Fetch-Site` and `Origin`, which no page can
            change; the former not over plain HTTP to other machines.
    """
    site = request.headers.get("sec-fetch-site", "")
    origin = request.headers.get("origin", "").lower()
    if (
        not site
        and origin
        and origin.partition("://")[2] != request.headers.get("host", "").lower()
    ):
        site = "cross-site"
    if not config.cors and site in OTHER_SITES and request.method not in SAFE:
        raise ServingError(
            Code.PERMISSION_DENIED,
            f"got a request of a page of another origin ({site}): start the server with --cors to "
            "let such pages call",
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
