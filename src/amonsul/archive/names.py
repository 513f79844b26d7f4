"""Names of metadata and attachments, and their numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from amonsul.archive.context import ArchiveSettings
from amonsul.database.attachments import DICOM, DICOM_AS_JSON, DICOM_UNTIL_PIXEL_DATA
from amonsul.database.metadata import CORE_NAMES

__all__ = [
    "CORE_ATTACHMENTS",
    "DICOM",
    "DICOM_AS_JSON",
    "DICOM_UNTIL_PIXEL_DATA",
    "attachment_name",
    "attachment_number",
    "metadata_names",
    "metadata_number",
    "metadata_numbers",
]

CORE_ATTACHMENTS: Final[Mapping[str, int]] = {
    "dicom": DICOM,
    "dicom-as-json": DICOM_AS_JSON,
    "dicom-until-pixel-data": DICOM_UNTIL_PIXEL_DATA,
}
"""Attachments that the server keeps."""

_CORE_NUMBERS: Final = {name: number for number, name in CORE_NAMES.items()}


def metadata_names(settings: ArchiveSettings) -> dict[int, str]:
    """Names of metadata by number."""
    return {**CORE_NAMES, **{number: name for name, number in settings.user_metadata.items()}}


def metadata_numbers(settings: ArchiveSettings) -> dict[str, int]:
    """Numbers of metadata by name."""
    return {**_CORE_NUMBERS, **settings.user_metadata}


def metadata_number(settings: ArchiveSettings, name: str) -> int | None:
    """Number of a metadata given by name or number; None if no such name is configured."""
    return _number(name, metadata_numbers(settings))


def attachment_number(settings: ArchiveSettings, name: str) -> int | None:
    """Number of a content type given by name or number; None if no such name is configured."""
    return _number(name, {**CORE_ATTACHMENTS, **settings.user_content_types})


def attachment_name(settings: ArchiveSettings, number: int) -> str:
    """Name of a content type; its number if it has none."""
    for names in (CORE_ATTACHMENTS, settings.user_content_types):
        for name, found in names.items():
            if found == number:
                return name
    return str(number)


def _number(name: str, numbers: Mapping[str, int]) -> int | None:
    found = numbers.get(name)
    if found is None and name.removeprefix("-").isascii() and name.removeprefix("-").isdigit() and len(name) < 10:
        return int(name)
    return found
