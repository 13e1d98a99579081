"""The Python client against the real server: both protocols, waiting and asynchronous."""

import asyncio
import concurrent.futures
import contextlib
import itertools
import json
import socket
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

from dlcv_tf.artifact import pictures
from dlcv_tf.errors import InputError
from dlcv_tf.serve import client_bodies, client_pictures, kserve_requests, server
from dlcv_tf.serve.client import AsyncClient, Client, Code, ServingError
from dlcv_tf.serve.http_messages import Request
from tests.artifact import tiny
from tests.serve import artifacts

PICTURE = tiny.ramp(12, 16)
FILE = tiny.encoded(PICTURE)
BOX = [4, 2, 12, 10]
MASK = np.float32([[0, 0, 0, 0], [0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]])
CLASS_MAP = np.repeat(np.uint8([0, 1, 1, 2]), 3)[:, None].repeat(16, axis=1)


@contextlib.contextmanager
def opened(kind: type, url: str, **options):
    """Yields a function that calls a method of a client, whether it waits or not."""
    if kind is Client:
        with Client(url, **options) as client:
            yield lambda method, *args, **given: getattr(client, method)(*args, **given)
        return
    with asyncio.Runner() as runner:

        async def call(method, *args, **given):
            return await getattr(client, method)(*args, **given)

        client = AsyncClient(url, **options)
        yield lambda *args, **given: runner.run(call(*args, **given))
        runner.run(client.close())


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """A small model of each task; `tiny` and `regions` in two versions, with labels."""
    models = tmp_path_factory.mktemp("models")
    for version in (9, 10):
        tiny.artifact(models, "tiny", version)
    artifacts.negative(models)
    boxes = np.float32([BOX, [0, 0, 0, 0]])
    found = {"boxes": boxes, "scores": np.float32([0.9, 0]), "classes": np.int32([1, 0])}
    found |= {"num_detections": np.int32(1), "masks": np.stack([MASK, MASK])}
    artifacts.constant(models, "things", "InstanceSegmenter", found, ["one", "other"])
    for version, names in ((1, ["sky", "road", "car"]), (2, ["air", "way", "cart"])):
        found = {"class_map": CLASS_MAP}
        artifacts.constant(models, "regions", "Segmenter", found, names, version)
    joints = np.float32([[5, 1, 0.9], [5, 6, 0.8]])
    artifacts.constant(models, "pose", "PoseEstimator", {"joints": joints}, ["head", "hand"])
    return models


@pytest.fixture(scope="module")
def site(models):
    config = models / "models.config"
    one = 'config {{ name: "{0}" base_path: "{0}" model_version_policy {{ all {{ }} }} {1} }}'
    label = 'version_labels {{ key: "stable" value: {0} }}'
    labels = {"tiny": label.format(9), "regions": label.format(1)}
    names = ("tiny", "negative", "things", "regions", "pose")
    listed = " ".join(one.format(name, labels.get(name, "")) for name in names)
    config.write_text(f"model_config_list {{ {listed} }}")
    with server.running(models, models_config=str(config)) as url:
        yield url


WAYS = [*itertools.product((Client, AsyncClient), ("kserve", "tensorflow"))]


@pytest.fixture(scope="module", params=WAYS, ids=lambda way: f"{way[0].__name__}-{way[1]}")
def call(request, site):
    kind, protocol = request.param
    with opened(kind, site, protocol=protocol) as function:
        yield function


def test_pixels_files_and_paths_get_the_same_arrays(call, tmp_path):
    (tmp_path / "a.png").write_bytes(FILE)
    expected = tiny.probabilities(PICTURE[None])
    for given in (PICTURE, [PICTURE], PICTURE[None], FILE, tmp_path / "a.png", [FILE]):
        found = call("predict", "tiny", given)
        np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-5)
        assert found["probabilities"].dtype == np.float32 and found["classes"].dtype == np.int32
    assert found["labels"].tolist()[0][0] == tiny.LABELS[int(expected.argmax())]
    found["scores"][:] = 0  # the caller's own


