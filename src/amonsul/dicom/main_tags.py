"""The attributes kept in columns of the index at each level, and their signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import orjson

from amonsul.dicom.elements import DataSet, Tag, format_tag
from amonsul.dicom.json_tags import MAX_LENGTH, full, is_short, text_of
from amonsul.dicom.levels import Level

_LONGEST_SEQUENCES: Final = 1 << 16

_MAIN_TAGS: Mapping[Level, Sequence[int]] = {
    Level.PATIENT: (
        0x00100010,  # PatientName
        0x00100020,  # PatientID
        0x00100030,  # PatientBirthDate
        0x00100040,  # PatientSex
        0x00101000,  # OtherPatientIDs
    ),
    Level.STUDY: (
        0x00080020,  # StudyDate
        0x00080030,  # StudyTime
        0x00080050,  # AccessionNumber
        0x00080080,  # InstitutionName
        0x00080090,  # ReferringPhysicianName
        0x00080201,  # TimezoneOffsetFromUTC
        0x00081030,  # StudyDescription
        0x0020000D,  # StudyInstanceUID
        0x00200010,  # StudyID
        0x00321032,  # RequestingPhysician
        0x00321060,  # RequestedProcedureDescription
    ),
    Level.SERIES: (
        0x00080021,  # SeriesDate
        0x00080031,  # SeriesTime
        0x00080060,  # Modality
        0x00080070,  # Manufacturer
        0x00080201,  # TimezoneOffsetFromUTC
        0x00081010,  # StationName
        0x0008103E,  # SeriesDescription
        0x00081070,  # OperatorsName
        0x00180010,  # ContrastBolusAgent
        0x00180015,  # BodyPartExamined
        0x00180024,  # SequenceName
        0x00181030,  # ProtocolName
        0x00181090,  # CardiacNumberOfImages
        0x00181400,  # AcquisitionDeviceProcessingDescription
        0x0020000E,  # SeriesInstanceUID
        0x00200011,  # SeriesNumber
        0x00200037,  # ImageOrientationPatient
        0x00200105,  # NumberOfTemporalPositions
        0x00201002,  # ImagesInAcquisition
        0x00400244,  # PerformedProcedureStepStartDate
        0x00400245,  # PerformedProcedureStepStartTime
        0x00400254,  # PerformedProcedureStepDescription
        0x00400275,  # RequestAttributesSequence
        0x00540081,  # NumberOfSlices
        0x00540101,  # NumberOfTimeSlices
        0x00541000,  # SeriesType
    ),
    Level.INSTANCE: (
        0x00080012,  # InstanceCreationDate
        0x00080013,  # InstanceCreationTime
        0x00080018,  # SOPInstanceUID
        0x00200012,  # AcquisitionNumber
        0x00200013,  # InstanceNumber
        0x00200032,  # ImagePositionPatient
        0x00200037,  # ImageOrientationPatient
        0x00200100,  # TemporalPositionIdentifier
        0x00204000,  # ImageComments
        0x00280008,  # NumberOfFrames
        0x00541330,  # ImageIndex
    ),
}


class MainTags:
    """The main tags in force: those of the product and `ExtraMainDicomTags`. Immutable."""

    def __init__(self, extra: Mapping[Level, Sequence[Tag]] | None = None) -> None:
        self._tags = {
            level: tuple(Tag(tag) for tag in sorted({*_MAIN_TAGS[level], *(extra or {}).get(level, ())}))
            for level in Level
        }
        self.extra = frozenset(tag for tags in (extra or {}).values() for tag in tags)
        """Those of the operator, of all levels."""

    def tags(self, level: Level) -> tuple[Tag, ...]:
        """In ascending order."""
        return self._tags[level]

    def signature(self, level: Level) -> str:
        """`0008,0012;0008,0013;…`, as `GET /system` prints and the metadata MainDicomTagsSignature keeps."""
        return ";".join(map(format_tag, self._tags[level]))

    def extract(self, level: Level, data_set: DataSet) -> dict[Tag, str]:
        """The values present in a data set, as the REST API prints them.

        Empty values are kept; attributes that are absent, have no text (sequences, empty numbers) or more of it than
        the REST API prints are left out.
        """
        found = {}
        for tag in self._tags[level]:
            element = data_set.get(tag)
            if element is not None:
                text = text_of(element)
                if text is not None and is_short(text, MAX_LENGTH):
                    found[tag] = text
        return found

    def sequences(self, level: Level, data_set: DataSet) -> str:
        """Those of the attributes that are sequences, as JSON in the full form; empty without any, or if it is long."""
        known = ((tag, data_set.get(tag)) for tag in self._tags[level])
        found = {tag: element for tag, element in known if element is not None and element.vr == "SQ"}
        text = orjson.dumps(full(found)).decode() if found else ""
        return text if len(text) <= _LONGEST_SEQUENCES else ""
