"""What a request costs `dlcv serve`, beside PyTriton, LitServe, MLServer and Ray Serve.

    python tools/bench_serving.py setup [DIR]    makes an environment for each of the others
    python tools/bench_serving.py                all servers, one after the other: 9 minutes
    python tools/bench_serving.py --servers dlcv pytriton --seconds 1 --repeats 1
    python tools/bench_serving.py --models       the shipped models, `dlcv serve` alone: 4 minutes

Every server has one core, and h2load has another one. What is asked is one 64x64x3 float32 picture
of a small convolutional network, which all run in ONNX Runtime with one thread; each answer is
checked against ONNX Runtime's before any is timed. `-o FILE` gets all figures as lines of JSON.

Needs Linux, two cores, `h2load` (Debian: nghttp2-client), `taskset`, `unshare` and `ip`: everything
runs in a network namespace that has the loopback interface alone, since some of the servers
listen on all interfaces.
"""

import argparse
import contextlib
import datetime
import http.client
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

import bench_machine
import bench_serving_models as shipped
import bench_serving_net as net
import bench_serving_peers as peers
import bench_serving_tables as tables
import grpc
import numpy as np
from bench_serving_load import Load, Server, Way

ROOT = pathlib.Path(__file__).resolve().parents[1]
MODELS = ROOT / "savedmodels"
CLIENTS = (1, 8, 32)
SHIPPED_CLIENTS = (1, 8)
PATIENCE = 180  # seconds for a server to start
DISTURBED = 0.05  # of the server's core used by others, from which on figures are marked
ALONE = "ONNX Runtime alone"
OURS = "dlcv serve"


def main() -> None:
    """Runs what the arguments ask for."""
    options = arguments()
    if options.action == "setup":
        peers.set_up(options.environments, [n for n in options.servers if n != peers.OURS])
        return
    if not options.inside:
        into_namespace()
    facts, cores = bench_machine.machine(), sorted(os.sched_getaffinity(0))[:2]
    os.sched_setaffinity(0, cores[1:])
    with contextlib.ExitStack() as stack:
        folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        output = stack.enter_context(open(options.output, "a")) if options.output else None
        bench = Bench(options, cores[0], folder, output)
        bench.note(machine=facts, date=datetime.date.today().isoformat())
        bench.run_shipped() if options.models else bench.run_servers()


