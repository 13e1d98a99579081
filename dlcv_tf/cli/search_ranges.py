"""What `dlcv search` is told to search: `key=LOW..HIGH`, `key=A,B,C`, or a key alone."""

import dataclasses
import inspect
import typing
from collections.abc import Mapping, Sequence

from dlcv_tf.cli import arguments, console
from dlcv_tf.errors import InputError
from dlcv_tf.recipes import search
from dlcv_tf.recipes.recipe import Recipe
from dlcv_tf.train.search_space import Choice, Range, Space

SCALES = {"log": True, "linear": False}


def parse(texts: Sequence[str], recipe: Recipe) -> tuple[Recipe, Space]:
    """Returns the recipe with the single values that were given, and the space to search.

    A range is written `1e-4..1e-1`, with `:log` or `:linear` behind it where the scale is to be
    another one than that of its kind; choices `32,64,128`; choices of tuples, which have commas
    themselves, `none/shift/flip,shift`. A key alone stands for a range about what the recipe has.
    Without any range, learning rate and weight decay are searched, where they are not fixed.

    Args:
        texts: `"key=value"` or `"key"` each; keys are values of the recipe or options of its
            network.
        recipe: the recipe.

    Raises:
        InputError: unknown keys, values of another type, reversed ranges, what is not to search.
    """
    given = {}
    for text in texts:
        key, equals, value = text.partition("=")
        if key in given:
            raise InputError(f"got {key} twice, expected it once: leave one of them out")
        given[key] = value if equals else None
    holders = dict.fromkeys((field.name for field in dataclasses.fields(recipe)), recipe)
    holders |= _options(given, recipe)
    ranges = {key: text for key, text in given.items() if _is_searched(key, text, holders[key])}
    fixed = {
        key: _value(key, text, holders[key]) for key, text in given.items() if key not in ranges
    }
    recipe = recipe.replace(**search.changes(recipe, fixed))
    searched = ranges or {key: None for key in search.SEARCHED if key not in fixed}
    if not searched:
        raise InputError(
            f"got one value of {' and of '.join(search.SEARCHED)} and no range, expected something "
            "to search, as in momentum=0.5..0.99"
        )
    parameters = {
        key: search.default(key, recipe) if text is None else _parameter(key, text, holders[key])
        for key, text in searched.items()
    }
    return recipe, Space(parameters)


def command(recipe: Recipe, base: Recipe, values: dict) -> str:
    """Returns the command that trains a recipe with some values.

    Args:
        recipe: as it was searched.
        base: as the list of recipes has it.
        values: by name: values of the recipe, and options of its network.
    """
    wanted = recipe.replace(**search.changes(recipe, values))
    fields = [field.name for field in dataclasses.fields(wanted)]
    changed = [name for name in fields if getattr(wanted, name) != getattr(base, name)]
    texts = [f"{name}={arguments.text_of(getattr(wanted, name))}" for name in changed]
    return " ".join(["dlcv train", base.name, *texts])


def text_of(value) -> str:
    """Returns a value as it is written among choices: `none` for an empty tuple."""
    return arguments.text_of(value) or "none"


def written(parameter: Range | Choice) -> str:
    """Returns a range or a choice as it is written on the command line."""
    if isinstance(parameter, Range):
        return str(parameter)
    has_tuples = any(isinstance(value, tuple) for value in parameter.values)
    return ("/" if has_tuples else ",").join(map(text_of, parameter.values))


def sentence(parameters: Mapping[str, Range | Choice]) -> str:
    """Returns what is searched, in words."""
    return ", ".join(f"{name} {written(each)}" for name, each in parameters.items())


def _options(given: dict, recipe: Recipe) -> dict:
    """Returns the keys that are options of the network, with a holder of their types for each."""
    names = [key for key in given if not hasattr(recipe, key)]
    networks = (given.get("network") or recipe.network).split(",")
    if not names and "network" not in given:
        return {}
    with console.tensorflow_quietly():
        from dlcv_tf import models
    search.check_options(names, networks)
    options = list(inspect.signature(models.BUILDERS[networks[0]]).parameters.values())[2:]
    fields = [(each.name, each.annotation, dataclasses.field(default=each.default))
              for each in options]  # fmt: skip
    return dict.fromkeys(names, dataclasses.make_dataclass("Options", fields)())


def _is_searched(key: str, text: str | None, holder) -> bool:
    """Tells whether a text stands for more than one value."""
    kind = typing.get_type_hints(type(holder))[key]
    if text is None or kind is dict or (kind is str and key in search.FIXED):
        return text is None
    return ".." in text or ("/" if _is_tuple(kind) else ",") in text


def _parameter(key: str, text: str, holder) -> Range | Choice:
    """Returns the range or the choice that a text stands for."""
    search.refuse_fixed(key)
    if ".." not in text:
        separator = "/" if _is_tuple(typing.get_type_hints(type(holder))[key]) else ","
        return Choice(tuple(_value(key, part, holder) for part in text.split(separator)))
    ends, _, scale = text.partition(":")
    ends = [_value(key, end, holder) for end in ends.split("..")]
    is_number = all(isinstance(end, int | float) and not isinstance(end, bool) for end in ends)
    if len(ends) != 2 or not is_number or scale not in ("", *SCALES):
        raise InputError(
            f"got {key}={text}, expected LOW..HIGH of two numbers, with :log or :linear behind "
            "where wanted"
        )
    return search.number_range(key, *ends, SCALES.get(scale))


def _is_tuple(kind) -> bool:
    kinds = (kind, *typing.get_args(kind))
    return any(typing.get_origin(each) is tuple for each in kinds)


def _value(key: str, text: str, holder):
    """Returns the value of one text; `none` is an empty tuple where there is no None."""
    kind = typing.get_type_hints(type(holder))[key]
    if _is_tuple(kind) and text.lower() == "none" and typing.get_origin(kind) is tuple:
        return ()
    return arguments.changes([f"{key}={text}"], holder)[key]
