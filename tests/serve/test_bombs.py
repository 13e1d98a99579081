"""Requests of some kilobytes that unfold (pictures, bodies, JSON): the server stays small.

Each kind once took gigabytes, or held the server for many seconds.
"""

import base64
import concurrent.futures
import contextlib
import gzip
import pathlib
import socket
import struct
import threading
import time
import zlib

import grpc
import httpx
import pytest
from PIL import Image

from dlcv_tf.artifact import inference_messages
from dlcv_tf.serve import json_documents, memory, server, tensorflow_requests
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.errors import Code, ServingError
from tests.artifact import tiny
from tests.serve import grpc_client
from tests.serve.test_faults import BODY, PREDICT, megabytes, predict_request, started

GZIP = {"content-encoding": "gzip"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    directory = tmp_path_factory.mktemp("models")
    tiny.artifact(directory)
    return directory


def most_during(process, work) -> float:
    """Returns the megabytes that a process took at most while something was done."""
    pathlib.Path(f"/proc/{process.pid}/clear_refs").write_text("5")  # VmHWM starts anew
    work()
    return megabytes(process, "VmHWM")


@pytest.fixture(scope="module")
def small(models):
    """A server that takes 4 megapixels and 8 megabytes at most: every bomb is one of its size."""
    limits = ["--max-megapixels", "4", "--max-megabytes", "8"]
    with started(models, *limits) as (process, line), httpx.Client(timeout=60) as client:
        client.base_url = line["rest"]
        yield process, client


def together(client: httpx.Client, count: int, **options) -> list[httpx.Response]:
    with concurrent.futures.ThreadPoolExecutor(count) as threads:
        asked = [threads.submit(client.post, PREDICT, **options) for _ in range(count)]
        return [each.result() for each in asked]


def test_pictures_that_unfold_take_the_memory_of_a_few_however_many_come(small):
    """Each is a file of a kilobyte and of 4 million pixels: 24 of them took 2.2 GB once."""
    process, client = small
    picture = tiny.encoded(Image.new("1", (1990, 1990)))
    assert len(picture) < 1000
    options = {"content": picture, "headers": {"content-type": "image/png"}}
    assert client.post(PREDICT, **options).status_code == 200
    before = megabytes(process, "VmRSS")  # with what the libraries keep from now on
    answers = []
    most = most_during(process, lambda: answers.extend(together(client, 24, **options)))
    assert {answer.status_code for answer in answers} == {200}
    assert most < before + 300 * at_once()
    assert megabytes(process, "VmRSS") < before + 200


def at_once() -> int:
    """Returns how many of the largest requests are answered at once."""
    return max(1, memory.available_cores() // memory.CORES)


def chunk(name: bytes, data: bytes) -> bytes:
    """Returns a chunk of a PNG file."""
    check = struct.pack(">I", zlib.crc32(name + data))
    return struct.pack(">I", len(data)) + name + data + check


def test_texts_in_a_picture_do_not_unfold_to_more_than_a_little(small):
    """A PNG file of 64 kilobytes may hold 64 MB of text; forty in one request took 3.7 GB once."""
    process, client = small

    def with_texts(count: int) -> str:
        text = zlib.compress(bytes(2**20 - 1), 9)
        texts = [chunk(b"zTXt", b"name %d\0\0" % number + text) for number in range(count)]
        whole = tiny.encoded(tiny.ramp(8, 8))
        header = whole[:33]  # with the chunk that is to be the first
        return base64.b64encode(header + b"".join(texts) + whole[33:]).decode()

    def ask(count: int) -> httpx.Response:
        files = [{"b64": with_texts(count)}] * 40
        body = {"signature_name": "image_bytes", "instances": files}
        return client.post(PREDICT, json=body)

    assert ask(3).status_code == 200
    before = megabytes(process, "VmRSS")
    assert most_during(process, lambda: ask(3)) < before + 50
    answers = []
    assert most_during(process, lambda: answers.append(ask(63))) < before + 50
    assert answers[0].status_code == 400 and "text chunks" in answers[0].json()["error"]


def png(side: int) -> bytes:
    """Returns a PNG file whose header says more than its body holds."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    body = chunk(b"IDAT", zlib.compress(bytes(1000)))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + body + chunk(b"IEND", b"")


def bmp(side: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header + bytes(100)


def tiff(side: int) -> bytes:
    tags = {256: side, 257: side, 258: 8, 259: 1, 262: 1, 273: 8, 277: 1, 278: side, 279: 100}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(104)


def claiming(kind: str, side: int) -> bytes:
    """Returns a small file that says it is a square picture of a side."""
    made = {"PNG": png, "BMP": bmp, "TIFF": tiff}
    if kind in made:
        return made[kind](side)
    if kind == "PPM":
        return b"P6 %d %d 255\n" % (side, side)
    data = bytearray(tiny.encoded(tiny.ramp(8, 8), kind))
    size = struct.pack("<HH", side, side)
    if kind == "GIF":
        data[6:10] = size
    else:  # JPEG: height and width behind the marker of its frame
        start = data.index(b"\xff\xc0") + 5
        data[start : start + 4] = struct.pack(">HH", side, side)
    return bytes(data)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "TIFF", "PPM", "GIF", "JPEG"])
def test_what_claims_to_be_huge_is_refused_from_its_header(small, kind):
    process, client = small
    picture = claiming(kind, 50_000)
    file = {"b64": base64.b64encode(picture).decode()}
    body = {"signature_name": "image_bytes", "instances": [file] * 20}
    answers = []

    def ask():
        answers.append(client.post(PREDICT, json=body))
        options = {"content": picture, "headers": {"content-type": f"image/{kind.lower()}"}}
        answers.extend(together(client, 8, **options))

    before = megabytes(process, "VmRSS")
    assert most_during(process, ask) < before + 50
    for answer in answers:
        assert answer.status_code == 400
        assert "too large a picture (Image size (2500000000 pixels)" in answer.json()["error"]


def test_bodies_that_unfold_take_the_memory_of_a_few_however_many_come(small):
    """Each is of 45 kilobytes, and a picture of a million pixels as JSON: 16 took 1.1 GB once."""
    process, client = small
    pixels = b"[" + b"[0,0,0]," * (2**20 - 8) + b"[0,0,0]]"
    bomb = gzip.compress(b'{"instances": [[' + pixels + b"]]}", 1)
    over = gzip.compress(b" " * 2**26, 1)
    assert len(bomb) < 50_000
    options = {"content": bomb, "headers": GZIP}
    assert client.post(PREDICT, **options).status_code == 200
    before = megabytes(process, "VmRSS")
    answers = []
    most = most_during(process, lambda: answers.extend(together(client, 16, **options)))
    assert {answer.status_code for answer in answers} == {200}
    assert most < before + 500 * at_once()
    options["content"] = over
    most = most_during(process, lambda: answers.extend(together(client, 16, **options)))
    assert {answer.status_code for answer in answers[16:]} == {413}
    assert most < before + 500 * at_once()


BOMBS = {
    "lists": (b"[" + b"[]," * 2_600_000 + b"[]]", 413),
    "depth": (b"[" * 2_600_000, 400),
    "objects": (b"[" + b'{"a":1},' * 1_040_000 + b"{}]", 400),
    "digits": (b"[" + (b"1" * 308 + b",") * 26_000 + b"1]", 400),
    "one number": (b"1" * 8_000_000, 400),
    "a string": (b'"' + b"x" * 8_000_000 + b'" "', 400),
    "no text": (b'"' + b"\xff" * 8_000_000 + b'" "', 400),
}


@pytest.mark.parametrize("kind", BOMBS)
def test_json_that_unfolds_is_refused_soon_and_others_are_answered_meanwhile(small, kind):
    """Lists of 95 MB took 14 GB and over 100 s once, and digits of 5 MB held the server for 14."""
    process, client = small
    text, status = BOMBS[kind]
    body = gzip.compress(b'{"instances": ' + text + b"}", 1)
    started_at, waited = time.monotonic(), []

    def ask() -> httpx.Response:
        with concurrent.futures.ThreadPoolExecutor(1) as thread:
            asked = thread.submit(client.post, PREDICT, content=body, headers=GZIP)
            while not asked.done():
                start = time.monotonic()
                assert client.post(PREDICT, content=BODY).status_code == 200
                waited.append(time.monotonic() - start)
            return asked.result()

    before = megabytes(process, "VmRSS")
    answers = []
    most = most_during(process, lambda: answers.append(ask()))
    assert answers[0].status_code == status, answers[0].text[:300]
    assert time.monotonic() - started_at < 5 and max(waited) < 3
    assert most < before + 600


def test_json_that_is_large_for_good_reason_is_read():
    """A rectangular list of numbers never becomes Python's objects; others do up to a number."""
    pixels = b"[" + b"[1,2,3]," * 1_999_999 + b"[1,2,3]]"
    assert pixels.count(b",") > json_documents.MOST_VALUES
    images = {"images": {"dtype": "uint8", "shape": [None, None, None, 3]}}

    def read(text: bytes):
        return tensorflow_requests.inputs(json_documents.parse(text), images)[0]["images"]

    assert read(b'{"instances": [[' + pixels + b"]]}").shape == (1, 1, 2_000_000, 3)
    with pytest.raises(ServingError) as caught:
        read(b'{"instances": [[' + pixels.replace(b"1,", b"true,", 1) + b"]]}")
    assert caught.value.http_status == 413 and "send them as" in caught.value.message.replace(
        "\n", ""
    )
    with pytest.raises(ServingError, match="is no uint8 throughout"):
        read(b'{"instances": [[' + pixels.replace(b"1,", b"900,", 1) + b"]]}")


def test_a_body_without_an_end_is_cut_off(models):
    with server.running(models, executor="onnx", max_body=100_000) as url:
        host, port = url.removeprefix("http://").split(":")
        for header in (b"transfer-encoding: chunked", b"content-length: 100000000000"):
            with socket.create_connection((host, int(port)), timeout=20) as connection:
                connection.sendall(b"POST %s HTTP/1.1\r\nhost: x\r\n" % PREDICT.encode())
                connection.sendall(header + b"\r\n\r\n")
                sent, piece = 0, b"10000\r\n" + b" " * 0x10000 + b"\r\n"
                with contextlib.suppress(ConnectionError):
                    while sent < 100 * 2**20:
                        connection.sendall(piece)
                        sent += len(piece)
                assert sent < 50 * 2**20  # what lies in the buffers of both sides
            assert httpx.post(url + PREDICT, content=BODY).status_code == 200


def test_large_requests_wait_in_turn_and_small_ones_do_not():
    allowance = memory.Allowance(limit=100, small=10, most_waiting=9)
    order, may_end = [], threading.Event()

    def take(name: str, amount: int) -> None:
        with allowance.hold(amount, Call()):
            order.append(name)
            may_end.wait(10)

    threads = []
    for name, amount in (("first", 60), ("large", 500), ("behind it", 20)):
        threads.append(threading.Thread(target=take, args=(name, amount)))
        threads[-1].start()
        time.sleep(0.05)
    assert order == ["first"]  # what would fit beside it does not overtake
    start = time.monotonic()
    with allowance.hold(10, Call()):
        assert time.monotonic() - start < 0.05
    for amount in (500, 20):  # at the head of the line, and behind
        call = Call(deadline=time.monotonic() + 0.1)
        with pytest.raises(ServingError) as caught, allowance.hold(amount, call):
            pass
        assert caught.value.code == Code.DEADLINE_EXCEEDED
        assert 0.05 < call.stages["queue"] < 1
    may_end.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "large", "behind it"]
    with pytest.raises(ZeroDivisionError), allowance.hold(100, Call()):
        raise ZeroDivisionError
    with allowance.hold(100, Call(deadline=time.monotonic() + 1)):  # all of it is free again
        pass


@pytest.mark.parametrize("allowed", [False, True])
def test_compressed_messages_are_taken_by_option_alone(models, allowed):
    """gRPC inflates them before anybody is asked: sixty-four of 90 KB took 6 GB."""
    options = {"compression": grpc.Compression.Gzip}
    with grpc_client.running(models, executor="onnx", grpc_compression=allowed) as client:
        code, text = "OK", ""
        try:
            client("PredictionService/Predict", predict_request(), **options)
        except grpc.RpcError as error:
            code, text = error.code().name, error.details()
        assert code == ("OK" if allowed else "UNIMPLEMENTED")
        assert allowed or "gzip" in text
        client("PredictionService/Predict", predict_request())


def test_messages_that_wait_are_no_more_than_a_few(models, monkeypatch):
    """Each is small enough, and their number is; but not all of them together."""
    limit = 2**20
    request = inference_messages.ModelInferRequest(model_name="tiny")
    request.raw_input_contents.append(bytes(limit - 100))
    came, may_end = threading.Semaphore(0), threading.Event()

    @contextlib.contextmanager
    def held(*_):
        came.release()
        assert may_end.wait(20)
        yield

    limits = {"max_body": limit, "max_bodies": 3 * limit}
    with (
        grpc_client.running(models, executor="onnx", **limits) as client,
        concurrent.futures.ThreadPoolExecutor(4) as threads,
    ):
        monkeypatch.setattr(memory.Allowance, "hold", held)

        def ask() -> str:
            return client.error("GRPCInferenceService/ModelInfer", request)[0]

        waiting = []
        for _ in range(3):
            waiting.append(threads.submit(ask))
            assert came.acquire(timeout=10)
        assert ask() == "UNAVAILABLE"
        may_end.set()
        assert {each.result() for each in waiting} == {ask()} == {"INVALID_ARGUMENT"}


def test_large_requests_that_wait_leave_threads_to_small_ones():
    allowance, may_end = memory.Allowance(limit=100, small=10, most_waiting=2), threading.Event()

    def take(amount: int) -> None:
        with allowance.hold(amount, Call()):
            may_end.wait(10)

    threads = [threading.Thread(target=take, args=(90,)) for _ in range(3)]
    for thread in threads:
        thread.start()
    last = time.monotonic() + 10
    while allowance._waiting < 2 and time.monotonic() < last:
        time.sleep(0.005)
    with pytest.raises(ServingError, match="too many large requests wait") as caught:
        take(90)
    assert caught.value.code == Code.UNAVAILABLE
    may_end.set()
    take(5)
    for thread in threads:
        thread.join(10)
    take(90)
