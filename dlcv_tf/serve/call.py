"""One request on its way through the server: its deadline, and what is measured of it."""

import contextlib
import dataclasses
import itertools
import re
import secrets
import time
from collections.abc import Iterator

from dlcv_tf.serve.errors import Code, ServingError

_PREFIX = secrets.token_hex(6)  # tells this process's ids from those of all others
_NUMBERS = itertools.count(1)
_PLAIN = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")


@dataclasses.dataclass
class Call:
    """What metrics and the request log say about one request; every step of the way adds to it.

    Args:
        api: the protocol, e.g. `"tensorflow_rest"`, `"kserve_grpc"`.
        deadline: when the answer is of no use any more, by `time.monotonic()`; None for never.
    """

    api: str = ""
    deadline: float | None = None
    method: str = ""  # what is asked: predict, metadata, status, ...
    model: str = ""  # only a name that exists
    version: int = 0
    signature: str = ""
    pictures: int = 0  # in the request
    batch: int = 0  # pictures that ran together with them, themselves included
    code: Code = Code.OK
    error: str = ""  # its text, for another code than OK
    request_id: str = ""
    peer: str = ""  # address and port of the client
    path: str = ""  # of HTTP, behind the method: as sent
    status: int = 0  # of HTTP
    bytes_in: int = 0
    bytes_out: int = 0
    body: bytes | None = None  # of the request, only where the log is to hold it
    started: float = dataclasses.field(default_factory=time.monotonic)
    stages: dict[str, float] = dataclasses.field(default_factory=dict)  # seconds

    @contextlib.contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Adds the seconds spent inside to a stage: parse, decode, queue, run or render."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.stages[name] = self.stages.get(name, 0.0) + time.perf_counter() - start

    def check_deadline(self) -> None:
        """Raises DEADLINE_EXCEEDED once the deadline has passed: nobody waits for the answer."""
        if self.deadline is not None and time.monotonic() > self.deadline:
            raise self.too_late()

    def too_late(self) -> ServingError:
        """Returns the error of a request whose deadline has passed."""
        waited = time.monotonic() - self.started
        return ServingError(
            Code.DEADLINE_EXCEEDED,
            f"the deadline passed {waited:.3f} s after the request came: give it more time, or "
            "send fewer requests at once",
        )


def request_id(given: str = "") -> str:
    """Returns the id of a request: the client's own where it is plain text, else a new one.

    Args:
        given: what the client sent as `X-Request-Id`.
    """
    if given and _PLAIN.fullmatch(given):
        return given
    return f"{_PREFIX}-{next(_NUMBERS)}"
