"""What clients were told, to be compared with what a server has after it was killed.

Everything written down here happened before the clients went on: an instance is `sent` before its bytes leave, `acked`
once its acknowledgement is read; the same for deletions. What was sent and never acknowledged may be there or not, but
if it is there it is whole.
"""

from __future__ import annotations

import hashlib
import itertools
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

from tests.integration.server.dicom_client import Gone, Peer
from tests.integration.server.instances import Instance
from tests.integration.server.running import AE_TITLE, Running


@dataclass
class Oracle:
    """The journal of all clients, by identifier of the instances."""

    sent: dict[str, Instance] = field(default_factory=dict)
    acked: set[str] = field(default_factory=set)
    deleting: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    unexpected: list[str] = field(default_factory=list)

    def compare(self, client: httpx.Client, of_patients_from: int = 0) -> dict[str, int]:
        """Ask a server what it has; count what should not be. Bytes are compared of patients from this number on."""
        present = set(client.get("/instances").json())
        wrong = 0
        for orthanc_id in present & self.sent.keys():
            if self.sent[orthanc_id].patient < of_patients_from:
                continue
            answer = client.get(f"/instances/{orthanc_id}/file")
            expected = hashlib.sha256(self.sent[orthanc_id].data_set()).digest()
            # The meta header of what came over DICOM is written by the server; the data set is the sender's.
            received = answer.content[-len(self.sent[orthanc_id].data_set()) :]
            wrong += answer.status_code != 200 or hashlib.sha256(received).digest() != expected
        return {
            "lost": len(self.acked - self.deleting - present),
            "ghost": len(self.deleted & present),
            "unknown": len(present - self.sent.keys()),
            "wrong": wrong,
        }


NOTHING_WRONG = {"lost": 0, "ghost": 0, "unknown": 0, "wrong": 0}


class Clients:
    """Writers over REST and DICOM and deleters, each in a thread, until they are stopped or the server is gone."""

    def __init__(self, server: Running, oracle: Oracle, first_patient: int) -> None:
        self._server = server
        self._oracle = oracle
        self._patient = first_patient
        self._stopped = threading.Event()
        self._threads: list[threading.Thread] = []
        self._acked = threading.Semaphore(0)

    def start(self, rest_writers: int, dicom_writers: int, deleters: int) -> None:
        """Begin to work."""
        work: list[Callable[[int], None]] = [*[self._post] * rest_writers, *[self._c_store] * dicom_writers]
        for number, writer in enumerate(work):
            self._start(writer, self._patient + number)
        for _ in range(deleters):
            self._start(self._delete, 0)

    def wait_for_acks(self, count: int) -> None:
        """Return when so many instances more have been acknowledged."""
        for _ in range(count):
            assert self._acked.acquire(timeout=60), "no writer gets on"

    def stop(self) -> None:
        """Wait for all clients; without a server they end by themselves."""
        self._stopped.set()
        for thread in self._threads:
            thread.join(60)
            assert not thread.is_alive()

    def _start(self, work: Callable[[int], None], patient: int) -> None:
        thread = threading.Thread(target=work, args=(patient,))
        self._threads.append(thread)
        thread.start()

    def _post(self, patient: int) -> None:
        with self._server.client() as client:
            for number in self._numbers():
                instance = Instance(number, patient=patient)
                self._oracle.sent[instance.orthanc_id] = instance
                try:
                    answer = client.post("/instances", content=instance.file())
                except httpx.TransportError:
                    return
                self._note(instance, answer.status_code == 200, f"POST: {answer.status_code}")

    def _c_store(self, patient: int) -> None:
        try:
            with Peer(self._server.dicom_port, AE_TITLE) as peer:
                peer.associate()
                for number in self._numbers():
                    instance = Instance(number, patient=patient)
                    self._oracle.sent[instance.orthanc_id] = instance
                    status = peer.store(instance)
                    self._note(instance, status == 0, f"C-STORE: 0x{status:04X}")
                peer.release()
        except (Gone, OSError):
            return

    def _delete(self, _patient: int) -> None:
        with self._server.client() as client:
            while not self._stopped.is_set():
                candidates = list(self._oracle.acked - self._oracle.deleting)
                if len(candidates) < 20:
                    self._stopped.wait(0.01)  # nothing to do yet
                    continue
                orthanc_id = candidates[len(candidates) // 2]
                self._oracle.deleting.add(orthanc_id)
                try:
                    answer = client.delete(f"/instances/{orthanc_id}")
                except httpx.TransportError:
                    return
                if answer.status_code == 200:
                    self._oracle.deleted.add(orthanc_id)
                else:
                    self._oracle.unexpected.append(f"DELETE: {answer.status_code}")

    def _numbers(self) -> Iterator[int]:
        return itertools.takewhile(lambda _number: not self._stopped.is_set(), itertools.count(1))

    def _note(self, instance: Instance, success: bool, otherwise: str) -> None:
        if success:
            self._oracle.acked.add(instance.orthanc_id)
            self._acked.release()
        else:
            self._oracle.unexpected.append(otherwise)
