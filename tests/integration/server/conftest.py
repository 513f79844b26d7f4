"""Configurations that several processes of one installation share, and two servers that many tests share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.integration.server.running import Running, serving


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


@pytest.fixture(scope="module")
def servers_of_the_module(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Running, Running]]:
    """One that knows the other as `other`, and the other."""
    with serving(tmp_path_factory.mktemp("other")) as other:
        known: dict[str, object] = {
            "OrthancPeers": {"other": [other.url]},
            "DicomWeb": {"Servers": {"other": {"Url": f"{other.url}/dicom-web/", "HasDelete": True}}},
        }
        with serving(tmp_path_factory.mktemp("one"), known) as one:
            yield one, other


@pytest.fixture
def pair(servers_of_the_module: tuple[Running, Running]) -> Iterator[tuple[httpx.Client, httpx.Client]]:
    """Both, with nothing in them."""
    one, other = servers_of_the_module
    with one.client() as here, other.client() as there:
        for client in (here, there):
            for patient in client.get("/patients").json():
                client.delete(f"/patients/{patient}").raise_for_status()
        yield here, there
