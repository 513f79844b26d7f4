"""Services that answer many times, that are cancelled, and that ask something themselves."""

from __future__ import annotations

import io
import threading
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import ClassVar

import pydicom
import pytest
from pydicom import Dataset
from pydicom.data import get_testdata_file
from pynetdicom import AE, build_context, build_role, evt

from amonsul.dimse_server.echo import EchoService
from amonsul.dimse_server.service import Answer, Exchange, Right, Service
from amonsul.dimse_server.settings import AlwaysAllowed, DimseSettings
from amonsul.protocols.dimse.commands import (
    CCancelRq,
    CFindRq,
    CFindRsp,
    CGetRq,
    CGetRsp,
    CStoreRq,
    CStoreRsp,
    Request,
    encode,
)
from amonsul.protocols.dimse.messages import fragments
from amonsul.protocols.dimse.statuses import FindStatus, Status
from amonsul.protocols.upper_layer.pdu import AAbort, AReleaseRp, PDataTf
from tests.integration.dimse.dicom_door import (
    CT,
    EXPLICIT,
    IMPLICIT,
    PATIENCE_S,
    VERIFICATION,
    Peer,
    Sample,
    check_echo,
    open_door,
    sample,
)

FIND, GET = "1.2.840.10008.5.1.4.1.2.2.1", "1.2.840.10008.5.1.4.1.2.2.3"
SETTINGS = DimseSettings(
    ae_title="AMONSUL", host="127.0.0.1", port=0, always_allowed=AlwaysAllowed(find=True, get=True)
)


class Counter(Service):
    """Answers a C-FIND with numbers."""

    abstract_syntaxes = frozenset({FIND})
    requests: ClassVar[Mapping[type[Request], Right]] = {CFindRq: Right.FIND}

    def __init__(self, count: int, size: int = 0) -> None:
        self.count = count
        self.padding = "x" * size
        self.given = 0
        self.identifiers: list[bytes] = []
        self.is_closed = threading.Event()

    def serve(self, exchange: Exchange) -> Iterator[Answer]:
        assert isinstance(exchange.request, CFindRq)
        assert exchange.data_set is not None
        with exchange.data_set.view() as view:
            self.identifiers.append(bytes(view))
        request = exchange.request
        try:
            for number in range(self.count):
                if exchange.is_cancelled:
                    yield Answer(CFindRsp(request.message_id, Status.CANCEL, FIND))
                    return
                self.given = number + 1
                match = Dataset()
                match.PatientID = str(number)
                match.PatientComments = self.padding
                buffer = io.BytesIO()
                match.save_as(buffer, implicit_vr=True, little_endian=True)
                yield Answer(CFindRsp(request.message_id, Status.PENDING, FIND, has_data_set=True), buffer.getvalue())
            yield Answer(CFindRsp(request.message_id, Status.SUCCESS, FIND))
        finally:
            self.is_closed.set()


class Sender(Service):
    """Answers a C-GET with samples."""

    abstract_syntaxes = frozenset({GET})
    requests: ClassVar[Mapping[type[Request], Right]] = {CGetRq: Right.GET}

    def __init__(self, samples: list[Sample]) -> None:
        self.samples = samples
        self.statuses: list[int] = []

    def serve(self, exchange: Exchange) -> Iterable[Answer]:
        request = exchange.request
        for number, each in enumerate(self.samples):
            context = exchange.association.context_for(each.sop_class_uid, EXPLICIT)
            assert context is not None
            assert context.peer_is_scp
            store = CStoreRq(number + 100, each.sop_class_uid, each.sop_instance_uid)
            halves = (each.data_set[:1001], each.data_set[1001:])
            exchange.ask(exchange.prepare(context, store, halves))
            response = exchange.response()
            assert isinstance(response, CStoreRsp)
            self.statuses.append(response.status)
            left = len(self.samples) - number - 1
            yield Answer(CGetRsp(request.message_id, Status.PENDING, GET, left, number + 1, 0, 0))
        yield Answer(CGetRsp(request.message_id, Status.SUCCESS, GET, None, len(self.samples), 0, 0))


def identifier() -> Dataset:
    asked = Dataset()
    asked.QueryRetrieveLevel = "PATIENT"
    asked.PatientID = ""
    return asked


@pytest.mark.parametrize("count", [0, 1, 2000])
def test_pynetdicom_gets_every_answer(tmp_path: Path, count: int) -> None:
    with open_door(tmp_path, SETTINGS, services=[EchoService(), Counter(count)]) as door:
        entity = AE()
        entity.add_requested_context(FIND, IMPLICIT)
        association = entity.associate("127.0.0.1", door.port)
        assert association.is_established
        answers = list(association.send_c_find(identifier(), FIND))
        association.release()
    assert [status.Status for status, _ in answers] == [0xFF00] * count + [0]
    matches = [match for _, match in answers if match is not None]
    assert [match.PatientID for match in matches] == [str(number) for number in range(count)]


def find(message_id: int, asked: bytes = b"\x10\0\x20\0\0\0\0\0") -> bytes:
    command = b"".join(fragments(1, True, [encode(CFindRq(message_id, FIND))], 0))
    return command + b"".join(fragments(1, False, [asked], 0))


def test_a_stream_of_answers_waits_for_the_peer(tmp_path: Path) -> None:
    """A hundred megabytes of answers: they are not made before somebody takes them."""
    service = Counter(100_000, size=1000)
    with open_door(tmp_path, SETTINGS, services=[EchoService(), service]) as door, Peer(door.port) as peer:
        peer.associate((FIND, IMPLICIT))
        peer.send(find(7))
        assert isinstance(peer.receive_command(), CFindRsp)
        check_echo(door.port)
        peer.socket.close()
        assert service.is_closed.wait(PATIENCE_S)
    assert 0 < service.given < 50_000


