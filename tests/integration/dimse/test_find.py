"""C-FIND over the wire: what matches, and what comes back."""

from __future__ import annotations

import io
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread
from pynetdicom import AE, build_context
from pynetdicom.pdu_primitives import SOPClassExtendedNegotiation

from amonsul.archive.context import ArchiveSettings, StorageAccess
from amonsul.dimse_server.query import QuerySettings
from amonsul.protocols.dimse.commands import CCancelRq, CFindRq, CFindRsp, decode
from amonsul.protocols.dimse.statuses import Status
from tests.contract.dicom_files import instance_file
from tests.integration.dimse.dicom_door import Peer
from tests.integration.dimse.qr_door import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    PATIENT_ROOT_FIND,
    STUDY_ROOT_FIND,
    Keys,
    QrDoor,
    dataset,
    find,
    open_qr_door,
)


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[QrDoor]:
    """A server with a handful of studies."""
    with open_qr_door(tmp_path_factory.mktemp("door")) as opened:
        opened.add_instance(1, 1, 1, 1, PatientName="Smith^John", StudyDate="20230101", StudyTime="083000")
        opened.add_instance(1, 1, 1, 2, PatientName="Smith^John", StudyDate="20230101", StudyTime="083000")
        opened.add_instance(1, 2, 1, 1, PatientName="Smith^John", StudyDate="20230102", StudyTime="2215", Modality="MR")
        opened.add_instance(
            2, 1, 1, 1, PatientName="Müller^Jörg", StudyDate="20230103", StudyTime="10", StudyDescription="Crâne"
        )
        opened.add_instance(
            3, 1, 1, 1, PatientName="Yamada^Tarou=山田^太郎", StudyDate="", StudyTime=None, AccessionNumber=None
        )
        opened.add(_with_more())
        yield opened


def _with_more() -> bytes:
    """An instance with a sequence and private attributes."""
    file = dcmread(io.BytesIO(instance_file(4, 1, 1, 1, PatientName="Extra^Ordinary", StudyDate="20240229")))
    step, other = Dataset(), Dataset()
    step.ScheduledProcedureStepID, step.RequestedProcedureID = "SPS1", "RP1"
    other.ScheduledProcedureStepID = "SPS2"
    file.RequestAttributesSequence = [step, other]
    file.PatientWeight = "61.5"
    file.add_new(0x00090020, "LO", "ACME 1.0")
    file.add_new(0x00092001, "LO", "secret")
    file.add_new(0x00092002, "DS", "3.5")
    buffer = io.BytesIO()
    file.save_as(buffer, enforce_file_format=True)
    return buffer.getvalue()


S11, S12, S21, S31, S41 = "1.2.3.1.1", "1.2.3.1.2", "1.2.3.2.1", "1.2.3.3.1", "1.2.3.4.1"

