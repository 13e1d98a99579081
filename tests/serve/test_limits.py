"""What a client may hold: connections that say nothing, dribbled bytes, long headers."""

import concurrent.futures
import contextlib
import json
import resource
import socket
import time

import httpx
import pytest

from dlcv_tf.serve import http_server, server
from tests.artifact import tiny

PREDICT = "/v1/models/tiny:predict"
BODY = json.dumps({"instances": [tiny.ramp(4, 5).tolist()]}).encode()
HEAD = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(BODY)}\r\n".encode()


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models")
    tiny.artifact(directory)
    return directory


@contextlib.contextmanager
def running(models, **options):
    """Serves; yields the URL and what opens a raw connection."""
    with (
        server.running(models, executor="onnx", **options) as url,
        contextlib.ExitStack() as opened,
    ):
        host, port = url.removeprefix("http://").split(":")

        def connect() -> socket.socket:
            connection = socket.create_connection((host, int(port)), timeout=20)
            return opened.enter_context(connection)

        yield url, connect


def read_all(connection: socket.socket) -> bytes:
    """Reads until the server closes."""
    data = b""
    with contextlib.suppress(ConnectionResetError):
        while more := connection.recv(65536):
            data += more
    return data


def is_served(url: str) -> bool:
    return httpx.post(url + PREDICT, content=BODY, timeout=30).status_code == 200


def dribble(connection: socket.socket, data: bytes, seconds: float) -> bytes:
    """Sends a byte now and then until the server has had enough; returns what it says."""
    end = time.monotonic() + seconds
    with contextlib.suppress(OSError):
        for number in range(len(data)):
            connection.sendall(data[number : number + 1])
            time.sleep(0.1)
            if time.monotonic() > end:
                pytest.fail("the server still listens")
    return read_all(connection)


def test_a_header_that_dribbles_is_cut(models, monkeypatch):
    monkeypatch.setattr(http_server, "HEADER_SECONDS", 0.5)
    with running(models) as (url, connect):
        with concurrent.futures.ThreadPoolExecutor(3) as threads:
            silent = threads.submit(read_all, connect())
            slow = threads.submit(dribble, connect(), HEAD * 3, 10)
            used = connect()
            used.sendall(HEAD + b"\r\n" + BODY)
            assert used.recv(65536).startswith(b"HTTP/1.1 200 ")
            again = threads.submit(dribble, used, b"\r\n" * 100, 10)
            assert is_served(url)
            assert silent.result() == b""  # who never spoke hears nothing
            assert slow.result().startswith(b"HTTP/1.1 408 Request Timeout\r\n")
            assert again.result().startswith(b"HTTP/1.1 408 ")


def test_a_body_that_dribbles_is_cut(models):
    with running(models, timeout=0.5) as (url, connect):
        connection = connect()
        connection.sendall(HEAD + b"\r\n")
        answer = dribble(connection, BODY, 10)
        assert answer.startswith(b"HTTP/1.1 408 Request Timeout\r\n")
        assert b"connection: close" in answer and b"within 0.5 s" in answer
        assert is_served(url)


@pytest.mark.parametrize(
    ("more", "status"),
    [
        (b"x: " + b"y" * 2 * http_server.MAX_HEADER, b"431"),
        (b"x: y\r\n" * http_server.MAX_HEADER, b"4"),
        (b"x: " + b"y" * (http_server.MAX_HEADER // 2) + b"\r\n\r\n" + BODY, b"200"),
    ],
)
def test_a_header_has_a_size(models, more, status):
    with running(models) as (url, connect):
        connection = connect()
        with contextlib.suppress(OSError):
            connection.sendall(HEAD + more)
        with contextlib.suppress(ConnectionResetError):
            assert connection.recv(65536).startswith(b"HTTP/1.1 " + status)
        assert is_served(url)


def test_idle_connections_are_closed_for_new_ones(models):
    with running(models, max_connections=10) as (url, connect):
        old = [connect() for _ in range(10)]
        time.sleep(0.3)
        new = [connect() for _ in range(4)]
        assert is_served(url)
        time.sleep(0.3)
        assert sum(map(is_open, old)) == 5  # one more went for the request
        assert all(map(is_open, new))


def test_connections_that_all_work_are_kept_and_new_ones_refused(models):
    with running(models, max_connections=3) as (url, connect):
        working = [connect() for _ in range(3)]
        for connection in working:
            connection.sendall(HEAD + b"\r\n" + BODY[:5])
        time.sleep(0.3)
        answer = read_all(connect())
        assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1\r\n" in answer
        for connection in working:
            connection.sendall(BODY[5:])
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 ")
        assert is_served(url)


def is_open(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return bool(connection.recv(1))
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False


def test_too_many_requests_under_way_are_refused(models, tmp_path):
    slow = tmp_path / "batching.pbtxt"
    slow.write_text("max_batch_size { value: 9 } batch_timeout_micros { value: 500000 }")
    with running(models, max_requests=4, batching=str(slow)) as (url, _):
        with httpx.Client(base_url=url) as client, concurrent.futures.ThreadPoolExecutor(9) as pool:
            asked = [pool.submit(client.post, PREDICT, content=BODY) for _ in range(8)]
            answers = [future.result() for future in asked]
    refused = [answer for answer in answers if answer.status_code == 503]
    assert [answer.status_code for answer in answers].count(200) == 4 and len(refused) == 4
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}


def test_many_idle_connections_harm_nobody(models):
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    count = min(3000, (most - 500) // 2)  # both ends are this process
    try:
        with running(models) as (url, connect):
            idle = [connect() for _ in range(count)]
            with httpx.Client(base_url=url) as client:
                for _ in range(50):
                    assert client.post(PREDICT, content=BODY).status_code == 200
            assert sum(map(is_open, idle)) == count
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_bodies_together_have_a_size_and_the_largest_are_refused(models):
    with running(models, max_bodies=300_000, max_body=260_000) as (url, connect):
        padded = BODY + b" " * (250_000 - len(BODY))
        head = f"POST {PREDICT} HTTP/1.1\r\nhost: x\r\ncontent-length: {len(padded)}\r\n\r\n"
        large, smaller = connect(), connect()
        large.sendall(head.encode() + padded[:200_000])
        smaller.sendall(head.encode() + padded[:150_000])
        assert is_served(url)
        large.sendall(padded[200_000:])
        answer = large.recv(65536)
        assert answer.startswith(b"HTTP/1.1 503 ") and b"retry-after: 1\r\n" in answer
        assert b"take the 300000 bytes that there are for all: try again later" in answer
        smaller.sendall(padded[150_000:])
        assert smaller.recv(65536).startswith(b"HTTP/1.1 200 ")
        for _ in range(3):  # nothing of the answered ones counts any more
            answer = httpx.post(url + PREDICT, content=padded, timeout=30)
            assert answer.status_code == 200
