"""Every service that Amonsul provides, with every implementation that uses it, in the clear and over TLS."""

from __future__ import annotations

import ssl
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.association import Association
from pynetdicom.events import Event

from amonsul.archive.modalities import Modality
from amonsul.dimse_server.worklist import MODALITY_WORKLIST_FIND, WorklistService, WorklistSettings
from tests.integration.clients.peers import PATIENCE_S, free_port, orthanc, path_of, storescp
from tests.integration.clients.tls import server_context
from tests.integration.dimse.qr_door import (
    SETTINGS,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    QrDoor,
    open_qr_door,
)
from tests.integration.interoperability.asking import COMPRESSED_FILES, PLAIN_FILES, worklist_item
from tests.integration.interoperability.table import Cell
from tests.integration.rest.certificates import Certificates

CT = "1.2.840.10008.5.1.4.1.1.2"


@dataclass(frozen=True)
class Stage:
    """A running server with one CT and one worklist entry, and what is needed to speak to it."""

    door: QrDoor
    folder: Path
    certificates: Certificates | None

    @property
    def port(self) -> int:
        return self.door.port

    @property
    def files(self) -> int:
        """Files that the server holds."""
        with self.door.archive.database.read() as tx:
            (count,) = tx.one("SELECT COUNT(*) FROM instances") or (0,)
        return int(count)


Check = Callable[[Stage], None]
Answer = Callable[[Path, Certificates], None]
"""A conversation: given a folder and certificates."""


@contextmanager
def _stage(folder: Path, certificates: Certificates | None, held: Sequence[str]) -> Iterator[Stage]:
    worklists = folder / "worklists"
    worklists.mkdir()
    item = worklist_item()
    item.file_meta = FileMetaDataset()
    item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    item.file_meta.MediaStorageSOPClassUID = UID("1.2.276.0.7230010.3.1.0.1")
    item.file_meta.MediaStorageSOPInstanceUID = UID("1.2.3")
    item.save_as(worklists / "one.wl", enforce_file_format=True)
    settings = replace(SETTINGS, tls=None if certificates is None else server_context(certificates))
    with open_qr_door(
        folder,
        settings=settings,
        more=lambda archive, queries: WorklistService(archive, queries, WorklistSettings(worklists)),
    ) as door:
        for name in held:
            door.add(path_of(name).read_bytes())
        yield Stage(door, folder, certificates)


def _study(name: str = "CT_small.dcm") -> str:
    return str(pydicom.dcmread(path_of(name)).StudyInstanceUID)


# ---------------------------------------------------------------------------------------------------- DCMTK


def _run_dcmtk(stage: Stage, program: str, *arguments: str) -> str:
    tls: list[str] = []
    if stage.certificates is not None:
        own = str(stage.certificates.client)
        tls = ["+tls", own, own, "+cf", str(stage.certificates.authority)]
    command = [program, "-v", *tls, "-aec", "AMONSUL", *arguments]
    done = subprocess.run(command, capture_output=True, check=True, timeout=PATIENCE_S, text=True, errors="replace")
    return done.stdout + done.stderr


def _place(stage: Stage) -> tuple[str, str]:
    return "127.0.0.1", str(stage.port)


def _dcmtk_echo(stage: Stage) -> None:
    assert "Received Echo Response (Success)" in _run_dcmtk(stage, "echoscu", *_place(stage))


def _dcmtk_store(stage: Stage) -> None:
    _run_dcmtk(stage, "storescu", *_place(stage), *(str(path_of(name)) for name in PLAIN_FILES))
    assert stage.files == len(PLAIN_FILES)


def _dcmtk_store_compressed(stage: Stage) -> None:
    for option, name in zip(("-xr", "-xw", "-xy"), COMPRESSED_FILES, strict=True):
        _run_dcmtk(stage, "storescu", option, *_place(stage), str(path_of(name)))
    assert stage.files == len(COMPRESSED_FILES)


_LEVEL = ("-k", "QueryRetrieveLevel=STUDY")


def _dcmtk_find(stage: Stage) -> None:
    keys = (*_LEVEL, "-k", "PatientName=*CT1", "-k", "StudyInstanceUID")
    assert _study() in _run_dcmtk(stage, "findscu", "-S", *keys, *_place(stage))


def _dcmtk_worklist(stage: Stage) -> None:
    keys = ("-k", "PatientName", "-k", "ScheduledProcedureStepSequence[0].Modality=CT")
    assert "Work^List" in _run_dcmtk(stage, "findscu", "-W", *keys, *_place(stage))


def _dcmtk_move(stage: Stage) -> None:
    with storescp(stage.folder, "+xa") as destination:
        stage.door.modalities["there"] = destination
        keys = (*_LEVEL, "-k", f"StudyInstanceUID={_study()}")
        _run_dcmtk(stage, "movescu", "-S", "-aem", "STORESCP", *keys, *_place(stage))
        assert len(list((stage.folder / "received").iterdir())) == 1


