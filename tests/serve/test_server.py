"""The server as a program: ready line, ports, signals, one-line errors, and no TensorFlow."""

import json
import re
import signal
import socket
import subprocess
import sys
import time

import httpx
import pytest

from dlcv_tf.cli import main
from dlcv_tf.errors import InputError
from dlcv_tf.serve import server
from tests.artifact import tiny

COMMAND = "import sys; from dlcv_tf.cli.main import main; sys.exit(main())"


READY = r"dlcv serve: ready at (http://127\.0\.0\.1:\d+) and, for gRPC, [\d.:]+ \((.*)\)\n"


def dlcv_serve(*arguments: str, **options) -> subprocess.Popen:
    """Starts `dlcv serve` as a user does."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, "serve", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def ready(process: subprocess.Popen) -> str:
    """Waits for the ready line."""
    line = process.stdout.readline()
    if not line:
        pytest.fail(f"no ready line: {process.communicate()[1]}")
    return line


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_it_says_when_it_is_ready_and_stops_cleanly(models_dir, number):
    with dlcv_serve("--models", str(models_dir), "--port", "0") as process:
        line = ready(process)
        match = re.fullmatch(READY, line)
        assert match, line
        assert match[2] == "grey/1 by onnx, tiny/10 by onnx"
        assert httpx.get(match[1] + "/v2/health/ready").status_code == 200
        process.send_signal(number)
        output, errors = process.communicate(timeout=20)
        assert process.returncode == 0
        assert output == ""
        assert errors.startswith("refused tiny/11: model.onnx") and errors.count("\n") == 1


def test_the_ready_line_as_json(models_dir):
    with dlcv_serve("--models", str(models_dir), "--port", "0", "--json") as process:
        line = json.loads(ready(process))
        process.terminate()
        assert process.wait(20) == 0
    assert line["models"] == [
        {"name": "grey", "version": 1, "executor": "onnx"},
        {"name": "tiny", "version": 10, "executor": "onnx"},
    ]
    assert re.fullmatch(r"http://127\.0\.0\.1:\d+", line["rest"])
    assert re.fullmatch(r"127\.0\.0\.1:\d+", line["grpc"])


def test_a_model_that_is_refused_is_named_with_the_address(tmp_path):
    tiny.artifact(tmp_path, "net", 1)
    (tiny.artifact(tmp_path, "broken", 1) / "model.onnx").unlink()
    with dlcv_serve("--models", str(tmp_path), "--port", "0") as process:
        line = ready(process)
        process.terminate()
        process.communicate(timeout=20)
    assert re.search(r"answers at http\S+ .*\(net/1 by \w+\), but is not ready: broken/1: ", line)


def test_two_signals_at_once_are_one_and_nohup_keeps_it_from_a_third(models_dir):
    command = ["nohup", sys.executable, "-c", COMMAND, "serve", "--models", str(models_dir)]
    options = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    with subprocess.Popen([*command, "--port", "0"], **options) as process:
        url = re.search(r"http://[\d.:]+", ready(process))[0]
        process.send_signal(signal.SIGHUP)
        time.sleep(0.2)
        assert httpx.get(url + "/v2/health/ready").status_code == 200
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 0 and "second time" not in errors


def test_it_is_ready_within_one_and_a_half_seconds(models_dir):
    times = []
    for _ in range(3):
        start = time.monotonic()
        with dlcv_serve("--models", str(models_dir), "--port", "0") as process:
            ready(process)
            times.append(time.monotonic() - start)
            process.terminate()
            process.wait(20)
    assert min(times) < 1.5


def failure(*arguments: str) -> str:
    """Runs `dlcv serve`, which must fail with status 2 and one line."""
    with dlcv_serve(*arguments) as process:
        output, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert output == ""
    assert errors.count("\n") == 1
    return errors


def test_a_port_in_use_is_one_line(models_dir):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        message = failure("--models", str(models_dir), "--port", str(port))
    assert f"port {port} of 127.0.0.1 is in use" in message


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--executor torch", "argument --executor: invalid choice: 'torch'"),
        ("--batching none.txt", "cannot read the batching parameters none.txt"),
        ("--log-pictures", "got --log-pictures without --request-log FILE"),
        ("--replicas 2", "without --engine ray"),
        ("--max-replicas 2", "without --engine ray"),
        ("--tls-certificate c.pem", "got --tls-certificate without --tls-key, expected both"),
    ],
)
def test_options_that_make_no_sense_are_one_line(models_dir, capsys, options, message):
    arguments = ["serve", "--models", str(models_dir), "--port", "0", *options.split()]
    assert main.main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and message in said.err and said.err.count("\n") == 1


def test_a_missing_models_directory_is_one_line(tmp_path):
    message = failure("--models", str(tmp_path / "nothing"))
    assert f"looked for NAME/VERSION/manifest.json in {tmp_path}/nothing" in message


def test_models_that_are_all_damaged_are_refused(tmp_path):
    (tiny.artifact(tmp_path) / "manifest.json").unlink()
    with dlcv_serve("--models", str(tmp_path), "--port", "0") as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert "none of the models" in errors.splitlines()[-1]


@pytest.mark.parametrize(
    ("host", "port", "message"),
    [
        ("no.such.host.invalid", 0, "no address of this machine"),
        ("127.0.0.1", 70000, "expected 0 to 65535"),
        ("192.0.2.1", 0, "cannot listen on 192.0.2.1"),
    ],
)
def test_an_address_that_cannot_be_had_is_named(models_dir, host, port, message):
    with pytest.raises(InputError, match=message), server.running(models_dir, host=host, port=port):
        pass


def test_running_stops_and_frees_its_port(models_dir):
    with server.running(models_dir) as url:
        assert httpx.get(url + "/healthz").status_code == 200
    with pytest.raises(httpx.ConnectError):
        httpx.get(url + "/healthz")
    port = int(url.rsplit(":", 1)[1])
    with server.running(models_dir, port=port) as again:
        assert again == url


def test_ipv6_addresses_are_bracketed(models_dir):
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("this machine has no IPv6 loopback")
    with server.running(models_dir, host="::1") as url:
        assert url.startswith("http://[::1]:")
        assert httpx.get(url + "/healthz").status_code == 200


def test_neither_the_room_nor_a_running_server_imports_tensorflow(models_dir):
    code = """
import sys, urllib.request
import dlcv_tf.serve
from dlcv_tf.serve import server
with server.running(sys.argv[1]) as url:
    body = b'{"instances": [[[[1, 2, 3]]]]}'
    urllib.request.urlopen(url + "/v1/models/tiny:predict", body).read()
    urllib.request.urlopen(url + "/v1/models/tiny/metadata").read()
loaded = {name.partition(".")[0] for name in sys.modules} & {"tensorflow", "keras", "tf_keras"}
sys.exit(f"imported {loaded}" if loaded else 0)
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(models_dir)], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr


def test_the_options_are_printed_without_the_token(tmp_path):
    token = tmp_path / "token"
    token.write_text("s3cret\n")
    with dlcv_serve("--print-config", "--token-file", str(token), "--port", "0") as process:
        output, errors = process.communicate(timeout=20)
    options = json.loads(output)
    assert (options["port"], options["grpc_port"], options["host"]) == (0, 0, "127.0.0.1")
    assert options["token"] == "(set, not shown)" and "s3cret" not in output + errors
    assert "which cannot be read" in failure("--token-file", str(tmp_path / "none"))
