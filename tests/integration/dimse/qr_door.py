"""A DICOM server with an archive behind it, for queries and retrievals, and ways to ask it with pynetdicom."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from pydicom import Dataset
from pynetdicom import AE, build_context
from pynetdicom.association import Association

from amonsul.archive.context import Archive, ArchiveSettings
from amonsul.archive.ingest import ingest
from amonsul.archive.modalities import Modality
from amonsul.archive.origin import InternalOrigin
from amonsul.blobs.memory import MemoryBlobs
from amonsul.clients.dimse import DicomClient, ScuSettings
from amonsul.clients.transcoding import transcoder
from amonsul.database import SqliteSettings, open_database
from amonsul.dimse_server.echo import EchoService
from amonsul.dimse_server.find import FindService
from amonsul.dimse_server.get import GetService
from amonsul.dimse_server.move import MoveService, SendLater
from amonsul.dimse_server.query import QuerySettings
from amonsul.dimse_server.service import Service
from amonsul.dimse_server.settings import AlwaysAllowed, DimseSettings
from amonsul.dimse_server.store import StoreService
from amonsul.imaging.codecs import LocalCodecs
from amonsul.jobs.outgoing import outgoing
from tests.contract.dicom_files import instance_file
from tests.integration.dimse.dicom_door import PATIENCE_S, Door, open_door

PATIENT_ROOT_FIND, STUDY_ROOT_FIND = "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.2.1"
STUDY_ROOT_MOVE, STUDY_ROOT_GET = "1.2.840.10008.5.1.4.1.2.2.2", "1.2.840.10008.5.1.4.1.2.2.3"
PATIENT_ROOT_GET = "1.2.840.10008.5.1.4.1.2.1.3"
EXPLICIT, IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"

ALLOWED = AlwaysAllowed(find=True, find_worklist=True, get=True, move=True)
SETTINGS = DimseSettings(ae_title="AMONSUL", host="127.0.0.1", port=0, always_allowed=ALLOWED)

Key = str | int | list["Keys"]
Keys = Mapping[str, Key]


@dataclass
class QrDoor:
    """The server, its archive, and the modalities it knows."""

    archive: Archive
    modalities: dict[str, Modality] = field(default_factory=dict)
    door: Door | None = None

    @property
    def port(self) -> int:
        assert self.door is not None
        return self.door.port

    def add(self, file: bytes) -> str:
        """Take an instance in; answers its identifier."""
        spool = self.archive.blobs.spool()
        spool.write(file)
        return ingest(self.archive, spool.finish(), InternalOrigin()).instance_id

    def add_instance(
        self,
        patient: int = 1,
        study: int = 1,
        series: int = 1,
        instance: int = 1,
        pixels: bytes = b"",
        **more: str | None | None,
    ) -> None:
        self.add(instance_file(patient, study, series, instance, pixels=pixels, **more))


@contextlib.contextmanager
def open_qr_door(
    folder: Path,
    query_settings: QuerySettings | None = None,
    settings: DimseSettings = SETTINGS,
    archive_settings: ArchiveSettings | None = None,
    send_later: SendLater | None = None,
    more: Callable[[Archive, QuerySettings], Service] | None = None,
) -> Iterator[QrDoor]:
    """Serve queries and retrievals, and one thing more, on a port of the system's choice."""
    database = open_database(SqliteSettings(folder / "index.db"))
    archive = Archive(database, MemoryBlobs(), settings=archive_settings or ArchiveSettings())
    qr = QrDoor(archive)
    queries = query_settings or QuerySettings(retrieve_ae_title="AMONSUL")
    transcode = transcoder(archive.blobs.spool, LocalCodecs())
    client = DicomClient(ScuSettings(ae_title="AMONSUL", association_close_delay_s=0), transcode)
    services: list[Service] = [
        EchoService(),
        StoreService(archive.blobs.spool, partial(ingest, archive)),
        FindService(archive, queries),
        GetService(archive, queries, outgoing, transcode),
        MoveService(archive, queries, lambda: qr.modalities, client, outgoing, send_later=send_later),
    ]
    if more is not None:
        services.append(more(archive, queries))
    try:
        with open_door(folder, settings, services=services) as door:
            qr.door = door
            yield qr
    finally:
        client.close()
        database.close()


def dataset(keys: Keys, charset: str = "") -> Dataset:
    """Keys by keyword; a list is a sequence."""
    identifier = Dataset()
    if charset:
        identifier.SpecificCharacterSet = charset
    for keyword, value in keys.items():
        if isinstance(value, list):
            setattr(identifier, keyword, [dataset(item) for item in value])
        else:
            setattr(identifier, keyword, value)
    return identifier


@contextlib.contextmanager
def association(port: int, *abstract_syntaxes: str, transfer_syntax: str = EXPLICIT) -> Iterator[Association]:
    """An association of pynetdicom for some SOP classes."""
    entity = AE("TESTER")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE_S
    contexts = [build_context(uid, transfer_syntax) for uid in abstract_syntaxes]
    opened = entity.associate("127.0.0.1", port, contexts=contexts, ae_title="AMONSUL")
    assert opened.is_established
    try:
        yield opened
    finally:
        if opened.is_established:
            opened.release()


def find(
    port: int, keys: Keys, model: str = STUDY_ROOT_FIND, charset: str = "", transfer_syntax: str = EXPLICIT
) -> tuple[int, list[Dataset]]:
    """A C-FIND: final status and answers."""
    answers = []
    with association(port, model, transfer_syntax=transfer_syntax) as opened:
        for status, answer in opened.send_c_find(dataset(keys, charset), model):
            if answer is not None:
                assert status.Status in (0xFF00, 0xFF01)
                answers.append(answer)
            final = int(status.Status)
    return final, answers
