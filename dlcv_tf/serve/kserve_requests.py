"""Bodies of KServe v2 inference requests to arrays: JSON, and Triton's binary tensor data.

The binary bytes of the inputs follow the JSON, in their order, without a copy of them being made.
"""

import binascii
import json
import math
import time

import numpy as np

from dlcv_tf.serve import json_documents, kserve_tensors
from dlcv_tf.serve.call import Call
from dlcv_tf.serve.errors import invalid
from dlcv_tf.serve.http_messages import Request
from dlcv_tf.serve.json_documents import quote

HEADER_LENGTH = "inference-header-content-length"


def parse(request: Request) -> tuple[dict, dict[str, np.ndarray]]:
    """Returns the JSON of a request, and its inputs as arrays.

    Args:
        request: with `Inference-Header-Content-Length` where binary data follow the JSON.

    Raises:
        ServingError: INVALID_ARGUMENT for whatever is not as the protocol has it.
    """
    length = request.headers.get(HEADER_LENGTH)
    if length is None:
        header, binary = request.body, memoryview(b"")
    elif not (length.isdecimal() and length.isascii() and len(length) < 16):
        raise invalid(f"got Inference-Header-Content-Length {length[:64]!r}, expected a number")
    elif int(length) > len(request.body):
        raise invalid(
            f"got Inference-Header-Content-Length {length} of a body of {len(request.body)} bytes, "
            "expected at most that"
        )
    else:
        header, binary = request.body[: int(length)], memoryview(request.body)[int(length) :]
    document = json_documents.parse(header)
    inputs, used = _inputs(document.values, binary)
    if used is None:  # some value needs to be looked at as it stands
        document = document.exact()
        inputs, used = _inputs(document.values, binary)
    if used != len(binary):
        raise invalid(f"unexpected additional input data: {len(binary) - (used or 0)} bytes")
    return document.values, inputs


def set_deadline(parameters: dict, call: Call) -> None:
    """Shortens the deadline by Triton's parameter `timeout`, in microseconds.

    Raises:
        ServingError: INVALID_ARGUMENT for what is no number of them.
    """
    timeout = parameters.get("timeout", 0)
    if isinstance(timeout, bool) or not isinstance(timeout, int) or not 0 <= timeout < 2**63:
        raise invalid(f"got parameter timeout {quote(timeout)}, expected microseconds, from 0 up")
    if timeout:
        deadline = time.monotonic() + timeout / 1e6
        call.deadline = deadline if call.deadline is None else min(call.deadline, deadline)


def parameters_of(values: dict, what: str) -> dict:
    """Returns the `parameters` of a request, an input or an output, perhaps none.

    Raises:
        ServingError: INVALID_ARGUMENT for what is no object.
    """
    parameters = values.get("parameters", {})
    if not isinstance(parameters, dict):
        raise invalid(f"got parameters {quote(parameters)} of {what}, expected an object")
    return parameters


def _inputs(values: dict, binary: memoryview) -> tuple[dict[str, np.ndarray], int | None]:
    """Returns the arrays, and the binary bytes they took; None where lists are needed."""
    listed = values.get("inputs")
    if not isinstance(listed, list) or not listed:
        raise invalid("Unable to find 'inputs', a list of at least one, in the request")
    arrays: dict[str, np.ndarray] = {}
    used = 0
    for tensor in listed:
        name = tensor.get("name") if isinstance(tensor, dict) else None
        if not isinstance(name, str):
            raise invalid("got an input without a name, expected name, shape, datatype and data")
        if name in arrays:
            raise invalid(f"input '{name}' already exists in request")
        shape = _shape(name, tensor.get("shape"))
        datatype = tensor.get("datatype", "")
        parameters = parameters_of(tensor, f"input '{name}'")
        if "shared_memory_region" in parameters:
            raise invalid(f"got input '{name}' in shared memory, expected it in the request")
        size = parameters.get("binary_data_size")
        if size is not None:
            if isinstance(size, bool) or not isinstance(size, int) or size < 0:
                raise invalid(f"got binary_data_size {quote(size)} of '{name}', expected a number")
            if "data" in tensor:
                raise invalid(f"got data and binary_data_size of input '{name}', expected one")
            if used + size > len(binary):
                raise invalid(f"unexpected size for input '{name}': only {len(binary) - used} left")
            data = binary[used : used + size]
            arrays[name] = kserve_tensors.from_bytes(data, datatype, shape, name)
            used += size
            continue
        if "data" not in tensor:
            raise invalid(f"Unable to parse 'data' of input '{name}': there is none")
        is_base64 = parameters.get("content_type") == "base64"
        array = _from_json(tensor["data"], datatype, shape, name, is_base64)
        if array is None:
            return {}, None
        arrays[name] = array
    return arrays, used


