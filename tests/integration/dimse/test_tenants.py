"""Two tenants of one archive over the wire: every constraint, level and verb."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from io import BytesIO
from pathlib import Path

import pydicom
import pytest
from pydicom import Dataset
from pynetdicom import AE, build_role, evt
from pynetdicom.events import Event

from amonsul.archive import find, read
from amonsul.archive.context import Archive
from amonsul.archive.ingest import ingest
from amonsul.archive.modalities import Modality
from amonsul.archive.origin import InternalOrigin
from amonsul.blobs.memory import MemoryBlobs
from amonsul.blobs.spool import Spooled
from amonsul.clients.dimse import DicomClient, ScuSettings
from amonsul.database import SqliteSettings, open_database
from amonsul.dicom.levels import Level
from amonsul.dicom.query import LabelsConstraint, View
from amonsul.dimse_server.echo import EchoService
from amonsul.dimse_server.find import FindService
from amonsul.dimse_server.get import GetService
from amonsul.dimse_server.move import MoveService
from amonsul.dimse_server.query import QuerySettings
from amonsul.dimse_server.service import Service
from amonsul.dimse_server.store import StoreService
from amonsul.jobs.outgoing import outgoing
from tests.contract.dicom_files import CT_IMAGE_STORAGE, instance_file
from tests.integration.clients.peers import Pynetdicom, pynetdicom_server
from tests.integration.dimse.dicom_door import PATIENCE_S, Door, open_door
from tests.integration.dimse.qr_door import (
    PATIENT_ROOT_FIND,
    PATIENT_ROOT_GET,
    SETTINGS,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    dataset,
)
from tests.integration.dimse.qr_door import find as c_find

PATIENT_ROOT_MOVE = "1.2.840.10008.5.1.4.1.2.1.2"
EVERYWHERE = tuple(Level)
LEVELS = {
    "PATIENT": ("PatientID", "PID1"),
    "STUDY": ("StudyInstanceUID", "1.2.3.1.1"),
    "SERIES": ("SeriesInstanceUID", "1.2.3.1.1.1\\1.2.3.1.1.2"),
    "IMAGE": ("SOPInstanceUID", "*"),
}


@dataclass
class House:
    """An archive with the doors of two tenants, in which each has stored an instance and a third has no labels."""

    archive: Archive
    modalities: dict[str, Modality]
    doors: tuple[Door, Door]
    uids: tuple[str, str, str]


@contextlib.contextmanager
def house(folder: Path, constraint: LabelsConstraint, is_whole: bool = False) -> Iterator[House]:
    database = open_database(SqliteSettings(folder / "index.db"))
    archive = Archive(database, MemoryBlobs())
    modalities: dict[str, Modality] = {}
    client = DicomClient(ScuSettings(ae_title="AMONSUL", association_close_delay_s=0))

    def services(label: str) -> list[Service]:
        view = View((label,), constraint, is_whole=is_whole)
        settings = QuerySettings(retrieve_ae_title=label.upper())
        labels = dict.fromkeys(EVERYWHERE, (label,))
        return [
            EchoService(),
            StoreService(archive.blobs.spool, partial(ingest, archive, labels=labels)),
            FindService(archive, settings, view),
            GetService(archive, settings, outgoing, None, view),
            MoveService(archive, settings, lambda: modalities, client, outgoing, view=view),
        ]

    try:
        with contextlib.ExitStack() as stack:
            doors = [
                stack.enter_context(
                    open_door(folder, replace(SETTINGS, ae_title=label.upper()), services=services(label))
                )
                for label in ("a", "b")
            ]
            files = [instance_file(1, 1, 1, 1), instance_file(1, 1, 2, 2), instance_file(1, 1, 2, 3)]
            for door, file in zip(doors, files, strict=False):
                c_store(door.port, file)
            ingest(archive, Spooled.of(files[2]), InternalOrigin())
            uids = tuple(str(pydicom.dcmread(BytesIO(file)).SOPInstanceUID) for file in files)
            assert len(uids) == 3
            yield House(archive, modalities, (doors[0], doors[1]), uids)
    finally:
        client.close()
        database.close()


def c_store(port: int, file: bytes) -> None:
    entity = AE("SENDER")
    entity.add_requested_context(CT_IMAGE_STORAGE, "1.2.840.10008.1.2.1")
    association = entity.associate("127.0.0.1", port)
    assert association.is_established
    assert association.send_c_store(pydicom.dcmread(BytesIO(file))).Status == 0
    association.release()


def identifier(level: str, uid: str = "") -> Dataset:
    keyword, value = LEVELS[level]
    return dataset({"QueryRetrieveLevel": level, keyword: uid or value})


def labels_of(house: House, uid: str, level: Level) -> set[str]:
    ((_, instance),) = find.lookup(house.archive, uid)
    if level is Level.INSTANCE:
        return set(find.get(house.archive, level, instance).labels)
    return set(find.ancestor(house.archive, Level.INSTANCE, instance, level).labels)


def allowed(house: House, label: str, constraint: LabelsConstraint, level: Level) -> set[str]:
    """Instances that the tenant gets when it asks for everything at a level, by the documents."""

    def permitted(labels: set[str]) -> bool:
        return (label in labels) is not (constraint is LabelsConstraint.NONE)

    found = set()
    for uid in house.uids:
        below = [labels_of(house, uid, each) for each in Level if each > level]
        if permitted(labels_of(house, uid, level)) and all(not labels or permitted(labels) for labels in below):
            found.add(uid)
    return found


def retrieve(house: House, door: Door, verb: str, level: str, uid: str = "") -> tuple[set[str], int]:
    """What a tenant gets, and how many completed sub-operations it is told."""
    peer = Pynetdicom()
    received: set[str] = set()
    entity = AE("TESTER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE_S
    with pynetdicom_server(peer) as modality:
        house.modalities["dest"] = modality
        roots = {"move": (PATIENT_ROOT_MOVE, STUDY_ROOT_MOVE), "get": (PATIENT_ROOT_GET, STUDY_ROOT_GET)}[verb]
        model = roots[0] if level == "PATIENT" else roots[1]
        entity.add_requested_context(model)
        entity.add_requested_context(CT_IMAGE_STORAGE, "1.2.840.10008.1.2.1")

        def on_store(event: Event) -> int:
            received.add(str(event.request.AffectedSOPInstanceUID))  # type: ignore[union-attr]
            return 0

        association = entity.associate(
            "127.0.0.1",
            door.port,
            ext_neg=[build_role(CT_IMAGE_STORAGE, scp_role=True)],
            evt_handlers=[(evt.EVT_C_STORE, on_store)],
        )
        assert association.is_established
        if verb == "move":
            *_, (status, _) = association.send_c_move(identifier(level, uid), modality.ae_title, model)
        else:
            *_, (status, _) = association.send_c_get(identifier(level, uid), model)
        association.release()
        received |= {each[0] for each in peer.stored}
    return received, int(status.get("NumberOfCompletedSuboperations", 0))


@pytest.mark.parametrize("constraint", LabelsConstraint)
def test_every_level_and_verb(tmp_path: Path, constraint: LabelsConstraint) -> None:
    with house(tmp_path, constraint) as opened:
        for (door, label), (number, level) in itertools.product(
            zip(opened.doors, "ab", strict=True), enumerate(LEVELS)
        ):
            keyword, _ = LEVELS[level]
            expected = allowed(opened, label, constraint, Level(number))
            own = [uid for uid in opened.uids if uid in allowed(opened, label, constraint, Level.INSTANCE)]
            model = PATIENT_ROOT_FIND if level == "PATIENT" else STUDY_ROOT_FIND
            status, answers = c_find(door.port, {"QueryRetrieveLevel": level, keyword: ""}, model)
            assert status == 0
            if level == "IMAGE":
                assert {str(answer.SOPInstanceUID) for answer in answers} == set(own)
            for verb in ("move", "get"):
                if level == "IMAGE":
                    for uid in opened.uids:
                        got, _ = retrieve(opened, door, verb, level, uid)
                        assert got == ({uid} & set(own)), (label, verb, level)
                    continue
                got, told = retrieve(opened, door, verb, level)
                assert (got, told) == (expected, len(expected)), (label, verb, level)


def test_the_operator_may_let_whole_studies_go(tmp_path: Path) -> None:
    with house(tmp_path, LabelsConstraint.ALL, is_whole=True) as opened:
        for door, verb in itertools.product(opened.doors, ("move", "get")):
            assert retrieve(opened, door, verb, "STUDY")[0] == set(opened.uids)


def test_what_is_counted_is_what_is_seen(tmp_path: Path) -> None:
    with house(tmp_path, LabelsConstraint.ANY) as opened:
        keys = {"QueryRetrieveLevel": "STUDY", "NumberOfStudyRelatedInstances": "", "NumberOfStudyRelatedSeries": ""}
        counts = []
        for door in opened.doors:
            _, (answer,) = c_find(door.port, keys)
            counts.append((answer.NumberOfStudyRelatedInstances, answer.NumberOfStudyRelatedSeries))
        assert counts == [(1, 1), (2, 1)]  # what has no labels goes with the series of B


def test_the_sender_is_kept(tmp_path: Path) -> None:
    with house(tmp_path, LabelsConstraint.ALL) as opened:
        ((_, instance),) = find.lookup(opened.archive, opened.uids[0])
        kept = read.metadata(opened.archive, Level.INSTANCE, instance)
        assert kept["Origin"].text == "DicomProtocol"
        assert kept["RemoteAET"].text == "SENDER"
