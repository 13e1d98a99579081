"""Malformed requests: a moment of what `tools/fuzz_serving.py` does, and what it found."""

import importlib
import importlib.util
import json
import pathlib
import subprocess
import sys
import time

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dlcv_tf.serve import server
from dlcv_tf.serve.errors import Code, ServingError

TOOLS = pathlib.Path(__file__).parents[2] / "tools"
TARGETS = (
    "predict",
    "examples",
    "kserve",
    "pictures",
    "http",
    "wire",
    "grpc_predict",
    "grpc_examples",
    "grpc_kserve",
    "grpc_reload",
    "models_config",
)
EXAMPLES = settings(
    max_examples=150,
    database=None,
    deadline=None,
    derandomize=True,  # the same ones in each run: CI is no place for surprises
    suppress_health_check=list(HealthCheck),
)
JSON = (b"content-type", b"application/json")
PREDICT = "/tensorflow.serving.PredictionService/Predict"
INFER = "/inference.GRPCInferenceService/ModelInfer"
HUGE = (0, 10**9, 10**9, 10**9)  # a shape that NumPy does not take, though it holds nothing


@pytest.fixture(scope="module")
def tool():
    """The scripts of `tools/`, which find each other there when they are run."""
    sys.path.insert(0, str(TOOLS))
    yield importlib.import_module("fuzz_targets")
    sys.path.remove(str(TOOLS))


@pytest.fixture(scope="module")
def watched(tool, tmp_path_factory):
    """The server that gets the requests; a finding is raised."""
    with tool.serving(tmp_path_factory.mktemp("models"), is_raising=True) as watched:
        yield watched
        watched.server.check_good_requests()


def test_these_are_all_targets(tool):
    assert [*tool.TARGETS] == [*TARGETS]


@pytest.mark.parametrize("name", TARGETS)
def test_good_requests_are_no_finding(tool, watched, name):
    good = tool.TARGETS[name].good()
    assert len(good) > 2
    for request in good:
        watched.send(request)
        assert type(request).decode(request.encode()) == request


@pytest.mark.filterwarnings("ignore:invalid escape sequence")  # protobuf, of text such as "\\i"
@pytest.mark.parametrize("name", TARGETS)
def test_nearly_good_requests_get_an_answer(tool, watched, name):
    @EXAMPLES
    @given(tool.TARGETS[name].wrong())
    def send(request):
        watched.send(request)

    send()
    watched.server.check_good_requests()


@EXAMPLES
@given(data=st.data())
def test_random_bytes_get_an_answer(tool, watched, data):
    name = data.draw(st.sampled_from(TARGETS))
    kind = tool.TARGETS[name].kind
    watched.send(kind.decode(data.draw(st.binary(max_size=200))))


def test_a_server_that_fails_is_found(tool, watched, monkeypatch):
    good = {name: tool.TARGETS[name].good()[0] for name in ("predict", "wire", "grpc_kserve")}
    wire = next(each for each in tool.TARGETS["wire"].good() if b":predict" in each.data)
    with watched.server.models.use("tiny") as model:
        monkeypatch.setattr(model, "executor", lambda images, call: 1 / 0)
        for request in (good["predict"], wire, good["grpc_kserve"]):
            with pytest.raises(tool.Finding, match="ZeroDivisionError at test_fuzz.py"):
                watched.send(request)

        def busy(images, call):
            raise ServingError(Code.UNAVAILABLE, "busy")

        monkeypatch.setattr(model, "executor", busy)
        for request, kind in (
            (good["predict"], "HTTP 503"),
            (wire, "HTTP 503 from the port"),
            (good["grpc_kserve"], "gRPC UNAVAILABLE"),
        ):
            with pytest.raises(tool.Finding, match=kind):
                watched.send(request)
        with pytest.raises(tool.Finding, match="good JSON is not answered"):
            watched.server.check_good_requests()


def http(tool, watched, method, target, values=None, headers=(JSON,)):
    """Sends a request of which something was found; returns the status and the error."""
    body = b"" if values is None else json.dumps(values).encode()
    request = tool.fuzz_requests.Http(method, target.encode(), [*headers], body)
    watched.send(request)
    status, _, answer = watched.server.http(request)
    return status, json.loads(answer)["error"]


def grpc(tool, watched, path, text):
    """Calls a method with a message of which something was found; returns code and error."""
    request = tool.fuzz_messages.of_text(path, text)
    watched.send(request)
    code, error = watched.server.grpc(request)
    return code, error.decode()


@pytest.mark.parametrize("digits", ["9" * 5000, "9" * 20, "0" * 5000 + "7"])
def test_version_numbers_of_any_length(tool, watched, digits):
    """Python reads no number of more than 4300 digits: it was a 500, and INTERNAL."""
    status, error = http(tool, watched, "GET", f"/v1/models/tiny/versions/{digits}")
    if digits.startswith("0"):
        assert (status, error) == (404, "Could not find version 7 of model tiny")
    else:
        assert (status, error) == (400, f"Failed to convert version: {digits} to numeric.")
    for method in ("ModelReady", "ModelMetadata"):
        path = INFER.replace("ModelInfer", method)
        code, error = grpc(tool, watched, path, f'name: "tiny" version: "{digits}"')
        assert code == Code.INVALID_ARGUMENT
        assert "expected a whole number" in error


