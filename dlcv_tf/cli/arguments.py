"""`key=value` arguments, typed by the fields of the dataclass they change."""

import dataclasses
import inspect
import json
import math
import types
import typing
from collections.abc import Sequence

from dlcv_tf.errors import InputError, unknown

_NAMES = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def changes(texts: Sequence[str], values) -> dict:
    """Returns the changes that `key=value` texts ask for, each of its field's type.

    Tuples are written with commas (`image_size=32,32`), None as `none`, dicts as JSON.

    Args:
        texts: `"key=value"` each.
        values: dataclass instance whose fields are the keys; what it holds serves as example.

    Raises:
        InputError: no such key, a key given twice, or a value that is not of its type.
    """
    kinds = typing.get_type_hints(type(values))
    found = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if not equals:
            raise InputError(f"got {text!r}, expected key=value, one of {', '.join(kinds)}")
        if key not in kinds:
            raise unknown("key", key, kinds)
        if key in found:
            raise InputError(f"got {key} twice, expected it once: leave one of them out")
        try:
            found[key] = _parse(value, kinds[key])
        except ValueError:
            example = text_of(getattr(values, key))
            raise InputError(
                f"got {text}, expected {_name(kinds[key])}, as in {key}={example}"
            ) from None
    return found


def of_function(parameters: Sequence[inspect.Parameter]):
    """Returns a dataclass instance whose fields are a function's parameters, as `changes` takes it.

    Args:
        parameters: from `inspect.signature`, with type hints; one without a default has 1, as an
            example only.
    """
    fields = []
    for each in parameters:
        default = 1 if each.default is each.empty else each.default
        made = dataclasses.field(default_factory=lambda value=default: value)
        fields.append((each.name, each.annotation, made))
    return dataclasses.make_dataclass("Arguments", fields)()


def taken(texts: Sequence[str], key: str, values: Sequence[str]) -> tuple[str, list[str]]:
    """Returns the value that one key has among `key=value` texts, and the other texts.

    Args:
        texts: `"key=value"` each.
        key: the key to take out.
        values: what it may be; the first where it is not given.

    Raises:
        InputError: another value, or the key given twice.
    """
    own = [text for text in texts if text.partition("=")[0] == key]
    others = [text for text in texts if text not in own]
    value = own[0].partition("=")[2] if own else values[0]
    if value not in values or len(own) > 1:
        expected = " or ".join(f"{key}={each}" for each in values)
        raise InputError(f"got {' '.join(own)}, expected {expected}")
    return value, others


def refuse_changes(texts: Sequence[str], option: str, reason: str) -> None:
    """Raises an InputError if there are `key=value` texts where an option allows none.

    Args:
        texts: `"key=value"` each.
        option: the option beside which they have no meaning.
        reason: why.
    """
    if texts:
        raise InputError(f"got {texts[0]} beside {option}, expected no key=value: {reason}")


def _parse(text: str, kind):
    """Returns the text's value as a type hint; ValueError if it is none."""
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        if text.lower() == "none" and types.NoneType in arguments:
            return None
        return _parse(text, *(part for part in arguments if part is not types.NoneType))
    if typing.get_origin(kind) is tuple:
        return _parse_tuple(text, arguments)
    if kind is bool:
        return ("false", "true").index(text.lower()) == 1
    value = json.loads(text) if kind is dict else kind(text)
    if not isinstance(value, kind) or (kind is float and not math.isfinite(value)):
        raise ValueError
    return value


def _parse_tuple(text: str, kinds: tuple) -> tuple:
    parts = [part.strip() for part in text.strip("()[]").split(",") if part.strip()]
    if kinds[-1] is Ellipsis:
        kinds = kinds[:1] * len(parts)
    return tuple(_parse(part, kind) for part, kind in zip(parts, kinds, strict=True))


def _name(kind) -> str:
    """Returns what a type is called in an error message."""
    arguments = typing.get_args(kind)
    if isinstance(kind, types.UnionType):
        return " or ".join("none" if part is types.NoneType else _name(part) for part in arguments)
    if typing.get_origin(kind) is tuple:
        several = "several" if arguments[-1] is Ellipsis else str(len(arguments))
        return f"{several} with commas between, each {_name(arguments[0])}"
    return "a JSON object" if kind is dict else _NAMES[kind]


def text_of(value) -> str:
    """Returns a value as it is written on the command line."""
    if isinstance(value, tuple):
        return ",".join(map(text_of, value))
    if isinstance(value, dict):
        return f"'{json.dumps(value)}'"
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)
