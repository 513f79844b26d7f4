"""What jobs of C-MOVE and C-GET ask for."""

from __future__ import annotations

import pytest

from amonsul.dicom.dictionary import STANDARD
from amonsul.dicom.elements import Tag
from amonsul.dicom.encoding import encode_data_set
from amonsul.dicom.levels import Level
from amonsul.dicom.scanner import scan_data_set
from amonsul.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN
from amonsul.errors import BadFileFormat
from amonsul.jobs.retrieval import identifier

PATIENT_ID = Tag(0x00100020)


@pytest.mark.parametrize(
    ("patient_id", "charset", "sent_in"),
    [
        ("P1", "ISO_IR 100", "ISO_IR 100"),
        ("é1", "ISO_IR 100", "ISO_IR 100"),
        ("П1", "ISO_IR 100", "ISO_IR 192"),
        ("П1", "ISO_IR 144", "ISO_IR 144"),
        ("П1", "WINDOWS-1251", "ISO_IR 192"),
    ],
)
def test_a_patient_is_asked_for_by_the_whole_patient_id(patient_id: str, charset: str, sent_in: str) -> None:
    """Without the letters that a character set lacks it would be the one of somebody else."""
    made = identifier(Level.PATIENT, {"0010,0020": patient_id}, STANDARD, charset)
    assert made.SpecificCharacterSet == sent_in
    sent = scan_data_set(b"".join(encode_data_set(made, EXPLICIT_VR_LITTLE_ENDIAN)), EXPLICIT_VR_LITTLE_ENDIAN)
    assert str(sent[PATIENT_ID].value) == patient_id


def test_a_list_of_instances_is_asked_for_at_once() -> None:
    query = {"0020,000d": "1.2", "0020,000e": "1.3", "0008,0018": "1.4\\1.5"}
    made = identifier(Level.INSTANCE, query, STANDARD, "ISO_IR 100")
    assert (made.QueryRetrieveLevel, made.StudyInstanceUID, list(made.SOPInstanceUID)) == (
        "IMAGE",
        "1.2",
        ["1.4", "1.5"],
    )


def test_no_uid_has_letters_beyond_ascii() -> None:
    with pytest.raises(BadFileFormat):
        identifier(Level.STUDY, {"0020,000d": "1.é"}, STANDARD, "ISO_IR 100")
