"""TensorFlow Serving's JSON request bodies to arrays; the way back is in `tensorflow_answers`.

Semantics and error texts are those of `tensorflow_serving/util/json_tensor.cc`. One difference: an
integer that does not fit its type is refused, where TF Serving lets it wrap around.
"""

import binascii
import math

import numpy as np

from dlcv_tf.serve.errors import Code, ServingError, TooLargeError, invalid
from dlcv_tf.serve.json_documents import Document, quote

MAX_RANK = 32

# The types JSON can carry: NumPy's name, as in the manifest, to TensorFlow's, as in the errors.
TYPES = {name: name for name in ("int8", "int16", "int32", "int64", "uint8", "uint32", "uint64")}
TYPES |= {"float32": "float", "float64": "double", "bool": "bool", "string": "string"}


def signature_name(document: Document) -> str:
    """Returns the signature a request names, "" where it names none."""
    name = document.values.get("signature_name", "")
    if not isinstance(name, str):
        raise invalid(
            f"JSON Value: {quote(document.exact().values)} not formatted correctly. "
            "'signature_name' key must be a string value."
        )
    return name


def inputs(document: Document, expected: dict[str, dict]) -> tuple[dict[str, np.ndarray], bool]:
    """Returns the input arrays of a predict request.

    Args:
        document: the parsed body.
        expected: the signature's inputs, name to `{"dtype": ..., "shape": ...}`.

    Returns:
        Input name to array (strings as object arrays of bytes), and whether the request was in row
        format (`instances`), so that the answer is too.

    Raises:
        ServingError: in TF Serving's words.
    """
    dtypes = {name: spec["dtype"] for name, spec in expected.items()}
    if document.has_arrays:
        try:
            return _inputs(document, dtypes)
        except (
            ServingError
        ) as error:  # said again below, from lists: the words count and quote them
            try:
                document = document.exact()
            except TooLargeError:
                raise error from None
    return _inputs(document, dtypes)


def _inputs(document: Document, dtypes: dict[str, str]) -> tuple[dict[str, np.ndarray], bool]:
    values = document.values
    if "instances" in values and "inputs" in values:
        raise invalid(
            f"JSON Value: {quote(values)} Not formatted correctly expecting only one of 'inputs' "
            "or 'instances' keys to exist "
        )
    if "inputs" in values:
        return _from_columns(values["inputs"], dtypes, document.has_booleans), False
    if "instances" not in values:
        raise invalid("Missing 'inputs' or 'instances' key")
    instances = values["instances"]
    if isinstance(instances, np.ndarray):  # rows of plain numbers are one column already
        return _from_columns(instances, dtypes, document.has_booleans), True
    if not isinstance(instances, list):
        raise invalid(f"JSON Value: {quote(values)} Excepting 'instances' to be an list/array")
    if not instances:
        raise invalid(f"JSON Value: {quote(values)} No values in 'instances' array")
    return _from_rows(instances, dtypes, document.has_booleans), True


def _from_columns(values, dtypes: dict[str, str], careful: bool) -> dict[str, np.ndarray]:
    """Returns the arrays of an `inputs` value; names the signature does not have are ignored."""
    if not _is_named(values):
        if len(dtypes) > 1:
            raise invalid(
                "inputs is a plain value/list, but expecting an object as multiple input tensors "
                "required as per tensorinfo_map"
            )
        values = {name: values for name in dtypes}
    for name in dtypes:
        if name not in values:
            raise invalid(f"Missing named input: {name} in 'inputs' object.")
    return {name: _tensor(values[name], dtype, careful) for name, dtype in dtypes.items()}


def _from_rows(instances: list, dtypes: dict[str, str], careful: bool) -> dict[str, np.ndarray]:
    """Returns the arrays of an `instances` list: those of its elements, stacked."""
    if len(dtypes) > 1 and not isinstance(instances[0], dict):
        raise invalid(
            "instances is a plain list, but expecting list of objects as multiple input tensors "
            "required as per tensorinfo_map"
        )
    is_named = _is_named(instances[0])
    for index, instance in enumerate(instances):
        _check_row(index, instance, is_named, dtypes)
    stacked = {}
    for name, dtype in dtypes.items():
        column = [instance[name] for instance in instances] if is_named else instances
        array = None if careful else _numbers(column, dtype)
        if array is None:
            array = _stack(name, column, dtype, careful, is_named)
        stacked[name] = array
    return stacked


def _check_row(index: int, instance, is_named: bool, dtypes: dict[str, str]) -> None:
    """Raises unless an element of `instances` is as the first: an object of all inputs, or none."""
    if is_named and not _is_named(instance):
        raise invalid(f"Expecting object but got list at item {index} of input list")
    if not is_named:
        if _is_named(instance):
            raise invalid(f"Expecting value/list but got object at item {index} of input list")
        return
    for key in instance:
        if key not in dtypes:
            raise invalid(
                f"Failed to process element: {index} key: {key} of 'instances' list. Error: "
                f"INVALID_ARGUMENT: JSON object: does not have named input: {key}"
            )
    if instance.keys() != dtypes.keys():
        raise invalid(
            f"Failed to process element: {index} of 'instances' list. JSON object: "
            f"{quote(instance)} keys must be equal to: {','.join(sorted(dtypes))}"
        )