def test_a_list_of_pictures_of_all_kinds_and_sizes(call):
    small = tiny.ramp(5, 4)
    found = call("predict", "tiny", [PICTURE, FILE, small, tiny.encoded(small)])
    first, second = (tiny.probabilities(each[None])[0] for each in (PICTURE, small))
    expected = [first, first, second, second]
    np.testing.assert_allclose(found["probabilities"], expected, rtol=1e-5)
    found = call("predict", "tiny", {"images": np.stack([small] * 3)}, outputs=["scores"])
    assert found.keys() == {"scores"} and found["scores"].shape == (3, 5)


def test_inputs_are_sent_as_they_are(call):
    whole = call("predict", "tiny", {"image_bytes": [FILE, FILE + bytes(3)]})
    np.testing.assert_array_equal(*whole["probabilities"])
    assert client_pictures.inputs({"x": [b"a\0", "b"]})["x"].tolist() == [b"a\0", "b"]
    for odd in ([[1], [2, 3]], [b"a", 1], [None], 1j):
        with pytest.raises(InputError, match="got input x"):
            call("predict", "tiny", {"x": odd})


def test_a_classifier_names_its_classes(call):
    things = call("answer", "tiny", PICTURE).things
    best = int(tiny.probabilities(PICTURE[None]).argmax())
    assert len(things) == 5 and things[0]["label"] == tiny.LABELS[best]
    assert [len(each.things) for each in call("answers", "tiny", np.stack([PICTURE] * 2))] == [5, 5]


def test_a_detector_answers_boxes_masks_and_only_what_it_found(call):
    (thing,) = call("answer", "things", FILE).things
    assert (thing["label"], thing["score"], thing["box"]) == ("other", pytest.approx(0.9), BOX)
    mask = pictures.decode(thing["mask"], channels=1)[..., 0]
    assert mask.shape == (12, 16) and mask[6, 8] == 1 and mask[2, 4] == 0
    assert call("answer", "things", FILE, score=0.95).things == []


def test_a_segmenter_names_the_classes_of_the_version_that_answers(call):
    answer = call("answer", "regions", FILE)
    assert answer.things == [
        {"label": "way", "share": 0.5},
        {"label": "air", "share": 0.25},
        {"label": "cart", "share": 0.25},
    ]
    np.testing.assert_array_equal(answer.arrays["class_map"], CLASS_MAP)
    for which in ({"version": 1}, {"label": "stable"}):
        assert call("answer", "regions", FILE, **which).things[0]["label"] == "road"


def test_joints_are_named_and_pictures_answered(call):
    assert call("answer", "pose", PICTURE).things == [
        {"label": "head", "score": 0.9, "place": [5.0, 1.0]},
        {"label": "hand", "score": 0.8, "place": [5.0, 6.0]},
    ]
    answer = call("answer", "negative", PICTURE)
    np.testing.assert_array_equal(answer.arrays["picture"], 255 - PICTURE)
    assert answer.things == []
    np.testing.assert_array_equal(call("predict", "negative", PICTURE)["picture"][0], 255 - PICTURE)


def test_without_their_names_classes_and_joints_have_numbers():
    found = {"class_map_bytes": tiny.encoded(CLASS_MAP[..., None])}
    assert client_pictures.needs_names(found)
    assert client_pictures.answer(found, FILE, [], 0.3).things[0]["label"] == "1"
    found = {"joints": np.float32([[5, 1, 0.9], [5, 6, 0.8]])}
    things = client_pictures.answer(found, FILE, ["head"], 0.3).things
    assert [thing["label"] for thing in things] == ["head", "1"]


def test_models_status_metadata_versions_and_labels(call):
    states = call("models")
    assert states.keys() == {"tiny", "negative", "things", "regions", "pose"}
    assert call("status", "tiny") == states["tiny"]
    assert call("status", "tiny", 9) == [{"version": 9, "state": "AVAILABLE", "error": ""}]
    found = call("metadata", "tiny")
    assert found["version"] == 10
    assert call("metadata", "tiny", label="stable")["version"] == 9
    signature = found["signatures"]["serving_default"]
    assert signature["inputs"] == {"images": {"dtype": "uint8", "shape": [None, None, None, 3]}}
    assert signature["outputs"]["scores"] == {"dtype": "float32", "shape": [None, 5]}
    for which in ({"version": 9}, {"label": "stable"}):
        found = call("predict", "tiny", PICTURE, **which)["probabilities"]
        np.testing.assert_allclose(found, tiny.probabilities(PICTURE[None]), rtol=1e-5)


