"""The KServe v2 REST API, with Triton's binary tensor data and model repository extensions.

Reference: https://github.com/kserve/open-inference-protocol. Beyond it: a body of Content-Type
`image/*` is one encoded picture, and `Accept: image/png` gets an answered one as a file.
"""

import re
import urllib.parse

import numpy as np
import orjson

from dlcv_tf import __version__
from dlcv_tf.serve import http_pictures, kserve_answers, kserve_requests, kserve_tensors
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.errors import Code, ServingError, invalid
from dlcv_tf.serve.http_messages import Answer, Request
from dlcv_tf.serve.model import DEFAULT_SIGNATURE, Model
from dlcv_tf.serve.repository import Repository

STATISTICS_PATH = "/v2/models/stats"
MODEL_PATH = re.compile(
    "/v2/models/([^/]+)(?:/versions/([0-9]{1,19}))?(?:/(ready|infer|config|stats))?", re.ASCII
)
REPOSITORY_PATH = re.compile("/v2/repository/models/([^/]+)/(load|unload)", re.ASCII)


def answer(request: Request, models: Repository, call: Call) -> Answer:
    """Answers one request at or below `/v2`; the server's health is answered by `app`.

    Args:
        request: the HTTP request.
        models: who answers.
        call: gets what is measured.

    Returns:
        The answer of status 200.

    Raises:
        ServingError: for every other answer.
    """
    call.api = "kserve_rest"
    method, path = request.method, request.path.rstrip("/")
    is_read = method in ("GET", "HEAD")
    if is_read and path == "/v2":
        call.method = "server_metadata"
        return _json(
            {"name": "dlcv_tf", "version": __version__, "extensions": kserve_tensors.EXTENSIONS}
        )
    if is_read and path == STATISTICS_PATH and "stats" not in models.names():
        call.method = "statistics"
        return _json({"model_stats": models.statistics()})
    if method == "POST" and path == "/v2/repository/index":
        call.method = "index"
        return _index(kserve_requests.json_of(request.body), models)
    if method == "POST" and (match := REPOSITORY_PATH.fullmatch(path)):
        return _load_or_unload(urllib.parse.unquote(match[1]), match[2], request, models, call)
    if match := MODEL_PATH.fullmatch(path):
        name, version, what = match.groups()
        spec = urllib.parse.unquote(name), None if version is None else int(version)
        call.model = models.known(spec[0])
        if what == "infer" and method == "POST":
            return _infer(spec, request, models, call)
        if what == "stats" and is_read:
            call.method = "statistics"
            listed = models.statistics(*spec)
            call.model, call.version = spec[0], spec[1] or 0
            return _json({"model_stats": listed})
        if what != "infer" and is_read:
            call.method = what or "metadata"
            return _describe(what, spec, models, call)
    raise ServingError(Code.NOT_FOUND, f"Not found: {method} {request.path}")


def _infer(spec: tuple, request: Request, models: Repository, call: Call) -> Answer:
    call.method = "infer"
    with call.stage("parse"):
        inputs, values = http_pictures.inputs(request), {}
        is_raw = request.headers.get(kserve_requests.HEADER_LENGTH) == "0"
        if inputs is None and not is_raw:
            with http_pictures.hinting(request):
                values, inputs = kserve_requests.parse(request)
        parameters = kserve_requests.parameters_of(values, "the request")
        kserve_requests.set_deadline(parameters, call)
    with models.use(*spec) as model:
        if inputs is None:
            inputs = _raw_tensor(request, model)
        signature = kserve_tensors.signature_name(model, parameters, [*inputs])
        kserve_tensors.check_inputs(model, inputs, signature)
        known = model.signature(signature)
        wanted = kserve_answers.wanted(values, known["outputs"], model)
        first = next(iter(inputs.values()))
        picture = http_pictures.wanted(request, known, len(first) if first.ndim else 0)
        outputs = model.predict(inputs, signature, call, [picture] if picture else [*wanted])
        with call.stage("render"):
            if picture:
                return http_pictures.png(picture, outputs[picture])
            return kserve_answers.render(model, values.get("id"), outputs, wanted)