def _stack(name: str, column: list, dtype: str, careful: bool, is_named: bool) -> np.ndarray:
    """Converts one by one and stacks, so that an error names its element."""
    arrays: list[np.ndarray] = []
    for index, value in enumerate(column):
        try:
            array = _tensor(value, dtype, careful)
            if arrays and array.size != arrays[0].size:
                raise invalid(f"Expecting tensor size: {arrays[0].size} but got: {array.size}")
            if arrays and array.shape != arrays[0].shape:
                raise invalid(
                    f"Expecting shape {_brackets(arrays[0].shape)} but got: "
                    f"{_brackets(array.shape)}"
                )
        except ServingError as error:
            where = f"{index} key: {name}" if is_named else str(index)
            # TF Serving turns whatever went wrong into INVALID_ARGUMENT here, as text and as code.
            raise invalid(
                f"Failed to process element: {where} of 'instances' list. Error: "
                f"{error.code.name}: {error.message}"
            ) from None
        arrays.append(array)
    return np.stack(arrays)


def _tensor(value, dtype: str, careful: bool) -> np.ndarray:
    """Converts one JSON value to an array, value by value where the quick way does not fit."""
    is_array = isinstance(value, np.ndarray)
    array = None if careful and not is_array else _numbers(value, dtype)
    if array is not None:
        return array
    if is_array:
        raise invalid(f"JSON Value of shape {_brackets(value.shape)} is no {dtype} throughout")
    shape = []
    first = value
    while isinstance(first, list):
        shape.append(len(first))
        if len(shape) > MAX_RANK:
            raise invalid(f"Encountered list at unexpected level: {MAX_RANK}: nested too deeply")
        first = first[0] if first else None
    flat: list = []
    _fill(value, 0, shape, dtype, flat)
    return np.array(flat, dtype=object if dtype == "string" else dtype).reshape(shape)


def _numbers(value, dtype: str) -> np.ndarray | None:
    """Converts rectangular lists of numbers at once; None where that might not be exact.

    NumPy takes `true` among integers for 1, so the caller rules booleans out.
    """
    if dtype in ("bool", "string") or dtype not in TYPES:
        return None
    try:
        array = np.asarray(value)
    except (ValueError, OverflowError):  # ragged, or an integer beyond 64 bits
        return None
    if not array.size or array.dtype.kind not in "iuf":
        return None
    if dtype.startswith("float"):
        limit = 2 ** (np.finfo(dtype).nmant + 1)
        exact = -limit < array.min() and array.max() < limit  # False for NaN
    else:
        limits = np.iinfo(dtype)
        exact = array.dtype.kind != "f" and limits.min <= array.min() <= array.max() <= limits.max
    return array.astype(dtype) if exact else None


def _fill(value, level: int, shape: list[int], dtype: str, flat: list) -> None:
    """Appends the values of nested lists, which must be nested as `shape` says."""
    if not isinstance(value, list):
        if level != len(shape):
            raise invalid(
                f"JSON Value: {quote(value)} found at incorrect level: {level + 1} in the JSON "
                f"DOM. Expected at level: {len(shape)}"
            )
        flat.append(_scalar(value, dtype))
        return
    if level >= len(shape):
        raise invalid(f"Encountered list at unexpected level: {level} expected < {len(shape)}")
    if len(value) != shape[level]:
        raise invalid(
            f"Encountered list at unexpected size: {len(value)} at level: {level} expected size: "
            f"{shape[level]}"
        )
    for element in value:
        _fill(element, level + 1, shape, dtype, flat)


def _scalar(value, dtype: str):
    """Returns a JSON scalar as a Python value of the type, or raises as TF Serving does."""
    if isinstance(value, dict) and dtype == "string":
        return from_base64(value)
    if dtype not in TYPES and not isinstance(value, dict):
        message = f"Conversion of JSON Value: {quote(value)} to type: {dtype}"
        raise ServingError(Code.UNIMPLEMENTED, message)
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if dtype == "string" and isinstance(value, str):
        return value.encode(errors="replace")
    if dtype == "bool" and isinstance(value, bool):
        return value
    if dtype.startswith("float") and is_number:
        largest = 2 ** (np.finfo(dtype).nmant + 1) - 1 if isinstance(value, int) else None
        if abs(value) > (largest or float(np.finfo(dtype).max)) and math.isfinite(value):
            raise invalid(
                f"Cannot convert JSON value: {quote(value)} to {TYPES[dtype]} without loss of "
                "precision."
            )
        return float(value)
    if "int" in dtype and is_number and isinstance(value, int):
        if np.iinfo(dtype).min <= value <= np.iinfo(dtype).max:
            return value
    raise invalid(
        f"JSON Value: {quote(value)} Type: {json_type(value)} is not of expected type: "
        f"{TYPES.get(dtype, dtype)}"
    )


def _is_named(value) -> bool:
    """Whether a value is an object of named inputs, not a string in base64."""
    return isinstance(value, dict) and not is_base64(value)


def is_base64(value: dict) -> bool:
    """Whether an object stands for a string in base64."""
    return len(value) == 1 and isinstance(value.get("b64"), str)


def from_base64(value: dict) -> bytes:
    """Returns the bytes of `{"b64": ...}`, or raises as TF Serving does."""
    if not is_base64(value):
        raise invalid(f"JSON Value: {quote(value)} not formatted correctly for base64 data")
    text = "".join(value["b64"].split()).rstrip("=")
    try:
        return binascii.a2b_base64(text + "=" * (-len(text) % 4), strict_mode=True)
    except ValueError:  # binascii's own error, and what is not ASCII
        raise invalid(
            "Unable to base64 decode: expected the standard alphabet (A-Z a-z 0-9 + /), without a "
            "data: prefix"
        ) from None


def json_type(value) -> str:
    """Returns what RapidJSON calls the type of a JSON value."""
    names = {bool: str(value), dict: "Object", list: "Array", str: "String", type(None): "Null"}
    return names.get(type(value), "Number")


def _brackets(shape: tuple[int, ...]) -> str:
    return "[" + ",".join(str(size) for size in shape) + "]"
