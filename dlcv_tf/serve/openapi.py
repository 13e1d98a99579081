"""The OpenAPI document at `/openapi.json`: every path that is served, and each model's tensors.

Reference: https://spec.openapis.org/oas/v3.1.1. It is made anew for each request, since models come
and go; it describes the newest version of each.
"""

import urllib.parse

import orjson

from dlcv_tf import __version__
from dlcv_tf.serve import kserve_rest, page
from dlcv_tf.serve import openapi_schemas as schemas
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.errors import Code, ServingError
from dlcv_tf.serve.http_messages import Answer, Request
from dlcv_tf.serve.model import BYTES_SIGNATURE, CLASSIFY_METHOD, Model
from dlcv_tf.serve.repository import Repository
from dlcv_tf.serve.tensorflow_examples import REGRESS

PATH = "/openapi.json"
STATUSES = {
    "400": "the request is wrong; the text says how",
    "401": "no token, or a wrong one",
    "404": "there is no such model, version or path",
    "406": "no answer is of a media type that the client accepts",
    "413": "the body is too large",
    "501": "the executor of this model cannot run that",
    "503": "not now: the queue is full, or the model is being loaded; see Retry-After",
    "504": "the deadline passed",
}
PICTURE_TYPES = ("image/jpeg", "image/png")
# What follows the path of a model of KServe v2, and the schema of what it answers.
DESCRIPTIONS = {
    "": "KServeMetadata",
    "/ready": "Ready",
    "/config": "Config",
    "/stats": "Statistics",
}
BINARY = "application/octet-stream"
LENGTH = {"schema": {"type": "integer", "minimum": 0}, "description": "bytes of JSON before them"}


def answer(request: Request, models: Repository, call: Call) -> Answer:
    """Answers GET `/openapi.json`.

    Args:
        request: the HTTP request.
        models: what is served.
        call: gets what is measured.

    Raises:
        ServingError: NOT_FOUND for any other request.
    """
    call.api = call.method = "openapi"
    if request.path != PATH or request.method not in ("GET", "HEAD"):
        raise ServingError(Code.NOT_FOUND, f"Not found: {request.method} {request.path}")
    return Answer(orjson.dumps(document(models, needs_token=models.config.token is not None)))


