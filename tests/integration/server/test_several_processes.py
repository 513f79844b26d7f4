"""Several processes of one installation: what clients set at one holds for all, until the last of them ends."""

from __future__ import annotations

from pathlib import Path

import httpx
import psycopg
import pytest

from tests.integration.server.running import serving

PEER = ["http://127.0.0.1:1/"]


@pytest.fixture(params=["sqlite", "postgresql"])
def options(request: pytest.FixtureRequest, tmp_path: Path) -> dict[str, object]:
    """One configuration for all of them."""
    made: dict[str, object] = {
        "StorageDirectory": str(tmp_path / "storage"),
        "OrthancPeers": {"configured": PEER},
        "DicomModalities": {"configured": ["AET", "127.0.0.1", 104]},
    }
    if request.param == "postgresql":
        server = request.getfixturevalue("postgresql_server")
        with psycopg.connect(f"{server} dbname=postgres", autocommit=True) as connection:
            connection.execute("DROP DATABASE IF EXISTS several_processes")
            connection.execute("CREATE DATABASE several_processes TEMPLATE template0")
        conninfo = f"{server} dbname=several_processes"
        made["PostgreSQL"] = {"EnableIndex": True, "EnableStorage": False, "ConnectionUri": conninfo}
    return made


def remotes(client: httpx.Client) -> tuple[list[str], list[str]]:
    return client.get("/peers").json(), client.get("/modalities").json()


def test_remotes_and_switches_hold_until_the_last_process_ends(tmp_path: Path, options: dict[str, object]) -> None:
    with serving(tmp_path / "one", options) as one, one.client() as at_one:
        at_one.put("/peers/added", json=PEER).raise_for_status()
        at_one.delete("/modalities/configured").raise_for_status()
        at_one.put("/tools/default-encoding", content="Greek").raise_for_status()
        with serving(tmp_path / "two", options) as two, two.client() as at_two:
            assert remotes(at_two) == (["added", "configured"], [])
            assert at_two.get("/tools/default-encoding").text == "Greek"
            assert at_one.get("/tools/default-encoding").text == "Greek"
            at_two.put("/modalities/another", json=["B", "127.0.0.1", 105]).raise_for_status()
            assert one.stop() == 0
            assert remotes(at_two) == (["added", "configured"], ["another"])
            with serving(tmp_path / "one", options) as again, again.client() as client:
                assert remotes(client) == remotes(at_two)
                two.kill()
                assert remotes(client) == (["added", "configured"], ["another"])
                assert again.stop() == 0
    with serving(tmp_path / "one", options) as anew, anew.client() as client:
        assert remotes(client) == (["configured"], ["configured"])
        assert client.get("/tools/default-encoding").text == "Latin1"


def test_a_killed_server_leaves_nothing_to_the_next_run(tmp_path: Path, options: dict[str, object]) -> None:
    with serving(tmp_path, options) as server, server.client() as client:
        client.put("/peers/added", json=PEER).raise_for_status()
        server.kill()
    with serving(tmp_path, options) as server, server.client() as client:
        assert remotes(client) == (["configured"], ["configured"])
