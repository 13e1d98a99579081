"""`/openapi.json`: sound as OpenAPI, and true: all that it names is asked of the server.

The requests are made from the document's schemas alone, and the answers must fit them.
"""

import base64
import json
import re
import urllib.parse

import httpx
import pytest

from dlcv_tf.serve import server
from tests.artifact import tiny
from tests.serve import artifacts

VERBS = {"get", "post", "put", "delete", "patch", "head", "options", "trace"}
PARAMETERS = {"version": "1", "label": "stable"}
TYPES = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": int | float,
    "boolean": bool,
}
# What the walk cannot have: there are no labels without a models.config.
EXPECTED = {  # the damaged model keeps the server from being ready
    "/labels/{label}:": 400,
    "/labels/{label}/metadata": 400,
    "/v2/health/ready": 503,
}


@pytest.fixture(scope="module")
def client(tmp_path_factory):
    models = tmp_path_factory.mktemp("models")
    tiny.artifact(models, "tiny", 1)
    tiny.artifact(models, "ti ny{é}", 1)
    artifacts.negative(models)
    artifacts.floats(models, "floats", "float32")
    artifacts.floats(models, "halves", "float16")
    damaged = tiny.artifact(models, "damaged", 1) / "model.onnx"
    damaged.write_bytes(b"\0" + damaged.read_bytes()[1:])
    with server.running(models, executor="onnx") as url:
        with httpx.Client(base_url=url, timeout=30) as http:
            yield http


@pytest.fixture(scope="module")
def document(client):
    answer = client.get("/openapi.json")
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def operations(document):
    for path, item in document["paths"].items():
        for verb, operation in item.items():
            yield path, verb, operation


def resolved(document, schema):
    """Follows a reference, which must lead somewhere."""
    while "$ref" in schema:
        assert schema.keys() == {"$ref"}
        target = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            target = target[step]
        schema = target
    return schema


def problem(document, value, schema, where="$"):
    """Returns why a JSON value does not fit a schema of the keywords used here; None if it does."""
    schema = resolved(document, schema)
    known = {"type", "properties", "required", "additionalProperties", "items", "prefixItems"}
    known |= {"minItems", "maxItems", "anyOf", "const", "enum", "minimum", "maximum", "pattern"}
    known |= {"contentEncoding", "examples", "title"}
    assert schema.keys() <= known, schema.keys() - known
    if "anyOf" in schema:
        found = [problem(document, value, one, where) for one in schema["anyOf"]]
        if None not in found:
            return found[0]
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    if kinds and not any(isinstance(value, TYPES[kind]) for kind in kinds):
        return f"{where} is no {kinds}"
    if "const" in schema and value != schema["const"]:
        return f"{where} is not {schema['const']}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{where} is none of {schema['enum']}"
    if not schema.get("minimum", -1e400) <= (value if kinds == ["integer"] else 0):
        return f"{where} is too small"
    if "pattern" in schema and not re.search(schema["pattern"], value):
        return f"{where} does not match {schema['pattern']}"
    if isinstance(value, dict):
        for name in schema.get("required", ()):
            if name not in value:
                return f"{where} has no {name}"
        for name, member in value.items():
            if name in schema.get("properties", {}):
                wrong = problem(document, member, schema["properties"][name], f"{where}.{name}")
                if wrong:
                    return wrong
            elif schema.get("additionalProperties") is False:
                return f"{where} has {name}"
    if isinstance(value, list):
        least, most = schema.get("minItems", 0), schema.get("maxItems", len(value))
        if not least <= len(value) <= most:
            return f"{where} has {len(value)} elements"
        first = schema.get("prefixItems", [])
        items = [*first, *[schema.get("items", {})] * (len(value) - len(first))]
        for index, (member, item) in enumerate(zip(value, items, strict=True)):
            wrong = problem(document, member, item, f"{where}[{index}]")
            if wrong:
                return wrong
    return None