def _dcmtk_get(stage: Stage) -> None:
    received = stage.folder / "received"
    received.mkdir()
    keys = (*_LEVEL, "-k", f"StudyInstanceUID={_study()}")
    _run_dcmtk(stage, "getscu", "-S", "-od", str(received), *keys, *_place(stage))
    (file,) = received.iterdir()
    assert pydicom.dcmread(file).PixelData == pydicom.dcmread(path_of("CT_small.dcm")).PixelData


# ----------------------------------------------------------------------------------------------- pynetdicom


@contextmanager
def _pynetdicom(
    stage: Stage, *contexts: tuple[str, str], receives: Callable[[Dataset], None] | None = None
) -> Iterator[Association]:
    entity = AE("PYNETDICOM")
    entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = PATIENCE_S

    def on_store(event: Event) -> int:
        assert receives is not None
        receives(event.dataset)
        return 0

    association = entity.associate(
        "127.0.0.1",
        stage.port,
        contexts=[build_context(*context) for context in contexts],
        ae_title="AMONSUL",
        ext_neg=[build_role(CT, scp_role=True)] if receives is not None else [],
        evt_handlers=[(evt.EVT_C_STORE, on_store)] if receives is not None else [],
        tls_args=None if stage.certificates is None else (_client_context(stage.certificates), "localhost"),
    )
    assert association.is_established
    yield association
    association.release()


def _client_context(certificates: Certificates) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(certificates.authority))
    context.load_cert_chain(str(certificates.client))
    context.check_hostname = False
    return context


def _keys(**more: str) -> Dataset:
    keys = Dataset()
    keys.QueryRetrieveLevel = "STUDY"
    for keyword, value in {"StudyInstanceUID": _study(), **more}.items():
        setattr(keys, keyword, value)
    return keys


def _pynetdicom_echo(stage: Stage) -> None:
    with _pynetdicom(stage, ("1.2.840.10008.1.1", ExplicitVRLittleEndian)) as association:
        assert association.send_c_echo().Status == 0


def _pynetdicom_store(names: Sequence[str]) -> Check:
    def check(stage: Stage) -> None:
        data_sets = [pydicom.dcmread(path_of(name)) for name in names]
        contexts = {(str(each.SOPClassUID), str(each.file_meta.TransferSyntaxUID)) for each in data_sets}
        with _pynetdicom(stage, *contexts) as association:
            assert [association.send_c_store(each).Status for each in data_sets] == [0] * len(names)
        assert stage.files == len(names)

    return check


def _pynetdicom_find(stage: Stage) -> None:
    with _pynetdicom(stage, (STUDY_ROOT_FIND, ExplicitVRLittleEndian)) as association:
        keys = _keys(StudyInstanceUID="", PatientName="*CT1")
        found = [answer for _, answer in association.send_c_find(keys, STUDY_ROOT_FIND) if answer is not None]
    assert [answer.StudyInstanceUID for answer in found] == [_study()]


def _pynetdicom_worklist(stage: Stage) -> None:
    keys = Dataset()
    keys.PatientName = ""
    with _pynetdicom(stage, (MODALITY_WORKLIST_FIND, ExplicitVRLittleEndian)) as association:
        found = [answer for _, answer in association.send_c_find(keys, MODALITY_WORKLIST_FIND) if answer is not None]
    assert [str(answer.PatientName) for answer in found] == ["Work^List"]


def _pynetdicom_move(stage: Stage) -> None:
    with storescp(stage.folder, "+xa") as destination:
        stage.door.modalities["there"] = destination
        with _pynetdicom(stage, (STUDY_ROOT_MOVE, ExplicitVRLittleEndian)) as association:
            *_, (final, _) = association.send_c_move(_keys(), "STORESCP", STUDY_ROOT_MOVE)
        assert (final.Status, final.NumberOfCompletedSuboperations) == (0, 1)
        assert len(list((stage.folder / "received").iterdir())) == 1


def _pynetdicom_get(stage: Stage) -> None:
    received: list[Dataset] = []
    contexts = ((STUDY_ROOT_GET, ExplicitVRLittleEndian), (CT, ExplicitVRLittleEndian))
    with _pynetdicom(stage, *contexts, receives=received.append) as association:
        *_, (final, _) = association.send_c_get(_keys(), STUDY_ROOT_GET)
    assert (final.Status, final.NumberOfCompletedSuboperations) == (0, 1)
    assert [each.StudyInstanceUID for each in received] == [_study()]


# -------------------------------------------------------------------------------------------------- Orthanc


@dataclass(frozen=True)
class _Orthanc:
    http: httpx.Client
    modality: Modality

    def post(self, path: str, body: object) -> httpx.Response:
        answer = self.http.post(path, json=body)
        assert answer.status_code == 200, answer.text
        return answer


