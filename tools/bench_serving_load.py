"""Load on a server by h2load, and the processor time the server takes for it."""

import contextlib
import dataclasses
import os
import pathlib
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable

import numpy as np

TICK = 1 / os.sysconf("SC_CLK_TCK")
WARM_UP = 16  # requests of each client before it counts
GRPC_HEADERS = {"content-type": "application/grpc", "te": "trailers"}


@dataclasses.dataclass(frozen=True)
class Way:
    """One way to ask a server, the same for every request.

    Args:
        name: for the tables.
        path: of the URL.
        body: of the request; for gRPC, the message.
        headers: of the request; none for gRPC.
        is_grpc: whether it goes to the gRPC port.
        read: from the answer's bytes to its (1, 10) numbers; None where those are not checked.
    """

    name: str
    path: str
    body: bytes
    headers: dict[str, str] = dataclasses.field(default_factory=dict)
    is_grpc: bool = False
    read: Callable[[bytes], np.ndarray] | None = None

    @property
    def kind(self) -> str:
        """What it is comparable with: gRPC, JSON, or else bytes over HTTP."""
        if self.is_grpc:
            return "gRPC"
        return "JSON" if self.headers.get("Content-Type") == "application/json" else "bytes"


@dataclasses.dataclass(frozen=True)
class Counts:
    """What h2load saw, and what the server took meanwhile.

    Args:
        seconds: from the first request to the last answer.
        milliseconds: of each request.
        failed: requests without an answer of status 200, of the right length.
        server: processor seconds of the server.
        others: of the server's core, the part that all else took.
    """

    seconds: float
    milliseconds: np.ndarray
    failed: int
    server: float
    others: float

    def figures(self) -> dict:
        """Returns them for the tables."""
        p50, p99 = np.percentile(self.milliseconds, (50, 99))
        count = len(self.milliseconds)
        return {
            "cpu_ms": 1e3 * self.server / count,
            "per_second": count / self.seconds,
            "p50_ms": float(p50),
            "p99_ms": float(p99),
            "requests": count,
            "failed": self.failed,
            "others": self.others,
        }


class Load:
    """What asks one server in one way.

    Args:
        way: how.
        address: host and port.
        length: bytes of a right answer, with gRPC's prefix; any other is a failure.
        mark: environment of the server's processes, see `processor_seconds`.
        core: the server's.
    """

    def __init__(self, way: Way, address: str, length: int, mark: str, core: int):
        self._way, self._address, self._length = way, address, length
        self._mark, self._core = mark, core

    def warm_up(self, clients: int) -> None:
        """Asks some times, however long that takes, for what only first requests wait for."""
        with tempfile.TemporaryDirectory() as folder:
            amount = ["-n", str(WARM_UP * clients)]
            command = self._command(pathlib.Path(folder), clients, amount)
            subprocess.run(command, capture_output=True, check=True, timeout=120)

    def run(self, clients: int, seconds: float) -> Counts:
        """Asks for some seconds, each client as soon as it has its answer.

        Raises:
            RuntimeError: if h2load fails, or nothing is answered.
        """
        with tempfile.TemporaryDirectory() as folder:
            amount = ["-D", f"{round(1e3 * seconds)}ms"]
            command = self._command(pathlib.Path(folder), clients, amount)
            start = time.monotonic(), processor_seconds(self._mark), _busy_seconds(self._core)
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 60)
            server = processor_seconds(self._mark) - start[1]
            others = (_busy_seconds(self._core) - start[2] - server) / (time.monotonic() - start[0])
            log = pathlib.Path(folder, "log").read_text().split()
        rows = np.array(log, np.int64).reshape(-1, 3)  # start in µs, status, µs
        good = rows[rows[:, 1] == 200]
        if done.returncode or not len(good):
            raise RuntimeError(f"h2load was not answered: {done.stdout[-500:]}{done.stderr[-500:]}")
        took = (rows[:, 0] + rows[:, 2]).max() - rows[:, 0].min()
        failed = max(len(rows) - len(good), self._of_other_length(done.stdout, len(rows), clients))
        return Counts(took / 1e6, good[:, 2] / 1e3, failed, server, max(0.0, others))

    def _command(self, folder: pathlib.Path, clients: int, amount: list[str]) -> list[str]:
        body, headers = self._way.body, self._way.headers
        if self._way.is_grpc:
            body, headers = b"\0" + len(body).to_bytes(4, "big") + body, GRPC_HEADERS
        (folder / "body").write_bytes(body)
        command = ["h2load", "-c", str(clients), "-m", "1", *amount]
        command += ["--log-file", str(folder / "log"), "-d", str(folder / "body")]
        command += [] if self._way.is_grpc else ["--h1"]
        command += [f"-H{name}: {value}" for name, value in headers.items()]
        return [*command, f"http://{self._address}{self._way.path}"]

    def _of_other_length(self, output: str, answers: int, clients: int) -> int:
        """Returns how many answers must have been of another length, as gRPC's errors are.

        To h2load an error of gRPC is a success, of HTTP status 200 without a message. What has
        come of the answers that were cut at the end counts among the bytes too.
        """
        found = int(re.search(r"\((\d+)\) data", output)[1])
        missing = answers * self._length - found
        surplus = found - (answers + clients) * self._length
        return max(0, missing, surplus) // self._length


