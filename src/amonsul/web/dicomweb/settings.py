"""What the DICOMweb services are told: frozen values that `config` fills in once (section `DicomWeb`)."""

from __future__ import annotations

import enum
from dataclasses import dataclass


class MetadataMode(enum.Enum):
    """What `/metadata` of a study or series holds. Nothing is gained by extrapolating, so that gives all there is."""

    FULL = "Full"
    MAIN_DICOM_TAGS = "MainDicomTags"
    EXTRAPOLATE = "Extrapolate"


class OtherBinary(enum.Enum):
    """How OD and OF, of which the values are at hand, show in metadata."""

    BULK_DATA_URI = "BulkDataURI"
    INLINE_BINARY = "InlineBinary"
    ARRAY_OF_VALUES = "ArrayOfValues"


@dataclass(frozen=True, slots=True)
class DicomWebSettings:
    """The DICOMweb server.

    Attributes:
        root: of all routes but WADO-URI.
        public_root: the same as clients see it behind a proxy; empty for `root`.
        wado_enabled: serve WADO-URI at `wado_root`.
        host: in the URLs of answers; empty for what the request says.
        ssl: write `https` in them.
        qido_case_sensitive: None follows `CaseSensitivePN`.
        maximum_results: most answers to one search.
        allowed_to_delete: serve DELETE.
        cors_origins: of web pages elsewhere that may use DICOMweb; `*` for all, without credentials.
    """

    enabled: bool = True
    root: str = "/dicom-web/"
    public_root: str = ""
    wado_enabled: bool = True
    wado_root: str = "/wado"
    host: str = ""
    ssl: bool = False
    qido_case_sensitive: bool | None = None
    studies_metadata: MetadataMode = MetadataMode.FULL
    series_metadata: MetadataMode = MetadataMode.FULL
    other_binary: OtherBinary = OtherBinary.BULK_DATA_URI
    maximum_results: int = 10_000
    allowed_to_delete: bool = False
    cors_origins: tuple[str, ...] = ()
