"""Settings as frozen dataclasses: checked, read from parsed TOML, and described by their docstrings."""

import json
import math
import re
import types
from collections.abc import Collection, Mapping
from dataclasses import fields
from inspect import cleandoc
from typing import Any, Union, get_args, get_origin, get_type_hints

from earprint.errors import TrainingError

NONE = "none"
"""How a configuration file writes that a setting has no value."""

LARGEST_SHOWN = 10**30
"""Larger whole numbers are not written in messages; Python refuses to write those of thousands of digits."""

Limits = Mapping[str, tuple[float, float]]
"""Smallest and largest allowed value of fields, by name."""


def check_settings(settings: Any, limits: Limits, prefix: str = "") -> None:
    """Check the fields of a dataclass: those in ``limits``, and that ranges have the lower end first.

    Raises
    ------
    TrainingError
        If a value is not allowed. Names the field, after ``prefix``, and the allowed values.
    """
    for name, hint in _hints(type(settings)).items():
        value = getattr(settings, name)
        if value is None:
            continue
        values = value if isinstance(value, tuple) else (value,)
        low, high = limits.get(name, (-math.inf, math.inf))
        within = all(low <= each <= high for each in values) if name in limits else True
        if not within or (_is_range(hint) and value[0] > value[1]):
            raise TrainingError(
                f"{prefix}{name} = {_shown(value)}: must be {allowed(hint, limits.get(name))}"
            )


def check_choice(name: str, value: str, choices: Collection[str]) -> None:
    """Check a setting that is a name.

    Raises
    ------
    TrainingError
        If it is none of ``choices``. Names the setting and the choices.
    """
    if value not in choices:
        raise TrainingError(f"{name} = {quoted(value)}: must be one of {', '.join(choices)}")


def read_settings(cls: type, table: Mapping[str, Any], limits: Limits, prefix: str = "") -> dict[str, Any]:
    """Convert a table of parsed TOML to keyword arguments of a dataclass.

    Raises
    ------
    TrainingError
        If a key is unknown or a value has the wrong type.
    """
    hints = _hints(cls)
    out = {}
    for name, value in table.items():
        if name not in hints:
            raise TrainingError(f"{prefix}{toml_key(name)}: unknown key; use one of {', '.join(hints)}")
        try:
            out[name] = _converted(hints[name], value)
        except TypeError as error:
            expected = allowed(hints[name], limits.get(name))
            raise TrainingError(f"{prefix}{name} = {_shown(value)}: must be {expected}") from error
    return out


def allowed(hint: Any, limit: tuple[float, float] | None) -> str:
    """Say which values a field takes, such as "a number from 0 to 1"."""
    arguments = get_args(hint)
    if _is_union(hint):
        inner = next(argument for argument in arguments if argument is not type(None))
        return f'{allowed(inner, limit)}, or "{NONE}"'
    if get_origin(hint) is tuple:
        what = "whole numbers" if arguments[0] is int else "numbers"
        if _is_range(hint):
            return f"[lowest, highest], two {what}{_between(limit)} with the lower one first"
        return f"a list of {what}{_between(limit)}"
    names = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    return names[hint] + _between(limit)


def toml_key(name: str) -> str:
    """Write a key as TOML does, on one line: in quotes unless it is of letters, digits, ``_`` and ``-``."""
    return name if re.fullmatch("[A-Za-z0-9_-]+", name) else quoted(name)


def quoted(text: str) -> str:
    """Write a text in quotes on one line, with escapes."""
    return "".join(
        [
            '"',
            *(char if char.isprintable() and char not in '"\\' else json.dumps(char)[1:-1] for char in text),
            '"',
        ]
    )


def descriptions(cls: type) -> dict[str, str]:
    """Descriptions of a dataclass's fields, from the section "Attributes" of its NumPy docstring."""
    text = cleandoc(cls.__doc__ or "")
    _, _, section = text.partition("Attributes\n----------\n")
    out = {}
    for match in re.finditer(r"^(\w[\w, ]*) : .*\n((?:    .*\n?)+)", section, re.MULTILINE):
        body = " ".join(line.strip() for line in match[2].splitlines())
        for name in match[1].split(","):
            out[name.strip()] = body.replace("``", "").replace("`", "")
    return out


def summary(cls: type) -> str:
    """First paragraph of a class's docstring."""
    return " ".join(cleandoc(cls.__doc__ or "").split("\n\n")[0].split())


def _hints(cls: type) -> dict[str, Any]:
    hints = get_type_hints(cls)
    return {field.name: hints[field.name] for field in fields(cls)}


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, types.UnionType)


def _is_range(hint: Any) -> bool:
    arguments = get_args(hint)
    return get_origin(hint) is tuple and len(arguments) == 2 and arguments[1] is not Ellipsis


def _between(limit: tuple[float, float] | None) -> str:
    if limit is None:
        return ""
    low, high = (f"{end:.0f}" if 1e5 <= end < 1e18 else f"{end:g}" for end in limit)
    return f" of {low} or more" if high == "inf" else f" from {low} to {high}"


def _shown(value: Any) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(_shown(each) for each in value)}]"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int) and abs(value) > LARGEST_SHOWN:
        return "a number of more than 30 digits"
    return quoted(value) if isinstance(value, str) else str(value)


def _converted(hint: Any, value: Any) -> Any:
    """A value of parsed TOML as a field of this type; TypeError if it is of another type."""
    if _is_union(hint):
        if value == NONE:
            return None
        return _converted(next(each for each in get_args(hint) if each is not type(None)), value)
    if get_origin(hint) is tuple:
        first = get_args(hint)[0]
        right_length = isinstance(value, list | tuple) and (
            len(value) == 2 if _is_range(hint) else len(value) > 0
        )
        if not right_length:
            raise TypeError
        return tuple(_converted(first, each) for each in value)
    if isinstance(value, bool) != (hint is bool):
        raise TypeError
    if hint is float and isinstance(value, int | float):
        try:
            number = float(value)
        except OverflowError as error:
            raise TypeError from error
        if math.isfinite(number):
            return number
    if hint is float or not isinstance(value, hint):
        raise TypeError
    return value
