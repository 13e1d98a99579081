"""Several front processes that share the ports: `dlcv serve --fronts N` starts and keeps them.

The process that the user started holds the ports, which the kernel shares out among those that
listen (SO_REUSEPORT). It answers itself only while no front does, as a server that is loading its
models. Each front, `python -m dlcv_tf.serve.fronts`, reads its options from stdin, loads the
models, listens only then, and tells on stdout that it answers. Its health says that it is ready
once a front answers, and the parent no more, who tells it so by a line on stdin. When stdin closes,
the parent has gone, and it stops.
"""

import contextlib
import dataclasses
import fcntl
import json
import logging
import os
import pathlib
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

from prometheus_client import multiprocess

from dlcv_tf.errors import InputError
from dlcv_tf.serve import stopping
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.repository import Repository

LOOK = 0.1  # seconds between two looks at the fronts
LONGEST_PAUSE = 30.0  # seconds before a front that died again is started again
SETTLED = 60.0  # seconds after which a front that dies counts as one that ran well
END_SECONDS = 5.0  # beyond the drain, after which a front is killed

log = logging.getLogger(__name__)


def serve(
    config: Config,
    bind: Callable[[str, int], socket.socket],
    stand_in: Callable[[Config], contextlib.AbstractContextManager],
    say: Callable[[dict], None],
) -> None:
    """Serves with `config.fronts` processes until SIGTERM, SIGINT (Ctrl-C) or SIGHUP.

    Args:
        config: the server's options.
        bind: listens at a host and port, or raises why it cannot.
        stand_in: answers on the ports, while it is entered, in place of the fronts.
        say: gets what a front is ready with, once all are.

    Raises:
        InputError: for a port that cannot be had, and for what a front cannot start with.
    """
    stopped: list[float] = []

    def stop(*_) -> None:
        stopped.append(time.monotonic())

    before = {number: signal.signal(number, stop) for number in stopping.signals()}
    with contextlib.ExitStack() as held:
        held.callback(lambda: [signal.signal(*pair) for pair in before.items()])
        port = held.enter_context(_reserve(bind, config.host, config.port)).getsockname()[1]
        config = dataclasses.replace(config, port=port)
        if config.grpc_port is not None:
            reserved = _reserve(bind, config.host, config.grpc_port)
            port = held.enter_context(reserved).getsockname()[1]
            config = dataclasses.replace(config, grpc_port=port)
        counts = tempfile.mkdtemp(prefix="dlcv-metrics-")
        held.enter_context(_kept_while_used(counts))
        fronts = [_Front(config, counts) for _ in range(config.fronts)]
        held.callback(lambda: [front.kill() for front in fronts])
        _keep(fronts, stopped, held.enter_context(_Absence(stand_in, config)), say)
        _stop(fronts, stopped, config.drain)


def _keep(fronts: list["_Front"], stopped: list[float], absence: "_Absence", say: Callable) -> None:
    """Starts fronts that died again, until the server is stopped."""
    is_said = False
    while not stopped:
        for front in fronts:
            front.look()
        answering = [front for front in fronts if front.is_answering]
        absence.look(not answering)
        for front in fronts if answering else []:  # also those that load: another one is ready
            front.announce()
        if not is_said and all(front.is_announced for front in fronts):
            is_said = True
            say(fronts[0].answering)
        time.sleep(LOOK)


class _Absence(contextlib.ExitStack):
    """The time in which no front answers: someone stands in for them."""

    def __init__(self, stand_in: Callable[[Config], contextlib.AbstractContextManager], config):
        super().__init__()
        self._stand_in, self._config = stand_in, config
        self._is_now = False

    def look(self, is_now: bool) -> None:
        """Begins or ends it."""
        if is_now and not self._is_now:
            self.enter_context(self._stand_in(self._config))
        elif not is_now:
            self.close()
        self._is_now = is_now


