"""What may go wrong while serving, by gRPC's canonical codes, whatever the protocol."""

import enum
import re

# An absolute path: where the server's files lie is nothing for clients.
_PATH = re.compile(r"(?<![\w./:])(?:/[\w.+~-]+)+(?=/)")


class Code(enum.IntEnum):
    """The canonical codes, numbered as in gRPC and in TensorFlow's `error_codes.proto`."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


# TF Serving's `ToHTTPStatusCode` (model_servers/http_server.cc).
HTTP_STATUS = {
    Code.OK: 200,
    Code.CANCELLED: 499,
    Code.UNKNOWN: 500,
    Code.INVALID_ARGUMENT: 400,
    Code.DEADLINE_EXCEEDED: 504,
    Code.NOT_FOUND: 404,
    Code.ALREADY_EXISTS: 409,
    Code.PERMISSION_DENIED: 403,
    Code.RESOURCE_EXHAUSTED: 429,
    Code.FAILED_PRECONDITION: 400,
    Code.ABORTED: 409,
    Code.OUT_OF_RANGE: 400,
    Code.UNIMPLEMENTED: 501,
    Code.INTERNAL: 500,
    Code.UNAVAILABLE: 503,
    Code.DATA_LOSS: 500,
    Code.UNAUTHENTICATED: 401,
}


class ServingError(Exception):
    """A request that cannot be answered.

    Args:
        code: why, by canonical code.
        message: the text the client gets.
    """

    def __init__(self, code: Code, message: str):
        super().__init__(message)
        self.code = code
        self.message = message

    @property
    def http_status(self) -> int:
        """The HTTP status TF Serving gives for the code."""
        return HTTP_STATUS[self.code]


class TooLargeError(ServingError):
    """A body over the limit. TF Serving has none, so HTTP's own status is the clear one."""

    http_status = 413

    def __init__(self, message: str):
        super().__init__(Code.RESOURCE_EXHAUSTED, message)


class TooSlowError(ServingError):
    """A body that did not come in time. Only HTTP has such a status."""

    http_status = 408

    def __init__(self, message: str):
        super().__init__(Code.DEADLINE_EXCEEDED, message)


class NotAcceptableError(ServingError):
    """An answer that is not of the media type the client wants. Only HTTP has such a status."""

    http_status = 406

    def __init__(self, message: str):
        super().__init__(Code.INVALID_ARGUMENT, message)


def invalid(message: str) -> ServingError:
    """Returns the error of a request that is wrong in itself."""
    return ServingError(Code.INVALID_ARGUMENT, message)


def internal(error: Exception) -> ServingError:
    """Returns the error of a request that failed for a reason that nobody foresaw.

    The client hears its kind and text, for a report, but of paths only the last name.
    """
    text = f"{type(error).__name__}: {error}"
    return ServingError(Code.INTERNAL, _PATH.sub("...", text))
