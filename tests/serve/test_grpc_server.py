"""The gRPC port: health, deadlines, the token, TLS, limits, what is malformed, and stopping."""

import contextlib
import shutil
import socket
import subprocess
import threading
import time
from concurrent import futures

import grpc
import numpy as np
import pytest

from dlcv_tf.artifact import inference_messages, tfs_messages
from dlcv_tf.errors import InputError
from dlcv_tf.serve import grpc_methods, grpc_server
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import Code
from tests.artifact import tiny
from tests.serve import grpc_client

PREDICT = "PredictionService/Predict"
CHECK = "Health/Check"
STREAM = "GRPCInferenceService/ModelStreamInfer"


@pytest.fixture(scope="module")
def client(models_dir):
    with grpc_client.running(models_dir) as client:
        yield client


def predict_request(pictures=None, name="tiny"):
    request = tfs_messages.PredictRequest(model_spec={"name": name})
    pictures = tiny.ramp(4, 4)[None] if pictures is None else pictures
    request.inputs["images"].CopyFrom(tfs_messages.tensor(pictures))
    return request


def check(service=""):
    return inference_messages.HealthCheckRequest(service=service)


def status(answer):
    return inference_messages.HealthCheckResponse.ServingStatus.Name(answer.status)


# Health -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "service",
    [
        "",
        "ModelService",
        "PredictionService",
        "tensorflow.serving.PredictionService",
        "inference.GRPCInferenceService",
        "tiny",
    ],
)
def test_health(client, service):
    assert status(client(CHECK, check(service))) == "SERVING"


def test_health_of_what_there_is_not(client):
    code, text = client.error(CHECK, check("nonsense"))
    assert code == "NOT_FOUND" and "'nonsense', expected none or one of ModelService" in text


@contextlib.contextmanager
def watching(client, service=""):
    """Yields the answers of a Watch."""
    watch = client.channel.unary_stream(
        "/grpc.health.v1.Health/Watch",
        response_deserializer=inference_messages.HealthCheckResponse.FromString,
    )
    answers = watch(check(service).SerializeToString(), timeout=60)
    try:
        yield answers
    finally:
        answers.cancel()


def test_health_is_watched_from_loading_to_the_end(models_dir):
    with grpc_client.running(models_dir, load=False) as client:
        assert status(client(CHECK, check())) == "NOT_SERVING"
        code, _ = client.error(PREDICT, predict_request())
        assert code == "UNAVAILABLE"
        with watching(client) as server, watching(client, "tiny") as model:
            assert status(next(server)) == status(next(model)) == "NOT_SERVING"
            client.models.load()
            assert status(next(server)) == status(next(model)) == "SERVING"
            stopping = threading.Thread(target=client.server.stop, args=(60,))
            start = time.monotonic()
            stopping.start()
            assert [status(answer) for answer in server] == ["NOT_SERVING"]
            stopping.join()
            assert time.monotonic() - start < 30  # the watches do not keep it


def test_a_hundred_watchers_take_no_thread_from_the_requests(client):
    before = threading.active_count()
    with contextlib.ExitStack() as stack:
        for _ in range(100):
            answers = stack.enter_context(watching(client))
            assert status(next(answers)) == "SERVING"
        assert client(PREDICT, predict_request()).model_spec.version.value == 10
        assert threading.active_count() - before < 100 + 80  # of them 100 of this test's client
    with watching(client, "nonsense") as answers:
        assert status(next(answers)) == "SERVICE_UNKNOWN"


# Deadlines and limits ---------------------------------------------------------------------------


def test_the_deadline_of_the_client_becomes_the_call_s(client):
    client(PREDICT, predict_request(), timeout=7)
    call = client.calls[-1]
    assert 6 < call.deadline - call.started < 7.1
    client(PREDICT, predict_request(), timeout=None)
    call = client.calls[-1]
    assert 29 < call.deadline - call.started < 30.1


def test_a_request_whose_deadline_passes_in_the_queue_is_not_run():
    """One turn at a time: the second request waits for the first, which waits for this test."""
    release, ran, calls = threading.Event(), [], []

    def answer(request, models, config, call):
        ran.append(request.model_spec.name)
        release.wait(60)
        return tfs_messages.PredictResponse()

    runner = grpc_methods.Runner(None, Config(request_threads=1), calls.append)
    method = grpc_methods.Method("test", "slow", tfs_messages.PredictRequest, answer)
    handlers = grpc.method_handlers_generic_handler("test", {"Slow": runner.handler(method)})
    server = grpc.server(futures.ThreadPoolExecutor(4), handlers=[handlers])
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        slow = channel.unary_unary("/test/Slow")
        first = slow.future(predict_request(name="first").SerializeToString(), timeout=60)
        wait_for(lambda: ran)
        second = slow.future(predict_request(name="second").SerializeToString(), timeout=0.2)
        assert second.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        wait_for(lambda: calls)
        assert calls[0].code == Code.DEADLINE_EXCEEDED
        assert 0.1 < calls[0].stages["queue"] < 20
        release.set()
        assert first.code() == grpc.StatusCode.OK
    server.stop(0)
    assert ran == ["first"]