@contextlib.contextmanager
def _kept_while_used(directory: str) -> Iterator[None]:
    """Removes a directory at the end, if no other process of the server uses it any more.

    So it goes with the last of them, and if the parent was killed, that is a front.
    """
    used = os.open(directory, os.O_RDONLY)
    try:
        fcntl.flock(used, fcntl.LOCK_SH)
        yield
    finally:
        with contextlib.suppress(BlockingIOError):  # its own lock is gone then: somebody is last
            fcntl.flock(used, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(directory, ignore_errors=True)
        os.close(used)


def _reserve(bind: Callable, host: str, port: int) -> socket.socket:
    """Returns a socket that holds a port for the fronts, and does not listen itself."""
    with bind(host, port) as alone:  # nobody else has it
        family, address = alone.family, alone.getsockname()
    held = socket.socket(family)
    # As `bind` does: else the connections of a server that has just stopped keep others out.
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    held.bind(address)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # nobody else is to listen
    return held


def _stop(fronts: list["_Front"], stopped: list[float], drain: float) -> None:
    """Has all fronts drain; a second signal cuts what is under way."""
    for front in fronts:
        front.process.terminate()
    last = time.monotonic() + drain + END_SECONDS
    while any(front.process.poll() is None for front in fronts) and time.monotonic() < last:
        if stopped[-1] - stopped[0] > stopping.ONE_STOP:
            break
        time.sleep(LOOK / 2)


class _Front:
    """One front, and those that follow it when it dies.

    Attributes:
        answering: what it answers with, for the ready line; empty until it does.
    """

    def __init__(self, config: Config, counts: str):
        self._config = config
        self._counts = counts
        self._pause = 1.0
        self._is_another = False  # not the first one
        self._was_ready = False
        self._was_well = False  # no model that it found at its start was refused
        self._start()

    @property
    def is_answering(self) -> bool:
        """Whether it listens: it is ready, and was alive at the last look."""
        return bool(self.answering) and not self._is_dead

    @property
    def is_announced(self) -> bool:
        """Whether it listens, and its health says that it is ready."""
        return self.is_answering and self._has_said_so

    def look(self) -> None:
        """Reads whether it is ready; starts it again if it died."""
        if self._is_dead:
            if time.monotonic() > self._not_before:
                self._start()
            return
        is_over = self.process.poll() is not None
        said = self.process.stdout
        if select.select([said], [], [], 0)[0]:
            *lines, self._unheard = (self._unheard + os.read(said.fileno(), 65536)).split(b"\n")
            for line in lines:
                self._hear(json.loads(line))
        if is_over:
            self._bury()

    def announce(self) -> None:
        """Has its health say that it is ready."""
        if not self._is_told:
            self._is_told = True
            self._tell(json.dumps({"awaits_models": not self._was_well}))

    def kill(self) -> None:
        """Ends it, whatever it does."""
        self.process.kill()
        self.process.wait()
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.close()
        self.process.stdout.close()

    def _tell(self, line: str) -> None:
        with contextlib.suppress(BrokenPipeError):
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def _hear(self, message: dict) -> None:
        if "error" in message and not self._was_ready:
            raise InputError(message["error"])
        if "rest" in message:
            self.answering, self._was_ready = message, True
            self._was_well = self._was_well or not message["refused"]
        self._has_said_so = self._has_said_so or "is_told" in message
        self._error = message.get("error", self._error)
        if self.is_announced and self._is_another:
            log.warning("a front serves again, in the place of the one that ended")

    def _bury(self) -> None:
        multiprocess.mark_process_dead(self.process.pid, self._counts)
        if time.monotonic() - self._started > SETTLED:
            self._pause = 1.0
        status = self.process.returncode
        reason = self._error or f"status {status}"
        log.warning("a front ended (%s): another starts in %g s", reason, self._pause)
        self._is_dead = self._is_another = True
        self._not_before = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, LONGEST_PAUSE)

    def _start(self) -> None:
        package = pathlib.Path(__file__).parents[2]
        paths = [os.fspath(package), *filter(None, [os.environ.get("PYTHONPATH")])]
        shared = {"PYTHONPATH": os.pathsep.join(paths), "PROMETHEUS_MULTIPROC_DIR": self._counts}
        verbose = ["--verbose"] if log.isEnabledFor(logging.INFO) else []
        self.process = subprocess.Popen(
            [sys.executable, "-m", "dlcv_tf.serve.fronts", *verbose],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | shared,
            start_new_session=True,  # Ctrl-C is the parent's, who tells the fronts
        )
        self._tell(json.dumps(dataclasses.asdict(self._config)))
        self.answering: dict = {}
        self._unheard = b""  # the begin of a line that it says
        self._error = ""
        self._is_told = self._has_said_so = False
        self._is_dead, self._not_before = False, 0.0
        self._started = time.monotonic()


def main() -> int:
    """Runs one front."""
    from dlcv_tf.serve import server

    config = Config(**json.loads(sys.stdin.readline()))
    if "--verbose" in sys.argv:
        logging.basicConfig(format="%(message)s")
        logging.getLogger("dlcv_tf").setLevel(logging.INFO)
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(0))  # while it loads: it cleans up
    with _kept_while_used(os.environ["PROMETHEUS_MULTIPROC_DIR"]):
        try:
            models = Repository(config)
            models.is_withheld = True
            threading.Thread(target=_hear_the_parent, args=(models,), daemon=True).start()
            server.serve_one(config, models, as_json=True)
        except InputError as error:
            print(json.dumps({"error": str(error)}), flush=True)
            return 2
    return 0


def _hear_the_parent(models: Repository) -> None:
    """Says that the models are ready as soon as the parent does so, and stops when it has gone.

    Where the front before this one was ready, what broke since does not count, as it does not for
    those that were never killed.
    """
    try:
        if line := sys.stdin.readline():
            if not json.loads(line)["awaits_models"]:
                models.await_none()
            models.is_withheld = False
            # In one piece, beside the ready line, which another thread prints.
            sys.stdout.write(json.dumps({"is_told": True}) + "\n")
            sys.stdout.flush()
            sys.stdin.read()
    finally:
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
