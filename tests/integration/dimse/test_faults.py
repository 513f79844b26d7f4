"""Peers that vanish, stall, flood or break the rules: nothing is left behind, and others are served as ever."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from amonsul.archive.ingest import Ingested
from amonsul.archive.modalities import Modality
from amonsul.archive.origin import DicomOrigin
from amonsul.blobs.spool import Spooled
from amonsul.dimse_server.settings import DimseSettings, DimseSwitches
from amonsul.errors import Unavailable
from amonsul.protocols.dimse.commands import CEchoRq, CStoreRsp, encode
from amonsul.protocols.dimse.messages import fragments
from amonsul.protocols.upper_layer.items import ProposedContext, UserInformation, write_item
from amonsul.protocols.upper_layer.pdu import (
    AAbort,
    AAssociateAc,
    AAssociateRj,
    AAssociateRq,
    AReleaseRp,
    AReleaseRq,
    PDataTf,
    Pdu,
    Pdv,
)
from tests.integration.dimse.dicom_door import (
    CT,
    EXPLICIT,
    IMPLICIT,
    PATIENCE_S,
    VERIFICATION,
    Door,
    Peer,
    accepted,
    big_sample,
    check_echo,
    open_door,
    sample,
)

TOO_MANY = AAssociateRj(2, 3, 2)
ECHO = encode(CEchoRq(1))


def settings(
    *,
    artim_timeout_s: float = 10.0,
    scp_timeout_s: float = 30.0,
    max_associations: int = 100,
    max_associations_per_address: int = 16,
    max_silent_connections: int = 512,
) -> DimseSettings:
    return DimseSettings(
        ae_title="AMONSUL",
        host="127.0.0.1",
        port=0,
        artim_timeout_s=artim_timeout_s,
        scp_timeout_s=scp_timeout_s,
        max_associations=max_associations,
        max_associations_per_address=max_associations_per_address,
        max_silent_connections=max_silent_connections,
    )


# A connection that is cut


def half_a_pdu(peer: Peer) -> None:
    peer.send(b"\4\0\0\0\x10\0\0\0\x0f\xfc\3\0half")
    peer.socket.close()


CUTS: dict[str, Callable[[Peer], None]] = {
    "close": lambda peer: peer.socket.close(),
    "reset": lambda peer: peer.reset(),
    "abort": lambda peer: peer.send(AAbort(0).encode()),
    "half a PDU": half_a_pdu,
}


@pytest.mark.parametrize("cut", CUTS.values(), ids=CUTS.keys())
@pytest.mark.parametrize("size", [80_000, 1_200_000], ids=["in memory", "in a file"])
def test_an_association_cut_at_any_pdu_leaves_nothing(tmp_path: Path, cut: Callable[[Peer], None], size: int) -> None:
    """88 points for an object of 80 KB in PDUs of 4 KB: 22 PDUs, 4 ways to cut."""
    sent = big_sample(size).pdus(max_pdu_length=4096)
    points = range(len(sent)) if size < 100_000 else range(250, len(sent), 15)
    with open_door(tmp_path) as door:
        for point in points:
            with Peer(door.port) as peer:
                assert isinstance(peer.associate(), AAssociateAc)
                peer.send(b"".join(sent[:point]))
                cut(peer)
        door.until(lambda server: server.associations == 0)
        check_echo(door.port)
        assert door.received == []
        door.until(lambda _: not list(tmp_path.iterdir()))


def test_a_peer_that_goes_while_its_instance_is_stored_has_stored_it(tmp_path: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()
    stored: list[int] = []

    def ingest(spooled: Spooled, origin: DicomOrigin) -> Ingested:
        entered.set()
        assert go_on.wait(PATIENCE_S)
        stored.append(spooled.size)
        return accepted()

    with open_door(tmp_path, ingest=ingest) as door:
        with Peer(door.port) as peer:
            peer.associate()
            peer.send(b"".join(sample().pdus()))
            assert entered.wait(PATIENCE_S)
            peer.reset()
        door.until(lambda server: server.associations == 0)
        go_on.set()
        door.until(lambda _: len(stored) == 1)
        check_echo(door.port)


# Rules broken


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, (1 << 20) + 1, 0])
@pytest.mark.parametrize("pdu_type", [1, 2, 4, 5, 7, 0x99])
def test_an_impossible_length_ends_the_connection_before_the_association(
    tmp_path: Path, pdu_type: int, length: int
) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.send(bytes([pdu_type, 0]) + length.to_bytes(4, "big"))
        assert isinstance(peer.receive(), AAbort)
        assert peer.is_closed()


@pytest.mark.parametrize("length", [0xFFFFFFFF, 0x7FFFFFFF, (16 << 20) + 1, 0])
def test_an_impossible_length_ends_the_association(tmp_path: Path, length: int) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send(b"\4\0" + length.to_bytes(4, "big"))
        assert peer.receive() == AAbort(2, 6)
        assert peer.is_closed()
        check_echo(door.port)


REQUEST = AAssociateRq("AMONSUL", "PEER", (ProposedContext(1, VERIFICATION, (IMPLICIT,)),), UserInformation())


@pytest.mark.parametrize(
    "unexpected",
    [REQUEST, AAssociateAc("A", "B", (), UserInformation()), AAssociateRj(1, 1, 1), AReleaseRp()],
    ids=lambda pdu: type(pdu).__name__,
)
def test_an_unexpected_pdu_is_an_abort(tmp_path: Path, unexpected: Pdu) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send(unexpected.encode())
        assert peer.receive() == AAbort(2, 2)
        assert peer.is_closed()


def test_an_unknown_pdu_is_an_abort(tmp_path: Path) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send(b"\x42\0\0\0\0\4what")
        assert peer.receive() == AAbort(2, 1)
        assert peer.is_closed()


def test_data_after_a_release_is_an_abort(tmp_path: Path) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send(AReleaseRq().encode() + PDataTf((Pdv(1, True, True, b"late"),)).encode())
        assert isinstance(peer.receive(), AReleaseRp)
        assert peer.is_closed()
        check_echo(door.port)


@pytest.mark.parametrize(
    "body",
    [
        b"\0\0\0\1\3",
        b"\0\0\xff\xff\3\0abc",
        b"\0\0\0\2\3\0",
        b"\0\0\0\x06\3\3\0\0\0\0",
        b"\0\0\0\x06\3\2data",
    ],
    ids=["length 1", "longer than its PDU", "empty", "a command that is none", "data without command"],
)
def test_wrong_data_is_an_abort(tmp_path: Path, body: bytes) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send(b"\4\0" + len(body).to_bytes(4, "big") + body)
        assert isinstance(peer.receive(), AAbort)
        assert peer.is_closed()
        check_echo(door.port)


def test_a_request_of_too_many_transfer_syntaxes_is_rejected(tmp_path: Path) -> None:
    syntaxes = tuple(f"1.2.{number}" for number in range(100))
    request = AAssociateRq("AMONSUL", "PEER", (ProposedContext(1, CT, syntaxes),), UserInformation())
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.send(request.encode())
        assert peer.receive() == AAssociateRj(1, 3, 2)
        assert peer.is_closed()


def test_a_request_of_countless_items_is_rejected(tmp_path: Path) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        body = peer.request((VERIFICATION, IMPLICIT)).encode()[6:] + write_item(0x99, b"") * 250_000
        peer.send(b"\1\0" + len(body).to_bytes(4, "big") + body)
        assert peer.receive() == AAssociateRj(1, 3, 2)
        assert peer.is_closed()
        check_echo(door.port)


def test_an_endless_command_is_an_abort(tmp_path: Path) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        with contextlib.suppress(ConnectionError):
            for _ in range(1000):
                peer.send(PDataTf((Pdv(1, True, False, bytes(4000)),)).encode())
        door.until(lambda server: server.associations == 0)
        check_echo(door.port)


def test_a_peer_that_goes_on_after_the_end_is_cut_off(tmp_path: Path) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        with pytest.raises(ConnectionError):
            peer.send(b"\x42\0\0\0\0\0" + bytes(100 << 20))
        check_echo(door.port)


# Peers that wait


def test_a_silent_connection_is_closed_when_artim_expires(tmp_path: Path) -> None:
    with open_door(tmp_path, settings(artim_timeout_s=0.05)) as door, Peer(door.port) as peer:
        assert peer.is_closed()


def test_half_a_request_is_closed_when_artim_expires(tmp_path: Path) -> None:
    with open_door(tmp_path, settings(artim_timeout_s=0.05)) as door, Peer(door.port) as peer:
        peer.send(peer.request((VERIFICATION, IMPLICIT)).encode()[:-1])
        assert peer.is_closed()


def test_a_rejected_peer_that_does_not_close_is_closed(tmp_path: Path) -> None:
    with open_door(tmp_path, settings(max_associations=0)) as door, Peer(door.port) as peer:
        door.until(lambda server: len(server._peers) == 1)
        door.limit(artim_timeout_s=0.05)
        assert peer.associate() == TOO_MANY
        door.until(lambda server: not server._peers)


def test_a_silent_association_is_aborted(tmp_path: Path) -> None:
    with open_door(tmp_path, settings(scp_timeout_s=0.05)) as door, Peer(door.port) as peer:
        peer.associate()
        assert peer.receive() == AAbort(0)
        assert peer.is_closed()


def test_an_association_that_stalls_within_an_instance_is_aborted(tmp_path: Path) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send(b"".join(big_sample(1_200_000).pdus()[:-1]))
        door.limit(scp_timeout_s=0.05)
        assert peer.receive() == AAbort(0)
        assert peer.is_closed()
        door.until(lambda _: not list(tmp_path.iterdir()))


def test_without_timeout_a_silent_association_stays(tmp_path: Path) -> None:
    with open_door(tmp_path, settings(scp_timeout_s=0)) as door, Peer(door.port) as peer:
        peer.associate()
        door.limit(artim_timeout_s=0.05)
        with Peer(door.port) as other:
            assert other.is_closed()  # ARTIM has expired meanwhile
        assert peer.echo() is not None


def test_the_time_that_storing_takes_is_not_the_silence_of_the_peer(tmp_path: Path) -> None:
    entered, waited = threading.Event(), threading.Event()

    def ingest(spooled: Spooled, origin: DicomOrigin) -> Ingested:
        entered.set()
        assert waited.wait(PATIENCE_S)
        return accepted()

    with open_door(tmp_path, ingest=ingest) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send(b"".join(sample().pdus()))
        assert entered.wait(PATIENCE_S)
        with Peer(door.port) as other:
            other.associate()
            door.limit(scp_timeout_s=0.05)
            assert other.receive() == AAbort(0)  # the time is over for an idle one
        waited.set()
        assert isinstance(peer.receive_command(), CStoreRsp)


@contextlib.contextmanager
def many(door: Door, count: int, source: Callable[[int], str], act: Callable[[Peer], None]) -> Iterator[list[Peer]]:
    with contextlib.ExitStack() as stack:
        peers = [stack.enter_context(Peer(door.port, source(number))) for number in range(count)]
        for peer in peers:
            act(peer)
        yield peers


def local(number: int) -> str:
    """Addresses of this machine, ten connections from each."""
    return f"127.0.1.{number // 10 + 1}"


@pytest.mark.parametrize("count", [1, 50, 500])
def test_silent_connections_do_not_delay_an_echo(tmp_path: Path, count: int) -> None:
    with open_door(tmp_path) as door, many(door, count, lambda _: "127.0.0.1", lambda _: None):
        check_echo(door.port)


def test_half_sent_instances_do_not_delay_an_echo(tmp_path: Path) -> None:
    half = b"".join(big_sample(1_200_000).pdus()[:-1])

    def stall(peer: Peer) -> None:
        assert isinstance(peer.associate(), AAssociateAc)
        peer.send(half)

    with open_door(tmp_path) as door:
        with many(door, 50, local, stall):
            check_echo(door.port)
            with Peer(door.port) as sender:
                sender.associate()
                sender.send(b"".join(sample().pdus()))
                assert isinstance(sender.receive_command(), CStoreRsp)
        door.until(lambda server: server.associations == 0)
        door.until(lambda _: not list(tmp_path.iterdir()))


def test_slow_storing_does_not_delay_an_echo(tmp_path: Path) -> None:
    go_on = threading.Event()

    def ingest(spooled: Spooled, origin: DicomOrigin) -> Ingested:
        assert go_on.wait(PATIENCE_S)
        return accepted()

    def store(peer: Peer) -> None:
        assert isinstance(peer.associate(), AAssociateAc)
        peer.send(b"".join(sample().pdus()))

    with open_door(tmp_path, ingest=ingest) as door, many(door, 30, local, store) as peers:
        check_echo(door.port)
        go_on.set()
        assert all(isinstance(peer.receive_command(), CStoreRsp) for peer in peers)


def test_too_many_connections_without_association_push_out_the_oldest(tmp_path: Path) -> None:
    with (
        open_door(tmp_path, settings(max_silent_connections=3)) as door,
        many(door, 4, local, lambda _: None) as (oldest, *others),
    ):
        assert oldest.is_closed()
        assert all(isinstance(peer.associate(), AAssociateAc) for peer in others)
        check_echo(door.port)


def test_associations_are_limited_by_address(tmp_path: Path) -> None:
    with open_door(tmp_path, settings(max_associations_per_address=2)) as door:
        with many(door, 2, lambda _: "127.0.0.1", lambda peer: (peer.associate(), None)[1]):
            with Peer(door.port) as third:
                assert third.associate((CT, EXPLICIT)) == TOO_MANY
                assert third.is_closed()
            with Peer(door.port, "127.0.0.2") as elsewhere:
                assert isinstance(elsewhere.associate(), AAssociateAc)
            check_echo(door.port)  # there is always room for one that only verifies
        door.until(lambda server: server.associations == 0)
        with Peer(door.port) as next_one:
            assert isinstance(next_one.associate((CT, EXPLICIT)), AAssociateAc)


def test_associations_are_limited_in_number(tmp_path: Path) -> None:
    with (
        open_door(tmp_path, settings(max_associations=3)) as door,
        many(door, 3, lambda number: f"127.0.2.{number + 1}", lambda peer: (peer.associate(), None)[1]),
    ):
        with Peer(door.port) as fourth:
            assert fourth.associate() == TOO_MANY
        check_echo(door.port)
        with Peer(door.port) as verifying, Peer(door.port) as verifying_too:
            assert isinstance(verifying.associate((VERIFICATION, IMPLICIT)), AAssociateAc)
            assert verifying_too.associate((VERIFICATION, IMPLICIT)) == TOO_MANY


def test_a_peer_that_does_not_read_is_cut_off(tmp_path: Path) -> None:
    """It asks and asks, and never takes an answer."""
    with open_door(tmp_path) as door:
        peer = Peer(door.port)
        peer.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer.associate()
        door.limit(scp_timeout_s=0.3)
        echo = b"".join(fragments(1, True, [ECHO], 0)) * 1000
        with contextlib.suppress(ConnectionError, TimeoutError):
            while True:
                peer.send(echo)
        peer.socket.close()
        door.until(lambda server: server.associations == 0)
        door.limit(scp_timeout_s=PATIENCE_S)
        check_echo(door.port)


# Trouble of our own


def test_a_database_that_is_away_is_a_transient_rejection(tmp_path: Path) -> None:
    def away() -> Mapping[str, Modality]:
        raise Unavailable("no connection")

    with open_door(tmp_path, switches=DimseSwitches(modalities=away)) as door, Peer(door.port) as peer:
        assert peer.associate() == AAssociateRj(2, 3, 1)
        assert peer.is_closed()


def test_a_bug_in_negotiation_aborts_the_association(tmp_path: Path) -> None:
    def fail() -> Mapping[str, Modality]:
        raise ZeroDivisionError

    with open_door(tmp_path, switches=DimseSwitches(modalities=fail)) as door, Peer(door.port) as peer:
        assert peer.associate() == AAbort(0)
        assert peer.is_closed()


# Stopping


def test_a_server_that_stops_finishes_what_it_has_begun(tmp_path: Path) -> None:
    entered, go_on = threading.Event(), threading.Event()

    def ingest(spooled: Spooled, origin: DicomOrigin) -> Ingested:
        entered.set()
        assert go_on.wait(PATIENCE_S)
        return accepted()

    with open_door(tmp_path, ingest=ingest) as door:
        idle, busy = Peer(door.port), Peer(door.port)
        idle.associate()
        busy.associate()
        busy.send(b"".join(sample().pdus()))
        assert entered.wait(PATIENCE_S)
        door.call(lambda: door.loop.create_task(door.server.stop()) if door.loop and door.server else None)
        assert idle.receive() == AAbort(0)
        go_on.set()
        response = busy.receive_command()
        assert isinstance(response, CStoreRsp)
        assert response.status == 0
        assert busy.receive() == AAbort(0)
        with pytest.raises(ConnectionRefusedError):
            Peer(door.port)
        idle.socket.close()
        busy.socket.close()


def test_a_server_that_stops_does_not_wait_for_ever(tmp_path: Path) -> None:
    with open_door(tmp_path, stop_timeout_s=0.05) as door:
        peer, silent = Peer(door.port), Peer(door.port)
        peer.associate()
        peer.send(b"".join(big_sample(1_200_000).pdus()[:-1]))
        door.until(lambda server: any(each.is_busy for each in server._peers))
    assert peer.is_closed() or isinstance(peer.receive(), AAbort | None)
    assert silent.is_closed()
    peer.socket.close()
    silent.socket.close()
    assert list(tmp_path.iterdir()) == []


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    with open_door(tmp_path) as door:
        taken = DimseSettings(ae_title="OTHER", host="127.0.0.1", port=door.port)
        with pytest.raises(OSError, match="in use"), open_door(tmp_path, taken):
            pass


def test_all_addresses_are_listened_on(tmp_path: Path) -> None:
    with open_door(tmp_path, DimseSettings(ae_title="AMONSUL", port=0)) as door:
        check_echo(door.port)
        with Peer(door.port) as peer:
            peer.associate()
            peer.send(b"".join(sample().pdus()))
            assert isinstance(peer.receive_command(), CStoreRsp)
        assert door.received[0][1].remote_ip == "127.0.0.1"
