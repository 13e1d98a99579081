"""Load against a real `dlcv serve` while versions are swapped: failures, latencies, memory.

    .venv/bin/python tools/load_serving.py                        a minute and a half
    .venv/bin/python tools/load_serving.py --seconds 600 --reloads 100

Clients in threads of this process send picture files and JSON to all shipped models in turn, first
undisturbed, then while a new version of one of them appears every five seconds; then, without
load, as many versions follow each other as `--reloads` says. The server has one core, the clients
another, where there are two.
"""

import argparse
import base64
import http.client
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
import urllib.parse

import numpy as np
from PIL import Image

from dlcv_tf.cli import tables

MODELS = pathlib.Path(__file__).parents[1] / "savedmodels"
SWAPPED = "cifar10_airbench"
EVERY = 5.0  # seconds between two versions under load


def bodies(names: list[str]) -> list[tuple[str, bytes, str]]:
    """Returns paths, bodies and content types: each model by a picture file, and by JSON."""
    pixels = np.random.default_rng(0).integers(0, 256, (96, 128, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "JPEG", quality=90)
    encoded = base64.b64encode(file.getvalue()).decode()
    document = {"instances": [{"b64": encoded}], "signature_name": "image_bytes"}
    return [
        (f"/v1/models/{name}:predict", body, kind)
        for name in names
        for body, kind in (
            (file.getvalue(), "image/jpeg"),
            (json.dumps(document).encode(), "application/json"),
        )
    ]


class Load:
    """Clients that send until they are stopped, each on a connection of its own."""

    def __init__(self, url: str, clients: int, requests: list[tuple[str, bytes, str]]):
        self._address = urllib.parse.urlparse(url).netloc
        self._requests = requests
        self._stop = threading.Event()
        self.seconds: list[float] = []
        self.failures: list[str] = []
        self._threads = [
            threading.Thread(target=self._client, args=(number,)) for number in range(clients)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _client(self, number: int) -> None:
        connection = http.client.HTTPConnection(self._address, timeout=60)
        while not self._stop.is_set():
            path, body, kind = self._requests[number % len(self._requests)]
            number += 1
            start = time.perf_counter()
            try:
                connection.request("POST", path, body, {"content-type": kind})
                answer = connection.getresponse()
                text = answer.read()
                if answer.status != 200:
                    self.failures.append(f"{answer.status} {text[:80]!r}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                connection.close()
            self.seconds.append(time.perf_counter() - start)


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


def wait_until_served(url: str, version: int, seconds: float = 60) -> None:
    """Waits until a version is AVAILABLE and all others have gone."""
    address = urllib.parse.urlparse(url).netloc
    last = time.monotonic() + seconds
    while time.monotonic() < last:
        connection = http.client.HTTPConnection(address, timeout=10)
        connection.request("GET", f"/v1/models/{SWAPPED}")
        states = json.loads(connection.getresponse().read())["model_version_status"]
        connection.close()
        up = {int(each["version"]) for each in states if each["state"] != "END"}
        if up == {version} and any(each["state"] == "AVAILABLE" for each in states):
            return
        time.sleep(0.05)
    raise SystemExit(f"version {version} of {SWAPPED} was not served within {seconds:g} s")


def megabytes(process: int) -> float:
    """Returns the resident memory of a process."""
    pages = int(pathlib.Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


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
        command = [sys.executable, "-m", "dlcv_tf.cli.main", "serve", "--models", str(models)]
        command += ["--port", "0", "--json", "--poll", "0.2"]
        pin = ["taskset", "-c", str(cores[-1])] if shutil.which("taskset") else []
        with subprocess.Popen([*pin, *command], stdout=subprocess.PIPE, text=True) as server:
            try:
                phases(json.loads(server.stdout.readline())["rest"], server.pid, models, options)
            finally:
                server.terminate()


def phases(url: str, process: int, models: pathlib.Path, options) -> None:
    """Runs the phases against a server and prints what each of them was like."""
    requests = bodies(sorted(path.name for path in models.iterdir()))
    rows = []

    def row(what: str, load: Load | None, before: float) -> None:
        memory = f"{before:.0f} to {megabytes(process):.0f}"
        if load is None:
            rows.append((what, "", "", "", "", memory))
            return
        p50, p99 = np.percentile(np.array(load.seconds) * 1e3, (50, 99))
        count, failed = f"{len(load.seconds):,}", str(len(load.failures))
        rows.append((what, count, failed, f"{p50:.1f}", f"{p99:.1f}", memory))
        for failure in load.failures[:5]:
            print("failed:", failure)

    with Load(url, options.clients, requests):
        time.sleep(min(5, options.seconds))  # warms caches and connections of both sides
    before = megabytes(process)
    with Load(url, options.clients, requests) as load:
        time.sleep(options.seconds)
    row("steady", load, before)
    before, version = megabytes(process), 0
    with Load(url, options.clients, requests) as load:
        for _ in range(max(1, int(options.seconds / EVERY))):
            version = next_version(models)
            time.sleep(EVERY)
    row("a version every 5 s", load, before)
    wait_until_served(url, version)
    before = megabytes(process)
    for _ in range(options.reloads):
        wait_until_served(url, next_version(models))
    row(f"{options.reloads} versions", None, before)
    columns = ("phase", "requests", "failed", "p50 ms", "p99 ms", "memory, MB")
    title = f"dlcv serve under {options.clients} clients, {options.seconds:g} s a phase"
    tables.print_table(title, columns, rows)


if __name__ == "__main__":
    main()
