"""Arguments of jobs as JSON and back.

Arguments are frozen dataclasses of plain values: text, numbers, booleans, enumerations, None, tuples, mappings from
text, further such dataclasses, and `object` for JSON as it is. Which types those are is looked at when a kind is
registered, so that a kind whose arguments could not come back fails at start and not after a crash.
"""

from __future__ import annotations

import dataclasses
import enum
import types
import typing
from collections.abc import Mapping
from functools import cache
from typing import Any, TypeVar, Union

import orjson

from amonsul.errors import BadFileFormat

A = TypeVar("A")


def encode(arguments: object) -> str:
    """Arguments as JSON."""
    return orjson.dumps(arguments, option=orjson.OPT_NON_STR_KEYS).decode()


def decode(wanted: type[A], text: str) -> A:
    """The way back.

    Raises:
        BadFileFormat: the JSON does not fit the type.
    """
    return decode_value(wanted, orjson.loads(text))


def parse(text: str) -> object:
    """JSON as it is."""
    value: object = orjson.loads(text)
    return value


def decode_value(wanted: type[A], value: object) -> A:
    """The same from JSON that is parsed already."""
    result: A = _decode(wanted, value)
    return result


def check(wanted: type) -> None:
    """Make sure that values of a type come back.

    Raises:
        TypeError: the type holds something that has no way back from JSON.
    """
    if not dataclasses.is_dataclass(wanted):
        raise TypeError(f"{wanted.__name__} is no dataclass")
    _check(wanted)


@cache
def _fields(wanted: type) -> dict[str, Any]:
    """Types of the fields. Any: a type hint may be a type, a union or a generic alias."""
    hints = typing.get_type_hints(wanted)
    return {field.name: hints[field.name] for field in dataclasses.fields(wanted) if field.init}


def _plain(wanted: Any) -> Any:
    while isinstance(wanted, typing.NewType):
        wanted = wanted.__supertype__
    return wanted


def _check(wanted: Any) -> None:
    wanted = _plain(wanted)
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if wanted in (str, int, float, bool, object, None, type(None)):
        return
    if origin in (Union, types.UnionType) and len(parts) == 2 and type(None) in parts:
        _check(next(part for part in parts if part is not type(None)))
    elif origin is tuple and len(parts) == 2 and parts[1] is Ellipsis:
        _check(parts[0])
    elif origin is tuple and parts:
        for part in parts:
            _check(part)
    elif origin in (dict, Mapping) and parts[0] is str:
        _check(parts[1])
    elif isinstance(wanted, type) and dataclasses.is_dataclass(wanted):
        for part in _fields(wanted).values():
            _check(part)
    elif not (isinstance(wanted, type) and issubclass(wanted, enum.Enum)):
        raise TypeError(f"no way back from JSON to {wanted}")


def _decode(wanted: Any, value: object) -> Any:
    wanted = _plain(wanted)
    if wanted is object:
        return value
    origin, parts = typing.get_origin(wanted), typing.get_args(wanted)
    if origin in (Union, types.UnionType):
        return None if value is None else _decode(next(part for part in parts if part is not type(None)), value)
    if origin is tuple and isinstance(value, list):
        if len(parts) == 2 and parts[1] is Ellipsis:
            return tuple(_decode(parts[0], item) for item in value)
        if len(parts) == len(value):
            return tuple(_decode(part, item) for part, item in zip(parts, value, strict=True))
    elif origin in (dict, Mapping) and isinstance(value, dict):
        return {key: _decode(parts[1], item) for key, item in value.items()}
    elif wanted is float and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value)
    elif wanted in (str, int, bool):
        if type(value) is wanted:
            return value
    elif isinstance(wanted, type) and dataclasses.is_dataclass(wanted) and isinstance(value, dict):
        return _decode_dataclass(wanted, value)
    elif isinstance(wanted, type) and issubclass(wanted, enum.Enum):
        try:
            return wanted(value)
        except ValueError:
            pass
    elif wanted in (None, type(None)) and value is None:
        return None
    raise BadFileFormat(f"{value!r:.80} is no {getattr(wanted, '__name__', wanted)}")


def _decode_dataclass(wanted: type, value: dict[str, object]) -> Any:
    fields = _fields(wanted)
    unknown = value.keys() - fields.keys()
    if unknown:
        raise BadFileFormat(f"{wanted.__name__} has no {', '.join(sorted(unknown))}")
    try:
        return wanted(**{name: _decode(fields[name], item) for name, item in value.items()})
    except TypeError as error:
        raise BadFileFormat(f"{wanted.__name__}: {error}") from None
