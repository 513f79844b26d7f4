"""DICOM identifiers of an instance and the public identifiers made from them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

from amonsul.dicom.charsets import REPLACEMENT
from amonsul.dicom.elements import DataSet, Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import MissingIdentifier

PATIENT_ID = Tag(0x00100020)
STUDY_INSTANCE_UID = Tag(0x0020000D)
SERIES_INSTANCE_UID = Tag(0x0020000E)
SOP_INSTANCE_UID = Tag(0x00080018)


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The four identifiers that place an instance in the model; `patient_id` may be empty."""

    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str

    def at(self, level: Level) -> OrthancId:
        """Public identifier of the resource at a level: SHA-1 of the identifiers down to it, joined by bars."""
        parts = (self.patient_id, self.study_instance_uid, self.series_instance_uid, self.sop_instance_uid)
        # Bytes that no character set could make sense of do not count.
        text = "|".join(parts[: level + 1]).replace(REPLACEMENT, "")
        digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return OrthancId("-".join((digest[:8], digest[8:16], digest[16:24], digest[24:32], digest[32:])))


def identifiers_of(data_set: DataSet) -> Identifiers:
    """Read them from a data set.

    Raises:
        MissingIdentifier: a UID is absent or empty.
    """
    return Identifiers(
        _text(data_set, PATIENT_ID),
        _uid(data_set, STUDY_INSTANCE_UID, "StudyInstanceUID"),
        _uid(data_set, SERIES_INSTANCE_UID, "SeriesInstanceUID"),
        _uid(data_set, SOP_INSTANCE_UID, "SOPInstanceUID"),
    )


def _text(data_set: DataSet, tag: Tag) -> str:
    element = data_set.get(tag)
    return element.value if element is not None and isinstance(element.value, str) else ""


def _uid(data_set: DataSet, tag: Tag, keyword: str) -> str:
    uid = _text(data_set, tag)
    if not uid.strip():
        raise MissingIdentifier(f"{keyword} is missing")
    return uid