def document(models: Repository, needs_token: bool) -> dict:
    """Returns the OpenAPI document of what is served now.

    Args:
        models: the models.
        needs_token: whether clients must send a bearer token.
    """
    paths = _paths_of_the_server()
    for name in models.names():
        try:
            with models.use(name) as model:
                paths |= _paths_of_a_model(model)
        except ServingError:  # none of its versions serves: it has a status alone
            paths[f"/v1/models/{_quoted(name)}"] = _status(name)
    components = {
        "schemas": schemas.COMMON,
        "responses": {
            status: {
                "description": description,
                "content": {"application/json": {"schema": schemas.reference("Error")}},
            }
            for status, description in STATUSES.items()
        },
    }
    result = {
        "openapi": "3.1.0",
        "info": {
            "title": "dlcv serve",
            "version": __version__,
            "description": "TensorFlow Serving's REST API and KServe v2, of the same models.",
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": components,
    }
    if needs_token:
        components["securitySchemes"] = {"bearer": {"type": "http", "scheme": "bearer"}}
        result["security"] = [{"bearer": []}]
        for path in paths.values():
            for operation in path.values():
                if operation.get("security") != []:
                    operation["responses"]["401"] = _error("401")
    return result


def _paths_of_the_server() -> dict:
    text = {"200": {"description": "Prometheus's text format", "content": {"text/plain": {}}}}
    flag = {"type": "object", "additionalProperties": {"type": "boolean"}}
    status = {"type": "object", "properties": {"status": {"const": "ok"}}, "required": ["status"]}
    ready = _json(flag)
    ready["503"] = {"description": "not yet", "content": {"application/json": {"schema": flag}}}
    models = {"type": "object", "properties": {"models": {"type": "array"}}, "required": ["models"]}
    server = {"type": "object", "required": ["name", "version", "extensions"]}
    index = {"type": "array", "items": {"type": "object", "required": ["name", "version", "state"]}}
    ask = {"type": "object", "properties": {"ready": {"type": "boolean"}}}
    return {
        "/healthz": {"get": _open("alive", "Whether the server runs", _json(status))},
        "/v2/health/live": {"get": _open("live", "Whether the server runs", _json(flag))},
        "/v2/health/ready": {"get": _open("ready", "Whether all models serve", ready)},
        "/metrics": {"get": _operation("metrics", "Metrics", text)},
        "/monitoring/prometheus/metrics": {"get": _operation("tfs_metrics", "Metrics", text)},
        PATH: {"get": _operation("openapi", "This document", _json({"type": "object"}))},
        "/v1/models": {"get": _operation("models", "The status of all models", _json(models))},
        "/v2": {"get": _operation("server", "The server's metadata", _json(server))},
        kserve_rest.STATISTICS_PATH: {
            "get": _operation(
                "statistics",
                "What all versions have answered",
                _json(schemas.reference("Statistics")),
            )
        },
        page.MODELS_PATH: {
            "get": _operation(
                "page", "All versions, for the page", _json(schemas.reference("Page"))
            )
        },
        "/v2/repository/index": {
            "post": _operation("index", "All versions of all models", _json(index))
            | {"requestBody": {"content": {"application/json": {"schema": ask}}}}
        },
    }


def _paths_of_a_model(model: Model) -> dict:
    """Returns the paths of a model in both protocols, with and without a version."""
    name, quoted = model.name, _quoted(model.name)
    paths = {}
    version = _parameter("version", {"type": "string", "pattern": "^[0-9]+$"})
    label = _parameter("label", {"type": "string"})
    ways = [("", []), ("/versions/{version}", [version]), ("/labels/{label}", [label])]
    for way, parameters in ways:
        start, key = f"/v1/models/{quoted}{way}", f"{name}{way}"
        found = {
            start: _status(key),
            f"{start}/metadata": {
                "get": _operation(
                    f"{key}/metadata",
                    f"The signatures of {name}",
                    _json(schemas.reference("Metadata")) | _errors("400", "404"),
                )
            },
        }
        if any(schemas.fits_json(s["inputs"]) for s in model.signatures.values()):
            found[f"{start}:predict"] = {"post": _predict(model, key)}
        for verb, method in (("classify", CLASSIFY_METHOD), ("regress", REGRESS)):
            names = [n for n, s in model.signatures.items() if s.get("method") == method]
            if names:
                found[f"{start}:{verb}"] = {"post": _examples(model, key, verb, names)}
        paths |= _with_parameters(found, parameters)
    for way, parameters in ways[:2]:
        start, key = f"/v2/models/{quoted}{way}", f"{name}{way}"
        found = {f"{start}/infer": {"post": _infer(model, key)}}
        for suffix, schema in DESCRIPTIONS.items():
            operation = _operation(
                f"v2/{key}{suffix}",
                f"{schema} of {name}",
                _json(schemas.reference(schema)) | _errors("404"),
            )
            found[start + suffix] = {"get": operation}
        paths |= _with_parameters(found, parameters)
    for verb in ("load", "unload"):
        operation = _operation(
            f"{name}/{verb}",
            f"{verb.capitalize()} {name}",
            {"200": {"description": "done"}} | _errors("400", "404"),
        )
        paths[f"/v2/repository/models/{quoted}/{verb}"] = {"post": operation}
    return paths


def _predict(model: Model, key: str) -> dict:
    kinds = [s for s in model.signatures.items() if schemas.fits_json(s[1]["inputs"])]
    body = {"anyOf": [schemas.predict_request(*kind) for kind in kinds]}
    answers = {"anyOf": [schemas.predict_answer(signature) for _, signature in kinds]}
    responses = _json(answers) | _errors("400", "404", "406", "413", "501", "503", "504")
    operation = _operation(f"{key}:predict", f"Answers of {model.name}", responses, body=body)
    return _with_pictures(model, operation)


def _examples(model: Model, key: str, verb: str, signatures: list[str]) -> dict:
    body = schemas.examples_request(signatures)
    answers = _json(schemas.reference("Classes" if verb == "classify" else "Numbers"))
    responses = answers | _errors("400", "404", "413", "501", "503", "504")
    summary = f"{verb.capitalize()} examples by {model.name}"
    return _operation(f"{key}:{verb}", summary, responses, body=body)


def _infer(model: Model, key: str) -> dict:
    """Returns the operation of KServe v2, whose binary tensors follow the JSON."""
    kinds = model.signatures.items()
    bodies = [schemas.infer_request(*kind) for kind in kinds if schemas.fits_kserve(kind[1])]
    answers = _json({"anyOf": [schemas.infer_answer(signature) for _, signature in kinds]})
    answers["200"]["content"][BINARY] = {}
    answers["200"]["headers"] = {"Inference-Header-Content-Length": LENGTH}
    responses = answers | _errors("400", "404", "406", "413", "501", "503", "504")
    operation = _operation(f"v2/{key}/infer", f"Answers of {model.name}", responses)
    content = {"application/json": {"schema": {"anyOf": bodies}}} if bodies else {}
    operation["requestBody"] = {"required": True, "content": content | {BINARY: {}}}
    length = {"name": "Inference-Header-Content-Length", "in": "header", **LENGTH}
    return _with_pictures(model, operation | {"parameters": [length]})


def _with_pictures(model: Model, operation: dict) -> dict:
    """Adds the bodies that are pictures, where the model takes and answers them."""
    if BYTES_SIGNATURE in model.signatures:
        operation["requestBody"]["content"] |= {kind: {} for kind in PICTURE_TYPES}
    if any(schemas.answers_picture(signature) for signature in model.signatures.values()):
        operation["responses"]["200"]["content"]["image/png"] = {}
    return operation


def _status(key: str) -> dict:
    responses = _json(schemas.reference("Status")) | _errors("400", "404")
    return {"get": _operation(f"{key}/status", f"The status of {key}", responses)}


def _with_parameters(paths: dict, parameters: list[dict]) -> dict:
    for path in paths.values():
        for operation in path.values():
            operation["parameters"] = [*operation.get("parameters", []), *parameters]
    return paths


def _parameter(name: str, schema: dict) -> dict:
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _operation(key: str, summary: str, responses: dict, body: dict | None = None) -> dict:
    found = {"operationId": key, "summary": summary, "responses": responses}
    if body is not None:
        content = {"application/json": {"schema": body}}
        found["requestBody"] = {"required": True, "content": content}
    return found


def _open(key: str, summary: str, responses: dict) -> dict:
    """Returns an operation that needs no token."""
    return _operation(key, summary, responses) | {"security": []}


def _json(schema: dict) -> dict:
    return {"200": {"description": "OK", "content": {"application/json": {"schema": schema}}}}


def _errors(*statuses: str) -> dict:
    return {status: _error(status) for status in statuses}


def _error(status: str) -> dict:
    return {"$ref": f"#/components/responses/{status}"}


def _quoted(name: str) -> str:
    return urllib.parse.quote(name, safe="")
