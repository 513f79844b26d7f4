"""C-GET and C-MOVE over the wire: what is sent, in which transfer syntax, and how it is counted."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file
from pydicom.uid import UID
from pynetdicom import AE, build_context, build_role, evt
from pynetdicom.dimse_primitives import C_STORE
from pynetdicom.events import Event

from amonsul.archive.modalities import Modality
from amonsul.clients.dimse import MoveOriginator
from amonsul.dicom.levels import OrthancId
from amonsul.protocols.dimse.commands import CCancelRq, CGetRq, CGetRsp, CStoreRq, CStoreRsp, decode, encode
from amonsul.protocols.dimse.messages import fragments
from amonsul.protocols.upper_layer.items import RoleSelection, UserInformation
from amonsul.protocols.upper_layer.pdu import AAbort, AAssociateAc, PDataTf
from tests.contract.dicom_files import instance_file
from tests.integration.clients.peers import port_of, serve
from tests.integration.dimse.dicom_door import CT, PATIENCE_S, Peer, check_echo
from tests.integration.dimse.qr_door import (
    EXPLICIT,
    IMPLICIT,
    PATIENT_ROOT_GET,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    Keys,
    QrDoor,
    association,
    dataset,
    open_qr_door,
)

SC = "1.2.840.10008.5.1.4.1.1.7"
JPEG_2000, RLE = "1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.5"


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QrDoor]:
    """A server with two studies of a patient, one of another, and a compressed image."""
    with open_qr_door(tmp_path_factory.mktemp("door")) as opened:
        for instance in (1, 2, 3):
            opened.add_instance(1, 1, 1, instance, pixels=b"\1\2" * 8)
        opened.add_instance(1, 1, 2, 1)
        opened.add_instance(1, 2, 1, 1)
        opened.add_instance(2, 1, 1, 1)
        opened.add(_compressed())
        yield opened


def _compressed() -> bytes:
    path = get_testdata_file("SC_rgb_rle.dcm")
    assert isinstance(path, str)
    file = dcmread(path)
    file.PatientID, file.StudyInstanceUID, file.SeriesInstanceUID, file.SOPInstanceUID = (
        "RLE",
        "7.1",
        "7.1.1",
        "7.1.1.1",
    )
    file.file_meta.MediaStorageSOPInstanceUID = UID("7.1.1.1")
    buffer = io.BytesIO()
    file.save_as(buffer)
    return buffer.getvalue()


Received = list[tuple[str, str]]
"""SOP Instance UID and transfer syntax."""


def get(
    port: int,
    keys: Keys,
    *,
    model: str = STUDY_ROOT_GET,
    store: tuple[tuple[str, str], ...] = ((CT, EXPLICIT),),
    status: int = 0,
    refused: str = "",
) -> tuple[Dataset, Dataset | None, int, Received]:
    """A C-GET: the final response, its data set, the number of pending ones, and what was received."""
    received: Received = []

    def on_store(event: Event) -> int:
        data_set = event.dataset
        received.append((str(data_set.SOPInstanceUID), str(event.context.transfer_syntax)))
        assert data_set.PatientID
        return 0xA700 if data_set.SOPInstanceUID == refused else status

    entity = AE("TESTER")
    entity.dimse_timeout = entity.network_timeout = PATIENCE_S
    opened = entity.associate(
        "127.0.0.1",
        port,
        contexts=[build_context(model, EXPLICIT), *(build_context(*each) for each in store)],
        ext_neg=[build_role(uid, scp_role=True) for uid in dict(store)],
        evt_handlers=[(evt.EVT_C_STORE, on_store)],
        ae_title="AMONSUL",
    )
    assert opened.is_established
    responses = list(opened.send_c_get(dataset(keys), model))
    opened.release()
    final, data_set = responses[-1]
    return final, data_set, len(responses) - 1, received


GET_CASES: list[tuple[str, Keys, list[str]]] = [
    ("a study", {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3.1.2"}, ["1.2.3.1.2.1.1"]),
    (
        "a list of studies",
        {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3.1.2\\1.2.3.2.1"},
        ["1.2.3.1.2.1.1", "1.2.3.2.1.1.1"],
    ),
    (
        "a series",
        {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": "1.2.3.1.1", "SeriesInstanceUID": "1.2.3.1.1.1"},
        ["1.2.3.1.1.1.1", "1.2.3.1.1.1.2", "1.2.3.1.1.1.3"],
    ),
    (
        "instances",
        {"QueryRetrieveLevel": "IMAGE", "SOPInstanceUID": "1.2.3.1.1.1.3\\1.2.3.1.1.1.1\\1.9"},
        ["1.2.3.1.1.1.1", "1.2.3.1.1.1.3"],
    ),
    ("an accession number", {"QueryRetrieveLevel": "STUDY", "AccessionNumber": "ACC2-1"}, ["1.2.3.2.1.1.1"]),
]


@pytest.mark.parametrize(("keys", "expected"), [case[1:] for case in GET_CASES], ids=[case[0] for case in GET_CASES])
def test_what_is_meant_is_sent(door: QrDoor, keys: Keys, expected: list[str]) -> None:
    final, data_set, pending, received = get(door.port, keys)
    assert [uid for uid, _ in received] == expected
    assert (final.Status, bool(data_set), pending) == (0, False, len(expected))
    assert final.NumberOfCompletedSuboperations == len(expected)
    assert (final.NumberOfFailedSuboperations, final.NumberOfWarningSuboperations) == (0, 0)


def test_a_patient_is_sent_in_the_patient_root(door: QrDoor) -> None:
    keys: Keys = {"QueryRetrieveLevel": "PATIENT", "PatientID": "PID1"}
    final, _, _, received = get(door.port, keys, model=PATIENT_ROOT_GET)
    assert (final.Status, len(received)) == (0, 5)


@pytest.mark.parametrize(
    "keys",
    [
        {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3.4.5.6"},
        {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""},
        {"QueryRetrieveLevel": "STUDY"},
        {"QueryRetrieveLevel": "STUDY", "PatientID": "PID1"},
        {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3.1.1", "PatientID": "PID2"},
        {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": "1.2.*"},
        {"QueryRetrieveLevel": "PATIENT", "PatientID": "*"},
        {"QueryRetrieveLevel": "NOWHERE", "PatientID": "PID1"},
        {"StudyInstanceUID": "1.2.3.1.1"},
    ],
)
def test_nothing_is_sent_if_nothing_is_meant(door: QrDoor, keys: Keys) -> None:
    final, _, _, received = get(door.port, keys)
    assert (final.Status, received) == (0xC000, [])
    assert final.NumberOfCompletedSuboperations == 0


def test_one_refused_instance_does_not_hold_up_the_others(door: QrDoor) -> None:
    keys: Keys = {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": "1.2.3.1.1.1"}
    final, data_set, _, received = get(door.port, keys, refused="1.2.3.1.1.1.2")
    assert len(received) == 3
    assert (final.Status, final.NumberOfCompletedSuboperations, final.NumberOfFailedSuboperations) == (0xB000, 2, 1)
    assert data_set is not None
    assert data_set.FailedSOPInstanceUIDList == "1.2.3.1.1.1.2"


def test_warnings_are_counted_apart(door: QrDoor) -> None:
    keys: Keys = {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": "1.2.3.1.1.1"}
    final, data_set, _, _ = get(door.port, keys, status=0xB000)
    assert (final.Status, final.NumberOfCompletedSuboperations, final.NumberOfWarningSuboperations) == (0xB000, 0, 3)
    assert not data_set


def test_all_refused_is_a_failure(door: QrDoor) -> None:
    keys: Keys = {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": "1.2.3.1.1.1"}
    final, data_set, _, _ = get(door.port, keys, status=0xA700)
    assert (final.Status, final.NumberOfFailedSuboperations) == (0xA702, 3)
    assert data_set is not None
    assert list(data_set.FailedSOPInstanceUIDList) == ["1.2.3.1.1.1.1", "1.2.3.1.1.1.2", "1.2.3.1.1.1.3"]


def test_what_has_no_context_is_counted_as_failed(door: QrDoor) -> None:
    keys: Keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3.2.1"}
    final, _, pending, received = get(door.port, keys, store=((SC, EXPLICIT),))
    assert (final.Status, final.NumberOfFailedSuboperations, pending, received) == (0xC000, 1, 0, [])


@pytest.mark.parametrize(
    ("accepted", "sent"), [((EXPLICIT,), EXPLICIT), ((IMPLICIT,), IMPLICIT), ((EXPLICIT, RLE), RLE), ((RLE,), RLE)]
)
def test_an_image_is_sent_as_it_is_or_transcoded(door: QrDoor, accepted: tuple[str, ...], sent: str) -> None:
    keys: Keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "7.1"}
    final, _, _, received = get(door.port, keys, store=tuple((SC, uid) for uid in accepted))
    assert (final.Status, received) == (0, [("7.1.1.1", sent)])


def test_a_document_does_not_hold_up_images_where_only_compressed_ones_are_taken(door: QrDoor) -> None:
    """It has no pixels, so it cannot be transcoded into what the peer takes."""
    keys: Keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3.1.2\\7.1"}
    final, data_set, _, received = get(door.port, keys, store=((CT, RLE), (SC, RLE)))
    assert (final.Status, received) == (0xB000, [("7.1.1.1", RLE)])
    assert data_set is not None
    assert data_set.FailedSOPInstanceUIDList == "1.2.3.1.2.1.1"


def test_a_document_is_not_compressed_but_may_be_deflated(door: QrDoor) -> None:
    deflated = "1.2.840.10008.1.2.1.99"
    keys: Keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3.1.2"}
    final, _, _, received = get(door.port, keys, store=((CT, RLE), (CT, deflated)))
    assert (final.Status, received) == (0, [("1.2.3.1.2.1.1", deflated)])


def test_a_retrieval_is_cancelled_between_two_instances(door: QrDoor) -> None:
    keys = dataset({"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": "1.2.3.1.1.1"})
    buffer = io.BytesIO()
    keys.save_as(buffer, implicit_vr=False, little_endian=True)
    with Peer(door.port) as peer:
        request = peer.request((STUDY_ROOT_GET, EXPLICIT), (CT, EXPLICIT))
        roles = UserInformation(max_pdu_length=1 << 20, roles=(RoleSelection(CT, scu=True, scp=True),))
        peer.send(type(request)("AMONSUL", "PEER", request.presentation_contexts, roles).encode())
        assert isinstance(peer.receive(), AAssociateAc)
        peer.send_message(1, CGetRq(5, STUDY_ROOT_GET), buffer.getvalue())
        final = None
        while final is None:
            received = peer.receive()
            assert isinstance(received, PDataTf)
            for pdv in received.pdvs:
                command = decode(bytes(pdv.data)) if pdv.is_command else None
                if isinstance(command, CStoreRq):
                    peer.send_message(1, CCancelRq(5))
                    response = CStoreRsp(command.message_id, 0, CT, command.affected_sop_instance_uid)
                    peer.send(b"".join(fragments(3, True, [encode(response)], 16384)))
                elif isinstance(command, CGetRsp) and command.status != 0xFF00:
                    final = command
        assert (final.status, final.number_of_completed_suboperations) == (0xFE00, 1)
        assert final.number_of_remaining_suboperations == 2


def test_a_peer_that_does_not_answer_what_is_sent_is_not_waited_for(tmp_path: Path) -> None:
    keys = dataset({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3.1.1"})
    buffer = io.BytesIO()
    keys.save_as(buffer, implicit_vr=False, little_endian=True)
    with open_qr_door(tmp_path) as qr:
        assert qr.door is not None
        qr.add_instance()
        with Peer(qr.port) as peer:
            request = peer.request((STUDY_ROOT_GET, EXPLICIT), (CT, EXPLICIT))
            roles = UserInformation(max_pdu_length=1 << 20, roles=(RoleSelection(CT, scu=True, scp=True),))
            peer.send(type(request)("AMONSUL", "PEER", request.presentation_contexts, roles).encode())
            assert isinstance(peer.receive(), AAssociateAc)
            peer.send_message(1, CGetRq(5, STUDY_ROOT_GET), buffer.getvalue())
            received = peer.receive()
            assert isinstance(received, PDataTf)
            qr.door.limit(scp_timeout_s=0.2)
            while isinstance(received, PDataTf):
                received = peer.receive()
            assert isinstance(received, AAbort)
            qr.door.limit(scp_timeout_s=PATIENCE_S)
        check_echo(qr.port)


# C-MOVE


class Destination:
    """A storage server of pynetdicom."""

    def __init__(self) -> None:
        self.received: list[tuple[str, str, str, int]] = []
        self.status = 0
        self.refused = ""

    def on_store(self, event: Event) -> int:
        request = event.request
        assert isinstance(request, C_STORE)
        uid = str(request.AffectedSOPInstanceUID)
        originator = str(request.MoveOriginatorApplicationEntityTitle), request.MoveOriginatorMessageID or 0
        self.received.append((uid, str(event.context.transfer_syntax), *originator))
        return 0xA700 if uid == self.refused else self.status


@contextmanager
def destination(door: QrDoor, *transfer_syntaxes: str) -> Iterator[Destination]:
    """A place to move to, which the server knows as `there`."""
    entity = AE("THERE")
    for uid in (CT, SC):
        entity.add_supported_context(uid, list(transfer_syntaxes) or [IMPLICIT, EXPLICIT])
    there = Destination()
    with serve(entity, [(evt.EVT_C_STORE, there.on_store)]) as server:
        door.modalities["there"] = Modality("THERE", "127.0.0.1", port_of(server))
        try:
            yield there
        finally:
            door.modalities.clear()


def move(
    port: int, keys: Keys, to: str = "THERE", *, msg_id: int = 77
) -> tuple[Dataset, Dataset | None, list[tuple[int, int]]]:
    """A C-MOVE: the final response, its data set, and what the pending ones said is remaining and completed."""
    with association(port, STUDY_ROOT_MOVE) as opened:
        responses = list(opened.send_c_move(dataset(keys), to, STUDY_ROOT_MOVE, msg_id=msg_id))
    final, data_set = responses[-1]
    progress = [
        (status.NumberOfRemainingSuboperations, status.NumberOfCompletedSuboperations) for status, _ in responses[:-1]
    ]
    return final, data_set, progress


def test_a_series_is_moved(door: QrDoor) -> None:
    with destination(door) as there:
        final, _, progress = move(
            door.port, {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": "1.2.3.1.1.1"}, "there"
        )
    assert there.received == [(f"1.2.3.1.1.1.{number}", EXPLICIT, "TESTER", 77) for number in (1, 2, 3)]
    assert (final.Status, final.NumberOfCompletedSuboperations) == (0, 3)
    assert progress == [(2, 1), (1, 2)]


def test_an_image_is_transcoded_for_its_destination(door: QrDoor) -> None:
    keys: Keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "7.1"}
    with destination(door, IMPLICIT) as there:
        final, _, _ = move(door.port, keys)
        assert (final.Status, [each[1] for each in there.received]) == (0, [IMPLICIT])
    with destination(door, JPEG_2000) as there:
        final, data_set, _ = move(door.port, keys)
    assert (there.received, final.Status, bool(data_set)) == ([], 0xC000, False)


def test_a_refusing_destination_is_told_apart(door: QrDoor) -> None:
    keys: Keys = {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": "1.2.3.1.1.1"}
    with destination(door) as there:
        there.refused = "1.2.3.1.1.1.2"
        final, data_set, _ = move(door.port, keys)
    assert (final.Status, final.NumberOfCompletedSuboperations, final.NumberOfFailedSuboperations) == (0xB000, 2, 1)
    assert data_set is not None
    assert data_set.FailedSOPInstanceUIDList == "1.2.3.1.1.1.2"


def test_a_destination_that_is_not_there(door: QrDoor) -> None:
    with destination(door):
        pass
    door.modalities["there"] = Modality("THERE", "127.0.0.1", 1)
    final, data_set, _ = move(door.port, {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3.1.1"})
    door.modalities.clear()
    assert (final.Status, final.NumberOfFailedSuboperations) == (0xA702, 4)
    assert data_set is not None
    assert len(data_set.FailedSOPInstanceUIDList) == 4


def test_a_move_that_says_too_little_is_refused(door: QrDoor) -> None:
    keys: Keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3.1.1"}
    assert move(door.port, keys, "NOWHERE")[0].Status == 0xA801
    with destination(door) as there:
        for wrong in ({"QueryRetrieveLevel": "STUDY"}, {"QueryRetrieveLevel": "HERE", "PatientID": "PID1"}):
            assert move(door.port, wrong)[0].Status == 0xA900
        assert move(door.port, {**keys, "StudyInstanceUID": "1.9"})[0].Status == 0xC000
        assert there.received == []


def test_a_move_without_level_has_that_of_its_lowest_key(door: QrDoor) -> None:
    with destination(door) as there:
        move(door.port, {"PatientID": "PID1"})
        assert len(there.received) == 5
        there.received.clear()
        move(door.port, {"PatientID": "PID1", "StudyInstanceUID": "1.2.3.1.2"})
        assert len(there.received) == 1


def test_a_job_may_do_the_moving(tmp_path: Path) -> None:
    later: list[tuple[str, int, MoveOriginator]] = []

    def send_later(remote: Modality, instance_ids: tuple[OrthancId, ...], originator: MoveOriginator) -> None:
        later.append((remote.ae_title, len(instance_ids), originator))

    with open_qr_door(tmp_path, send_later=send_later) as door:
        door.add(instance_file())
        door.modalities["there"] = Modality("THERE", "127.0.0.1", 1)
        final, _, progress = move(door.port, {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "1.2.3.1.1"})
    assert (final.Status, progress) == (0, [])
    assert later == [("THERE", 1, MoveOriginator("TESTER", 77))]


def test_dcmtk_getscu_and_movescu(door: QrDoor, tmp_path: Path) -> None:
    keys = ["-k", "QueryRetrieveLevel=SERIES", "-k", "SeriesInstanceUID=1.2.3.1.1.1"]
    subprocess.run(
        ["getscu", "-S", "-aec", "AMONSUL", "-od", str(tmp_path), *keys, "127.0.0.1", str(door.port)],
        check=True,
        timeout=60,
    )
    assert len(list(tmp_path.iterdir())) == 3
    with destination(door) as there:
        subprocess.run(
            ["movescu", "-S", "-aet", "MOVER", "-aec", "AMONSUL", "-aem", "THERE", *keys, "127.0.0.1", str(door.port)],
            check=True,
            timeout=60,
        )
        assert [each[2] for each in there.received] == ["MOVER"] * 3
