"""Arrays to TensorFlow Serving's JSON answers, printed as `json_tensor.cc` prints them."""

import binascii
import json
import math

import numpy as np

from dlcv_tf.serve.errors import invalid


def render(outputs: dict[str, np.ndarray], is_row: bool) -> bytes:
    """Returns the body of a predict answer.

    Args:
        outputs: output name to array; strings as object arrays of str or bytes.
        is_row: `predictions`, one entry for each instance, rather than `outputs`.

    Raises:
        ServingError: INVALID_ARGUMENT if a row is asked of outputs without a common batch.
    """
    if not is_row:
        texts = {
            name: _nested(_tokens(name, array), array.shape) for name, array in outputs.items()
        }
        return f'{{\n    "outputs": {_object(texts, 4)}\n}}'.encode()
    batch = None
    for name, array in outputs.items():
        if not array.shape:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if batch not in (None, len(array)):
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {batch}"
            )
        batch = len(array)
    columns = {name: _rows(_tokens(name, array), array.shape) for name, array in outputs.items()}
    rows = [
        _object({name: texts[index] for name, texts in columns.items()}, 8)
        for index in range(batch)
    ]
    return ('{\n    "predictions": [\n        ' + ",\n        ".join(rows) + "\n    ]\n}").encode()


def _tokens(name: str, array: np.ndarray) -> list[str]:
    """Returns the values of an array as JSON, in row-major order."""
    kind = array.dtype.kind
    values = array.ravel().tolist()
    if kind == "f":
        return _decimals(array.ravel())
    if kind == "b":
        return ["true" if value else "false" for value in values]
    if kind in "iu":
        return [str(value) for value in values]
    if name.endswith("_bytes"):
        octets = [value.encode() if isinstance(value, str) else value for value in values]
        return [
            f'{{"b64": "{binascii.b2a_base64(value, newline=False).decode()}"}}' for value in octets
        ]
    texts = [
        value if isinstance(value, str) else value.decode(errors="replace") for value in values
    ]
    return [json.dumps(text, ensure_ascii=False) for text in texts]


def _decimals(values: np.ndarray) -> list[str]:
    """Prints floats as TF Serving: six digits where they round-trip, else 9 (float) or 17 (double).

    Whole numbers get `.0`; what is not finite becomes NaN, Infinity, -Infinity.
    """
    dtype, digits = (np.float64, 17) if values.dtype == np.float64 else (np.float32, 9)
    values = values.astype(dtype)
    numbers = values.tolist()
    tokens = [f"{number:.6g}" for number in numbers]
    again = np.array([float(token) for token in tokens]).astype(dtype)
    for index in np.flatnonzero(again != values):
        tokens[index] = f"{numbers[index]:.{digits}g}"
    special = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
    return [
        special[token]
        if token in special
        else token
        if "." in token or "e" in token
        else token + ".0"
        for token in tokens
    ]


def _nested(tokens: list[str], shape: tuple[int, ...]) -> str:
    """Joins tokens to nested JSON lists of a shape."""
    return _rows(tokens, (1, *shape))[0]


def _rows(tokens: list[str], shape: tuple[int, ...]) -> list[str]:
    """Joins tokens to nested JSON lists, one text for each index of the first axis."""
    for axis in range(len(shape) - 1, 0, -1):
        size, count = shape[axis], math.prod(shape[:axis])
        tokens = [
            "[" + ", ".join(tokens[index * size : (index + 1) * size]) + "]"
            for index in range(count)
        ]
    return tokens


def _object(texts: dict[str, str], indent: int) -> str:
    """Prints a JSON object of values already printed; a lone value stands for itself."""
    if len(texts) == 1:
        return next(iter(texts.values()))
    margin = " " * indent
    lines = [f"{margin}    {json.dumps(name)}: {text}" for name, text in texts.items()]
    return "{\n" + ",\n".join(lines) + f"\n{margin}}}"
