"""A large index in minutes: as many studies as you like, without files.

What ingest writes, the database layer of the product writes here too; only what surrounds it is left out. Headers are
read in a second process, many instances go in one transaction, and indexes that only searches need are made at the
end. PostgreSQL gets a copy of the rows of an SQLite index.
"""

from __future__ import annotations

import gc
import hashlib
import multiprocessing
import os
import uuid
from collections.abc import Iterator
from dataclasses import replace

import psycopg

from amonsul.archive import clock
from amonsul.archive.context import Archive
from amonsul.archive.ingest import new_instance, read_instance
from amonsul.archive.origin import RestOrigin
from amonsul.blobs.memory import MemoryBlobs
from amonsul.blobs.spool import Spooled
from amonsul.database import Database, PostgresSettings, SqliteSettings, Transaction, labels, open_database, storing
from amonsul.database.schema import TEXT_INDEXES
from amonsul.dicom.levels import Level
from bench.instances import Instance, data_set, file_header

ORIGIN = RestOrigin("127.0.0.1", "")
FEW_LABEL, MANY_LABEL = "few", "many"
FEW = 50
"""Studies that have FEW_LABEL; every second one has MANY_LABEL."""

_CHUNK = 2000
_TRANSACTION = 20_000


def study(number: int) -> Instance:
    """The one instance of a study, the only one of its patient; counted from 1."""
    return Instance(number, 1, 1, 1)


def file_of(instance: Instance) -> bytes:
    """A DICOM file without pixels."""
    return file_header(instance) + data_set(instance, 0, study_date(instance.patient))


def study_date(number: int) -> str:
    """One of the 3,360 first to 28th days of the months of ten years; neighbours are far apart."""
    day = number + 1
    return f"{2015 + day % 10}{day // 10 % 12 + 1:02d}{day // 120 % 28 + 1:02d}"


def load_sqlite(settings: SqliteSettings, studies: int) -> None:
    """Make an index with so many studies."""
    database = open_database(replace(settings, synchronous=False))
    try:
        postponed = database.write(_postpone_indexes)
        pending: list[storing.NewInstance] = []
        gc.disable()
        for prepared in _prepared(Archive(database, MemoryBlobs()), studies):
            pending += prepared
            if len(pending) >= _TRANSACTION:
                _write(database, pending)
                pending = []
        _write(database, pending)
        gc.enable()
        database.write(_grow_old)
        database.write(lambda tx: _label(tx, studies))
        database.write(lambda tx: _make_indexes(tx, postponed))
    finally:
        database.close()


def copy_to_postgresql(source: SqliteSettings, target: PostgresSettings) -> None:
    """Copy the rows of an SQLite index into a new PostgreSQL index."""
    sqlite = open_database(replace(source, read_only=True))
    open_database(target).close()
    try:
        with sqlite.read() as tx, psycopg.connect(target.conninfo) as connection:
            names = connection.execute(
                "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
            ).fetchall()
            indexes = connection.execute(
                "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' "
                "AND indexname NOT IN (SELECT conname FROM pg_constraint)"
            ).fetchall()
            for name, _ in indexes:
                connection.execute(f"DROP INDEX {name}".encode())
            for (table,) in names:
                _copy_table(tx, connection, table)
            for _, definition in indexes:
                connection.execute(definition.encode())
        with psycopg.connect(target.conninfo, autocommit=True) as connection:
            connection.execute("VACUUM ANALYZE")
            connection.execute("CHECKPOINT")  # what is written later waits for nothing of this
    finally:
        sqlite.close()


def _copy_table(tx: Transaction, connection: psycopg.Connection[tuple[object, ...]], table: str) -> None:
    columns = [row[1] for row in tx.all(f"SELECT * FROM pragma_table_info('{table}') ORDER BY cid")]
    names = ", ".join(columns)
    connection.execute(f"DELETE FROM {table}".encode())
    key = "rowid" if tx.one("SELECT wr FROM pragma_table_list WHERE name = :table", table=table) == (0,) else ""
    with connection.cursor().copy(f"COPY {table} ({names}) FROM STDIN".encode()) as copy:
        for row in _rows(tx, table, names, key):
            copy.write_row(row)
    if "id" in columns and table != "statistics":
        connection.execute(
            f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), (SELECT COALESCE(MAX(id), 0) + 1 FROM {table}), "
            "false)".encode()
        )


