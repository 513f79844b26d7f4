"""Other DICOM implementations as servers, each on a port of its own, each as the modality that it is to us."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian
from pynetdicom import AE, AllStoragePresentationContexts, build_context, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event
from pynetdicom.sop_class import (  # type: ignore[attr-defined]  # made at import
    ModalityWorklistInformationFind,
    PatientRootQueryRetrieveInformationModelFind,
    PatientRootQueryRetrieveInformationModelGet,
    PatientRootQueryRetrieveInformationModelMove,
    StudyRootQueryRetrieveInformationModelFind,
    StudyRootQueryRetrieveInformationModelGet,
    StudyRootQueryRetrieveInformationModelMove,
    Verification,
)
from pynetdicom.transport import ThreadedAssociationServer

from amonsul.archive.modalities import Modality
from amonsul.clients.dimse import DicomClient, Outgoing, ScuSettings

PATIENCE_S = 120.0
"""How long to wait for what should come at once; no test passes by it."""

AE_TITLE = "AMONSUL"


def free_port() -> int:
    """A port that nobody listens on, and that stays free until the program which is told of it takes it.

    The system draws the ports of outgoing connections, and those of servers that ask for port 0, from the range of
    its own; a port beside that range is not handed to anyone in between. Where it has taken all, chance must do.
    """
    first, last = map(int, Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    beside = [port for port in range(10_000, 65_536) if not first <= port <= last]
    chance = random.Random()  # not the one that others have seeded
    while True:
        port = chance.choice(beside or range(10_000, 65_536))
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("", port))
            return port


def path_of(name: str) -> Path:
    """A file that comes with pydicom."""
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path)


def outgoing(path: Path) -> Outgoing:
    """A file as the client sends it."""
    data_set = pydicom.dcmread(path, stop_before_pixels=True)
    assert data_set.file_meta is not None
    return Outgoing(
        str(data_set.SOPClassUID),
        str(data_set.SOPInstanceUID),
        str(data_set.file_meta.TransferSyntaxUID),
        lambda: _pieces(path),
    )


def _pieces(path: Path) -> Iterator[bytes]:
    data = path.read_bytes()
    for start in range(0, len(data), 10_000):
        yield data[start : start + 10_000]


@contextlib.contextmanager
def client(settings: ScuSettings | None = None, **more: object) -> Iterator[DicomClient]:
    """A client that is closed at the end."""
    kept = ScuSettings(ae_title=AE_TITLE, timeout_s=PATIENCE_S, association_close_delay_s=PATIENCE_S)
    made = DicomClient(settings or kept, **more)  # type: ignore[arg-type]
    try:
        yield made
    finally:
        made.close()


# --------------------------------------------------------------------------------------------------- pynetdicom


@dataclass
class Pynetdicom:
    """What a pynetdicom server is to answer, and what it saw."""

    store_status: Callable[[str], int] = lambda _uid: 0
    find_answers: Sequence[Dataset] = ()
    find_status: int = 0
    held: Sequence[Dataset] = ()
    """What C-MOVE and C-GET give, whatever is asked for."""
    destination: Modality | None = None
    hold_at: int = -1
    """Before this answer it waits to be cancelled."""
    events: list[str] = field(default_factory=list)
    stored: list[tuple[str, str, bytes]] = field(default_factory=list)
    originators: list[tuple[str | None, int | None]] = field(default_factory=list)
    identifiers: list[Dataset] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)
    reports: list[tuple[str, int | None, Dataset]] = field(default_factory=list)
    modality: Modality = field(default_factory=lambda: Modality("PYNETDICOM", "127.0.0.1", 0))
    server: ThreadedAssociationServer | None = None

    def abort_all(self) -> None:
        """Abort all associations."""
        assert self.server is not None
        for association in self.server.active_associations:
            association.abort()


@contextlib.contextmanager
def serve(
    entity: AE, handlers: Sequence[evt.EventHandlerType], port: int = 0, tls: object = None
) -> Iterator[ThreadedAssociationServer]:
    """Serve with pynetdicom, whose own way to do so takes up to half a second to notice that it is over."""
    server = entity.make_server(
        ("127.0.0.1", port),
        ssl_context=tls,  # type: ignore[arg-type]
        evt_handlers=list(handlers),
        server_class=ThreadedAssociationServer,
    )
    entity._servers.append(server)  # from which its end removes it
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()


def port_of(server: ThreadedAssociationServer) -> int:
    """Where it listens."""
    assert server.socket is not None
    return int(server.socket.getsockname()[1])


@contextlib.contextmanager
def pynetdicom_server(
    peer: Pynetdicom, transfer_syntaxes: Sequence[str] | None = None, tls: object = None
) -> Iterator[Modality]:
    """Serve everything that an SCP may serve."""
    entity = AE("PYNETDICOM")
    for context in AllStoragePresentationContexts:
        syntaxes = list(transfer_syntaxes) if transfer_syntaxes else list(context.transfer_syntax or ())
        entity.add_supported_context(context.abstract_syntax or "", syntaxes, scu_role=True, scp_role=True)
    for abstract_syntax in (
        Verification,
        PatientRootQueryRetrieveInformationModelFind,
        StudyRootQueryRetrieveInformationModelFind,
        ModalityWorklistInformationFind,
        PatientRootQueryRetrieveInformationModelMove,
        StudyRootQueryRetrieveInformationModelMove,
        PatientRootQueryRetrieveInformationModelGet,
        StudyRootQueryRetrieveInformationModelGet,
    ):
        entity.add_supported_context(abstract_syntax)
    entity.add_supported_context("1.2.840.10008.1.20.1", scu_role=True, scp_role=True)

    def on_store(event: Event) -> int:
        request = event.request
        assert isinstance(request, C_STORE)
        assert request.DataSet is not None
        peer.events.append("C-STORE")
        peer.stored.append(
            (str(request.AffectedSOPInstanceUID), str(event.context.transfer_syntax), request.DataSet.getvalue())
        )
        peer.originators.append((request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID))
        return peer.store_status(str(request.AffectedSOPInstanceUID))

    def on_find(event: Event) -> Iterator[tuple[int, Dataset | None]]:
        peer.identifiers.append(event.identifier)
        for number, answer in enumerate(peer.find_answers):
            deadline = time.monotonic() + PATIENCE_S
            is_cancelled = event.is_cancelled  # true only once
            while number == peer.hold_at and not is_cancelled and time.monotonic() < deadline:
                time.sleep(0.001)  # until the other thread of the server has read it
                is_cancelled = event.is_cancelled
            if is_cancelled:
                peer.cancelled.set()
                yield 0xFE00, None
                return
            yield 0xFF00, answer
        if peer.find_status:
            yield peer.find_status, None

    def on_move(_event: Event) -> Iterator[object]:
        if peer.destination is None:
            yield None, None
            return
        contexts = [
            build_context(data_set.SOPClassUID, str(data_set.file_meta.TransferSyntaxUID)) for data_set in peer.held
        ]
        yield peer.destination.host, peer.destination.port, {"ae_title": "STORESCP", "contexts": contexts}
        yield len(peer.held)
        for data_set in peer.held:
            yield 0xFF00, data_set

    def on_get(_event: Event) -> Iterator[object]:
        yield len(peer.held)
        for data_set in peer.held:
            yield 0xFF00, data_set

    def on_action(event: Event) -> tuple[int, Dataset | None]:
        peer.reports.append(("N-ACTION", event.action_type, event.action_information))
        return 0, None

    def on_report(event: Event) -> tuple[int, Dataset | None]:
        peer.reports.append(("N-EVENT-REPORT", event.event_type, event.event_information))
        return 0, None

    def on_accepted(_event: Event) -> None:
        peer.events.append("association")

    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_C_STORE, on_store),
        (evt.EVT_C_FIND, on_find),
        (evt.EVT_C_MOVE, on_move),
        (evt.EVT_C_GET, on_get),
        (evt.EVT_N_ACTION, on_action),
        (evt.EVT_N_EVENT_REPORT, on_report),
        (evt.EVT_ACCEPTED, on_accepted),
    ]
    with serve(entity, handlers, tls=tls) as server:
        peer.server = server
        peer.modality = Modality("PYNETDICOM", "127.0.0.1", port_of(server))
        yield peer.modality


# --------------------------------------------------------------------------------------------------- DCMTK


@contextlib.contextmanager
def _program(arguments: Sequence[str], port: int, folder: Path, **environment: str) -> Iterator[None]:
    """Run a server until the end; it is there when it takes connections."""
    with open(folder / "log", "wb") as log:
        process = subprocess.Popen(arguments, stdout=log, stderr=log, cwd=folder, env={**os.environ, **environment})
        try:
            deadline = time.monotonic() + PATIENCE_S
            while True:
                assert process.poll() is None, (folder / "log").read_text()
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    assert time.monotonic() < deadline, (folder / "log").read_text()
                    time.sleep(0.01)  # between attempts; nothing is decided by it
            yield
        finally:
            process.kill()
            process.wait()


@contextlib.contextmanager
def storescp(folder: Path, *options: str) -> Iterator[Modality]:
    """DCMTK's storescp; what it gets is in `folder`/received."""
    received = folder / "received"
    received.mkdir(parents=True)
    port = free_port()
    with _program(["storescp", "-aet", "STORESCP", "-od", str(received), *options, str(port)], port, folder):
        yield Modality("STORESCP", "127.0.0.1", port)