def test_errors_have_the_servers_words_and_code(call):
    for code, words, method, *given in (
        (Code.NOT_FOUND, "none", "predict", "none", PICTURE),
        (Code.NOT_FOUND, "none", "status", "none"),
        (Code.NOT_FOUND, "11", "metadata", "tiny", {"version": 11}),
        (Code.INVALID_ARGUMENT, "label: odd", "predict", "tiny", FILE, {"label": "odd"}),
        (Code.INVALID_ARGUMENT, "no picture", "answer", "tiny", b"hello"),
        (Code.INVALID_ARGUMENT, "odd", "predict", "tiny", FILE, {"outputs": ["odd"]}),
        (Code.INVALID_ARGUMENT, '"odd" not found', "predict", "tiny", FILE, {"signature": "odd"}),
        (Code.INVALID_ARGUMENT, "shape", "predict", "tiny", {"images": PICTURE}, {}),
    ):
        options = given.pop() if len(given) > 1 and isinstance(given[-1], dict) else {}
        with pytest.raises(ServingError, match=words) as caught:
            call(method, *given, **options)
        assert caught.value.code == code
    for given in ([], PICTURE[0, 0], 3, "no/such.png", [PICTURE.astype(np.float32), FILE]):
        with pytest.raises(InputError):
            call("predict", "tiny", given)
    with pytest.raises(InputError, match="expected one of them"):
        call("predict", "tiny", PICTURE, version=9, label="stable")
    with pytest.raises(InputError, match="seconds above 0"):
        call("predict", "tiny", PICTURE, timeout=0)


@pytest.mark.parametrize(
    "options",
    [
        {"url": "127.0.0.1:8501"},
        {"url": "http://"},
        {"protocol": "grpc"},
        {"timeout": 0},
        {"retries": -1},
        {"token": "two\nlines"},
        {"ca": "no/such.pem"},
    ],
    ids=lambda options: [*options][0],
)
def test_options_are_checked(options):
    with pytest.raises(InputError, match="got"):
        Client(**options)


def test_threads_share_a_client_and_coroutines_another(site):
    expected = tiny.probabilities(PICTURE[None])
    with Client(site) as client, concurrent.futures.ThreadPoolExecutor(8) as threads:
        found = [*threads.map(lambda _: client.predict("tiny", PICTURE), range(24))]

    async def all_at_once():
        async with AsyncClient(site) as client:
            return await asyncio.gather(*(client.predict("tiny", PICTURE) for _ in range(24)))

    for each in found + asyncio.run(all_at_once()):
        np.testing.assert_allclose(each["probabilities"], expected, rtol=1e-5)


def test_the_server_hears_of_the_deadline():
    body, headers = client_bodies.kserve({"images": PICTURE[None]}, None, None, seconds=1.5)
    values, inputs = kserve_requests.parse(Request("POST", "", headers, body))
    assert values["parameters"]["timeout"] == 1_500_000
    np.testing.assert_array_equal(inputs["images"], PICTURE[None])


@contextlib.contextmanager
def scripted(*answers: bytes, pause: float = 0):
    """Yields the URL of what is no server of ours, and the requests that came to it.

    It gives one of the answers to each connection, `pause` seconds before each byte of its body,
    and hangs up.
    """
    came, ended = [], threading.Event()

    def answer_all():
        for answer in answers:
            connection, _ = listener.accept()
            with connection, contextlib.suppress(OSError):
                came.append(connection.recv(2**16))
                head, blank, body = answer.partition(b"\r\n\r\n")
                connection.sendall(head + blank)
                for start in range(len(body)):
                    if ended.wait(pause):
                        return
                    connection.sendall(body[start : start + 1])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=answer_all, daemon=True)
        thread.start()
        yield "http://{}:{}".format(*listener.getsockname()), came
        ended.set()
        if len(came) < len(answers):
            socket.create_connection(listener.getsockname()).close()
        thread.join(5)


