"""What runs the network of a loaded version: arrays in, arrays out, whatever the runtime."""

import os
from typing import Protocol

import numpy as np

from dlcv_tf.artifact import runners
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config

IN_PROCESS = ("onnx", "tflite", "tflite_int8", "openvino", "openvino_int8")
NAMES = ("auto", *IN_PROCESS, "tensorflow")


class Executor(Protocol):
    """Runs `serving_default` of one version; may be called from many threads at once.

    One that runs whole signatures itself, pictures decoded by its own runtime, also has their names
    as `signatures`, and `run(signature, inputs, call)`.
    """

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

    `is_alone` tells whether nothing but that thread does the work.

    Args:
        directory: the artifact.
        name: one of `IN_PROCESS`.
        threads: of one execution; None leaves it to the runtime.
        lanes: executions at once.
    """

    def __init__(
        self, directory: str | os.PathLike, name: str, threads: int | None = None, lanes: int = 1
    ):
        self.name = name
        self._run = runners.load(directory, name, threads, lanes)
        self.is_alone = getattr(getattr(self._run, "raw", self._run), "is_alone", False)

    def __call__(self, images: np.ndarray, call: Call) -> dict[str, np.ndarray]:
        """Answers a batch of pictures of one size."""
        call.check_deadline()
        call.batch = max(call.batch, len(images))
        with call.stage("run"):
            return self._run(images)

    def close(self) -> None:
        """Lets go of the runtime's memory."""
        self._run = None


def start(
    name: str,
    directory: str | os.PathLike,
    config: Config,
    threads: int | None = None,
    lanes: int = 1,
) -> Executor:
    """Returns an executor of an artifact by its name, one of `NAMES` but "auto".

    Raises:
        ArtifactError: for an artifact that it cannot run.
        InputError: for a format that the artifact does not have, a runtime that is not installed.
    """
    if name == "tensorflow":
        from dlcv_tf.serve.tensorflow_executor import TensorFlowExecutor

        return TensorFlowExecutor(directory, config, lanes)
    return InProcess(directory, name, threads, lanes)
