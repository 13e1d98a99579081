"""What clients notice of a server on Ray while its processes are killed and it is deployed anew.

    python tools/ray_serving.py [--models DIR] [--model NAME] [--seconds 15] [--json FILE]

Needs Linux, `unshare` and `ip`: everything runs in a network namespace of its own that has the
loopback interface alone, since Ray listens on all interfaces.
"""

import argparse
import collections
import itertools
import json
import os
import pathlib
import secrets
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PORT, GRPC_PORT = 18501, 18500
GOOD = {"HTTP 200", "gRPC OK"}
PAUSE = 0.01  # seconds between two requests of one client


def main() -> None:
    """Runs all scenes, prints a table, writes the numbers."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--models", default=str(ROOT / "savedmodels"))
    parser.add_argument("--model", default="cifar10_airbench")
    parser.add_argument("--seconds", type=float, default=15.0, help="of each scene")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if not options.inside:
        inside = 'ip link set lo up && exec "$0" "$@"'
        own = [sys.executable, str(pathlib.Path(__file__).resolve()), *sys.argv[1:], "--inside"]
        os.execvp("unshare", ["unshare", "--map-root-user", "--net", "sh", "-c", inside, *own])
    os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    sys.path.insert(0, str(ROOT))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    with tempfile.TemporaryDirectory() as folder:
        models = pathlib.Path(folder)
        source = sorted((pathlib.Path(options.models) / options.model).iterdir())[-1]
        shutil.copytree(source, models / options.model / "1")
        found = Proof(options.model, models, options.seconds).run()
    print(table(found))
    if options.json:
        pathlib.Path(options.json).write_text(json.dumps(found, indent=2) + "\n")


class Proof:
    """The scenes, in their order, on one server.

    Args:
        model: name of the model that is asked.
        models: directory of models, to which versions may be added.
        seconds: of each scene.
    """

    def __init__(self, model: str, models: pathlib.Path, seconds: float):
        self._model, self._models, self._seconds = model, models, seconds
        self._scenes: list[dict] = []

    def run(self) -> list[dict]:
        """Returns what was counted in each scene."""
        arguments = ["serve", "--engine", "ray", "--replicas", "2", "--json"]
        arguments += ["--models", str(self._models), "--port", str(PORT)]
        command = [sys.executable, "-m", "dlcv_tf.cli.main", *arguments]
        started = time.monotonic()
        with subprocess.Popen(
            [*command, "--grpc-port", str(GRPC_PORT)], stdout=subprocess.PIPE, text=True
        ) as server:
            try:
                ready = json.loads(server.stdout.readline())
                took = time.monotonic() - started
                print(f"ready after {took:.1f} s: {ready}; {len(_ours(''))} processes", flush=True)
                self._play(server)
            finally:
                server.terminate()
                server.wait(120)
        return self._scenes

    def _play(self, server: subprocess.Popen) -> None:
        self._scene("nothing happens", lambda: None)
        self._scene("a new version on disk", self._new_version)
        self._scene("a replica is killed (-9), three times", self._kill_replicas)
        self._scene("the controller is killed (-9)", lambda: _kill("ray::ServeController"))
        self._scene("deployed anew, other options", self._deploy)
        self._scene("the proxy is killed (-9)", lambda: _kill("ray::ProxyActor"))
        self._scene("SIGTERM", server.terminate)

    def _wait_until_it_answers(self) -> None:
        asks, last = [_http(self._model)(), _grpc(self._model)()], time.monotonic() + 30
        while time.monotonic() < last and not {ask() for ask in asks} <= GOOD:
            time.sleep(0.2)

    def _kill_replicas(self) -> None:
        """Kills one, and another when there are two again."""
        for _ in range(3):
            _kill("ray::ServeReplica")
            time.sleep(self._seconds / 4)

    def _new_version(self) -> None:
        """Copies the model beside the first version, as its second."""
        shutil.copytree(self._models / self._model / "1", self._models / self._model / "2")

    def _deploy(self) -> None:
        """Deploys from a driver of its own, as another `dlcv serve` would."""
        code = (
            "import sys, dataclasses; from dlcv_tf.serve import ray_engine; "
            "from dlcv_tf.serve.config import Config; "
            "config = Config(sys.argv[1], port=int(sys.argv[2]), grpc_port=int(sys.argv[3]), "
            "engine='ray', replicas=2, timeout=20.0); "
            "ray_engine.start(config); ray_engine.deploy(config)"
        )
        environment = os.environ | {"RAY_ADDRESS": "auto"}
        arguments = [str(self._models), str(PORT), str(GRPC_PORT)]
        subprocess.run(
            [sys.executable, "-c", code, *arguments], env=environment, check=True, timeout=120
        )

    def _scene(self, name: str, happen) -> None:
        """Asks from six clients, lets something happen after a second, and counts the answers."""
        self._wait_until_it_answers()
        stop = threading.Event()
        clients = [
            _Client(ask, stop) for ask in [_http(self._model)] * 3 + [_grpc(self._model)] * 3
        ]
        threads = [threading.Thread(target=client.run) for client in clients]
        for thread in threads:
            thread.start()
        time.sleep(1)
        begun = time.monotonic()
        happen()
        took = time.monotonic() - begun
        time.sleep(max(0.0, self._seconds - 1 - took))
        stop.set()
        for thread in threads:
            thread.join(60)
        self._scenes.append({"scene": name, "took": took, **_counted(clients)})
        print(json.dumps(self._scenes[-1]), flush=True)


class _Client:
    """One client that asks again and again, over one connection as long as that holds."""

    def __init__(self, connect, stop: threading.Event):
        self._connect, self._stop = connect, stop
        self.codes: collections.Counter = collections.Counter()
        self.times: list[float] = []
        self.answered: list[float] = []  # when

    def run(self) -> None:
        ask = self._connect()
        while not self._stop.is_set():
            begun = time.monotonic()
            code = ask()
            self.codes[code] += 1
            if code in GOOD:
                self.answered.append(time.monotonic())
                self.times.append(self.answered[-1] - begun)
            time.sleep(PAUSE)


def _counted(clients: list[_Client]) -> dict:
    codes = sum((client.codes for client in clients), collections.Counter())
    times = sorted(took for client in clients for took in client.times)
    answered = sorted(when for client in clients for when in client.answered)
    return {
        "requests": sum(codes.values()),
        "failed": {code: n for code, n in sorted(codes.items()) if code not in GOOD},
        "p50_ms": round(1000 * statistics.median(times), 1),
        "p99_ms": round(1000 * times[int(0.99 * len(times))], 1),
        "longest_ms": round(1000 * times[-1]),
        "gap_ms": round(1000 * max(b - a for a, b in itertools.pairwise(answered))),
    }


def _http(model: str):
    """Returns what connects a client of TF Serving's REST."""
    import httpx
    import numpy as np

    body = json.dumps({"instances": np.full((1, 32, 32, 3), 100).tolist()}).encode()

    def connect():
        client = httpx.Client(base_url=f"http://127.0.0.1:{PORT}", timeout=30)

        def ask() -> str:
            try:
                answer = client.post(f"/v1/models/{model}:predict", content=body)
                return f"HTTP {answer.status_code}"
            except httpx.HTTPError as error:
                return f"HTTP {type(error).__name__}"

        return ask

    return connect


