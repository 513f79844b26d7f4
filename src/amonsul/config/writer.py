"""The table of options printed: as a commented configuration file, and as a page of the documentation."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator
from typing import Final

from amonsul.config.kinds import Json
from amonsul.config.options import Area, Option, Section, walk
from amonsul.config.table import AREAS, ENTRIES

_WIDTH: Final = 100


def commented_defaults() -> str:
    """A configuration file with every option at its default; read back, it is the same as no file."""
    lines = [
        "// Configuration of Amonsul: JSON with // and /* */ comments.",
        "// Every option stands here with its default; those without one are commented out.",
        "{",
        *_with_commas(ENTRIES, "  "),
        "}",
    ]
    return "\n".join(lines) + "\n"


def _with_commas(entries: tuple[Option | Section, ...], indent: str) -> Iterator[str]:
    """The members of one object; a comma follows each value that another value follows."""
    titles = {area.entries[0].name: area.title for area in AREAS} if entries is ENTRIES else {}
    last = max((i for i, entry in enumerate(entries) if _has_value(entry)), default=-1)
    for number, entry in enumerate(entries):
        if entry.name in titles:
            yield from ("", f"{indent}// ---- {titles[entry.name]} ----")
        yield ""
        note = entry.help if isinstance(entry, Section) or entry.served else f"{entry.help} (Not served yet.)"
        for line in textwrap.wrap(note, _WIDTH - len(indent) - 3):
            yield f"{indent}// {line}"
        comma = "," if number < last else ""
        if isinstance(entry, Section):
            yield f'{indent}"{entry.name}" : {{'
            yield from _with_commas(entry.entries, indent + "  ")
            yield f"{indent}}}{comma}"
        elif entry.default is None:
            yield f'{indent}// "{entry.name}" : {_json(entry.example)},'
        else:
            if entry.example is not None:
                yield f'{indent}// Example: "{entry.name}" : {_json(entry.example)}'
            yield f'{indent}"{entry.name}" : {_json(entry.default)}{comma}'


def _has_value(entry: Option | Section) -> bool:
    return isinstance(entry, Section) or entry.default is not None


def markdown() -> str:
    """`docs/configuration.md`."""
    lines = [_INTRODUCTION.strip(), ""]
    for area in AREAS:
        lines += [f"## {area.title}", "", *_area(area)]
    return "\n".join(lines).rstrip() + "\n"


def _area(area: Area) -> Iterator[str]:
    plain = tuple(entry for entry in area.entries if isinstance(entry, Option))
    if plain:
        yield from _options(plain)
    for entry in area.entries:
        if isinstance(entry, Section):
            yield from (f"### Section `{entry.name}`", "", entry.help, "")
            yield from _options(tuple(option for _path, option in walk(entry.entries)))


def _options(options: tuple[Option, ...]) -> Iterator[str]:
    yield from ("| Option | Wanted | Default | What it does |", "|---|---|---|---|")
    for option in options:
        name = f"`{option.name}`" + ("" if option.served else " †")
        default = "" if option.default is None else f"`{_json(option.default)}`"
        example = f" Example: `{_json(option.example)}`." if option.example not in (None, {}, True) else ""
        cells = (name, _short(option.kind.describe()), default, option.help + example)
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
    yield ""


def _short(text: str) -> str:
    return text if len(text) <= 120 else text[:117].rsplit(" ", 1)[0] + " …"


def _json(value: Json) -> str:
    return json.dumps(value, ensure_ascii=False)


_INTRODUCTION: Final = """
# Configuration

*This page is printed from the table of options (`make docs`).*

Amonsul reads the configuration files of Orthanc. `amonsul serve FILE…` takes any number of files and folders; of a folder,
every `*.json` file in the order of their names. `amonsul --config=FILE` writes a file with every option, its default and a
comment. `amonsul check-config FILE…` tells what would be read, and what is wrong with it, without starting anything.

- A file is JSON in UTF-8. `//` and `/* */` comments and trailing commas are allowed.
- Of several files the later ones count. Sections and objects with names of your own (`DicomModalities`, `RegisteredUsers`…)
  are merged; everything else is replaced.
- `${NAME}` anywhere in a file stands for an environment variable, `${NAME:-value}` gives a value to take if it is not set.
  A variable that is not set and has no such value is an error.
- Environment variables come after the files: `ORTHANC__HTTP_PORT=8043`, `ORTHANC__DICOM_WEB__ROOT=/dw/`,
  `ORTHANC__REGISTERED_USERS='{"alice": "…"}'`. Two underscores lead into a section, single ones separate words, upper and
  lower case are the same; values are JSON, plain text where a string is wanted. `ORTHANC_JSON` may hold a whole file.
- Relative paths count from the folder of the file that gives them, or from the working folder.
- An unknown name is a warning that names the nearest known one. A value of the wrong kind is an error that says where it
  stands, and the server does not start.

Options marked † are known and have no effect yet; if one is set, the server says so once at start.
"""
