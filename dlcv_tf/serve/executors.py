"""What runs the network of a loaded version: arrays in, arrays out, whatever the runtime."""

import os
from typing import Protocol

import numpy as np

from dlcv_tf.artifact import runners
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config


class Executor(Protocol):
    """Runs `serving_default` of one version; may be called from many threads at once."""

    name: str

    def __call__(self, images: np.ndarray, call: Call) -> dict[str, np.ndarray]:
        """Answers a batch of pictures of one size; output name to array.

        Raises:
            ServingError: DEADLINE_EXCEEDED or UNAVAILABLE.
        """

    def close(self) -> None:
        """Gives back what it holds: memory, threads, processes. Nothing is under way any more."""


class InProcess:
    """Runs a file by one of the TF-free runners, in the thread of the request.

    Args:
        directory: the artifact.
        format: of the manifest: `"onnx"`, `"tflite"` or `"tflite_int8"`.
        threads: of one execution; None leaves it to the runtime.
    """

    def __init__(self, directory: str | os.PathLike, format: str, threads: int | None = None):
        self.name = format
        self._run = runners.load(directory, format, threads)

    def __call__(self, images: np.ndarray, call: Call) -> dict[str, np.ndarray]:
        """Answers a batch of pictures of one size."""
        call.check_deadline()
        call.batch = max(call.batch, len(images))
        with call.stage("run"):
            return self._run(images)

    def close(self) -> None:
        """Lets go of the runtime's memory."""
        self._run = None


def load(directory: str | os.PathLike, config: Config) -> Executor:
    """Returns the executor of an artifact, as the options choose it.

    Raises:
        ArtifactError: for an artifact that it cannot run.
    """
    return InProcess(directory, "onnx", config.threads)