def arguments() -> argparse.Namespace:
    """Returns the command line's."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("action", nargs="?", choices=("run", "setup"), default="run")
    parser.add_argument(
        "environments",
        nargs="?",
        type=pathlib.Path,
        default=ROOT / ".venv-peers",
        metavar="DIR",
        help="of the other servers (default: %(default)s)",
    )
    parser.add_argument("--servers", nargs="+", choices=peers.NAMES, default=peers.NAMES)
    parser.add_argument("--seconds", type=float, default=4.0, help="of one measurement")
    parser.add_argument("--repeats", type=int, default=3, help="of which the median is taken")
    parser.add_argument("--clients", type=int, nargs="+", help="at once")
    parser.add_argument(
        "--width", type=int, default=16, help="of the network; 32 is four times the work of 16"
    )
    parser.add_argument("--models", action="store_true", help="measure the shipped models")
    parser.add_argument("-o", "--output", metavar="FILE", help="gets all figures, a line each")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    return parser.parse_args()


def into_namespace() -> None:
    """Becomes this program again, in a network namespace of its own."""
    needed = ("h2load", "taskset", "unshare", "ip")
    if missing := [name for name in needed if shutil.which(name) is None]:
        raise SystemExit(f"not installed: {', '.join(missing)}")
    if len(os.sched_getaffinity(0)) < 2:
        raise SystemExit("one core is not enough: server and client get one each")
    inside = 'ip link set lo up && exec "$0" "$@"'
    own = [sys.executable, str(pathlib.Path(__file__).resolve()), *sys.argv[1:], "--inside"]
    os.execvp("unshare", ["unshare", "--map-root-user", "--net", "sh", "-c", inside, *own])


class Bench:
    """The measurements, in their order.

    Args:
        options: of the command line.
        core: the servers'.
        folder: for the network and the servers' logs.
        output: gets a line of JSON for each figure; None for none.
    """

    def __init__(self, options: argparse.Namespace, core: int, folder: pathlib.Path, output):
        self._options, self._core, self._folder, self._output = options, core, folder, output
        self._disturbed = 0.0
        self._kinds: dict[tuple, str] = {}

    def note(self, **values) -> None:
        """Writes a line of JSON, and the machine's facts on the screen too."""
        if "machine" in values:
            facts = values["machine"]
            print(f"{values['date']}, {facts['cpu']}, {facts['cores']} cores, {facts['system']}")
            print(f"load {facts['load_before']}, sgemm {facts['sgemm_gflops']:.0f} GFLOP/s")
        if self._output:
            self._output.write(json.dumps(values) + "\n")
            self._output.flush()

    def run_servers(self) -> None:
        """Measures all servers that were asked for, and prints the table."""
        model = net.write(self._folder / "models", self._options.width)
        expected, rows = net.expected(model), []
        rows.append((ALONE, "in one process", 1, self._alone(model)))
        clients = self._options.clients or CLIENTS
        for name in self._options.servers:
            try:
                rows += self._server(name, model, expected, clients)
            except (RuntimeError, OSError, subprocess.SubprocessError) as error:
                print(f"NOT MEASURED: {name}: {error}", flush=True)
                self.note(server=name, error=str(error))
        verdicts = tables.verdicts(rows, self._kinds, OURS)
        self._print(rows, tables.figures(rows, clients), verdicts)

    def run_shipped(self) -> None:
        """Measures the shipped models by `dlcv serve`, and prints the table."""
        clients, rows = self._options.clients or SHIPPED_CLIENTS, []
        command = [sys.executable, "-m", "dlcv_tf.cli.main", "serve", "--models", str(MODELS)]
        command += ["--port", str(peers.PORT), "--grpc-port", str(peers.GRPC_PORT)]
        with self._started(peers.OURS, command, {}) as server:
            wait_until_ready(server)
            for model in sorted(path.name for path in MODELS.iterdir()):
                for way in shipped.ways(MODELS, model):
                    rows += self._measure(server, model, way, ask(way)(), clients)
        self._print(rows, tables.figures(rows, clients))

    @contextlib.contextmanager
    def _started(self, name: str, command: list[str], environment: dict) -> Iterator[Server]:
        with Server(command, self._core, self._folder / f"{name}.log", environment) as server:
            yield server

    def _alone(self, model: pathlib.Path) -> dict:
        """Measures ONNX Runtime in a process without a server."""
        np.save(self._folder / "picture.npy", net.picture())
        program = [sys.executable, str(peers.SCRIPTS / "onnx_alone.py"), str(model)]
        program += [str(self._folder / "picture.npy"), str(self._options.seconds)]
        found = []
        for _ in range(self._options.repeats):
            pinned = ["taskset", "-c", str(self._core), *program]
            found.append(json.loads(subprocess.run(pinned, capture_output=True, check=True).stdout))
        return self._note_median(found, server=ALONE, way="in one process", clients=1)

    def _server(self, name: str, model: pathlib.Path, expected: np.ndarray, clients) -> list:
        """Measures all ways of one server."""
        folder, rows = self._options.environments, []
        if not peers.python(folder, name).exists():
            raise RuntimeError(f"no environment {folder / name}: see `setup`")
        title = peers.PEERS[name].title if name in peers.PEERS else OURS
        versions = peers.versions(folder, name)
        program, environment = peers.command(name, folder, model)
        if name == peers.OURS:
            ready = []
            for _ in range(self._options.repeats):
                with self._started(name, program, environment) as server:
                    ready.append(wait_until_ready(server))
            print(f"{title}: /v2/health/ready after {statistics.median(ready):.2f} s", flush=True)
            self.note(server=title, ready_seconds=ready)
        with self._started(name, program, environment) as server:
            ways = peers.ways(name)
            answered = wait_until_right(server, ways[0], expected)
            print(f"{title} {versions}: first answer after {answered:.1f} s", flush=True)
            self.note(server=title, versions=versions, first_answer_seconds=answered)
            for way in ways:
                answer = checked(way, expected)
                rows += self._measure(server, title, way, answer, clients)
                checked(way, expected)
        return rows

    def _measure(self, server: Server, title: str, way: Way, answer: bytes, clients) -> list:
        """Measures one way to ask a server, for each number of clients."""
        address = f"127.0.0.1:{peers.GRPC_PORT if way.is_grpc else peers.PORT}"
        length = len(answer) + (5 if way.is_grpc else 0)
        self._kinds[title, way.name] = way.kind
        load, rows = Load(way, address, length, server.mark, self._core), []
        for count in clients:
            load.warm_up(count)
            found = [
                load.run(count, self._options.seconds).figures()
                for _ in range(self._options.repeats)
            ]
            server.check_running()
            middle = self._note_median(found, server=title, way=way.name, clients=count)
            rows.append((title, way.name, count, middle))
            figures = ", ".join(f"{key} {middle[key]:.2f}" for key in tables.COLUMNS)
            failed = f", FAILED {middle['failed']}" if middle["failed"] else ""
            print(f"  {title}, {way.name}, {count} clients: {figures}{failed}", flush=True)
        return rows

    def _note_median(self, found: list[dict], **what) -> dict:
        """Returns the median of each figure over the repeats, and notes them all."""
        middle = {key: statistics.median(each[key] for each in found) for key in found[0]}
        if "failed" in middle:
            middle["failed"] = sum(each["failed"] for each in found)
        self._disturbed = max(self._disturbed, middle.get("others", 0.0))
        self.note(**what, **middle, repeats=found)
        return middle

    def _print(self, rows: list[tuple], *parts: str) -> None:
        print("", *parts, sep="\n\n")
        failed = [row for row in rows if row[3].get("failed")]
        for title, way, count, found in failed:
            print(f"\nFAILED: {found['failed']} requests of {title}, {way}, c={count}")
        if self._disturbed > DISTURBED:
            print(
                f"\nNOTE: other programs took up to {self._disturbed:.0%} of the server's core: "
                "requests/s and latencies will not hold, and processor times not quite"
            )


