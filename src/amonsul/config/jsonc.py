"""JSON with comments, trailing commas and `${VARIABLES}`, as configuration files are written.

The text is made into plain JSON in one pass, in which every character keeps its line and column, so that what the JSON
parser says about a place is true of the file. Nesting is bounded before the parser sees anything.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from typing import Final

from amonsul.config.kinds import ConfigurationError, Json

MAX_SIZE: Final = 16 << 20
"""Bytes of the largest file."""
MAX_DEPTH: Final = 64
"""Levels of nesting."""

_INTERESTING: Final = re.compile(r'["/{}\[\],$]')
_STRING: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"')
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^}\n]*))?\}")


def parse(
    text: str, source: str, environment: Mapping[str, str], warn: Callable[[str], None] = lambda _message: None
) -> Json:
    """Read one file.

    Args:
        text: content of the file.
        source: its name, for messages.
        environment: values of `${NAME}`; `${NAME:-default}` names one to take where there is none.
        warn: told about names that stand twice in one object.

    Raises:
        ConfigurationError: not JSON, too deep, too large, or a variable without a value.
    """

    def pairs(items: list[tuple[str, Json]]) -> dict[str, Json]:
        result: dict[str, Json] = {}
        for name, value in items:
            if name in result:
                warn(f"{source}: {name} stands twice in one object, the last one counts")
            result[name] = value
        return result

    def not_a_number(name: str) -> Json:
        raise ConfigurationError(f"{source}: {name} is not a value of JSON")

    try:
        value: Json = json.loads(
            _plain(text, source, environment), object_pairs_hook=pairs, parse_constant=not_a_number
        )
    except json.JSONDecodeError as error:
        raise ConfigurationError(f"{source}, line {error.lineno}, column {error.colno}: {error.msg}") from error
    except ValueError as error:  # a number of too many digits
        raise ConfigurationError(f"{source}: {error}") from error
    return value


def _plain(text: str, source: str, environment: Mapping[str, str]) -> str:
    """The text without comments and trailing commas, variables filled in."""
    if len(text) > MAX_SIZE:
        raise ConfigurationError(f"{source}: more than {MAX_SIZE >> 20} MB")
    out: list[str] = []
    position = depth = 0
    comma: int | None = None  # index in `out` of a comma that nothing has followed yet

    def where(at: int) -> str:
        return f"{source}, line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}"

    while (match := _INTERESTING.search(text, position)) is not None:
        start = match.start()
        before = text[position:start]
        out.append(before)
        if comma is not None and before.strip():
            comma = None
        character = text[start]
        position = start + 1
        if character == "/":
            if text.startswith("//", start):
                end = text.find("\n", start)
                position = len(text) if end < 0 else end
                continue
            if text.startswith("/*", start):
                end = text.find("*/", start + 2)
                if end < 0:
                    raise ConfigurationError(f"{where(start)}: the comment that begins here has no end")
                position = end + 2
                out.append(re.sub(r"[^\n]", " ", text[start:position]))
                continue
            out.append(character)
        elif character == '"':
            string = _STRING.match(text, start)
            if string is None:
                raise ConfigurationError(f"{where(start)}: the string that begins here has no end")
            position = string.end()
            out.append(_expand(string.group(), environment, where(start), quoted=True))
            comma = None
        elif character == "$":
            variable = _VARIABLE.match(text, start)
            if variable is None:
                raise ConfigurationError(f"{where(start)}: unexpected $")
            position = variable.end()
            out.append(_expand(variable.group(), environment, where(start), quoted=False))
            comma = None
        elif character == ",":
            comma = len(out)
            out.append(character)
        elif character in "{[":
            depth += 1
            if depth > MAX_DEPTH:
                raise ConfigurationError(f"{where(start)}: more than {MAX_DEPTH} levels of nesting")
            out.append(character)
            comma = None
        else:
            depth -= 1
            if comma is not None:
                out[comma] = " "
                comma = None
            out.append(character)
    out.append(text[position:])
    return "".join(out)


def _expand(text: str, environment: Mapping[str, str], place: str, *, quoted: bool) -> str:
    """Fill in the variables of one token; inside a string their values are escaped, so that they stay one string."""

    def value_of(match: re.Match[str]) -> str:
        value = environment.get(match[1], match[2])
        if value is None:
            raise ConfigurationError(
                f"{place}: the environment variable {match[1]} is not set; "
                f"${{{match[1]}:-value}} gives one to take then"
            )
        return json.dumps(value)[1:-1] if quoted else value

    return _VARIABLE.sub(value_of, text) if "${" in text else text
