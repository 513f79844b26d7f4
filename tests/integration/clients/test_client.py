"""The DICOM client against servers of others: what it sends, what it understands, what it does when they misbehave."""

from __future__ import annotations

import io
import itertools
import socket
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import pydicom
import pytest
from pydicom.dataset import Dataset
from pydicom.uid import UID

from amonsul.archive.modalities import Modality
from amonsul.blobs.spool import Spool, Spooled
from amonsul.clients import association as association_module
from amonsul.clients.association import Association
from amonsul.clients.dimse import (
    MODALITY_WORKLIST_FIND,
    PATIENT_ROOT_GET,
    STUDY_ROOT_FIND,
    STUDY_ROOT_GET,
    STUDY_ROOT_MOVE,
    MoveOriginator,
    Outgoing,
    Receiver,
    ScuSettings,
)
from amonsul.clients.transcoding import transcoder
from amonsul.dicom.elements import Tag
from amonsul.dicom.part10 import data_set_of
from amonsul.errors import (
    InexistentFile,
    NetworkProtocolError,
    NoPresentationContext,
    RemoteCannotProcess,
    RemoteFailure,
)
from amonsul.imaging.codecs import LocalCodecs
from tests.integration.clients.peers import (
    AE_TITLE,
    PATIENCE_S,
    Pynetdicom,
    client,
    dcmqrscp,
    free_port,
    orthanc,
    outgoing,
    path_of,
    pynetdicom_server,
    storescp,
)
from tests.integration.dimse.dicom_door import open_door

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
UNCOMPRESSED = ["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"]
PATIENT_NAME, STUDY_INSTANCE_UID = Tag(0x00100010), Tag(0x0020000D)


def data_set_bytes(path: Path) -> bytes:
    return b"".join(bytes(piece) for piece in data_set_of([path.read_bytes()]))


def essence(data_set: Dataset) -> Dataset:
    """A data set without what may be added and left out at will: group lengths and padding."""
    kept = Dataset()
    for element in data_set:
        if element.tag.element != 0 and element.tag.group != 0xFFFC:
            kept.add(element)
    return kept


def study_keys(**keys: str) -> Dataset:
    data_set = Dataset()
    data_set.QueryRetrieveLevel = "STUDY"
    for name, value in ({"StudyInstanceUID": "", "PatientName": ""} | keys).items():
        setattr(data_set, name, value)
    return data_set


def in_memory() -> Spool:
    raise_path = Path("/nonexistent")
    return Spool(lambda: raise_path, memory_limit=1 << 30)


# ------------------------------------------------------------------------------------------------------- C-ECHO


def test_an_echo_is_answered_by_all(tmp_path: Path) -> None:
    with (
        client() as scu,
        storescp(tmp_path / "dcmtk") as dcmtk,
        orthanc(tmp_path / "orthanc") as other,
        pynetdicom_server(Pynetdicom()) as python,
        open_door(tmp_path) as door,
    ):
        for modality in (dcmtk, other, python, Modality("AMONSUL", "127.0.0.1", door.port)):
            scu.echo(modality)


def test_nobody_there_is_told_as_such() -> None:
    with client() as scu, pytest.raises(NetworkProtocolError, match="Connection refused"):
        scu.echo(Modality("NOBODY", "127.0.0.1", free_port()))


# ------------------------------------------------------------------------------------------------------- C-STORE