def test_a_request_id_is_taken_or_made(client):
    client(PREDICT, predict_request(), metadata=(("x-request-id", "mine-1"),))
    assert client.calls[-1].request_id == "mine-1"
    client(PREDICT, predict_request())
    assert client.calls[-1].request_id not in ("", "mine-1")


def test_a_message_over_the_limit_is_refused(models_dir):
    with grpc_client.running(models_dir, max_body=10_000) as client:
        code, text = client.error(PREDICT, predict_request(np.zeros((1, 100, 100, 3), np.uint8)))
        assert code == "RESOURCE_EXHAUSTED" and "larger than max" in text
        client(PREDICT, predict_request())


def test_a_message_that_inflates_beyond_the_limit_is_refused(models_dir):
    with grpc_client.running(models_dir, max_body=100_000, grpc_compression=True) as client:
        options = {"compression": grpc.Compression.Gzip}
        client(PREDICT, predict_request(np.zeros((1, 100, 300, 3), np.uint8)), **options)
        code, text = client.error(
            PREDICT, predict_request(np.zeros((1, 4000, 4000, 3), np.uint8)), **options
        )
        assert code == "RESOURCE_EXHAUSTED" and "larger than max" in text


def test_an_answer_beyond_four_megabytes_is_sent(models_dir):
    with grpc_client.running(models_dir) as client:
        pictures = np.zeros((90_000, 2, 2, 3), np.uint8)
        response = client(PREDICT, predict_request(pictures), timeout=30)
        assert response.ByteSize() > 4_194_304
        assert len(response.outputs["probabilities"].float_val) == 540_000


def test_clients_that_send_nothing_do_not_keep_others_waiting(client):
    """A thread waits for each message: there must be more of them than of idle clients."""
    with socket_clients(client.server.port, 40):
        time.sleep(0.2)
        client(PREDICT, predict_request())
        assert status(client(CHECK, check())) == "SERVING"


@pytest.mark.parametrize("path", [PREDICT, STREAM, CHECK])
def test_any_number_of_clients_that_send_nothing_gives_way(models_dir, monkeypatch, path):
    monkeypatch.setattr(grpc_server, "PATIENCE", 0.2)
    monkeypatch.setattr(grpc_server, "STREAM_PATIENCE", 0.2)
    with grpc_client.running(models_dir, request_threads=2, queue=2) as client:
        with socket_clients(client.server.port, 200, path) as idle:
            time.sleep(0.5)
            for _ in range(20):
                client(PREDICT, predict_request(), timeout=5)
                assert status(client(CHECK, check(), timeout=5)) == "SERVING"
                assert stream(client) == ["tiny"]
            ended = [call for call in idle if call.done()]
            assert len(ended) < 200  # the others may come yet
            assert {call.code().name for call in ended} <= {"CANCELLED", "UNAVAILABLE"}


def stream(client):
    """Sends one message by a stream; returns the names of the models that answered."""
    tensor = {"name": "images", "datatype": "UINT8", "shape": [1, 4, 5, 3]}
    request = inference_messages.ModelInferRequest(model_name="tiny", inputs=[tensor])
    request.raw_input_contents.append(bytes(60))
    answers = client.channel.stream_stream(
        "/inference.GRPCInferenceService/ModelStreamInfer",
        response_deserializer=inference_messages.ModelStreamInferResponse.FromString,
    )(iter([request.SerializeToString()]), timeout=5)
    return [answer.infer_response.model_name for answer in answers]


def test_an_rpc_that_ends_without_a_message_is_told_so(client):
    call = client.channel.stream_unary("/tensorflow.serving.PredictionService/Predict")
    with pytest.raises(grpc.RpcError) as caught:
        call(iter(()), timeout=5)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED
    assert caught.value.details() == "got no message, expected one"


@contextlib.contextmanager
def socket_clients(port, count, path=PREDICT):
    """Opens RPCs whose request never comes."""
    release = threading.Event()

    def nothing():
        release.wait(20)
        yield from ()

    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        service, name = path.split("/")
        method = f"/{grpc_client.service(service).full_name}/{name}"
        # Whatever the method answers with: its answer never comes.
        calls = [channel.stream_unary(method).future(nothing()) for _ in range(count)]
        try:
            yield calls
        finally:
            release.set()
            for call in calls:
                call.cancel()


