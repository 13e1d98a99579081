"""TensorFlow Serving's REST API: paths, predictions, classes, status and metadata.

The rules are those of `model_servers/http_rest_api_util.cc` and `http_rest_api_handler.cc` of
https://github.com/tensorflow/serving. Beyond them: GET `/v1/models` lists all models, and a body of
Content-Type `image/*` is one encoded picture; `Accept: image/png` gets an answered one as a file.
"""

import json
import re
import urllib.parse

from google.protobuf import json_format

from dlcv_tf.serve import (
    http_pictures,
    json_documents,
    tensorflow_answers,
    tensorflow_example_requests,
    tensorflow_examples,
    tensorflow_messages,
    tensorflow_requests,
)
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.errors import invalid
from dlcv_tf.serve.http_messages import Answer, Request
from dlcv_tf.serve.model import BYTES_SIGNATURE, Model
from dlcv_tf.serve.repository import Repository

_NAME, _VERSION = "/([^/:]+)", r"(?:/versions/(\d+)|/labels/([^/:]+))?"
_FLAGS = re.IGNORECASE | re.ASCII
POST_PATH = re.compile(f"/v1/models{_NAME}{_VERSION}:(classify|regress|predict)", _FLAGS)
GET_PATH = re.compile(f"/v1/models(?:{_NAME})?{_VERSION}(?:/(metadata))?", _FLAGS)
LIST_PATH = re.compile("/v1/models", _FLAGS)
MAX_VERSION = 2**63 - 1


def answer(request: Request, models: Repository, call: Call) -> Answer:
    """Answers one request below `/v1/`.

    Args:
        request: the HTTP request.
        models: who answers.
        call: gets what is measured.

    Returns:
        The answer of status 200.

    Raises:
        ServingError: for every other answer.
    """
    call.api = "tensorflow_rest"
    method, path = request.method, request.path
    if method == "POST" and (match := POST_PATH.fullmatch(path)):
        *spec, verb = match.groups()
        spec = _model_spec(*spec)
        call.model = models.known(spec[0])
        # The path's letter case does not count, the verb's does: TF Serving compares it again.
        if verb == "predict":
            return _predict(spec, request, models, call)
        if verb in ("classify", "regress"):
            return _classify_or_regress(verb, spec, request.body, models, call)
    if method == "GET" and LIST_PATH.fullmatch(path):
        call.method = "list"
        return _list(models)
    if method == "GET" and (match := GET_PATH.fullmatch(path)):
        *spec, subresource = match.groups()
        if spec[0] is None:
            raise invalid("Missing model name in request.")
        name, version, label = _model_spec(*spec)
        call.method, call.model = subresource or "status", models.known(name)
        if subresource == "metadata":
            with models.use(name, version, label) as model:
                return _metadata(model)
        return _to_json(tensorflow_messages.model_status(models.versions(name, version)))
    raise invalid(f"Malformed request: {method} {path}")


def _model_spec(name: str, version: str | None, label: str | None) -> tuple:
    """Returns name, version and label of a path's parts, decoded."""
    if version is not None:
        digits = version.lstrip("0")  # Python reads no more than 4300 of them
        if len(digits) > len(str(MAX_VERSION)) or int(digits or "0") > MAX_VERSION:
            raise invalid(f"Failed to convert version: {version} to numeric.")
    return (
        urllib.parse.unquote(name),
        None if version is None else int(digits or "0"),
        None if label is None else urllib.parse.unquote(label),
    )


def _predict(spec: tuple, request: Request, models: Repository, call: Call) -> Answer:
    call.method = "predict"
    signature_name, inputs, is_row = BYTES_SIGNATURE, http_pictures.inputs(request), True
    document = None
    if inputs is None:
        with call.stage("parse"), http_pictures.hinting(request):
            document = json_documents.parse(request.body)
        signature_name = tensorflow_requests.signature_name(document)
    with models.use(*spec) as model:
        signature = model.signature(signature_name)
        if document:
            with call.stage("parse"):
                inputs, is_row = tensorflow_requests.inputs(document, signature["inputs"])
        first = next(iter(inputs.values()))
        picture = http_pictures.wanted(request, signature, len(first) if first.ndim else 0)
        outputs = model.predict(inputs, signature_name, call)
    with call.stage("render"):
        if picture:
            return http_pictures.png(picture, outputs[picture])
        return Answer(tensorflow_answers.render(outputs, is_row))


def _classify_or_regress(
    verb: str, spec: tuple, body: bytes, models: Repository, call: Call
) -> Answer:
    call.method = verb
    with call.stage("parse"):
        document = json_documents.parse(body, has_arrays=False)
        name = tensorflow_requests.signature_name(document)
        examples = tensorflow_example_requests.examples(document)
    with models.use(*spec) as model:
        run = getattr(tensorflow_examples, verb)
        result = run(model, name, examples, call)
    with call.stage("render"):
        render = {
            "classify": tensorflow_answers.render_classifications,
            "regress": tensorflow_answers.render_regressions,
        }[verb]
        return Answer(render(result))


def _metadata(model: Model) -> Answer:
    signatures = _to_dict(tensorflow_messages.signature_defs(model))
    # The inner "signature_def" is the field of SignatureDefMap, the outer one the metadata's key.
    metadata = {
        "model_spec": _to_dict(tensorflow_messages.model_spec(model)),
        "metadata": {"signature_def": signatures},
    }
    return Answer(json.dumps(metadata, indent=1).encode())


def _list(models: Repository) -> Answer:
    statuses = {
        name: tensorflow_messages.model_status(models.tried(name)) for name in models.names()
    }
    listed = [{"name": name, **_to_dict(status)} for name, status in statuses.items()]
    return Answer(json.dumps({"models": listed}, indent=1).encode())


def _to_json(message) -> Answer:
    return Answer(json.dumps(_to_dict(message), indent=1).encode())


def _to_dict(message) -> dict:
    """Prints a proto as TF Serving does: its own field names, defaults too, int64 as strings."""
    return json_format.MessageToDict(
        message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )
