"""Bodies that a client sends and hears, of both protocols: arrays to bytes and JSON, and back."""

import base64
import json
from collections.abc import Mapping

import numpy as np

from dlcv_tf.serve import kserve_tensors

HEADER_LENGTH = "inference-header-content-length"


def kserve(
    inputs: Mapping[str, np.ndarray],
    signature: str | None,
    outputs: list[str] | None,
    seconds: float,
) -> tuple[bytes, dict[str, str]]:
    """Returns body and headers of a KServe request, whose tensors are bytes both ways.

    Args:
        inputs: input name to array.
        signature: its name; None for the one that takes such inputs.
        outputs: names of the wanted ones, or None for all.
        seconds: that the server has.
    """
    parameters: dict = {"binary_data_output": True, "timeout": max(1, int(seconds * 1e6))}
    if signature is not None:
        parameters["signature_name"] = signature
    header: dict = {"parameters": parameters, "inputs": []}
    raw = []
    for name, array in inputs.items():
        raw.append(kserve_tensors.to_bytes(array))
        header["inputs"].append(
            {
                "name": name,
                "shape": list(array.shape),
                "datatype": kserve_tensors.datatype_of(array),
                "parameters": {"binary_data_size": len(raw[-1])},
            }
        )
    if outputs is not None:
        header["outputs"] = [{"name": name} for name in outputs]
    text = json.dumps(header).encode()
    headers = {"content-type": "application/octet-stream", HEADER_LENGTH: str(len(text))}
    return b"".join([text, *raw]), headers


def kserve_outputs(body: bytes, headers: Mapping) -> tuple[dict[str, np.ndarray], int | None]:
    """Returns the arrays of a KServe answer, and the version that gave it, if it says so."""
    start = int(headers.get(HEADER_LENGTH, len(body)))
    header, found = json.loads(body[:start]), {}
    for output in header["outputs"]:
        name, datatype, shape = output["name"], output["datatype"], tuple(output["shape"])
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:  # a server without the extension
            dtype = kserve_tensors.numpy_type(datatype, name)
            array = _array(output["data"], dtype).reshape(shape)
        else:
            data = memoryview(body)[start : start + size]
            # A copy: the caller may write to it, and keeps no more than it asked for.
            array = kserve_tensors.from_bytes(data, datatype, shape, name).copy()
            start += size
        if datatype == "BYTES" and not name.endswith("_bytes"):
            array = _each(array, lambda v: v.decode(errors="replace") if type(v) is bytes else v)
        found[name] = array
    version = header.get("model_version")
    return found, int(version) if version else None


def tensorflow(inputs: Mapping[str, np.ndarray], signature: str) -> tuple[bytes, dict[str, str]]:
    """Returns body and headers of a request of TF Serving's JSON, by columns."""
    columns = {name: _listed(array) for name, array in inputs.items()}
    body = json.dumps({"signature_name": signature, "inputs": columns}).encode()
    return body, {"content-type": "application/json"}


def tensorflow_outputs(body: bytes, specs: Mapping[str, dict]) -> dict[str, np.ndarray]:
    """Returns the arrays of an answer in TF Serving's JSON.

    Args:
        body: of the answer.
        specs: of the signature's outputs, as `metadata` has them: JSON tells no types, and of a
            single output no name.
    """
    found = json.loads(body)["outputs"]
    if len(specs) == 1:
        found = dict.fromkeys(specs, found)
    return {name: _array(values, specs[name]["dtype"]) for name, values in found.items()}


def status(values: dict) -> list[dict]:
    """Returns `version`, `state` and `error` of every version in TF Serving's status."""
    return [
        {
            "version": int(entry["version"]),
            "state": entry["state"],
            "error": entry.get("status", {}).get("error_message", ""),
        }
        for entry in values["model_version_status"]
    ]


def metadata(values: dict) -> dict:
    """Returns `version` and `signatures` of TF Serving's metadata, with types and shapes."""
    signatures = values["metadata"]["signature_def"]["signature_def"]
    return {
        "version": int(values["model_spec"]["version"]),
        "signatures": {
            name: {
                kind: {key: _tensor(spec) for key, spec in signature[kind].items()}
                for kind in ("inputs", "outputs")
            }
            for name, signature in signatures.items()
            if signature.get("inputs")  # TensorFlow's own have none
        },
    }


def _each(array: np.ndarray, change) -> np.ndarray:
    changed = np.empty(array.size, dtype=object)
    changed[:] = [change(value) for value in array.ravel()]
    return changed.reshape(array.shape)


def _listed(array: np.ndarray) -> list:
    """Returns an array as TF Serving's JSON has it: bytes as base64."""
    if array.dtype.kind != "O":
        return array.tolist()
    return _each(
        array,
        lambda v: {"b64": base64.b64encode(v).decode()} if isinstance(v, bytes) else v,
    ).tolist()


def _array(values: list, dtype: str) -> np.ndarray:
    """Returns JSON values as an array, files out of their base64."""
    if dtype != "string":
        return np.array(values, dtype)
    return _each(
        np.array(values, dtype=object),
        lambda v: base64.b64decode(v["b64"], validate=True) if isinstance(v, dict) else v,
    )


def _tensor(spec: dict) -> dict:
    """Returns a TensorInfo as a manifest has it: NumPy's type, None for a size that may vary."""
    dtype = spec["dtype"].removeprefix("DT_").lower()
    dtype = {"float": "float32", "double": "float64", "half": "float16"}.get(dtype, dtype)
    shape = spec.get("tensor_shape", {})
    if shape.get("unknown_rank"):
        return {"dtype": dtype, "shape": None}
    sizes = [int(size["size"]) for size in shape.get("dim", [])]
    return {"dtype": dtype, "shape": [None if size < 0 else size for size in sizes]}