def test_more_than_can_wait_is_refused_at_once(models_dir, monkeypatch):
    monkeypatch.setattr(grpc_server, "PATIENCE", 60.0)
    with grpc_client.running(models_dir, request_threads=2, queue=2) as client:
        with socket_clients(client.server.port, 4):
            wait_for(lambda: client.error_code(PREDICT, predict_request()) == "UNAVAILABLE")
            assert client.calls[-1].code == Code.UNAVAILABLE
            assert status(client(CHECK, check())) == "SERVING"
        wait_for(lambda: client.error_code(PREDICT, predict_request()) == "OK")


def test_a_refusal_says_when_to_come_again(models_dir):
    with grpc_client.running(models_dir, load=False) as client:
        with pytest.raises(grpc.RpcError) as caught:
            client(PREDICT, predict_request())
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
        assert ("grpc-retry-pushback-ms", "1000") in [
            (key, value) for key, value in caught.value.trailing_metadata()
        ]


def wait_for(condition, seconds=30):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not come true"
        time.sleep(0.02)


# What is malformed ------------------------------------------------------------------------------

MALFORMED = [b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", b"\x12\x05abc", b"\x00\x00\x07"]


@pytest.mark.parametrize(
    "path", [PREDICT, "ModelService/GetModelStatus", "GRPCInferenceService/ModelInfer", CHECK]
)
@pytest.mark.parametrize("data", MALFORMED)
def test_bytes_that_are_no_message(client, path, data):
    code, text = client.error(path, data)
    assert code == "INVALID_ARGUMENT" and "bytes that are no " in text
    assert client(PREDICT, predict_request()).model_spec.version.value == 10


def test_an_empty_message_is_one_without_fields(client):
    assert client.error(PREDICT, b"") == ("INVALID_ARGUMENT", "Missing ModelSpec")


def test_an_unknown_method_is_unimplemented(client):
    call = client.channel.unary_unary("/tensorflow.serving.PredictionService/Nonsense")
    with pytest.raises(grpc.RpcError) as caught:
        call(b"", timeout=5)
    assert caught.value.code() == grpc.StatusCode.UNIMPLEMENTED


# Token and TLS ----------------------------------------------------------------------------------


def bearer(token):
    return {"metadata": (("authorization", f"Bearer {token}"),)}


def test_the_token(models_dir):
    with grpc_client.running(models_dir, token="open-sesame") as client:
        for options in ({}, bearer("wrong"), bearer("open-sesam"), bearer("")):
            code, text = client.error(PREDICT, predict_request(), **options)
            assert code == "UNAUTHENTICATED" and "open-sesame" not in text
            assert client.calls[-1].code == Code.UNAUTHENTICATED
        client(PREDICT, predict_request(), **bearer("open-sesame"))
        assert status(client(CHECK, check())) == "SERVING"
        code, _ = client.error("ModelService/HandleReloadConfigRequest", b"")
        assert code == "UNAUTHENTICATED"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A certificate of 127.0.0.1 and its key, as PEM files."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    names = folder / "certificate.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]
        + ["-nodes", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
        + ["-out", names[0], "-keyout", names[1]],
        check=True,
        capture_output=True,
    )
    return names


def test_tls(models_dir, certificate):
    options = {"tls_certificate": str(certificate[0]), "tls_key": str(certificate[1])}
    with grpc_client.running(models_dir, **options) as client:
        credentials = grpc.ssl_channel_credentials(certificate[0].read_bytes())
        with grpc.secure_channel(client.address, credentials) as channel:
            client.channel, plain = channel, client.channel
            client(PREDICT, predict_request())
        client.channel = plain
        assert client.error(PREDICT, predict_request())[0] == "UNAVAILABLE"


# Ports and stopping -----------------------------------------------------------------------------


def test_a_port_in_use_is_named(models_dir):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=f"port {port} of 127.0.0.1"):
            with grpc_client.running(models_dir, grpc_port=port):
                pass


def test_stopping_answers_what_is_under_way(models_dir):
    pictures = np.zeros((1, 1500, 1500, 3), np.uint8)
    with grpc_client.running(models_dir) as client:
        method = client.channel.unary_unary("/tensorflow.serving.PredictionService/Predict")
        calls = [
            method.future(predict_request(pictures).SerializeToString(), timeout=60)
            for _ in range(6)
        ]
        wait_for(lambda: client.calls)  # the first is answered, the others are under way
        client.server.stop(50)
        codes = [call.code().name for call in calls]
        assert codes.count("OK") == [call.code.name for call in client.calls].count("OK") > 0
        assert {*codes} <= {"OK", "UNAVAILABLE"}
    with pytest.raises(grpc.RpcError), grpc.insecure_channel(client.address) as channel:
        channel.unary_unary("/grpc.health.v1.Health/Check")(b"", timeout=2)
