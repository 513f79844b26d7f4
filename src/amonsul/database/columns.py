"""Which attributes have a column of their own for searching, and how their text is folded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level
from amonsul.dicom.matching import normalize


class Column(NamedTuple):
    """A search column of a level."""

    level: Level
    name: str
    is_exact: bool
    """UIDs, dates, times and codes: the column holds the value as it is. Otherwise it is folded."""
    is_indexed: bool
    """An ordinary index leads to single values and ranges."""
    is_text_indexed: bool = False
    """A trigram index leads to parts of the text."""


_PATIENT: dict[int, Column] = {
    0x00100020: Column(Level.PATIENT, "patient_id", False, True, True),
    0x00100010: Column(Level.PATIENT, "patient_name", False, True, True),
    0x00100030: Column(Level.PATIENT, "patient_birth_date", True, True),
    0x00100040: Column(Level.PATIENT, "patient_sex", True, False),
}
_STUDY: dict[int, Column] = {
    0x0020000D: Column(Level.STUDY, "study_instance_uid", True, True),
    0x00080020: Column(Level.STUDY, "study_date", True, True),
    0x00080030: Column(Level.STUDY, "study_time", True, False),
    0x00200010: Column(Level.STUDY, "study_id", False, True),
    0x00080050: Column(Level.STUDY, "accession_number", False, True, True),
    0x00081030: Column(Level.STUDY, "study_description", False, True, True),
    0x00080090: Column(Level.STUDY, "referring_physician_name", False, True, True),
    0x00080080: Column(Level.STUDY, "institution_name", False, False),
}
_SERIES: dict[int, Column] = {
    0x0020000E: Column(Level.SERIES, "series_instance_uid", True, True),
    0x00080060: Column(Level.SERIES, "modality", False, True),
    0x00080021: Column(Level.SERIES, "series_date", True, True),
    0x00080031: Column(Level.SERIES, "series_time", True, False),
    0x00200011: Column(Level.SERIES, "series_number", True, False),
    0x0008103E: Column(Level.SERIES, "series_description", False, True, True),
    0x00180015: Column(Level.SERIES, "body_part_examined", False, False),
    0x00081010: Column(Level.SERIES, "station_name", False, False),
    0x00080070: Column(Level.SERIES, "manufacturer", False, False),
    0x00181030: Column(Level.SERIES, "protocol_name", False, False),
    0x00400244: Column(Level.SERIES, "performed_procedure_step_start_date", True, False),
    0x00400245: Column(Level.SERIES, "performed_procedure_step_start_time", True, False),
}
_INSTANCE: dict[int, Column] = {
    0x00080018: Column(Level.INSTANCE, "sop_instance_uid", True, True),
    0x00200013: Column(Level.INSTANCE, "instance_number", True, False),
}
_BY_LEVEL = (_PATIENT, _STUDY, _SERIES, _INSTANCE)

COLUMNS: Mapping[int, Column] = {**_PATIENT, **_STUDY, **_SERIES, **_INSTANCE}
"""By tag."""


def fold(column: Column, text: str) -> str:
    """Text as the column holds it; what is compared with the column goes through the same.

    Dates and times lose the separators of ACR-NEMA, `2004.01.19` and `07:27:30` (PS3.5 §6.2).
    """
    if "\0" in text:
        text = text.replace("\0", "")
    if not column.is_exact:
        return normalize(text)
    if "." in text[4:5] and column.name.endswith("_date"):
        return text.replace(".", "")
    if ":" in text[2:3] and column.name.endswith("_time"):
        return text.replace(":", "")
    return text


def search_values(level: Level, tags: Mapping[Tag, str]) -> dict[str, str | None]:
    """The search columns of a row; NULL where the attribute is absent."""
    values: dict[str, str | None] = {}
    for tag, column in _BY_LEVEL[level].items():
        value = tags.get(Tag(tag))
        values[column.name] = None if value is None else fold(column, value)
    return values
