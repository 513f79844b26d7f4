"""Configurations that several processes of one installation share."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest


@pytest.fixture(params=["sqlite", "postgresql"])
def shared_options(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """One storage and one index for all processes that are started with it."""
    made: dict[str, object] = {"StorageDirectory": str(tmp_path / "storage")}
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql_server")
        with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS several_processes WITH (FORCE)")
            connection.execute("CREATE DATABASE several_processes TEMPLATE template0")
        conninfo = f"{server} dbname=several_processes"
        made["PostgreSQL"] = {"EnableIndex": True, "EnableStorage": False, "ConnectionUri": conninfo}
    return made
