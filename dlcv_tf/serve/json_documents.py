"""JSON request bodies to Python values, where long rectangular lists of numbers become arrays.

A picture is 99 % of its request. So the numbers are cut out of the text, parsed by simdjson into
one flat buffer each, and put back as arrays where the standard parser, which reads the small rest,
meets the mark left for them. What is cut is certain to be what the standard parser would have read;
all else (booleans, NaN, ragged lists, integers beyond 64 bits) stays in the text.
"""

import dataclasses
import json
import math
import re

import numpy as np
import simdjson

from dlcv_tf.serve.errors import TooLargeError, invalid

LEAST = 256  # bytes of a list worth cutting out
MARK = "1e-64206"  # stands for an array; a number, so that any other text around it stays as good
NUMBER_BYTES = b"0123456789+-.eE \t\r\n"
REUSED = 2**20  # bytes of the longest list whose parser keeps its memory: else it would be a lot
WHITESPACE = b" \t\r\n"
MOST_VALUES = 5_000_000  # for the standard parser: each takes up to some hundred bytes
ZEROS = bytes.maketrans(b"123456789", b"000000000")
HUGE = b"0" * 309  # the digits that an integer beyond all doubles has at least
EXPONENT = re.compile(r"(?<=\de)(?:\+|(-)0?)(?=\d)")  # as Python prints it; RapidJSON: 1e39, 1e-7

# Parsers that no thread uses now. A new one has to get its memory first, twice the time of parsing.
_parsers: list[simdjson.Parser] = []

# The standard parser's messages to those of RapidJSON (error/en.h), which TF Serving quotes.
MESSAGES = {
    "Expecting value": "Invalid value.",
    "Expecting property name enclosed in double quotes": "Missing a name for object member.",
    "Expecting ':' delimiter": "Missing a colon after a name of object member.",
    "Unterminated string starting at": "Missing a closing quotation mark in string.",
    "Invalid control character at": "Invalid encoding in string.",
    "Invalid \\escape": "Invalid escape character in string.",
    "Invalid \\uXXXX escape": "Incorrect hex digit after \\u escape in string.",
}


class _TooBigError(Exception):
    """A number that is beyond the range; its digits."""


@dataclasses.dataclass(frozen=True)
class Document:
    """A JSON object.

    Args:
        body: its text.
        values: its members; of a name that comes twice the first counts, as in RapidJSON.
        has_arrays: whether an array stands for a list anywhere in it.
        has_booleans: whether `true` or `false` may stand in one of its lists.
    """

    body: bytes
    values: dict
    has_arrays: bool
    has_booleans: bool

    def exact(self) -> "Document":
        """Returns the same document with lists in place of arrays, to quote and complain from."""
        return _read(self.body, self.body, []) if self.has_arrays else self


def parse(body: bytes, has_arrays: bool = True) -> Document:
    """Parses a JSON object as leniently as TF Serving: NaN, Infinity and trailing garbage pass.

    Args:
        body: the text, UTF-8.
        has_arrays: whether lists of numbers may come as int64 or float64 arrays.

    Raises:
        ServingError: INVALID_ARGUMENT for what is no JSON object, in TF Serving's words.
    """
    text, arrays = _cut(body) if has_arrays else (body, [])
    if arrays:
        waiting = list(arrays)
        try:
            document = _read(body, text, waiting)
        except Exception:  # whatever is wrong with the rest is said of the whole text
            pass
        else:
            if not waiting:  # else a list was cut out of what follows the object
                return document
    return _read(body, body, [])


def quote(value, most: int = 256) -> str:
    """Prints the start of a JSON value as errors quote it, without printing a large one first."""
    text = ""
    try:
        encoder = json.JSONEncoder(indent=4, ensure_ascii=False, default=np.ndarray.tolist)
        for part in encoder.iterencode(value):
            text += part if '"' in part else EXPONENT.sub(r"\1", part)
            if len(text) > most:
                return text[:most] + "..."
    except RecursionError:
        return text[:most] + "..."
    return text


def _read(body: bytes, text: bytes, arrays: list[np.ndarray]) -> Document:
    """Parses a text, taking an array off the list for each mark."""

    def number(digits: str):
        if digits == MARK and arrays:
            return arrays.pop(0)
        return _double(digits)

    def integer(digits: str) -> int:
        _double(digits)
        return int(digits)

    has_arrays = bool(arrays)
    _check_count(text)
    if not body:
        raise invalid("JSON Parse error: The document is empty")
    characters = text.decode("utf-8-sig", errors="replace")
    start = len(characters) - len(characters.lstrip(WHITESPACE.decode()))
    if start == len(characters):
        raise invalid(f"JSON Parse error: The document is empty. at offset: {start}")
    # It is slow, and hardly ever of use. An expression would look for it in quadratic time.
    parse_int = integer if HUGE in text.translate(ZEROS) else None
    decoder = json.JSONDecoder(
        parse_float=number, parse_int=parse_int, object_pairs_hook=_first_of_each
    )
    try:
        values = decoder.raw_decode(characters, start)[0]
    except json.JSONDecodeError as error:
        message = _rapidjson_message(error)
        raise invalid(f"JSON Parse error: {message} at offset: {error.pos}") from None
    except _TooBigError as error:
        offset = _offset(str(error), characters)
        raise invalid(
            f"JSON Parse error: Number too big to be stored in double. at offset: {offset}"
        ) from None
    except RecursionError as error:
        raise invalid(f"JSON Parse error: {error}") from None
    if not isinstance(values, dict):
        raise invalid(f"JSON Value: {quote(values)} Is not object")
    return Document(body, values, has_arrays, b"true" in text or b"false" in text)


