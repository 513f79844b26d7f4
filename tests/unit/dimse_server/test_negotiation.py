"""Who is let in and on what terms: a function from a proposal to an answer."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import ClassVar

import pytest

from amonsul.archive.modalities import Modality
from amonsul.blobs.spool import Spool
from amonsul.dimse_server.echo import EchoService
from amonsul.dimse_server.negotiation import Accepted, accepted_transfer_syntaxes, is_allowed, negotiate
from amonsul.dimse_server.service import Answer, Exchange, Right, Service, ServiceTable
from amonsul.dimse_server.settings import AlwaysAllowed, DimseSettings, DimseSwitches
from amonsul.dimse_server.store import StoreService
from amonsul.protocols.dimse.commands import CFindRq, Request
from amonsul.protocols.upper_layer.items import (
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UserIdentity,
    UserInformation,
)
from amonsul.protocols.upper_layer.pdu import AAssociateRj, AAssociateRq

VERIFICATION, CT, MR = "1.2.840.10008.1.1", "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.4"
FIND = "1.2.840.10008.5.1.4.1.2.2.1"
IMPLICIT, EXPLICIT, BIG = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"
JPEG, JPEG_LOSSLESS, JPEG_2000 = "1.2.840.10008.1.2.4.50", "1.2.840.10008.1.2.4.70", "1.2.840.10008.1.2.4.90"
UNKNOWN = "1.2.826.0.1.999.7"


class Finder(Service):
    abstract_syntaxes = frozenset({FIND})
    requests: ClassVar[Mapping[type[Request], Right]] = {CFindRq: Right.FIND}

    def negotiate_extended(self, abstract_syntax: str, information: bytes) -> bytes | None:
        assert abstract_syntax == FIND
        return bytes(byte & 1 for byte in information[:2])

    def serve(self, exchange: Exchange) -> Iterable[Answer]:
        raise NotImplementedError


def _spool(limit: int) -> Spool:
    raise NotImplementedError


def _ingest(spooled: object, origin: object) -> object:
    raise NotImplementedError


SERVICES = ServiceTable([EchoService(), StoreService(_spool, _ingest), Finder()])  # type: ignore[arg-type]
SETTINGS = DimseSettings(ae_title="AMONSUL")
SWITCHES = DimseSwitches()


def proposal(
    *contexts: tuple[str, list[str]],
    calling: str = "PEER",
    called: str = "AMONSUL",
    user: UserInformation = UserInformation(max_pdu_length=65536),  # noqa: B008 - frozen
) -> AAssociateRq:
    proposed = contexts or ((VERIFICATION, [IMPLICIT]),)
    return AAssociateRq(
        called,
        calling,
        tuple(
            ProposedContext(2 * number + 1, abstract, tuple(syntaxes))
            for number, (abstract, syntaxes) in enumerate(proposed)
        ),
        user,
    )


def accept(request: AAssociateRq, settings: DimseSettings = SETTINGS, switches: DimseSwitches = SWITCHES) -> Accepted:
    outcome = negotiate(request, "10.0.0.9", settings, switches, SERVICES)
    assert isinstance(outcome, Accepted)
    return outcome


def outcome_of(
    abstract: str, *syntaxes: str, settings: DimseSettings = SETTINGS, switches: DimseSwitches = SWITCHES
) -> tuple[int, str]:
    """Result and transfer syntax for one context."""
    accepted = accept(proposal((abstract, list(syntaxes))), settings, switches)
    (answer,) = accepted.answer.presentation_contexts
    context = accepted.association.contexts.get(1)
    assert (context is not None) == (answer.result == 0)
    return answer.result, context.transfer_syntax if context is not None else ""


@pytest.mark.parametrize(
    ("abstract", "syntaxes", "result", "chosen"),
    [
        (CT, [IMPLICIT, EXPLICIT], 0, IMPLICIT),
        (CT, [EXPLICIT, IMPLICIT], 0, EXPLICIT),
        (CT, [JPEG_LOSSLESS, EXPLICIT, IMPLICIT], 0, JPEG_LOSSLESS),
        (CT, [IMPLICIT, JPEG_2000], 0, IMPLICIT),
        (CT, [BIG], 0, BIG),
        (CT, ["1.2.3.4"], 3, ""),
        (CT, ["1.2.3.4", JPEG_2000], 0, JPEG_2000),
        (VERIFICATION, [EXPLICIT, IMPLICIT], 0, EXPLICIT),
        (VERIFICATION, [IMPLICIT, EXPLICIT], 0, EXPLICIT),
        (VERIFICATION, [IMPLICIT], 0, IMPLICIT),
        (VERIFICATION, [JPEG], 4, ""),
        (FIND, [IMPLICIT, BIG], 0, IMPLICIT),
        (UNKNOWN, [IMPLICIT], 3, ""),
        ("1.2.840.10008.5.1.4.1.2.3.1", [IMPLICIT], 3, ""),
    ],
)
def test_transfer_syntaxes_are_chosen(abstract: str, syntaxes: list[str], result: int, chosen: str) -> None:
    assert outcome_of(abstract, *syntaxes) == (result, chosen)


@pytest.mark.parametrize(
    ("syntaxes", "result", "chosen"),
    [
        ([IMPLICIT, EXPLICIT], 0, EXPLICIT),
        ([JPEG_2000, IMPLICIT], 0, IMPLICIT),
        ([JPEG_2000, JPEG], 0, JPEG_2000),
        (["1.2.3.4"], 3, ""),
    ],
)
def test_unknown_sop_classes_are_taken_where_the_switch_says_so(syntaxes: list[str], result: int, chosen: str) -> None:
    switches = DimseSwitches(unknown_sop_class_accepted=lambda: True)
    assert outcome_of(UNKNOWN, *syntaxes, switches=switches) == (result, chosen)


def test_what_is_no_uid_is_no_unknown_sop_class() -> None:
    switches = DimseSwitches(unknown_sop_class_accepted=lambda: True)
    assert outcome_of("../../etc/passwd", IMPLICIT, switches=switches) == (3, "")


def test_restricted_transfer_syntaxes_bind_storage_alone() -> None:
    switches = DimseSwitches(accepted_transfer_syntaxes=lambda: [EXPLICIT])
    assert outcome_of(CT, IMPLICIT, switches=switches) == (3, "")
    assert outcome_of(CT, IMPLICIT, EXPLICIT, switches=switches) == (0, EXPLICIT)
    assert outcome_of(VERIFICATION, IMPLICIT, switches=switches) == (0, IMPLICIT)


def test_switches_are_asked_for_every_association() -> None:
    accepted = [EXPLICIT]
    switches = DimseSwitches(accepted_transfer_syntaxes=lambda: accepted)
    before = outcome_of(CT, IMPLICIT, switches=switches)
    accepted.append(IMPLICIT)
    assert (before, outcome_of(CT, IMPLICIT, switches=switches)) == ((3, ""), (0, IMPLICIT))


@pytest.mark.parametrize(
    ("patterns", "included", "excluded"),
    [
        (["1.2.840.10008.1.*"], [IMPLICIT, EXPLICIT, BIG, JPEG, "1.2.840.10008.1.2.1.99"], ["1.2.3", CT]),
        (["*"], [IMPLICIT, JPEG], ["1.2.3"]),
        (["1.2.840.10008.1.2.4.5?"], [JPEG], [JPEG_LOSSLESS, IMPLICIT]),
        ([IMPLICIT], [IMPLICIT], [EXPLICIT]),
        (["1.2.840.10008.1.[2]"], [], [IMPLICIT]),
        (["1x2y840*"], [], [IMPLICIT]),
        (["1.2.3"], [], ["1.2.3"]),
        ([], [], [IMPLICIT]),
    ],
)
def test_patterns_stand_for_known_transfer_syntaxes(
    patterns: list[str], included: list[str], excluded: list[str]
) -> None:
    found = accepted_transfer_syntaxes(tuple(patterns))
    assert found >= set(included)
    assert not found & set(excluded)


def test_sop_classes_can_be_limited() -> None:
    only_ct = replace(SETTINGS, accepted_sop_classes=(CT,))
    all_but_ct = replace(SETTINGS, rejected_sop_classes=(CT,))
    images_but_mr = replace(SETTINGS, accepted_sop_classes=("1.2.840.10008.5.1.4.1.1.*",), rejected_sop_classes=(MR,))
    assert [outcome_of(uid, IMPLICIT, settings=only_ct)[0] for uid in (CT, MR, VERIFICATION)] == [0, 3, 0]
    assert [outcome_of(uid, IMPLICIT, settings=all_but_ct)[0] for uid in (CT, MR, VERIFICATION)] == [3, 0, 0]
    assert [outcome_of(uid, IMPLICIT, settings=images_but_mr)[0] for uid in (CT, MR)] == [0, 3]


def test_an_association_without_any_context_is_accepted() -> None:
    accepted = accept(proposal((UNKNOWN, [IMPLICIT])))
    assert accepted.association.contexts == {}


def test_roles_are_given_where_the_service_has_them() -> None:
    user = UserInformation(
        roles=(
            RoleSelection(CT, scu=False, scp=True),
            RoleSelection(MR, scu=True, scp=True),
            RoleSelection(FIND, scu=True, scp=True),
            RoleSelection(UNKNOWN, scu=True, scp=True),
        )
    )
    accepted = accept(
        proposal((CT, [IMPLICIT]), (MR, [IMPLICIT]), (FIND, [IMPLICIT]), (VERIFICATION, [IMPLICIT]), user=user)
    )
    assert accepted.answer.user_information.roles == (
        RoleSelection(CT, scu=False, scp=True),
        RoleSelection(MR, scu=True, scp=True),
        RoleSelection(FIND, scu=True, scp=False),
    )
    roles = [(context.peer_is_scu, context.peer_is_scp) for context in accepted.association.contexts.values()]
    assert roles == [(False, True), (True, True), (True, False), (True, False)]


def test_extended_negotiation_is_answered_by_the_service() -> None:
    user = UserInformation(
        extended_negotiations=(
            ExtendedNegotiation(FIND, b"\1\3\7"),
            ExtendedNegotiation(CT, b"\2"),
            ExtendedNegotiation(UNKNOWN, b"\1"),
        )
    )
    accepted = accept(proposal((FIND, [IMPLICIT]), (CT, [IMPLICIT]), user=user))
    assert accepted.answer.user_information.extended_negotiations == (ExtendedNegotiation(FIND, b"\1\1"),)
    assert accepted.association.extended_negotiations == {FIND: b"\1\3\7", CT: b"\2", UNKNOWN: b"\1"}


def test_the_user_identity_is_kept_and_not_answered() -> None:
    identity = UserIdentity(2, True, b"alice", b"secret")
    accepted = accept(proposal(user=UserInformation(user_identity=identity)))
    assert accepted.association.user_identity == identity
    assert accepted.answer.user_information.user_identity_response is None


@pytest.mark.parametrize(
    ("theirs", "configured", "ours"),
    [
        (65536, None, 131072),
        (0, None, 131072),
        (16384, None, 131072),
        (16382, None, 16384),
        (16382, 32768, 32768),
        (0, 4096, 4096),
    ],
)
def test_the_maximum_pdu_length_is_offered(theirs: int, configured: int | None, ours: int) -> None:
    accepted = accept(
        proposal(user=UserInformation(max_pdu_length=theirs)), replace(SETTINGS, max_pdu_length=configured)
    )
    assert accepted.answer.user_information.max_pdu_length == ours
    assert accepted.association.max_pdu_length == theirs


FRIEND = Modality("FRIEND", "10.0.0.9", 104)
NOTHING_FOR_STRANGERS = AlwaysAllowed(echo=False, store=False)
STRICT = DimseSettings(
    ae_title="AMONSUL", always_allowed=NOTHING_FOR_STRANGERS, check_called_aet=True, strict_aet_comparison=True
)
LENIENT = replace(STRICT, strict_aet_comparison=False)
KNOWN = DimseSwitches(modalities=lambda: {"friend": FRIEND})


@pytest.mark.parametrize(
    ("request_", "settings", "reason"),
    [
        (proposal(calling="FRIEND"), STRICT, None),
        (proposal(calling="friend"), STRICT, 3),
        (proposal(calling="friend"), LENIENT, None),
        (proposal(calling="STRANGER"), STRICT, 3),
        (proposal(calling="STRANGER"), SETTINGS, None),
        (proposal(calling="FRIEND", called="OTHER"), STRICT, 7),
        (proposal(calling="FRIEND", called="amonsul"), STRICT, 7),
        (proposal(calling="FRIEND", called="amonsul"), LENIENT, None),
        (proposal(calling="FRIEND", called="OTHER"), SETTINGS, None),
        (proposal(calling="FRIEND"), replace(STRICT, check_modality_host=True), None),
    ],
)
def test_ae_titles_decide_who_comes_in(request_: AAssociateRq, settings: DimseSettings, reason: int | None) -> None:
    outcome = negotiate(request_, "10.0.0.9", settings, KNOWN, SERVICES)
    if reason is None:
        assert isinstance(outcome, Accepted)
    else:
        assert outcome == AAssociateRj(1, 1, reason)


def test_a_modality_may_have_to_come_from_its_host(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(host: str, port: None, type: int) -> list[tuple[int, int, int, str, tuple[str, int]]]:
        if host == "gone":
            raise OSError
        return [(2, 1, 6, "", ("127.0.0.1" if host == "localhost" else host, 0))]

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    settings = replace(STRICT, check_modality_host=True)
    request = proposal(calling="FRIEND")
    assert negotiate(request, "10.0.0.8", settings, KNOWN, SERVICES) == AAssociateRj(1, 1, 3)
    named = DimseSwitches(modalities=lambda: {"local": Modality("FRIEND", "localhost", 104)})
    assert isinstance(negotiate(request, "127.0.0.1", settings, named, SERVICES), Accepted)
    unresolvable = DimseSwitches(modalities=lambda: {"gone": Modality("FRIEND", "gone", 104)})
    assert negotiate(request, "127.0.0.1", settings, unresolvable, SERVICES) == AAssociateRj(1, 1, 3)


def test_of_modalities_with_one_title_that_of_the_address_counts() -> None:
    here, there = replace(FRIEND, allow_store=False), replace(FRIEND, host="10.0.0.1")
    switches = DimseSwitches(modalities=lambda: {"there": there, "here": here})
    assert accept(proposal(calling="FRIEND"), SETTINGS, switches).association.modality == here


def test_another_application_context_is_rejected() -> None:
    request = replace(proposal(), application_context_name="1.2.3")
    assert negotiate(request, "10.0.0.9", SETTINGS, SWITCHES, SERVICES) == AAssociateRj(1, 1, 2)


def test_a_peer_that_takes_next_to_nothing_is_rejected() -> None:
    request = proposal(user=UserInformation(max_pdu_length=7))
    assert negotiate(request, "10.0.0.9", SETTINGS, SWITCHES, SERVICES) == AAssociateRj(1, 3, 2)


@pytest.mark.parametrize("right", list(Right))
def test_a_known_modality_may_what_it_may(right: Right) -> None:
    nothing = Modality(
        "A",
        "h",
        1,
        allow_echo=False,
        allow_find=False,
        allow_find_worklist=False,
        allow_get=False,
        allow_move=False,
        allow_store=False,
        allow_n_action=False,
        allow_event_report=False,
    )
    assert is_allowed(right, FRIEND, NOTHING_FOR_STRANGERS)
    assert not is_allowed(right, nothing, NOTHING_FOR_STRANGERS)
    assert not is_allowed(right, None, NOTHING_FOR_STRANGERS)


def test_what_everybody_may_nobody_is_refused() -> None:
    everything = AlwaysAllowed(find=True, find_worklist=True, get=True, move=True)
    assert [right for right in Right if not is_allowed(right, None, everything)] == [Right.N_ACTION, Right.EVENT_REPORT]


def test_contexts_can_be_asked_for_by_transfer_syntax() -> None:
    association = accept(proposal((CT, [IMPLICIT]), (CT, [JPEG]), (MR, [EXPLICIT]))).association
    found = [
        association.context_for(CT),
        association.context_for(CT, JPEG, IMPLICIT),
        association.context_for(CT, EXPLICIT, IMPLICIT),
        association.context_for(MR, JPEG),
        association.context_for(FIND),
    ]
    assert [context.context_id if context is not None else None for context in found] == [1, 3, 1, None, None]
