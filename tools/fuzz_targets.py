"""What `fuzz_serving.py` sends requests to, in one process, and what is asked of every answer."""

import asyncio
import base64
import contextlib
import dataclasses
import json
import logging
import os
import pathlib
import socket
import threading
import time
import traceback
from collections.abc import Callable, Iterator

import fuzz_messages
import fuzz_pictures
import fuzz_requests
import numpy as np
from google.protobuf import text_format
from hypothesis import strategies as st

from dlcv_tf.artifact import tfs_messages
from dlcv_tf.artifact.manifest import Manifest
from dlcv_tf.errors import InputError
from dlcv_tf.serve import grpc_methods, grpc_server, http_server, models_config, server
from dlcv_tf.serve.app import App
from dlcv_tf.serve.config import Config
from dlcv_tf.serve.errors import HTTP_STATUS, Code
from dlcv_tf.serve.repository import Repository
from tests.artifact import tiny
from tests.serve import artifacts

SLOWEST = 5.0  # seconds of processor time that no request may take
WAIT = 0.1  # seconds without an answer, after which the port waits for more
LAST = b"GET /healthz HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n"
LOOK = 64  # requests between two looks at whether good ones are still answered
WORDS = [  # that mutations insert
    *fuzz_requests.NAMES,
    *"instances inputs outputs examples context signature_name parameters shape datatype".split(),
    *"data b64 name NaN -Infinity 1e309 true null gzip image/png versions labels IHDR Exif".split(),
]
OUR_FAULT = {Code.UNKNOWN, Code.INTERNAL, Code.DATA_LOSS, Code.UNAVAILABLE, Code.CANCELLED}
OUR_STATUSES = {HTTP_STATUS[code] for code in OUR_FAULT} - {HTTP_STATUS[Code.CANCELLED]}


class Finding(Exception):
    """An answer that is none, or a server that is worse off than before.

    Args:
        kind: in few words, the same for all inputs that find the same.
        details: of this one.
    """

    def __init__(self, kind: str, details: str = ""):
        super().__init__(f"{kind}: {details}")
        self.kind, self.details = kind, details


class Aborted(Exception):
    """An RPC that was answered with an error."""


class Context:
    """What a method asks gRPC about its call."""

    def time_remaining(self) -> None:
        """Says that the client gave no deadline."""

    def invocation_metadata(self) -> tuple:
        """Says that the client sent no metadata."""
        return ()

    def peer(self) -> str:
        """Says who the client is."""
        return "ipv4:127.0.0.1:1"

    def set_trailing_metadata(self, metadata) -> None:
        """Takes what an error brings."""

    def abort(self, code, details: str):
        """Ends the call."""
        raise Aborted(Code(code.value[0]), details.encode())


class Log(logging.Handler):
    """Keeps errors that are logged: an exception that nobody caught is one, in any thread."""

    def __init__(self):
        super().__init__(logging.ERROR)
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps one."""
        self.records.append(record)

    def raise_first(self) -> None:
        """Raises the first error since the last call, if there was one."""
        if not self.records:
            return
        record, self.records = self.records[0], []
        what = place_of(record.exc_info[1]) if record.exc_info else record.msg
        raise Finding(f"logged {what}", record.getMessage())


def place_of(error: BaseException) -> str:
    """Returns an error's type and where it was raised, which tells one bug from another."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {pathlib.Path(last.filename).name}:{last.lineno}"


def _add_signatures(directory: pathlib.Path) -> None:
    """Adds to a manifest what only TensorFlow runs: their requests are read all the same."""
    files, numbers = ({"dtype": dtype, "shape": [None]} for dtype in ("string", "float32"))
    further = {
        "regress": {
            "inputs": {"inputs": files},
            "outputs": {"outputs": numbers},
            "method": "tensorflow/serving/regress",
        },
        "halves": {"inputs": {"a": numbers, "b": numbers}, "outputs": {"half": numbers}},
        "words": {"inputs": {"text": files, "flags": files | {"dtype": "bool"}}, "outputs": {}},
    }
    found = Manifest.load(directory)
    dataclasses.replace(found, signatures=found.signatures | further).write(directory)


