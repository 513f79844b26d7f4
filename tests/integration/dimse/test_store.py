"""C-ECHO and C-STORE as other implementations speak them, and what becomes of what they send."""

from __future__ import annotations

import io
import subprocess
import threading
from dataclasses import replace
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.uid import UID
from pynetdicom import AE, build_context

from amonsul.archive.ingest import Ingested, IngestStatus
from amonsul.archive.modalities import Modality
from amonsul.archive.origin import DicomOrigin
from amonsul.blobs.spool import Spooled
from amonsul.dicom.scanner import scan
from amonsul.dimse_server.settings import AlwaysAllowed, DimseSettings, DimseSwitches
from amonsul.errors import AmonsulError, BadFileFormat, CannotStore, MissingIdentifier, StorageFull, Unavailable
from amonsul.protocols.dimse.commands import CEchoRq, CEchoRsp, CFindRq, CStoreRq, CStoreRsp, FailureRsp, encode
from amonsul.protocols.dimse.messages import fragments
from amonsul.protocols.upper_layer.pdu import AAbort, AAssociateAc, AReleaseRp, AReleaseRq, PDataTf
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
    without_front,
)

FILES = [
    "CT_small.dcm",
    "MR_small.dcm",
    "MR_small_implicit.dcm",
    "MR_small_bigendian.dcm",
    "MR_small_RLE.dcm",
    "JPEG2000.dcm",
    "image_dfl.dcm",
    "rtplan.dcm",
    "test-SR.dcm",
]
"""One or more of every kind of transfer syntax."""


def path_of(name: str) -> Path:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    return Path(path)


def test_dcmtk_echoes(tmp_path: Path) -> None:
    with open_door(tmp_path) as door:
        subprocess.run(["echoscu", "-aec", "AMONSUL", "127.0.0.1", str(door.port)], check=True, timeout=PATIENCE_S)


def test_pynetdicom_echoes(tmp_path: Path) -> None:
    with open_door(tmp_path) as door:
        entity = AE()
        entity.add_requested_context(VERIFICATION)
        association = entity.associate("127.0.0.1", door.port)
        assert association.is_established
        assert [association.send_c_echo().Status for _ in range(3)] == [0, 0, 0]
        association.release()
        assert association.is_released


@pytest.mark.parametrize("name", FILES)
def test_what_pynetdicom_sends_is_stored_byte_by_byte(tmp_path: Path, name: str) -> None:
    original = path_of(name).read_bytes()
    data_set = pydicom.dcmread(io.BytesIO(original))
    syntax = data_set.file_meta.TransferSyntaxUID
    with open_door(tmp_path) as door:
        entity = AE("SENDER")
        entity.requested_contexts = [build_context(data_set.SOPClassUID, syntax)]
        association = entity.associate("127.0.0.1", door.port, ae_title="AMONSUL")
        assert association.is_established
        assert association.send_c_store(data_set).Status == 0
        association.release()
    ((stored, origin),) = door.received
    assert origin == DicomOrigin("127.0.0.1", "SENDER", "AMONSUL")
    read = pydicom.dcmread(io.BytesIO(stored))
    assert read.file_meta.TransferSyntaxUID == syntax
    assert read.file_meta.MediaStorageSOPClassUID == data_set.SOPClassUID
    assert read.file_meta.MediaStorageSOPInstanceUID == data_set.SOPInstanceUID
    assert read.file_meta.SourceApplicationEntityTitle == "SENDER"
    assert read == data_set
    scan(stored)


def test_what_dcmtk_sends_is_stored(tmp_path: Path) -> None:
    files = [path_of(name) for name in ("CT_small.dcm", "MR_small.dcm", "MR_small_implicit.dcm")]
    with open_door(tmp_path) as door:
        command = ["storescu", "-aet", "SENDER", "-aec", "AMONSUL", "127.0.0.1", str(door.port)]
        subprocess.run([*command, *map(str, files)], check=True, timeout=PATIENCE_S)
    assert [origin for _, origin in door.received] == [DicomOrigin("127.0.0.1", "SENDER", "AMONSUL")] * 3
    for (stored, _), file in zip(door.received, files, strict=True):
        original = pydicom.dcmread(file)
        original.pop("DataSetTrailingPadding", None)  # storescu leaves it out
        assert pydicom.dcmread(io.BytesIO(stored)) == original


def test_dcmtk_sends_compressed_files_as_they_are(tmp_path: Path) -> None:
    file = path_of("MR_small_RLE.dcm")
    with open_door(tmp_path) as door:
        command = ["storescu", "-xr", "-aec", "AMONSUL", "127.0.0.1", str(door.port), str(file)]
        subprocess.run(command, check=True, timeout=PATIENCE_S)
    ((stored, _),) = door.received
    read = pydicom.dcmread(io.BytesIO(stored))
    assert read.file_meta.TransferSyntaxUID == UID("1.2.840.10008.1.2.5")
    assert read.PixelData == pydicom.dcmread(file).PixelData


@pytest.mark.parametrize("max_pdu_length", [4096, 16384, 131072])
@pytest.mark.parametrize("size", [100, 200_000, 3_000_000])
def test_data_sets_of_any_size_are_exact(tmp_path: Path, size: int, max_pdu_length: int) -> None:
    """The largest goes to a file on its way: the spool of the door keeps 1 MiB in memory."""
    sent = big_sample(size)
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        assert isinstance(peer.associate(), AAssociateAc)
        for number in range(2):
            peer.send(b"".join(sent.pdus(number, max_pdu_length)))
            assert peer.receive_command() == CStoreRsp(number, 0, sent.sop_class_uid, sent.sop_instance_uid)
        assert isinstance(peer.release(), AReleaseRp)
    assert [without_front(stored) == sent.data_set for stored, _ in door.received] == [True, True]
    assert list(tmp_path.iterdir()) == []


def test_data_sets_go_to_files_when_memory_is_short(tmp_path: Path) -> None:
    sent = big_sample(300_000)
    settings = DimseSettings(ae_title="AMONSUL", host="127.0.0.1", port=0, max_spooled_in_memory=100_000)
    with open_door(tmp_path, settings) as door, Peer(door.port) as peer:
        peer.associate()
        for number in range(3):
            peer.send(b"".join(sent.pdus(number)))
            assert isinstance(peer.receive_command(), CStoreRsp)
        assert door.server is not None
        assert door.server._house.budget.used == 0
    assert [without_front(stored) == sent.data_set for stored, _ in door.received] == [True] * 3
    assert list(tmp_path.iterdir()) == []


def test_data_in_many_small_fragments_is_exact(tmp_path: Path) -> None:
    sent = sample()
    head = b"".join(fragments(3, True, [encode(sent.store())], 0))
    values = b"".join(
        (len(part) + 2).to_bytes(4, "big") + b"\3\0" + part
        for part in (sent.data_set[at : at + 7] for at in range(0, len(sent.data_set), 7))
    )
    body = values + b"\0\0\0\2\3\2"
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send(head + b"\4\0" + len(body).to_bytes(4, "big") + body)
        assert isinstance(peer.receive_command(), CStoreRsp)
    assert without_front(door.received[0][0]) == sent.data_set


def test_requests_sent_ahead_are_answered_in_turn(tmp_path: Path) -> None:
    sent = big_sample(50_000)
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        everything = b"".join(b"".join(sent.pdus(number)) for number in range(20))
        sending = threading.Thread(target=peer.send, args=(everything + AReleaseRq().encode(),))
        sending.start()
        answers = [peer.receive_command() for _ in range(20)]
        assert answers == [CStoreRsp(number, 0, sent.sop_class_uid, sent.sop_instance_uid) for number in range(20)]
        assert isinstance(peer.receive(), AReleaseRp)
        sending.join(PATIENCE_S)
    assert len(door.received) == 20


def test_responses_fit_into_the_pdus_of_the_peer(tmp_path: Path) -> None:
    sent = sample()
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        assert isinstance(peer.associate(max_pdu_length=32), AAssociateAc)
        peer.send(b"".join(sent.pdus()))
        head = peer.socket.recv(6, 0x100)  # MSG_WAITALL
        assert head == b"\4\0\0\0\0\x20"


REFUSALS: list[tuple[AmonsulError, int]] = [
    (StorageFull("no room"), 0xA700),
    (CannotStore("no sync"), 0xA700),
    (Unavailable("no database"), 0xA700),
    (BadFileFormat("no DICOM"), 0xC000),
    (MissingIdentifier("no study"), 0xA700),
]


@pytest.mark.parametrize(("error", "status"), REFUSALS, ids=[type(error).__name__ for error, _ in REFUSALS])
def test_refusals_of_the_archive_become_statuses(tmp_path: Path, error: AmonsulError, status: int) -> None:
    def refuse(spooled: Spooled, origin: DicomOrigin) -> Ingested:
        raise error

    with open_door(tmp_path, ingest=refuse) as door, Peer(door.port) as peer:
        peer.associate()
        for sent in (sample(), big_sample(3_000_000)):
            peer.send(b"".join(sent.pdus(7)))
            response = peer.receive_command()
            assert isinstance(response, CStoreRsp)
            assert (response.status, response.message_id_being_responded_to) == (status, 7)
    assert list(tmp_path.iterdir()) == []


