"""What a client says and hears, without a socket: one conversation for each call.

A conversation is a generator. It yields what is to be done, a `Send` or the seconds to wait, and is
sent what came of it: a `Reply` or HTTPX's error, or nothing. Its return value is that of the call.
`client.py` carries conversations out, waiting or not, so that both clients share every line of
this.
"""

import contextlib
import dataclasses
import itertools
import json
import math
import random
import ssl
import time
import urllib.parse
from collections.abc import Generator, Iterator, Mapping

import httpx

from dlcv_tf.errors import InputError
from dlcv_tf.serve import client_bodies, client_pictures
from dlcv_tf.serve.errors import HTTP_STATUS, Code, ServingError

PROTOCOLS = ("kserve", "tensorflow")
NAMES_PATH = "/page/models.json"  # what the web page reads: beyond both protocols
# The first code of each status, as TF Serving has them; and those of the server and of proxies.
CODES = {status: code for code, status in reversed(HTTP_STATUS.items())}
CODES |= {406: Code.INVALID_ARGUMENT, 408: Code.DEADLINE_EXCEEDED, 413: Code.RESOURCE_EXHAUSTED}
CODES |= {502: Code.UNAVAILABLE}


@dataclasses.dataclass(frozen=True)
class Send:
    """A request to be sent; `deadline` is one of `time.monotonic()`."""

    method: str
    path: str
    deadline: float
    body: bytes
    headers: dict[str, str]


@dataclasses.dataclass(frozen=True)
class Reply:
    """What came back; `headers` takes names in any letter case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclasses.dataclass(frozen=True)
class Target:
    """Which model is asked, and for what.

    Args:
        name: of the model.
        version: a number, or None for the server's choice.
        label: of a version, instead of a number.
        signature: its name, or None for what the inputs fit.
        outputs: names of the outputs that are wanted, or None for all.
    """

    name: str
    version: int | None = None
    label: str | None = None
    signature: str | None = None
    outputs: list[str] | None = None

    def __post_init__(self):
        if self.version is not None and self.label is not None:
            raise InputError(
                f"got version {self.version} and label {self.label!r}, expected one of them"
            )

    def path(self, root: str) -> str:
        """Returns the path of the model below `root`."""
        path = f"{root}/models/{urllib.parse.quote(self.name, safe='')}"
        if self.label is not None:
            return f"{path}/labels/{urllib.parse.quote(self.label, safe='')}"
        return path if self.version is None else f"{path}/versions/{int(self.version)}"


class Messages:
    """Makes the conversations of a client.

    Args:
        protocol: of `predict`: `"kserve"`, binary, or `"tensorflow"`, TF Serving's JSON.
        timeout: seconds for a call that states none, all of its requests and waits together.
        retries: how often a request is sent again that the server has not begun to answer.

    Raises:
        InputError: for an option that is not as stated.
    """

    def __init__(self, protocol: str, timeout: float, retries: int):
        if protocol not in PROTOCOLS:
            raise InputError(f"got protocol {protocol!r}, expected one of {', '.join(PROTOCOLS)}")
        if retries < 0:
            raise InputError(f"got retries {retries}, expected 0 or more")
        _deadline(timeout)
        self._protocol = protocol
        self._timeout = timeout
        self._retries = retries
        self._signatures: dict[str, dict] = {}
        self._names: dict[tuple[str, int], list[str]] = {}

    def models(self) -> Generator:
        """Asks which models there are; returns name to status."""
        values = yield from self._get("/v1/models")
        with _understood("/v1/models"):
            return {model["name"]: client_bodies.status(model) for model in values["models"]}

    def status(self, target: Target) -> Generator:
        """Asks how the versions of a model stand."""
        path = target.path("/v1")
        values = yield from self._get(path)
        with _understood(path):
            return client_bodies.status(values)

    def metadata(self, target: Target, deadline: float | None = None) -> Generator:
        """Asks what a model takes and gives, by signature."""
        path = f"{target.path('/v1')}/metadata"
        values = yield from self._get(path, deadline)
        with _understood(path):
            return client_bodies.metadata(values)

    def predict(self, target: Target, given, timeout: float | None) -> Generator:
        """Asks for the arrays of some pictures, or of named inputs."""
        deadline = _deadline(self._timeout if timeout is None else timeout)
        inputs = client_pictures.inputs(given)
        return (yield from self._predict(target, inputs, deadline))[0]

    def answers(self, target: Target, given, score: float, timeout: float | None) -> Generator:
        """Asks what is in some pictures, and where."""
        deadline = _deadline(self._timeout if timeout is None else timeout)
        files = client_pictures.as_files(given)  # the server names the classes of files alone
        found, version = yield from self._predict(target, {"image_bytes": files}, deadline)
        names = []
        if client_pictures.needs_names(found):
            names = yield from self._class_names(target, version, deadline)
        return [
            client_pictures.answer(
                {name: values[i] for name, values in found.items()}, data, names, score
            )
            for i, data in enumerate(files)
        ]

    def _predict(self, target: Target, inputs: dict, deadline: float) -> Generator:
        """Returns the arrays, and the version that answered where the protocol tells it."""
        if self._protocol == "kserve" and target.label is None:
            return (yield from self._kserve(target, inputs, deadline))
        return (yield from self._tensorflow(target, inputs, deadline))  # KServe has no labels

    def _kserve(self, target: Target, inputs: dict, deadline: float) -> Generator:
        left = deadline - time.monotonic()
        body, headers = client_bodies.kserve(inputs, target.signature, target.outputs, left)
        path = f"{target.path('/v2')}/infer"
        reply = yield from self._exchange("POST", path, deadline, body, headers)
        with _understood(path):
            return client_bodies.kserve_outputs(reply.body, reply.headers)

    def _tensorflow(self, target: Target, inputs: dict, deadline: float) -> Generator:
        place = target.path("/v1")
        known = self._signatures.get(place, {})
        if not known or target.signature not in (None, *known):
            # JSON has no types, and no name for a single output; that is asked for once.
            known = (yield from self.metadata(target, deadline))["signatures"]
            self._signatures[place] = known
        signature = target.signature or _fitting(known, inputs)
        body, headers = client_bodies.tensorflow(inputs, signature)
        try:
            reply = yield from self._exchange("POST", f"{place}:predict", deadline, body, headers)
            with _understood(place):
                arrays = client_bodies.tensorflow_outputs(reply.body, known[signature]["outputs"])
        except ServingError:
            self._signatures.pop(place, None)  # perhaps of the version before
            raise
        wanted = [*arrays] if target.outputs is None else target.outputs
        if unknown := set(wanted) - set(arrays):
            raise ServingError(
                Code.INVALID_ARGUMENT,
                f"got outputs {sorted(unknown)}, expected some of {[*arrays]}",
            )
        return {name: arrays[name] for name in wanted}, target.version

    def _class_names(self, target: Target, version: int | None, deadline: float) -> Generator:
        """Returns the names of a model's classes or joints; none, where another server answers."""
        if (target.name, version) in self._names:
            return self._names[target.name, version]
        try:
            listed = yield from self._get(NAMES_PATH, deadline)
        except ServingError as error:
            if error.code != Code.NOT_FOUND:
                raise
            return []
        with _understood(NAMES_PATH):
            for model in listed["models"]:
                if model["name"] == target.name:
                    number = model["labels"].get(target.label) if version is None else version
                    # A version that serves has classes.
                    found = {
                        int(each["number"]): each["classes"]
                        for each in model["versions"]
                        if "classes" in each
                    }
                    names = found.get(max(found, default=0) if number is None else number, [])
                    if version is not None:
                        self._names[target.name, version] = names
                    return names
        return []

    def _get(self, path: str, deadline: float | None = None) -> Generator:
        """Returns the JSON of a path."""
        deadline = _deadline(self._timeout) if deadline is None else deadline
        reply = yield from self._exchange("GET", path, deadline)
        with _understood(path):
            return json.loads(reply.body)

    def _exchange(
        self, method: str, path: str, deadline: float, body: bytes = b"", headers: Mapping = {}
    ) -> Generator:
        """Sends a request, again where that is safe, and returns a reply of status 200.

        Safe is what the server has not begun: it could not be reached, or said 503 with the seconds
        after which to try again.
        """
        for attempt in itertools.count():
            got = yield Send(method, path, deadline, body, dict(headers))
            if isinstance(got, Reply) and got.status == 200:
                return got
            error, pause = _wrong(got, attempt)
            is_late = pause is None or time.monotonic() + pause > deadline
            if is_late or attempt == self._retries:
                raise error
            yield pause


