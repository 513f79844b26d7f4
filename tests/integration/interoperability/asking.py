"""Every service that Amonsul uses, with every implementation that provides it, in the clear and over TLS."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pydicom
from pydicom.dataset import Dataset

from amonsul.archive.modalities import Modality
from amonsul.blobs.spool import Spool, Spooled
from amonsul.clients.dimse import (
    MODALITY_WORKLIST_FIND,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    DicomClient,
    Receiver,
)
from amonsul.dicom.elements import Tag
from tests.integration.clients.peers import (
    Pynetdicom,
    dcmqrscp,
    orthanc,
    outgoing,
    path_of,
    pynetdicom_server,
    storescp,
    wlmscpfs,
)
from tests.integration.clients.tls import server_context
from tests.integration.interoperability.table import Cell
from tests.integration.rest.certificates import Certificates

PLAIN_FILES = ("CT_small.dcm", "MR_small.dcm", "rtplan.dcm")
COMPRESSED_FILES = ("MR_small_RLE.dcm", "JPEG2000.dcm", "SC_rgb_jpeg_dcmtk.dcm")
_STUDY_INSTANCE_UID, _PATIENT_NAME = Tag(0x0020000D), Tag(0x00100010)
_COMMITMENT = ("1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1")


@dataclass(frozen=True)
class Peer:
    """Another implementation, running; `files` are those that it can send back."""

    modality: Modality
    events: Callable[[], int] = lambda: 0


Start = Callable[[Path, Certificates | None], AbstractContextManager[Peer]]
Check = Callable[[DicomClient, Peer], None]


# ------------------------------------------------------------------------------------------------- those that answer


@contextmanager
def _storescp(folder: Path, certificates: Certificates | None) -> Iterator[Peer]:
    options = ["+xa"] if certificates is None else ["+xa", *_dcmtk_tls(certificates)]
    with storescp(folder, *options) as modality:
        yield Peer(modality)


@contextmanager
def _dcmqrscp(folder: Path, _certificates: Certificates | None) -> Iterator[Peer]:
    with storescp(folder / "destination", "+xa") as destination, dcmqrscp(folder / "archive", destination) as modality:
        yield Peer(modality, lambda: len(list((folder / "destination" / "received").iterdir())))


@contextmanager
def _wlmscpfs(folder: Path, _certificates: Certificates | None) -> Iterator[Peer]:
    with wlmscpfs(folder, [worklist_item()]) as modality:
        yield Peer(modality)


@contextmanager
def _orthanc(folder: Path, certificates: Certificates | None) -> Iterator[Peer]:
    options: dict[str, object] = {}
    if certificates is not None:
        options = {
            "DicomTlsEnabled": True,
            "DicomTlsCertificate": str(certificates.server),
            "DicomTlsPrivateKey": str(certificates.server),
            "DicomTlsTrustedCertificates": str(certificates.authority),
        }
    with (
        storescp(folder / "destination", "+xa") as destination,
        orthanc(folder / "archive", destination, options) as modality,
    ):
        yield Peer(modality, lambda: len(list((folder / "destination" / "received").iterdir())))


@contextmanager
def _pynetdicom(folder: Path, certificates: Certificates | None) -> Iterator[Peer]:
    held = pydicom.dcmread(path_of("CT_small.dcm"))
    found = Dataset()
    found.QueryRetrieveLevel = "STUDY"
    found.StudyInstanceUID, found.PatientName = held.StudyInstanceUID, held.PatientName
    with storescp(folder, "+xa") as destination:
        peer = Pynetdicom(find_answers=[found], held=[held], destination=destination)
        tls = None if certificates is None else server_context(certificates)
        syntaxes = sorted({outgoing(path_of(name)).transfer_syntax_uid for name in (*PLAIN_FILES, *COMPRESSED_FILES)})
        with pynetdicom_server(peer, syntaxes, tls) as modality:
            yield Peer(modality, lambda: len(list((folder / "received").iterdir())))


def _dcmtk_tls(certificates: Certificates) -> list[str]:
    return ["+tls", str(certificates.server), str(certificates.server), "+cf", str(certificates.authority)]


def worklist_item() -> Dataset:
    """An entry of a worklist."""
    item = Dataset()
    item.SpecificCharacterSet = "ISO_IR 100"
    item.AccessionNumber = "A1"
    item.PatientName = "Work^List"
    item.PatientID = "W1"
    item.PatientBirthDate = "19700101"
    item.PatientSex = "F"
    item.StudyInstanceUID = "1.2.3"
    item.RequestedProcedureID = "R1"
    item.RequestedProcedureDescription = "Chest"
    step = Dataset()
    step.Modality = "CT"
    step.ScheduledStationAETitle = "STATION"
    step.ScheduledProcedureStepStartDate = "20240101"
    step.ScheduledProcedureStepStartTime = "100000"
    step.ScheduledPerformingPhysicianName = "Doctor"
    step.ScheduledProcedureStepDescription = "Chest"
    step.ScheduledProcedureStepID = "S1"
    item.ScheduledProcedureStepSequence = [step]
    return item


# ------------------------------------------------------------------------------------------------- what is asked


def _echo(scu: DicomClient, peer: Peer) -> None:
    scu.echo(peer.modality)


def _store(names: Sequence[str]) -> Check:
    def check(scu: DicomClient, peer: Peer) -> None:
        outcomes = list(scu.store(peer.modality, [outgoing(path_of(name)) for name in names]))
        for outcome in outcomes:
            outcome.raise_failure(peer.modality)
        assert len(outcomes) == len(names)

    return check


def _find(scu: DicomClient, peer: Peer) -> None:
    _store(["CT_small.dcm"])(scu, peer)
    keys = _keys()
    keys.PatientName = "*^CT1"
    wanted = pydicom.dcmread(path_of("CT_small.dcm"))
    (answer,) = scu.find(peer.modality, STUDY_ROOT_FIND, keys)
    assert answer[_STUDY_INSTANCE_UID].value == wanted.StudyInstanceUID
    assert answer[_PATIENT_NAME].value == str(wanted.PatientName)


def _find_worklist(scu: DicomClient, peer: Peer) -> None:
    keys = Dataset()
    keys.PatientName = ""
    keys.ScheduledProcedureStepSequence = [Dataset()]
    keys.ScheduledProcedureStepSequence[0].Modality = ""
    assert len(list(scu.find(peer.modality, MODALITY_WORKLIST_FIND, keys))) == 1


def _move(scu: DicomClient, peer: Peer) -> None:
    _store(["CT_small.dcm"])(scu, peer)
    *_, last = scu.move(peer.modality, STUDY_ROOT_MOVE, _ct_study(), "STORESCP")
    assert (last.completed, last.failed) == (1, 0)
    assert peer.events() == 1


def _get(scu: DicomClient, peer: Peer) -> None:
    _store(["CT_small.dcm"])(scu, peer)
    received: list[bytes] = []

    def take(spooled: Spooled) -> int:
        received.append(bytes(spooled.view()))
        return 0

    *_, last = scu.get(peer.modality, STUDY_ROOT_GET, _ct_study(), Receiver(_spool, take))
    assert (last.completed, last.failed) == (1, 0)
    wanted = pydicom.dcmread(path_of("CT_small.dcm"))
    assert pydicom.dcmread(io.BytesIO(received[0])).SOPInstanceUID == wanted.SOPInstanceUID


def _action_and_report(scu: DicomClient, peer: Peer) -> None:
    information = Dataset()
    information.TransactionUID = "1.2.3"
    referenced = Dataset()
    referenced.ReferencedSOPClassUID, referenced.ReferencedSOPInstanceUID = "1.2.840.10008.5.1.4.1.1.2", "1.2.4"
    information.ReferencedSOPSequence = [referenced]
    scu.n_action(peer.modality, *_COMMITMENT, 1, information)


def _keys() -> Dataset:
    keys = Dataset()
    keys.QueryRetrieveLevel = "STUDY"
    keys.StudyInstanceUID = keys.PatientName = ""
    return keys


def _ct_study() -> Dataset:
    keys = Dataset()
    keys.QueryRetrieveLevel = "STUDY"
    keys.StudyInstanceUID = pydicom.dcmread(path_of("CT_small.dcm")).StudyInstanceUID
    return keys


def _spool() -> Spool:
    nowhere = Path("/nonexistent")
    return Spool(lambda: nowhere, memory_limit=1 << 30)


_SERVICES: dict[str, tuple[Check, dict[str, tuple[Start, bool]]]] = {
    "C-ECHO": (
        _echo,
        {"DCMTK": (_storescp, True), "pynetdicom": (_pynetdicom, True), "Orthanc": (_orthanc, True)},
    ),
    "C-STORE": (
        _store(PLAIN_FILES),
        {"DCMTK": (_storescp, True), "pynetdicom": (_pynetdicom, True), "Orthanc": (_orthanc, True)},
    ),
    "C-STORE, RLE, JPEG, JPEG 2000": (
        _store(COMPRESSED_FILES),
        {"DCMTK": (_storescp, True), "pynetdicom": (_pynetdicom, True), "Orthanc": (_orthanc, True)},
    ),
    "C-FIND": (
        _find,
        {"DCMTK": (_dcmqrscp, False), "pynetdicom": (_pynetdicom, True), "Orthanc": (_orthanc, True)},
    ),
    "C-FIND, worklist": (_find_worklist, {"DCMTK": (_wlmscpfs, False), "pynetdicom": (_pynetdicom, True)}),
    "C-MOVE": (
        _move,
        {"DCMTK": (_dcmqrscp, False), "pynetdicom": (_pynetdicom, True), "Orthanc": (_orthanc, True)},
    ),
    "C-GET": (
        _get,
        {"DCMTK": (_dcmqrscp, False), "pynetdicom": (_pynetdicom, True), "Orthanc": (_orthanc, True)},
    ),
    "N-ACTION": (_action_and_report, {"pynetdicom": (_pynetdicom, True), "Orthanc": (_orthanc, True)}),
}
"""What is asked, and who can be asked it: the program, and whether it speaks TLS."""


Ask = Callable[[Path, Certificates, DicomClient], None]
"""A conversation: given a folder, certificates, and a client that has them."""


def _run(start: Start, check: Check, tls: bool) -> Ask:
    def run(folder: Path, certificates: Certificates, scu: DicomClient) -> None:
        with start(folder, certificates if tls else None) as peer:
            modality = replace(peer.modality, use_dicom_tls=tls)
            check(scu, replace(peer, modality=modality))

    return run


CELLS: list[Cell[Ask]] = [
    Cell(service, name, tls, _run(start, check, tls))
    for service, (check, peers) in _SERVICES.items()
    for name, (start, has_tls) in peers.items()
    for tls in ((False, True) if has_tls else (False,))
]