def ask(way: Way):
    """Returns a function that asks once, over a connection of its own, for the answer's bytes."""

    def by_grpc() -> bytes:
        with grpc.insecure_channel(f"127.0.0.1:{peers.GRPC_PORT}") as channel:
            return channel.unary_unary(way.path)(way.body, timeout=30)

    def by_http() -> bytes:
        connection = http.client.HTTPConnection("127.0.0.1", peers.PORT, timeout=30)
        with contextlib.closing(connection):
            connection.request("POST", way.path, way.body, way.headers)
            response = connection.getresponse()
            answer = response.read()
        if response.status != 200:
            raise RuntimeError(f"{way.name}: {response.status} {answer[:300]!r}")
        return answer

    return by_grpc if way.is_grpc else by_http


def checked(way: Way, expected: np.ndarray) -> bytes:
    """Returns an answer, which must be that of ONNX Runtime."""
    answer = ask(way)()
    numbers = way.read(answer)
    if numbers.shape != expected.shape or not np.allclose(numbers, expected, rtol=1e-4, atol=1e-6):
        raise RuntimeError(f"{way.name}: got {numbers}, expected {expected}")
    return answer


def wait_until_right(server: Server, way: Way, expected: np.ndarray) -> float:
    """Waits for the first right answer; returns the seconds since the server's start."""
    while True:
        try:
            checked(way, expected)
            return time.monotonic() - server.started
        except (RuntimeError, OSError, http.client.HTTPException, grpc.RpcError) as error:
            server.check_running()
            if time.monotonic() - server.started > PATIENCE:
                raise RuntimeError(f"no right answer within {PATIENCE} s: {error}") from None
        time.sleep(0.1)


def wait_until_ready(server: Server) -> float:
    """Waits until `/v2/health/ready` is 200; returns the seconds since the server's start."""
    while time.monotonic() - server.started < PATIENCE:
        server.check_running()
        connection = http.client.HTTPConnection("127.0.0.1", peers.PORT, timeout=5)
        with contextlib.closing(connection), contextlib.suppress(OSError):
            connection.request("GET", "/v2/health/ready")
            if connection.getresponse().status == 200:
                return time.monotonic() - server.started
        time.sleep(0.005)
    raise RuntimeError(f"not ready within {PATIENCE} s")


if __name__ == "__main__":
    main()
