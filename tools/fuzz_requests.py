"""Requests for `fuzz_serving.py`: good ones, nearly good ones, and how bytes stand for them."""

import dataclasses
import gzip
import json
import zlib

import numpy as np
from hypothesis import strategies as st

from dlcv_tf.serve import grpc_server


@dataclasses.dataclass(frozen=True)
class Http:
    """An HTTP request; `target` is the path with the query, header names are in lower case."""

    method: str
    target: bytes
    headers: list[tuple[bytes, bytes]]
    body: bytes = b""

    def encode(self) -> bytes:
        """Returns it as text: a line, headers, an empty line, the body."""
        lines = [self.method.encode() + b" " + self.target]
        lines += [name + b": " + value for name, value in self.headers]
        return b"\n".join([*lines, b"", self.body])

    @classmethod
    def decode(cls, data: bytes) -> "Http":
        """Returns the request of a text, whatever stands in it."""
        head, _, body = data.partition(b"\n\n")
        first, *lines = head.split(b"\n")
        method, _, target = first.partition(b" ")
        pairs = [line.partition(b":") for line in lines]
        headers = [(name.strip().lower(), value.strip()) for name, _, value in pairs]
        return cls(method.decode("latin-1"), target, headers, body)


@dataclasses.dataclass(frozen=True)
class Grpc:
    """A call of a method with the bytes of its message."""

    path: str
    body: bytes = b""

    def encode(self) -> bytes:
        """Returns it as the number of the method, and the message."""
        return bytes([PATHS.index(self.path)]) + self.body

    @classmethod
    def decode(cls, data: bytes) -> "Grpc":
        """Returns the call that some bytes stand for."""
        return cls(PATHS[data[0] % len(PATHS)] if data else PATHS[0], data[1:])


@dataclasses.dataclass(frozen=True)
class Wire:
    """Bytes for the HTTP port."""

    data: bytes

    def encode(self) -> bytes:
        """Returns them."""
        return self.data

    decode = classmethod(lambda cls, data: cls(data))


class Text(Wire):
    """The text of a models.config."""


PATHS = sorted(grpc_server.METHODS)


# Values at which readers break: limits of types, names that exist and that do not.
NAMES = (
    "tiny negative floats halves images image_bytes inputs picture probabilities serving_default "
    "classify predict signature_def tensorflow tensorflow/serving/classify UINT8 FP32 FP16 BYTES "
    "BOOL INT64 timeout binary_data_size classification shared_memory_region"
).split()
ODD_TEXTS = [
    "",
    "..",
    "../../etc/passwd",
    "/",
    "\0",
    "\x7f",
    "%00",
    "\u0660",
    "9" * 5000,
    "a" * 3000,
]
ODD_NUMBERS = [
    *(sign * 2**power + more for power in (7, 8, 15, 16, 31, 32, 40, 53, 62) for sign in (1, -1)
      for more in (-1, 0)),
    2**63 - 1, -(2**63), 0, 1, 2, 3, 5, 224,
]  # fmt: skip
ODD_BYTES = [b"[" * 3000, b'{"a":' * 3000, b"9" * 5000, b"1e9999", b"\xef\xbb\xbf", b"\xff"]
TEXTS = st.one_of(
    st.sampled_from(NAMES),
    st.sampled_from(ODD_TEXTS),
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
)


# --- JSON ------------------------------------------------------------------------------------

PIXELS = [[[[1, 2, 3], [4, 5, 6]]]]
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.sampled_from([*ODD_NUMBERS, 2**64, -(2**70), 10**400]),
    st.floats(),
    TEXTS,
    st.sampled_from(["\ud800", "AA==", "-_", "data:image/png;base64,AA=="]),
    st.text(max_size=4).map(lambda text: {"b64": text}),
    st.just([]),
    st.just({}),
)
MANY = st.tuples(LEAVES, st.sampled_from([2, 90, 300])).map(lambda pair: [pair[0]] * pair[1])
VALUES = st.recursive(
    st.one_of(LEAVES, LEAVES, MANY),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.one_of(st.sampled_from(["b64", "name", "data"]), TEXTS), inner, max_size=3
        ),
    ),
    max_leaves=6,
)


@st.composite
def wrong_json(draw, good: list) -> bytes:
    """The text of a document with values replaced, added or left out."""
    document = json.loads(json.dumps(draw(st.sampled_from(good))))
    for _ in range(draw(st.integers(0, 3))):
        document = _changed(draw, document)
    text = json.dumps(document, ensure_ascii=draw(st.booleans()))
    return damaged(draw, text.encode(errors="surrogatepass"))


def _changed(draw, value):
    """Returns a JSON value in which one place is another."""
    if isinstance(value, dict) and value and draw(st.integers(0, 4)):
        key = draw(st.sampled_from(sorted(value)))
        how = draw(st.integers(0, 9))
        if how == 0:
            return {name: each for name, each in value.items() if name != key}
        if how == 1:
            return value | {draw(TEXTS): draw(VALUES)}
        return value | {key: _changed(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 4)):
        index = draw(st.integers(0, len(value) - 1))
        how = draw(st.integers(0, 9))
        if how == 0:
            return value[:index] + value[index + 1 :]
        if how == 1:
            return value * 2
        return [*value[:index], _changed(draw, value[index]), *value[index + 1 :]]
    return draw(VALUES)


