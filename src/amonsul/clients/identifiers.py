"""Identifiers of C-FIND: keys of a client become a data set that the remote understands (PS3.4 §C.4.1.1.3).

What a level needs is asked for even if the client did not; what does not belong to it is left out on demand; and some
makes of systems stumble over wildcards that the Standard allows.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from amonsul.clients.dimse import PATIENT_ROOT_FIND, STUDY_ROOT_FIND
from amonsul.dicom.charsets import writable_charset
from amonsul.dicom.dictionary import Dictionary
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level
from amonsul.dicom.modules import MODULES
from amonsul.dicom.tag_values import Encoder, Text, Unencodable, Value

LEVEL_NAMES: Final[Mapping[Level, str]] = {
    Level.PATIENT: "PATIENT",
    Level.STUDY: "STUDY",
    Level.SERIES: "SERIES",
    Level.INSTANCE: "IMAGE",
}
"""PS3.4 Table C.6-1 ff."""

_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_QUERY_RETRIEVE_LEVEL: Final = 0x00080052
_ACCESSION_NUMBER: Final = Tag(0x00080050)
_PATIENT_ID: Final = Tag(0x00100020)
_STUDY_INSTANCE_UID: Final = Tag(0x0020000D)
_SERIES_INSTANCE_UID: Final = Tag(0x0020000E)
_SOP_INSTANCE_UID: Final = Tag(0x00080018)

IDENTIFYING_KEYS: Final[Mapping[Level, tuple[Tag, ...]]] = {
    Level.PATIENT: (_PATIENT_ID,),
    Level.STUDY: (_ACCESSION_NUMBER, _PATIENT_ID, _STUDY_INSTANCE_UID),
    Level.SERIES: (_ACCESSION_NUMBER, _PATIENT_ID, _STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID),
    Level.INSTANCE: (_ACCESSION_NUMBER, _PATIENT_ID, _STUDY_INSTANCE_UID, _SERIES_INSTANCE_UID, _SOP_INSTANCE_UID),
}
"""What is asked of every resource of a level, so that it can be retrieved later."""

_NUMBER_STRINGS: Final = ("DS", "IS")
_COMPUTED: Final = frozenset(
    (
        0x00080056,  # InstanceAvailability
        0x00080061,  # ModalitiesInStudy
        0x00080062,  # SOPClassesInStudy
        *(0x00201000 + element for element in range(0x200, 0x20A, 2)),  # NumberOf…Related…
    )
)


def model_of(level: Level) -> str:
    """The SOP class of C-FIND that a level is searched with."""
    return PATIENT_ROOT_FIND if level is Level.PATIENT else STUDY_ROOT_FIND


def find_identifier(
    level: Level,
    keys: Mapping[Tag, str],
    manufacturer: str,
    dictionary: Dictionary,
    charset: str,
    *,
    only_applicable: bool = False,
) -> Dataset:
    """The identifier of a search.

    Args:
        level: of what is searched.
        keys: of the client.
        manufacturer: of the remote, as `Modality.manufacturer`.
        dictionary: for the VRs.
        charset: to write in, unless a key needs another.
        only_applicable: leave out keys that are not of the level or above it.

    Raises:
        BadFileFormat: a key has a value that it cannot have.
    """
    wanted = dict.fromkeys(IDENTIFYING_KEYS[level], "") | dict(keys)
    if only_applicable:
        wanted = {tag: value for tag, value in wanted.items() if _applies(tag, level)}
    wanted.pop(Tag(_QUERY_RETRIEVE_LEVEL), None)
    wanted.pop(Tag(_SPECIFIC_CHARACTER_SET), None)
    texts: dict[Tag, Value] = {
        tag: Text(_without_wildcard(tag, value, manufacturer, dictionary)) for tag, value in wanted.items()
    }
    identifier = identifier_of(texts, dictionary, charset)
    identifier.add_new(_QUERY_RETRIEVE_LEVEL, "CS", LEVEL_NAMES[level])
    return identifier


def identifier_of(keys: Mapping[Tag, Value], dictionary: Dictionary, charset: str) -> Dataset:
    """The identifier with these keys as they are: of a search in a worklist, of a retrieval.

    Args:
        keys: with the values to match.
        dictionary: for the VRs.
        charset: to write in, unless a key needs another, or it is none that can be named (PS3.3 §C.12.1.1.2).

    Raises:
        BadFileFormat: a key has a value that it cannot have.
    """
    identifier = Dataset()
    charset = writable_charset(charset)
    identifier.add_new(_SPECIFIC_CHARACTER_SET, "CS", charset.split("\\") if "\\" in charset else charset)
    encoder = Encoder(dictionary, unencodable=Unencodable.SWITCH, default_charset=charset)
    for tag, value in keys.items():
        vr = dictionary.vr(tag)
        if isinstance(value, Text) and vr in _NUMBER_STRINGS and value.text.isascii():
            # ranges and wildcards are keys, though no values
            identifier[tag] = DataElement(tag, vr, value.text, already_converted=True)
        else:
            encoder.put(identifier, tag, value)
    return identifier


def _applies(tag: Tag, level: Level) -> bool:
    """Whether a key makes sense at a level: it is of no level, or of this one, or of one above."""
    if tag in _COMPUTED:
        return True
    below = [other for other in Level if other > level and tag in MODULES[other]]
    return not below or any(tag in MODULES[other] for other in Level if other <= level)


def _without_wildcard(tag: Tag, value: str, manufacturer: str, dictionary: Dictionary) -> str:
    if value != "*":
        return value
    if manufacturer == "GenericNoUniversalWildcard":
        return ""
    if manufacturer == "GenericNoWildcardInDates" and dictionary.vr(tag) == "DA":
        return ""
    return value
