"""From an older schema to the present one, step by step.

A new database gets the present schema at once; a test proves that an old one arrives at the same. The version is a row
of `properties`. Steps are numbered by the version they lead to and never change once released.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from amonsul.database import schema
from amonsul.database.dialects import Dialect
from amonsul.database.engine import Database, Transaction
from amonsul.errors import Unavailable

logger = logging.getLogger(__name__)


STEPS: dict[int, Callable[[Dialect], list[str]]] = {}
"""Statements that lead to each version from the one before; version 1 is where it all began."""


def version(transaction: Transaction) -> int:
    """Version of the schema in a database; 0 if it is empty."""
    if transaction.dialect.name == "sqlite":
        there = transaction.one("SELECT 1 FROM sqlite_master WHERE name = 'properties'")
    else:
        there = transaction.one("SELECT 1 FROM pg_class WHERE oid = to_regclass('properties')")
    if there is None:
        return 0
    row = transaction.one("SELECT value FROM properties WHERE name = 'schema'")
    return int(row[0]) if row else 0


def migrate(database: Database, *, read_only: bool = False) -> None:
    """Bring the schema up to date, in one transaction.

    Raises:
        Unavailable: the schema is newer than this program, or must be made and may not.
    """
    with database.read() as transaction:
        found = version(transaction)
    if found > schema.VERSION:
        raise Unavailable(f"the index has schema {found}, made by a newer version; this one knows {schema.VERSION}")
    if found == schema.VERSION:
        return
    if read_only:
        raise Unavailable(f"the index has schema {found}, not {schema.VERSION}, and is open for reading only")

    def work(transaction: Transaction) -> None:
        present = version(transaction)  # another process may have been faster
        if present == 0:
            _apply(transaction, schema.statements(transaction.dialect))
        else:
            for step in range(present + 1, schema.VERSION + 1):
                _apply(transaction, STEPS[step](transaction.dialect))
        transaction.run("DELETE FROM properties WHERE name = 'schema'")
        transaction.run("INSERT INTO properties (name, value) VALUES ('schema', :version)", version=str(schema.VERSION))

    if found:
        logger.info("migrating the index from schema %d to %d", found, schema.VERSION)
    database.write(work)


def _apply(transaction: Transaction, statements: list[str]) -> None:
    if transaction.dialect.name == "postgresql":
        transaction.run("CREATE EXTENSION IF NOT EXISTS pg_trgm")
    for statement in statements:
        transaction.run(statement)