def damaged(draw, data: bytes) -> bytes:
    """Returns bytes as they are, three times of four; else cut, changed, or with more in them."""
    if draw(st.integers(0, 3)):
        return data
    start = draw(st.integers(0, len(data)))
    stop = min(len(data), start + draw(st.sampled_from([0, 0, 1, 2, 8, 10**9])))
    more = draw(st.one_of(st.binary(max_size=8), st.sampled_from(ODD_BYTES)))
    return data[:start] + more + data[stop:]


PREDICTS = [
    {"instances": PIXELS},
    {"inputs": {"images": PIXELS}, "signature_name": "serving_default"},
    {"instances": [{"images": PIXELS[0]}, {"images": PIXELS[0]}]},
    {"instances": [{"b64": "iVBORw0KGgo="}], "signature_name": "image_bytes"},
    {"inputs": {"a": [1, 2.5], "b": [0, 1e3]}, "signature_name": "halves"},
    {"instances": [{"text": "x", "flags": True}] * 2, "signature_name": "words"},
    {"instances": (np.arange(300).reshape(1, 10, 10, 3) % 256).tolist()},
]
EXAMPLES = [
    {"signature_name": "classify", "examples": [{"image_bytes": {"b64": "iVBORw0KGgo="}}]},
    {
        "signature_name": "classify",
        "context": {"image_bytes": "x", "n": [1, 2], "f": [0.5], "b": True},
        "examples": [{}, {"other": ["a", {"b64": "AA=="}]}],
    },
    {"signature_name": "regress", "examples": [{"x": [1.5, 2.5]}]},
]
INFERS = [
    {"inputs": [{"name": "images", "shape": [1, 1, 2, 3], "datatype": "UINT8", "data": PIXELS}]},
    {
        "id": "7",
        "parameters": {"signature_name": "serving_default", "timeout": 10**7},
        "inputs": [
            {
                "name": "images",
                "shape": [1, 1, 2, 3],
                "datatype": "UINT8",
                "parameters": {"binary_data_size": 6},
            }
        ],
        "outputs": [{"name": "scores", "parameters": {"binary_data": True}}],
    },
    {
        "inputs": [
            {"name": "image_bytes", "shape": [1], "datatype": "BYTES", "data": ["AA=="],
             "parameters": {"content_type": "base64"}}
        ],
        "parameters": {"binary_data_output": True},
    },
]  # fmt: skip
JSON = (b"content-type", b"application/json")
IN_GRAPH = ("halves", "words", "regress")  # signatures of the model `negative`
REPOSITORY = [{}, {"ready": True}, {"parameters": {"config": "{}", "file:1": ""}}]
MODELS = st.sampled_from([b"tiny", b"tiny", b"negative", b"floats", b"halves"])


def posts(path: bytes, documents: list) -> list[Http]:
    """Returns a POST of each document."""
    found = []
    for document in documents:
        name = b"negative" if document.get("signature_name") in IN_GRAPH else b"tiny"
        body = json.dumps(document).encode()
        found.append(Http("POST", path.replace(b"NAME", name), [JSON], body))
    return found


def kserve_seeds() -> list[Http]:
    """Returns good requests of KServe, with and without bytes behind the JSON."""
    seeds = posts(b"/v2/models/NAME/infer", INFERS)
    length = str(len(seeds[1].body)).encode()
    headers = [(b"inference-header-content-length", length)]
    seeds[1] = Http("POST", seeds[1].target, headers, seeds[1].body + bytes(6))
    return seeds


QUERIES = [
    b"",
    b"?shape=1,1,2,3",
    b"?shape=0,999999999,999999999,3",
    b"?signature_name=image_bytes",
    b"?shape=1&shape=,&x=%ff",
]


@st.composite
def json_posts(draw, path: bytes, good: list) -> Http:
    """A POST of a document with something else in it, to any of the models."""
    target = path.replace(b"NAME", draw(MODELS))
    headers = [JSON, *draw(st.sampled_from([[], [], [(b"accept", b"image/png")]]))]
    return Http("POST", target, headers, draw(wrong_json(good)))


@st.composite
def kserve_posts(draw) -> Http:
    """An inference request of KServe, whose bytes are not always as many as its JSON says."""
    text = draw(wrong_json(INFERS))
    data = draw(st.one_of(st.binary(max_size=12), st.just(bytes(6))))
    length = draw(
        st.one_of(
            st.just(str(len(text))),
            st.just(str(len(text))),
            st.sampled_from(["0", "-1", "1e3", "9" * 30, " 5", "\u0663"]),
            st.integers(0, len(text) + 20).map(str),
        )
    )
    headers = draw(st.sampled_from([[], [(b"inference-header-content-length", length.encode())]]))
    query = draw(st.sampled_from(QUERIES))
    target = b"/v2/models/" + draw(MODELS) + b"/infer" + query
    return Http("POST", target, headers, text + data if headers else text)