def made(document, schema):
    """Yields values of a schema: the first example, or the smallest, of each alternative."""
    schema = resolved(document, schema)
    if "examples" in schema:
        yield schema["examples"][0]
    elif "anyOf" in schema:
        for one in schema["anyOf"]:
            yield from made(document, one)
    elif "const" in schema or "enum" in schema:
        yield schema["const"] if "const" in schema else schema["enum"][0]
    elif schema.get("type") == "object":
        required = [*schema.get("required", ())]
        columns = [[*made(document, schema["properties"][name])] for name in required]
        for index in range(max(map(len, columns), default=1)):
            chosen = [column[min(index, len(column) - 1)] for column in columns]
            yield dict(zip(required, chosen, strict=True))
    elif schema.get("type") == "array" and "prefixItems" in schema:
        yield [next(made(document, item)) for item in schema["prefixItems"]]
    elif schema.get("type") == "array":
        for item in made(document, schema.get("items", {"const": 1})):
            yield [item] * schema.get("minItems", 1)
    else:
        yield {"integer": 1, "number": 0.5, "boolean": True, "string": "text"}[schema["type"]]


def as_tensor(body):
    """Gives the tensors of a KServe request, whose shapes the schema leaves open, ones that fit."""
    for tensor in body["inputs"]:
        is_bytes = tensor["datatype"] == "BYTES"
        tensor["shape"] = [1] if is_bytes else [1, 1, 1, tensor["shape"][-1]]
        count = tensor["shape"][-1]
        tensor["data"] = [1] * count
        if is_bytes:
            picture = tiny.encoded(tiny.ramp(1, 1))
            tensor["parameters"] = {"content_type": "base64"}
            tensor["data"] = [base64.b64encode(picture).decode()]
    return body


# Sound -----------------------------------------------------------------------------------------


def test_it_is_sound(document):
    assert document["openapi"] == "3.1.0"
    assert {"title", "version"} <= document["info"].keys()
    keys = [operation["operationId"] for _, _, operation in operations(document)]
    assert len(keys) == len({*keys})
    for name in (name for kind in document["components"].values() for name in kind):
        assert re.fullmatch(r"[a-zA-Z0-9._-]+", name)
    for path, verb, operation in operations(document):
        assert verb in VERBS and path.startswith("/")
        in_path = {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}
        assert in_path == {*re.findall(r"\{(\w+)\}", path)}
        assert all(p["required"] for p in operation.get("parameters", []) if p["in"] == "path")
        for status, response in operation["responses"].items():
            assert re.fullmatch("[1-5][0-9][0-9]", status)
            assert resolved(document, response)["description"]
    for schema in every_schema(document):
        resolved(document, schema)


def every_schema(value):
    if isinstance(value, dict):
        if "$ref" in value:
            yield value
        for member in value.values():
            yield from every_schema(member)
    elif isinstance(value, list):
        for member in value:
            yield from every_schema(member)


def test_it_is_valid_by_the_specification_s_own_schema(document):
    reason = "openapi-spec-validator is not installed"
    pytest.importorskip("openapi_spec_validator", reason=reason).validate(document)


def test_the_paths_of_every_model_are_there(document):
    for name in ("tiny", "ti%20ny%7B%C3%A9%7D", "negative", "floats", "halves"):
        for path in (":predict", "/metadata", "/versions/{version}:predict", ""):
            is_there = f"/v1/models/{name}{path}" in document["paths"]
            assert is_there == (name != "halves" or "predict" not in path)  # JSON has no float16
        for path in ("/infer", "/versions/{version}/infer", "/ready", "/config", ""):
            assert f"/v2/models/{name}{path}" in document["paths"]
    assert "/v1/models/tiny:classify" in document["paths"]
    assert "/v1/models/negative:classify" not in document["paths"]
    assert [path for path in document["paths"] if "damaged" in path] == ["/v1/models/damaged"]


# True ------------------------------------------------------------------------------------------


