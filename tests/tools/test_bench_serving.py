"""The serving benchmark counts right answers as such, and errors as such, also those of gRPC."""

import dataclasses
import importlib
import os
import pathlib
import shutil
import socket
import sys
import time

import numpy as np
import onnxruntime
import pytest

TOOLS = pathlib.Path(__file__).parents[2] / "tools"


@pytest.fixture
def tool(monkeypatch):
    """Imports a script of `tools/`, which finds its siblings there when it is run."""
    monkeypatch.syspath_prepend(TOOLS)
    return importlib.import_module


@pytest.fixture
def served(tool, tmp_path, monkeypatch):
    """The benchmark's network, served as the benchmark does, and what it answers."""
    bench, load, peers = (tool(f"bench_serving{part}") for part in ("", "_load", "_peers"))
    monkeypatch.setattr(peers, "PORT", free_port())
    monkeypatch.setattr(peers, "GRPC_PORT", free_port())
    model = tool("bench_serving_net").write(tmp_path / "models", 16)
    expected = tool("bench_serving_net").expected(model)
    program, environment = peers.command(peers.OURS, tmp_path, model)
    core = min(os.sched_getaffinity(0))
    with load.Server(program, core, tmp_path / "log", environment) as started:
        bench.wait_until_right(started, peers.ways(peers.OURS)[0], expected)
        assert 0 < bench.wait_until_ready(started) < bench.PATIENCE
        yield started, expected


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def loaded(tool, server, way, answer):
    peers, load = tool("bench_serving_peers"), tool("bench_serving_load")
    address = f"127.0.0.1:{peers.GRPC_PORT if way.is_grpc else peers.PORT}"
    length = len(answer) + (5 if way.is_grpc else 0)
    asked = load.Load(way, address, length, server.mark, min(os.sched_getaffinity(0)))
    asked.warm_up(4)
    return asked.run(4, 0.4)


@pytest.mark.skipif(
    not (shutil.which("h2load") and shutil.which("taskset")), reason="no h2load, or no taskset"
)
def test_right_answers_are_checked_and_counted_and_errors_too(tool, served):
    bench, (server, expected) = tool("bench_serving"), served
    ways = tool("bench_serving_peers").ways("dlcv")
    assert [way.kind for way in ways] == ["gRPC", "gRPC", "bytes", "JSON"]
    for way in ways:
        answer = bench.checked(way, expected)
        counts = loaded(tool, server, way, answer)
        figures = counts.figures()
        assert counts.failed == 0
        assert figures["requests"] > 10
        assert 0.02 < figures["cpu_ms"] < 100
        assert 0 < figures["p50_ms"] <= figures["p99_ms"] < 5000
        with pytest.raises(RuntimeError, match="expected"):
            bench.checked(way, expected[:, ::-1])
    # To h2load an RPC that fails is one of status 200.
    missing = dataclasses.replace(ways[1], body=ways[1].body.replace(b"net", b"nil", 1))
    counts = loaded(tool, server, missing, answer)
    assert counts.failed >= counts.figures()["requests"] > 10


@pytest.mark.skipif(not shutil.which("taskset"), reason="no taskset")
def test_a_server_is_one_with_all_it_starts_and_nothing_of_it_stays(tool, tmp_path):
    load = tool("bench_serving_load")
    busy = "import time; last = time.time() + 60\nwhile time.time() < last: pass"
    orphan = (
        "import subprocess, sys, time\n"
        "subprocess.Popen([sys.executable, '-c', sys.argv[1]], start_new_session=True)\n"
        "time.sleep(60)"
    )
    command = [sys.executable, "-c", orphan, busy]
    with load.Server(command, min(os.sched_getaffinity(0)), tmp_path / "log", {}) as started:
        last = time.monotonic() + 20
        while load.processor_seconds(started.mark) < 0.3 and time.monotonic() < last:
            time.sleep(0.05)
        assert load.processor_seconds(started.mark) >= 0.3
        assert len(load.processes(started.mark)) == 2
    assert not load.processes(started.mark)
    command = [sys.executable, "-c", "raise SystemExit('no port')"]
    with load.Server(command, min(os.sched_getaffinity(0)), tmp_path / "log", {}) as started:
        with pytest.raises(RuntimeError, match="no port"):
            while time.monotonic() < started.started + 20:
                started.check_running()
                time.sleep(0.05)


def test_tables_name_the_best_other_and_what_was_missed(tool):
    tables = tool("bench_serving_tables")

    def row(title, way, per_second, cpu_ms=0.5):
        numbers = {"cpu_ms": cpu_ms, "per_second": per_second, "p50_ms": 1.0, "p99_ms": 2.0}
        return title, way, 8, numbers

    rows = [
        row("ours", "rpc", 119),
        row("ours", "json", 500, cpu_ms=1.4),
        row("one", "rpc", 100),
        row("two", "rpc", 90),
        row("two", "text", 400),
    ]
    kinds = {(title, way): "gRPC" if way == "rpc" else "JSON" for title, way, *_ in rows}
    found = tables.verdicts(rows, kinds, "ours").splitlines()
    assert found[2] == "| rpc | 8 | 0.50 | 0.85 | 119 | one, rpc | 100 | 1.19 MISSED |"
    assert found[3] == "| json | 8 | 1.40 MISSED | 1.30 | 500 | two, text | 400 | 1.25 |"
    table = tables.figures(rows, (8,)).splitlines()
    assert (
        table[0]
        == "| server | asked by | CPU ms, c=8 | requests/s, c=8 | p50 ms, c=8 | p99 ms, c=8 |"
    )
    assert table[2] == "| ours | rpc | 0.50 | 119 | 1.00 | 2.00 |"
    assert len(table) == 7


def test_the_network_takes_batches_and_tells_pictures_apart(tool, tmp_path):
    net = tool("bench_serving_net")
    path = net.write(tmp_path / "models", 16)
    session = onnxruntime.InferenceSession(path)
    images = np.concatenate([net.picture(), 1 - net.picture()])
    answers = session.run(None, {net.INPUT: images})[0]
    assert answers.shape == (2, net.CLASSES)
    np.testing.assert_allclose(answers[:1], net.expected(path), rtol=1e-4, atol=1e-6)
    assert np.abs(answers[0] - answers[1]).max() > 1e-3
    body, length = net.kserve_body("images", images[:1])
    assert body[length:] == images[:1].tobytes()
