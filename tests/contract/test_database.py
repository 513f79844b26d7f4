"""What both databases keep: transactions, group commit, the schema."""

from __future__ import annotations

import threading

import pytest

from amonsul.database import Database, DatabaseSettings, PostgresSettings, Transaction, open_database, properties
from amonsul.database.schema import VERSION
from amonsul.errors import ReadOnly, Unavailable
from tests.contract.conftest import new_postgresql_database


def put(name: str, value: str, tx: Transaction) -> None:
    properties.put(tx, name, value)


def get(database: Database, name: str) -> str | None:
    with database.read() as tx:
        return properties.get(tx, name)


def test_what_was_written_is_read(database: Database) -> None:
    assert database.write(lambda tx: properties.put(tx, "a", "1")) is None
    assert get(database, "a") == "1"


def test_the_result_of_a_work_is_handed_back(database: Database) -> None:
    assert database.write(lambda tx: tx.one("SELECT 6 * 7")) == (42,)


def test_a_failing_work_leaves_nothing_and_its_exception_is_passed_on(database: Database) -> None:
    def work(tx: Transaction) -> None:
        properties.put(tx, "a", "1")
        raise LookupError("on purpose")

    with pytest.raises(LookupError, match="on purpose"):
        database.write(work)
    assert get(database, "a") is None
    database.write(lambda tx: properties.put(tx, "b", "2"))
    assert get(database, "b") == "2"


def test_a_wrong_statement_leaves_nothing(database: Database) -> None:
    def work(tx: Transaction) -> None:
        properties.put(tx, "a", "1")
        tx.run("INSERT INTO nowhere VALUES (1)")

    with pytest.raises(Exception, match="nowhere"):
        database.write(work)
    assert get(database, "a") is None


def test_a_read_sees_one_state(database: Database) -> None:
    database.write(lambda tx: properties.put(tx, "a", "old"))
    with database.read() as tx:
        assert properties.get(tx, "a") == "old"
        database.write(lambda tx: properties.put(tx, "a", "new"))
        assert properties.get(tx, "a") == "old"
    assert get(database, "a") == "new"


def test_a_read_cannot_write(database: Database) -> None:
    with pytest.raises(ReadOnly), database.read() as tx:
        properties.put(tx, "a", "1")
    assert get(database, "a") is None


def test_a_read_that_failed_does_not_spoil_the_next(database: Database) -> None:
    for _ in range(30):
        with pytest.raises(LookupError):  # noqa: PT012, SIM117
            with database.read() as tx:
                tx.one("SELECT 1")
                raise LookupError
    with database.read() as tx:
        assert tx.one("SELECT 1") == (1,)


def test_texts_and_bytes_come_back_as_they_were(database: Database) -> None:
    text = "Ünïcödé 山田 %s %% :name ? \\ ' \" \x01"
    blob = bytes(range(256))

    def work(tx: Transaction) -> None:
        properties.put(tx, "text", text)
        tx.run("INSERT INTO headers (instance_row, header) VALUES (:row, :header)", row=1, header=blob)

    database.write(work)
    assert get(database, "text") == text
    with database.read() as tx:
        row = tx.one("SELECT header FROM headers WHERE instance_row = :row", row=1)
        assert row is not None
        assert bytes(row[0]) == blob
        assert tx.one("SELECT 1 WHERE 'a%b' LIKE '%\\%%' ESCAPE '\\'") == (1,)


def test_lists_are_parameters(database: Database) -> None:
    dialect = database.dialect
    with database.read() as tx:
        in_numbers = dialect.is_number_in("n", "numbers")
        rows = tx.all(
            f"SELECT n FROM (SELECT 1 AS n UNION SELECT 3) x WHERE {in_numbers}", numbers=dialect.numbers([3, 5])
        )
        assert rows == [(3,)]
        in_texts = dialect.is_text_in("t", "texts")
        texts = dialect.texts(["it's", '"b",', "ü"])
        rows = tx.all(f"SELECT t FROM (SELECT 'it''s' AS t UNION SELECT 'x') x WHERE {in_texts}", texts=texts)
        assert rows == [("it's",)]
        assert (
            tx.all(
                f"SELECT 1 AS n FROM statistics WHERE {dialect.is_number_in('id', 'numbers')}",
                numbers=dialect.numbers([]),
            )
            == []
        )


@pytest.mark.parametrize(
    ("text", "integer", "real"),
    [
        ("12", 12, 12.0),
        ("-3", -3, -3.0),
        (" 7 ", 7, 7.0),
        ("+5", 5, 5.0),
        ("1.5", 1, 1.5),
        (".5", None, 0.5),
        ("x", None, None),
        ("", None, None),
    ],
)
def test_text_is_compared_as_numbers(database: Database, text: str, integer: int | None, real: float | None) -> None:
    as_integer = database.dialect.as_integer("CAST(:text AS TEXT)")
    as_real = database.dialect.as_real("CAST(:text AS TEXT)")
    with database.read() as tx:
        assert tx.one(f"SELECT {as_integer}", text=text) == (integer,)
        assert tx.one(f"SELECT {as_real}", text=text) == (real,)


