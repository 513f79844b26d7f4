"""The few true differences between the two databases."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import orjson


@dataclass(frozen=True, slots=True)
class Dialect:
    """How one of the databases says what the other says differently.

    Attributes:
        name: `sqlite` or `postgresql`.
        row_id: type of a primary key that numbers itself.
        integer: type of 64-bit integers.
        blob: type of bytes.
        text: type of text that is compared byte by byte.
        ordered_join: a join whose left side is the outer loop, where that can be told.
    """

    name: str
    row_id: str
    integer: str
    blob: str
    text: str
    ordered_join: str

    def numbers(self, values: Iterable[int]) -> str:
        """Numbers as the parameter of `is_number_in`."""
        raise NotImplementedError

    def is_number_in(self, column: str, parameter: str) -> str:
        """`column` is one of `numbers`."""
        raise NotImplementedError

    def texts(self, values: Iterable[str]) -> str:
        """Texts as the parameter of `is_text_in`."""
        return orjson.dumps(list(values)).decode()

    def is_text_in(self, column: str, parameter: str) -> str:
        """`column` is one of `texts`."""
        raise NotImplementedError

    def json_text(self, column: str, key: str) -> str:
        """The text under `key`, a fixed word, of a JSON object in a column of text."""
        raise NotImplementedError

    def wild_card(self, column: str, parameter: str) -> str:
        """`column` matches a pattern made by `wild_card_pattern`, minding case."""
        raise NotImplementedError

    def wild_card_pattern(self, pattern: str) -> str:
        """A pattern of `*` and `?` as this database writes it."""
        raise NotImplementedError

    def containing(self, table: str, column: str, runs: Sequence[str]) -> tuple[str, dict[str, str]]:
        """The statement, and its parameters, that gives the rows whose text contains all of some runs of characters."""
        raise NotImplementedError

    def is_answer_of(self, column: str, statement: str) -> str:
        """`column` is one of the numbers that a statement gives."""
        raise NotImplementedError

    def unindexed(self, expression: str) -> str:
        """The same text, kept from leading the database to an index."""
        raise NotImplementedError

    def printable(self, column: str) -> str:
        """Bytes as text."""
        raise NotImplementedError

    def as_integer(self, expression: str) -> str:
        """Text as an integer, NULL if it is none."""
        raise NotImplementedError

    def as_real(self, expression: str) -> str:
        """Text as a number, NULL if it is none."""
        raise NotImplementedError


class _Sqlite(Dialect):
    __slots__ = ()

    def numbers(self, values: Iterable[int]) -> str:
        return orjson.dumps(list(values)).decode()

    def is_number_in(self, column: str, parameter: str) -> str:
        return f"{column} IN (SELECT value FROM json_each(:{parameter}))"

    def is_text_in(self, column: str, parameter: str) -> str:
        return f"{column} IN (SELECT value FROM json_each(:{parameter}))"

    def json_text(self, column: str, key: str) -> str:
        return f"json_extract({column}, '$.\"{key}\"')"

    def wild_card(self, column: str, parameter: str) -> str:
        return f"{column} GLOB :{parameter}"

    def wild_card_pattern(self, pattern: str) -> str:
        return pattern.replace("[", "[[]")

    def containing(self, table: str, column: str, runs: Sequence[str]) -> tuple[str, dict[str, str]]:
        phrases = " AND ".join('"' + run.replace('"', '""') + '"' for run in runs)
        return f"SELECT rowid FROM {table}_text WHERE {table}_text MATCH :runs", {"runs": f"{column} : ({phrases})"}

    def is_answer_of(self, column: str, statement: str) -> str:
        return f"{column} IN ({statement})"

    def unindexed(self, expression: str) -> str:
        return f"+{expression}"

    def printable(self, column: str) -> str:
        return f"CAST({column} AS TEXT)"

    def as_integer(self, expression: str) -> str:
        return f"CASE WHEN trim({expression}) GLOB '[-+0-9]*' THEN CAST({expression} AS INTEGER) END"

    def as_real(self, expression: str) -> str:
        return f"CASE WHEN trim({expression}) GLOB '[-+.0-9]*' THEN CAST({expression} AS REAL) END"


class _PostgreSql(Dialect):
    __slots__ = ()

    def numbers(self, values: Iterable[int]) -> str:
        return "{" + ",".join(map(str, values)) + "}"

    def is_number_in(self, column: str, parameter: str) -> str:
        return f"{column} = ANY(CAST(:{parameter} AS BIGINT[]))"

    def texts(self, values: Iterable[str]) -> str:
        return orjson.dumps([value.replace("\0", "\ufffd") for value in values]).decode()

    def is_text_in(self, column: str, parameter: str) -> str:
        return f"{column} = ANY(ARRAY(SELECT json_array_elements_text(CAST(:{parameter} AS JSON))))"

    def json_text(self, column: str, key: str) -> str:
        return f"(CAST({column} AS JSON) ->> '{key}') COLLATE \"C\""

    def wild_card(self, column: str, parameter: str) -> str:
        return f"{column} LIKE :{parameter}"

    def wild_card_pattern(self, pattern: str) -> str:
        return pattern.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_").replace("*", "%").replace("?", "_")

    def containing(self, table: str, column: str, runs: Sequence[str]) -> tuple[str, dict[str, str]]:
        params = {f"run{number}": self.wild_card_pattern(f"*{run}*") for number, run in enumerate(runs)}
        where = " AND ".join(f"{column} LIKE :{name}" for name in params)
        return f"SELECT id FROM {table} WHERE {where}", params

    def is_answer_of(self, column: str, statement: str) -> str:
        return f"{column} = ANY(ARRAY({statement}))"

    def unindexed(self, expression: str) -> str:
        return f"({expression} || '')"

    def printable(self, column: str) -> str:
        return f"encode({column}, 'escape')"

    def as_integer(self, expression: str) -> str:
        return rf"CAST(substring({expression} FROM '^\s*([-+]?[0-9]{{1,18}})') AS BIGINT)"

    def as_real(self, expression: str) -> str:
        number = r"^\s*([-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]{1,2})?)"
        return rf"CAST(substring({expression} FROM '{number}') AS DOUBLE PRECISION)"


SQLITE = _Sqlite(
    name="sqlite", row_id="INTEGER PRIMARY KEY", integer="INTEGER", blob="BLOB", text="TEXT", ordered_join="CROSS JOIN"
)
POSTGRESQL = _PostgreSql(
    name="postgresql",
    row_id="BIGINT GENERATED BY DEFAULT AS IDENTITY PRIMARY KEY",
    integer="BIGINT",
    blob="BYTEA",
    text='TEXT COLLATE "C"',
    ordered_join="JOIN",
)
