"""A DICOM server in a thread of the test with an archive that only remembers, and a peer that can do anything wrong."""

from __future__ import annotations

import asyncio
import contextlib
import io
import socket
import struct
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pydicom
import uvloop
from pydicom.data import get_testdata_file

from amonsul.archive.ingest import Ingested, IngestStatus
from amonsul.archive.origin import DicomOrigin
from amonsul.blobs.spool import Spool, Spooled
from amonsul.crossing import Crossing
from amonsul.dicom.levels import OrthancId
from amonsul.dimse_server.echo import EchoService
from amonsul.dimse_server.listener import DicomServer
from amonsul.dimse_server.service import Service
from amonsul.dimse_server.settings import DimseSettings, DimseSwitches
from amonsul.dimse_server.store import StoreService
from amonsul.protocols.dimse.commands import CCancelRq, CEchoRq, Command, CStoreRq, Request, decode, encode
from amonsul.protocols.dimse.messages import encode_message, fragments
from amonsul.protocols.upper_layer import pdu as pdus
from amonsul.protocols.upper_layer.items import ProposedContext, UserInformation
from amonsul.protocols.upper_layer.pdu import (
    AAssociateAc,
    AAssociateRq,
    AReleaseRp,
    AReleaseRq,
    PDataTf,
    Pdu,
)

VERIFICATION, CT, MR = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"

PATIENCE_S = 120.0
"""How long a test waits for what should come at once before it fails."""

Ingest = Callable[[Spooled, DicomOrigin], Ingested]


def accepted(status: IngestStatus = IngestStatus.SUCCESS, refusal: int = 0) -> Ingested:
    nobody = OrthancId("")
    return Ingested(status, nobody, nobody, nobody, nobody, "", "", refusal)


@dataclass
class Door:
    """A running server and what it took in."""

    folder: Path
    settings: DimseSettings
    received: list[tuple[bytes, DicomOrigin]] = field(default_factory=list)
    port: int = 0
    server: DicomServer | None = None
    loop: asyncio.AbstractEventLoop | None = None

    def ingest(self, spooled: Spooled, origin: DicomOrigin) -> Ingested:
        """Remember an instance."""
        with spooled.view() as view:
            self.received.append((bytes(view), origin))
        spooled.discard()
        return accepted()

    def spool(self, size_limit: int) -> Spool:
        return Spool(lambda: self.folder / uuid.uuid4().hex, memory_limit=1 << 20, size_limit=size_limit)

    def call(self, function: Callable[[], object]) -> object:
        """Call something on the event loop of the server."""
        assert self.loop is not None
        done: list[object] = []
        ready = threading.Event()

        def run() -> None:
            done.append(function())
            ready.set()

        self.loop.call_soon_threadsafe(run)
        assert ready.wait(PATIENCE_S)
        return done[0]

    def limit(self, **limits: float) -> None:
        """Change time limits, also of who is connected: a test that makes them short has done its own part before."""

        def change() -> None:
            server = self.server
            assert server is not None
            settings = replace(server._house.settings, **limits)  # type: ignore[arg-type]  # numbers, by name
            server._house = replace(server._house, settings=settings)
            for peer in server._peers:
                peer._settings = settings
                peer._connection._artim_timeout_s = settings.artim_timeout_s
                peer._arm()

        self.call(change)

    def until(self, condition: Callable[[DicomServer], bool]) -> None:
        """Wait until something is so; fails if it never is."""
        assert self.loop is not None
        assert self.server is not None
        server = self.server

        async def watch() -> None:
            while not condition(server):
                await asyncio.sleep(0.001)

        asyncio.run_coroutine_threadsafe(asyncio.wait_for(watch(), PATIENCE_S), self.loop).result(PATIENCE_S)


@contextlib.contextmanager
def open_door(
    folder: Path,
    settings: DimseSettings | None = None,
    switches: DimseSwitches | None = None,
    ingest: Ingest | None = None,
    services: Sequence[Service] | None = None,
    stop_timeout_s: float = 5.0,
) -> Iterator[Door]:
    """Serve on a port of the system's choice."""
    door = Door(folder, settings or DimseSettings(ae_title="AMONSUL", host="127.0.0.1", port=0))
    ready = threading.Event()
    stop: list[Callable[[], object]] = []
    failures: list[BaseException] = []

    async def serve() -> None:
        threads = Crossing("dicom", 8)
        used = services if services is not None else [EchoService(), StoreService(door.spool, ingest or door.ingest)]
        server = DicomServer(door.settings, switches or DimseSwitches(), used, threads)
        await server.start()
        door.server, door.port, door.loop = server, server.port, asyncio.get_running_loop()
        stopping = asyncio.Event()
        stop.append(lambda: door.loop.call_soon_threadsafe(stopping.set) if door.loop is not None else None)
        ready.set()
        await stopping.wait()
        await server.stop(stop_timeout_s)
        threads.close()

    def run() -> None:
        try:
            uvloop.run(serve())
        except BaseException as error:  # told in the thread of the test
            failures.append(error)
            ready.set()

    thread = threading.Thread(target=run, name="dicom-door")
    thread.start()
    assert ready.wait(PATIENCE_S)
    try:
        if not failures:
            yield door
    finally:
        for end in stop:
            end()
        thread.join(PATIENCE_S)
        assert not thread.is_alive()
    if failures:
        raise failures[0]


