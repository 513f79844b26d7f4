"""Searches at remote DICOM systems, with what they answered."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amonsul.database.engine import Transaction
from amonsul.dicom.levels import Level

_ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class StoredQuery:
    """One search.

    Attributes:
        row: of the index.
        modality: symbolic name of who was asked.
        query: JSON, as its user wants it.
    """

    row: int
    query_id: str
    modality: str
    level: Level
    query: str
    number_of_answers: int


def insert(
    tx: Transaction, query_id: str, modality: str, level: Level, query: str, answers: Sequence[bytes], kept: int
) -> None:
    """Write a search down; only the `kept` newest stay (0: all)."""
    row = tx.insert(
        "INSERT INTO queries (query_id, modality, level, query, number_of_answers) "
        "VALUES (:query_id, :modality, :level, :query, :number_of_answers) RETURNING id",
        query_id=query_id,
        modality=modality,
        level=int(level),
        query=query,
        number_of_answers=len(answers),
    )
    for start in range(0, len(answers), _ROWS_AT_ONCE):
        tx.run_many(
            "INSERT INTO query_answers (query_row, number, answer) VALUES (:query_row, :number, :answer)",
            [
                {"query_row": row, "number": start + place, "answer": answer}
                for place, answer in enumerate(answers[start : start + _ROWS_AT_ONCE])
            ],
        )
    if kept:
        newest = "SELECT id FROM queries ORDER BY id DESC LIMIT 1 OFFSET :kept"
        found = tx.one(newest, kept=kept)
        if found is not None:
            tx.run("DELETE FROM query_answers WHERE query_row <= :row", row=found[0])
            tx.run("DELETE FROM queries WHERE id <= :row", row=found[0])


def find(tx: Transaction, query_id: str) -> StoredQuery | None:
    """One search."""
    row = tx.one(
        "SELECT id, query_id, modality, level, query, number_of_answers FROM queries WHERE query_id = :query_id",
        query_id=query_id,
    )
    if row is None:
        return None
    return StoredQuery(row[0], row[1], row[2], Level(row[3]), row[4], row[5])


def identifiers(tx: Transaction) -> list[str]:
    """Of all searches, in order."""
    return [row[0] for row in tx.all("SELECT query_id FROM queries ORDER BY id")]


def answer(tx: Transaction, query: StoredQuery, number: int) -> bytes | None:
    """One answer, counted from 0."""
    row = tx.one(
        "SELECT answer FROM query_answers WHERE query_row = :row AND number = :number", row=query.row, number=number
    )
    return bytes(row[0]) if row else None


def answers(tx: Transaction, query: StoredQuery) -> list[bytes]:
    """All answers, in order."""
    rows = tx.all("SELECT answer FROM query_answers WHERE query_row = :row ORDER BY number", row=query.row)
    return [bytes(row[0]) for row in rows]


def delete(tx: Transaction, query_id: str) -> None:
    """Forget a search; harmless if there is none."""
    found = find(tx, query_id)
    if found is not None:
        tx.run("DELETE FROM query_answers WHERE query_row = :row", row=found.row)
        tx.run("DELETE FROM queries WHERE id = :row", row=found.row)
