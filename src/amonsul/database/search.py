"""The one translation of a `Query` to SQL.

Constraints on attributes with a column, on labels, ancestors and user-defined metadata become conditions. The rest
(attributes that are only in the JSON of main tags or in the headers, exact case on folded columns, core metadata) is
left to `residual`, which looks at the candidates one by one.

Which way to go is decided by asking, not by guessing: for each condition that an index serves, the most selective kind
first, a bounded number of rows is fetched from the index alone. If all of them came, they are where the search starts
from. If there are more for every condition, a few thousand rows are walked in the order of the answer, which fills a
page soon when much matches; then larger bounds are tried; what matches tens of thousands of rows is walked to the end.
So a search costs about the same in a small and in a large index, and does not depend on statistics of the database.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, assert_never

from amonsul.database import condemned, tag_indexes
from amonsul.database.columns import COLUMNS, Column, fold
from amonsul.database.dialects import Dialect
from amonsul.database.encoding import json_key
from amonsul.database.engine import SqlValue, Transaction
from amonsul.database.metadata import CORE_NAMES
from amonsul.database.resources import ALIASES, PARENT_COLUMNS, TABLES, page_of_rows
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.matching import (
    MAX_PATTERN_LENGTH,
    ListOf,
    Match,
    Phonetic,
    Range,
    SingleValue,
    Universal,
    WildCard,
    folded,
    normalize,
)
from amonsul.dicom.query import (
    Cast,
    Constraint,
    Direction,
    LabelsConstraint,
    MetadataConstraint,
    OrderKey,
    Query,
)
from amonsul.errors import ParameterOutOfRange

MODALITIES_IN_STUDY: Final = 0x00080061
SOP_CLASSES_IN_STUDY: Final = 0x00080062
COMPUTED: Final[Mapping[int, tuple[Level, str]]] = {
    MODALITIES_IN_STUDY: (Level.STUDY, "modalities_in_study"),
    SOP_CLASSES_IN_STUDY: (Level.STUDY, "sop_classes_in_study"),
    0x00201200: (Level.PATIENT, "number_of_studies"),
    0x00201202: (Level.PATIENT, "number_of_series"),
    0x00201204: (Level.PATIENT, "number_of_instances"),
    0x00201206: (Level.STUDY, "number_of_series"),
    0x00201208: (Level.STUDY, "number_of_instances"),
    0x00201209: (Level.SERIES, "number_of_instances"),
}
"""Attributes that the index counts: their level and column (PS3.4 §C.3.4)."""

INSTANCE_AVAILABILITY: Final = 0x00080056


def can_have_index(tag: Tag) -> bool:
    """Whether an attribute may have an index of its own: it is looked for in main tags and headers only."""
    return tag not in COLUMNS and tag not in COMPUTED and tag != INSTANCE_AVAILABILITY


_START = 1000
"""Rows of a condition from which a search starts at once."""
_GLANCE = 10_000
"""Rows looked at in the order of the answer before a search starts from more; a quarter of it with their ancestors."""
_MANY = 30_000
"""Rows of a condition from which a search starts rather than look at all."""
_CHUNK = 512
_ALL_ROWS = (1 << 62) - 1
_LISTS = frozenset({MODALITIES_IN_STUDY, SOP_CLASSES_IN_STUDY})
_TRIGRAM = 3
_TEXT_RUN = re.compile(r"[^*?]{3,}")
_MOST_TERMS = 32
"""Labels that must all be there, metadata, and orders of one query: planning takes its time with each."""
_MOST_ALTERNATIVES = 500
"""Patterns that one condition tries."""
_SAMPLE = 64
"""Rows that tell which trigrams are common."""


@dataclass(frozen=True, slots=True)
class _Text:
    """Runs of characters that a column contains, of three or more each."""

    column: str
    runs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class _Condition:
    """One condition on one table.

    Attributes:
        level: of the table.
        sql: on columns written `{t}.column`; `{u}` before a column keeps it from an index.
        params: of the condition.
        rank: of how far an index narrows it, lowest first; None if none does.
        start: a statement that gives the rows by another way than the table itself.
        text: what the text contains, for a trigram index to give these rows and few more.
    """

    level: Level
    sql: str
    params: Mapping[str, SqlValue]
    rank: int | None = None
    start: str | None = None
    text: _Text | None = None


@dataclass(slots=True)
class Search:
    """A query, taken apart.

    Attributes:
        query: what was asked.
        residual: constraints that the conditions do not decide.
        residual_metadata: likewise.
        nothing: it is clear beforehand that nothing matches.
    """

    query: Query
    residual: list[Constraint] = field(default_factory=list)
    residual_metadata: list[MetadataConstraint] = field(default_factory=list)
    nothing: bool = False
    _conditions: list[_Condition] = field(default_factory=list)
    _count: int = 0

    @property
    def is_decided(self) -> bool:
        """Whether the conditions decide alone."""
        return not self.residual and not self.residual_metadata

    def name(self) -> str:
        """A new name of a parameter."""
        self._count += 1
        return f"p{self._count}"

    def require(self, condition: _Condition) -> None:
        """Add a condition."""
        self._conditions.append(condition)

    @property
    def looked_for(self) -> list[Tag]:
        """Attributes without a column or index for whose sake all resources have to be looked at."""
        if any(condition.rank is not None for condition in self._conditions):
            return []
        return [constraint.tag for constraint in self.residual if can_have_index(constraint.tag)]

    @property
    def conditions(self) -> list[_Condition]:
        """All of them."""
        return self._conditions


def prepare(
    query: Query,
    dialect: Dialect,
    main_levels: Mapping[Tag, Level],
    metadata_numbers: Mapping[str, int],
    *,
    headers: bool,
    indexed: Collection[Tag] = (),
) -> Search:
    """Take a query apart.

    Args:
        query: what is asked.
        dialect: of the database.
        main_levels: the level of each main tag.
        metadata_numbers: of the names in use.
        headers: whether attributes may be looked up in the stored headers.
        indexed: attributes without a column that have an index of their own, see `tag_indexes`.

    Raises:
        ParameterOutOfRange: a key, or all of them, are more than a statement takes.
    """
    labels = query.labels if query.labels_constraint is LabelsConstraint.ALL else ()
    for terms, name in ((labels, "labels"), (query.metadata, "metadata"), (query.order_by, "orders")):
        if len(terms) > _MOST_TERMS:
            raise ParameterOutOfRange(f"more than {_MOST_TERMS} {name} in one search")
    search = Search(query)
    for constraint in query.constraints:
        _attribute(search, constraint, dialect, main_levels, headers=headers)
    for constraint in search.residual:
        if constraint.tag in indexed and constraint.mandatory:
            _candidates_of_index(search, constraint, dialect)
    _labels(search, dialect, query.labels, query.labels_constraint)
    if query.view is not None:
        _labels(search, dialect, query.view.labels, query.view.constraint)
    for level, orthanc_id in query.parents.items():
        if level > query.level:
            search.nothing = True
        name = search.name()
        search.require(_Condition(level, f"{{t}}.orthanc_id = :{name}", {name: orthanc_id}, rank=0))
    for wanted in query.metadata:
        _metadata(search, wanted, metadata_numbers)
    return search


def _attribute(
    search: Search, constraint: Constraint, dialect: Dialect, main_levels: Mapping[Tag, Level], *, headers: bool
) -> None:
    tag, match = constraint.tag, constraint.match
    if isinstance(match, Universal):
        return
    column = COLUMNS.get(tag)
    if column is not None and column.level <= search.query.level:
        search.require(_on_column(search, column, constraint, dialect))
        folded_only = constraint.case_sensitive and not column.is_exact and not isinstance(match, Range)
        if folded_only or isinstance(match, Phonetic):
            search.residual.append(constraint)
        return
    if tag in _LISTS:
        _on_list(search, constraint, dialect)
        if search.query.view is not None and constraint not in search.residual:
            search.residual.append(constraint)  # the column holds what others have, too
        return
    if tag not in COMPUTED:
        level = main_levels.get(tag)
        if (level is None and not headers) or (level is not None and level > search.query.level):
            # An attribute of a lower level has no one value here.
            search.nothing = search.nothing or constraint.mandatory
            return
    search.residual.append(constraint)


def _on_column(search: Search, column: Column, constraint: Constraint, dialect: Dialect) -> _Condition:
    match = constraint.match
    expression = f"{{u}}{{t}}.{column.name}"
    rank = _rank(column) if column.is_indexed else None
    runs: tuple[str, ...] = ()
    name = search.name()
    params: dict[str, SqlValue]
    match match:
        case SingleValue(value):
            sql, params = f"{expression} = :{name}", {name: fold(column, value)}
        case ListOf(values):
            sql = dialect.is_text_in(expression, name)
            params = {name: dialect.texts(fold(column, value) for value in values)}
        case Range(low, high):
            high_name = search.name()
            bounds = []
            params = {}
            if low is not None:
                bounds.append(f"{expression} >= :{name}")
                params[name] = fold(column, low)
            if high is not None:
                bounds.append(f"{expression} <= :{high_name}")
                params[high_name] = fold(column, high)
            sql = " AND ".join(bounds) or f"{expression} IS NOT NULL"
        case WildCard(pattern):
            sql, params, rank, runs = _wild_card(search, column, pattern, rank, dialect)
        case Phonetic(codes):
            sql, params = _beginning_like(search, expression, codes)
        case Universal():
            raise AssertionError("decided before")
        case _:
            assert_never(match)
    if not constraint.mandatory:
        return _Condition(column.level, f"({expression} IS NULL OR ({sql}))", params)
    return _Condition(column.level, sql, params, rank, text=_Text(column.name, runs) if runs else None)


def _candidates_of_index(search: Search, constraint: Constraint, dialect: Dialect) -> None:
    """Require what the index of an attribute says; `residual` decides."""
    found = _entries(search, folded(constraint.match), dialect)
    if found is None:
        return
    entries, params = found
    tag, anything = search.name(), search.name()
    params |= {tag: constraint.tag, anything: tag_indexes.ANYTHING}
    level = Level.PATIENT if search.query.level is Level.PATIENT else Level.STUDY
    alternatives = []
    starts = []
    for anchor in (Level.STUDY, Level.PATIENT):
        of_anchor = f"v.level = {int(anchor)} AND v.tag = :{tag}"
        if level is anchor:
            join, row, wanted = "", "v.resource_row = {t}.id", "v.resource_row"
        elif level is Level.PATIENT:
            join, row, wanted = "JOIN studies s ON s.id = v.resource_row", "s.patient_row = {t}.id", "s.patient_row"
        else:
            join, row, wanted = "JOIN studies s ON s.patient_row = v.resource_row", "s.id = {t}.id", "s.id"
        either = f"({entries} OR v.value = :{anything})"
        alternatives.append(f"EXISTS (SELECT 1 FROM tag_values v {join} WHERE {of_anchor} AND {row} AND {either})")
        for values in (entries, f"v.value = :{anything}"):
            starts.append(f"SELECT {wanted} FROM tag_values v {join} WHERE {of_anchor} AND {values}")
    search.require(_Condition(level, " OR ".join(alternatives), params, rank=4, start=" UNION ALL ".join(starts)))


def _entries(search: Search, match: Match, dialect: Dialect) -> tuple[str, dict[str, SqlValue]] | None:
    """A condition on the entries of an index, which are folded; None if they do not tell."""
    name, low, high = search.name(), search.name(), search.name()
    match match:
        case SingleValue(value):
            return f"v.value = :{name}", {name: value}
        case ListOf(values):
            return dialect.is_text_in("v.value", name), {name: dialect.texts(values)}
        case Range(first, last):
            bounds = {low: first, high: last}
            sql = [
                f"v.value {'>=' if key == low else '<='} :{key}" for key, bound in bounds.items() if bound is not None
            ]
            return " AND ".join(sql), {key: bound for key, bound in bounds.items() if bound is not None}
        case WildCard(pattern):
            prefix = re.split(r"[*?]", pattern, maxsplit=1)[0]
            sql_of_pattern = dialect.wild_card("v.value", name)
            params: dict[str, SqlValue] = {name: dialect.wild_card_pattern(pattern)}
            if not prefix:
                return sql_of_pattern, params
            params |= {low: prefix, high: prefix[:-1] + _next_character(prefix[-1])}
            return f"v.value >= :{low} AND v.value < :{high} AND {sql_of_pattern}", params
        case Phonetic() | Universal():
            return None
        case _:
            assert_never(match)


def _wild_card(
    search: Search, column: Column, pattern: str, rank: int | None, dialect: Dialect
) -> tuple[str, dict[str, SqlValue], int | None, tuple[str, ...]]:
    """Condition, parameters, rank and runs of text of a pattern."""
    pattern = fold(column, pattern)
    expression = f"{{u}}{{t}}.{column.name}"
    name = search.name()
    sql = dialect.wild_card(expression, name)
    params: dict[str, SqlValue] = {name: dialect.wild_card_pattern(pattern)}
    prefix = re.split(r"[*?]", pattern, maxsplit=1)[0]
    if rank is not None and prefix:
        low, high = search.name(), search.name()
        sql = f"{expression} >= :{low} AND {expression} < :{high} AND {sql}"
        params |= {low: prefix, high: prefix[:-1] + _next_character(prefix[-1])}
        return sql, params, rank, ()
    runs = tuple(_TEXT_RUN.findall(pattern)) if column.is_text_indexed else ()
    return sql, params, rank if runs else None, runs


def _beginning_like(search: Search, expression: str, codes: tuple[str, ...]) -> tuple[str, dict[str, SqlValue]]:
    """Names that begin with the letter of a code, or with what a code folds or drops; `residual` decides."""
    initial = codes[0][:1] if codes else ""
    if not initial.isascii() or not initial:
        return f"{expression} IS NOT NULL", {}
    low, high, first, last = search.name(), search.name(), search.name(), search.name()
    sql = f"({expression} >= :{low} AND {expression} < :{high}) OR {expression} < :{first} OR {expression} > :{last}"
    return sql, {low: initial, high: _next_character(initial), first: "A", last: "\x7f"}


def _next_character(character: str) -> str:
    following = ord(character) + 1
    return chr(0xE000 if 0xD800 <= following < 0xE000 else min(following, 0x10FFFF))


def _rank(column: Column) -> int:
    if column.name.endswith("_uid"):
        return 1
    if column.name in ("patient_id", "accession_number"):
        return 2
    return 6 if column.name in ("modality", "study_id") else 5 if column.name.endswith("_date") else 4


def _on_list(search: Search, constraint: Constraint, dialect: Dialect) -> None:
    """ModalitiesInStudy or SOPClassesInStudy: the column holds all values between backslashes.

    For a patient those of all studies count; a star may span values.

    Raises:
        ParameterOutOfRange: there are more values, or longer ones, than a statement takes.
    """
    _, column = COMPUTED[constraint.tag]
    match = constraint.match
    fold_case = not constraint.case_sensitive
    match match:
        case SingleValue(value):
            patterns = [_literal(value)]
        case ListOf(values):
            patterns = [_literal(value) for value in values]
        case WildCard(pattern):
            patterns = [pattern]
        case _:
            search.residual.append(constraint)
            return
    if len(patterns) > _MOST_ALTERNATIVES or max(map(len, patterns)) > MAX_PATTERN_LENGTH:
        raise ParameterOutOfRange("A key for the modalities or SOP classes of a study is too long")
    alternatives = []
    params: dict[str, SqlValue] = {}
    for pattern in patterns:
        name = search.name()
        alternatives.append(dialect.wild_card(f"{{t}}.{column}", name))
        params[name] = dialect.wild_card_pattern(f"*\\{normalize(pattern) if fold_case else pattern}\\*")
    sql = "(" + " OR ".join(alternatives) + ")"
    if not constraint.mandatory:
        sql = f"({{t}}.{column} = '' OR {sql})"
    if search.query.level is Level.PATIENT:
        inner = sql.replace("{t}", "x")
        sql = f"EXISTS (SELECT 1 FROM studies x WHERE x.patient_row = {{t}}.id AND {inner})"
        search.require(_Condition(Level.PATIENT, sql, params))
    else:
        search.require(_Condition(Level.STUDY, sql, params))


def _literal(value: str) -> str:
    """A value as a pattern; its own stars and question marks cannot be told apart, so one character stands for them."""
    return value.replace("*", "?")


def _labels(search: Search, dialect: Dialect, labels: Collection[str], constraint: LabelsConstraint) -> None:
    level = search.query.level
    of_row = f"level = {int(level)} AND resource_row = {{t}}.id"
    if constraint is LabelsConstraint.NONE:
        if not labels:
            search.require(_Condition(level, f"NOT EXISTS (SELECT 1 FROM labels WHERE {of_row})", {}))
            return
        name = search.name()
        condition = dialect.is_text_in("label", name)
        search.require(
            _Condition(
                level,
                f"NOT EXISTS (SELECT 1 FROM labels WHERE {of_row} AND {condition})",
                {name: dialect.texts(sorted(labels))},
            )
        )
    elif constraint is LabelsConstraint.ANY and labels:
        name = search.name()
        condition = dialect.is_text_in("label", name)
        search.require(
            _Condition(
                level,
                f"EXISTS (SELECT 1 FROM labels WHERE {of_row} AND {condition})",
                {name: dialect.texts(sorted(labels))},
                rank=3,
                start=f"SELECT DISTINCT resource_row FROM labels WHERE {condition} AND level = {int(level)}",
            )
        )
    else:
        for label in sorted(labels):
            name = search.name()
            search.require(
                _Condition(
                    level,
                    f"EXISTS (SELECT 1 FROM labels WHERE {of_row} AND label = :{name})",
                    {name: label},
                    rank=3,
                    start=f"SELECT resource_row FROM labels WHERE label = :{name} AND level = {int(level)}",
                )
            )


def _metadata(search: Search, wanted: MetadataConstraint, numbers: Mapping[str, int]) -> None:
    number = numbers.get(wanted.name)
    if number is None or isinstance(wanted.match, Universal):
        search.nothing = search.nothing or number is None
        return
    level = int(search.query.level)
    search.residual_metadata.append(wanted)
    if number in CORE_NAMES and number not in (5, 6):
        return
    of_level = f"level = {level} AND number = {number}"
    search.require(
        _Condition(
            search.query.level,
            f"EXISTS (SELECT 1 FROM metadata WHERE {of_level} AND resource_row = {{t}}.id)",
            {},
            rank=3,
            start=f"SELECT resource_row FROM metadata WHERE {of_level}",
        )
    )


@dataclass(frozen=True, slots=True)
class _Start:
    """Where a search starts: a condition, and a statement that gives its rows, or their numbers."""

    level: Level
    sql: str
    params: Mapping[str, SqlValue]
    rows: Sequence[int] | None = None


class _Way:
    """A search on its way through the index: decides where to start, gives page after page.

    Args:
        tx: the transaction.
        search: what is sought.
        order: keys of ORDER BY with the levels whose tables they need; then, and without keys, the order of arrival.
    """

    def __init__(self, tx: Transaction, search: Search, order: Sequence[tuple[Level, str]] = ()) -> None:
        self._tx = tx
        self._search = search
        self._order = order
        ranked = [condition for condition in search.conditions if condition.rank is not None]
        self._starts = [_start(tx, each) for each in sorted(ranked, key=lambda each: each.rank or 0)]
        self._start = self._first_short()
        self._is_settled = self._start is not None or not self._starts

    def rows(self, after: int, since: int, limit: int) -> list[tuple[int, OrthancId]]:
        """Rows and identifiers of what comes after a row, without the first ones; `limit` 0 gives all."""
        if not self._is_settled:
            if limit and not self._order:
                is_alone = all(condition.level is self._search.query.level for condition in self._search.conditions)
                found = self._page(after, since, limit, within=_GLANCE if is_alone else _GLANCE // 4)
                if len(found) == limit:
                    return found
            self._settle()
        return self._page(after, since, limit)

    def count(self) -> int:
        """How many there are."""
        if not self._is_settled:
            self._settle()
        tables, where, params = self._statement(all_rows=True)
        row = self._tx.one(f"SELECT COUNT(*) FROM {tables} {where}", **params)
        assert row is not None
        return int(row[0])

    def _first_short(self) -> _Start | None:
        for start in self._starts:
            rows = self._tx.search(f"{start.sql} LIMIT {_START + 1}", **start.params)
            if len(rows) <= _START:
                return replace(start, rows=[row[0] for row in rows])
        return None

    def _settle(self) -> None:
        """Start from the rows of a condition if they are not too many."""
        self._is_settled = True
        for start in self._starts:
            counted = self._tx.search(f"SELECT COUNT(*) FROM ({start.sql} LIMIT {_MANY + 1}) AS found", **start.params)
            if counted[0][0] <= _MANY:
                self._start = start
                return

    def _page(self, after: int, since: int, limit: int, *, within: int = 0) -> list[tuple[int, OrthancId]]:
        tables, where, params = self._statement(all_rows=not limit)
        level = self._search.query.level
        alias, table = ALIASES[level], TABLES[level]
        if after or within:
            where = f"{where} AND {alias}.id > :after" if where else f"WHERE {alias}.id > :after"
            params["after"] = after
        if within:
            last = f"SELECT id FROM {table} WHERE id > :after ORDER BY id LIMIT 1 OFFSET {within + since}"
            where += f" AND {alias}.id <= COALESCE(({last}), {_ALL_ROWS})"
        keys = ", ".join([*(key for _, key in self._order), f"{alias}.id"])
        rows = self._tx.search(
            f"SELECT {alias}.id, {alias}.orthanc_id FROM {tables} {where} ORDER BY {keys} LIMIT :limit OFFSET :since",
            limit=limit or _ALL_ROWS,
            since=since,
            **params,
        )
        return [(row[0], row[1]) for row in rows]

    def _statement(self, *, all_rows: bool) -> tuple[str, str, dict[str, SqlValue]]:
        """FROM, WHERE and parameters. If all rows are wanted and there are many, the way is left to the database."""
        tx, search, start = self._tx, self._search, self._start
        dialect, level = tx.dialect, search.query.level
        levels = [condition.level for condition in search.conditions] + [key[0] for key in self._order] + [level]
        params: dict[str, SqlValue] = {}
        conditions = []
        if level is Level.INSTANCE and (live := condemned.hidden(tx, ALIASES[level])):
            conditions.append(live)
        for condition in search.conditions:
            sql = condition.sql.replace("{t}", ALIASES[condition.level])
            if start is None and all_rows:
                sql = sql.replace("{u}", "")
            else:
                sql = re.sub(r"\{u\}([\w.]+)", lambda found: dialect.unindexed(found[1]), sql)
            conditions.append(f"({sql})")
            params |= condition.params
        top = min(levels)
        if start is None:
            tables = f"{TABLES[level]} {ALIASES[level]}"
            for step in range(level - 1, top - 1, -1):
                tables += f" JOIN {TABLES[step]} {ALIASES[step]} ON {_on(step + 1)}"
        else:
            tables = f"{TABLES[start.level]} {ALIASES[start.level]}"
            for step in range(start.level + 1, level + 1):
                tables += f" {dialect.ordered_join} {TABLES[step]} {ALIASES[step]} ON {_on(step)}"
            for step in range(start.level - 1, top - 1, -1):
                tables += f" {dialect.ordered_join} {TABLES[step]} {ALIASES[step]} ON {_on(step + 1)}"
            row = f"{ALIASES[start.level]}.id"
            if start.rows is None:
                conditions.append(dialect.is_answer_of(row, start.sql))
                params |= start.params
            else:
                conditions.append(dialect.is_number_in(row, "rows"))
                params["rows"] = dialect.numbers(start.rows)
        return tables, f"WHERE {' AND '.join(conditions)}" if conditions else "", params


def _start(tx: Transaction, condition: _Condition) -> _Start:
    table, alias = TABLES[condition.level], f"{ALIASES[condition.level]}x"
    if condition.text is not None:
        text = condition.text
        runs = _telling(tx, table, text.column, text.runs)
        sql, params = tx.dialect.containing(table, text.column, runs)
        return _Start(condition.level, sql, params)
    if condition.start is not None:
        return _Start(condition.level, condition.start, condition.params)
    where = condition.sql.replace("{u}", "").replace("{t}", alias)
    return _Start(condition.level, f"SELECT {alias}.id FROM {table} {alias} WHERE {where}", condition.params)


def _telling(tx: Transaction, table: str, column: str, runs: Sequence[str]) -> Sequence[str]:
    """Those parts of some runs of text that few rows have, as far as the newest rows tell; all of it if there are none.

    To look up trigrams that most rows have costs more than it saves.
    """
    if all(len(run) == _TRIGRAM for run in runs):
        return runs
    newest = [row[0] or "" for row in tx.all(f"SELECT {column} FROM {table} ORDER BY id DESC LIMIT {_SAMPLE}")]
    telling = []
    for run in runs:
        begin = None
        for at in range(len(run) - _TRIGRAM + 2):
            trigram = run[at : at + _TRIGRAM]
            is_rare = len(trigram) == _TRIGRAM and sum(trigram in text for text in newest) <= _SAMPLE // 20
            if is_rare and begin is None:
                begin = at
            elif not is_rare and begin is not None:
                telling.append(run[begin : at + _TRIGRAM - 1])
                begin = None
    return telling or runs


def _on(step: int) -> str:
    return f"{ALIASES[step]}.{PARENT_COLUMNS[step]} = {ALIASES[step - 1]}.id"


def count(tx: Transaction, search: Search) -> int:
    """How many resources satisfy the conditions of a search that is decided by them."""
    if search.nothing:
        return 0
    if search.conditions:
        return _Way(tx, search).count()
    row = tx.one(f"SELECT {TABLES[search.query.level]} FROM statistics")
    assert row is not None
    return int(row[0])


def page(
    tx: Transaction, search: Search, main_levels: Mapping[Tag, Level], metadata_numbers: Mapping[str, int]
) -> list[tuple[int, OrthancId]]:
    """Rows and identifiers of the page of a search that is decided by its conditions."""
    query = search.query
    if search.nothing:
        return []
    order = _order(query, tx.dialect, main_levels, metadata_numbers)
    if not search.conditions and not order:
        return page_of_rows(tx, query.level, query.since, query.limit)
    return _Way(tx, search, order).rows(0, query.since, query.limit)


def rows_after(tx: Transaction, search: Search, after: int, limit: int) -> list[int]:
    """The next rows that satisfy the conditions, in order of arrival: a page that costs the same wherever it begins."""
    if search.nothing:
        return []
    return [row for row, _ in _Way(tx, search).rows(after, 0, limit)]


def candidates(
    tx: Transaction, search: Search, main_levels: Mapping[Tag, Level], metadata_numbers: Mapping[str, int]
) -> Iterator[list[int]]:
    """Rows that satisfy the conditions, in the order of the answer, a chunk at a time."""
    if search.nothing:
        return
    order = _order(search.query, tx.dialect, main_levels, metadata_numbers)
    way = _Way(tx, search, order)
    if order:
        rows = way.rows(0, 0, 0)
        for at in range(0, len(rows), _CHUNK):
            yield [row for row, _ in rows[at : at + _CHUNK]]
        return
    after = 0
    while True:
        rows = way.rows(after, 0, _CHUNK)
        if rows:
            yield [row for row, _ in rows]
            after = rows[-1][0]
        if len(rows) < _CHUNK:
            return


def _order(
    query: Query, dialect: Dialect, main_levels: Mapping[Tag, Level], metadata_numbers: Mapping[str, int]
) -> list[tuple[Level, str]]:
    """Keys of ORDER BY and the level whose table each needs; attributes that the index does not have play no part."""
    order = []
    for key in query.order_by:
        found = (
            _metadata_key(query.level, key, dialect, metadata_numbers)
            if isinstance(key.key, str)
            else _tag_key(query.level, key.key, dialect, main_levels)
        )
        if found is None:
            continue
        level, expression, is_text = found
        match key.cast:
            case Cast.INTEGER if is_text:
                expression = dialect.as_integer(expression)
            case Cast.REAL if is_text:
                expression = dialect.as_real(expression)
            case _:
                pass
        descends = key.direction is Direction.DESCENDING
        # An absent value comes before all others, so that one index serves both directions.
        order.append((level, f"{expression} {'DESC NULLS LAST' if descends else 'ASC NULLS FIRST'}"))
    return order


def _tag_key(at: Level, tag: Tag, dialect: Dialect, main_levels: Mapping[Tag, Level]) -> tuple[Level, str, bool] | None:
    computed = COMPUTED.get(tag)
    if computed is not None:
        level, column_name = computed
        return (level, f"{ALIASES[level]}.{column_name}", tag in _LISTS) if level <= at else None
    found = main_levels.get(tag)
    if found is None or found > at:
        return None
    alias = ALIASES[found]
    column = COLUMNS.get(tag)
    if column is not None and column.is_exact:
        return found, f"{alias}.{column.name}", True
    return found, dialect.json_text(f"{alias}.tags", json_key(tag)), True


def _metadata_key(
    level: Level, key: OrderKey, dialect: Dialect, numbers: Mapping[str, int]
) -> tuple[Level, str, bool] | None:
    number = numbers.get(str(key.key))
    if number is None:
        return None
    alias = ALIASES[level]
    if level is Level.INSTANCE:
        column = {1: "index_in_series", 9: "transfer_syntax_uid", 10: "sop_class_uid"}.get(number)
        if column is not None:
            return level, f"{alias}.{column}", number != 1
        if number in CORE_NAMES:
            return level, dialect.json_text(f"{alias}.metadata", str(number)), True
    elif number == 7:
        return level, f"{alias}.last_update", True
    elif level is Level.SERIES and number in (3, 4):
        return level, f"{alias}.{'remote_aet' if number == 3 else 'expected_number_of_instances'}", number == 3
    value = (
        f"(SELECT {dialect.printable('value')} FROM metadata WHERE level = {int(level)} "
        f"AND resource_row = {alias}.id AND number = {number})"
    )
    return level, value, True
