"""The DICOM systems we know by name: what `DicomModalities` and `/modalities/{id}` hold.

A modality is written as an array `[AET, Host, Port]`, optionally with a manufacturer, or as an object with any of the
fields; it is always shown as an object with all of them. Both directions are used: to reach it, and to decide what
it may ask of us.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from amonsul.errors import BadFileFormat, ParameterOutOfRange

MANUFACTURERS = {
    name: name
    for name in (
        "Generic",
        "GenericNoWildcardInDates",
        "GenericNoUniversalWildcard",
        "Vitrea",
        "GE",
        "SiemensSyngoCT",
    )
} | {
    "AgfaImpax": "GenericNoWildcardInDates",
    "SyngoVia": "GenericNoWildcardInDates",
    "ClearCanvas": "Generic",
    "Dcm4Chee": "Generic",
    "EFilm2": "Generic",
    "MedInria": "Generic",
}
"""Accepted names of `Manufacturer`, with the one they stand for; the last six are obsolete."""

RETRIEVE_METHODS = ("SystemDefault", "C-MOVE", "C-GET")

_NAME = re.compile(r"[A-Za-z0-9_-]+")
_MAX_PORT = 65534

D = TypeVar("D", bool, None)


@dataclass(frozen=True, slots=True)
class Modality:
    """One remote DICOM system.

    Attributes:
        ae_title: its AE title.
        host: name or address.
        manufacturer: a value of `MANUFACTURERS`: the peculiarities to mind when asking it.
        allow_n_action: whether it may request storage commitment of us.
        allow_event_report: whether it may report on a storage commitment that we requested.
        allow_transcoding: whether we may transcode what it retrieves from us or we send to it.
        local_aet: our AE title when we call it; empty for the usual one.
        timeout_s: longest wait for its answers; 0 for the usual one.
        retrieve_method: a value of `RETRIEVE_METHODS`.
    """

    ae_title: str
    host: str
    port: int
    manufacturer: str = "Generic"
    allow_echo: bool = True
    allow_find: bool = True
    allow_find_worklist: bool = True
    allow_get: bool = True
    allow_move: bool = True
    allow_store: bool = True
    allow_n_action: bool = True
    allow_event_report: bool = True
    allow_transcoding: bool = True
    use_dicom_tls: bool = False
    local_aet: str = ""
    timeout_s: int = 0
    retrieve_method: str = "SystemDefault"

    def to_json(self) -> dict[str, object]:
        """The object that `/modalities/{id}/configuration` answers."""
        return {
            "AET": self.ae_title,
            "Host": self.host,
            "Port": self.port,
            "Manufacturer": self.manufacturer,
            "AllowEcho": self.allow_echo,
            "AllowFind": self.allow_find,
            "AllowFindWorklist": self.allow_find_worklist,
            "AllowGet": self.allow_get,
            "AllowMove": self.allow_move,
            "AllowStore": self.allow_store,
            "AllowNAction": self.allow_n_action,
            "AllowEventReport": self.allow_event_report,
            "AllowTranscoding": self.allow_transcoding,
            "UseDicomTls": self.use_dicom_tls,
            "LocalAet": self.local_aet,
            "Timeout": self.timeout_s,
            "RetrieveMethod": self.retrieve_method,
        }


def check_name(name: str) -> str:
    """Answer `name` if it can name a modality or a peer.

    Raises:
        BadFileFormat: it holds other characters than letters, digits, dashes and underscores.
    """
    if not _NAME.fullmatch(name) or not name.isascii():
        raise BadFileFormat(
            "Only alphanumeric, dash characters and underscores are allowed in the names of modalities/peers,"
            f" but found: {name}"
        )
    return name


def parse_modality(value: object) -> Modality:
    """Read a modality from either JSON form; members that are not known are ignored.

    Raises:
        BadFileFormat: a field is missing or of the wrong type.
        ParameterOutOfRange: a field has a value that is not allowed.
    """
    match value:
        case [str(ae_title), str(host), port]:
            return Modality(_ae_title(ae_title), host, _port(port))
        case [str(ae_title), str(host), port, str(manufacturer)]:
            return Modality(_ae_title(ae_title), host, _port(port), _manufacturer(manufacturer))
        case {**members}:
            return _from_object(members)
        case _:
            raise BadFileFormat


def parse_modalities(value: object) -> dict[str, Modality]:
    """Read the `DicomModalities` option: an object of modalities by name.

    Raises:
        BadFileFormat: a name, a field or its type is wrong; the details name the modality.
        ParameterOutOfRange: a field has a value that is not allowed; the details name the modality.
    """
    if not isinstance(value, Mapping):
        raise BadFileFormat("an object is expected in DicomModalities")
    modalities: dict[str, Modality] = {}
    for name, entry in value.items():
        try:
            modalities[check_name(str(name))] = parse_modality(entry)
        except (BadFileFormat, ParameterOutOfRange) as error:
            raise type(error)(f"modality {name}: {error.details or error.message}") from error
    return modalities


def find_by_ae_title(modalities: Mapping[str, Modality], ae_title: str, *, strict: bool) -> Sequence[Modality]:
    """Those that bear an AE title; without `strict`, whatever its case (`StrictAetComparison`)."""
    if strict:
        return [modality for modality in modalities.values() if modality.ae_title == ae_title]
    wanted = ae_title.upper()
    return [modality for modality in modalities.values() if modality.ae_title.upper() == wanted]


def _from_object(members: Mapping[object, object]) -> Modality:
    reporting = _boolean(members, "AllowNEventReport", True)  # the longer name of the same
    commitment = _boolean(members, "AllowStorageCommitment", None)  # stands for two rights, and wins over them
    return Modality(
        _ae_title(_text(members, "AET")),
        _text(members, "Host"),
        _port(members.get("Port")),
        _manufacturer(_text(members, "Manufacturer", "Generic")),
        allow_echo=_boolean(members, "AllowEcho", True),
        allow_find=_boolean(members, "AllowFind", True),
        allow_find_worklist=_boolean(members, "AllowFindWorklist", True),
        allow_get=_boolean(members, "AllowGet", True),
        allow_move=_boolean(members, "AllowMove", True),
        allow_store=_boolean(members, "AllowStore", True),
        allow_n_action=_boolean(members, "AllowNAction", True) if commitment is None else commitment,
        allow_event_report=_boolean(members, "AllowEventReport", reporting) if commitment is None else commitment,
        allow_transcoding=_boolean(members, "AllowTranscoding", True),
        use_dicom_tls=_boolean(members, "UseDicomTls", False),
        local_aet=_local_aet(_text(members, "LocalAet", "")),
        timeout_s=_seconds(members.get("Timeout", 0)),
        retrieve_method=_retrieve_method(_text(members, "RetrieveMethod", "SystemDefault")),
    )


def _text(members: Mapping[object, object], name: str, default: str | None = None) -> str:
    value = members.get(name, default)
    if not isinstance(value, str):
        raise BadFileFormat(f"String value expected in field: {name}")
    return value


def _boolean(members: Mapping[object, object], name: str, default: D) -> bool | D:
    if name not in members:
        return default
    value = members[name]
    if not isinstance(value, bool):
        raise BadFileFormat(f"Boolean value expected in field: {name}")
    return value


def _ae_title(text: str) -> str:
    ae_title = text.strip(" ")
    if not 1 <= len(ae_title) <= 16 or not ae_title.isascii() or not ae_title.isprintable() or "\\" in ae_title:
        raise ParameterOutOfRange(f"An AE title has 1 to 16 characters of ASCII (PS3.5 §6.2), but found: {text}")
    return ae_title


def _local_aet(text: str) -> str:
    return _ae_title(text) if text else ""


def _port(value: object) -> int:
    if isinstance(value, str) and value.isascii() and value.isdecimal():
        value = int(value[:9])
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadFileFormat
    if not 1 <= value <= _MAX_PORT:
        raise ParameterOutOfRange(f"A TCP port number must be in range [1..{_MAX_PORT}], but found: {value}")
    return value


def _manufacturer(name: str) -> str:
    if name not in MANUFACTURERS:
        raise ParameterOutOfRange(f'Unknown modality manufacturer: "{name}"')
    return MANUFACTURERS[name]


def _seconds(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise BadFileFormat("Integer value expected in field: Timeout")
    if value < 0:
        raise BadFileFormat("Unsigned integer value expected in field: Timeout")
    return value


def _retrieve_method(name: str) -> str:
    if name not in RETRIEVE_METHODS:
        raise ParameterOutOfRange(f'RetrieveMethod can be "C-MOVE", "C-GET" or "SystemDefault": {name}')
    return name