def test_a_bug_fails_the_request_and_not_the_association(tmp_path: Path) -> None:
    def fail(spooled: Spooled, origin: DicomOrigin) -> Ingested:
        raise ZeroDivisionError

    with open_door(tmp_path, ingest=fail) as door, Peer(door.port) as peer:
        peer.associate()
        for number in (1, 2):
            peer.send(b"".join(sample().pdus(number)))
            assert peer.receive_command() == CStoreRsp(number, 0x0110)
        assert isinstance(peer.release(), AReleaseRp)


@pytest.mark.parametrize(
    ("ingested", "status"),
    [
        (accepted(IngestStatus.ALREADY_STORED), 0),
        (accepted(IngestStatus.FILTERED_OUT, 0xA700), 0xA700),
        (accepted(IngestStatus.FILTERED_OUT, 0), 0),
    ],
)
def test_what_the_archive_says_becomes_a_status(tmp_path: Path, ingested: Ingested, status: int) -> None:
    def ingest(spooled: Spooled, origin: DicomOrigin) -> Ingested:
        return ingested

    with open_door(tmp_path, ingest=ingest) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send(b"".join(sample().pdus()))
        response = peer.receive_command()
        assert isinstance(response, CStoreRsp)
        assert response.status == status


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_implicit.dcm", "MR_small_bigendian.dcm"])
def test_a_data_set_of_another_instance_is_refused(tmp_path: Path, name: str) -> None:
    sent = sample(name)
    syntax = str(pydicom.dcmread(path_of(name), stop_before_pixels=True).file_meta.TransferSyntaxUID)
    other_instance = replace(sent, sop_instance_uid="1.2.3.4")
    other_class = replace(sent, sop_class_uid="1.2.840.10008.5.1.4.1.1.7")
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate((VERIFICATION, IMPLICIT), (sent.sop_class_uid, syntax))
        statuses = []
        for each in (other_instance, other_class, sent):
            peer.send(b"".join(each.pdus()))
            response = peer.receive_command()
            assert isinstance(response, CStoreRsp)
            statuses.append(response.status)
    assert statuses == [0xA900, 0xA900, 0]
    assert len(door.received) == 1


@pytest.mark.parametrize("uid", ["1.2.3/../../x", "1..2", "abc"])
def test_identifiers_that_are_no_uids_are_refused(tmp_path: Path, uid: str) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send(b"".join(replace(sample(), sop_instance_uid=uid).pdus()))
        response = peer.receive_command()
        assert isinstance(response, CStoreRsp)
        assert response.status == 0xA900
        assert isinstance(peer.release(), AReleaseRp)
    assert door.received == []


def test_requests_that_lack_something_are_refused_after_their_data(tmp_path: Path) -> None:
    whole = encode(sample().store(9))
    command = whole[: whole.rindex(b"\0\0\0\x10")]  # the last element is the affected SOP instance
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send(b"".join([*fragments(3, True, [command], 0), *fragments(3, False, [sample().data_set], 4096)]))
        assert peer.receive_command() == CStoreRsp(9, 0x0120, offending_element=(0x1000,))
        assert isinstance(peer.echo(), object)
        assert isinstance(peer.release(), AReleaseRp)


def test_requests_of_another_service_are_refused(tmp_path: Path) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send_message(3, CFindRq(5, CT), b"identifier")
        response = peer.receive_command()
        assert getattr(response, "status", None) == 0x0211
        assert isinstance(peer.release(), AReleaseRp)


def test_an_echo_is_answered_in_any_context(tmp_path: Path) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send_message(3, CEchoRq(4))
        assert peer.receive_command() == CEchoRsp(4, 0)


def test_an_unknown_operation_is_refused(tmp_path: Path) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        command = encode(FailureRsp(0x0666, 1, 0)).replace(b"\0\0\x20\1", b"\0\0\x10\1")
        peer.send(b"".join(fragments(1, True, [command], 0)))
        answer = peer.receive()
        assert isinstance(answer, PDataTf)
        status = b"\0\0\0\t\2\0\0\0\x11\2"  # (0000,0900) 0x0211, unrecognized operation
        assert status in bytes(answer.pdvs[0].data)


