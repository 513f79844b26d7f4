"""The large indexes of the benchmark have the rows that ingest makes."""

from __future__ import annotations

from pathlib import Path

from amonsul.archive import find
from amonsul.archive.context import Archive
from amonsul.archive.ingest import ingest
from amonsul.blobs.memory import MemoryBlobs
from amonsul.blobs.spool import Spooled
from amonsul.database import Database, PostgresSettings, SqliteSettings, open_database
from amonsul.dicom.levels import Level
from bench.loading import ORIGIN, copy_to_postgresql, file_of, load_sqlite, study
from tests.contract.conftest import new_postgresql_database
from tests.contract.storing import store_instance

STUDIES = 7
OF_THE_MOMENT = {"uuid", "last_update", "date", "is_stable"}


def rows(database: Database) -> dict[str, list[tuple[object, ...]]]:
    """All rows of the tables that ingest writes, without labels, names of blobs and moments."""
    found = {}
    with database.read() as tx:
        for table in (
            "signatures",
            "patients",
            "studies",
            "series",
            "instances",
            "attachments",
            "changes",
            "statistics",
        ):
            if tx.dialect.name == "sqlite":
                known = [row[0] for row in tx.all(f"SELECT name FROM pragma_table_info('{table}')")]
            else:
                known = [
                    row[0]
                    for row in tx.all(
                        "SELECT column_name FROM information_schema.columns WHERE table_name = :table", table=table
                    )
                ]
            columns = sorted(set(known) - OF_THE_MOMENT)
            found[table] = [
                _without_moments(row)
                for row in tx.all(f"SELECT {', '.join(columns)} FROM {table} ORDER BY {columns[-1]}, 1")
            ]
            assert found[table], table
        found["headers"] = [
            (row[0], bytes(row[1])) for row in tx.all("SELECT instance_row, header FROM headers ORDER BY 1")
        ]
    return {table: sorted(each, key=repr) for table, each in found.items()}


def _without_moments(row: tuple[object, ...]) -> tuple[object, ...]:
    """ReceptionDate is in the JSON of the metadata."""
    return tuple("{…}" if isinstance(value, str) and value.startswith('{"2":') else value for value in row)


def test_what_is_loaded_has_the_rows_that_ingest_makes(tmp_path: Path, postgresql_server: str) -> None:
    loaded = SqliteSettings(tmp_path / "loaded.db")
    load_sqlite(loaded, STUDIES)
    copied = PostgresSettings(new_postgresql_database(postgresql_server))
    copy_to_postgresql(loaded, copied)

    ingested = open_database(SqliteSettings(tmp_path / "ingested.db"))
    archive = Archive(ingested, MemoryBlobs())
    for number in range(1, STUDIES + 1):
        ingest(archive, Spooled.of(file_of(study(number))), ORIGIN)
    expected = rows(ingested)
    ingested.close()
    for settings in (loaded, copied):
        database = open_database(settings)
        assert rows(database) == expected
        archive = Archive(database, MemoryBlobs())
        store_instance(archive, patient=99)
        assert len(find.list_ids(archive, Level.STUDY)) == STUDIES + 1
        database.close()
