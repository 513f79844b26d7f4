"""A server whose PostgreSQL restarts, crashes, freezes, or throws its sessions out, under load from both doors.

Nothing that was acknowledged may be lost, every refusal says that it is worth trying again (503 with Retry-After,
0xA700), and the server takes instances again as soon as the database does. The figures are printed (`pytest -s`).
"""

from __future__ import annotations

import os
import random
import signal
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.integration.server.dicom_client import Gone, Peer
from tests.integration.server.instances import Instance
from tests.integration.server.running import AE_TITLE, Running, run_cli, serving
from tests.postgresql_server import PostgresServer, running_postgresql

DOWN_S = 2.0
BACK_S = 120.0
OUT_OF_RESOURCES = 0xA700


@dataclass
class Senders:
    """Clients of both doors that send one instance after the other, and what they were told.

    Attributes:
        sent: by identifier.
        acknowledged: of them, those that were accepted.
        refused: HTTP and DIMSE statuses of the others.
        gaps: the longest time without an acknowledgement, by sender.
    """

    server: Running
    sent: dict[str, Instance] = field(default_factory=dict)
    acknowledged: set[str] = field(default_factory=set)
    refused: Counter[str] = field(default_factory=Counter)
    longest_gap_s: float = 0.0
    _stopped: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)
    _by_sender: dict[int, int] = field(default_factory=dict)
    _progress: threading.Condition = field(default_factory=threading.Condition)

    def start(self) -> None:
        """Two over HTTP, two over DICOM."""
        for number, work in enumerate((self._post, self._post, self._store, self._store), start=1):
            self._by_sender[number] = 0
            thread = threading.Thread(target=work, args=(number,))
            self._threads.append(thread)
            thread.start()

    def wait_for_all(self, count: int) -> None:
        """Return when each sender has got so many acknowledgements more."""
        with self._progress:
            wanted = {number: before + count for number, before in self._by_sender.items()}
            done = self._progress.wait_for(
                lambda: all(self._by_sender[number] >= wanted[number] for number in wanted), timeout=BACK_S
            )
        assert done, f"senders do not get on: {self._by_sender}, {self.refused}"

    def stop(self) -> None:
        """Let each finish what it is at."""
        self._stopped.set()
        for thread in self._threads:
            thread.join()

    def _instances(self, number: int) -> Iterator[Instance]:
        instance, last = 0, time.monotonic()
        while not self._stopped.is_set():
            instance += 1
            sending = Instance(instance, patient=number)
            self.sent[sending.orthanc_id] = sending
            yield sending
            if sending.orthanc_id in self.acknowledged:
                now = time.monotonic()
                self.longest_gap_s, last = max(self.longest_gap_s, now - last), now

    def _note(self, number: int, instance: Instance, refusal: str | None) -> None:
        with self._progress:
            if refusal is None:
                self.acknowledged.add(instance.orthanc_id)
                self._by_sender[number] += 1
            else:
                self.refused[refusal] += 1
            self._progress.notify_all()
        if refusal is not None:
            self._stopped.wait(0.05)  # as a sender would, who is told to try again later

    def _post(self, number: int) -> None:
        with self.server.client() as client:
            for instance in self._instances(number):
                answer = client.post("/instances", content=instance.file(), timeout=BACK_S)
                told = f"HTTP {answer.status_code} {'Retry-After' if 'retry-after' in answer.headers else ''}"
                self._note(number, instance, None if answer.status_code == 200 else told)

    def _store(self, number: int) -> None:
        instances = self._instances(number)
        while not self._stopped.is_set():
            try:
                with Peer(self.server.dicom_port, AE_TITLE) as peer:
                    peer.associate()
                    for instance in instances:
                        status = peer.store(instance)
                        self._note(number, instance, None if status == 0 else f"DIMSE {status:04X}")
            except Gone as error:
                self.refused[f"association lost: {error}"] += 1


def restart_fast(postgresql: PostgresServer) -> None:
    postgresql.stop(signal.SIGINT)
    time.sleep(DOWN_S)  # the outage is the point
    postgresql.start()


def restart_immediate(postgresql: PostgresServer) -> None:
    postgresql.stop(signal.SIGQUIT)
    time.sleep(DOWN_S)
    postgresql.start()


def freeze(postgresql: PostgresServer) -> None:
    postmaster = postgresql.process.pid
    children = [int(pid) for pid in Path(f"/proc/{postmaster}/task/{postmaster}/children").read_text().split()]
    for pid in (postmaster, *children):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(DOWN_S)
    for pid in (*children, postmaster):
        os.kill(pid, signal.SIGCONT)


def terminate_sessions(postgresql: PostgresServer) -> None:
    """One or some of them, again and again, whatever they are at."""
    chance = random.Random(1)
    with psycopg.connect(f"{postgresql.conninfo} dbname=postgres", autocommit=True) as connection:
        for _ in range(8):
            sessions = connection.execute(
                "SELECT pid FROM pg_stat_activity WHERE datname LIKE 'made_%' AND pid <> pg_backend_pid()"
            ).fetchall()
            for (pid,) in chance.sample(sessions, chance.randint(0, len(sessions))):
                connection.execute("SELECT pg_terminate_backend(%s)", (pid,))
            time.sleep(DOWN_S / 8)


@pytest.mark.slow
@pytest.mark.parametrize("fault", [restart_fast, restart_immediate, freeze, terminate_sessions])
def test_an_outage_of_postgresql_loses_nothing(tmp_path: Path, fault: Callable[[PostgresServer], None]) -> None:
    with running_postgresql(["fsync=off"]) as postgresql:
        options = {"PostgreSQL": {"EnableIndex": True, "ConnectionUri": postgresql.new_database()}}
        with serving(tmp_path, options) as server:
            senders = Senders(server)
            senders.start()
            senders.wait_for_all(5)
            fault(postgresql)
            back = time.monotonic()
            senders.wait_for_all(1)
            recovery_s = time.monotonic() - back
            senders.wait_for_all(5)
            senders.stop()
            print(
                f"\n{fault.__name__}: {len(senders.acknowledged)} of {len(senders.sent)} acknowledged, refused "
                f"{dict(senders.refused)}, all senders on again {recovery_s:.2f} s after, "
                f"longest gap {senders.longest_gap_s:.2f} s"
            )
            with server.client() as client:
                assert_nothing_lost(client, senders)
            assert server.stop() == 0
        checked = run_cli("fsck", "--md5", str(tmp_path / "configuration.json"), cwd=tmp_path)
        if checked.returncode != 0:  # a commit that was uncertain waits for a start to be decided
            with serving(tmp_path, options) as server:
                assert server.stop() == 0
            checked = run_cli("fsck", "--md5", str(tmp_path / "configuration.json"), cwd=tmp_path)
        assert checked.returncode == 0, checked.stdout


def assert_nothing_lost(client: httpx.Client, senders: Senders) -> None:
    present = set(client.get("/instances").json())
    assert senders.acknowledged <= present <= senders.sent.keys()
    assert client.get("/statistics").json()["CountInstances"] == len(present)
    for orthanc_id in present:
        data_set = senders.sent[orthanc_id].data_set()
        assert client.get(f"/instances/{orthanc_id}/file").content[-len(data_set) :] == data_set
    assert senders.refused.keys() <= {"HTTP 503 Retry-After", f"DIMSE {OUT_OF_RESOURCES:04X}"}
