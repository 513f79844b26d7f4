"""Storage commitment asked of us over the wire, with pynetdicom on both sides."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from queue import SimpleQueue

import pytest
from pydicom import Dataset
from pynetdicom import AE, evt
from pynetdicom.events import Event

from amonsul.archive import commitment
from amonsul.archive.context import Archive
from amonsul.archive.ingest import Ingested, ingest
from amonsul.archive.modalities import Modality
from amonsul.archive.origin import InternalOrigin
from amonsul.blobs.memory import MemoryBlobs
from amonsul.blobs.spool import Spooled
from amonsul.clients.dimse import DicomClient, ScuSettings
from amonsul.database import SqliteSettings, open_database
from amonsul.database.jobs import State
from amonsul.dicom.commitment import PUSH_MODEL, PUSH_MODEL_INSTANCE, FailureReason, Reference
from amonsul.dimse_server.commitment import CommitmentService, by_job
from amonsul.dimse_server.echo import EchoService
from amonsul.dimse_server.settings import DimseSettings, DimseSwitches
from amonsul.dimse_server.store import StoreService
from amonsul.errors import NetworkProtocolError
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.kind import Kinds
from amonsul.jobs.kinds.storage_commitment_scp import storage_commitment_scp
from amonsul.jobs.settings import JobsSettings
from tests.contract.dicom_files import CT_IMAGE_STORAGE, instance_file
from tests.integration.clients.peers import free_port, serve
from tests.integration.dimse.dicom_door import PATIENCE_S, open_door

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
UNKNOWN = Reference(CT_IMAGE_STORAGE, "1.2.3.4")

Report = tuple[int, str, list[str], dict[str, int]]
"""Event type, transaction, instances that are committed, and those that are not with the reason."""


@dataclass
class Modalities:
    """A modality that asks, on a port where it is sometimes at home."""

    port: int = field(default_factory=free_port)
    reports: SimpleQueue[Report] = field(default_factory=SimpleQueue)
    status: int = 0

    def known(self) -> dict[str, Modality]:
        return {
            "asker": Modality("ASKER", "127.0.0.1", self.port),
            "mute": Modality("MUTE", "127.0.0.1", self.port, allow_n_action=False, allow_event_report=False),
        }

    def report(self) -> Report:
        return self.reports.get(timeout=PATIENCE_S)

    @contextlib.contextmanager
    def at_home(self) -> Iterator[None]:
        entity = AE("ASKER")
        entity.add_supported_context(PUSH_MODEL, scu_role=True, scp_role=True)

        def on_report(event: Event) -> tuple[int, Dataset | None]:
            told = event.event_information
            committed = [str(item.ReferencedSOPInstanceUID) for item in told.get("ReferencedSOPSequence", [])]
            refused = {
                str(item.ReferencedSOPInstanceUID): int(item.FailureReason)
                for item in told.get("FailedSOPSequence", [])
            }
            self.reports.put((int(event.event_type or 0), str(told.TransactionUID), committed, refused))
            return self.status, None

        with serve(entity, [(evt.EVT_N_EVENT_REPORT, on_report)], self.port):
            yield


@dataclass
class House:
    archive: Archive
    engine: JobEngine
    port: int

    def store(self, number: int) -> Reference:
        got: Ingested = ingest(self.archive, Spooled.of(instance_file(instance=number)), InternalOrigin())
        return Reference(got.sop_class_uid, got.sop_instance_uid)


@contextlib.contextmanager
def house(folder: Path, modalities: Modalities, *, checks_files: bool = False) -> Iterator[House]:
    database = open_database(SqliteSettings(folder / "index.db"))
    archive = Archive(database, MemoryBlobs())
    client = DicomClient(ScuSettings(ae_title="AMONSUL", timeout_s=PATIENCE_S))
    settings = JobsSettings(retry_first_s=0.05, retry_limit_s=0.05, poll_s=0.05)
    engine = JobEngine(archive, Kinds((storage_commitment_scp(archive, client, checks_files=checks_files),)), settings)
    services = [
        EchoService(),
        StoreService(archive.blobs.spool, partial(ingest, archive)),
        CommitmentService(archive, by_job(engine, "AMONSUL")),
    ]
    engine.start()
    try:
        door_settings = DimseSettings(ae_title="AMONSUL", host="127.0.0.1", port=0)
        switches = DimseSwitches(modalities=modalities.known)
        with open_door(folder, door_settings, switches, services=services) as door:
            yield House(archive, engine, door.port)
    finally:
        engine.stop()
        client.close()
        database.close()


def information(transaction: str, *references: Reference, refused: tuple[Reference, ...] = ()) -> Dataset:
    told = Dataset()
    if transaction:
        told.TransactionUID = transaction
    told.ReferencedSOPSequence = [item(reference) for reference in references]
    if refused:
        told.FailedSOPSequence = [item(reference, FailureReason=0x0110) for reference in refused]
    return told


def item(reference: Reference, **more: int) -> Dataset:
    made = Dataset()
    made.ReferencedSOPClassUID = reference.sop_class_uid
    made.ReferencedSOPInstanceUID = reference.sop_instance_uid
    for keyword, value in more.items():
        setattr(made, keyword, value)
    return made


def ask(
    port: int, told: Dataset, *, calling: str = "ASKER", action: int = 1, instance: str = PUSH_MODEL_INSTANCE
) -> int | None:
    """N-ACTION; the status, None if the association was aborted."""
    entity = AE(calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE_S
    entity.add_requested_context(PUSH_MODEL)
    association = entity.associate("127.0.0.1", port)
    assert association.is_established
    status, _ = association.send_n_action(told, action, PUSH_MODEL, instance)
    association.release()
    return int(status.Status) if "Status" in status else None


def tell(port: int, told: Dataset, event_type: int = 1, calling: str = "ASKER") -> int | None:
    """N-EVENT-REPORT, without selecting a role as some do."""
    entity = AE(calling)
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE_S
    entity.add_requested_context(PUSH_MODEL)
    association = entity.associate("127.0.0.1", port)
    assert association.is_established
    status, _ = association.send_n_event_report(told, event_type, PUSH_MODEL, PUSH_MODEL_INSTANCE)
    association.release()
    return int(status.Status) if "Status" in status else None


@pytest.mark.parametrize("checks_files", [False, True])
def test_a_modality_hears_what_is_here(tmp_path: Path, checks_files: bool) -> None:
    asker = Modalities()
    with asker.at_home(), house(tmp_path, asker, checks_files=checks_files) as opened:
        one, two = opened.store(1), opened.store(2)
        assert ask(opened.port, information("1.2.1", one, two)) == 0
        assert asker.report() == (1, "1.2.1", [one.sop_instance_uid, two.sop_instance_uid], {})


def test_failures_come_with_their_reasons(tmp_path: Path) -> None:
    asker = Modalities()
    with asker.at_home(), house(tmp_path, asker) as opened:
        here, other = opened.store(1), opened.store(2)
        wrong = replace(other, sop_class_uid=MR_IMAGE_STORAGE)
        assert ask(opened.port, information("1.2.1", here, UNKNOWN, wrong)) == 0
        reasons = {
            UNKNOWN.sop_instance_uid: FailureReason.NO_SUCH_OBJECT_INSTANCE,
            wrong.sop_instance_uid: FailureReason.CLASS_INSTANCE_CONFLICT,
        }
        assert asker.report() == (2, "1.2.1", [here.sop_instance_uid], reasons)


def test_a_modality_that_is_away_is_told_when_it_is_back(tmp_path: Path) -> None:
    asker = Modalities()
    with house(tmp_path, asker) as opened:
        one = opened.store(1)
        assert ask(opened.port, information("1.2.1", one)) == 0
        assert ask(opened.port, information("1.2.1", one)) == 0  # the same again: nothing more is to be done
        (job,) = opened.engine.page()
        assert not job.state.ended
        assert ask(opened.port, information("1.2.1", UNKNOWN)) == 0  # another one under the same UID
        with asker.at_home():
            told = sorted([asker.report(), asker.report()])
            jobs = [opened.engine.wait(job.job_id, PATIENCE_S) for job in opened.engine.page()]
        assert [job.state for job in jobs] == [State.SUCCESS, State.SUCCESS]
        assert told == [
            (1, "1.2.1", [one.sop_instance_uid], {}),
            (2, "1.2.1", [], {UNKNOWN.sop_instance_uid: FailureReason.DUPLICATE_TRANSACTION_UID}),
        ]


def test_a_modality_that_refuses_the_report_is_not_asked_again(tmp_path: Path) -> None:
    asker = Modalities(status=0x0110)
    with asker.at_home(), house(tmp_path, asker) as opened:
        assert ask(opened.port, information("1.2.1", opened.store(1))) == 0
        asker.report()
        (job,) = opened.engine.page()
        with pytest.raises(NetworkProtocolError):
            opened.engine.wait(job.job_id, PATIENCE_S)
        assert opened.engine.get(job.job_id).state is State.FAILURE


@pytest.mark.parametrize("calling", ["STRANGER", "MUTE"])
def test_others_are_not_answered(tmp_path: Path, calling: str) -> None:
    asker = Modalities()
    with house(tmp_path, asker) as opened:
        one = opened.store(1)
        assert ask(opened.port, information("1.2.1", one), calling=calling) is None
        assert tell(opened.port, information("1.2.1", one), calling=calling) is None
        assert opened.engine.page() == []


@pytest.mark.parametrize(
    ("told", "more", "status"),
    [
        (information("1.2.1", UNKNOWN), {"action": 2}, 0x0123),
        (information("1.2.1", UNKNOWN), {"instance": "1.2.3"}, 0x0112),
        (information("", UNKNOWN), {}, 0x0115),
        (information("1.2.1", Reference("", "1.2.3")), {}, 0x0115),
    ],
)
def test_bad_requests_are_refused(tmp_path: Path, told: Dataset, more: dict[str, object], status: int) -> None:
    with house(tmp_path, Modalities()) as opened:
        assert ask(opened.port, told, **more) == status  # type: ignore[arg-type]
        assert opened.engine.page() == []


def test_reports_are_taken(tmp_path: Path) -> None:
    asker = Modalities()
    with house(tmp_path, asker) as opened:
        one, two = opened.store(1), opened.store(2)
        commitment.begin(opened.archive, "1.2.1", "ASKER", [one, two], kept=0)
        assert tell(opened.port, information("1.2.9", one)) == 0  # nobody asked for it: nothing to be said
        assert tell(opened.port, information("1.2.1", one), event_type=3) == 0x0113
        assert tell(opened.port, information("", one)) == 0x0115
        assert tell(opened.port, information("1.2.1", one, refused=(two,)), event_type=2) == 0
        found = commitment.get(opened.archive, "1.2.1")
        assert (found.committed, [refusal.reference for refusal in found.refused]) == ((one,), [two])
