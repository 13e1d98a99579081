"""Arrays to bodies of KServe v2 inference answers: JSON, and Triton's binary tensor data."""

import binascii

import numpy as np
import orjson

from dlcv_tf.serve import kserve_requests, kserve_tensors
from dlcv_tf.serve.errors import invalid
from dlcv_tf.serve.http_messages import Answer
from dlcv_tf.serve.json_documents import quote
from dlcv_tf.serve.model import Model


def wanted(values: dict, known: dict, model: Model) -> dict[str, bool]:
    """Returns the outputs that a request asks for, and whether as binary data; else all.

    Args:
        values: the JSON of the request.
        known: the outputs of the signature.
        model: who is asked.

    Raises:
        ServingError: INVALID_ARGUMENT for an unknown output.
    """
    parameters = kserve_requests.parameters_of(values, "the request")
    default = parameters.get("binary_data_output", False)
    listed = values.get("outputs", [])
    if not isinstance(listed, list):
        raise invalid(f"got outputs {quote(listed)}, expected a list")
    found = {}
    for output in listed:
        name = output.get("name") if isinstance(output, dict) else None
        if not isinstance(name, str) or name not in known:
            raise invalid(f"unexpected inference output '{name}' for model '{model.name}'")
        own = kserve_requests.parameters_of(output, f"output '{name}'")
        if own.get("classification"):
            raise invalid("got parameter classification, expected none: ask for classes and scores")
        found[name] = bool(own.get("binary_data", default))
    return found or dict.fromkeys(known, bool(default))


def render(model: Model, id, outputs: dict[str, np.ndarray], is_binary: dict[str, bool]) -> Answer:
    """Returns the answer to an inference request.

    Args:
        model: who answered.
        id: of the request, or None.
        outputs: output name to array.
        is_binary: output name to whether its bytes follow the JSON.
    """
    header = {"model_name": model.name, "model_version": str(model.version)}
    if isinstance(id, str):
        header["id"] = id.encode(errors="replace").decode()
    header["outputs"], raw = [], []
    for name, binary in is_binary.items():
        array = outputs[name]
        datatype = kserve_tensors.datatype_of(array)
        entry = {"name": name, "datatype": datatype, "shape": list(array.shape)}
        if binary:
            raw.append(kserve_tensors.to_bytes(array))
            entry["parameters"] = {"binary_data_size": len(raw[-1])}
        elif datatype == "BYTES":
            entry |= _strings(array)
        else:
            entry["data"] = np.ascontiguousarray(array).ravel()
        header["outputs"].append(entry)
    text = orjson.dumps(header, option=orjson.OPT_SERIALIZE_NUMPY)
    if not raw:
        return Answer(text)
    lengths = {kserve_requests.HEADER_LENGTH: str(len(text))}
    body = b"".join([text, *raw])
    return Answer(body, content_type="application/octet-stream", headers=lengths)


def _strings(array: np.ndarray) -> dict:
    """Returns the data of a BYTES tensor: text, or base64 where that is no text (as MLServer)."""
    values = [v.encode() if isinstance(v, str) else bytes(v) for v in array.ravel()]
    try:
        return {"data": [value.decode() for value in values]}
    except UnicodeDecodeError:
        data = [binascii.b2a_base64(value, newline=False).decode() for value in values]
        return {"parameters": {"content_type": "base64"}, "data": data}
