"""Configuration files and environment variables in, one checked `Configuration` out.

Files are merged in the order given, folders in the order of the names of their `*.json` files: sections and objects
with free names are merged, of everything else the last one counts. Environment variables come last. Then every value is
checked against the table; whatever is refused is told with its source and its path.
"""

from __future__ import annotations

import difflib
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from amonsul.config import jsonc
from amonsul.config.kinds import ConfigurationError, Json, Named, WrongValue, strays
from amonsul.config.options import Option, Section
from amonsul.config.table import ENTRIES, OPTIONS

ENVIRONMENT_PREFIX: Final = "ORTHANC__"
WHOLE_FROM_ENVIRONMENT: Final = "ORTHANC_JSON"
"""Variable that holds a whole configuration, read after the files and before the single variables."""
MAX_FILES: Final = 1000

_SECRET: Final = re.compile(r"password|registeredusers|\bpin\b|connectionuri|headers|peers|servers", re.IGNORECASE)

_Entries = Mapping[str, Option | Section]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a value was set.

    Attributes:
        name: for messages: a file, or a variable of the environment.
        folder: what relative paths in it count from.
    """

    name: str
    folder: Path


@dataclass(frozen=True)
class Configuration:
    """The values of all options.

    Attributes:
        given: paths of the options that were set, with the source that set them last.
        warnings: what the operator should be told: unknown names, names given twice, options without effect.
    """

    values: Mapping[str, Json]
    given: Mapping[str, Source]
    warnings: tuple[str, ...]

    def value(self, path: str) -> Json:
        """Value of an option, e.g. `DicomWeb.Root`; its default if it was not set."""
        return self.values[path] if path in self.values else OPTIONS[path].default

    def flag(self, path: str) -> bool:
        """A value that is true or false; an unset one counts as false."""
        value = self.value(path)
        assert value is None or isinstance(value, bool)
        return bool(value)

    def number(self, path: str) -> int:
        """A whole number."""
        value = self.value(path)
        assert isinstance(value, int)
        return value

    def text(self, path: str) -> str:
        """A string; an unset one counts as empty."""
        value = self.value(path)
        assert value is None or isinstance(value, str)
        return value or ""

    def texts(self, path: str) -> tuple[str, ...]:
        """A list of strings, or one string that stands for a list of one."""
        value = self.value(path)
        items = [value] if isinstance(value, str) else value
        assert isinstance(items, list)
        return tuple(str(item) for item in items)

    def table(self, path: str) -> Mapping[str, Json]:
        """An object with free names."""
        value = self.value(path)
        assert isinstance(value, dict)
        return value

    def is_set(self, path: str) -> bool:
        """Whether an option without a default has a value."""
        return self.value(path) is not None

    def path(self, path: str) -> Path:
        """A file or folder; a relative one counts from the folder of the source that gives it."""
        return (self._folder_of(path) / self.text(path)).absolute()

    def paths(self, path: str) -> tuple[Path, ...]:
        """A list of files or folders, likewise."""
        return tuple((self._folder_of(path) / text).absolute() for text in self.texts(path))

    def folder_of(self, path: str) -> Path:
        """From where relative names of files in an option count."""
        return self._folder_of(path)

    def _folder_of(self, path: str) -> Path:
        source = self.given.get(path)
        return source.folder if source else Path.cwd()

    def refuse(self, path: str, reason: str, place: str = "") -> ConfigurationError:
        """The error to raise for an option whose value cannot be used for a reason that the table does not know.

        `place` is where in the value, e.g. `ExtraMainDicomTags.Study[1]`.
        """
        source = self.given.get(path)
        where = f"{source.name}: {place or path}" if source else place or path
        return ConfigurationError(f"{where}: {reason}")


def load(paths: Sequence[Path], environment: Mapping[str, str] | None = None) -> Configuration:
    """Read the files and folders and the environment.

    Raises:
        ConfigurationError: a file that cannot be read, is not JSON, or holds a value of the wrong kind.
    """
    variables = os.environ if environment is None else environment
    warnings: list[str] = []
    merge = _Merge(warnings)
    for file in _files(paths):
        source = Source(str(file), file.absolute().parent)
        merge.add(jsonc.parse(_read(file), source.name, variables, warnings.append), source)
    if text := variables.get(WHOLE_FROM_ENVIRONMENT):
        source = _environment_source(WHOLE_FROM_ENVIRONMENT)
        merge.add(jsonc.parse(text, source.name, {}, warnings.append), source)
    for name in sorted(variables):
        if name.upper().startswith(ENVIRONMENT_PREFIX):
            merge.add_variable(name, variables[name])
    return merge.finish()


def defaults() -> Configuration:
    """The configuration without any file."""
    return Configuration({}, {}, ())


class _Merge:
    """Collects values from one source after the other, checking each against the table."""

    def __init__(self, warnings: list[str]) -> None:
        self._values: dict[str, Json] = {}
        self._given: dict[str, Source] = {}
        self._warnings = warnings

    def add(self, document: Json, source: Source) -> None:
        """Take over a whole document."""
        if not isinstance(document, dict):
            raise ConfigurationError(f"{source.name}: came {_shown(document)}, wanted an object with options")
        self._section(document, _named(ENTRIES), "", source)

    def add_variable(self, name: str, text: str) -> None:
        """Take over one variable of the environment."""
        source = _environment_source(name)
        known = _named(ENTRIES)
        prefix = ""
        words = name[len(ENVIRONMENT_PREFIX) :].split("__")
        for number, word in enumerate(words):
            entry = next((entry for each, entry in known.items() if _folded(each) == _folded(word)), None)
            if entry is None:
                self._unknown(_camel_case(word), known, prefix, source)
                return
            path = prefix + entry.name
            rest = words[number + 1 :]
            if isinstance(entry, Option):
                if not rest:
                    self._option(entry, path, _from_environment(entry, path, text), source)
                elif isinstance(entry.kind, Named):
                    self._option(entry, path, {"__".join(rest): _json_or_text(text)}, source)
                else:
                    self._warnings.append(f"{source.name}: {path} has no parts, ignored")
                return
            known, prefix = _named(entry.entries), path + "."
        self._section(_object(_json_or_text(text), prefix[:-1], source), known, prefix, source)

    def finish(self) -> Configuration:
        """The result; tells about options without effect."""
        idle = [
            path for path in self._given if not OPTIONS[path].served and self._values[path] != OPTIONS[path].default
        ]
        if idle:
            self._warnings.append("known options that this version does not act on yet: " + ", ".join(sorted(idle)))
        return Configuration(self._values, self._given, tuple(self._warnings))

    def _section(self, values: dict[str, Json], known: _Entries, prefix: str, source: Source) -> None:
        for name, value in values.items():
            entry = known.get(name)
            if entry is None:
                self._unknown(name, known, prefix, source)
            elif isinstance(entry, Section):
                path = prefix + name
                self._section(_object(value, path, source), _named(entry.entries), path + ".", source)
            else:
                self._option(entry, prefix + name, value, source)

    def _option(self, option: Option, path: str, value: Json, source: Source) -> None:
        if value is None and option.default is None:
            return  # null: not set
        try:
            option.kind.check(value, path)
        except WrongValue as error:
            raise ConfigurationError(
                f"{source.name}: {error.place}: came {_shown(error.value, error.place)}, wanted {error.wanted}"
            ) from error
        for place, name, fields in strays(option.kind, value, path):
            self._unknown(name, fields.fields, place + ".", source)
        earlier = self._values.get(path)
        if isinstance(option.kind, Named) and isinstance(earlier, dict) and isinstance(value, dict):
            value = {**earlier, **value}
        self._values[path] = value
        self._given[path] = source

    def _unknown(self, name: str, known: Collection[str], prefix: str, source: Source) -> None:
        nearest = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
        if not nearest:  # upper and lower case matter less to people than to difflib
            lowered = {each.lower(): each for each in known}
            nearest = [lowered[each] for each in difflib.get_close_matches(name.lower(), lowered, n=1, cutoff=0.6)]
        hint = f"; did you mean {prefix}{nearest[0]}?" if nearest else ""
        self._warnings.append(f"{source.name}: unknown option {prefix}{name[:100]}{hint}")


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files among `paths` and in the folders among them."""
    count = 0
    for path in paths:
        if path.is_dir():
            files = sorted(
                (file for file in path.iterdir() if file.suffix == ".json" and file.is_file()), key=lambda f: f.name
            )
        else:
            files = [path]
        count += len(files)
        if count > MAX_FILES:
            raise ConfigurationError(f"more than {MAX_FILES} configuration files")
        yield from files


