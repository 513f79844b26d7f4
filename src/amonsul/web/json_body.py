"""JSON from outside: bounded before it is parsed.

Nesting is measured on the raw bytes, so that no parser recurses into what a client made up; a name given twice in one
object is refused, because two readers of the same body could otherwise see two different requests.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeAlias

import orjson

from amonsul.errors import BadFileFormat, BadRequest
from amonsul.web.values import Request

MAX_DEPTH = 64
MAX_VALUES = 1_000_000
"""Values in one body: more would hold up every other request while they are parsed."""

Json: TypeAlias = "Mapping[str, Json] | list[Json] | str | int | float | bool | None"

# Possessive, and satisfied by the end of the text: linear in any input.
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)', re.DOTALL)
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[]{}"))
_ALIKE = bytes.maketrans(b"{}", b"[]")


def parse(data: bytes) -> Json:
    """Parse a body.

    Raises:
        BadFileFormat: not JSON, nested deeper than 64, too many values, or a name twice in one object.
    """
    if data.count(b"[") + data.count(b"{") > MAX_DEPTH and depth_exceeds(data, MAX_DEPTH):
        raise BadFileFormat(f"JSON nested deeper than {MAX_DEPTH} levels")
    if data.count(b",") > MAX_VALUES:
        raise BadFileFormat(f"more than {MAX_VALUES} values in JSON")
    try:
        value: Json = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadFileFormat(f"not JSON: {error.msg} at byte {error.pos}") from None
    if data.count(b":") > 1 and _STRING.sub(b"", data).count(b":") != _members(value):
        raise BadFileFormat("a name is given twice in one JSON object")
    return value


def parse_object(request: Request) -> Mapping[str, Json]:
    """The body as a JSON object.

    Raises:
        BadRequest: it is none.
    """
    try:
        value = parse(request.data())
    except BadFileFormat as error:
        raise BadRequest(f"The body must contain a JSON object: {error.details}") from None
    if not isinstance(value, dict):
        raise BadRequest("The body must contain a JSON object")
    return value


def depth_exceeds(data: bytes, limit: int) -> bool:
    """Whether brackets are nested deeper than `limit`, or are not closed: each pass takes the innermost away."""
    brackets = _STRING.sub(b"", data).translate(_ALIKE, _ALL_BUT_BRACKETS)
    for _ in range(limit):
        if not brackets:
            return False
        brackets = brackets.replace(b"[]", b"")
    return bool(brackets)


def _members(value: Json) -> int:
    if isinstance(value, dict):
        return len(value) + sum(map(_members, value.values()))
    if isinstance(value, list):
        return sum(map(_members, value))
    return 0