def test_every_operation_answers_as_it_says(client, document):
    called = 0
    last = ("/unload", "/load")  # in this order, after all others
    ordered = sorted(
        operations(document), key=lambda one: [one[0].endswith(end) for end in reversed(last)]
    )
    for path, verb, operation in ordered:
        url = path.format(**PARAMETERS)
        status = next((code for part, code in EXPECTED.items() if part in path), 200)
        content = operation.get("requestBody", {}).get("content", {})
        bodies = [None]
        if "application/json" in content:
            bodies = made(document, content["application/json"]["schema"])
        for body in bodies:
            if body is None and path.endswith("/infer"):
                continue  # of float16, which JSON has not
            is_infer = path.endswith("/infer")
            schema = content.get("application/json", {}).get("schema", {})
            if is_infer:
                assert problem(document, as_tensor(body), schema) is None
                if body.get("parameters") == {"signature_name": "classify"}:
                    continue  # it takes serialized examples, which no schema describes
            elif body is not None and body.get("signature_name") == "classify":
                assert problem(document, body, schema) is None
                if not path.endswith(":classify"):
                    continue
            elif body is not None:
                assert problem(document, body, schema) is None
            answer = client.request(verb, url, json=body)
            check(document, operation, answer, status, (url, body))
            called += 1
        for kind in {"image/png", "image/jpeg"} & content.keys():
            data = tiny.encoded(tiny.ramp(3, 4), kind.partition("/")[2].upper())
            answer = client.post(url, content=data, headers={"content-type": kind})
            check(document, operation, answer, status, (url, kind))
            if "image/png" in operation["responses"]["200"]["content"]:
                headers = {"content-type": kind, "accept": "image/png"}
                answer = client.post(url, content=data, headers=headers)
                check(document, operation, answer, status, (url, kind))
            called += 1
    assert called > 100


def check(document, operation, answer, status, what):
    assert answer.status_code == status, (what, answer.text)
    response = resolved(document, operation["responses"][str(status)])
    if "content" not in response:
        assert answer.content == b""
        return
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in response["content"], what
    if kind == "application/json":
        schema = response["content"][kind]["schema"]
        assert problem(document, answer.json(), schema) is None, (what, answer.text[:500])


def test_what_the_document_does_not_allow_is_refused(client, document):
    """The schemas are no wider than the server: a value that one rules out is a 400."""
    operation = document["paths"]["/v1/models/tiny:predict"]["post"]
    schema = operation["requestBody"]["content"]["application/json"]["schema"]
    for body in (
        {},
        {"instances": []},
        {"instances": [[[[1, 2]]]]},
        {"instances": [[[[1, 2, 2.5]]]]},
        {"instances": [[[[1, 2, -1]]]]},
        {"signature_name": "nope", "instances": [[[[1, 2, 3]]]]},
        {"inputs": {"pixels": [[[[1, 2, 3]]]]}},
        {"signature_name": "image_bytes", "instances": [1]},
    ):
        assert problem(document, body, schema) is not None, body
        assert client.post("/v1/models/tiny:predict", json=body).status_code == 400


def test_other_requests_of_the_path(client):
    assert client.post("/openapi.json").status_code == 404
    assert client.get("/openapi.json5").status_code == 404


def test_the_token(tmp_path):
    tiny.artifact(tmp_path)
    with server.running(tmp_path, token="s3cret", executor="onnx") as url:
        assert httpx.get(f"{url}/openapi.json").status_code == 401
        headers = {"authorization": "Bearer s3cret"}
        document = httpx.get(f"{url}/openapi.json", headers=headers).json()
        assert document["components"]["securitySchemes"]["bearer"]["scheme"] == "bearer"
        assert document["security"] == [{"bearer": []}]
        for path, verb, operation in operations(document):
            answer = httpx.request(verb, url + path.format(**PARAMETERS))
            is_open = operation.get("security") == []
            assert ("401" in operation["responses"]) == (not is_open)
            assert answer.status_code == (200 if is_open else 401), path


def test_names_are_quoted_as_the_server_reads_them(document):
    for path in document["paths"]:
        assert urllib.parse.unquote(path).isprintable() and path.isascii()
        json.dumps(path)