class Server:
    """Everything that reads what clients send, with tiny models behind it.

    Args:
        directory: to write the models into.
    """

    def __init__(self, directory: pathlib.Path):
        tiny.artifact(directory)
        _add_signatures(artifacts.negative(directory))
        artifacts.floats(directory, "floats", "float32")
        artifacts.floats(directory, "halves", "float16")
        self.config = Config(
            models=os.fspath(directory),
            executor="onnx",
            threads=1,
            batching="off",
            poll=0,
            cors=True,
            max_body=4 * 2**20,
            max_pixels=10**6,
            request_log=os.devnull,
            log_pictures=True,
        )
        self.models = Repository(self.config)
        self.models.load()
        config = 'config {{ name: "{1}" base_path: "{0}/{1}" }}'
        names = " ".join(config.format(directory, name) for name in self.models.names())
        text, message = f"model_config_list {{ {names} }}", tfs_messages.ModelServerConfig()
        self._good_config = text_format.Parse(text, message, descriptor_pool=tfs_messages.pool())
        self._exits = contextlib.ExitStack()
        observe, metrics = self._exits.enter_context(server.observer(self.models, self.config))
        self._app = App(self.models, self.config, observe, metrics)
        runner = grpc_methods.Runner(self.models, self.config, observe)
        self._handlers = {
            path: (runner.handler(method), method) for path, method in grpc_server.METHODS.items()
        }
        self._loop = asyncio.new_event_loop()
        self.log = Log()
        logging.getLogger().addHandler(self.log)
        threading.excepthook = lambda arguments: logging.error(
            "thread", exc_info=(arguments.exc_type, arguments.exc_value, arguments.exc_traceback)
        )
        self._port = 0

    def close(self) -> None:
        """Stops everything."""
        self._exits.close()
        self._loop.close()
        self.models.close()
        logging.getLogger().removeHandler(self.log)
        threading.excepthook = threading.__excepthook__

    def http(self, request: fuzz_requests.Http) -> tuple[int, dict[bytes, bytes], bytes]:
        """Sends a request through the ASGI application; returns status, headers and body."""
        sent = [{"type": "http.request", "body": request.body, "more_body": False}]
        got: list[dict] = []

        async def receive() -> dict:
            return sent.pop() if sent else {"type": "http.disconnect"}

        async def send(message: dict) -> None:
            got.append(message)

        path, _, query = request.target.partition(b"?")
        scope = {
            "type": "http",
            "method": request.method,
            "raw_path": path,
            "query_string": query,
            "headers": request.headers,
        }
        self._loop.run_until_complete(self._app(scope, receive, send))
        start, body = got
        return start["status"], dict(start["headers"]), body["body"]

    def grpc(self, request: fuzz_requests.Grpc) -> tuple[Code, bytes]:
        """Calls a method; returns the code, and the answer or the text of the error."""
        found = self._handlers.get(request.path)
        if found is None:
            return Code.UNIMPLEMENTED, b""
        handler, method = found
        try:
            if method.on_error:
                return Code.OK, b"".join(handler.stream_stream(iter([request.body]), Context()))
            return Code.OK, handler.unary_unary(request.body, Context())
        except Aborted as error:
            return error.args

    def wire(self, data: bytes) -> bytes:
        """Sends bytes to the HTTP port, and a last request; returns what comes until the end."""
        if not self._port:
            self._port = self._exits.enter_context(self._listening())
        received = b""
        with socket.create_connection(("127.0.0.1", self._port), timeout=WAIT) as connection:
            with contextlib.suppress(ConnectionError):
                connection.sendall(data + LAST)
                while chunk := self._receive(connection):
                    received += chunk
        return received

    def _receive(self, connection: socket.socket) -> bytes:
        """Returns what comes next; sends the end where nothing comes, since more is waited for."""
        try:
            return connection.recv(65536)
        except TimeoutError:
            connection.shutdown(socket.SHUT_WR)
            connection.settimeout(60)
            return connection.recv(65536)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[int]:
        """Serves the application on a free port."""
        with server.bind("127.0.0.1", 0) as listener:
            http = http_server.Server(self._app, self.config)
            logging.getLogger("uvicorn.error").addHandler(self.log)  # it tells its parents nothing
            thread = threading.Thread(target=http.run, args=([listener],), daemon=True)
            thread.start()
            yield listener.getsockname()[1]
            http.stop()
            thread.join()

    def restore(self) -> None:
        """Serves all models again, where a request unloaded one."""
        names = [config.name for config in self._good_config.model_config_list.config]
        if self.models.names() != names or not all(map(self.models.model_ready, names)):
            self.models.reload(self._good_config)

    def check_good_requests(self) -> None:
        """Raises unless a picture gets its right answer, both ways."""
        images = tiny.ramp(4, 5)[None]
        expected = tiny.probabilities(images)[0]
        body = json.dumps({"instances": images.tolist()}).encode()
        status, _, answer = self.http(
            fuzz_requests.Http("POST", b"/v1/models/tiny:predict", [], body)
        )
        if status != 200:
            raise Finding("good JSON is not answered", f"{status} {answer[:200]!r}")
        got = json.loads(answer)["predictions"][0]["probabilities"]
        request = tfs_messages.PredictRequest()
        request.model_spec.name = "tiny"
        request.inputs["images"].CopyFrom(tfs_messages.tensor(images))
        path = "/tensorflow.serving.PredictionService/Predict"
        code, data = self.grpc(fuzz_requests.Grpc(path, request.SerializeToString()))
        if code != Code.OK:
            raise Finding("a good message is not answered", f"{code.name} {data[:200]!r}")
        outputs = tfs_messages.PredictResponse.FromString(data).outputs
        for answered in (got, outputs["probabilities"].float_val):
            if not np.allclose(answered, expected, atol=1e-5):
                raise Finding("a good request is answered wrongly", f"{answered} {expected}")


