"""Who is first and who is last among the servers of an index, on both databases."""

from __future__ import annotations

import threading
from pathlib import Path

import psycopg
import pytest

from amonsul.database import DatabaseSettings, PostgresSettings, SqliteSettings
from amonsul.database.presence import Presence, open_presence
from amonsul.errors import Unavailable


class Server:
    """A presence that notes when it was alone."""

    def __init__(self, settings: DatabaseSettings) -> None:
        self.presence: Presence = open_presence(settings)
        self.noted: list[str] = []

    def enter(self) -> list[str]:
        self.presence.enter(lambda: self.noted.append("first"))
        return self.noted

    def leave(self) -> list[str]:
        self.presence.leave(lambda: self.noted.append("last"))
        return self.noted


def test_the_first_and_the_last_know_that_they_are(database_settings: DatabaseSettings) -> None:
    one, two, three = (Server(database_settings) for _ in range(3))
    assert (one.enter(), two.enter()) == (["first"], [])
    assert one.leave() == ["first"]
    assert three.enter() == []
    assert (two.leave(), three.leave()) == ([], ["last"])
    assert one.enter() == ["first", "first"]
    assert one.leave() == ["first", "first", "last"]


def test_whoever_comes_waits_until_the_first_has_tidied_up(database_settings: DatabaseSettings) -> None:
    order: list[str] = []
    begun, go_on = threading.Event(), threading.Event()

    def tidy() -> None:
        begun.set()
        go_on.wait(60)
        order.append("tidy")

    def second() -> None:
        open_presence(database_settings).enter(lambda: order.append("first, too"))
        order.append("second is there")

    first = open_presence(database_settings)
    threads = [threading.Thread(target=first.enter, args=[tidy]), threading.Thread(target=second)]
    threads[0].start()
    assert begun.wait(60)
    threads[1].start()
    go_on.set()
    for thread in threads:
        thread.join(60)
    assert order == ["tidy", "second is there"]


def test_leaving_without_having_come_is_nothing(database_settings: DatabaseSettings) -> None:
    server = Server(database_settings)
    assert server.presence.renew() is False
    assert server.leave() == []


def test_a_first_who_fails_does_not_stay(database_settings: DatabaseSettings) -> None:
    def fail() -> None:
        raise Unavailable("no")

    failed = open_presence(database_settings)
    with pytest.raises(Unavailable):
        failed.enter(fail)
    failed.leave(lambda: None)
    assert Server(database_settings).enter() == ["first"]


def test_a_lock_that_was_lost_is_taken_again(database_settings: DatabaseSettings) -> None:
    one, two = Server(database_settings), Server(database_settings)
    one.enter()
    assert one.presence.renew() is False
    if isinstance(database_settings, PostgresSettings):
        with psycopg.connect(database_settings.conninfo) as administrator:
            administrator.execute(
                "SELECT pg_terminate_backend(pid, 60000) FROM pg_locks "
                "WHERE locktype = 'advisory' AND pid <> pg_backend_pid()"
            )
        assert one.presence.renew() is True
    assert two.enter() == []


def test_without_a_database_nobody_is_there(tmp_path: Path) -> None:
    nowhere = (SqliteSettings(tmp_path / "no" / "index.db"), PostgresSettings("host=127.0.0.1 port=1"))
    for settings in nowhere:
        with pytest.raises(Unavailable):
            open_presence(settings).enter(lambda: None)
