"""What C-MOVE and C-GET have in common: which instances are meant, and the sub-operations counted (PS3.4 §C.4.2).

The unique key of the level says what is meant, alone or in a list; unique keys above it must hold, too, if they are
given. Nothing else restricts, as the Standard has it, but for Accession Number, which may stand for the study.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from amonsul.archive import find
from amonsul.archive.context import Archive
from amonsul.dicom.answer_encoding import encode_elements
from amonsul.dicom.elements import Element, Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.matching import SingleValue, WildCard
from amonsul.dicom.query import Constraint, Query, View
from amonsul.dimse_server.query import Identifier, InvalidIdentifier
from amonsul.dimse_server.service import Answer
from amonsul.protocols.dimse.commands import CGetRq, CGetRsp, CMoveRq, CMoveRsp
from amonsul.protocols.dimse.statuses import Category, RetrieveStatus, Status, category

LOOKED_UP_TOGETHER: Final = 500
"""Instances whose description is read from the index at once."""

_UNIQUE_KEYS: Final = (Tag(0x00100020), Tag(0x0020000D), Tag(0x0020000E), Tag(0x00080018))
"""By level."""
_ACCESSION_NUMBER: Final = Tag(0x00080050)
_FAILED_SOP_INSTANCE_UID_LIST: Final = Tag(0x00080058)
_MAX_LIST: Final = 0xFFFE
_MAX_COUNT: Final = 0xFFFF


def instances_meant(
    archive: Archive, identifier: Identifier, *, needs_level: bool, view: View | None = None
) -> list[OrthancId]:
    """The instances to be sent, in order of arrival.

    Args:
        archive: where they are.
        identifier: of the request.
        needs_level: otherwise an identifier without level has that of the lowest unique key it gives.
        view: of whom asks; None sees everything.

    Raises:
        InvalidIdentifier: no level, or no unique key.
    """
    constraints = {key.tag: _constraint(key.tag, key.match) for key in identifier.keys if key.restricts}
    level = identifier.level
    if level is None:
        given = [] if needs_level else [own for own in Level if _UNIQUE_KEYS[own] in constraints]
        if not given:
            raise InvalidIdentifier("a retrieval without Query/Retrieve Level")
        level = given[-1]
    wanted = [constraints[tag] for tag in _UNIQUE_KEYS[: level + 1] if tag in constraints]
    if level is Level.STUDY and _ACCESSION_NUMBER in constraints:
        wanted.append(constraints[_ACCESSION_NUMBER])
    if not any(constraint.tag in (_UNIQUE_KEYS[level], _ACCESSION_NUMBER) for constraint in wanted):
        raise InvalidIdentifier("a retrieval without the unique key of its level")
    found: list[OrthancId] = []
    for resources in find.iterate(archive, Query(level, tuple(wanted), view=view)):
        for resource in resources:
            if level is Level.INSTANCE:
                found.append(resource.orthanc_id)
            else:
                found += find.instances_seen(archive, level, resource.orthanc_id, view)
    return found


def _constraint(tag: Tag, match: object) -> Constraint:
    """A key of a retrieval holds no wildcards: a star is a star."""
    if isinstance(match, WildCard):
        match = SingleValue(match.pattern)
    return Constraint(tag, match)  # type: ignore[arg-type]


def chunks(instance_ids: list[OrthancId], size: int = LOOKED_UP_TOGETHER) -> Iterator[list[OrthancId]]:
    """A long list in parts."""
    return (instance_ids[at : at + size] for at in range(0, len(instance_ids), size))


@dataclass(slots=True)
class Account:
    """Sub-operations, counted.

    Attributes:
        request: whose sub-operations they are.
        transfer_syntax_uid: of the context that is answered in.
        counts_warnings: apart; otherwise as completed.
    """

    request: CGetRq | CMoveRq
    transfer_syntax_uid: str
    remaining: int
    counts_warnings: bool = True
    completed: int = 0
    failed: int = 0
    warning: int = 0
    refused: int = 0
    failed_uids: list[str] = field(default_factory=list)

    def add(self, status: int, sop_instance_uid: str, *, was_sent: bool = True) -> None:
        """Note how one has ended."""
        self.remaining -= 1
        match category(status):
            case Category.SUCCESS:
                self.completed += 1
            case Category.WARNING:
                if self.counts_warnings:
                    self.warning += 1
                else:
                    self.completed += 1
            case _:
                self.failed += 1
                self.refused += was_sent
                if sop_instance_uid:
                    self.failed_uids.append(sop_instance_uid)

    def pending(self) -> Answer:
        """How far it is."""
        return self._answer(Status.PENDING, has_list=False)

    def cancelled(self) -> Answer:
        """The end, before all is done."""
        return self._answer(Status.CANCEL, has_list=True)

    def final(self) -> Answer:
        """The end (PS3.4 Tables C.4-2, C.4-3)."""
        if self.failed and not self.completed and not self.warning:
            nothing = RetrieveStatus.OUT_OF_RESOURCES_UNABLE_TO_PERFORM_SUBOPERATIONS
            status = nothing if self.refused else RetrieveStatus.UNABLE_TO_PROCESS
            return self._answer(status, has_list=status == nothing)
        if self.failed or self.warning:
            return self._answer(RetrieveStatus.SUBOPERATIONS_COMPLETE_WITH_FAILURES, has_list=True)
        return self._answer(Status.SUCCESS, has_list=False)

    def _answer(self, status: int, *, has_list: bool) -> Answer:
        data_set = None
        if has_list and self.failed_uids:
            uids = "\\".join(self.failed_uids)
            if len(uids) > _MAX_LIST:
                uids = uids[:_MAX_LIST].rpartition("\\")[0]
            data_set = encode_elements(
                {_FAILED_SOP_INSTANCE_UID_LIST: Element("UI", uids)}, self.transfer_syntax_uid, ""
            )
        shows_remaining = status in (Status.PENDING, Status.CANCEL)
        response = CGetRsp if isinstance(self.request, CGetRq) else CMoveRsp
        return Answer(
            response(
                self.request.message_id,
                status,
                self.request.affected_sop_class_uid,
                min(self.remaining, _MAX_COUNT) if shows_remaining else None,
                min(self.completed, _MAX_COUNT),
                min(self.failed, _MAX_COUNT),
                min(self.warning, _MAX_COUNT),
                has_data_set=data_set is not None,
            ),
            data_set,
        )


def nothing_done(request: CGetRq | CMoveRq, status: int, comment: str = "") -> Answer:
    """The only answer to a request that comes to no sub-operation."""
    response = CGetRsp if isinstance(request, CGetRq) else CMoveRsp
    return Answer(
        response(
            request.message_id,
            status,
            request.affected_sop_class_uid,
            None,
            0,
            0,
            0,
            error_comment=comment[:64] or None,
        )
    )