# --- HTTP around the body --------------------------------------------------------------------

GET_PATHS = (
    "/v1/models /v1/models/tiny /v1/models/tiny/versions/1 /v1/models/tiny/versions/1/metadata "
    "/v1/models/tiny/labels/x/metadata /v2 /v2/models/tiny /v2/models/tiny/versions/1/ready "
    "/v2/models/tiny/config /v2/models/tiny/stats /v2/models/stats /v2/health/ready /healthz "
    "/metrics /openapi.json / /page/models.json"
).split()
POST_PATHS = (
    "/v1/models/tiny:predict /v1/models/tiny/versions/1:predict /v2/models/tiny/infer "
    "/v2/repository/index /v2/repository/models/tiny/load /v2/repository/models/floats/unload"
).split()
BOMBS = [gzip.compress(bytes(5 * 2**20)), gzip.compress(b'{"instances": [' + b"[]," * 10**6)]
PIECES = st.one_of(
    st.sampled_from(
        [b"v1", b"v2", b"models", b"tiny", b"versions", b"labels", b"metadata", b"repository",
         b"load", b"infer", b"tiny:predict", b"%2e%2e", b"..", b"%00", b"%ff", b"%F0%9F", b"",
         b"1", b"0", b"-1", b"9" * 19, b"9" * 5000, b"\xd9\xa3", b"page", b"V1"]
    ),
    st.binary(max_size=6),
)  # fmt: skip
HEADERS = st.tuples(
    st.sampled_from(
        b"content-type content-encoding content-length accept accept-encoding origin x-request-id "
        b"if-none-match inference-header-content-length authorization".split()
    ),
    st.one_of(
        st.sampled_from(
            [b"gzip", b"deflate", b"identity", b"br", b"gzip, gzip", b"image/png", b"image/",
             b"application/json;", b"*", b"0", b"-1", b"9" * 40, b"https://x", b"W/\"*\"", b"\xb2"]
        ),
        st.binary(max_size=8).map(lambda data: data.translate(None, b"\r\n\0")),
    ),
)  # fmt: skip


@st.composite
def wrong_http(draw) -> Http:
    """A request with something odd in its method, path, query, headers, or the body's coding."""
    good = json.dumps(draw(st.sampled_from([*PREDICTS, *INFERS]))).encode()
    target = draw(st.sampled_from([*GET_PATHS, *POST_PATHS])).encode()
    if b"repository" in target:
        good = draw(wrong_json(REPOSITORY))
    pieces = target.split(b"/")
    for _ in range(draw(st.integers(0, 2))):
        index = draw(st.integers(0, len(pieces)))
        pieces[index : index + draw(st.integers(0, 1))] = [draw(PIECES)]
    target = b"/".join(pieces) + draw(
        st.sampled_from([b"", b"", b"?", b"?shape=1&&=%", b"?" + b"a=b&" * 999])
    )
    coding, body = draw(
        st.sampled_from(
            [(b"", good), (b"gzip", gzip.compress(good)), (b"deflate", zlib.compress(good)),
             (b"gzip", good), *((b"gzip", bomb) for bomb in BOMBS)]
        )
    )  # fmt: skip
    headers = draw(st.lists(HEADERS, max_size=3))
    if coding:
        headers.insert(0, (b"content-encoding", coding))
    method = draw(
        st.sampled_from(["GET", "POST", "POST", "HEAD", "OPTIONS", "PUT", "GET\xb2", "post"])
    )
    return Http(method, target, headers, damaged(draw, body))


def http_seeds() -> list[Http]:
    """Returns good requests of all paths."""
    accepts = [(b"accept-encoding", b"gzip"), (b"x-request-id", b"7")]
    good = json.dumps(PREDICTS[0]).encode()
    coded = [(b"content-encoding", b"gzip")]
    return [
        *(Http("GET", path.encode(), accepts) for path in GET_PATHS),
        *(Http("POST", path.encode(), coded, gzip.compress(good)) for path in POST_PATHS[:3]),
        *(each for path in POST_PATHS[3:] for each in posts(path.encode(), REPOSITORY)),
        Http("OPTIONS", b"/v1/models/tiny:predict", [(b"origin", b"https://x")]),
    ]


def on_the_wire(request: Http) -> Wire:
    """Returns a request as HTTP/1.1 has it."""
    head = b"%s %s HTTP/1.1\r\nhost: x\r\n" % (request.method.encode("latin-1"), request.target)
    head += b"".join(b"%s: %s\r\n" % pair for pair in request.headers)
    length = b"content-length: %d\r\n" % len(request.body) if request.body else b""
    return Wire(head + length + b"\r\n" + request.body)


@st.composite
def wires(draw) -> Wire:
    """One or two requests on a connection, some of them cut short."""
    requests = [on_the_wire(draw(wrong_http())).data for _ in range(draw(st.integers(1, 2)))]
    return Wire(damaged(draw, b"".join(requests)))


def wire_seeds() -> list[Wire]:
    """Returns good requests as they come over a connection."""
    return [on_the_wire(each) for each in http_seeds()]
