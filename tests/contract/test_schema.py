"""The schema: what a new index gets is what an old one becomes.

`schemas/1-*.sql` is where it began. After a release it never changes; before one, write it anew with
`python -m tests.contract.test_schema`.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from amonsul.database import Database, DatabaseSettings, PostgresSettings, Transaction, open_database
from amonsul.database.dialects import POSTGRESQL, SQLITE, Dialect
from amonsul.database.migrations import STEPS, version
from amonsul.database.postgresql import PostgresDatabase
from amonsul.database.schema import VERSION, statements
from amonsul.database.settings import SqliteSettings
from amonsul.database.sqlite import SqliteDatabase
from amonsul.errors import Unavailable
from tests.contract.conftest import new_postgresql_database

SCHEMAS = Path(__file__).parent / "schemas"


def first_schema(dialect: Dialect) -> Path:
    return SCHEMAS / f"1-{dialect.name}.sql"


def unmigrated(settings: DatabaseSettings) -> Database:
    return SqliteDatabase(settings) if isinstance(settings, SqliteSettings) else PostgresDatabase(settings)


def described(tx: Transaction) -> list[tuple[object, ...]]:
    """Tables, columns, indexes and triggers of a database."""
    if tx.dialect.name == "sqlite":
        rows = tx.all("SELECT type, name, sql FROM sqlite_master ORDER BY type, name")
        return [(kind, name, " ".join((sql or "").split())) for kind, name, sql in rows]
    return [
        *tx.all(
            "SELECT table_name, column_name, data_type, collation_name, is_nullable, column_default "
            "FROM information_schema.columns WHERE table_schema = 'public' ORDER BY table_name, column_name"
        ),
        *tx.all("SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' ORDER BY indexname"),
    ]


def test_an_old_index_becomes_what_a_new_one_is(
    database: Database, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with database.read() as tx:
        expected = described(tx)
        assert version(tx) == VERSION
    old_settings: DatabaseSettings
    if database.dialect is SQLITE:
        old_settings = SqliteSettings(tmp_path / "old.db")
    else:
        old_settings = PostgresSettings(new_postgresql_database(request.getfixturevalue("postgresql_server")))
    old = unmigrated(old_settings)

    def begin(tx: Transaction) -> None:
        if tx.dialect is POSTGRESQL:
            tx.run("CREATE EXTENSION pg_trgm")
        for statement in first_schema(tx.dialect).read_text().split(";;\n"):
            tx.run(statement)
        tx.run("INSERT INTO properties (name, value) VALUES ('schema', '1')")

    old.write(begin)
    old.close()
    migrated = open_database(old_settings)
    with migrated.read() as tx:
        assert described(tx) == expected
        assert version(tx) == VERSION
    migrated.close()


def test_there_is_a_step_to_each_version() -> None:
    assert sorted(STEPS) == list(range(2, VERSION + 1))


def test_a_reader_does_not_make_a_schema(tmp_path: Path) -> None:
    path = tmp_path / "index.db"
    SqliteDatabase(SqliteSettings(path)).close()
    with pytest.raises(Unavailable, match="reading only"):
        open_database(SqliteSettings(path, read_only=True))


def test_searches_by_columns_use_an_index(tmp_path: Path) -> None:
    """Of the way that a search takes first: rows of one table by one condition."""
    database = open_database(SqliteSettings(tmp_path / "index.db"))
    with database.read() as tx:
        for table, condition in (
            ("patients", "patient_name >= 'A' AND patient_name < 'B'"),
            ("patients", "patient_id = 'A'"),
            ("studies", "study_date >= '2024' AND study_date <= '2025'"),
            ("studies", "accession_number = 'A'"),
            ("series", "modality = 'CT'"),
            ("instances", "sop_instance_uid = '1'"),
        ):
            (plan,) = tx.all(f"EXPLAIN QUERY PLAN SELECT id FROM {table} WHERE {condition}")
            assert "USING COVERING INDEX" in plan[3], plan
        for table, column in (("patients", "patient_name"), ("studies", "study_description")):
            (plan,) = tx.all(f"EXPLAIN QUERY PLAN SELECT rowid FROM {table}_text WHERE {column} GLOB '*ABC*'")
            assert plan[3].endswith(("0:G1", "0:G0")), plan
    database.close()


if __name__ == "__main__":
    SCHEMAS.mkdir(exist_ok=True)
    for one in (SQLITE, POSTGRESQL):
        first_schema(one).write_text(";;\n".join(statements(one)) + "\n")