def _check_count(text: bytes) -> None:
    """Raises TooLargeError for more values than may come as Python's objects."""
    most = sum(text.count(mark) for mark in (b",", b"[", b"{"))
    if most > MOST_VALUES:
        raise TooLargeError(
            f"got a JSON text of up to {most} values that cannot be read as rectangular lists of "
            f"numbers, expected at most {MOST_VALUES} of such: send fewer pictures, send them as "
            "files, or as binary tensors (KServe v2)"
        )


def _double(digits: str) -> float:
    """Returns a number as RapidJSON reads it, who refuses what is beyond the range."""
    value = float(digits)
    if math.isinf(value):
        raise _TooBigError(digits)
    return value


def _offset(digits: str, text: str) -> int:
    """Returns where a number stands that no other one before it begins with, strings aside."""
    tokens = rf'"[^"\\]*+(?:\\.[^"\\]*+)*+"|(?<![-+.\w]){re.escape(digits[:400])}'
    return next(found.start() for found in re.finditer(tokens, text) if found[0][0] != '"')


def _first_of_each(pairs: list[tuple]) -> dict:
    members = dict(pairs)
    return members if len(members) == len(pairs) else dict(reversed(pairs))


def _rapidjson_message(error: json.JSONDecodeError) -> str:
    """Returns RapidJSON's words for an error of the standard parser."""
    if error.msg == "Expecting ',' delimiter":
        last = _innermost(error.doc[: error.pos])
        return (
            "Missing a comma or ] after an array element."
            if last == "["
            else "Missing a comma or } after an object member."
        )
    return MESSAGES.get(error.msg.removesuffix(": "), error.msg)


def _innermost(text: str) -> str:
    """Returns the bracket that is open at the end of a JSON text without errors so far."""
    open_ones = []
    for token in re.findall(r'"[^"\\]*+(?:\\.[^"\\]*+)*+"|[][{}]', text):
        if token in "[{":
            open_ones.append(token)
        elif token in "]}":
            open_ones.pop()
    return open_ones[-1]


def _cut(body: bytes) -> tuple[bytes, list[np.ndarray]]:
    """Cuts out long lists of numbers that are the value of a name; leaves a mark for each."""
    pieces: list[bytes] = []
    arrays: list[np.ndarray] = []
    mark = MARK.encode()
    done, start, quotation = 0, body.find(b"["), -1
    if start < 0 or len(body) < LEAST:
        return body, []
    for _ in range(MOST_VALUES):
        if start < 0:
            break
        if not body[max(start - 16, 0) : start].rstrip(WHITESPACE).endswith(b":"):
            start = body.find(b"[", start + 1)
            continue
        # The list ends before the next name, or before the end of the object it stands in.
        if quotation < start:
            quotation = body.find(b'"', start)
            quotation = len(body) if quotation < 0 else quotation
        brace = body.find(b"}", start, quotation)
        text = body[start : quotation if brace < 0 else brace].rstrip(b", \t\r\n")
        array = _numbers(text) if len(text) >= LEAST else None
        end = start + len(text)
        if array is not None:
            pieces += [body[done:start], mark]
            arrays.append(array)
            done = end
        start = body.find(b"[", end)
    text = b"".join([*pieces, body[done:]])
    if text.count(mark) != len(arrays):  # one stands in the rest of it, too
        return body, []
    return text, arrays


def _numbers(text: bytes) -> np.ndarray | None:
    """Returns nested lists of numbers as an array; None where they are not just that."""
    try:
        parser = _parsers.pop()
    except IndexError:
        parser = simdjson.Parser()
    array = _parsed(parser, text)
    if len(text) <= REUSED:
        _parsers.append(parser)
    return array


def _parsed(parser: simdjson.Parser, text: bytes) -> np.ndarray | None:
    try:
        values = parser.parse(text)
        shape = []
        first = values
        while isinstance(first, simdjson.Array):
            shape.append(len(first))
            first = first[0]  # IndexError where it is empty
        try:
            flat = np.frombuffer(values.as_buffer(of_type="i"), np.int64)
        except TypeError:
            flat = np.frombuffer(values.as_buffer(of_type="d"), np.float64)
    except (ValueError, TypeError, IndexError, RuntimeError):
        return None
    if flat.size != math.prod(shape) or text.translate(None, NUMBER_BYTES) != _brackets(shape):
        return None
    return flat.reshape(shape)


def _brackets(shape: list[int]) -> bytes:
    """Returns a JSON list of a shape without its numbers: what only rectangular ones look like."""
    text = b""
    for size in reversed(shape):
        text = b"[" + b",".join([text] * size) + b"]"
    return text
