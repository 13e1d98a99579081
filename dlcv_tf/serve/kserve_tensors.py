"""Tensors of the KServe v2 protocol, for HTTP and gRPC alike: datatypes, raw bytes, signatures.

Reference: https://github.com/kserve/open-inference-protocol, and Triton's binary tensor data
extension. The error texts are Triton's.
"""

import math
import struct
from collections.abc import Sequence

import numpy as np

from dlcv_tf.serve.errors import invalid
from dlcv_tf.serve.model import DEFAULT_SIGNATURE, Model

# Of the protocol, which this server answers too; Triton defines them.
EXTENSIONS = ("model_repository", "binary_tensor_data", "model_configuration", "statistics")
MAX_RANK = 32
MAX_VALUES = 2**40

# NumPy's names, as in the manifest, to KServe's.
DATATYPES = {
    "bool": "BOOL",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "float16": "FP16",
    "float32": "FP32",
    "float64": "FP64",
    "string": "BYTES",
}
NUMPY_TYPES = {datatype: name for name, datatype in DATATYPES.items()}


def datatype_of(array: np.ndarray) -> str:
    """Returns the datatype of an array; objects are strings."""
    return DATATYPES["string" if array.dtype.kind == "O" else array.dtype.name]


def check_shape(shape: Sequence[int], name: str) -> None:
    """Raises unless an array can be of a shape: NumPy has none of (0, 2**40, 2**40) either.

    Args:
        shape: sizes, as they came.
        name: of the input, for the error.

    Raises:
        ServingError: INVALID_ARGUMENT.
    """
    fits = len(shape) <= MAX_RANK and all(size >= 0 for size in shape)
    if not fits or math.prod(size or 1 for size in shape) > MAX_VALUES:
        raise invalid(
            f"got shape {str(tuple(shape))[:256]} of input '{name}', expected sizes from 0 up, on "
            f"at most {MAX_RANK} axes, of together at most {MAX_VALUES} values"
        )


def from_bytes(data, datatype: str, shape: tuple[int, ...], name: str = "input") -> np.ndarray:
    """Returns a tensor that was sent as raw bytes, without a copy where they are aligned.

    Args:
        data: row-major, little-endian values; before each element of BYTES stand the four bytes of
            its length.
        datatype: e.g. `"FP32"`.
        shape: of the tensor.
        name: of the input, for the error.

    Returns:
        The array, perhaps read-only; BYTES as an object array of bytes.

    Raises:
        ServingError: INVALID_ARGUMENT for another number of bytes than the shape needs.
    """
    dtype = numpy_type(datatype, name)
    count = math.prod(shape)
    if dtype == "string":
        return _elements(data, count, name).reshape(shape)
    size = np.dtype(dtype).itemsize
    if len(data) != count * size:
        raise invalid(
            f"unexpected total byte size {len(data)} for input '{name}', expecting {count * size}"
        )
    if dtype == "bool":
        return (np.frombuffer(data, np.uint8) != 0).reshape(shape)
    array = np.frombuffer(data, np.dtype(dtype).newbyteorder("<")).reshape(shape)
    return array if array.flags.aligned else array.copy()


def to_bytes(array: np.ndarray) -> bytes:
    """Returns a tensor as raw bytes, the other way round than `from_bytes`."""
    if array.dtype.kind != "O":
        return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
    pieces = []
    for value in array.ravel():
        octets = value.encode() if isinstance(value, str) else bytes(value)
        pieces += [struct.pack("<I", len(octets)), octets]
    return b"".join(pieces)


def numpy_type(datatype: str, name: str = "input") -> str:
    """Returns NumPy's name of a datatype, "string" for BYTES.

    Raises:
        ServingError: INVALID_ARGUMENT for a datatype there is not.
    """
    if not isinstance(datatype, str) or datatype not in NUMPY_TYPES:
        raise invalid(
            f"got datatype {datatype!r} of '{name}', expected one of {', '.join(NUMPY_TYPES)}"
        )
    return NUMPY_TYPES[datatype]


def signature_name(model: Model, parameters: dict, input_names: list[str]) -> str:
    """Returns the signature that a request means; the protocol itself knows only one.

    Args:
        model: who is asked.
        parameters: of the request; `signature_name` names it.
        input_names: of the request; else it is the one that takes just these.

    Raises:
        ServingError: INVALID_ARGUMENT for a name that is no string.
    """
    name = parameters.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(f"got parameter signature_name {name!r}, expected a string")
    if name:
        return name
    for name, signature in model.signatures.items():
        if name != DEFAULT_SIGNATURE and signature["inputs"].keys() == set(input_names):
            return name
    return DEFAULT_SIGNATURE


def check_inputs(model: Model, inputs: dict[str, np.ndarray], signature: str) -> None:
    """Raises unless a request has just the inputs of a signature, of its datatypes.

    Args:
        model: who is asked.
        inputs: input name to array.
        signature: its name.

    Raises:
        ServingError: INVALID_ARGUMENT, in Triton's words.
    """
    expected = model.signature(signature)["inputs"]
    if len(inputs) != len(expected):
        raise invalid(
            f"expected {len(expected)} inputs but got {len(inputs)} inputs for model '{model.name}'"
        )
    for name, array in inputs.items():
        if name not in expected:
            raise invalid(f"unexpected inference input '{name}' for model '{model.name}'")
        wanted, got = DATATYPES[expected[name]["dtype"]], datatype_of(array)
        if got != wanted:
            raise invalid(
                f"inference input '{name}' data-type is '{got}', but model '{model.name}' expects "
                f"'{wanted}'"
            )


def metadata(tensors: dict[str, dict]) -> list[dict]:
    """Returns the tensors of a signature as the protocol names them: a size of -1 may vary."""
    return [
        {
            "name": name,
            "datatype": DATATYPES[spec["dtype"]],
            "shape": [-1 if size is None else size for size in spec["shape"]],
        }
        for name, spec in tensors.items()
    ]


def _elements(data, count: int, name: str) -> np.ndarray:
    """Returns the strings of a BYTES tensor."""
    view, values, start = memoryview(data), [], 0
    while start < len(view):
        if start + 4 > len(view):
            raise invalid(f"incomplete string length indicator for inference input '{name}'")
        (length,) = struct.unpack_from("<I", view, start)
        start += 4
        if start + length > len(view):
            raise invalid(
                f"incomplete string data for inference input '{name}', expecting "
                f"string of length {length} but only {len(view) - start} bytes available"
            )
        values.append(bytes(view[start : start + length]))
        start += length
    if len(values) != count:
        raise invalid(
            f"unexpected number of string elements {len(values)} for inference input '{name}', "
            f"expecting {count}"
        )
    array = np.empty(count, dtype=object)
    array[:] = values
    return array