def _rows(tx: Transaction, table: str, names: str, key: str) -> Iterator[tuple[object, ...]]:
    """All rows of a table; large ones a piece at a time, by their key if they have one of a single number."""
    if not key:
        yield from tx.all(f"SELECT {names} FROM {table}")
        return
    last = 0
    while rows := tx.all(
        f"SELECT {key}, {names} FROM {table} WHERE {key} > :last ORDER BY {key} LIMIT 10000", last=last
    ):
        yield from (row[1:] for row in rows)
        last = rows[-1][0]


def _prepared(archive: Archive, studies: int) -> Iterator[list[storing.NewInstance]]:
    """What goes into the index, some at a time; only the settings of the archive play a part."""
    chunks = [range(start, min(start + _CHUNK, studies + 1)) for start in range(1, studies + 1, _CHUNK)]
    processes = max(1, (os.cpu_count() or 1) - 1)
    with multiprocessing.get_context("fork").Pool(processes, _Preparer.begin, (archive,)) as pool:
        yield from pool.imap(_Preparer.prepare, chunks)


class _Preparer:
    """A process of the pool; the archive comes to it by the fork."""

    archive: Archive

    @classmethod
    def begin(cls, archive: Archive) -> None:
        cls.archive = archive

    @classmethod
    def prepare(cls, numbers: range) -> list[storing.NewInstance]:
        return [_new_instance(cls.archive, study(number)) for number in numbers]


def _new_instance(archive: Archive, instance: Instance) -> storing.NewInstance:
    data = file_of(instance)
    digest = hashlib.md5(data, usedforsecurity=False).hexdigest()
    file = storing.NewAttachment(1, str(uuid.uuid4()), len(data), digest, len(data), digest)
    new = new_instance(archive, read_instance(archive, Spooled.of(data)), ORIGIN, [file])
    return replace(new, main_tags={level: new.main_tags(level) for level in Level}.__getitem__)


def _write(database: Database, instances: list[storing.NewInstance]) -> None:
    def work(tx: Transaction) -> None:
        tx.run("PRAGMA cache_size = -2000000")
        for new in instances:
            storing.insert_instance(tx, new, clock.now())

    database.write(work)


def _grow_old(tx: Transaction) -> None:
    """All of it was stored long ago: a server that opens the index has nothing to find stable."""
    for table in ("patients", "studies", "series"):
        tx.run(f"UPDATE {table} SET is_stable = 1")


def _label(tx: Transaction, studies: int) -> None:
    """Give labels to studies; without gaps the row of a study is its number."""
    for row in range(2, studies + 1, 2):
        labels.add(tx, Level.STUDY, row, MANY_LABEL)
    for row in range(1, studies + 1, max(1, studies // FEW)):
        labels.add(tx, Level.STUDY, row, FEW_LABEL)


def _postpone_indexes(tx: Transaction) -> list[str]:
    """Take away what only searches need; answers the statements that make it again."""
    found = tx.all(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL "
        "AND (type = 'index' OR type = 'trigger' AND name LIKE '%#_text#_%' ESCAPE '#')"
    )
    for kind, name, _ in found:
        tx.run(f"DROP {kind} {name}")
    return [row[2] for row in found]


def _make_indexes(tx: Transaction, statements: list[str]) -> None:
    for statement in statements:
        tx.run(statement)
    for table in TEXT_INDEXES:
        tx.run(f"INSERT INTO {table}_text ({table}_text) VALUES ('rebuild')")
        tx.run(f"INSERT INTO {table}_text ({table}_text) VALUES ('optimize')")