def test_shapes_that_no_array_has(tool, watched):
    sizes = " ".join(f"dim {{ size: {size} }}" for size in HUGE)
    tensor = f"dtype: DT_UINT8 tensor_shape {{ {sizes} }}"
    text = f'model_spec {{ name: "tiny" }} inputs {{ key: "images" value {{ {tensor} }} }}'
    code, error = grpc(tool, watched, PREDICT, text)
    assert (code, "too large even for no values" in error) == (Code.INVALID_ARGUMENT, True)
    tensor = f'name: "images" datatype: "UINT8" shape: {[*HUGE]}'
    for further in ("", 'raw_input_contents: ""'):
        text = f'model_name: "tiny" inputs {{ {tensor} }} {further}'
        code, error = grpc(tool, watched, INFER, text)
        assert (code, "of together at most" in error) == (Code.INVALID_ARGUMENT, True)
    tensor = {"name": "images", "datatype": "UINT8", "shape": HUGE, "data": []}
    status, error = http(tool, watched, "POST", "/v2/models/tiny/infer", {"inputs": [tensor]})
    assert (status, "of together at most" in error) == (400, True)
    length = [(b"inference-header-content-length", b"0")]
    target = "/v2/models/tiny/infer?shape=" + ",".join(str(size // 2) for size in HUGE)
    status, error = http(tool, watched, "POST", target, headers=length)
    assert (status, "of together at most" in error) == (400, True)


def test_half_a_surrogate_pair_does_not_end_the_request_log(models_dir, tmp_path):
    """Quoted in an error, it ended the thread that writes the log: no line was written any more."""
    log = tmp_path / "log"
    with server.running(models_dir, executor="onnx", request_log=str(log)) as url:
        for value in ("\ud800", 1):
            body = json.dumps({"instances": [value]})
            answer = httpx.post(f"{url}/v1/models/tiny:predict", content=body)
            assert answer.status_code == 400
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    assert [line["code"] for line in lines] == ["INVALID_ARGUMENT"] * 2
    assert '"?"' in lines[0]["error"]


def test_what_is_no_http_behind_a_request(tool, watched):
    """The answer to the request was written to a closed connection: a traceback in the log."""
    good = next(each for each in tool.TARGETS["wire"].good() if b":predict" in each.data)
    for _ in range(8):
        bad = tool.fuzz_requests.Wire(good.data + b"\0\r\n\r\n")
        watched.send(bad)
    head, _, body = watched.server.wire(bad.data).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ") and b"content-type: application/json" in head
    assert json.loads(body) == {"error": "Invalid HTTP request received."}
    time.sleep(0.2)
    watched.server.log.raise_first()
    watched.send(good)


@pytest.mark.parametrize("parameters", [5, [7], "config", {"config": 3}])
@pytest.mark.parametrize("verb", ["load", "unload"])
def test_parameters_of_a_load_that_are_no_object(tool, watched, parameters, verb):
    target = f"/v2/repository/models/tiny/{verb}"
    status, error = http(tool, watched, "POST", target, {"parameters": parameters})
    if isinstance(parameters, dict):
        assert (status, error.startswith("got a model in the request")) == (501, True)
    else:
        assert (status, "expected an object" in error) == (400, True)


def test_a_raw_tensor_for_two_inputs(tool, watched):
    target = "/v2/models/negative/infer?signature_name=halves"
    length = [(b"inference-header-content-length", b"0")]
    status, error = http(tool, watched, "POST", target, headers=length)
    assert (status, error) == (400, "got one raw tensor, expected all of a, b: send JSON")


def test_a_base_path_with_a_zero_byte(tool, watched):
    code, error = grpc(
        tool,
        watched,
        tool.fuzz_messages.RELOAD,
        'config { model_config_list { config { name: "x" base_path: "a\\000b" } } }',
    )
    assert (code, "base_path" in error) == (Code.INVALID_ARGUMENT, True)


@pytest.mark.skipif(
    importlib.util.find_spec("atheris") is None, reason="atheris is no dependency of ours"
)
def test_atheris_drives_both_kinds_of_requests(tmp_path):
    report = tmp_path / "report.json"
    command = [sys.executable, TOOLS / "fuzz_serving.py", "--target", "grpc_kserve"]
    subprocess.run([*command, "--seconds", "24", "-o", report], check=True, timeout=120)
    rows = json.loads(report.read_text())
    assert [row["mode"] for row in rows] == ["bytes", "fields"]
    for row in rows:
        assert row["requests"] > 100
        assert row["edges"] > 100
        assert not row["findings"]


def test_without_atheris_the_tool_says_how_to_get_it():
    program = (
        "import importlib.util, runpy, sys; find = importlib.util.find_spec; "
        "importlib.util.find_spec = lambda name, *rest: "
        "None if name == 'atheris' else find(name, *rest); "
        f"sys.argv = ['fuzz_serving']; runpy.run_path({str(TOOLS / 'fuzz_serving.py')!r}, "
        "run_name='__main__')"
    )
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert ended.returncode == 1
    assert "python -m pip install atheris" in ended.stderr