@contextlib.contextmanager
def dcmqrscp(folder: Path, destination: Modality | None = None, *options: str) -> Iterator[Modality]:
    """DCMTK's archive, which may send to `destination`."""
    database = folder / "database"
    database.mkdir(parents=True)
    port = free_port()
    hosts = f"dest = ({destination.ae_title}, 127.0.0.1, {destination.port})" if destination is not None else ""
    (folder / "dcmqrscp.cfg").write_text(
        "\n".join(
            (
                "NetworkTCPPort = 0",
                "MaxPDUSize = 16384",
                "MaxAssociations = 16",
                "HostTable BEGIN",
                hosts,
                "HostTable END",
                "VendorTable BEGIN",
                "VendorTable END",
                "AETable BEGIN",
                f"DCMQRSCP {database} RW (200, 1024mb) ANY",
                "AETable END",
            )
        )
    )
    with _program(["dcmqrscp", "-c", str(folder / "dcmqrscp.cfg"), *options, str(port)], port, folder):
        yield Modality("DCMQRSCP", "127.0.0.1", port)


@contextlib.contextmanager
def wlmscpfs(folder: Path, items: Sequence[Dataset]) -> Iterator[Modality]:
    """DCMTK's worklist server."""
    worklist = folder / "WORKLIST"
    worklist.mkdir(parents=True)
    (worklist / "lockfile").touch()
    for number, item in enumerate(items):
        item.file_meta = FileMetaDataset()
        item.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
        item.file_meta.MediaStorageSOPClassUID = UID("1.2.276.0.7230010.3.1.0.1")
        item.file_meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{number}")
        item.save_as(worklist / f"{number}.wl", enforce_file_format=True)
    port = free_port()
    with _program(["wlmscpfs", "-dfp", str(folder), str(port)], port, folder):
        yield Modality("WORKLIST", "127.0.0.1", port)