# PS3.4 §C.2.2.2, row by row: keys at the level of studies, and the studies that match.
MATCHING: list[tuple[str, Keys, set[str]]] = [
    ("universal", {}, {S11, S12, S21, S31, S41}),
    ("single value", {"PatientID": "PID1"}, {S11, S12}),
    ("single value, no match", {"PatientID": "PID9"}, set()),
    ("single value, case of an ID", {"PatientID": "pid1"}, set()),
    ("single value, trailing blank", {"PatientID": "PID1 "}, {S11, S12}),
    ("single value of a name, case", {"PatientName": "smith^JOHN"}, {S11, S12}),
    ("single value of a name, accent", {"PatientName": "müller^jörg"}, {S21}),
    ("accents are told apart", {"PatientName": "Muller^Jorg"}, set()),
    ("list of UID", {"StudyInstanceUID": f"{S11}\\{S31}\\1.9"}, {S11, S31}),
    ("wild card *", {"PatientName": "*mith*"}, {S11, S12}),
    ("wild card ?", {"PatientID": "PID?"}, {S11, S12, S21, S31, S41}),
    ("wild card in the middle", {"PatientName": "Sm*John"}, {S11, S12}),
    ("wild card, ideographs", {"PatientName": "*山田*"}, {S31}),
    ("wild card alone is universal", {"AccessionNumber": "*"}, {S11, S12, S21, S31, S41}),
    ("wild card does not match what is absent", {"AccessionNumber": "ACC?-*"}, {S11, S12, S21, S41}),
    ("range of dates", {"StudyDate": "20230102-20230103"}, {S12, S21}),
    ("range of dates, one day", {"StudyDate": "20230102-20230102"}, {S12}),
    ("range of dates, open end", {"StudyDate": "20230103-"}, {S21, S41}),
    ("range of dates, blanks within", {"StudyDate": "20230102 - 20230103"}, {S12, S21}),
    ("single date", {"StudyDate": "20230101"}, {S11}),
    ("range of times", {"StudyTime": "0900-2300"}, {S12, S21}),
    ("range of times to the hour", {"StudyTime": "-10"}, {S11, S21}),
    ("range of times, precise", {"StudyTime": "083000-083000.5"}, {S11}),
    ("range of both, each by itself", {"StudyDate": "20230101-20230102", "StudyTime": "10-23"}, {S12}),
    ("list of codes", {"ModalitiesInStudy": "MR\\US"}, {S12}),
    ("single value of a computed list", {"ModalitiesInStudy": "CT"}, {S11, S21, S31, S41}),
    ("Modality stands for ModalitiesInStudy", {"Modality": "MR"}, {S12}),
    ("keys of several levels", {"PatientID": "PID1", "StudyDescription": "Study 2"}, {S12}),
    ("not a main tag", {"PatientWeight": "61.5"}, {S41}),
    ("sequence", {"RequestAttributesSequence": [{"ScheduledProcedureStepID": "SPS2"}]}, {S41}),
    (
        "sequence: one item must match all",
        {"RequestAttributesSequence": [{"ScheduledProcedureStepID": "SPS2", "RequestedProcedureID": "RP1"}]},
        set(),
    ),
    ("sequence, wild card within", {"RequestAttributesSequence": [{"ScheduledProcedureStepID": "*1"}]}, {S41}),
    ("sequence, universal", {"RequestAttributesSequence": []}, {S11, S12, S21, S31, S41}),
    ("number computed", {"NumberOfStudyRelatedInstances": "2"}, {S11}),
]


@pytest.mark.parametrize(("keys", "expected"), [case[1:] for case in MATCHING], ids=[case[0] for case in MATCHING])
def test_attribute_matching(door: QrDoor, keys: Keys, expected: set[str]) -> None:
    asked: Keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", **keys}
    status, answers = find(door.port, asked, charset="ISO_IR 192")
    assert status == 0
    assert sorted(answer.StudyInstanceUID for answer in answers) == sorted(expected)


@pytest.mark.parametrize(
    "keys",
    [
        {"StudyDate": "2023*"},
        {"StudyDate": "*"},
        {"StudyDate": "20230101-20230102-20230103"},
        {"StudyInstanceUID": "1.2.*"},
        {"QueryRetrieveLevel": "NOWHERE"},
        {"QueryRetrieveLevel": ""},
    ],
)
def test_a_key_that_makes_no_sense_is_refused(door: QrDoor, keys: Keys) -> None:
    status, answers = find(door.port, {"QueryRetrieveLevel": "STUDY", **keys})
    assert (status, answers) == (0xC000, [])