class Peer:
    """A DICOM peer by hand: sends what it is told to, one socket, no state machine."""

    def __init__(self, port: int, source: str = "127.0.0.1") -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE_S, source_address=(source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.max_pdu_length = 0

    def __enter__(self) -> Peer:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            chunk = self.socket.recv(count - len(data))
            if not chunk:
                raise EOFError
            data += chunk
        return data

    def receive(self) -> Pdu | None:
        """The next PDU; None if the connection is closed."""
        try:
            head = self._exactly(6)
            body = self._exactly(int.from_bytes(head[2:], "big"))
        except (EOFError, ConnectionResetError):
            return None
        return pdus.decode(head[0], memoryview(body))

    def is_closed(self) -> bool:
        """Wait for the end of the connection."""
        try:
            return self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def request(self, *contexts: tuple[str, str], calling: str = "PEER", **user: int) -> AAssociateRq:
        return AAssociateRq(
            "AMONSUL",
            calling,
            tuple(
                ProposedContext(2 * number + 1, abstract, (syntax,))
                for number, (abstract, syntax) in enumerate(contexts)
            ),
            UserInformation(max_pdu_length=user.get("max_pdu_length", 65536)),
        )

    def associate(self, *contexts: tuple[str, str], calling: str = "PEER", **user: int) -> Pdu | None:
        """Ask for an association; by default for verification (1) and CT in explicit little endian (3)."""
        contexts = contexts or ((VERIFICATION, IMPLICIT), (CT, EXPLICIT))
        self.send(self.request(*contexts, calling=calling, **user).encode())
        answer = self.receive()
        if isinstance(answer, AAssociateAc):
            self.max_pdu_length = answer.user_information.max_pdu_length
        return answer

    def send_message(self, context_id: int, command: Request | CCancelRq, data_set: bytes | None = None) -> None:
        self.send(encode_message(context_id, command, data_set, self.max_pdu_length))

    def receive_command(self) -> Command | None:
        """The next command; None if there comes another PDU or the end."""
        received = self.receive()
        if not isinstance(received, PDataTf):
            return None
        return decode(b"".join(bytes(pdv.data) for pdv in received.pdvs if pdv.is_command))

    def echo(self) -> Command | None:
        self.send_message(1, CEchoRq(1))
        return self.receive_command()

    def release(self) -> Pdu | None:
        self.send(AReleaseRq().encode())
        return self.receive()

    def reset(self) -> None:
        """End the connection with a TCP reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def check_echo(port: int, source: str = "127.0.0.1") -> None:
    """C-ECHO on an association of its own."""
    with Peer(port, source) as peer:
        answer = peer.associate((VERIFICATION, IMPLICIT))
        assert isinstance(answer, AAssociateAc), answer
        response = peer.echo()
        assert response is not None
        assert getattr(response, "status", None) == 0
        assert isinstance(peer.release(), AReleaseRp)
        assert peer.is_closed()


@dataclass(frozen=True)
class Sample:
    """A data set to send, and its identifiers."""

    sop_class_uid: str
    sop_instance_uid: str
    data_set: bytes

    def store(self, message_id: int = 1) -> CStoreRq:
        return CStoreRq(message_id, self.sop_class_uid, self.sop_instance_uid)

    def pdus(self, message_id: int = 1, max_pdu_length: int = 16384, context_id: int = 3) -> list[bytes]:
        """A C-STORE request, PDU by PDU."""
        return [
            *fragments(context_id, True, [encode(self.store(message_id))], max_pdu_length),
            *fragments(context_id, False, [self.data_set], max_pdu_length),
        ]


def sample(name: str = "CT_small.dcm") -> Sample:
    """A file that comes with pydicom, without its front."""
    path = get_testdata_file(name)
    assert isinstance(path, str)
    data = Path(path).read_bytes()
    meta = pydicom.dcmread(io.BytesIO(data), stop_before_pixels=True)
    return Sample(str(meta.SOPClassUID), str(meta.SOPInstanceUID), without_front(data))


def without_front(data: bytes) -> bytes:
    """The data set of a Part 10 file, byte for byte."""
    return data[144 + int.from_bytes(data[140:144], "little") :]


def big_sample(size: int) -> Sample:
    """A CT whose pixels take about `size` bytes."""
    small = sample()
    pixels = bytes(size & ~1)
    head = small.data_set[: small.data_set.index(b"\xe0\x7f\x10\x00OW")]
    data = head + b"\xe0\x7f\x10\x00OW\0\0" + struct.pack("<I", len(pixels)) + pixels
    return Sample(small.sop_class_uid, small.sop_instance_uid, data)