def check_http(server: Server, request: fuzz_requests.Http) -> None:
    """Sends an HTTP request and looks at the answer."""
    status, headers, body = server.http(request)
    if status in OUR_STATUSES or not 200 <= status < 600:
        raise Finding(f"HTTP {status}", f"{body[:300]!r}")
    for name, value in headers.items():
        if set(name + value) & set(b"\r\n\0"):
            raise Finding("a header breaks out", f"{name!r}: {value!r}")
    if status >= 400:
        document = _json(body)
        if not isinstance(document, dict) or not isinstance(document.get("error"), str):
            raise Finding("an error without its text", f"{status} {body[:300]!r}")
    elif headers[b"content-type"] == b"application/json" and body:
        if headers.get(b"content-encoding") != b"gzip":
            _json(body)


def check_grpc(server: Server, request: fuzz_requests.Grpc) -> None:
    """Calls a method and looks at the answer."""
    code, data = server.grpc(request)
    if code in OUR_FAULT:
        raise Finding(f"gRPC {code.name}", f"{data[:300]!r}")
    if code != Code.OK and request.path in server._handlers and not data:
        raise Finding("an error without a text", code.name)


def check_wire(server: Server, data: bytes) -> None:
    """Sends bytes to the port; whatever is answered must be no failure."""
    received = server.wire(data)
    if received and not received.startswith(b"HTTP/1.1 "):
        raise Finding("no HTTP", f"{received[:100]!r}")
    for status in OUR_STATUSES:
        if b"HTTP/1.1 %d" % status in received:
            raise Finding(f"HTTP {status} from the port", f"{received[:300]!r}")


def check_models_config(server: Server, text: bytes) -> None:
    """Reads a models.config; the operator may be told what is wrong, and only so."""
    with contextlib.suppress(InputError):
        models_config.parse(text.decode(errors="replace"), server.config.models)


def _json(body: bytes):
    try:
        return json.loads(body)
    except ValueError as error:
        raise Finding("an answer that is no JSON", f"{error} {body[:300]!r}") from None


