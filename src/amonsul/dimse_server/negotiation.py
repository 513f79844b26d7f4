"""Whether an association is accepted, and on what terms (PS3.8 §7.1.1, PS3.7 Annex D).

A function from the proposal and what the operator allows to an answer. It runs in a thread, because modalities may
come from the database and host names from a resolver.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

from amonsul.archive.modalities import Modality, find_by_ae_title
from amonsul.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from amonsul.dicom.uids import (
    EXPLICIT_VR_BIG_ENDIAN,
    EXPLICIT_VR_LITTLE_ENDIAN,
    IMPLICIT_VR_LITTLE_ENDIAN,
    is_valid,
    transfer_syntaxes,
)
from amonsul.dimse_server.service import Association, Context, Right, Service, ServiceTable
from amonsul.dimse_server.settings import (
    DEFAULT_MAX_PDU_LENGTH,
    SMALL_MAX_PDU_LENGTH,
    AlwaysAllowed,
    DimseSettings,
    DimseSwitches,
)
from amonsul.protocols.dimse.messages import MIN_PDU_LENGTH
from amonsul.protocols.upper_layer.items import (
    APPLICATION_CONTEXT_NAME,
    AnsweredContext,
    ContextResult,
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UserInformation,
)
from amonsul.protocols.upper_layer.pdu import (
    AAssociateAc,
    AAssociateRj,
    AAssociateRq,
    PresentationRejectReason,
    RejectResult,
    RejectSource,
    UserRejectReason,
)

UNCOMPRESSED: Final = (EXPLICIT_VR_LITTLE_ENDIAN, IMPLICIT_VR_LITTLE_ENDIAN, EXPLICIT_VR_BIG_ENDIAN)
"""What requests and identifiers may be written in, best first."""

_RESOLVED_FOR_S: Final = 60


@dataclass(frozen=True, slots=True)
class Accepted:
    """The answer to send, and what it means."""

    answer: AAssociateAc
    association: Association


def negotiate(
    request: AAssociateRq, remote_ip: str, settings: DimseSettings, switches: DimseSwitches, services: ServiceTable
) -> Accepted | AAssociateRj:
    """Answer a proposal. May block."""
    refusal = _refusal(request, settings)
    if refusal is not None:
        return refusal
    modality = _modality(request.calling_ae_title, remote_ip, settings, switches.modalities())
    if modality is None and not _allows_anything(settings.always_allowed):
        return _rejected_by_user(UserRejectReason.CALLING_AE_TITLE_NOT_RECOGNIZED)

    terms = _Terms(
        settings,
        services,
        accepted_transfer_syntaxes(tuple(switches.accepted_transfer_syntaxes())),
        switches.unknown_sop_class_accepted(),
    )
    answers = tuple(map(terms.answer, request.presentation_contexts))
    proposed = {context.context_id: context for context in request.presentation_contexts}
    roles = {role.sop_class_uid: terms.role(role) for role in request.user_information.roles}
    contexts = {
        answer.context_id: _context(proposed[answer.context_id].abstract_syntax, answer, roles)
        for answer in answers
        if answer.result is ContextResult.ACCEPTANCE
    }
    agreed = {context.abstract_syntax for context in contexts.values()}
    user = request.user_information
    answer = AAssociateAc(
        request.called_ae_title,
        request.calling_ae_title,
        answers,
        UserInformation(
            max_pdu_length=max_pdu_length_for(user.max_pdu_length, settings),
            implementation_class_uid=IMPLEMENTATION_CLASS_UID,
            implementation_version_name=IMPLEMENTATION_VERSION_NAME,
            roles=tuple(role for role in roles.values() if role.sop_class_uid in agreed),
            extended_negotiations=tuple(terms.extended(user.extended_negotiations, agreed)),
        ),
    )
    association = Association(
        request.calling_ae_title,
        request.called_ae_title,
        remote_ip,
        contexts,
        user.max_pdu_length,
        modality,
        user.user_identity,
        {item.sop_class_uid: item.application_information for item in user.extended_negotiations},
        request,
    )
    return Accepted(answer, association)


def is_allowed(right: Right, modality: Modality | None, always_allowed: AlwaysAllowed) -> bool:
    """Whether a peer may ask something: everybody may, or this modality."""
    match right:
        case Right.ECHO:
            return always_allowed.echo or (modality is not None and modality.allow_echo)
        case Right.STORE:
            return always_allowed.store or (modality is not None and modality.allow_store)
        case Right.FIND:
            return always_allowed.find or (modality is not None and modality.allow_find)
        case Right.FIND_WORKLIST:
            return always_allowed.find_worklist or (modality is not None and modality.allow_find_worklist)
        case Right.GET:
            return always_allowed.get or (modality is not None and modality.allow_get)
        case Right.MOVE:
            return always_allowed.move or (modality is not None and modality.allow_move)
        case Right.N_ACTION:
            return modality is not None and modality.allow_n_action
        case Right.EVENT_REPORT:
            return modality is not None and modality.allow_event_report


def max_pdu_length_for(max_pdu_length_of_peer: int, settings: DimseSettings) -> int:
    """What we offer to take in one PDU."""
    if settings.max_pdu_length is not None:
        return settings.max_pdu_length
    if 0 < max_pdu_length_of_peer < SMALL_MAX_PDU_LENGTH:
        return SMALL_MAX_PDU_LENGTH
    return DEFAULT_MAX_PDU_LENGTH


@lru_cache(maxsize=64)
def accepted_transfer_syntaxes(patterns: tuple[str, ...]) -> frozenset[str]:
    """The known transfer syntaxes that one of the patterns fits."""
    matches = [_pattern(pattern) for pattern in patterns]
    return frozenset(uid for uid in transfer_syntaxes() if any(match.fullmatch(uid) for match in matches))


@lru_cache(maxsize=1024)
def _pattern(pattern: str) -> re.Pattern[str]:
    return re.compile(re.escape(pattern).replace(r"\*", ".*").replace(r"\?", "."))


def _fits(uid: str, patterns: Iterable[str]) -> bool:
    return any(_pattern(pattern).fullmatch(uid) for pattern in patterns)


def _rejected_by_user(reason: UserRejectReason) -> AAssociateRj:
    return AAssociateRj(RejectResult.PERMANENT, RejectSource.SERVICE_USER, reason)


def _refusal(request: AAssociateRq, settings: DimseSettings) -> AAssociateRj | None:
    if request.application_context_name != APPLICATION_CONTEXT_NAME:
        return _rejected_by_user(UserRejectReason.APPLICATION_CONTEXT_NAME_NOT_SUPPORTED)
    if 0 < request.user_information.max_pdu_length < MIN_PDU_LENGTH:
        return AAssociateRj(
            RejectResult.PERMANENT,
            RejectSource.SERVICE_PROVIDER_PRESENTATION,
            PresentationRejectReason.LOCAL_LIMIT_EXCEEDED,
        )
    if settings.check_called_aet:
        called, ours = request.called_ae_title, settings.ae_title
        if called != ours and (settings.strict_aet_comparison or called.upper() != ours.upper()):
            return _rejected_by_user(UserRejectReason.CALLED_AE_TITLE_NOT_RECOGNIZED)
    return None


def _modality(
    ae_title: str, remote_ip: str, settings: DimseSettings, modalities: Mapping[str, Modality]
) -> Modality | None:
    """The modality that a peer is. Of several with one AE title, that of its address goes first."""
    candidates = find_by_ae_title(modalities, ae_title, strict=settings.strict_aet_comparison)
    if settings.check_modality_host:
        return next((modality for modality in candidates if remote_ip in _addresses(modality.host)), None)
    if len(candidates) > 1:
        return next((modality for modality in candidates if modality.host == remote_ip), candidates[0])
    return candidates[0] if candidates else None


def _addresses(host: str) -> frozenset[str]:
    return _resolve(host, int(time.monotonic()) // _RESOLVED_FOR_S)


@lru_cache(maxsize=1024)
def _resolve(host: str, minute: int) -> frozenset[str]:  # noqa: ARG001 - a key, so that names are asked for again
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except OSError:
        return frozenset()
    return frozenset(str(address[0]) for *_, address in found)


def _allows_anything(always_allowed: AlwaysAllowed) -> bool:
    return any(is_allowed(right, None, always_allowed) for right in Right)


def _context(abstract_syntax: str, answer: AnsweredContext, roles: Mapping[str, RoleSelection]) -> Context:
    role = roles.get(abstract_syntax)
    if role is None:
        return Context(answer.context_id, abstract_syntax, answer.transfer_syntax)
    return Context(answer.context_id, abstract_syntax, answer.transfer_syntax, role.scu, role.scp)


@dataclass(frozen=True, slots=True)
class _Terms:
    """What presentation contexts are answered from."""

    settings: DimseSettings
    services: ServiceTable
    transfer_syntaxes: Collection[str]
    unknown_sop_class_accepted: bool

    def service(self, abstract_syntax: str) -> Service | None:
        """Who serves an abstract syntax, as far as the settings let it."""
        service = self.services.get(abstract_syntax)
        if service is None and self.unknown_sop_class_accepted and is_valid(abstract_syntax):
            service = self.services.storage
        if service is not None and service.is_storage:
            accepted, rejected = self.settings.accepted_sop_classes, self.settings.rejected_sop_classes
            if (accepted is not None and not _fits(abstract_syntax, accepted)) or _fits(abstract_syntax, rejected):
                return None
        return service

    def answer(self, proposed: ProposedContext) -> AnsweredContext:
        """Accept a presentation context or not."""
        service = self.service(proposed.abstract_syntax)
        if service is None:
            return self._refused(proposed, ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED)
        if not service.is_storage:
            chosen = next((uid for uid in UNCOMPRESSED if uid in proposed.transfer_syntaxes), None)
            refusal = ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED
        else:
            chosen = next((uid for uid in proposed.transfer_syntaxes if uid in self.transfer_syntaxes), None)
            refusal = ContextResult.ABSTRACT_SYNTAX_NOT_SUPPORTED
            if proposed.abstract_syntax not in service.abstract_syntaxes:  # an unknown SOP class
                usable = [uid for uid in proposed.transfer_syntaxes if uid in self.transfer_syntaxes]
                chosen = next((uid for uid in UNCOMPRESSED if uid in usable), chosen)
        if chosen is None:
            return self._refused(proposed, refusal)
        return AnsweredContext(proposed.context_id, ContextResult.ACCEPTANCE, chosen)

    def role(self, proposed: RoleSelection) -> RoleSelection:
        """Which of the proposed roles the peer gets."""
        service = self.service(proposed.sop_class_uid)
        scp = proposed.scp and service is not None and service.peer_may_be_scp
        return RoleSelection(proposed.sop_class_uid, proposed.scu, scp)

    def extended(
        self, proposed: Iterable[ExtendedNegotiation], agreed: Collection[str]
    ) -> Iterable[ExtendedNegotiation]:
        """Answer extended negotiations of the SOP classes agreed on."""
        for item in proposed:
            service = self.service(item.sop_class_uid)
            if service is not None and item.sop_class_uid in agreed:
                information = service.negotiate_extended(item.sop_class_uid, item.application_information)
                if information is not None:
                    yield ExtendedNegotiation(item.sop_class_uid, information)

    @staticmethod
    def _refused(proposed: ProposedContext, result: ContextResult) -> AnsweredContext:
        return AnsweredContext(proposed.context_id, result, proposed.transfer_syntaxes[0])