# --------------------------------------------------------------------------------------------------- Orthanc


@contextlib.contextmanager
def orthanc(
    folder: Path,
    destination: Modality | None = None,
    options: dict[str, object] | None = None,
    http_port: int | None = None,
) -> Iterator[Modality]:
    """Orthanc as it is installed, which may send to `destination`; its REST API is on `http_port`."""
    program = shutil.which("Orthanc", path=f"{os.environ['PATH']}:/usr/sbin")  # not on the path of every user
    if program is None:
        pytest.fail("Orthanc is not installed on this machine; `make test` installs it")
    storage = folder / "storage"
    storage.mkdir(parents=True)
    port, http_port = free_port(), http_port or free_port()
    known = {"asker": [AE_TITLE, "127.0.0.1", free_port()]}
    if destination is not None:
        known["dest"] = [destination.ae_title, "127.0.0.1", destination.port]
    configuration = {
        "Name": "Peer",
        "StorageDirectory": str(storage),
        "IndexDirectory": str(storage),
        "Plugins": [],
        "HttpPort": http_port,
        "DicomPort": port,
        "DicomAet": "ORTHANC",
        "AuthenticationEnabled": False,
        "OverwriteInstances": True,
        "DicomAlwaysAllowFind": True,
        "DicomAlwaysAllowGet": True,
        "DicomAlwaysAllowMove": True,
        "DicomModalities": known,
        **(options or {}),
    }
    (folder / "orthanc.json").write_text(json.dumps(configuration))
    with _program([program, str(folder / "orthanc.json")], port, folder, TCP_NODELAY="1"):
        _await_http(http_port)
        yield Modality("ORTHANC", "127.0.0.1", port)


def dicom_web_plugin() -> str:
    """The DICOMweb plugin of Orthanc, for its option `Plugins`."""
    plugin = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
    if not plugin.exists():
        pytest.fail("the DICOMweb plugin of Orthanc is not installed on this machine; `make test` installs it")
    return str(plugin)


def _await_http(port: int) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            httpx.get(f"http://127.0.0.1:{port}/system", timeout=PATIENCE_S)
            return
        except httpx.TransportError:
            assert time.monotonic() < deadline
            time.sleep(0.01)  # between attempts; nothing is decided by it
