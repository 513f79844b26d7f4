"""What C-MOVE and C-GET jobs have in common: their resources, what they ask, and what they show.

A resource is a query in the form of the REST API, `{"0008,0052": "STUDY", "0020,000d": "1.2.3"}`. What is asked of
the remote holds its level and unique keys alone (PS3.4 §C.4.2.1.4), in the model that fits the level.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from pydicom.dataset import Dataset

from amonsul.clients.dimse import SubOperations
from amonsul.clients.identifiers import identifier_of
from amonsul.dicom.dictionary import Dictionary
from amonsul.dicom.elements import Tag, format_tag, parse_hex_tag
from amonsul.dicom.identifiers import PATIENT_ID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID
from amonsul.dicom.levels import Level
from amonsul.dicom.tag_values import Text
from amonsul.errors import AmonsulError, BadRequest, RemoteFailure
from amonsul.jobs.kind import Progress, Running

QUERY_RETRIEVE_LEVEL: Final = "0008,0052"
SOP_CLASSES_IN_STUDY: Final = "0008,0062"

LEVEL_NAMES: Final[Mapping[Level, str]] = {
    Level.PATIENT: "PATIENT",
    Level.STUDY: "STUDY",
    Level.SERIES: "SERIES",
    Level.INSTANCE: "IMAGE",
}

UNIQUE_KEYS: Final[Mapping[Level, tuple[Tag, ...]]] = {
    Level.PATIENT: (PATIENT_ID,),
    Level.STUDY: (STUDY_INSTANCE_UID,),
    Level.SERIES: (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID),
    Level.INSTANCE: (STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID),
}
"""What names a resource of each level, those above it included (PS3.4 §C.2.2.1)."""
_STEPS: Final = 100
"""Units of progress of one resource."""

Query = Mapping[str, str]


def check(level: Level, query: Query) -> None:
    """Make sure that a resource is named.

    Raises:
        BadRequest: a unique key is missing.
    """
    for key in map(format_tag, UNIQUE_KEYS[level]):
        if not query.get(key):
            raise BadRequest(f"Missing tag {key}")


def identifier(level: Level, query: Query, dictionary: Dictionary, charset: str) -> Dataset:
    """The identifier of a C-MOVE or C-GET.

    Args:
        level: of the resource.
        query: names it.
        dictionary: for the VRs.
        charset: to write in, unless a Patient ID needs another: it must not name another patient for want of letters.

    Raises:
        BadFileFormat: a UID has characters that no UID has.
    """
    keys = {tag: Text(query[format_tag(tag)]) for tag in UNIQUE_KEYS[level]}
    data_set = identifier_of(keys, dictionary, charset)
    data_set.add_new(0x00080052, "CS", LEVEL_NAMES[level])
    return data_set


def details(queries: Sequence[Query]) -> list[dict[str, object]]:
    """What is shown of each resource before anything happened."""
    return [{"DimseErrorStatus": 0, "Query": dict(query), "ReceivedInstancesIds": []} for query in queries]


def shown_queries(queries: Sequence[Query], form: str, dictionary: Dictionary) -> list[object]:
    """The resources in the form that the client wants to see: `Short`, `Full` or `Simplify`."""
    if form == "Short":
        return [dict(query) for query in queries]
    shown: list[object] = []
    for query in queries:
        described: dict[str, object] = {}
        for key, value in query.items():
            name = dictionary.keyword(parse_hex_tag(key) or Tag(0))
            if form == "Full":
                described[key] = {"Name": name, "Type": "String", "Value": value}
            else:
                described[name] = value
        shown.append(described)
    return shown


def answer_payload(content: Mapping[str, object], _payload: object) -> object:
    """`ErrorPayload` of a synchronous call."""
    return {"Content": content.get("Details", []), "Type": "RetrieveJob"}


def follow(
    running: Running, number: int, total: int, subs: Iterator[SubOperations], detail: dict[str, Any], permissive: bool
) -> Iterator[Progress]:
    """Go along with the retrieval of one resource; what it comes to is noted in its detail.

    Raises:
        AmonsulError: it failed, and the job is not permissive.
    """
    begin = number * _STEPS
    try:
        for sub in subs:
            detail["DimseErrorStatus"] = sub.status if sub.is_final else 0
            if not sub.is_final:
                yield Progress(begin + _part_of(sub), total * _STEPS, number)
    except AmonsulError as error:
        if isinstance(error, RemoteFailure):
            detail["DimseErrorStatus"] = error.status
        if not (permissive and running.tolerates(error)):
            raise


def finished(number: int, total: int, running: Running) -> Progress:
    """A resource is dealt with, unless it was left because something is asked of the job."""
    done = number if running.stopping else number + 1
    return Progress(done * _STEPS, total * _STEPS, done, durable=True)


def _part_of(sub: SubOperations) -> int:
    done = (sub.completed or 0) + (sub.failed or 0) + (sub.warning or 0)
    whole = done + (sub.remaining or 0)
    return _STEPS * done // whole if whole else 0
