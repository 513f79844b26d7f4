"""Searches at modalities that are remembered, so that what they found can be retrieved later (`/queries`)."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import orjson

from amonsul.archive.context import Archive
from amonsul.database import queries
from amonsul.dicom.elements import DataSet, Tag
from amonsul.dicom.header import Header, decode_header, encode_header
from amonsul.dicom.levels import Level
from amonsul.dicom.uids import EXPLICIT_VR_LITTLE_ENDIAN
from amonsul.errors import ParameterOutOfRange, UnknownResource


@dataclass(frozen=True, slots=True)
class RemoteQuery:
    """A search that was made.

    Attributes:
        modality: symbolic name of who was asked.
        keys: as the client gave them.
        timeout_s: of the search, to be used for what follows from it; 0 for the usual one.
        local_aet: our AE title, to be used for what follows from it; empty for the usual one.
    """

    query_id: str
    modality: str
    level: Level
    keys: Mapping[Tag, str]
    number_of_answers: int
    timeout_s: int = 0
    local_aet: str = ""


def remember(
    archive: Archive,
    modality: str,
    level: Level,
    keys: Mapping[Tag, str],
    answers: Sequence[DataSet],
    *,
    timeout_s: int,
    local_aet: str,
    kept: int,
) -> str:
    """Keep a search with its answers, and only the `kept` newest of all; answer its identifier."""
    query_id = str(uuid.uuid4())
    query = {"keys": {str(tag): value for tag, value in keys.items()}, "timeout": timeout_s, "aet": local_aet}
    packed = [encode_header(Header(EXPLICIT_VR_LITTLE_ENDIAN, {}, answer)) for answer in answers]
    text = orjson.dumps(query).decode()
    archive.database.write(lambda tx: queries.insert(tx, query_id, modality, level, text, packed, kept))
    return query_id


def get(archive: Archive, query_id: str) -> RemoteQuery:
    """One search.

    Raises:
        UnknownResource: it is not remembered, or no more.
    """
    with archive.database.read() as tx:
        found = queries.find(tx, query_id)
    if found is None:
        raise UnknownResource
    return _query(found)


def list_ids(archive: Archive) -> list[str]:
    """Identifiers of all searches."""
    with archive.database.read() as tx:
        return queries.identifiers(tx)


def answers(archive: Archive, query_id: str) -> list[DataSet]:
    """All that a search found.

    Raises:
        UnknownResource: it is not remembered, or no more.
    """
    with archive.database.read() as tx:
        found = queries.find(tx, query_id)
        if found is None:
            raise UnknownResource
        packed = queries.answers(tx, found)
    return [decode_header(each).data_set for each in packed]


def answer(archive: Archive, query_id: str, number: int) -> DataSet:
    """One thing that a search found, counted from 0.

    Raises:
        UnknownResource: the search is not remembered, or no more.
        ParameterOutOfRange: it found less.
    """
    with archive.database.read() as tx:
        found = queries.find(tx, query_id)
        if found is None:
            raise UnknownResource
        packed = queries.answer(tx, found, number)
    if packed is None:
        raise ParameterOutOfRange
    return decode_header(packed).data_set


def delete(archive: Archive, query_id: str) -> None:
    """Forget a search; harmless if it is forgotten already."""
    archive.database.write(lambda tx: queries.delete(tx, query_id))


def _query(found: queries.StoredQuery) -> RemoteQuery:
    stored = orjson.loads(found.query)
    keys = {Tag(int(tag)): value for tag, value in stored["keys"].items()}
    return RemoteQuery(
        found.query_id, found.modality, found.level, keys, found.number_of_answers, stored["timeout"], stored["aet"]
    )
