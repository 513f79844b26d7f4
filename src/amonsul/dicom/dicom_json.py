"""Data sets in the DICOM JSON Model (PS3.18 §F.2)."""

from __future__ import annotations

from collections.abc import Callable

from amonsul.dicom.elements import Bulk, DataSet

Path = tuple[str | int, ...]
"""Where an element is: `("00081140", 0, "00081150")`, tags and indices of items in turn."""


def to_json(data_set: DataSet, bulk_data_uri: Callable[[Path, Bulk], str | None]) -> dict[str, object]:
    """`{"00100010": {"vr": "PN", "Value": [{"Alphabetic": "…"}]}}`.

    Args:
        data_set: without file meta information; group lengths are left out.
        bulk_data_uri: makes the BulkDataURI of a value that is not inline, or None to write no value.
    """
    raise NotImplementedError
