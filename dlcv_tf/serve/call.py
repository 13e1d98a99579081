"""One request on its way through the server: its deadline, and what is measured of it."""

import contextlib
import dataclasses
import time
from collections.abc import Iterator

from dlcv_tf.serve.errors import Code, ServingError


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
    model: str = ""
    version: int = 0
    signature: str = ""
    pictures: int = 0  # in the request
    batch: int = 0  # pictures that ran together with them, themselves included
    code: Code = Code.OK
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
            waited = time.monotonic() - self.started
            raise ServingError(
                Code.DEADLINE_EXCEEDED,
                f"the deadline passed {waited:.3f} s after the request came: give it more time, or "
                "send fewer requests at once",
            )