CHECKS: dict[type, Callable] = {
    fuzz_requests.Http: check_http,
    fuzz_requests.Grpc: check_grpc,
    fuzz_requests.Wire: lambda server, request: check_wire(server, request.data),
    fuzz_requests.Text: lambda server, request: check_models_config(server, request.data),
}


@dataclasses.dataclass
class Watched:
    """A server, and what was found with it.

    Args:
        server: that gets the requests.
        is_raising: whether a finding is raised, rather than kept.
    """

    server: Server
    is_raising: bool = False
    requests: int = 0
    slowest: float = 0.0  # seconds of processor time
    under_way: object = None
    findings: dict[str, dict] = dataclasses.field(default_factory=dict)

    def send(self, request) -> None:
        """Sends a request, and looks at the answer and, now and then, at the server."""
        self.requests += 1
        self.under_way = request
        start = time.process_time()
        try:
            try:
                CHECKS[type(request)](self.server, request)
            finally:  # what was logged says more than the answer
                self.server.log.raise_first()
            took = time.process_time() - start
            self.slowest = max(self.slowest, took)
            if took > SLOWEST:
                raise Finding("slow", f"{took:.1f} s")
            self.server.restore()
            if self.requests % LOOK == 0:
                self.server.check_good_requests()
        except Exception as error:
            self.server.log.records.clear()
            if self.is_raising:
                raise
            self._keep(request, error)
        finally:
            self.under_way = None

    def _keep(self, request, error: Exception) -> None:
        kind = error.kind if isinstance(error, Finding) else f"raised {place_of(error)}"
        kept = {
            "kind": kind,
            "details": (error.details if isinstance(error, Finding) else str(error))[:1000],
            "times": 0,
            "request": repr(request)[:300],
        }
        kept["encoded"] = base64.b64encode(request.encode()).decode()
        self.findings.setdefault(kind, kept)["times"] += 1


@contextlib.contextmanager
def serving(directory: pathlib.Path, is_raising: bool = False) -> Iterator[Watched]:
    """Starts a server for a while."""
    server = Server(directory)
    try:
        yield Watched(server, is_raising)
    finally:
        server.close()


@dataclasses.dataclass(frozen=True)
class Target:
    """A way in.

    Args:
        kind: of its requests.
        good: good ones.
        wrong: a strategy of ones that are nearly good.
    """

    kind: type
    good: Callable[[], list]
    wrong: Callable[[], st.SearchStrategy]


def _targets() -> dict[str, Target]:
    """Returns the ways in by their names."""
    http, grpc = fuzz_requests, fuzz_messages

    def json_of(verbs: list[str], documents: list) -> Target:
        paths = [f"/v1/models/NAME:{verb}".encode() for verb in verbs]
        return Target(
            http.Http,
            lambda: [post for path in paths for post in http.posts(path, documents)],
            lambda: st.one_of([http.json_posts(path, documents) for path in paths]),
        )

    def calls_of(good: Callable[[], list]) -> Target:
        return Target(http.Grpc, good, lambda: grpc.wrong_calls(good()))

    return {
        "predict": json_of(["predict"], http.PREDICTS),
        "examples": json_of(["classify", "regress"], http.EXAMPLES),
        "kserve": Target(http.Http, http.kserve_seeds, http.kserve_posts),
        "pictures": Target(http.Http, fuzz_pictures.picture_seeds, fuzz_pictures.picture_posts),
        "http": Target(http.Http, http.http_seeds, http.wrong_http),
        "wire": Target(http.Wire, http.wire_seeds, http.wires),
        "grpc_predict": calls_of(grpc.good_predict),
        "grpc_examples": calls_of(grpc.good_examples),
        "grpc_kserve": calls_of(grpc.good_infers),
        "grpc_reload": calls_of(grpc.good_reloads),
        "models_config": Target(
            http.Text,
            lambda: [http.Text(text.encode()) for text in grpc.good_configs()],
            grpc.wrong_configs,
        ),
    }


TARGETS = _targets()
