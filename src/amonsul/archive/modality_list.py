"""The modalities that are known now, see `archive.remote_list`; the option for the database is
`DicomModalitiesInDatabase`.
"""

from __future__ import annotations

from amonsul.archive.modalities import Modality, parse_modality
from amonsul.archive.remote_list import RemoteList
from amonsul.database.modalities import FOR_GOOD
from amonsul.errors import AmonsulError, InexistentItem


class Modalities(RemoteList[Modality]):
    """What `/modalities` shows and changes."""

    SCOPE = FOR_GOOD

    def _encode(self, remote: Modality) -> dict[str, object]:
        return remote.to_json()

    def _decode(self, value: object) -> Modality:
        return parse_modality(value)

    def _unknown(self, name: str) -> AmonsulError:
        return InexistentItem(f"No modality with symbolic name: {name}")

    def _not_removable(self, name: str) -> AmonsulError:
        return InexistentItem(f"Unknown DICOM modality with symbolic name: {name}")
