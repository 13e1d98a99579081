"""Arrays to TensorFlow Serving's JSON answers, printed as `json_tensor.cc` prints them.

A float has six digits where they round-trip, else 9 (float) or 17 (double); whole numbers get `.0`;
what is not finite becomes NaN, Infinity, -Infinity.
"""

import binascii
import json
import re

import numpy as np
import orjson

from dlcv_tf.serve.errors import invalid

MANY = 64  # floats from which on they are worth printing all at once
ALL_AT_ONCE = 1e6  # smaller floats have no exponent, or a negative one
SCALED = 1e-14  # down to here, powers of ten up to 1e22 scale a float; all of them are exact
POWERS = np.array([float(f"1e{k}") for k in range(-15, 23)])
SPECIAL = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}


def render(outputs: dict[str, np.ndarray], is_row: bool) -> bytes:
    """Returns the body of a predict answer.

    Args:
        outputs: output name to array; strings as object arrays of str or bytes.
        is_row: `predictions`, one entry for each instance, rather than `outputs`.

    Raises:
        ServingError: INVALID_ARGUMENT if a row is asked of outputs without a common batch.
    """
    if not is_row:
        texts = {name: _text(name, array) for name, array in outputs.items()}
        return b'{\n    "outputs": %b\n}' % _object(texts, 4)
    batch = None
    for name, array in outputs.items():
        if not array.shape:
            raise invalid(f"Tensor name: {name} has no shape information ")
        if batch not in (None, len(array)):
            raise invalid(
                f"Tensor name: {name} has inconsistent batch size: {len(array)} expecting: {batch}"
            )
        batch = len(array)
    columns = {name: _rows(name, array) for name, array in outputs.items()}
    rows = [
        _object({name: texts[index] for name, texts in columns.items()}, 8)
        for index in range(batch)
    ]
    return _list("predictions", rows)


def render_classifications(result) -> bytes:
    """Returns the body of a classify answer: for each example, pairs of label and score.

    Args:
        result: a ClassificationResult.
    """
    rows = []
    for found in result.classifications:
        scores = _decimals(np.array([one.score for one in found.classes], np.float32))
        pairs = zip(found.classes, scores, strict=True)
        texts = [f"[{json.dumps(one.label, ensure_ascii=False)}, {score}]" for one, score in pairs]
        rows.append(f"[{', '.join(texts)}]".encode())
    return _list("results", rows)


def render_regressions(result) -> bytes:
    """Returns the body of a regress answer: a value for each example.

    Args:
        result: a RegressionResult.
    """
    values = np.array([one.value for one in result.regressions], np.float32)
    return _list("results", [text.encode() for text in _decimals(values)])


def _list(key: str, rows: list[bytes]) -> bytes:
    inside = b",\n        ".join(rows)
    return b'{\n    "%b": [\n        %b\n    ]\n}' % (key.encode(), inside)


def _object(texts: dict[str, bytes], indent: int) -> bytes:
    """Prints a JSON object of values already printed; a lone value stands for itself."""
    if len(texts) == 1:
        return next(iter(texts.values()))
    margin = b" " * indent
    lines = [b"%b    %b: %b" % (margin, orjson.dumps(name), text) for name, text in texts.items()]
    return b"{\n" + b",\n".join(lines) + b"\n" + margin + b"}"


def _rows(name: str, array: np.ndarray) -> list[bytes]:
    """Prints an array, one text for each index of the first axis."""
    if array.ndim == 1:
        return [text.encode() for text in _tokens(name, array)]
    return [_text(name, row) for row in array]


def _text(name: str, array: np.ndarray) -> bytes:
    """Prints an array as nested JSON lists."""
    kind = array.dtype.kind
    if array.ndim and kind in "biu":
        return _printed(array)
    if array.size >= MANY and kind == "f" and array.dtype != np.float64:
        if np.abs(array).max() < ALL_AT_ONCE:  # False for NaN
            return _printed_floats(array)
    tokens = _tokens(name, array)
    for size in reversed(array.shape):
        count = len(tokens) // size if size else int(np.prod(array.shape[: array.ndim - 1]))
        tokens = ["[" + ", ".join(tokens[i * size : (i + 1) * size]) + "]" for i in range(count)]
    return tokens[0].encode(errors="replace")


def _printed(array: np.ndarray) -> bytes:
    text = orjson.dumps(np.ascontiguousarray(array), option=orjson.OPT_SERIALIZE_NUMPY)
    return text.replace(b",", b", ")


def _printed_floats(array: np.ndarray) -> bytes:
    """Prints float32 values below a million at once.

    Their decimals of six or nine digits are made doubles, whose shortest text has these digits.
    """
    values = array.astype(np.float32, copy=False)
    decimals = _rounded(values.ravel()).reshape(values.shape)
    text = _printed(decimals)
    sizes = np.abs(decimals)
    if ((sizes < 1e-4) & (sizes > 0)).any():  # C prints 0.00001 as 1e-05, orjson does not
        text = re.sub(rb"(?<!\d)0\.0000(\d)(\d*)", _scientific, text)
        text = re.sub(rb"e-(\d)(?!\d)", rb"e-0\1", text)
    return text


def _scientific(match: re.Match) -> bytes:
    first, rest = match.groups()
    return first + (b"." + rest if rest else b"") + b"e-05"


def _rounded(values: np.ndarray) -> np.ndarray:
    """Rounds float32 values to six decimal digits where they round-trip, else to nine."""
    exact = values.astype(np.float64)
    sizes = np.abs(exact)
    odd = (sizes < SCALED) & (sizes > 0)
    sizes[sizes < SCALED] = 1
    exponents = np.floor(np.log10(sizes)).astype(np.int64)  # perhaps one off
    exponents -= sizes < POWERS[exponents + 15]
    exponents += sizes >= POWERS[exponents + 16]
    scale = POWERS[5 - exponents + 15]
    result = np.rint(exact * scale) / scale
    longer = result.astype(np.float32) != values
    scale = POWERS[8 - exponents + 15]
    scaled = exact * scale
    # Half-way between two decimals, the product is not exact enough to say which is nearer.
    odd |= longer & (np.abs(scaled - np.floor(scaled) - 0.5) < 1e-6)
    result = np.where(longer, np.rint(scaled) / scale, result)
    if odd.any():
        result[odd] = [float(text) for text in _decimals(values[odd])]
    return np.where(exact == 0, exact, result)  # with its sign


def _tokens(name: str, array: np.ndarray) -> list[str]:
    """Returns the values of an array as JSON, in row-major order."""
    kind = array.dtype.kind
    if kind == "f":
        return _decimals(array.ravel())
    values = array.ravel().tolist()
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
    """Prints floats one by one."""
    dtype, digits = (np.float64, 17) if values.dtype == np.float64 else (np.float32, 9)
    values = values.astype(dtype)
    numbers = values.tolist()
    tokens = [f"{number:.6g}" for number in numbers]
    again = np.array([float(token) for token in tokens]).astype(dtype)
    for index in np.flatnonzero(again != values):
        tokens[index] = f"{numbers[index]:.{digits}g}"
    return [
        SPECIAL[token]
        if token in SPECIAL
        else token
        if "." in token or "e" in token
        else token + ".0"
        for token in tokens
    ]