def _raw_tensor(request: Request, model: Model) -> dict[str, np.ndarray]:
    """Returns the input of a body that is nothing but one tensor (Triton's raw binary request).

    It is of batch 1, and one further size may be unknown; `?shape=1,64,64,3` states them all. An
    encoded picture is one, too, with `?signature_name=image_bytes`.
    """
    query = dict(urllib.parse.parse_qsl(request.query))
    name = query.get("signature_name", DEFAULT_SIGNATURE)
    expected = model.signature(name)["inputs"]
    if len(expected) != 1:
        raise invalid(f"got one raw tensor, expected all of {', '.join(expected)}: send JSON")
    ((tensor, spec),) = expected.items()
    if spec["dtype"] == "string":
        files = np.empty(1, dtype=object)
        files[0] = request.body
        return {tensor: files}
    sizes = [1, *spec["shape"][1:]]
    if "shape" in query:
        if not re.fullmatch(r"\d{1,9}(,\d{1,9}){0,31}", query["shape"], re.ASCII):
            raise invalid(f"got shape {query['shape'][:64]!r}, expected one like 1,64,64,3")
        sizes = [int(size) for size in query["shape"].split(",")]
        kserve_tensors.check_shape(sizes, tensor)
    if sizes.count(None) > 1:
        raise invalid(
            f"got a raw tensor for input '{tensor}', of whose shape more than one size is unknown: "
            "state it, as in ?shape=1,64,64,3"
        )
    if None in sizes:
        unit = np.dtype(spec["dtype"]).itemsize
        for size in sizes:
            unit *= size or 1
        sizes[sizes.index(None)] = len(request.body) // unit
    datatype = kserve_tensors.DATATYPES[spec["dtype"]]
    return {tensor: kserve_tensors.from_bytes(request.body, datatype, tuple(sizes), tensor)}


def _describe(what: str | None, spec: tuple, models: Repository, call: Call) -> Answer:
    """Answers whether a model is ready, or what it takes and gives by its default signature."""
    with models.use(*spec) as model:
        call.model, call.version = model.name, model.version
        if what == "ready":
            return _json({"name": model.name, "ready": True})
        signature = model.signature(DEFAULT_SIGNATURE)
        result = {"name": model.name, "platform": f"dlcv_{model.executor.name}"}
    tensors = {kind: kserve_tensors.metadata(signature[kind]) for kind in ("inputs", "outputs")}
    if what == "config":  # the shapes are whole, so it states no batch size
        result["max_batch_size"] = 0
        for kind, listed in tensors.items():
            result[kind.removesuffix("s")] = [
                {
                    "name": tensor["name"],
                    "data_type": "TYPE_" + tensor["datatype"].replace("BYTES", "STRING"),
                    "dims": tensor["shape"],
                }
                for tensor in listed
            ]
        return _json(result)
    numbers = [v.number for v in models.versions(spec[0]) if v.state == "AVAILABLE"]
    return _json(result | {"versions": [str(number) for number in sorted(numbers)]} | tensors)


def _index(values: dict, models: Repository) -> Answer:
    """Lists all versions of all models, or only those that serve."""
    listed = []
    for name in models.names():
        tried = models.tried(name)
        for version in tried:
            state = "READY" if version.state == "AVAILABLE" else "UNAVAILABLE"
            listed.append({"name": name, "version": str(version.number), "state": state})
            listed[-1]["reason"] = version.error
        if not tried:
            listed.append({"name": name, "state": "UNAVAILABLE", "reason": models.error(name)})
    only_ready = values.get("ready")
    return _json([each for each in listed if each["state"] == "READY" or not only_ready])


def _load_or_unload(
    name: str, verb: str, request: Request, models: Repository, call: Call
) -> Answer:
    call.method = verb
    parameters = kserve_requests.parameters_of(kserve_requests.json_of(request.body), "the request")
    if "config" in parameters or any(key.startswith("file:") for key in parameters):
        raise ServingError(
            Code.UNIMPLEMENTED, "got a model in the request, expected one in the models directory"
        )
    if verb == "load":
        models.load_model(name)
    else:
        models.unload_model(name)
    call.model = name
    return Answer(b"")


def _json(values) -> Answer:
    return Answer(orjson.dumps(values))