def processor_seconds(mark: str) -> float:
    """Returns the processor time of all processes, also ended ones, that descend from a server.

    They are known by a variable of the environment, which children inherit: some servers move
    their processes to another parent.
    """
    return sum(_seconds_of(process) for process in processes(mark))


def processes(mark: str) -> list[int]:
    """Returns the processes whose environment holds `mark`."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if entry.name.isdecimal() and mark.encode() in (entry / "environ").read_bytes():
                found.append(int(entry.name))
        except OSError:  # it has ended, or is another user's
            continue
    return found


def _seconds_of(process: int) -> float:
    try:
        text = pathlib.Path(f"/proc/{process}/stat").read_text()
    except OSError:
        return 0.0
    # user and system time, and that of children that have ended
    return TICK * sum(map(int, text.rpartition(")")[2].split()[11:15]))


def _busy_seconds(core: int) -> float:
    """Returns the time in which a core was not idle, time stolen by the host included."""
    for line in pathlib.Path("/proc/stat").read_text().splitlines():
        name, *values = line.split()
        if name == f"cpu{core}":
            user, nice, system, _, _, irq, softirq, steal = map(int, values[:8])
            return TICK * (user + nice + system + irq + softirq + steal)
    raise RuntimeError(f"no core {core} in /proc/stat")


class Server:
    """A server's process and all it starts, on one core; a context.

    Args:
        command: program and arguments.
        core: which it may use.
        log: file for what it prints.
        environment: what differs from ours.
    """

    def __init__(
        self, command: list[str], core: int, log: pathlib.Path, environment: dict[str, str]
    ):
        self.mark = f"DLCV_BENCH_SERVER={time.time_ns()}"
        self.started = 0.0
        self._command, self._core, self._log = command, core, log
        self._environment = environment

    def __enter__(self) -> "Server":
        name, _, value = self.mark.partition("=")
        with open(self._log, "wb") as log:
            self.started = time.monotonic()
            self._process = subprocess.Popen(
                ["taskset", "-c", str(self._core), *self._command],
                stdout=log,
                stderr=log,
                env=os.environ | self._environment | {name: value},
            )
        return self

    def __exit__(self, *_) -> None:
        """Asks the process to end, and kills what is left of it and its children."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        last = time.monotonic() + 10
        while (left := processes(self.mark)) and time.monotonic() < last:
            for process in left:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
            time.sleep(0.05)

    def check_running(self) -> None:
        """Raises RuntimeError, with the end of its log, if it has ended."""
        if self._process.poll() is not None:
            text = self._log.read_text(errors="replace")
            raise RuntimeError(f"the server has ended:\n{text[-2000:]}")
