"""DICOM identifiers of an instance and the public identifiers made from them."""

from __future__ import annotations

from dataclasses import dataclass

from amonsul.dicom.elements import DataSet
from amonsul.dicom.levels import Level, OrthancId


@dataclass(frozen=True, slots=True)
class Identifiers:
    """The four identifiers that place an instance in the model; `patient_id` may be empty."""

    patient_id: str
    study_instance_uid: str
    series_instance_uid: str
    sop_instance_uid: str

    def at(self, level: Level) -> OrthancId:
        """Public identifier of the resource at a level: SHA-1 of the identifiers down to it, joined by bars."""
        raise NotImplementedError


def identifiers_of(data_set: DataSet) -> Identifiers:
    """Read them from a data set.

    Raises:
        MissingIdentifier: a UID is absent or empty.
    """
    raise NotImplementedError