def test_a_context_that_was_not_accepted_is_an_abort(tmp_path: Path) -> None:
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate()
        peer.send_message(5, CEchoRq(4))
        assert peer.receive() == AAbort(0)
        assert peer.is_closed()


STRICT = DimseSettings(
    ae_title="AMONSUL", host="127.0.0.1", port=0, always_allowed=AlwaysAllowed(echo=False, store=False)
)


def test_a_modality_may_ask_what_it_is_allowed(tmp_path: Path) -> None:
    switches = DimseSwitches(
        modalities=lambda: {
            "sender": Modality("SENDER", "h", 1, allow_echo=False),
            "pinger": Modality("PINGER", "h", 1, allow_store=False),
        }
    )
    with open_door(tmp_path, STRICT, switches) as door:
        with Peer(door.port) as sender:
            assert isinstance(sender.associate(calling="SENDER"), AAssociateAc)
            sender.send(b"".join(sample().pdus()))
            assert isinstance(sender.receive_command(), CStoreRsp)
            sender.send_message(1, CEchoRq(1))
            assert sender.receive() == AAbort(0)
        with Peer(door.port) as pinger:
            assert isinstance(pinger.associate(calling="PINGER"), AAssociateAc)
            assert pinger.echo() is not None
            pinger.send(b"".join(sample().pdus()))
            assert pinger.receive() == AAbort(0)
    assert len(door.received) == 1


def test_a_data_set_beyond_the_limit_is_an_abort(tmp_path: Path) -> None:
    settings = DimseSettings(ae_title="AMONSUL", host="127.0.0.1", port=0, max_instance_size=2_500_000)
    with open_door(tmp_path, settings) as door, Peer(door.port) as peer:
        peer.associate()
        with pytest.raises(ConnectionError):
            peer.send(b"".join(big_sample(60_000_000).pdus()))
        check_echo(door.port)
        door.until(lambda server: server.associations == 0)
        assert list(tmp_path.iterdir()) == []
    assert door.received == []


def test_a_full_disk_refuses_one_instance_and_not_the_next(tmp_path: Path) -> None:
    incoming = tmp_path / "incoming"
    with open_door(incoming) as door, Peer(door.port) as peer:  # the folder does not exist: no file can be made
        peer.associate()
        statuses = []
        for sent in (big_sample(3_000_000), sample(), big_sample(3_000_000)):
            peer.send(b"".join(sent.pdus()))
            response = peer.receive_command()
            statuses.append(getattr(response, "status", None))
        incoming.mkdir()
        peer.send(b"".join(big_sample(3_000_000).pdus()))
        statuses.append(getattr(peer.receive_command(), "status", None))
    assert statuses == [0xA700, 0, 0xA700, 0]
    assert list(incoming.iterdir()) == []


def test_four_senders_at_once(tmp_path: Path) -> None:
    sent = big_sample(400_000)
    with open_door(tmp_path) as door:

        def send(calling: str) -> None:
            with Peer(door.port) as peer:
                peer.associate(calling=calling)
                for number in range(10):
                    peer.send(b"".join(sent.pdus(number)))
                    assert isinstance(peer.receive_command(), CStoreRsp)
                assert isinstance(peer.release(), AReleaseRp)

        senders = [threading.Thread(target=send, args=(f"SENDER{number}",)) for number in range(4)]
        for sender in senders:
            sender.start()
        for sender in senders:
            sender.join(PATIENCE_S)
        assert len(door.received) == 40
    assert all(without_front(stored) == sent.data_set for stored, _ in door.received)


def test_a_command_of_another_class_than_its_context_counts(tmp_path: Path) -> None:
    """Some senders reuse a context of the right transfer syntax; the data set says the same as the command."""
    mr = sample("MR_small.dcm")
    with open_door(tmp_path) as door, Peer(door.port) as peer:
        peer.associate((VERIFICATION, IMPLICIT), (CT, EXPLICIT))
        peer.send(b"".join(mr.pdus()))
        assert peer.receive_command() == CStoreRsp(1, 0, mr.sop_class_uid, mr.sop_instance_uid)
    assert len(door.received) == 1


def test_the_command_type_is_what_the_tests_think() -> None:
    assert isinstance(sample().store(), CStoreRq)


def test_a_door_can_be_opened_twice_in_a_row(tmp_path: Path) -> None:
    for _ in range(2):
        with open_door(tmp_path) as door:
            assert isinstance(door, Door)
            check_echo(door.port)
