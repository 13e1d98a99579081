"""Runs a SavedModel in a worker process of its own, whose end really gives its memory back.

`tensorflow_worker.py` is that process, `worker_messages.py` how the two talk. A worker that dies
takes only the requests with it that it was running; another one starts at once.

Arrays go through a socket. Shared memory would not pay: a picture of 640 x 480 costs 0.6 ms on its
way, beside 13 ms that the shipped segmenter runs.
"""

import contextlib
import itertools
import logging
import os
import pathlib
import socket
import subprocess
import sys
import threading
import time

import numpy as np

from dlcv_tf.artifact.manifest import ArtifactError
from dlcv_tf.serve import worker_messages
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code, ServingError

SEND_SECONDS = 10  # a worker that takes nothing for so long is stuck, and is killed
LONGEST_PAUSE = 30.0  # seconds between two starts of a worker that cannot start
END_SECONDS = 5.0  # that a worker gets to end by itself

log = logging.getLogger(__name__)


class TensorFlowExecutor:
    """Runs every signature of a SavedModel, pictures decoded by TensorFlow itself.

    Args:
        directory: the artifact.
        config: the server's options.
        lanes: requests that run at once.

    Raises:
        ArtifactError: for a SavedModel that TensorFlow cannot load.
    """

    name = "tensorflow"

    def __init__(self, directory: str | os.PathLike, config: Config, lanes: int = 2):
        self._directory = pathlib.Path(directory).resolve()
        if not (self._directory / "saved_model.pb").is_file():
            raise ArtifactError(f"TensorFlow cannot run {directory}: it has no saved_model.pb")
        self._config = config
        self._lanes = lanes
        self._change = threading.Condition()
        self._worker: _Worker | None = None  # None while a new one starts
        self._problem = ""
        self._is_closed = False
        worker = _Worker(self._directory, config, lanes)
        if worker.error:
            worker.end()
            raise ArtifactError(f"TensorFlow cannot run {directory}: {worker.error}")
        self.signatures = worker.signatures
        self._worker = worker
        self._keeper = threading.Thread(target=self._keep, args=(worker,), daemon=True)
        self._keeper.start()

    def __call__(self, images: np.ndarray, call: Call) -> dict[str, np.ndarray]:
        """Answers a batch of pictures of one size."""
        return self.run("serving_default", {"images": images}, call)

    def run(
        self, signature: str, inputs: dict[str, np.ndarray], call: Call
    ) -> dict[str, np.ndarray]:
        """Runs a signature of the SavedModel.

        Args:
            signature: its name, one of `signatures`.
            inputs: input name to array; strings are object arrays of bytes.
            call: the request.

        Returns:
            Output name to array; strings are object arrays of bytes.

        Raises:
            ServingError: UNAVAILABLE if the worker dies meanwhile, DEADLINE_EXCEEDED, and what
                TensorFlow says, by its own code.
        """
        call.check_deadline()
        with self._change:
            self._change.wait_for(self._is_settled, _remaining(call))
            worker = self._worker
        if worker is None:
            call.check_deadline()
            reason = self._problem or "it is being unloaded"
            raise ServingError(Code.UNAVAILABLE, f"the model's process does not run: {reason}")
        seconds, outputs = worker.ask(signature, inputs, call)
        call.stages["run"] = call.stages.get("run", 0.0) + seconds
        call.batch = max(call.batch, len(next(iter(inputs.values()))))
        return outputs

    @property
    def process(self) -> int | None:
        """The worker's process id; None while a new one starts."""
        worker = self._worker
        return worker and worker.process.pid

    def close(self) -> None:
        """Ends the worker."""
        with self._change:
            self._is_closed = True
            worker, self._worker = self._worker, None
            self._change.notify_all()
        if worker:
            worker.end()
        self._keeper.join(END_SECONDS)  # longer only while it starts another one

    def _is_settled(self) -> bool:
        """Whether it is known if there is a worker: false while one starts."""
        return bool(self._worker or self._is_closed or self._problem)

    def _keep(self, worker: "_Worker") -> None:
        """Reads a worker's answers until it dies, then starts the next one, until `close`."""
        while True:
            worker.read_answers()
            with self._change:
                self._worker = None
            worker.fail_all()
            worker.end()
            pause = 1.0
            while True:
                if self._is_closed:
                    return
                log.warning("the TensorFlow process of %s ended: starting another", self._directory)
                worker = _Worker(self._directory, self._config, self._lanes)
                if not worker.error:
                    break
                worker.end()
                log.error("TensorFlow cannot run %s: %s", self._directory, worker.error)
                with self._change:
                    self._problem = "it cannot be started again, the server's log says why"
                    self._change.notify_all()
                    self._change.wait_for(lambda: self._is_closed, pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            with self._change:
                if self._is_closed:
                    worker.end()
                    return
                self._worker, self._problem = worker, ""
                self._change.notify_all()


class _Asked:
    """A request that a worker has been sent."""

    def __init__(self):
        self.is_answered = threading.Lock()
        self.is_answered.acquire()
        self.answer: dict = {}
        self.outputs: dict[str, np.ndarray] = {}


class _Worker:
    """One process, from its start to its end; `error` says why it could not start."""

    def __init__(self, directory: pathlib.Path, config: Config, lanes: int):
        self._connection, theirs = socket.socketpair()
        # The kernel's own time limit: Python's would make reading non-blocking too.
        limit = np.array([SEND_SECONDS, 0], np.int64).tobytes()
        self._connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)
        self._lock = threading.Lock()  # of sending
        self._numbers = itertools.count()
        self._asked: dict[int, _Asked] = {}
        self._is_dead = False
        options = {"threads": config.threads, "gpu-memory": config.gpu_memory, "lanes": lanes}
        command = [sys.executable, "-m", "dlcv_tf.serve.tensorflow_worker", os.fspath(directory)]
        command += [f"--{name}={value}" for name, value in options.items() if value is not None]
        package = pathlib.Path(__file__).parents[2]
        paths = [os.fspath(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        with theirs:
            self.process = subprocess.Popen(
                [*command, f"--socket={theirs.fileno()}"],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a library prints there must not mix with the ready line
                start_new_session=True,  # a signal to the server's group is the server's alone
                env={"TF_CPP_MIN_LOG_LEVEL": "3"}
                | os.environ
                | {"PYTHONPATH": os.pathsep.join(paths)},
            )
        message = worker_messages.receive(self._connection)
        ready = message[0] if message else {"error": "its process ended while loading"}
        self.error: str = ready.get("error", "")
        self.signatures = frozenset(ready.get("signatures", ()))

    def ask(
        self, signature: str, inputs: dict[str, np.ndarray], call: Call
    ) -> tuple[float, dict[str, np.ndarray]]:
        """Sends a request and waits for its answer: seconds it ran, and outputs."""
        number, asked = next(self._numbers), _Asked()
        self._asked[number] = asked
        try:
            header = {"id": number, "signature": signature, "deadline": call.deadline}
            if self._is_dead or not self._send(header, inputs, call):
                raise _died()
            if not asked.is_answered.acquire(timeout=_remaining(call, -1)):
                call.check_deadline()
                raise ServingError(Code.DEADLINE_EXCEEDED, "the deadline passed")
        finally:
            self._asked.pop(number, None)
        if "error" in asked.answer:
            raise ServingError(Code(asked.answer["code"]), asked.answer["error"])
        return asked.answer["seconds"], asked.outputs

    def read_answers(self) -> None:
        """Hands answers to those who wait for them, until the process is gone."""
        while (message := worker_messages.receive(self._connection)) is not None:
            header, outputs = message
            asked = self._asked.pop(header["id"], None)
            if asked:
                asked.answer, asked.outputs = header, outputs
                asked.is_answered.release()

    def fail_all(self) -> None:
        """Tells those who wait that their answers will not come."""
        self._is_dead = True
        while self._asked:
            with contextlib.suppress(KeyError):  # whose deadline passed at this moment
                _, asked = self._asked.popitem()
                error = _died()
                asked.answer = {"code": error.code, "error": error.message}
                asked.is_answered.release()

    def end(self) -> None:
        """Ends the process: it does so by itself once its socket is closed."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self._connection.close()

    def _send(self, header: dict, inputs: dict[str, np.ndarray], call: Call) -> bool:
        if not self._lock.acquire(timeout=_remaining(call, -1)):
            call.check_deadline()
            return False
        try:
            worker_messages.send(self._connection, header, inputs)
            return True
        except OSError:  # it is gone, or has taken nothing for long: half a message is lost
            self.process.kill()
            return False
        finally:
            self._lock.release()


def _died() -> ServingError:
    return ServingError(
        Code.UNAVAILABLE, "the model's process ended while it ran this request: try again"
    )


def _remaining(call: Call, without: float | None = None) -> float | None:
    """Returns the seconds until a deadline, `without` where there is none."""
    return without if call.deadline is None else max(0.0, call.deadline - time.monotonic())
