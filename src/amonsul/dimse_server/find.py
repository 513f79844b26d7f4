"""C-FIND in the models of Query/Retrieve (PS3.4 §C.4.1): one identifier, one search, a stream of answers.

Keys become constraints of the one `Query`; what the index cannot decide (items of sequences, private attributes,
a date and its time taken together) is decided on the values found. The database is read a page at a time, and a page
is not read before the peer has taken the one before it.

Every query is relational: keys of any level above may be given or left out. Keys of levels below have no one value at
the level of the query; they restrict nothing, and the answers say so with the status 0xFF01.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import ClassVar, Final

from amonsul.archive import find
from amonsul.archive.context import Archive, StorageAccess
from amonsul.dicom.answer_encoding import encode_answer
from amonsul.dicom.elements import Element, Tag
from amonsul.dicom.json_tags import text_of
from amonsul.dicom.keys import (
    QUERY_RETRIEVE_LEVEL,
    Key,
    MomentRange,
    satisfies,
    split_moments,
    value_of,
)
from amonsul.dicom.levels import Level
from amonsul.dicom.query import Constraint, Query, View
from amonsul.dimse_server.query import (
    PATIENT_ROOT,
    STUDY_ROOT,
    Identifier,
    InvalidIdentifier,
    QuerySettings,
    read_identifier,
)
from amonsul.dimse_server.service import Answer, Exchange, Lane, Right, Service
from amonsul.protocols.dimse.commands import CFindRq, CFindRsp, Request
from amonsul.protocols.dimse.statuses import Status

logger = logging.getLogger(__name__)

_RETRIEVE_AE_TITLE: Final = Tag(0x00080054)
_INSTANCE_AVAILABILITY: Final = Tag(0x00080056)
_MODALITY: Final = Tag(0x00080060)
_MODALITIES_IN_STUDY: Final = Tag(0x00080061)
_NOT_CONSTRAINTS: Final = frozenset((_RETRIEVE_AE_TITLE, _INSTANCE_AVAILABILITY))
"""Attributes of the answer, the same for all: they are returned and never matched."""

_COMBINED_DATE_TIME: Final = 1
_SUPPORTED: Final = (1, 1, 0, 0, 0)
"""Of the extended negotiation: relational queries, date and time combined; no fuzzy names, time zones, multiple values
of enhanced multi-frame conversion (PS3.4 Table C.5-1)."""


@dataclass(frozen=True, slots=True)
class _Plan:
    """A search with what remains to be done on what it finds."""

    query: Query
    residual: tuple[Key, ...]
    moments: tuple[MomentRange, ...]
    has_unsupported: bool


class FindService(Service):
    """Answers searches in both roots.

    Args:
        archive: what is searched.
        settings: how.
        view: what those who come here may see; None for everything.
    """

    abstract_syntaxes = frozenset((f"{PATIENT_ROOT}.1", f"{STUDY_ROOT}.1"))
    requests: ClassVar[Mapping[type[Request], Right]] = {CFindRq: Right.FIND}
    lane = Lane.QUERIES

    def __init__(self, archive: Archive, settings: QuerySettings, view: View | None = None) -> None:
        self._archive = archive
        self._view = view
        self._settings = settings

    def negotiate_extended(self, abstract_syntax: str, information: bytes) -> bytes | None:  # noqa: ARG002
        """Relational queries, and date and time combined; nothing beyond (PS3.4 §C.5.1.1)."""
        return bytes(wanted & ours for wanted, ours in zip(information, _SUPPORTED, strict=False))

    def serve(self, exchange: Exchange) -> Iterator[Answer]:
        """Search."""
        request = exchange.request
        assert isinstance(request, CFindRq)
        sop_class_uid = request.affected_sop_class_uid
        identifier = read_identifier(exchange, self._archive, self._settings)
        negotiated = exchange.association.extended_negotiations.get(exchange.context.abstract_syntax, b"")
        combines = len(negotiated) > _COMBINED_DATE_TIME and negotiated[_COMBINED_DATE_TIME] == 1
        plan = self._plan(identifier, combines=combines)
        status = Status.PENDING_WARNING if plan.has_unsupported else Status.PENDING
        limit, given = self._settings.limit(plan.query.level), 0
        pending = CFindRsp(request.message_id, status, sop_class_uid, has_data_set=True)
        for elements in self._found(plan, identifier):
            if exchange.is_cancelled:
                yield Answer(CFindRsp(request.message_id, Status.CANCEL, sop_class_uid))
                return
            if limit and given == limit:
                logger.warning("a C-FIND of %s has more answers than the limit of %d", exchange.association, limit)
                break
            given += 1
            yield Answer(pending, encode_answer(elements, exchange.context.transfer_syntax, identifier.charsets))
        logger.info("C-FIND of %s: %d answers", exchange.association, given)
        yield Answer(CFindRsp(request.message_id, Status.SUCCESS, sop_class_uid))

    def _plan(self, identifier: Identifier, *, combines: bool) -> _Plan:
        """Take the keys apart.

        Raises:
            InvalidIdentifier: no level.
        """
        level = identifier.level
        if level is None:
            raise InvalidIdentifier("a query without Query/Retrieve Level")
        levels = {tag: own for own in reversed(Level) for tag in self._archive.main_tags.tags(own)}
        looks_in_headers = self._archive.settings.storage_access_on_find is StorageAccess.ALWAYS
        constraints: list[Constraint] = []
        residual: list[Key] = []
        has_unsupported = False
        keys, moments = split_moments(identifier.keys) if combines else (identifier.keys, ())
        for moment in moments:  # the days narrow the search; the rest is decided on what is found
            constraints += (Constraint(key.tag, key.match) for key in identifier.keys if key.tag == moment.date_tag)
        for key in keys:
            if not key.restricts or key.tag in _NOT_CONSTRAINTS:
                continue
            if key.vr == "SQ" or key.creator is not None:
                if looks_in_headers:
                    residual.append(key)
                else:
                    has_unsupported = True
                continue
            tag = key.tag
            if level is Level.STUDY and tag == _MODALITY:
                tag = _MODALITIES_IN_STUDY
            own = levels.get(tag)
            if (own is not None and own > level) or (own is None and not looks_in_headers and not find.is_counted(tag)):
                has_unsupported = True
                continue
            constraints.append(
                Constraint(tag, key.match, case_sensitive=self._settings.case_sensitive_pn or key.vr != "PN")
            )
        requested = tuple(key.tag for key in identifier.keys)
        query = Query(level, tuple(constraints), requested_tags=requested, view=self._view)
        return _Plan(query, tuple(residual), moments, has_unsupported)

    def _found(self, plan: _Plan, identifier: Identifier) -> Iterator[dict[Tag, Element]]:
        """The answers, without Specific Character Set."""
        keys = identifier.keys
        tags = tuple(dict.fromkeys((*(key.tag for key in keys), *_moment_tags(plan.moments))))
        creators = {key.tag: key.creator for key in keys if key.creator is not None}
        about = {
            QUERY_RETRIEVE_LEVEL: Element("CS", identifier.level_name),
            _RETRIEVE_AE_TITLE: Element("AE", self._settings.retrieve_ae_title),
            **{key.tag: identifier.elements[key.tag] for key in keys if key.is_private_creator},
        }
        for resources in find.iterate(self._archive, plan.query):
            for values in find.elements(self._archive, resources, tags, creators, self._view):
                if _holds(plan, values, case_sensitive_pn=self._settings.case_sensitive_pn):
                    yield {**{key.tag: value_of(key, values.get(key.tag)) for key in keys}, **about}


def _moment_tags(moments: Iterable[MomentRange]) -> Iterator[Tag]:
    for moment in moments:
        yield moment.date_tag
        yield moment.time_tag


def _holds(plan: _Plan, values: Mapping[Tag, str | Element], *, case_sensitive_pn: bool) -> bool:
    if plan.residual:
        found = {tag: value for tag, value in values.items() if isinstance(value, Element)}
        flat = tuple(Key(key.tag, key.vr, key.match, key.items) for key in plan.residual)
        if not satisfies(flat, found, case_sensitive_pn=case_sensitive_pn):
            return False
    return all(
        moment.contains(_text(values, moment.date_tag), _text(values, moment.time_tag)) for moment in plan.moments
    )


def _text(values: Mapping[Tag, str | Element], tag: Tag) -> str:
    value = values.get(tag)
    return (text_of(value) or "") if isinstance(value, Element) else value or ""