@pytest.mark.parametrize("host", ["169.254.169.254", "::ffff:169.254.169.254", "fe80::1", "168.63.129.16"])
def test_where_clouds_keep_credentials_nobody_is_called(monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    called: list[object] = []

    def refuse(address: object, **_: object) -> socket.socket:
        called.append(address)
        raise OSError("nobody there")

    monkeypatch.setattr(socket, "create_connection", refuse)
    with client() as scu, pytest.raises(NetworkProtocolError, match="may not go to"):
        scu.echo(Modality("CLOUD", host, 104))
    assert called == []
    with client(ScuSettings(may_be_link_local=True)) as scu, pytest.raises(NetworkProtocolError, match="nobody there"):
        scu.echo(Modality("CABLED", host, 104))
    assert called == [(host, 104)]


def test_every_transfer_syntax_is_sent_byte_for_byte_as_it_is() -> None:
    peer = Pynetdicom()
    instances = [outgoing(path_of(name)) for name in FILES]
    syntaxes = [instance.transfer_syntax_uid for instance in instances]
    with pynetdicom_server(peer, syntaxes) as modality, client() as scu:
        outcomes = list(scu.store(modality, instances))
    assert [outcome.is_stored for outcome in outcomes] == [True] * len(FILES)
    assert peer.events == ["association", *["C-STORE"] * len(FILES)]
    for name, (sop_instance_uid, transfer_syntax_uid, data) in zip(FILES, peer.stored, strict=True):
        sent = outgoing(path_of(name))
        assert (sop_instance_uid, transfer_syntax_uid) == (sent.sop_instance_uid, sent.transfer_syntax_uid)
        expected = data_set_bytes(path_of(name))
        assert data == expected + b"\0" * (len(expected) & 1)  # a deflated data set is padded (PS3.5 §A.5)


def test_dcmtk_gets_the_same_data_set(tmp_path: Path) -> None:
    with storescp(tmp_path, "+B") as modality, client() as scu:
        assert all(outcome.is_stored for outcome in scu.store(modality, [outgoing(path_of("CT_small.dcm"))]))
    (received,) = (tmp_path / "received").iterdir()
    assert essence(pydicom.dcmread(received)) == essence(pydicom.dcmread(path_of("CT_small.dcm")))


def test_a_remote_that_takes_only_uncompressed_images_gets_them_transcoded() -> None:
    peer = Pynetdicom()
    transcode = transcoder(in_memory, LocalCodecs())
    with pynetdicom_server(peer, UNCOMPRESSED) as modality, client(transcode=transcode) as scu:
        (outcome,) = scu.store(modality, [outgoing(path_of("MR_small_RLE.dcm"))])
    assert outcome.is_stored
    ((_, transfer_syntax_uid, data),) = peer.stored
    assert transfer_syntax_uid == "1.2.840.10008.1.2.1"
    received = pydicom.dcmread(io.BytesIO(data), force=True)
    assert received.SOPInstanceUID == pydicom.dcmread(path_of("MR_small_RLE.dcm")).SOPInstanceUID
    assert len(received.PixelData) == 64 * 64 * 2


def test_a_remote_that_leaves_during_a_long_transcoding_is_called_again() -> None:
    """As one does that waits half a minute for the next message, of which the transcoding took five."""
    peer = Pynetdicom()
    transcode = transcoder(in_memory, LocalCodecs())

    def slowly(instance: Outgoing, accepted: Sequence[str]) -> Outgoing:
        transcoded = transcode(instance, accepted)
        assert peer.server is not None
        associations = peer.server.active_associations
        peer.abort_all()
        for association in associations:
            association.join(PATIENCE_S)
        return transcoded

    with pynetdicom_server(peer, UNCOMPRESSED) as modality, client(transcode=slowly) as scu:
        (outcome,) = scu.store(modality, [outgoing(path_of("MR_small_RLE.dcm"))])
    assert outcome.is_stored
    assert len(peer.stored) == 1
    assert peer.events.count("association") == 2


def test_who_was_sent_much_has_time_to_put_it_away(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(association_module, "PUT_AWAY_PER_S", 0.001)
    waits: list[float] = []
    read = Association._read

    def noting(self: Association, deadline: float | None) -> None:
        assert deadline is not None
        waits.append(deadline - time.monotonic())
        read(self, deadline)

    monkeypatch.setattr(Association, "_read", noting)
    with pynetdicom_server(Pynetdicom()) as modality, client() as scu:
        list(scu.store(modality, [outgoing(path_of("CT_small.dcm"))]))
    assert waits[0] <= PATIENCE_S  # for the association
    assert max(waits) > 30_000_000  # for the answer to 38 KB


def test_without_transcoding_an_image_is_left_out_and_the_others_are_sent() -> None:
    peer = Pynetdicom()
    names = ["MR_small_RLE.dcm", "CT_small.dcm"]
    with pynetdicom_server(peer, UNCOMPRESSED) as modality, client() as scu:
        outcomes = list(scu.store(modality, [outgoing(path_of(name)) for name in names]))
    assert [outcome.is_stored for outcome in outcomes] == [False, True]
    assert isinstance(outcomes[0].error, NetworkProtocolError)


def test_a_modality_that_forbids_transcoding_is_obeyed() -> None:
    transcode = transcoder(in_memory, LocalCodecs())
    with pynetdicom_server(Pynetdicom(), UNCOMPRESSED) as modality, client(transcode=transcode) as scu:
        strict = replace(modality, allow_transcoding=False)
        (outcome,) = scu.store(strict, [outgoing(path_of("MR_small_RLE.dcm"))])
    assert not outcome.is_stored


def test_a_refused_instance_does_not_hold_up_the_others() -> None:
    instances = [outgoing(path_of(name)) for name in ("CT_small.dcm", "MR_small.dcm", "rtplan.dcm")]
    refused = instances[1].sop_instance_uid
    peer = Pynetdicom(store_status=lambda uid: 0xA700 if uid == refused else 0xB000)
    with pynetdicom_server(peer) as modality, client() as scu:
        outcomes = list(scu.store(modality, instances))
    assert [outcome.status for outcome in outcomes] == [0xB000, 0xA700, 0xB000]
    assert [outcome.is_stored for outcome in outcomes] == [True, False, True]
    with pytest.raises(RemoteFailure, match="0xA700"):
        outcomes[1].raise_failure(modality)


def test_an_unknown_sop_class_has_no_context() -> None:
    odd = replace(outgoing(path_of("CT_small.dcm")), sop_class_uid="1.2.826.0.1.3680043.8.498.1")
    with pynetdicom_server(Pynetdicom()) as modality, client() as scu:
        (outcome,) = scu.store(modality, [odd])
    assert isinstance(outcome.error, NoPresentationContext)


@pytest.mark.parametrize("field", ["sop_class_uid", "sop_instance_uid", "transfer_syntax_uid"])
@pytest.mark.parametrize("uid", ["", "1.2\n", "1.ü", "1" * 65])
def test_a_uid_that_cannot_be_written_fails_alone(field: str, uid: str) -> None:
    good = outgoing(path_of("CT_small.dcm"))
    odd = replace(good, **{field: uid})  # type: ignore[arg-type]  # one of the texts
    with pynetdicom_server(Pynetdicom()) as modality, client() as scu:
        outcomes = list(scu.store(modality, [odd, good]))
    assert [outcome.is_stored for outcome in outcomes] == [False, True]


def test_more_transfer_syntaxes_than_an_association_has_room_for() -> None:
    template = outgoing(path_of("CT_small.dcm"))
    instances = [replace(template, sop_class_uid=f"1.2.840.10008.5.1.4.1.1.{number}") for number in range(300)]
    peer = Pynetdicom()
    with pynetdicom_server(peer) as modality, client() as scu:
        outcomes = list(scu.store(modality, instances))
    assert len(outcomes) == 300
    assert peer.events.count("association") == 5  # 300 classes, 2 contexts each, 128 in an association


def test_the_move_originator_is_told() -> None:
    peer = Pynetdicom()
    with pynetdicom_server(peer) as modality, client() as scu:
        list(scu.store(modality, [outgoing(path_of("CT_small.dcm"))], move_originator=MoveOriginator("MOVER", 7)))
    assert peer.originators == [("MOVER", 7)]


def test_a_file_that_vanishes_fails_alone() -> None:
    good = outgoing(path_of("CT_small.dcm"))

    def vanished() -> Iterator[bytes]:
        if good:
            raise InexistentFile("gone")
        yield b""

    def breaks_off(after: int) -> Iterator[bytes]:
        yield path_of("CT_small.dcm").read_bytes()
        yield bytes(after)
        raise InexistentFile("gone in the middle")

    soon, late = partial(breaks_off, 0), partial(breaks_off, 2 << 20)  # before anything is sent, and in the middle
    instances = [replace(good, file=file) for file in (vanished, good.file, soon, good.file, late, good.file)]
    peer = Pynetdicom()
    with pynetdicom_server(peer) as modality, client() as scu:
        outcomes = list(scu.store(modality, instances))
    assert [outcome.is_stored for outcome in outcomes] == [False, True, False, True, False, True]
    assert peer.events == ["association", "C-STORE", "C-STORE", "association", "C-STORE"]


def test_sending_ends_when_it_is_asked_to() -> None:
    peer = Pynetdicom()
    sent: list[object] = []
    with pynetdicom_server(peer) as modality, client() as scu:
        instances = [outgoing(path_of("CT_small.dcm"))] * 10
        sent.extend(scu.store(modality, instances, is_cancelled=lambda: len(peer.stored) == 3))
    assert (len(sent), len(peer.stored)) == (3, 3)


# ------------------------------------------------------------------------------------------------------- the pool


def test_an_association_is_kept_for_the_next_time() -> None:
    peer = Pynetdicom()
    with pynetdicom_server(peer) as modality, client() as scu:
        for _ in range(3):
            list(scu.store(modality, [outgoing(path_of("CT_small.dcm"))]))
    assert peer.events == ["association", "C-STORE", "C-STORE", "C-STORE"]


def test_without_a_delay_none_is_kept() -> None:
    peer = Pynetdicom()
    settings = ScuSettings(ae_title=AE_TITLE, timeout_s=PATIENCE_S, association_close_delay_s=0)
    with pynetdicom_server(peer) as modality, client(settings) as scu:
        for _ in range(2):
            list(scu.store(modality, [outgoing(path_of("CT_small.dcm"))]))
    assert peer.events == ["association", "C-STORE"] * 2


def test_a_kept_association_that_the_remote_left_is_replaced() -> None:
    peer = Pynetdicom()
    with pynetdicom_server(peer) as modality, client() as scu:
        list(scu.store(modality, [outgoing(path_of("CT_small.dcm"))]))
        peer.abort_all()
        (outcome,) = scu.store(modality, [outgoing(path_of("CT_small.dcm"))])
        assert outcome.is_stored
    assert peer.events.count("C-STORE") == 2


def test_a_kept_association_makes_room_for_one_with_other_contexts(tmp_path: Path) -> None:
    """DCMTK's storescp, as many a device, takes one association at a time and lets others wait."""
    settings = ScuSettings(ae_title=AE_TITLE, timeout_s=PATIENCE_S, association_close_delay_s=10 * PATIENCE_S)
    with storescp(tmp_path, "+xa") as modality, client(settings) as scu:
        for name in ("CT_small.dcm", "MR_small_RLE.dcm", "CT_small.dcm"):
            (outcome,) = scu.store(modality, [outgoing(path_of(name))])
            assert outcome.is_stored


def test_another_calling_title_is_another_association() -> None:
    peer = Pynetdicom()
    with pynetdicom_server(peer) as modality, client() as scu:
        list(scu.store(modality, [outgoing(path_of("CT_small.dcm"))]))
        list(scu.store(replace(modality, local_aet="OTHER"), [outgoing(path_of("CT_small.dcm"))]))
    assert peer.events == ["association", "C-STORE"] * 2


# ------------------------------------------------------------------------------------------------------- C-FIND


def test_answers_come_one_by_one_and_the_search_can_be_left() -> None:
    answer = study_keys(PatientName="One^Answer", StudyInstanceUID="1.2.3")
    peer = Pynetdicom(find_answers=[answer] * 20, hold_at=10)
    with pynetdicom_server(peer) as modality, client() as scu:
        found = scu.find(modality, STUDY_ROOT_FIND, study_keys(PatientName="*"))
        first = list(itertools.islice(found, 3))
        found.close()  # type: ignore[attr-defined]  # it is a generator
        assert [element[PATIENT_NAME].value for element in first] == ["One^Answer"] * 3
        assert peer.cancelled.wait(PATIENCE_S)
    assert peer.identifiers[0].PatientName == "*"


@pytest.mark.parametrize(("status", "error"), [(0xA700, RemoteFailure), (0xC000, RemoteCannotProcess)])
def test_a_search_that_fails_tells_the_status(status: int, error: type[RemoteFailure]) -> None:
    peer = Pynetdicom(find_status=status)
    with pynetdicom_server(peer) as modality, client() as scu, pytest.raises(error) as caught:
        list(scu.find(modality, STUDY_ROOT_FIND, study_keys()))
    assert caught.value.status == status


def test_a_worklist_is_searched(tmp_path: Path) -> None:
    answer = Dataset()
    answer.PatientName = "Work^List"
    with pynetdicom_server(Pynetdicom(find_answers=[answer])) as modality, client() as scu:
        keys = Dataset()
        keys.PatientName = ""
        assert [found[PATIENT_NAME].value for found in scu.find(modality, MODALITY_WORKLIST_FIND, keys)] == [
            "Work^List"
        ]
    with storescp(tmp_path) as modality, client() as scu, pytest.raises(NoPresentationContext):
        list(scu.find(modality, MODALITY_WORKLIST_FIND, keys))


# ------------------------------------------------------------------------------------- archives of others


@pytest.fixture(params=["DCMTK", "Orthanc"])
def archive_of_others(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Modality, Path]]:
    """An archive that holds some files, and may send to STORESCP, whose folder is the other value."""
    with storescp(tmp_path / "destination", "+xa") as destination:
        start = dcmqrscp if request.param == "DCMTK" else orthanc
        with start(tmp_path / "archive", destination) as modality, client() as scu:
            names = ["CT_small.dcm", "MR_small.dcm"]
            assert all(
                outcome.is_stored for outcome in scu.store(modality, [outgoing(path_of(name)) for name in names])
            )
            yield modality, tmp_path / "destination" / "received"


def test_an_archive_is_searched(archive_of_others: tuple[Modality, Path]) -> None:
    modality, _ = archive_of_others
    with client() as scu:
        found = list(scu.find(modality, STUDY_ROOT_FIND, study_keys(PatientName="*^CT1")))
        everything = list(scu.find(modality, STUDY_ROOT_FIND, study_keys()))
    wanted = pydicom.dcmread(path_of("CT_small.dcm"))
    assert [answer[STUDY_INSTANCE_UID].value for answer in found] == [wanted.StudyInstanceUID]
    assert [answer[PATIENT_NAME].value for answer in found] == [str(wanted.PatientName)]
    assert len(everything) == 2


def test_an_archive_sends_elsewhere(archive_of_others: tuple[Modality, Path]) -> None:
    modality, received = archive_of_others
    wanted = pydicom.dcmread(path_of("CT_small.dcm"))
    with client() as scu:
        keys = Dataset()
        keys.QueryRetrieveLevel = "STUDY"
        keys.StudyInstanceUID = wanted.StudyInstanceUID
        *_, last = scu.move(modality, STUDY_ROOT_MOVE, keys, "STORESCP")
        assert (last.status, last.completed, last.failed) == (0, 1, 0)
        with pytest.raises(RemoteFailure):
            list(scu.move(modality, STUDY_ROOT_MOVE, keys, "NOWHERE"))
    (file,) = received.iterdir()
    assert pydicom.dcmread(file).SOPInstanceUID == wanted.SOPInstanceUID


@pytest.mark.parametrize("model", [STUDY_ROOT_GET, PATIENT_ROOT_GET])
def test_an_archive_gives_back_what_it_was_given(archive_of_others: tuple[Modality, Path], model: str) -> None:
    modality, _ = archive_of_others
    wanted = pydicom.dcmread(path_of("CT_small.dcm"))
    received: list[bytes] = []

    def take(spooled: Spooled) -> int:
        received.append(bytes(spooled.view()))
        return 0

    keys = Dataset()
    keys.QueryRetrieveLevel = "STUDY" if model == STUDY_ROOT_GET else "PATIENT"
    keys.PatientID = wanted.PatientID
    if model == STUDY_ROOT_GET:
        keys.StudyInstanceUID = wanted.StudyInstanceUID
    with client() as scu:
        *_, last = scu.get(modality, model, keys, Receiver(in_memory, take))
    assert (last.completed, last.failed) == (1, 0)
    assert essence(pydicom.dcmread(io.BytesIO(received[0]))) == essence(wanted)


def test_an_instance_of_a_private_class_comes_if_it_is_asked_for() -> None:
    private = "1.2.840.99999.1"
    held = pydicom.dcmread(path_of("CT_small.dcm"))
    held.SOPClassUID = held.file_meta.MediaStorageSOPClassUID = UID(private)
    received: list[bytes] = []

    def take(spooled: Spooled) -> int:
        received.append(bytes(spooled.view()))
        return 0

    peer = Pynetdicom(held=[held])
    with pynetdicom_server(peer) as modality, client() as scu:
        assert peer.server is not None
        peer.server.ae.add_supported_context(private, scu_role=True, scp_role=True)
        peer.server.contexts = peer.server.ae.supported_contexts
        keys = study_keys(StudyInstanceUID=held.StudyInstanceUID)
        *_, last = scu.get(modality, STUDY_ROOT_GET, keys, Receiver(in_memory, take), sop_classes=(private,))
    assert (last.completed, last.failed) == (1, 0)
    assert pydicom.dcmread(io.BytesIO(received[0])).SOPClassUID == private


# ------------------------------------------------------------------------------------------------------- N services


def test_actions_and_reports_are_sent() -> None:
    peer = Pynetdicom()
    commitment, instance = "1.2.840.10008.1.20.1", "1.2.840.10008.1.20.1.1"
    information = Dataset()
    information.TransactionUID = "1.2.3"
    with pynetdicom_server(peer) as modality, client() as scu:
        scu.n_action(modality, commitment, instance, 1, information)
        scu.n_event_report(modality, commitment, instance, 2, information)
    assert [(name, number) for name, number, _ in peer.reports] == [("N-ACTION", 1), ("N-EVENT-REPORT", 2)]
    assert all(given == information for _, _, given in peer.reports)


# ------------------------------------------------------------------------------------------------------- our own door


def test_our_own_door_takes_all_of_them(tmp_path: Path) -> None:
    with open_door(tmp_path) as door, client() as scu:
        modality = Modality("AMONSUL", "127.0.0.1", door.port)
        outcomes = list(scu.store(modality, [outgoing(path_of(name)) for name in FILES]))
    assert all(outcome.is_stored for outcome in outcomes)
    for name, (data, origin) in zip(FILES, door.received, strict=True):
        expected = data_set_bytes(path_of(name))
        assert data.endswith(expected + b"\0" * (len(expected) & 1))
        assert origin.remote_aet == AE_TITLE