def http(status: str, body: str, *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", "Connection: close", *headers]
    return "\r\n".join([*lines, "", body]).encode()


NOT_NOW = http("503 Service Unavailable", '{"error": "full"}', "Retry-After: 0")
NOT_AT_ALL = http("503 Service Unavailable", "<html>maintenance</html>")
FINE = http("200 OK", json.dumps({"models": [{"name": "a", "model_version_status": []}]}))
KINDS = pytest.mark.parametrize("kind", [Client, AsyncClient])


@KINDS
def test_what_a_server_did_not_begin_is_sent_again_and_nothing_else(kind):
    with scripted(NOT_NOW, NOT_NOW, FINE) as (url, came), opened(kind, url) as call:
        assert call("models") == {"a": []}
        assert len(came) == 3
    for answer, words, code in (
        (NOT_AT_ALL, "maintenance", Code.UNAVAILABLE),  # which states no time
        (http("500 Internal Server Error", ""), "HTTP status 500", Code.UNKNOWN),
        (http("502 Bad Gateway", "x"), "x", Code.UNAVAILABLE),
        (b"", "no answer", Code.UNAVAILABLE),  # hung up: perhaps it did begin
        (http("200 OK", "<html>Welcome</html>"), "not the protocol's", Code.INTERNAL),
    ):
        with scripted(answer, FINE) as (url, came), opened(kind, url) as call:
            with pytest.raises(ServingError, match=words) as caught:
                call("models")
            assert caught.value.code == code and len(came) == 1
    with scripted(NOT_NOW, NOT_NOW, FINE) as (url, came), opened(kind, url, retries=1) as call:
        with pytest.raises(ServingError, match="full"):
            call("models")
        assert len(came) == 2


@KINDS
def test_a_server_that_starts_meanwhile_is_found(kind, models):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    url = f"http://127.0.0.1:{port}"
    with opened(kind, url, retries=0) as call:
        with pytest.raises(ServingError, match="refused|connection attempts failed") as caught:
            call("models")
        assert caught.value.code == Code.UNAVAILABLE
    with concurrent.futures.ThreadPoolExecutor(1) as thread:
        with opened(kind, url, retries=8) as call:
            waiting = thread.submit(call, "models")
            time.sleep(0.1)
            with server.running(models, port=port):
                assert "tiny" in waiting.result(20)


@KINDS
def test_the_timeout_is_that_of_the_whole_call(kind):
    slow = http("200 OK", "x" * 1000)
    late = http("503 Service Unavailable", "{}", "Retry-After: 60")
    with socket.create_server(("127.0.0.1", 0)) as silent:  # which accepts, and says nothing
        silence = "http://{}:{}".format(*silent.getsockname())
        with scripted(slow, pause=0.05) as (drip, _), scripted(late) as (busy, _):
            for url, code in (
                (silence, Code.DEADLINE_EXCEEDED),
                (drip, Code.DEADLINE_EXCEEDED),
                (busy, Code.UNAVAILABLE),  # at once: the time it names is after the deadline
            ):
                start = time.monotonic()
                with opened(kind, url, timeout=30) as call:
                    with pytest.raises(ServingError) as caught:
                        call("predict", "tiny", PICTURE, timeout=0.3)
                assert caught.value.code == code
                assert time.monotonic() - start < 3


@KINDS
def test_token_and_tls(kind, models, tls):
    certificate, key = tls
    options = {"token": "s3cret", "tls_certificate": certificate, "tls_key": key}
    with server.running(models, **options) as url:
        with opened(kind, url, ca=certificate, token="s3cret") as call:
            assert len(call("answer", "tiny", FILE).things) == 5
        for token in (None, "other"):
            with opened(kind, url, ca=certificate, token=token) as call:
                with pytest.raises(ServingError, match="expected the header") as caught:
                    call("models")
                assert caught.value.code == Code.UNAUTHENTICATED
        start = time.monotonic()
        with opened(kind, url, retries=100) as call:
            with pytest.raises(ServingError, match="(?i)certificate"):
                call("models")
        assert time.monotonic() - start < 5  # no time will mend it


def test_importing_it_loads_little():
    program = "import sys, dlcv_tf.serve.client; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    loaded = {name.split(".")[0] for name in output.stdout.decode().split()}
    assert {"dlcv_tf", "httpx", "numpy", "PIL"} <= loaded
    assert not loaded & {"tensorflow", "keras", "onnxruntime", "uvicorn", "grpc", "matplotlib"}
