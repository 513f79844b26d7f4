"""Opening the index, whichever database holds it."""

from __future__ import annotations

from amonsul.database import migrations
from amonsul.database.engine import Database
from amonsul.database.settings import DatabaseSettings, PostgresSettings, SqliteSettings
from amonsul.database.sqlite import SqliteDatabase


def open_database(settings: DatabaseSettings) -> Database:
    """Open the index, creating or migrating its schema.

    Raises:
        Unavailable: the database cannot be reached, or was made by a newer version.
    """
    database: Database
    match settings:
        case SqliteSettings():
            database = SqliteDatabase(settings)
        case PostgresSettings():
            from amonsul.database.postgresql import PostgresDatabase  # loads libpq: only where it is used

            database = PostgresDatabase(settings)
    try:
        migrations.migrate(database, read_only=isinstance(settings, SqliteSettings) and settings.read_only)
    except BaseException:
        database.close()
        raise
    return database
