"""What C-FIND, C-MOVE and C-GET have in common: the identifier of a request, its level and its keys (PS3.4 §C.4)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from amonsul.archive.context import Archive
from amonsul.dicom import charsets
from amonsul.dicom.elements import DataSet, Element
from amonsul.dicom.json_tags import text_of
from amonsul.dicom.keys import QUERY_RETRIEVE_LEVEL, SPECIFIC_CHARACTER_SET, Key, parse_keys
from amonsul.dicom.levels import Level
from amonsul.dicom.scanner import scan_data_set
from amonsul.dimse_server.service import Exchange
from amonsul.errors import AmonsulError, ParameterOutOfRange

PATIENT_ROOT: Final = "1.2.840.10008.5.1.4.1.2.1"
STUDY_ROOT: Final = "1.2.840.10008.5.1.4.1.2.2"
"""Beginning of the SOP classes of a model: `.1` is C-FIND, `.2` C-MOVE, `.3` C-GET."""

_LEVELS: Final[Mapping[str, Level]] = {
    "PATIENT": Level.PATIENT,
    "STUDY": Level.STUDY,
    "SERIES": Level.SERIES,
    "IMAGE": Level.INSTANCE,
    "INSTANCE": Level.INSTANCE,
}


class InvalidIdentifier(AmonsulError):
    """An identifier that does not say what it should (PS3.4 Table C.4-1)."""

    http_status, orthanc_status, message, dimse_status = 400, 8, "Bad request", 0xC000


@dataclass(frozen=True, slots=True)
class QuerySettings:
    """What the operator decides about searches.

    Attributes:
        retrieve_ae_title: where what was found can be retrieved: here.
        limit_results: most answers at the levels above that of instances; 0 for all (`LimitFindResults`).
        limit_instances: most answers at the level of instances; 0 for all (`LimitFindInstances`).
        case_sensitive_pn: whether case matters in person names (`CaseSensitivePN`).
        default_encoding: asked for each query (`DefaultEncoding`).
    """

    retrieve_ae_title: str = "ORTHANC"
    limit_results: int = 0
    limit_instances: int = 0
    case_sensitive_pn: bool = False
    default_encoding: Callable[[], str] = lambda: "Latin1"

    def limit(self, level: Level) -> int:
        """Most answers at a level; 0 for all."""
        return self.limit_instances if level is Level.INSTANCE else self.limit_results

    @property
    def default_charset(self) -> str:
        """Specific Character Set of identifiers that name none, and of answers."""
        return charsets.writable_charset(charsets.charset_of_encoding(self.default_encoding()))


@dataclass(frozen=True, slots=True)
class Identifier:
    """The data set of a request, read.

    Attributes:
        elements: as they came.
        keys: what is asked for.
        charsets: what text may be answered in, best first.
    """

    elements: DataSet
    keys: tuple[Key, ...]
    charsets: tuple[str, ...]

    @property
    def level_name(self) -> str:
        """Query/Retrieve Level as it came; empty if it did not."""
        element = self.elements.get(QUERY_RETRIEVE_LEVEL)
        return (text_of(element) or "").strip() if element is not None else ""

    @property
    def level(self) -> Level | None:
        """The level; None if none is given.

        Raises:
            InvalidIdentifier: there is no such level.
        """
        name = self.level_name
        if not name:
            return None
        level = _LEVELS.get(name.upper())
        if level is None:
            raise InvalidIdentifier("an unknown Query/Retrieve Level")
        return level


def read_identifier(exchange: Exchange, archive: Archive, settings: QuerySettings) -> Identifier:
    """Read the data set of a request.

    Raises:
        BadFileFormat: it cannot be read, or is beyond the limits of what is read.
        InvalidIdentifier: there is none, or a key is malformed for its VR.
    """
    if exchange.data_set is None:
        raise InvalidIdentifier("a query without identifier")
    default = settings.default_charset
    with exchange.data_set.view() as data:
        elements = scan_data_set(
            data, exchange.context.transfer_syntax, archive.settings.limits, default, archive.dictionary
        )
        try:
            keys = parse_keys(elements, archive.dictionary, data)
        except ParameterOutOfRange as error:
            raise InvalidIdentifier(str(error)) from error
    own = elements.get(SPECIFIC_CHARACTER_SET, Element("CS", ""))
    asked = (text_of(own) or "").strip()
    known = (default, asked) if asked and charsets.is_known(asked) else (default,)
    return Identifier(elements, keys, known)
