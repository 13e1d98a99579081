"""What an attacker would try: headers, tokens, other origins, TLS, what errors give away."""

import contextlib
import hmac
import json
import os
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import time
import warnings

import grpc
import httpx
import pytest

from dlcv_tf.artifact import inference_messages, tfs_messages
from dlcv_tf.errors import InputError
from dlcv_tf.serve import access, app, grpc_server, http_server, metrics, page, server
from dlcv_tf.serve.config import LEAST, Config
from dlcv_tf.serve.errors import ServingError
from dlcv_tf.serve.repository import Repository
from tests.artifact import tiny
from tests.serve import grpc_client
from tests.serve.test_server import dlcv_serve, ready

PREDICT = "/v1/models/tiny:predict"
BODY = json.dumps({"instances": [tiny.ramp(4, 5).tolist()]}).encode()


def disk(path: pathlib.Path) -> pathlib.Path:
    """Makes a disk: `models` is served, with a damaged version; `outside` is a whole artifact."""
    tiny.artifact(path / "models", "tiny", 1)
    damaged = tiny.artifact(path / "models", "tiny", 2)
    (damaged / "model.onnx").write_bytes(b"no model")
    (path / "models" / "empty").mkdir()
    tiny.artifact(path, "outside", 1)
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    return disk(tmp_path_factory.mktemp("disk-nobody-may-know"))


@pytest.fixture(scope="module")
def client(place):
    with (
        server.running(place / "models", executor="onnx", batching="off") as base,
        httpx.Client(base_url=base, timeout=30) as http,
    ):
        yield http


def send(client: httpx.Client, data: bytes) -> bytes:
    """Sends bytes as they stand, and reads until the server closes."""
    address = client.base_url.host, client.base_url.port
    with socket.create_connection(address, timeout=10) as connection:
        answer = b""
        with contextlib.suppress(ConnectionResetError, BrokenPipeError):
            connection.sendall(data)
            while more := connection.recv(65536):
                answer += more
        return answer


def reload(path: str, name: str = "moved"):
    message = tfs_messages.ModelServerConfig()
    message.model_config_list.config.add(name=name, base_path=path)
    return message


# Headers and lines --------------------------------------------------------------------------------


def head_of(answer: bytes) -> list[bytes]:
    return answer.partition(b"\r\n\r\n")[0].lower().split(b"\r\n")


EVIL = b"a%0d%0aset-cookie:%20evil=1"
INJECTIONS = [
    b"x-request-id: " + EVIL,
    b"x-request-id: a\rset-cookie: evil=1",
    b"x-request-id: a\x85set-cookie: evil=1",
    "x-request-id: a\u010aset-cookie: evil=1".encode(),  # whose last byte is a line feed
    b"x-request-id: a\r\n set-cookie: evil=1",  # a folded line
    b"x-request-id: " + b"a" * 5000,
    b"origin: http://x" + EVIL,
    b"accept: image/png" + EVIL,
    b"accept-encoding: gzip" + EVIL,
    b"if-none-match: " + EVIL,
    b"content-encoding: " + EVIL,
    b"inference-header-content-length: " + EVIL,
    b"authorization: Bearer " + EVIL,
]


@pytest.mark.parametrize("cors", [False, True])
def test_nothing_that_is_sent_becomes_a_header(place, cors):
    paths = [PREDICT, f"/v1/models/{EVIL.decode()}:predict", f"/{EVIL.decode()}", "/page/page.js"]
    with (
        server.running(place / "models", cors=cors, executor="onnx", batching="off") as base,
        httpx.Client(base_url=base) as client,
    ):
        for path in paths:
            for line in INJECTIONS:
                for method in ("POST", "GET", "OPTIONS"):
                    data = f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n".encode()
                    answer = send(client, data + line + b"\r\ncontent-length: 0\r\n\r\n")
                    names = [each.partition(b":")[0] for each in head_of(answer)]
                    assert b"set-cookie" not in names and b"evil" not in names
                    assert all(len(each) < 500 for each in head_of(answer))
                    assert answer.count(b"HTTP/1.1 ") <= 1


SMUGGLED = [
    b"content-length: 0\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
    b"content-length: 0\r\ncontent-length: 44\r\n\r\n",
    b"content-length: +0\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\n+0\r\n\r\n",
    b"transfer-encoding: chunked\r\n\r\nzz\r\n\r\n",
    b"transfer-encoding: xchunked\r\n\r\n",
    b"content-length : 0\r\n\r\n",
    b"x: a\0b\r\n\r\n",
]


