"""A DICOMDIR is read by others, record by record."""

from __future__ import annotations

import io

import pydicom
from pydicom.dataset import Dataset

from amonsul.dicom.dicomdir import DicomDir, Referenced
from amonsul.dicom.elements import DataSet, Element, Tag

PATIENT_NAME, PATIENT_ID = Tag(0x00100010), Tag(0x00100020)


def data_set(study: str, series: str, number: int, charset: str = "ISO_IR 100", name: str = "Doe^Jane") -> DataSet:
    values = {
        0x00080005: ("CS", charset),
        0x00080020: ("DA", "20240101"),
        0x00080030: ("TM", ""),
        0x00080060: ("CS", "CT"),
        0x0008103E: ("LO", "odd"),
        0x00100010: ("PN", name),
        0x00100020: ("LO", "P1"),
        0x0020000D: ("UI", study),
        0x0020000E: ("UI", series),
        0x00200011: ("IS", "7"),
        0x00200013: ("IS", str(number)),
    }
    return {Tag(tag): Element(vr, value) for tag, (vr, value) in values.items()}


def made(is_extended: bool, *instances: tuple[str, str, str, int], **more: str) -> Dataset:
    directory = DicomDir(is_extended)
    for patient, study, series, number in instances:
        directory.add(
            (patient, study, series),
            data_set(study, series, number, **more),
            Referenced(("IMAGES", f"IM{number}"), "1.2.840.10008.5.1.4.1.1.2", f"1.2.{number}", "1.2.840.10008.1.2.1"),
        )
    return pydicom.dcmread(io.BytesIO(directory.encode()))


def walk(directory: Dataset, offset: int) -> list[tuple[str, list[object]]]:
    items = {item.seq_item_tell: item for item in directory.DirectoryRecordSequence}
    found: list[tuple[str, list[object]]] = []
    while offset:
        item = items[offset]
        below = walk(directory, item.OffsetOfReferencedLowerLevelDirectoryEntity)
        found.append((item.DirectoryRecordType, list(below)))
        offset = item.OffsetOfTheNextDirectoryRecord
    return found


def test_records_lead_to_each_other() -> None:
    directory = made(
        False,
        ("p1", "1.1", "1.1.1", 1),
        ("p1", "1.1", "1.1.1", 2),
        ("p1", "1.1", "1.1.2", 3),
        ("p2", "1.2", "1.2.1", 4),
        ("p1", "1.3", "1.3.1", 5),
    )

    image: tuple[str, list[object]] = ("IMAGE", [])
    assert walk(directory, directory.OffsetOfTheFirstDirectoryRecordOfTheRootDirectoryEntity) == [
        (
            "PATIENT",
            [
                ("STUDY", [("SERIES", [image, image]), ("SERIES", [image])]),
                ("STUDY", [("SERIES", [image])]),
            ],
        ),
        ("PATIENT", [("STUDY", [("SERIES", [image])])]),
    ]
    last = directory.OffsetOfTheLastDirectoryRecordOfTheRootDirectoryEntity
    assert [name for name, _ in walk(directory, last)] == ["PATIENT"]


def test_records_name_files_and_attributes() -> None:
    directory = made(True, ("p", "1.1", "1.1.1", 1))

    patient, study, series, image = directory.DirectoryRecordSequence
    assert (patient.PatientID, str(patient.PatientName)) == ("P1", "Doe^Jane")
    assert (study.StudyDate, study.StudyDescription) == ("20240101", "")
    assert (series.Modality, series.SeriesNumber, series.SeriesDescription) == ("CT", 7, "odd")
    assert list(image.ReferencedFileID) == ["IMAGES", "IM1"]
    assert image.ReferencedTransferSyntaxUIDInFile == "1.2.840.10008.1.2.1"


def test_what_a_directory_must_have_and_an_instance_need_not_have_gets_a_value() -> None:
    directory = DicomDir(False)
    for number in (1, 2):
        bare = {Tag(0x0020000D): Element("UI", "1.1"), Tag(0x0020000E): Element("UI", "1.1.1")}
        bare[Tag(0x00080022)] = Element("DA", "20240203")
        file = Referenced(
            ("IMAGES", f"IM{number}"), "1.2.840.10008.5.1.4.1.1.2", f"1.2.{number}", "1.2.840.10008.1.2.1"
        )
        directory.add(("p", "1.1", "1.1.1"), bare, file)

    patient, study, series, *images = pydicom.dcmread(io.BytesIO(directory.encode())).DirectoryRecordSequence
    assert (patient.PatientID, patient.PatientName) == ("UNKNOWN", "")
    assert (study.StudyDate, study.StudyTime, study.StudyID, study.AccessionNumber) == ("20240203", "000000", "1", "")
    assert (series.Modality, series.SeriesNumber) == ("OT", 1)
    assert [image.InstanceNumber for image in images] == [1, 2]


def test_a_plain_directory_says_less() -> None:
    series = made(False, ("p", "1.1", "1.1.1", 1)).DirectoryRecordSequence[2]

    assert "SeriesDescription" not in series


def test_names_keep_their_character_set() -> None:
    directory = made(False, ("p", "1.1", "1.1.1", 1), charset="ISO_IR 144", name="Люкceмбypг")

    patient = directory.DirectoryRecordSequence[0]
    assert (patient.SpecificCharacterSet, str(patient.PatientName)) == ("ISO_IR 144", "Люкceмбypг")


def test_names_that_their_character_set_does_not_have_are_written_in_utf_8() -> None:
    directory = made(False, ("p", "1.1", "1.1.1", 1), charset="ISO_IR 100", name="山田^太郎")

    patient = directory.DirectoryRecordSequence[0]
    assert (patient.SpecificCharacterSet, str(patient.PatientName)) == ("ISO_IR 192", "山田^太郎")


def test_an_empty_directory_is_one_too() -> None:
    directory = DicomDir(False)

    read = pydicom.dcmread(io.BytesIO(directory.encode()))

    assert len(read.DirectoryRecordSequence) == 0
    assert read.FileSetID == "ORTHANC_MEDIA"
