"""What one version has answered since it serves, in the words of Triton's `ModelStatistics`."""

import threading
import time

from dlcv_tf.serve.call import Call
from dlcv_tf.serve.errors import Code

# Triton's parts of a request, and the stages of a call that they are.
PARTS = {
    "queue": ("queue",),
    "compute_input": ("parse", "decode"),
    "compute_infer": ("run",),
    "compute_output": ("render",),
}
MOST_SIZES = 128  # of batches that are counted apart; clients may send any
NANO = 1e9  # nanoseconds in a second


class Statistics:
    """Counts and times of a version's requests and executions; many threads add to them."""

    def __init__(self):
        self._lock = threading.Lock()
        self._last = 0.0  # request, in seconds since 1970
        self._pictures = 0
        self._executions = 0
        self._batches: dict[int, list[float]] = {}  # by size: executions and their seconds
        self._requests = {name: [0, 0.0] for name in ("success", "fail", *PARTS)}

    def executed(self, size: int, seconds: float) -> None:
        """Adds an execution.

        Args:
            size: of the batch, as it ran.
            seconds: that it took.
        """
        with self._lock:
            self._executions += 1
            if size in self._batches or len(self._batches) < MOST_SIZES:
                _add(self._batches.setdefault(size, [0, 0.0]), seconds)

    def answered(self, call: Call) -> None:
        """Adds a request at its end."""
        took = time.monotonic() - call.started
        stages = call.stages.copy()
        with self._lock:
            self._last = time.time()
            if call.code != Code.OK:
                _add(self._requests["fail"], took)
                return
            self._pictures += call.pictures
            _add(self._requests["success"], took)
            for part, names in PARTS.items():
                _add(self._requests[part], sum(stages.get(name, 0.0) for name in names))

    def to_dict(self) -> dict:
        """Returns a `ModelStatistics` without the name and the version of the model."""
        with self._lock:
            return {
                "last_inference": int(1000 * self._last),
                "inference_count": self._pictures,
                "execution_count": self._executions,
                "inference_stats": {name: _times(*pair) for name, pair in self._requests.items()},
                "batch_stats": [
                    {"batch_size": size, "compute_infer": _times(*pair)}
                    for size, pair in sorted(self._batches.items())
                ],
            }


def _add(pair: list[float], seconds: float) -> None:
    pair[0] += 1
    pair[1] += seconds


def _times(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": int(NANO * seconds)}
