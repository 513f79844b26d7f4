from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amonsul.blobs.spool import Spooled
from amonsul.errors import BadFileFormat, BadRequest
from amonsul.web.json_body import MAX_DEPTH, depth_exceeds, parse, parse_object
from amonsul.web.values import Request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=40,
)


def nested(depth: int) -> bytes:
    return b'{"a":[' * (depth // 2) + b"[]" * (depth % 2) + b"]}" * (depth // 2)


@given(JSON)
def test_whatever_json_writes_is_read_back(value: object) -> None:
    assert parse(json.dumps(value).encode()) == value


def test_deepest_nesting_is_accepted() -> None:
    parse(nested(MAX_DEPTH))


@pytest.mark.parametrize(
    "body",
    [nested(MAX_DEPTH + 1), nested(MAX_DEPTH + 2), b"[" * 100_000, b"[" * 100_000 + b"]" * 100_000, b'{"a":' * 1000],
)
def test_deeper_nesting_is_refused(body: bytes) -> None:
    with pytest.raises(BadFileFormat):
        parse(body)


def test_brackets_in_strings_are_no_nesting() -> None:
    text = "[{" * 500 + '\\"]'
    assert parse(json.dumps([text, {}]).encode()) == [text, {}]
    assert not depth_exceeds(json.dumps([text]).encode(), 1)


@pytest.mark.parametrize("body", [b'"' + b'\\"' * 100_000, b'"' + b'\\"' * 100_000 + b"\\", b'"' * 100_001])
def test_strings_that_do_not_end_are_refused(body: bytes) -> None:
    assert depth_exceeds(b"[" * 70 + body, 64)
    with pytest.raises(BadFileFormat):
        parse(b"[" * 70 + body)


@pytest.mark.parametrize("body", [b'{"a":1,"a":2}', b'[{"b":{"a":1,"\\u0061":":"}}]'])
def test_names_given_twice_are_refused(body: bytes) -> None:
    with pytest.raises(BadFileFormat, match="twice"):
        parse(body)


def test_too_many_values_are_refused() -> None:
    with pytest.raises(BadFileFormat, match="values"):
        parse(b"[" + b"1," * 1_000_001 + b"1]")


@pytest.mark.parametrize("body", [b"", b"{nope", b"12", b"null", b"[]", b'"text"'])
def test_only_objects_are_objects(body: bytes) -> None:
    with pytest.raises(BadRequest, match="must contain a JSON object"):
        parse_object(Request("POST", "/tools/find", {}, {}, {}, Spooled.of(body)))
