"""Data sets to transform, and what to look at in the results."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import pydicom
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.sequence import Sequence as ItemSequence
from pydicom.uid import UID

from amonsul.dicom.encoding import encode_file
from amonsul.dicom.uid_map import UidMap

EXPLICIT = "1.2.840.10008.1.2.1"
IMPLICIT = "1.2.840.10008.1.2"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

KEY = bytes(range(32))
UIDS = UidMap(KEY)


def instance(number: int = 1, series: int = 1, study: int = 1, patient: str = "P1") -> Dataset:
    """A small CT instance of a patient, decoded."""
    data_set = Dataset()
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = UID(EXPLICIT)
    meta.MediaStorageSOPClassUID = UID("1.2.840.10008.5.1.4.1.1.2")
    meta.MediaStorageSOPInstanceUID = UID(f"1.2.3.{study}.{series}.{number}")
    meta.SourceApplicationEntityTitle = "CANARY_AE"
    data_set.file_meta = meta
    data_set.preamble = b"CANARY".ljust(128, b"!")
    data_set.SpecificCharacterSet = "ISO_IR 100"
    data_set.SOPClassUID = meta.MediaStorageSOPClassUID
    data_set.SOPInstanceUID = meta.MediaStorageSOPInstanceUID
    data_set.StudyInstanceUID = UID(f"1.2.3.{study}")
    data_set.SeriesInstanceUID = UID(f"1.2.3.{study}.{series}")
    data_set.PatientID = patient
    data_set.PatientName = "Müller^Jörg"
    data_set.PatientSex = "F"
    data_set.PatientBirthDate = "19700203"
    data_set.StudyDate = "20240229"
    data_set.StudyTime = "101112"
    data_set.StudyDescription = "Thorax"
    data_set.Modality = "CT"
    data_set.InstanceNumber = number
    data_set.FrameOfReferenceUID = UID(f"1.2.3.{study}.99")
    data_set.Rows = data_set.Columns = 2
    data_set.BitsAllocated = data_set.BitsStored = 8
    data_set.HighBit = 7
    data_set.PixelRepresentation = 0
    data_set.SamplesPerPixel = 1
    data_set.PhotometricInterpretation = "MONOCHROME2"
    data_set.add_new(0x7FE00010, "OW", b"\1\2\3\4")
    return data_set


def refer_to(data_set: Dataset, *others: Dataset) -> None:
    """Add references in the forms of the Standard: an image sequence, and a hierarchy of study, series, instance."""
    images, studies = [], []
    for other in others:
        image = Dataset()
        image.ReferencedSOPClassUID = other.SOPClassUID
        image.ReferencedSOPInstanceUID = other.SOPInstanceUID
        images.append(image)
        sop = Dataset()
        sop.ReferencedSOPClassUID = other.SOPClassUID
        sop.ReferencedSOPInstanceUID = other.SOPInstanceUID
        series = Dataset()
        series.SeriesInstanceUID = other.SeriesInstanceUID
        series.ReferencedSOPSequence = ItemSequence([sop])
        study = Dataset()
        study.StudyInstanceUID = other.StudyInstanceUID
        study.ReferencedSeriesSequence = ItemSequence([series])
        studies.append(study)
    data_set.ReferencedImageSequence = ItemSequence(images)
    data_set.StudiesContainingOtherReferencedInstancesSequence = ItemSequence(studies)


def stored(data_set: Dataset, transfer_syntax_uid: str = EXPLICIT) -> bytes:
    """The bytes of a file."""
    data_set.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    return b"".join(encode_file(data_set))


def read(data: bytes) -> Dataset:
    """Read a file, as the archive would give it to a transformation: nothing decoded."""
    return pydicom.dcmread(BytesIO(data))


def fresh(data_set: Dataset, transfer_syntax_uid: str = EXPLICIT) -> Dataset:
    """The same, read from a file."""
    return read(stored(data_set, transfer_syntax_uid))


def all_data_sets(data_set: Dataset) -> Iterator[Dataset]:
    """A data set and all items in it."""
    yield data_set
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value:
                yield from all_data_sets(item)
