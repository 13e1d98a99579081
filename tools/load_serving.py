"""Load against a real `dlcv serve` while versions are swapped: failures, latencies, memory.

    .venv/bin/python tools/load_serving.py                        a minute and a half
    .venv/bin/python tools/load_serving.py --seconds 600 --reloads 100

Clients in threads of this process send picture files and JSON over HTTP, files and pixels over
gRPC, to all shipped models and a picture-to-picture one in turn, first undisturbed, then while a
new version of one of them appears every five seconds; then, without load, as many versions follow
each other as `--reloads` says. The server has one core, the clients another, where there are two.
"""

import argparse
import base64
import dataclasses
import http.client
import importlib
import io
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

import grpc
import numpy as np
from PIL import Image

from dlcv_tf.artifact import inference_messages, tfs_messages
from dlcv_tf.cli import tables

ROOT = pathlib.Path(__file__).parents[1]
MODELS = ROOT / "savedmodels"
SWAPPED = "cifar10_airbench"
EVERY = 5.0  # seconds between two versions under load


@dataclasses.dataclass(frozen=True)
class Request:
    """One request as its bytes: over HTTP with a content type, or over gRPC, which has none."""

    path: str
    body: bytes
    content_type: str | None = None


def requests(names: list[str]) -> list[Request]:
    """Returns what is sent to each model: a picture file, JSON, and both services of gRPC."""
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "JPEG", quality=90)
    file = stream.getvalue()
    encoded = base64.b64encode(file).decode()
    document = {"instances": [{"b64": encoded}], "signature_name": "image_bytes"}
    result = []
    for name in names:
        path = f"/v1/models/{name}:predict"
        predict = tfs_messages.PredictRequest(inputs={"image_bytes": tfs_messages.tensor([file])})
        predict.model_spec.name, predict.model_spec.signature_name = name, "image_bytes"
        infer = inference_messages.ModelInferRequest(model_name=name)
        infer.inputs.add(name="images", datatype="UINT8", shape=[1, *pixels.shape])
        infer.raw_input_contents.append(pixels.tobytes())
        result += [
            Request(path, file, "image/jpeg"),
            Request(path, json.dumps(document).encode(), "application/json"),
            Request("/tensorflow.serving.PredictionService/Predict", predict.SerializeToString()),
            Request("/inference.GRPCInferenceService/ModelInfer", infer.SerializeToString()),
        ]
    return result