def _grpc(model: str):
    """Returns what connects a client of KServe's gRPC."""
    import grpc

    from dlcv_tf.artifact import inference_messages

    request = inference_messages.ModelInferRequest(model_name=model)
    request.inputs.add(name="images", datatype="UINT8", shape=[1, 32, 32, 3])
    request.raw_input_contents.append(bytes(32 * 32 * 3))
    data = request.SerializeToString()

    def connect():
        channel = grpc.insecure_channel(f"127.0.0.1:{GRPC_PORT}")
        call = channel.unary_unary("/inference.GRPCInferenceService/ModelInfer")

        def ask() -> str:
            try:
                call(data, timeout=30)
                return "gRPC OK"
            except grpc.RpcError as error:
                return f"gRPC {error.code().name}"

        return ask

    return connect


def _ours(title: str) -> list[int]:
    """Returns the processes of this network namespace whose title starts so."""
    own, found = os.readlink("/proc/self/ns/net"), []
    for entry in pathlib.Path("/proc").iterdir():
        try:
            if os.readlink(entry / "ns/net") == own and entry.name.isdecimal():
                text = (entry / "cmdline").read_bytes().decode(errors="replace")
                if text.startswith(title) and int(entry.name) != os.getpid():
                    found.append(int(entry.name))
        except OSError:  # it has ended
            continue
    return found


def _kill(title: str) -> None:
    """Kills the first of the processes of that title, as soon as there is one."""
    last = time.monotonic() + 30
    while not (found := _ours(title)):
        if time.monotonic() > last:
            raise TimeoutError(f"no process {title}")
        time.sleep(0.1)
    os.kill(found[0], signal.SIGKILL)


def table(scenes: list[dict]) -> str:
    """Returns the scenes as a table in Markdown."""
    lines = [
        "| what happens | requests | failed | p50 ms | p99 ms | longest | no answer for ms |",
        "|---|---|---|---|---|---|---|",
    ]
    for scene in scenes:
        failed = ", ".join(f"{n} {code}" for code, n in scene["failed"].items()) or "0"
        times = " | ".join(
            str(scene[name]) for name in ("p50_ms", "p99_ms", "longest_ms", "gap_ms")
        )
        lines.append(f"| {scene['scene']} | {scene['requests']} | {failed} | {times} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