@pytest.mark.parametrize("lines", SMUGGLED)
def test_a_request_that_two_readers_could_read_in_two_ways_is_refused(client, lines):
    """Else a proxy before the server could be made to take one request for two."""
    second = b"GET /v2 HTTP/1.1\r\nhost: x\r\n\r\n"
    answer = send(client, f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\n".encode() + lines + second)
    assert b" 200 " not in answer and b"dlcv_tf" not in answer


def test_a_line_of_a_log_stays_one(place, tmp_path, caplog, monkeypatch):
    """The request log is JSON; the other one never holds what a client made up, but quoted."""
    path = tmp_path / "requests.jsonl"
    monkeypatch.setitem(app.PROTOCOLS, "/v1/", lambda *_: 1 / 0)
    with (
        server.running(place / "models", request_log=str(path), executor="onnx") as base,
        httpx.Client(base_url=base) as client,
    ):
        caplog.clear()
        for name, status in ((b"a%0arefused%20tiny/1", b" 500 "), (b"a\x9b2J", b" 400 ")):
            line = b"GET /v1/models/" + name + b" HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
            assert status in send(client, line + b"x-request-id: a\tb\r\n\r\n")
            send(client, line.replace(b"/v1/", b"/v3/") + b"\r\n")
    lines = path.read_text().split("\n")
    assert len(lines) == 3 and all(json.loads(line) for line in lines[:-1])
    said = [record.getMessage() for record in caplog.records]
    assert said == ["failed to answer GET '/v1/models/a%0arefused%20tiny/1'"]
    for name, label in (("a\nb", "l"), ("a\x9bb", "l"), ("a\u2028b", "l"), ("tiny", "l\nb")):
        message = reload("tiny", name)
        message.model_config_list.config[0].version_labels[label] = 1
        with pytest.raises(InputError, match="expected"):
            Repository(Config(str(place / "models"))).reload(message)


# Who may call -------------------------------------------------------------------------------------

OPEN = {"/healthz", "/v2/health/live", "/v2/health/ready", *page.FILES}


def test_every_path_but_the_documented_ones_asks_for_the_token(place, client):
    document = client.get("/openapi.json").json()
    paths = {path.replace("{version}", "1").replace("{label}", "a") for path in document["paths"]}
    paths |= {*app.PROTOCOLS, *metrics.PATHS, "/v2", "/nothing", "/V1/models", "/HEALTHZ"}
    paths |= {"//healthz", "/healthz/", "/healthz/../v1/models", "/page/../v1/models", "/page/"}
    paths |= {f"http://x{PREDICT}", "*"}
    assert len(paths) > 30
    with (
        server.running(place / "models", token="s3cret", executor="onnx") as base,
        httpx.Client(base_url=base) as guarded,
    ):
        for path in paths:
            for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"):
                head = f"{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n"
                for line in ("", "authorization: Bearer s3cre\r\n", "cookie: token=s3cret\r\n"):
                    answer = send(guarded, f"{head}{line}content-length: 0\r\n\r\n".encode())
                    status = int(answer.split(b" ", 2)[1])
                    if path in OPEN:
                        assert status in (200, 304, 405, 503), (method, path)
                    else:
                        assert status == 401, (method, path, answer[:300])
                        assert answer.endswith(b'Bearer TOKEN"\n}') or method == "HEAD"


def test_every_method_but_health_asks_for_the_token(place):
    with grpc_client.running(place / "models", token="s3cret", executor="onnx") as client:
        for path, method in grpc_server.METHODS.items():
            kind = client.channel.stream_stream if method.on_error else client.channel.unary_unary
            for given in ("", "Bearer s3cre", "Bearer s3cret x", "s3cret"):
                metadata = (("authorization", given),) if given else ()
                with pytest.raises(grpc.RpcError) as caught:
                    sent = iter([b""]) if method.on_error else b""
                    answer = kind(path)(sent, metadata=metadata, timeout=10)
                    list(answer)
                assert caught.value.code() == grpc.StatusCode.UNAUTHENTICATED, path
        assert len(grpc_server.METHODS) >= 17


def test_the_token_is_compared_as_a_whole_whatever_was_sent(monkeypatch):
    compared = []

    def compare(one, other):
        compared.append((one, other))
        return real(one, other)

    real = hmac.compare_digest
    monkeypatch.setattr(access.hmac, "compare_digest", compare)
    config = Config(token="s3cret")
    sent = [
        "",
        "Bearer",
        "Bearer s3cre",
        "Bearer s3crex",
        "Bearer s3cret2",
        "Basic s3cret",
        "s3cret",
    ]
    sent += ["Bearer \xe9", "bearer s3cret x"]
    for value in sent:
        with pytest.raises(ServingError) as caught:
            access.check_token(config, value)
        assert "s3c" not in caught.value.message
    access.check_token(config, "Bearer s3cret")
    access.check_token(config, "bearer  s3cret ")
    assert len(compared) == len(sent) + 2
    assert {type(each) for pair in compared for each in pair} == {bytes}
    assert {other for _, other in compared} == {b"s3cret"}


@pytest.mark.parametrize("cors", [False, True])
def test_pages_of_other_origins_change_nothing(tmp_path, cors):
    """A page may send such requests even where it may not read the answer."""
    tiny.artifact(tmp_path)
    with server.running(tmp_path, cors=cors, executor="onnx", batching="off") as base:
        with httpx.Client(base_url=base) as client:

            def post(path, site):
                return client.post(path, content=BODY, headers={"sec-fetch-site": site}).status_code

            assert client.get("/v1/models", headers={"sec-fetch-site": "cross-site"}).is_success
            assert post(PREDICT, "same-origin") == post(PREDICT, "none") == 200
            for site in ("cross-site", "same-site"):
                assert post(PREDICT, site) == (200 if cors else 403)
            # Over plain HTTP to another machine, browsers tell the origin alone.
            own, other = (dict(origin=each) for each in (base, "http://elsewhere.example"))
            assert client.post(PREDICT, content=BODY, headers=own).status_code == 200
            answered = client.post(PREDICT, content=BODY, headers=other).status_code
            assert answered == (200 if cors else 403)
            assert post("/v2/repository/models/tiny/unload", "cross-site") == (200 if cors else 403)
            assert client.get("/v2/models/tiny/ready").status_code == (404 if cors else 200)


# What is safe by default --------------------------------------------------------------------------


def test_limits_are_on_by_default_and_nobody_else_reaches_the_ports(place):
    with dlcv_serve("--print-config") as process:
        shown = json.loads(process.communicate(timeout=20)[0])
    assert (
        shown["host"] == "127.0.0.1" and shown["cors"] is False and shown["log_pictures"] is False
    )
    limits = {"queue", "timeout", "drain", "max_requests", "max_connections", "max_body"}
    assert {*LEAST} >= limits | {"max_pixels", "request_threads"}
    for name in limits | {"max_pixels", "request_threads"}:
        assert 0 < shown[name] < 2**31, name
    options = ["--models", str(place / "models"), "--port", "0", "--json", "--executor", "onnx"]
    with dlcv_serve(*options) as process:
        line = json.loads(ready(process))
        for address in (line["rest"].removeprefix("http://"), line["grpc"]):
            host, port = address.split(":")
            assert host == "127.0.0.1"
            socket.create_connection((host, int(port)), timeout=5).close()
            with pytest.raises(ConnectionRefusedError):  # as it would not be on 0.0.0.0
                socket.create_connection(("127.0.0.2", int(port)), timeout=5)
        process.kill()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of 127.0.0.1 and its key, as PEM files."""
    if not shutil.which("openssl"):
        pytest.skip("openssl, which makes the certificate, is not installed")
    folder = tmp_path_factory.mktemp("tls")
    names = str(folder / "certificate.pem"), str(folder / "key.pem")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    subprocess.run(
        [*command, "-out", names[0], "-keyout", names[1]], check=True, capture_output=True
    )
    return names


def handshake(address: tuple, version: ssl.TLSVersion, ciphers: str) -> str | None:
    """Returns the cipher that a client of one version gets, None if the server refuses."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the old versions are old
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_ciphers(ciphers + ":@SECLEVEL=0")  # the client takes what the server may not
        context.minimum_version = context.maximum_version = version
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with socket.create_connection(address, timeout=10) as plain:
            with context.wrap_socket(plain) as connection:
                return connection.cipher()[0]
    except (ssl.SSLError, ConnectionResetError):
        return None


def test_tls_is_1_2_or_later_with_ciphers_that_are_sound(place, certificate):
    options = {"tls_certificate": certificate[0], "tls_key": certificate[1], "executor": "onnx"}
    versions = ssl.TLSVersion
    with (
        server.running(place / "models", **options) as base,
        grpc_client.running(place / "models", **options) as client,
    ):
        ports = int(base.rsplit(":", 1)[1]), client.server.port
        for port in ports:
            address = "127.0.0.1", port
            for old in (versions.TLSv1, versions.TLSv1_1):
                assert handshake(address, old, "ALL") is None
            assert handshake(address, versions.TLSv1_3, "ALL").startswith("TLS_")
            assert re.match("ECDHE-.*(GCM|CHACHA20)", handshake(address, versions.TLSv1_2, "ALL"))
            for weak in (
                "AES128-SHA",
                "AES256-GCM-SHA384",
                "ECDHE-RSA-AES128-SHA",
                "aNULL",
                "eNULL",
            ):
                assert handshake(address, versions.TLSv1_2, weak) is None, weak


def test_a_handshake_that_dribbles_is_cut(place, certificate, monkeypatch):
    """HTTP's own header is in test_limits."""
    monkeypatch.setattr(http_server, "HEADER_SECONDS", 0.5)
    name = "grpc.server_handshake_timeout_ms"
    options = [(key, 500 if key == name else value) for key, value in grpc_server.CONNECTIONS]
    assert dict(grpc_server.CONNECTIONS)[name] == 20_000
    monkeypatch.setattr(grpc_server, "CONNECTIONS", tuple(options))
    tls = {"tls_certificate": certificate[0], "tls_key": certificate[1]}
    with (
        server.running(place / "models", executor="onnx", **tls) as base,
        grpc_client.running(place / "models", executor="onnx", **tls) as secure,
        grpc_client.running(place / "models", executor="onnx") as plain,
    ):
        ports = [int(base.rsplit(":", 1)[1]), secure.server.port, plain.server.port]
        for port, start in zip(ports, (b"\x16\x03\x01", b"\x16\x03\x01", b"PRI * HT"), strict=True):
            for data in (b"", start):
                with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
                    connection.sendall(data)
                    began = time.monotonic()
                    with contextlib.suppress(ConnectionResetError):
                        while connection.recv(1000):
                            pass
                    assert time.monotonic() - began < 3


# What answers give away ---------------------------------------------------------------------------


def test_errors_name_no_path_of_the_disk_and_show_no_stack(place, monkeypatch):
    """What is wrong with a version is told to all; where it lies is for the operator's log."""
    models = place / "models"
    texts = []
    with (
        server.running(models, executor="onnx", batching="off") as base,
        httpx.Client(base_url=base) as client,
        grpc_client.running(models, executor="onnx", batching="off") as rpc,
    ):
        load = inference_messages.RepositoryModelLoadRequest(model_name="tiny")
        texts.append(rpc.error("GRPCInferenceService/RepositoryModelLoad", load)[1])
        for path in ("empty", "nowhere"):
            request = tfs_messages.ReloadConfigRequest(config=reload(path))
            texts.append(rpc.error("ModelService/HandleReloadConfigRequest", request)[1])
        texts.append(client.post("/v2/repository/models/tiny/load").text)
        texts.append(client.post("/v2/repository/index").text)
        texts += [client.get(path).text for path in ("/v1/models/tiny", "/page/models.json")]
        found = {text.count("does not match its checksum") for text in texts}
        assert found == {0, 1} and all("model.onnx in tiny/2" in texts[i] for i in (0, 3, 4, 5, 6))

        def fail(*_):
            raise FileNotFoundError(2, "No such file", str(models / "tiny" / "1" / "model.onnx"))

        def native(*_):
            raise RuntimeError("at /build/src/core/graph.cc:12 in 3/4 of https://x.org/a/b")

        for failure in (fail, native):
            monkeypatch.setitem(app.PROTOCOLS, "/v1/", failure)
            answer = client.get("/v1/models")
            assert answer.status_code == 500
            texts.append(answer.text)
        assert "'.../model.onnx'" in texts[-2]
        assert "at .../graph.cc:12 in 3/4 of https://x.org/a/b" in texts[-1]
        monkeypatch.setattr(rpc.models, "versions", fail)
        status = tfs_messages.GetModelStatusRequest()
        status.model_spec.name = "tiny"
        code, last = rpc.error("ModelService/GetModelStatus", status)
        assert code == "INTERNAL"
    for text in [*texts, last]:
        assert "disk-nobody-may-know" not in text and "/build" not in text
        assert "Traceback" not in text and 'File "' not in text and os.fspath(place) not in text


def test_no_answer_is_taken_for_another_type_than_it_says(client):
    evil = "/v1/models/%3Cscript%3Ealert(1)%3C%2Fscript%3E"
    paths = [
        evil,
        "/",
        "/page/models.json",
        "/metrics",
        "/healthz",
        "/v2",
        "/nothing",
        "/openapi.json",
    ]
    for path in paths:
        answer = client.get(path)
        assert answer.headers["x-content-type-options"] == "nosniff", path
        assert answer.headers["content-type"].startswith("text/html") == (path == "/")
    answer = client.post(PREDICT, content=BODY)
    assert answer.headers["x-content-type-options"] == "nosniff"
    refused = send(client, b"GET / HTTP/1.1\r\nx: " + b"y" * 200_000)
    assert b" 431 " in refused and b"x-content-type-options: nosniff\r\n" in refused