def test_a_cancelled_stream_ends_with_cancel(tmp_path: Path) -> None:
    service = Counter(1_000_000)
    with open_door(tmp_path, SETTINGS, services=[EchoService(), service]) as door, Peer(door.port) as peer:
        peer.associate((FIND, IMPLICIT))
        peer.send(find(7))
        assert isinstance(peer.receive_command(), CFindRsp)
        peer.send_message(1, CCancelRq(8))  # of another message: means nothing
        peer.send_message(1, CCancelRq(7))
        final = None
        while final is None:
            received = peer.receive()
            assert isinstance(received, PDataTf)
            if received.pdvs[0].is_command and b"\0\0\0\t\2\0\0\0\0\xfe" in bytes(received.pdvs[0].data):
                final = received
        assert isinstance(peer.release(), AReleaseRp)
    assert service.given < 1_000_000


@pytest.mark.parametrize("how", ["abort", "close", "reset"])
def test_a_stream_ends_with_its_association(tmp_path: Path, how: str) -> None:
    service = Counter(10_000_000)
    with open_door(tmp_path, SETTINGS, services=[EchoService(), service]) as door:
        with Peer(door.port) as peer:
            peer.associate((FIND, IMPLICIT))
            peer.send(find(7))
            assert isinstance(peer.receive_command(), CFindRsp)
            if how == "abort":
                peer.send(AAbort(0).encode())
            elif how == "reset":
                peer.reset()
        assert service.is_closed.wait(PATIENCE_S)
        door.until(lambda server: server.associations == 0)


def test_a_stream_ends_when_the_server_stops(tmp_path: Path) -> None:
    service = Counter(10_000_000)
    with open_door(tmp_path, SETTINGS, services=[EchoService(), service], stop_timeout_s=0.05) as door:
        peer = Peer(door.port)
        peer.associate((FIND, IMPLICIT))
        peer.send(find(7))
        assert isinstance(peer.receive_command(), CFindRsp)
    assert service.is_closed.is_set()
    peer.socket.close()


def test_an_identifier_is_bounded(tmp_path: Path) -> None:
    service = Counter(1)
    with open_door(tmp_path, SETTINGS, services=[EchoService(), service]) as door, Peer(door.port) as peer:
        peer.associate((FIND, IMPLICIT))
        for size in (1 << 20, (1 << 20) + 1, 10):
            peer.send(find(7, bytes(size)))
            response = peer.receive_command()
            status = getattr(response, "status", None)
            if size == (1 << 20) + 1:
                assert status == FindStatus.OUT_OF_RESOURCES
            else:
                assert status == Status.PENDING
                peer.receive()  # the match
                assert getattr(peer.receive_command(), "status", None) == 0
    assert [len(asked) for asked in service.identifiers] == [1 << 20, 10]


class Forgetful(Counter):
    """Ends without a final answer."""

    def serve(self, exchange: Exchange) -> Iterator[Answer]:
        for answer in super().serve(exchange):
            if answer.response.status:
                yield answer


def test_a_service_without_last_words_is_answered_for(tmp_path: Path) -> None:
    with open_door(tmp_path, SETTINGS, services=[EchoService(), Forgetful(0)]) as door, Peer(door.port) as peer:
        peer.associate((FIND, IMPLICIT))
        peer.send(find(7))
        assert peer.receive_command() == CFindRsp(7, 0x0110)


def test_a_service_asks_for_itself(tmp_path: Path) -> None:
    samples = [sample(), sample("MR_small.dcm"), sample()]
    service = Sender(samples)
    received: list[Dataset] = []

    def on_store(event: evt.Event) -> int:
        received.append(event.dataset)
        return 0xB000 if len(received) == 2 else 0

    entity = AE()
    classes = {each.sop_class_uid for each in samples}
    entity.requested_contexts = [build_context(GET, IMPLICIT), *(build_context(uid, EXPLICIT) for uid in classes)]
    with open_door(tmp_path, SETTINGS, services=[EchoService(), service, StorageContexts()]) as door:
        association = entity.associate(
            "127.0.0.1",
            door.port,
            ext_neg=[build_role(uid, scp_role=True) for uid in classes],
            evt_handlers=[(evt.EVT_C_STORE, on_store)],
        )
        assert association.is_established
        statuses = [status.Status for status, _ in association.send_c_get(identifier(), GET)]
        association.release()
    assert statuses == [0xFF00, 0xFF00, 0xFF00, 0]
    assert service.statuses == [0, 0xB000, 0]
    for got, name in zip(received, ("CT_small.dcm", "MR_small.dcm", "CT_small.dcm"), strict=True):
        path = get_testdata_file(name)
        assert isinstance(path, str)
        assert got == pydicom.dcmread(path)


class StorageContexts(Service):
    """Only there so that storage contexts are accepted."""

    abstract_syntaxes = frozenset({CT, "1.2.840.10008.5.1.4.1.1.4"})
    requests: ClassVar[Mapping[type[Request], Right]] = {}
    is_storage = True
    peer_may_be_scp = True

    def serve(self, exchange: Exchange) -> Iterable[Answer]:
        raise NotImplementedError


def test_a_response_that_nobody_waits_for_is_an_abort(tmp_path: Path) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send(b"".join(fragments(1, True, [encode(CStoreRsp(1, 0))], 0)))
        assert peer.receive() == AAbort(0)
        assert peer.is_closed()


def test_a_cancel_of_nothing_is_ignored(tmp_path: Path) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate((VERIFICATION, IMPLICIT))
        peer.send_message(1, CCancelRq(1))
        assert peer.echo() is not None
