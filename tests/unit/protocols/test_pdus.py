"""The seven PDUs and their items: vectors from PS3.8, pynetdicom as the other opinion, and every way to be wrong."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pynetdicom.pdu import A_ASSOCIATE_AC, A_ASSOCIATE_RQ, P_DATA_TF
from pynetdicom.pdu_items import UserIdentitySubItemRQ

from amonsul.protocols.upper_layer.errors import AbortReason, LimitExceeded, LocalProtocolError, PduError
from amonsul.protocols.upper_layer.items import (
    AnsweredContext,
    AsynchronousOperationsWindow,
    CommonExtendedNegotiation,
    ContextResult,
    ExtendedNegotiation,
    ProposedContext,
    RoleSelection,
    UnknownItem,
    UserIdentity,
    UserInformation,
    write_item,
)
from amonsul.protocols.upper_layer.pdu import (
    AAbort,
    AAssociateAc,
    AAssociateRj,
    AAssociateRq,
    AReleaseRp,
    AReleaseRq,
    PDataTf,
    Pdu,
    PduType,
    Pdv,
    decode,
    encode_p_data,
)

VERIFICATION = "1.2.840.10008.1.1"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"

EVERYTHING = UserInformation(
    max_pdu_length=16382,
    implementation_class_uid="1.2.3.4",
    implementation_version_name="TEST_1",
    asynchronous_operations_window=AsynchronousOperationsWindow(3, 0),
    roles=(RoleSelection(CT, True, True), RoleSelection(VERIFICATION, False, True)),
    extended_negotiations=(ExtendedNegotiation("1.2.840.10008.5.1.4.1.2.2.1", b"\1\1\0\1"),),
    common_extended_negotiations=(
        CommonExtendedNegotiation(CT, "1.2.840.10008.4.2", ("1.2.840.10008.5.1.4.1.1.88.22", "1.2.3")),
    ),
    user_identity=UserIdentity(2, True, b"alice", b"secret"),
)

REQUEST = AAssociateRq(
    "CALLED",
    "CALLING",
    (ProposedContext(1, VERIFICATION, (IMPLICIT,)), ProposedContext(3, CT, (EXPLICIT, IMPLICIT))),
    EVERYTHING,
)

ANSWER = AAssociateAc(
    "CALLED",
    "CALLING",
    (
        AnsweredContext(1, ContextResult.ACCEPTANCE, IMPLICIT),
        AnsweredContext(3, ContextResult.TRANSFER_SYNTAXES_NOT_SUPPORTED, ""),
    ),
    UserInformation(16384, "1.2.3.4", "TEST_1", user_identity_response=b"token"),
)

# PS3.8 Tables 9-11 to 9-26, by hand
SMALL_REQUEST = (
    b"\x01\x00\x00\x00\x00\x9b"  # A-ASSOCIATE-RQ, 155 bytes follow
    b"\x00\x01\x00\x00"  # protocol version 1
    b"CALLED          CALLING         " + bytes(32) +
    b"\x10\x00\x00\x15" b"1.2.840.10008.3.1.1.1"  # application context name
    b"\x20\x00\x00\x2e\x01\x00\x00\x00"  # presentation context 1
    b"\x30\x00\x00\x11" b"1.2.840.10008.1.1"  # abstract syntax
    b"\x40\x00\x00\x11" b"1.2.840.10008.1.2"  # transfer syntax
    b"\x50\x00\x00\x08"  # user information
    b"\x51\x00\x00\x04\x00\x00\x40\x00"  # maximum length 16384
)  # fmt: skip

FIXED: list[tuple[Pdu, bytes]] = [
    (AAssociateRj(1, 1, 7), b"\x03\x00\x00\x00\x00\x04\x00\x01\x01\x07"),
    (AReleaseRq(), b"\x05\x00\x00\x00\x00\x04\x00\x00\x00\x00"),
    (AReleaseRp(), b"\x06\x00\x00\x00\x00\x04\x00\x00\x00\x00"),
    (AAbort(2, 1), b"\x07\x00\x00\x00\x00\x04\x00\x00\x02\x01"),
    (
        PDataTf((Pdv(3, True, True, b"abcd"), Pdv(3, False, False, b"x"))),
        b"\x04\x00\x00\x00\x00\x11" b"\x00\x00\x00\x06\x03\x03abcd" b"\x00\x00\x00\x03\x03\x00x",
    ),
]  # fmt: skip


def read(pdu: bytes) -> Pdu:
    assert int.from_bytes(pdu[2:6], "big") == len(pdu) - 6
    return decode(pdu[0], memoryview(pdu)[6:])


@pytest.mark.parametrize(("pdu", "data"), FIXED, ids=lambda value: type(value).__name__)
def test_the_short_pdus_are_as_the_standard_draws_them(pdu: Pdu, data: bytes) -> None:
    assert pdu.encode() == data
    assert read(data) == pdu


def test_a_small_request_is_as_the_standard_draws_it() -> None:
    request = AAssociateRq(
        "CALLED", "CALLING", (ProposedContext(1, VERIFICATION, (IMPLICIT,)),), UserInformation(16384)
    )
    assert request.encode() == SMALL_REQUEST
    assert read(SMALL_REQUEST) == request


def test_a_request_with_every_item_survives() -> None:
    assert read(REQUEST.encode()) == REQUEST


def test_an_answer_survives() -> None:
    assert read(ANSWER.encode()) == ANSWER


def test_pynetdicom_reads_our_request() -> None:
    theirs = A_ASSOCIATE_RQ()
    theirs.decode(REQUEST.encode())
    assert theirs.called_ae_title == "CALLED"
    assert [str(context.abstract_syntax) for context in theirs.presentation_context] == [VERIFICATION, CT]
    primitive = theirs.to_primitive()
    assert primitive.maximum_length_received == 16382
    user = theirs.user_information
    assert user is not None
    assert isinstance(user.user_identity, UserIdentitySubItemRQ)
    assert user.user_identity.primary_field == b"alice"
    assert {str(uid): (role.scu_role, role.scp_role) for uid, role in user.role_selection.items()} == {
        CT: (True, True),
        VERIFICATION: (False, True),
    }


def test_pynetdicom_reads_our_answer() -> None:
    theirs = A_ASSOCIATE_AC()
    theirs.decode(ANSWER.encode())
    assert [context.result for context in theirs.presentation_context] == [0, 4]
    assert theirs.user_information is not None
    assert theirs.user_information.maximum_length == 16384


def test_we_read_what_pynetdicom_writes() -> None:
    theirs = A_ASSOCIATE_RQ()
    theirs.decode(REQUEST.encode())
    assert read(theirs.encode()) == REQUEST


def test_pynetdicom_reads_our_data() -> None:
    theirs = P_DATA_TF()
    theirs.decode(encode_p_data([Pdv(5, True, True, b"abcd")]))
    assert [(item.context_id, item.data) for item in theirs.presentation_data_value_items] == [(5, b"\x03abcd")]


def test_unknown_items_of_the_user_information_are_kept() -> None:
    request = AAssociateRq(
        "A", "B", REQUEST.presentation_contexts, UserInformation(unknown=(UnknownItem(0x77, b"what?"),))
    )
    assert read(request.encode()) == request


def test_unknown_items_elsewhere_are_passed_over() -> None:
    data = REQUEST.encode() + write_item(0x60, b"later edition")
    body = memoryview(data)[6:]
    assert decode(PduType.A_ASSOCIATE_RQ, body) == REQUEST


def test_ae_titles_lose_their_padding() -> None:
    data = bytearray(REQUEST.encode())
    data[10:26] = b"  CALLED\0\0      "
    assert decode(1, memoryview(data)[6:]) == REQUEST


def test_secrets_are_not_shown() -> None:
    assert "secret" not in repr(REQUEST)
    assert "alice" not in repr(REQUEST)
    assert "token" not in repr(ANSWER)


@pytest.mark.parametrize("pdu", [REQUEST, ANSWER], ids=["RQ", "AC"])
def test_a_body_cut_anywhere_is_refused_or_read(pdu: Pdu) -> None:
    data = pdu.encode()
    for end in range(6, len(data)):
        try:
            decode(data[0], memoryview(data)[6:end])
        except PduError:
            continue
        assert data[end] in (0x50, 0x20, 0x21)  # the end of an item is the only place where a body may end


@given(st.binary(max_size=300), st.sampled_from(PduType))
def test_any_bytes_are_read_or_refused(body: bytes, pdu_type: PduType) -> None:
    try:
        decode(pdu_type, memoryview(body))
    except PduError:
        pass


@given(st.data())
def test_any_damage_is_read_or_refused(data: st.DataObject) -> None:
    body = bytearray((REQUEST.encode() if data.draw(st.booleans()) else ANSWER.encode())[6:])
    for _ in range(data.draw(st.integers(1, 4))):
        body[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
    for pdu_type in (PduType.A_ASSOCIATE_RQ, PduType.A_ASSOCIATE_AC):
        try:
            decode(pdu_type, memoryview(body))
        except PduError:
            pass


def request_with(*items: bytes) -> bytes:
    """The body of an A-ASSOCIATE-RQ with other variable items than it should have."""
    return SMALL_REQUEST[6:74] + b"".join(items)


APPLICATION_CONTEXT = write_item(0x10, b"1.2.840.10008.3.1.1.1")
ABSTRACT = write_item(0x30, VERIFICATION.encode())
TRANSFER = write_item(0x40, IMPLICIT.encode())
CONTEXT = write_item(0x20, b"\1\0\0\0" + ABSTRACT + TRANSFER)
USER = write_item(0x50, write_item(0x51, b"\0\0\x40\0"))

WRONG: dict[str, bytes] = {
    "without application context": request_with(CONTEXT, USER),
    "without presentation context": request_with(APPLICATION_CONTEXT, USER),
    "without user information": request_with(APPLICATION_CONTEXT, CONTEXT),
    "presentation context twice": request_with(APPLICATION_CONTEXT, CONTEXT, CONTEXT, USER),
    "even context ID": request_with(APPLICATION_CONTEXT, write_item(0x20, b"\2\0\0\0" + ABSTRACT + TRANSFER), USER),
    "short context": request_with(APPLICATION_CONTEXT, write_item(0x20, b"\1\0"), USER),
    "no abstract syntax": request_with(APPLICATION_CONTEXT, write_item(0x20, b"\1\0\0\0" + TRANSFER), USER),
    "two abstract syntaxes": request_with(
        APPLICATION_CONTEXT, write_item(0x20, b"\1\0\0\0" + ABSTRACT + ABSTRACT + TRANSFER), USER
    ),
    "no transfer syntax": request_with(APPLICATION_CONTEXT, write_item(0x20, b"\1\0\0\0" + ABSTRACT), USER),
    "item longer than the body": request_with(APPLICATION_CONTEXT, CONTEXT, b"\x50\0\xff\xff", USER[4:]),
    "item longer than its context": request_with(
        APPLICATION_CONTEXT, write_item(0x20, b"\1\0\0\0" + ABSTRACT + b"\x40\0\0\x20" + IMPLICIT.encode()), USER
    ),
    "half an item header": request_with(APPLICATION_CONTEXT, CONTEXT, USER, b"\x50\0"),
    "UID of 65 bytes": request_with(
        APPLICATION_CONTEXT, write_item(0x20, b"\1\0\0\0" + write_item(0x30, b"1" * 65) + TRANSFER), USER
    ),
    "UID with control characters": request_with(
        APPLICATION_CONTEXT, write_item(0x20, b"\1\0\0\0" + write_item(0x30, b"1.2\r\n3") + TRANSFER), USER
    ),
    "UID beyond ASCII": request_with(
        APPLICATION_CONTEXT, write_item(0x20, b"\1\0\0\0" + write_item(0x30, b"1.\xff") + TRANSFER), USER
    ),
    "maximum length of 3 bytes": request_with(APPLICATION_CONTEXT, CONTEXT, write_item(0x50, write_item(0x51, b"abc"))),
    "role longer than its item": request_with(
        APPLICATION_CONTEXT, CONTEXT, write_item(0x50, write_item(0x54, b"\x00\x09123\1\1"))
    ),
    "identity longer than its item": request_with(
        APPLICATION_CONTEXT, CONTEXT, write_item(0x50, write_item(0x58, b"\1\0\x00\x09abc"))
    ),
    "identity of one byte": request_with(APPLICATION_CONTEXT, CONTEXT, write_item(0x50, write_item(0x58, b"\1"))),
    "fixed fields cut": SMALL_REQUEST[6:40],
    "AE title with line feed": SMALL_REQUEST[6:10] + b"CALLED\r\n        " + SMALL_REQUEST[26:],
}


@pytest.mark.parametrize("body", WRONG.values(), ids=WRONG.keys())
def test_a_wrong_request_is_refused(body: bytes) -> None:
    with pytest.raises(PduError) as caught:
        decode(PduType.A_ASSOCIATE_RQ, memoryview(body))
    assert caught.value.reason is AbortReason.INVALID_PDU_PARAMETER_VALUE
    assert not isinstance(caught.value, LimitExceeded)


def test_128_contexts_are_read() -> None:
    contexts = tuple(ProposedContext(number, CT, (IMPLICIT,)) for number in range(1, 256, 2))
    request = AAssociateRq("A", "B", contexts, UserInformation())
    assert read(request.encode()) == request


@pytest.mark.parametrize(("count", "is_too_much"), [(64, False), (65, True)])
def test_64_transfer_syntaxes_are_the_limit(count: int, is_too_much: bool) -> None:
    syntaxes = tuple(f"1.2.{number}" for number in range(count))
    request = AAssociateRq("A", "B", (ProposedContext(1, CT, syntaxes),), UserInformation())
    if is_too_much:
        with pytest.raises(LimitExceeded):
            read(request.encode())
    else:
        assert read(request.encode()) == request


MANY: dict[str, Callable[[], bytes]] = {
    "items": lambda: request_with(APPLICATION_CONTEXT, CONTEXT, USER, write_item(0x99, b"") * 16384),
    "sub-items": lambda: request_with(APPLICATION_CONTEXT, CONTEXT, write_item(0x50, write_item(0x99, b"") * 16000)),
    "items of a context": lambda: request_with(
        APPLICATION_CONTEXT, write_item(0x20, b"\1\0\0\0" + write_item(0x99, b"") * 16000), USER
    ),
    "related classes": lambda: request_with(
        APPLICATION_CONTEXT,
        CONTEXT,
        write_item(0x50, write_item(0x57, b"\0\1" + b"1" + b"\0\1" + b"1" + b"\xc0\0" + bytes(0xC000))),
    ),
}


@pytest.mark.parametrize("make", MANY.values(), ids=MANY.keys())
def test_a_flood_of_small_items_is_stopped_early(make: Callable[[], bytes]) -> None:
    with pytest.raises(LimitExceeded):
        decode(PduType.A_ASSOCIATE_RQ, memoryview(make()))


@pytest.mark.parametrize("pdu_type", [3, 5, 6, 7])
@pytest.mark.parametrize("length", [0, 3, 5])
def test_a_short_pdu_of_another_length_is_refused(pdu_type: int, length: int) -> None:
    with pytest.raises(PduError):
        decode(pdu_type, memoryview(bytes(length)))


@pytest.mark.parametrize(
    "body",
    [b"", b"\0\0\0\2\1", b"\0\0\0\1\1\3", b"\0\0\0\3\1\3", b"\xff\xff\xff\xff\1\3", b"\0\0\0\2\1\3\0", b"\0\0\0\2\1\1"],
    ids=["empty", "half a header", "length 1", "too long", "much too long", "left over", "empty and not last"],
)
def test_wrong_data_is_refused(body: bytes) -> None:
    with pytest.raises(PduError):
        decode(PduType.P_DATA_TF, memoryview(body))


def test_an_empty_last_fragment_is_read() -> None:
    assert decode(PduType.P_DATA_TF, memoryview(b"\0\0\0\2\1\2")) == PDataTf((Pdv(1, False, True, b""),))


@pytest.mark.parametrize("pdu_type", [0, 8, 255])
def test_an_unknown_type_is_refused(pdu_type: int) -> None:
    with pytest.raises(PduError) as caught:
        decode(pdu_type, memoryview(bytes(4)))
    assert caught.value.reason is AbortReason.UNRECOGNIZED_PDU


@pytest.mark.parametrize("ae_title", ["SEVENTEEN LETTERS", "ΑΕ"])
def test_a_title_that_does_not_fit_cannot_be_sent(ae_title: str) -> None:
    with pytest.raises(LocalProtocolError):
        AAssociateRq(ae_title, "B", REQUEST.presentation_contexts, UserInformation()).encode()


def test_the_answer_to_an_empty_calling_title_can_be_sent() -> None:
    request = bytearray(REQUEST.encode())
    request[26:42] = b" " * 16
    decoded = decode(1, memoryview(request)[6:])
    assert isinstance(decoded, AAssociateRq)
    assert decoded.calling_ae_title == ""
    answer = AAssociateAc(decoded.called_ae_title, decoded.calling_ae_title, (), UserInformation())
    assert answer.encode()[26:42] == b" " * 16