def _read(file: Path) -> str:
    try:
        if file.stat().st_size > jsonc.MAX_SIZE:
            raise ConfigurationError(f"{file}: more than {jsonc.MAX_SIZE >> 20} MB")
        return file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise ConfigurationError(f"{file}: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{file}: not UTF-8 at byte {error.start}") from error


def _environment_source(name: str) -> Source:
    return Source(f"environment variable {name}", Path.cwd())


def _from_environment(option: Option, path: str, text: str) -> Json:
    """The value of a variable: JSON, but options that are strings take the text as it stands."""
    value = _json_or_text(text)
    try:
        option.kind.check(value, path)
    except WrongValue:
        try:
            option.kind.check(text, path)
        except WrongValue:
            return value  # told as what it looks like
        return text
    return value


def _json_or_text(text: str) -> Json:
    try:
        return jsonc.parse(text, "", {})
    except ConfigurationError:
        return text


def _object(value: Json, path: str, source: Source) -> dict[str, Json]:
    if isinstance(value, dict):
        return value
    raise ConfigurationError(f"{source.name}: {path}: came {_shown(value)}, wanted an object with options")


def _named(entries: Iterable[Option | Section]) -> _Entries:
    return {entry.name: entry for entry in entries}


def _folded(name: str) -> str:
    return name.replace("_", "").lower()


def _camel_case(words: str) -> str:
    return "".join(word.capitalize() for word in words.split("_"))


def _shown(value: Json, place: str = "") -> str:
    """A value in a message, short; of a place that may hold a password, only its type."""
    if _SECRET.search(place):
        return f"a value of type {type(value).__name__}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 60 else text[:57] + "..."