@pytest.mark.parametrize("transfer_syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
def test_an_answer_has_what_was_asked_for_and_says_where_to_retrieve_it(door: QrDoor, transfer_syntax: str) -> None:
    keys: Keys = {
        "QueryRetrieveLevel": "STUDY",
        "StudyInstanceUID": S11,
        "PatientName": "",
        "StudyTime": "",
        "ModalitiesInStudy": "",
        "SOPClassesInStudy": "",
        "NumberOfStudyRelatedSeries": "",
        "NumberOfStudyRelatedInstances": "",
        "InstanceAvailability": "",
        "RetrieveAETitle": "",
        "PatientComments": "",
        "Rows": None,  # type: ignore[dict-item]  # an empty number
    }
    status, (answer,) = find(door.port, keys, transfer_syntax=transfer_syntax)
    assert status == 0
    assert {element.keyword: element.value for element in answer} == {
        "SpecificCharacterSet": "ISO_IR 100",
        "QueryRetrieveLevel": "STUDY",
        "RetrieveAETitle": "AMONSUL",
        "InstanceAvailability": "ONLINE",
        "StudyInstanceUID": S11,
        "PatientName": "Smith^John",
        "StudyTime": "083000",
        "ModalitiesInStudy": "CT",
        "SOPClassesInStudy": "1.2.840.10008.5.1.4.1.1.2",
        "NumberOfStudyRelatedSeries": 1,
        "NumberOfStudyRelatedInstances": 2,
        "PatientComments": "",
        "Rows": None,
    }


def test_every_level_is_answered_in_both_models(door: QrDoor) -> None:
    for model in (PATIENT_ROOT_FIND, STUDY_ROOT_FIND):
        counts = {}
        for level, key in (
            ("PATIENT", "PatientID"),
            ("STUDY", "StudyInstanceUID"),
            ("SERIES", "SeriesInstanceUID"),
            ("IMAGE", "SOPInstanceUID"),
            ("INSTANCE", "SOPInstanceUID"),
        ):
            status, answers = find(door.port, {"QueryRetrieveLevel": level, key: ""}, model)
            assert status == 0
            assert all(answer.QueryRetrieveLevel == level for answer in answers)
            counts[level] = len({answer[key].value for answer in answers})
        assert counts == {"PATIENT": 4, "STUDY": 5, "SERIES": 5, "IMAGE": 6, "INSTANCE": 6}


def test_counts_of_patient_and_series(door: QrDoor) -> None:
    keys: Keys = {
        "QueryRetrieveLevel": "PATIENT",
        "PatientID": "PID1",
        "NumberOfPatientRelatedStudies": "",
        "NumberOfPatientRelatedInstances": "",
    }
    _, (patient,) = find(door.port, keys, PATIENT_ROOT_FIND)
    assert (patient.NumberOfPatientRelatedStudies, patient.NumberOfPatientRelatedInstances) == (2, 3)
    keys = {"QueryRetrieveLevel": "SERIES", "StudyInstanceUID": S11, "NumberOfSeriesRelatedInstances": ""}
    _, (series,) = find(door.port, keys)
    assert series.NumberOfSeriesRelatedInstances == 2


def test_text_is_answered_in_a_character_set_that_has_all_of_it(door: QrDoor) -> None:
    def ask(patient_id: str, charset: str = "") -> Dataset:
        keys: Keys = {"QueryRetrieveLevel": "PATIENT", "PatientID": patient_id, "PatientName": ""}
        _, (answer,) = find(door.port, keys, PATIENT_ROOT_FIND, charset)
        return answer

    assert (ask("PID2").SpecificCharacterSet, ask("PID2").PatientName) == ("ISO_IR 100", "Müller^Jörg")
    assert (ask("PID3").SpecificCharacterSet, ask("PID3").PatientName) == ("ISO_IR 192", "Yamada^Tarou=山田^太郎")
    own = ask("PID3", "\\ISO 2022 IR 87")
    assert list(own.SpecificCharacterSet) == ["", "ISO 2022 IR 87"]
    assert own.PatientName == "Yamada^Tarou=山田^太郎"


def test_keys_are_read_in_their_own_character_set(door: QrDoor) -> None:
    for charset in ("ISO_IR 100", "ISO_IR 192", ""):  # without one, it is the default encoding
        keys: Keys = {"QueryRetrieveLevel": "PATIENT", "PatientID": ""}
        identifier = dataset(keys, charset)
        identifier.add_new(0x00100010, "PN", "Müller*".encode("utf-8" if charset == "ISO_IR 192" else "latin-1"))
        with_raw = AE("TESTER").associate(
            "127.0.0.1", door.port, contexts=[build_context(PATIENT_ROOT_FIND, EXPLICIT)], ae_title="AMONSUL"
        )
        answers = [answer for _, answer in with_raw.send_c_find(identifier, PATIENT_ROOT_FIND) if answer is not None]
        with_raw.release()
        assert [answer.PatientID for answer in answers] == ["PID2"], charset


def test_private_attributes_are_found_in_whatever_block_they_are(door: QrDoor) -> None:
    identifier = dataset({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": ""})
    identifier.add_new(0x00090010, "LO", "ACME 1.0")
    identifier.add_new(0x00091001, "LO", "secr*")
    identifier.add_new(0x00091002, "DS", "")
    entity = AE("TESTER")
    opened = entity.associate(
        "127.0.0.1", door.port, contexts=[build_context(STUDY_ROOT_FIND, EXPLICIT)], ae_title="AMONSUL"
    )
    answers = [answer for _, answer in opened.send_c_find(identifier, STUDY_ROOT_FIND) if answer is not None]
    opened.release()
    (answer,) = answers
    assert answer.StudyInstanceUID == S41
    assert (answer[0x00090010].value, answer[0x00091001].value, answer[0x00091002].value) == (
        "ACME 1.0",
        "secret",
        3.5,
    )


def test_whole_sequences_are_answered(door: QrDoor) -> None:
    keys: Keys = {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": S41, "RequestAttributesSequence": []}
    _, (answer,) = find(door.port, keys)
    steps = [item.ScheduledProcedureStepID for item in answer.RequestAttributesSequence]
    assert steps == ["SPS1", "SPS2"]


def test_group_lengths_are_no_keys(door: QrDoor) -> None:
    identifier = dataset({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": S11})
    identifier.add_new(0x00080000, "UL", 10)
    identifier.add_new(0x00200000, "UL", 99)
    with Peer(door.port) as peer:
        peer.associate((STUDY_ROOT_FIND, EXPLICIT))
        peer.send_message(1, CFindRq(1, STUDY_ROOT_FIND), _encoded(identifier))
        answer = peer.receive_command()
        assert isinstance(answer, CFindRsp)
        assert answer.status == Status.PENDING


def test_a_key_of_a_lower_level_restricts_nothing_and_is_told(door: QrDoor) -> None:
    identifier = dataset({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": S11, "SOPInstanceUID": "1.9"})
    entity = AE("TESTER")
    opened = entity.associate(
        "127.0.0.1", door.port, contexts=[build_context(STUDY_ROOT_FIND, EXPLICIT)], ae_title="AMONSUL"
    )
    statuses = [status.Status for status, _ in opened.send_c_find(identifier, STUDY_ROOT_FIND)]
    opened.release()
    assert statuses == [0xFF01, 0x0000]


def _encoded(identifier: Dataset) -> bytes:
    buffer = io.BytesIO()
    identifier.save_as(buffer, implicit_vr=False, little_endian=True)
    return buffer.getvalue()


def test_a_date_and_a_time_are_one_range_if_that_was_negotiated(door: QrDoor) -> None:
    keys: Keys = {"StudyDate": "20230101-20230102", "StudyTime": "0900-2300", "StudyInstanceUID": ""}
    identifier = dataset({"QueryRetrieveLevel": "STUDY", **keys})
    extended = SOPClassExtendedNegotiation()
    extended.sop_class_uid, extended.service_class_application_information = STUDY_ROOT_FIND, b"\1\1\1\0"
    opened = AE("TESTER").associate(
        "127.0.0.1",
        door.port,
        contexts=[build_context(STUDY_ROOT_FIND, EXPLICIT)],
        ae_title="AMONSUL",
        ext_neg=[extended],
    )
    answered = opened.acceptor.sop_class_extended
    assert answered == {STUDY_ROOT_FIND: b"\1\1\0\0"}
    found = [answer.StudyInstanceUID for _, answer in opened.send_c_find(identifier, STUDY_ROOT_FIND) if answer]
    opened.release()
    assert found == [S12]
    alone: Keys = {"QueryRetrieveLevel": "STUDY", **keys, "StudyDate": "20230101-20230103"}
    _, answers = find(door.port, alone)  # not negotiated: each by itself
    assert sorted(answer.StudyInstanceUID for answer in answers) == [S12, S21]


def test_a_broken_or_bottomless_identifier_is_refused_and_the_association_goes_on(door: QrDoor) -> None:
    nested = b"\x40\x00\x75\x02SQ\0\0\xff\xff\xff\xff\xfe\xff\x00\xe0\xff\xff\xff\xff" * 1000
    with Peer(door.port) as peer:
        peer.associate((STUDY_ROOT_FIND, EXPLICIT))
        for number, identifier in enumerate((nested, b"\x08\x00\x52\x00CS\xff\xff", b"abc"), start=1):
            peer.send_message(1, CFindRq(number, STUDY_ROOT_FIND), identifier)
            answer = peer.receive_command()
            assert getattr(answer, "status", None) == 0xC000
        peer.send_message(1, CFindRq(9, STUDY_ROOT_FIND), _encoded(dataset({"QueryRetrieveLevel": "STUDY"})))
        assert getattr(peer.receive_command(), "status", None) == Status.PENDING


def test_limits_case_and_storage_access_are_those_of_the_operator(tmp_path: Path) -> None:
    settings = QuerySettings("AMONSUL", limit_results=2, limit_instances=3, case_sensitive_pn=True)
    never = ArchiveSettings(storage_access_on_find=StorageAccess.NEVER)
    with open_qr_door(tmp_path, settings, archive_settings=never) as door:
        for number in range(1, 5):
            door.add_instance(number, PatientName="Gold^Alice", PatientWeight="7")
        status, answers = find(door.port, {"QueryRetrieveLevel": "STUDY", "PatientWeight": ""})
        assert (status, len(answers)) == (0, 2)
        assert [answer.PatientWeight for answer in answers] == [None, None]
        status, answers = find(door.port, {"QueryRetrieveLevel": "IMAGE", "SOPInstanceUID": ""})
        assert (status, len(answers)) == (0, 3)
        assert find(door.port, {"QueryRetrieveLevel": "PATIENT", "PatientName": "gold*"}) == (0, [])


def test_a_search_is_cancelled(tmp_path: Path) -> None:
    with open_qr_door(tmp_path) as door:
        for number in range(1, 200):
            door.add_instance(number)
        identifier = dataset({"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", "StudyDescription": ""})
        with Peer(door.port) as peer:
            peer.associate((STUDY_ROOT_FIND, EXPLICIT))
            peer.send_message(1, CFindRq(7, STUDY_ROOT_FIND), _encoded(identifier))
            peer.send_message(1, CCancelRq(7))
            statuses: set[int] = set()
            while not statuses & {Status.CANCEL, Status.SUCCESS}:
                received = peer.receive()
                assert received is not None
                for pdv in getattr(received, "pdvs", ()):
                    if pdv.is_command:
                        statuses.add(getattr(decode(bytes(pdv.data)), "status", 0))
            peer.send_message(1, CFindRq(8, STUDY_ROOT_FIND), _encoded(identifier))  # and the association lives
            assert getattr(peer.receive_command(), "status", None) == Status.PENDING


def test_dcmtk_findscu(door: QrDoor) -> None:
    for root, keys in (("-S", ["StudyInstanceUID", "PatientName=*mith*"]), ("-P", ["PatientID=PID1", "PatientName"])):
        level = "STUDY" if root == "-S" else "PATIENT"
        more = [argument for key in (f"QueryRetrieveLevel={level}", *keys) for argument in ("-k", key)]
        done = subprocess.run(
            ["findscu", "-v", root, "-aec", "AMONSUL", *more, "127.0.0.1", str(door.port)],
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert (done.stdout + done.stderr).count("Smith^John") == (2 if root == "-S" else 1)