@contextlib.contextmanager
def _understood(path: str) -> Iterator[None]:
    """Says of an answer that is none of the protocol's where it came from."""
    try:
        yield
    except (ServingError, ValueError, LookupError, TypeError, AttributeError) as error:
        text = f"got an answer to {path} that is not the protocol's ({error!r}), of another server?"
        raise ServingError(Code.INTERNAL, text) from error


def _deadline(timeout: float) -> float:
    if not 0 < timeout < math.inf:
        raise InputError(f"got timeout {timeout}, expected seconds above 0")
    return time.monotonic() + timeout


def _wrong(got: Reply | Exception, attempt: int) -> tuple[ServingError, float | None]:
    """Returns the error, and the seconds to wait before the next try; None for no other try."""
    backoff = 0.1 * 2**attempt
    if not isinstance(got, Reply):
        is_late = isinstance(got, TimeoutError | httpx.TimeoutException)
        code = Code.DEADLINE_EXCEEDED if is_late else Code.UNAVAILABLE
        what = "no answer in time" if is_late else "no answer"
        error = ServingError(code, f"{what}: {type(got).__name__}: {got}".rstrip(": "))
        error.__cause__ = got
        is_unreached = isinstance(got, httpx.ConnectError) and not _is_of_tls(got)
        return error, backoff * random.uniform(0.5, 1) if is_unreached else None
    try:
        message = json.loads(got.body)["error"]
    except (ValueError, KeyError, TypeError):
        message = got.body[:256].decode(errors="replace") or f"HTTP status {got.status}"
    error = ServingError(CODES.get(got.status, Code.UNKNOWN), f"{message}")
    after = got.headers.get("retry-after", "")
    if got.status != 503 or not (after.isascii() and after.isdecimal()):
        return error, None
    # Never earlier than told, and not all clients at the same moment.
    return error, max(int(after), backoff) * random.uniform(1, 1.5)


def _is_of_tls(error: BaseException | None) -> bool:
    """Whether a certificate or a handshake was wrong, which the next try would find again."""
    while error is not None and not isinstance(error, ssl.SSLError):
        error = error.__cause__ or error.__context__
    return error is not None


def _fitting(signatures: dict, inputs: Mapping) -> str:
    """Returns the signature that takes just these inputs, as KServe's side of the server does."""
    for name, signature in signatures.items():
        if signature["inputs"].keys() == inputs.keys() and name != "serving_default":
            return name
    return "serving_default"
