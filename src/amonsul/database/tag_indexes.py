"""Indexes of attributes that no column has: which resources may have a value, by value.

An entry says that some instance of a study has, or had, a value, or that the main tags of a patient have it. Whoever
searches takes these for candidates and looks at each of them, as without an index (`residual`). So an entry too many
does no harm, and deleting an instance changes nothing; an entry must never be missing. It is written by the transaction
that stores the value, from the moment at which the index is declared; what was stored before is read meanwhile, in
pieces, by whoever builds it (`pieces`). Until it is ready nobody searches it.

Values are folded. One that is too long, that has too many parts or is changed in length by folding is entered as
`ANYTHING`, which is always a candidate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from amonsul.database.encoding import decode_tags
from amonsul.database.engine import Transaction
from amonsul.dicom.elements import Element, Tag
from amonsul.dicom.header import decode_header
from amonsul.dicom.json_tags import text_of
from amonsul.dicom.levels import Level
from amonsul.dicom.matching import normalize, undotted

ANYTHING: Final = "\x01"
_LONGEST: Final = 256
_MOST_PARTS: Final = 32


@dataclass(frozen=True, slots=True)
class Anchor:
    """What an entry points to: a study, or a patient for its own main tags."""

    level: Level
    row: int


Values = Mapping[Tag, Collection[str]]
"""Folded values by attribute."""


def fold(text: str) -> set[str]:
    """The entries for the value of an attribute: the whole, and each part of a multiple value."""
    parts = text.split("\\", _MOST_PARTS) if "\\" in text else [text]
    if len(text) > _LONGEST * _MOST_PARTS or len(parts) > _MOST_PARTS:
        return {ANYTHING}
    entries = set()
    for part in {text, *parts, *map(undotted, parts)}:
        folded = normalize(part)
        if len(folded) > _LONGEST or "\0" in folded:
            entries.add(ANYTHING)
            continue
        entries.add(folded)
        if len(folded) != len(part):  # a question mark of a pattern stands for one character
            entries.add(ANYTHING)
    return entries


def of_element(element: Element | None) -> set[str]:
    """The entries for an element; none if it has no text, which nothing matches."""
    text = None if element is None else text_of(element)
    return set() if text is None else fold(text)


def of_main_tags(tags: Iterable[Tag], main_tags: Mapping[Tag, str]) -> Values:
    """The entries for main tags."""
    return {tag: fold(main_tags[tag]) for tag in tags if tag in main_tags}


# ------------------------------------------------------------------------------------------------- which there are


def parse(listed: str) -> tuple[Tag, ...]:
    """What `statistics.indexed_tags` says."""
    return tuple(Tag(int(tag)) for tag in listed.split(",")) if listed else ()


def declared(tx: Transaction) -> tuple[Tag, ...]:
    """The attributes whose values are entered, ready or not."""
    row = tx.one("SELECT indexed_tags FROM statistics")
    return parse(row[0]) if row else ()


def states(tx: Transaction) -> dict[Tag, bool]:
    """The same attributes, each with whether it is ready to be searched."""
    return {Tag(tag): bool(is_ready) for tag, is_ready in tx.all("SELECT tag, is_ready FROM tag_indexes ORDER BY tag")}


def declare(tx: Transaction, tags: Collection[Tag]) -> None:
    """Begin to enter the values of attributes."""
    tx.run_many(
        "INSERT INTO tag_indexes (tag) VALUES (:tag) ON CONFLICT (tag) DO NOTHING", [{"tag": tag} for tag in tags]
    )
    _tell(tx)


def finish(tx: Transaction, tags: Collection[Tag]) -> None:
    """All values are entered."""
    tx.run_many("UPDATE tag_indexes SET is_ready = 1 WHERE tag = :tag", [{"tag": tag} for tag in tags])


def withdraw(tx: Transaction, tags: Collection[Tag]) -> None:
    """Nobody searches these any more; their entries go with `remove_entries`."""
    tx.run_many("DELETE FROM tag_indexes WHERE tag = :tag", [{"tag": tag} for tag in tags])
    _tell(tx)


def withdrawn(tx: Transaction) -> Tag | None:
    """An attribute that has entries and no index any more."""
    after = -1
    while (found := tx.one("SELECT MIN(tag) FROM tag_values WHERE tag > :after", after=after)) is not None:
        if found[0] is None:
            return None
        if tx.one("SELECT 1 FROM tag_indexes WHERE tag = :tag", tag=found[0]) is None:
            return Tag(found[0])
        after = found[0]
    return None


def remove_entries(tx: Transaction, limit: int) -> int:
    """Remove some entries of indexes that are no more; answers how many."""
    tag = withdrawn(tx)
    if tag is None:
        return 0
    rows = tx.all(
        "SELECT value, level, resource_row FROM tag_values WHERE tag = :tag LIMIT :limit", tag=tag, limit=limit
    )
    tx.run_many(
        "DELETE FROM tag_values WHERE tag = :tag AND value = :value AND level = :level AND resource_row = :row",
        [{"tag": tag, "value": value, "level": level, "row": row} for value, level, row in rows],
    )
    return len(rows)


def _tell(tx: Transaction) -> None:
    rows = tx.all("SELECT tag FROM tag_indexes ORDER BY tag")
    tx.run("UPDATE statistics SET indexed_tags = :tags WHERE id = 1", tags=",".join(str(row[0]) for row in rows))


# ------------------------------------------------------------------------------------------------------- entries


def enter(tx: Transaction, anchor: Anchor, values: Values) -> None:
    """Enter values; those that are there already stay."""
    tx.run_many(
        "INSERT INTO tag_values (tag, value, level, resource_row) VALUES (:tag, :value, :level, :row) "
        "ON CONFLICT DO NOTHING",
        [
            {"tag": tag, "value": value, "level": int(anchor.level), "row": anchor.row}
            for tag, entries in values.items()
            for value in entries
        ],
    )


def forget(tx: Transaction, level: Level, rows: Sequence[int]) -> None:
    """Remove the entries of patients or studies that go."""
    tx.run(
        f"DELETE FROM tag_values WHERE level = :level AND {tx.dialect.is_number_in('resource_row', 'rows')}",
        level=int(level),
        rows=tx.dialect.numbers(rows),
    )


# ------------------------------------------------------------------------------------------------------ building


@dataclass(frozen=True, slots=True)
class Piece:
    """What some rows of a level say.

    Attributes:
        after: the last of the rows.
        size: how many there were.
        entries: to be entered.
    """

    after: int
    size: int
    entries: Sequence[tuple[Anchor, Values]]


_PAGES = {
    Level.PATIENT: "SELECT id, id, tags FROM patients WHERE id > :after ORDER BY id LIMIT :limit",
    Level.STUDY: "SELECT id, id, tags FROM studies WHERE id > :after ORDER BY id LIMIT :limit",
    Level.SERIES: "SELECT id, study_row, tags FROM series WHERE id > :after ORDER BY id LIMIT :limit",
    Level.INSTANCE: "SELECT i.id, se.study_row, h.header FROM instances i JOIN series se ON se.id = i.series_row "
    "JOIN headers h ON h.instance_row = i.id WHERE i.id > :after ORDER BY i.id LIMIT :limit",
}


def read_piece(tx: Transaction, tags: Collection[Tag], level: Level, after: int, limit: int) -> Piece:
    """Read the values of attributes from some rows of a level, after one."""
    rows = tx.all(_PAGES[level], after=after, limit=limit)
    merged: dict[Anchor, dict[Tag, set[str]]] = {}
    for _, row, packed in rows:
        of_anchor = merged.setdefault(Anchor(min(level, Level.STUDY), row), {})
        if level is Level.INSTANCE:
            header = decode_header(bytes(packed))
            values: Values = {tag: of_element(header.element(tag)) for tag in tags}
        else:
            values = of_main_tags(tags, decode_tags(packed))
        for tag, entries in values.items():
            of_anchor.setdefault(tag, set()).update(entries)
    return Piece(rows[-1][0] if rows else after, len(rows), list(merged.items()))


def enter_piece(tx: Transaction, piece: Piece) -> None:
    """Enter what was read, unless its patient or study is gone since."""
    for level, table in ((Level.PATIENT, "patients"), (Level.STUDY, "studies")):
        anchors = [anchor.row for anchor, _ in piece.entries if anchor.level is level]
        if not anchors:
            continue
        condition = tx.dialect.is_number_in("id", "rows")
        alive = {
            row[0] for row in tx.all(f"SELECT id FROM {table} WHERE {condition}", rows=tx.dialect.numbers(anchors))
        }
        for anchor, values in piece.entries:
            if anchor.level is level and anchor.row in alive:
                enter(tx, anchor, values)


# -------------------------------------------------------------------------------------------------------- asking


def count_asks(tx: Transaction, asks: Mapping[Tag, int], most: int) -> None:
    """Add to how often attributes were searched for; no more than `most` of them are remembered."""
    known = {row[0] for row in tx.all("SELECT tag FROM tag_asks")}
    for tag, number in asks.items():
        if tag in known:
            tx.run("UPDATE tag_asks SET asks = asks + :number WHERE tag = :tag", tag=tag, number=number)
            continue
        if len(known) >= most:
            rarest = tx.one(
                "SELECT tag FROM tag_asks WHERE tag NOT IN (SELECT tag FROM tag_indexes) ORDER BY asks, tag LIMIT 1"
            )
            if rarest is None:
                return
            tx.run("DELETE FROM tag_asks WHERE tag = :tag", tag=rarest[0])
            known.discard(rarest[0])
        tx.run("INSERT INTO tag_asks (tag, asks) VALUES (:tag, :number)", tag=tag, number=number)
        known.add(tag)


def often_asked(tx: Transaction, least: int, limit: int) -> list[Tag]:
    """The attributes searched for most, at least so often."""
    rows = tx.all(
        "SELECT tag FROM tag_asks WHERE asks >= :least ORDER BY asks DESC, tag LIMIT :limit", least=least, limit=limit
    )
    return [Tag(row[0]) for row in rows]
