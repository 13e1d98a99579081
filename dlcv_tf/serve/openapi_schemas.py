"""JSON Schemas of what the OpenAPI document names: tensors, requests and answers of a signature."""

import base64

import numpy as np

from dlcv_tf.artifact import answers
from dlcv_tf.serve import http_pictures, kserve_tensors, statistics, tensorflow_requests
from dlcv_tf.serve.model import DEFAULT_SIGNATURE

TEXT = {"type": "string"}
# The example is a picture of one grey pixel.
BASE64 = {
    "type": "object",
    "properties": {
        "b64": {
            "type": "string",
            "contentEncoding": "base64",
            "examples": [base64.b64encode(answers.png(np.full((1, 1), 128, np.uint8))).decode()],
        }
    },
    "required": ["b64"],
    "additionalProperties": False,
}


def _object(required: dict, **further) -> dict:
    properties = required | further
    return {"type": "object", "properties": properties, "required": [*required]}


def _list(items: dict, size: int | None = None) -> dict:
    schema = {"type": "array", "items": items}
    return schema if size is None else schema | {"minItems": size, "maxItems": size}


_WHOLE = {"type": "integer", "minimum": 0}
_TIMES = _object({"count": _WHOLE, "ns": _WHOLE})

COMMON = {
    "Error": _object({"error": TEXT}),
    "Status": _object(
        {
            "model_version_status": _list(
                _object(
                    {
                        "version": {"type": "string", "pattern": "^[0-9]+$"},
                        "state": {
                            "enum": ["UNKNOWN", "START", "LOADING", "AVAILABLE", "UNLOADING", "END"]
                        },
                        "status": _object({"error_code": TEXT, "error_message": TEXT}),
                    }
                )
            )
        }
    ),
    "Metadata": _object({"model_spec": {"type": "object"}, "metadata": {"type": "object"}}),
    "Classes": _object({"results": _list(_list(_list({"type": ["string", "number"]}, 2)))}),
    "Numbers": _object({"results": _list({"type": "number"})}),
    "KServeMetadata": _object(
        {
            "name": TEXT,
            "versions": _list(TEXT),
            "platform": TEXT,
            "inputs": _list({"type": "object"}),
            "outputs": _list({"type": "object"}),
        }
    ),
    "Ready": _object({"name": TEXT, "ready": {"type": "boolean"}}),
    "Config": _object({"name": TEXT, "input": _list({}), "output": _list({})}),
    "Statistics": _object(
        {
            "model_stats": _list(
                _object(
                    {
                        "name": TEXT,
                        "version": TEXT,
                        "last_inference": _WHOLE,
                        "inference_count": _WHOLE,
                        "execution_count": _WHOLE,
                        "inference_stats": _object(
                            {name: _TIMES for name in ("success", "fail", *statistics.PARTS)}
                        ),
                        "batch_stats": _list(
                            _object({"batch_size": _WHOLE, "compute_infer": _TIMES})
                        ),
                    }
                )
            )
        }
    ),
    "Page": _object({"version": TEXT, "ready": {"type": "boolean"}, "models": _list({})}),
}


def reference(name: str) -> dict:
    """Returns the reference to one of `COMMON`."""
    return {"$ref": f"#/components/schemas/{name}"}


def fits_json(tensors: dict[str, dict]) -> bool:
    """Whether TF Serving's JSON can carry all of some tensors."""
    return all(spec["dtype"] in tensorflow_requests.TYPES for spec in tensors.values())


def fits_kserve(signature: dict) -> bool:
    """Whether KServe's JSON can carry all inputs of a signature."""
    return all(spec["dtype"] != "float16" for spec in signature["inputs"].values())


def answers_picture(signature: dict) -> bool:
    """Whether a signature has an answer that may be had as a PNG file."""
    outputs = signature["outputs"].items()
    return any(http_pictures.is_picture(name, spec) for name, spec in outputs)


def predict_request(name: str, signature: dict) -> dict:
    """Returns the schema of TF Serving's predict request, by rows or by columns."""
    inputs = signature["inputs"]
    rows = {key: _tensor(key, spec, True, True) for key, spec in inputs.items()}
    columns = {key: _tensor(key, spec, True) for key, spec in inputs.items()}
    row, column = _object(rows) | {"additionalProperties": False}, _object(columns)
    if len(inputs) == 1:
        row = {"anyOf": [*rows.values(), row]}
        column = {"anyOf": [*columns.values(), column]}
    named = _named(name)
    return {
        "title": name,
        "anyOf": [
            named({"instances": _list(row) | {"minItems": 1}}),
            named({"inputs": column}),
        ],
    }