@contextmanager
def _orthanc(stage: Stage) -> Iterator[_Orthanc]:
    port = free_port()
    us = {"AET": "AMONSUL", "Host": "127.0.0.1", "Port": stage.port, "UseDicomTls": stage.certificates is not None}
    options: dict[str, object] = {"DicomModalities": {"amonsul": us}}
    if stage.certificates is not None:
        options |= {
            "DicomTlsEnabled": False,
            "DicomTlsCertificate": str(stage.certificates.client),
            "DicomTlsPrivateKey": str(stage.certificates.client),
            "DicomTlsTrustedCertificates": str(stage.certificates.authority),
        }
    with (
        orthanc(stage.folder / "orthanc", options=options, http_port=port) as modality,
        httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE_S) as http,
    ):
        yield _Orthanc(http, modality)


def _orthanc_echo(stage: Stage) -> None:
    with _orthanc(stage) as peer:
        peer.post("/modalities/amonsul/echo", {})


def _orthanc_store(names: Sequence[str]) -> Check:
    def check(stage: Stage) -> None:
        with _orthanc(stage) as peer:
            ids = []
            for name in names:
                stored = peer.http.post("/instances", content=path_of(name).read_bytes())
                ids.append(stored.json()["ID"])
            peer.post("/modalities/amonsul/store", ids)
        assert stage.files == len(names)

    return check


def _orthanc_find(stage: Stage) -> None:
    with _orthanc(stage) as peer:
        query = peer.post("/modalities/amonsul/query", {"Level": "Study", "Query": {"PatientName": "*CT1"}}).json()
        answer = peer.http.get(f"/queries/{query['ID']}/answers/0/content?simplify").json()
    assert answer["StudyInstanceUID"] == _study()


def _orthanc_worklist(stage: Stage) -> None:
    with _orthanc(stage) as peer:
        found = peer.post("/modalities/amonsul/find-worklist", {"PatientName": ""}).json()
    assert [each["PatientName"] for each in found] == ["Work^List"]


def _orthanc_move(stage: Stage) -> None:
    with _orthanc(stage) as peer:
        stage.door.modalities["there"] = peer.modality
        query = peer.post("/modalities/amonsul/query", {"Level": "Study", "Query": {"PatientName": "*CT1"}}).json()
        peer.post(f"/queries/{query['ID']}/retrieve", {"TargetAet": "ORTHANC", "Synchronous": True})
        assert len(peer.http.get("/instances").json()) == 1


_ROWS: dict[str, tuple[tuple[str, ...], dict[str, tuple[Check, bool]]]] = {
    "C-ECHO": (
        (),
        {"DCMTK": (_dcmtk_echo, True), "pynetdicom": (_pynetdicom_echo, True), "Orthanc": (_orthanc_echo, True)},
    ),
    "C-STORE": (
        (),
        {
            "DCMTK": (_dcmtk_store, True),
            "pynetdicom": (_pynetdicom_store(PLAIN_FILES), True),
            "Orthanc": (_orthanc_store(PLAIN_FILES), True),
        },
    ),
    "C-STORE, RLE, JPEG, JPEG 2000": (
        (),
        {
            "DCMTK": (_dcmtk_store_compressed, True),
            "pynetdicom": (_pynetdicom_store(COMPRESSED_FILES), True),
            "Orthanc": (_orthanc_store(COMPRESSED_FILES), True),
        },
    ),
    "C-FIND": (
        PLAIN_FILES,
        {"DCMTK": (_dcmtk_find, True), "pynetdicom": (_pynetdicom_find, True), "Orthanc": (_orthanc_find, True)},
    ),
    "C-FIND, worklist": (
        (),
        {
            "DCMTK": (_dcmtk_worklist, True),
            "pynetdicom": (_pynetdicom_worklist, True),
            "Orthanc": (_orthanc_worklist, True),
        },
    ),
    # Its movescu and getscu speak no TLS; the destination of a move listens in the clear.
    "C-MOVE": (
        PLAIN_FILES,
        {"DCMTK": (_dcmtk_move, False), "pynetdicom": (_pynetdicom_move, True), "Orthanc": (_orthanc_move, True)},
    ),
    "C-GET": (PLAIN_FILES, {"DCMTK": (_dcmtk_get, False), "pynetdicom": (_pynetdicom_get, True)}),
}
"""What the server holds, who asks, and whether he speaks TLS."""


def _run(check: Check, held: Sequence[str], tls: bool) -> Answer:
    def run(folder: Path, certificates: Certificates) -> None:
        with _stage(folder, certificates if tls else None, held) as stage:
            check(stage)

    return run


CELLS: list[Cell[Answer]] = [
    Cell(service, name, tls, _run(check, held, tls))
    for service, (held, peers) in _ROWS.items()
    for name, (check, has_tls) in peers.items()
    for tls in ((False, True) if has_tls else (False,))
]