class Load:
    """Clients that send until they are stopped, on connections of their own; memory meanwhile."""

    def __init__(self, server: "Server", clients: int, requests: list[Request]):
        self._server = server
        self._requests = requests
        self._stop = threading.Event()
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self.memory: list[tuple[float, float]] = []  # minutes, megabytes
        self._threads = [
            threading.Thread(target=self._client, args=(number,)) for number in range(clients)
        ] + [threading.Thread(target=self._watch)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    @property
    def slope(self) -> float:
        """Megabytes a minute, by least squares over the second half, when caches are full."""
        late = np.array(self.memory[len(self.memory) // 2 :])
        return float(np.polyfit(late[:, 0], late[:, 1], 1)[0])

    def _client(self, number: int) -> None:
        http_address, grpc_address = self._server.rest, self._server.grpc
        connection = http.client.HTTPConnection(http_address, timeout=60)
        options = [("grpc.use_local_subchannel_pool", 1)]  # else all channels share a connection
        with grpc.insecure_channel(grpc_address, options) as channel:
            while not self._stop.is_set():
                request = self._requests[number % len(self._requests)]
                number += 1
                start = time.perf_counter()
                try:
                    if request.content_type:
                        self._post(connection, request)
                    else:
                        channel.unary_unary(request.path)(request.body, timeout=60)
                except (OSError, http.client.HTTPException, grpc.RpcError) as error:
                    self.failures.append(repr(error)[:200])
                    connection.close()
                self.seconds.append(time.perf_counter() - start)

    def _post(self, connection: http.client.HTTPConnection, request: Request) -> None:
        headers = {"content-type": request.content_type}
        connection.request("POST", request.path, request.body, headers)
        answer = connection.getresponse()
        text = answer.read()
        if answer.status != 200:
            self.failures.append(f"{answer.status} {text[:80]!r}")

    def _watch(self) -> None:
        start = time.monotonic()
        while not self._stop.wait(1):
            self.memory.append(((time.monotonic() - start) / 60, self._server.megabytes()))


@dataclasses.dataclass(frozen=True)
class Server:
    """A `dlcv serve` that runs: where it listens, and its process."""

    rest: str
    grpc: str
    process: int

    def megabytes(self) -> float:
        """Returns its resident memory."""
        pages = int(pathlib.Path(f"/proc/{self.process}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 2**20

    def states(self) -> list[dict]:
        """Returns what it says of the versions of the model that is swapped."""
        with urllib.request.urlopen(
            f"http://{self.rest}/v1/models/{SWAPPED}", timeout=10
        ) as answer:
            return json.load(answer)["model_version_status"]


def next_version(models: pathlib.Path) -> int:
    """Copies the newest version of the swapped model as the next one, which appears whole."""
    newest = max(int(path.name) for path in (models / SWAPPED).iterdir() if path.name.isdigit())
    scratch = models / SWAPPED / "next.tmp"
    shutil.copytree(models / SWAPPED / str(newest), scratch)
    manifest = scratch / "manifest.json"
    document = json.loads(manifest.read_text()) | {"version": newest + 1}
    manifest.write_text(json.dumps(document))
    scratch.rename(models / SWAPPED / str(newest + 1))
    return newest + 1


def wait_until_served(server: Server, version: int, seconds: float = 60) -> None:
    """Waits until a version is AVAILABLE and all others have gone."""
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        states = server.states()
        up = {int(each["version"]) for each in states if each["state"] != "END"}
        if up == {version} and any(each["state"] == "AVAILABLE" for each in states):
            return
        time.sleep(0.05)
    raise SystemExit(f"version {version} of {SWAPPED} was not served within {seconds:g} s")


def main() -> None:
    """Runs the phases and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=30, help="of each phase under load")
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--reloads", type=int, default=20)
    options = parser.parse_args()
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, cores[:1])
    with tempfile.TemporaryDirectory() as directory:
        models = pathlib.Path(directory, "models")
        shutil.copytree(MODELS, models)
        sys.path.insert(0, str(ROOT))
        importlib.import_module("tests.serve.artifacts").negative(models)  # a picture for a picture
        command = [sys.executable, "-m", "dlcv_tf.cli.main", "serve", "--models", str(models)]
        command += ["--port", "0", "--grpc-port", "0", "--json", "--poll", "0.2"]
        pin = ["taskset", "-c", str(cores[-1])] if shutil.which("taskset") else []
        with subprocess.Popen([*pin, *command], stdout=subprocess.PIPE, text=True) as process:
            try:
                ready = json.loads(process.stdout.readline())
                rest, grpc_address = (ready[port].split("//")[-1] for port in ("rest", "grpc"))
                phases(Server(rest, grpc_address, process.pid), models, options)
            finally:
                process.terminate()


def phases(server: Server, models: pathlib.Path, options) -> None:
    """Runs the phases against a server and prints what each of them was like."""
    mixed = requests(sorted(path.name for path in models.iterdir()))
    rows = []

    def row(what: str, load: Load | None, before: float) -> None:
        memory = f"{before:.0f} to {server.megabytes():.0f}"
        if load is None:
            rows.append((what, "", "", "", "", memory, ""))
            return
        p50, p99 = np.percentile(np.array(load.seconds) * 1e3, (50, 99))
        count, failed = f"{len(load.seconds):,}", str(len(load.failures))
        rows.append((what, count, failed, f"{p50:.1f}", f"{p99:.1f}", memory, f"{load.slope:+.1f}"))
        for failure in load.failures[:5]:
            print("failed:", failure)

    with Load(server, options.clients, mixed):
        time.sleep(min(30, options.seconds))  # fills caches and opens connections of both sides
    start = server.megabytes()
    with Load(server, options.clients, mixed) as load:
        time.sleep(options.seconds)
    row("steady", load, start)
    before, version = server.megabytes(), 0
    with Load(server, options.clients, mixed) as load:
        for _ in range(max(1, int(options.seconds / EVERY))):
            version = next_version(models)
            time.sleep(EVERY)
    row("a version every 5 s", load, before)
    wait_until_served(server, version)
    for _ in range(options.reloads):
        wait_until_served(server, next_version(models))
    row(f"start, and after {options.reloads} versions more", None, start)
    columns = ("phase", "requests", "failed", "p50 ms", "p99 ms", "memory, MB", "MB a minute")
    title = f"dlcv serve under {options.clients} clients, {options.seconds:g} s a phase"
    tables.print_table(title, columns, rows)


if __name__ == "__main__":
    main()