def _shape(name: str, shape) -> tuple[int, ...]:
    if isinstance(shape, np.ndarray):
        shape = shape.tolist()
    if not isinstance(shape, list) or not all(type(size) is int for size in shape):
        raise invalid(f"got shape {quote(shape)} of input '{name}', expected sizes from 0 up")
    kserve_tensors.check_shape(shape, name)
    return tuple(shape)


def _from_json(data, datatype: str, shape: tuple, name: str, is_base64: bool) -> np.ndarray | None:
    """Returns the array of `data`, flat or nested; None where the exact values are needed."""
    dtype = kserve_tensors.numpy_type(datatype, name)
    if dtype == "float16":
        raise invalid(f"got FP16 as JSON for input '{name}', expected it as binary data")
    is_array = isinstance(data, np.ndarray)
    flat = data.ravel() if is_array else _flat(data, name)
    if len(flat) != math.prod(shape):
        raise invalid(
            f"got {len(flat)} values of input '{name}', expected {math.prod(shape)} for its shape"
        )
    if is_array:
        limit = 2**53 if dtype.startswith("float") else 2**63
        if flat.dtype.kind == "f" and ("float" not in dtype or not np.abs(flat).max() < limit):
            return None
        if dtype in ("bool", "string"):
            return None
    values = flat if is_array else _checked(flat, dtype, name, is_base64)
    if "int" in dtype and len(flat):
        limits = np.iinfo(dtype)
        if not limits.min <= min(values) <= max(values) <= limits.max:
            raise invalid(f"got values of input '{name}' that do not fit {datatype}")
    array = np.empty(len(flat), dtype=object if dtype == "string" else dtype)
    with np.errstate(over="ignore"):  # a double beyond float32 is infinite, as in Triton
        array[:] = values
    return array.reshape(shape)


def _flat(data, name: str) -> list:
    """Returns the values of nested lists in row-major order."""
    if not isinstance(data, list):
        raise invalid(f"got data {quote(data)} of input '{name}', expected a list")
    level = data
    for _ in range(kserve_tensors.MAX_RANK):
        if not any(isinstance(value, list | np.ndarray) for value in level):
            return level
        level = [v for value in level for v in (value if isinstance(value, list) else [value])]
    raise invalid(f"got data of input '{name}' nested too deeply")


def _checked(values: list, dtype: str, name: str, is_base64: bool) -> list:
    """Returns the values if all are of a type, strings as bytes."""
    if dtype == "string":
        if all(isinstance(value, str) for value in values):
            return [_octets(value, name, is_base64) for value in values]
    elif dtype == "bool":
        if all(isinstance(value, bool) or value in (0, 1) for value in values):
            return values
    else:
        kinds = int | float if dtype.startswith("float") else int
        if all(isinstance(value, kinds) and not isinstance(value, bool) for value in values):
            try:
                return [float(v) for v in values] if dtype.startswith("float") else values
            except OverflowError:
                pass
    raise invalid(f"got data of input '{name}' that are not all of type {dtype}")


def _octets(text: str, name: str, is_base64: bool) -> bytes:
    if not is_base64:
        return text.encode(errors="replace")
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        raise invalid(f"got data of input '{name}' that are no base64") from None


def json_of(body: bytes) -> dict:
    """Returns the JSON object of a repository request, an empty one for an empty body.

    Raises:
        ServingError: INVALID_ARGUMENT for any other JSON.
    """
    try:
        values = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        values = None
    if not isinstance(values, dict):
        raise invalid("got a body that is no JSON object, expected one, or none")
    return values
