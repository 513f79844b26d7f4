"""The attributes kept in columns of the index at each level, and their signature."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amonsul.dicom.elements import DataSet, Tag
from amonsul.dicom.levels import Level


class MainTags:
    """The main tags in force: those of the product and `ExtraMainDicomTags`. Immutable."""

    def __init__(self, extra: Mapping[Level, Sequence[Tag]] | None = None) -> None:
        raise NotImplementedError

    def tags(self, level: Level) -> tuple[Tag, ...]:
        """In ascending order."""
        raise NotImplementedError

    def signature(self, level: Level) -> str:
        """`0008,0012;0008,0013;…`, as `GET /system` prints and the metadata MainDicomTagsSignature keeps."""
        raise NotImplementedError

    def extract(self, level: Level, data_set: DataSet) -> dict[Tag, str]:
        """The values present in a data set, as the REST API prints them; empty ones are kept, absent ones left out."""
        raise NotImplementedError