def predict_answer(signature: dict) -> dict:
    """Returns the schema of TF Serving's predict answer, by rows or by columns."""
    outputs = signature["outputs"]
    rows = {key: _tensor(key, spec, False, True) for key, spec in outputs.items()}
    columns = {key: _tensor(key, spec, False) for key, spec in outputs.items()}
    row, column = _object(rows), _object(columns)
    if len(outputs) == 1:
        (row,), (column,) = rows.values(), columns.values()
    return {"anyOf": [_object({"predictions": _list(row)}), _object({"outputs": column})]}


def examples_request(signatures: list[str]) -> dict:
    """Returns the schema of TF Serving's classify and regress requests.

    Args:
        signatures: those of the method.
    """
    scalar = {"anyOf": [BASE64, TEXT, {"type": "number"}, {"type": "boolean"}]}
    example = {
        "type": "object",
        "additionalProperties": {"anyOf": [scalar, _list(scalar)]},
        "examples": [{"image_bytes": {"b64": BASE64["properties"]["b64"]["examples"][0]}}],
    }
    kind = {"enum": signatures}
    required = {"examples": _list(example) | {"minItems": 1}}
    if DEFAULT_SIGNATURE in signatures:
        return _object(required, context=example, signature_name=kind)
    return _object({"signature_name": kind} | required, context=example)


def infer_request(name: str, signature: dict) -> dict:
    """Returns the schema of KServe v2's inference request as JSON alone."""
    tensors = [_kserve_tensor(key, spec, True) for key, spec in signature["inputs"].items()]
    inputs = _list({"anyOf": tensors}, len(tensors))
    parameters = _object({"signature_name": {"const": name}})
    outputs = _list(_object({"name": {"enum": [*signature["outputs"]]}}))
    required = {"inputs": inputs}
    if name == DEFAULT_SIGNATURE:
        found = _object(required, id=TEXT, parameters={"type": "object"}, outputs=outputs)
    else:
        found = _object(required | {"parameters": parameters}, id=TEXT, outputs=outputs)
    return {"title": name, **found}


def infer_answer(signature: dict) -> dict:
    """Returns the schema of KServe v2's inference answer as JSON alone."""
    tensors = [_kserve_tensor(key, spec, False) for key, spec in signature["outputs"].items()]
    outputs = _list({"anyOf": tensors})
    return _object({"model_name": TEXT, "model_version": TEXT, "outputs": outputs}, id=TEXT)


def _named(signature_name: str):
    """Returns what adds the signature's name, which the default one need not bring."""
    name = {"signature_name": {"const": signature_name}}

    def named(required: dict) -> dict:
        if signature_name == DEFAULT_SIGNATURE:
            return _object(required, **name)
        return _object(name | required)

    return named


def _tensor(name: str, spec: dict, is_input: bool, is_row: bool = False) -> dict:
    """Returns the schema of nested lists, of a whole tensor or of a row of it."""
    schema = _scalar(name, spec["dtype"], is_input)
    for size in reversed(spec["shape"][is_row:]):
        schema = _list(schema, size)
    return schema


def _scalar(name: str, dtype: str, is_input: bool) -> dict:
    if dtype == "string":
        if name.endswith("_bytes"):
            return BASE64
        return {"anyOf": [BASE64, TEXT]} if is_input else TEXT
    if dtype == "bool":
        return {"type": "boolean"}
    if dtype.startswith("float"):
        return {"type": "number"}
    limits = np.iinfo(dtype)
    return {"type": "integer", "minimum": int(limits.min), "maximum": int(limits.max)}


def _kserve_tensor(name: str, spec: dict, is_input: bool) -> dict:
    sizes = [
        {"type": "integer", "minimum": 0} if size is None else {"const": size}
        for size in spec["shape"]
    ]
    shape = {"type": "array", "prefixItems": sizes, "items": False, "minItems": len(sizes)}
    values = TEXT if spec["dtype"] == "string" else _scalar(name, spec["dtype"], is_input)
    datatype = {"const": kserve_tensors.DATATYPES[spec["dtype"]]}
    parts = {"name": {"const": name}, "shape": shape, "datatype": datatype}
    data = {"type": "array"} if is_input else _list(values)  # a request's may be nested
    return _object(parts | {"data": data}, parameters={"type": "object"})