class _Gate:
    """A work that waits inside its transaction until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.go = threading.Event()

    def __call__(self, tx: Transaction) -> None:
        self.entered.set()
        assert self.go.wait(60)
        properties.put(tx, "gate", "passed")


def test_works_that_wait_together_share_a_commit_and_only_the_failing_one_is_taken_back(database: Database) -> None:
    gate = _Gate()
    leader = threading.Thread(target=database.write, args=(gate,))
    leader.start()
    assert gate.entered.wait(60)
    outcomes: dict[int, object] = {}

    def write(number: int) -> None:
        def work(tx: Transaction) -> object:
            properties.put(tx, f"key {number}", str(number))
            if number % 3 == 0:
                raise LookupError(f"failure {number}")
            if number % 3 == 1:
                tx.run("INSERT INTO properties (name, value) VALUES ('gate', 'again')")  # violates its primary key
            return transaction_id(tx)

        try:
            outcomes[number] = database.write(work)
        except Exception as error:
            outcomes[number] = error

    def transaction_id(tx: Transaction) -> object:
        row = tx.one("SELECT pg_current_xact_id()::text") if database.dialect.name == "postgresql" else (1,)
        assert row is not None
        return row[0]

    writers = [threading.Thread(target=write, args=(number,)) for number in range(12)]
    for writer in writers:
        writer.start()
    while database._writer.waiting < len(writers):  # type: ignore[attr-defined]  # all are in line
        pass
    gate.go.set()
    for thread in [leader, *writers]:
        thread.join()
    assert get(database, "gate") == "passed"
    for number, outcome in outcomes.items():
        if number % 3 == 2:
            assert get(database, f"key {number}") == str(number)
            assert outcome == outcomes[2]  # the same transaction
        else:
            assert isinstance(outcome, Exception)
            assert get(database, f"key {number}") is None


def test_many_writers_lose_nothing(database: Database) -> None:
    database.write(lambda tx: properties.put(tx, "count", "0"))

    def increment(tx: Transaction) -> None:
        properties.put(tx, "count", str(int(properties.get(tx, "count") or 0) + 1))

    def run() -> None:
        for _ in range(50):
            database.write(increment)

    threads = [threading.Thread(target=run) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert get(database, "count") == "400"


def test_two_processes_take_turns(database: Database, database_settings: DatabaseSettings) -> None:
    """Another opening of the same index stands for another process: nothing is shared but the database."""
    other = open_database(database_settings)
    database.write(lambda tx: properties.put(tx, "count", "0"))

    def increment(tx: Transaction) -> None:
        properties.put(tx, "count", str(int(properties.get(tx, "count") or 0) + 1))

    def run(which: Database) -> None:
        for _ in range(50):
            which.write(increment)

    threads = [threading.Thread(target=run, args=(which,)) for which in (database, other) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    other.close()
    assert get(database, "count") == "200"


def test_an_index_is_opened_again(database: Database, database_settings: DatabaseSettings) -> None:
    database.write(lambda tx: properties.put(tx, "a", "1"))
    again = open_database(database_settings)
    assert get(again, "a") == "1"
    again.close()


def test_an_index_of_a_newer_version_is_refused(database: Database, database_settings: DatabaseSettings) -> None:
    database.write(lambda tx: properties.put(tx, "schema", str(VERSION + 1)))
    with pytest.raises(Unavailable, match="newer"):
        open_database(database_settings)


def test_a_writer_that_hangs_does_not_hold_up_other_nodes_for_ever(postgresql_server: str) -> None:
    """PostgreSQL ends its transaction for it, and it is done again when it goes on."""
    conninfo = new_postgresql_database(postgresql_server)
    hanging = open_database(PostgresSettings(conninfo, idle_transaction_timeout_s=0.2))
    other = open_database(PostgresSettings(conninfo))
    has_begun, goes_on = threading.Event(), threading.Event()
    attempts: list[int] = []

    def hang(tx: Transaction) -> None:
        attempts.append(len(attempts))
        if goes_on.is_set():  # from now on it may be as slow as the machine
            tx.run("SET LOCAL idle_in_transaction_session_timeout = 0")
        tx.run("INSERT INTO properties (name, value) VALUES ('hanging', 'x')")
        has_begun.set()
        goes_on.wait()
        tx.run("UPDATE properties SET value = 'done' WHERE name = 'hanging'")

    thread = threading.Thread(target=hanging.write, args=(hang,))
    thread.start()
    has_begun.wait()
    other.write(lambda tx: tx.run("INSERT INTO properties (name, value) VALUES ('other', 'done')"))
    goes_on.set()
    thread.join()
    with other.read() as tx:
        found = tx.all("SELECT name, value FROM properties WHERE name IN ('hanging', 'other') ORDER BY name")
    assert found == [("hanging", "done"), ("other", "done")]
    assert len(attempts) > 1
    hanging.close()
    other.close()
