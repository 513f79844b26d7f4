from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amonsul.protocols.media_types import MediaType, choose, parse, parse_accept


def names(text: str | None) -> list[str]:
    return [one.name for one in parse_accept(text)]


@pytest.mark.parametrize("text", [None, "", "  "])
def test_no_header_accepts_everything(text: str | None) -> None:
    assert names(text) == ["*/*"]


def test_the_best_comes_first_and_weight_zero_not_at_all() -> None:
    assert names("a/a;q=0.1, b/b, c/c;q=0, d/*;q=0.5") == ["b/b", "d/*", "a/a"]


def test_a_type_of_parts_comes_with_and_without_quotes() -> None:
    for text in (
        'multipart/related; type="application/dicom"; transfer-syntax=1.2',
        "Multipart/Related;type=application/dicom;transfer-syntax=1.2",
        'multipart/related; type="application/dicom; transfer-syntax=1.2"',
    ):
        (one,) = parse_accept(text)
        assert (one.name, one.root, one.transfer_syntax) == ("multipart/related", "application/dicom", "1.2")


def test_a_comma_in_quotes_separates_nothing() -> None:
    assert parse_accept('a/b; x="1, c/d", e/f') == [MediaType("a/b", {"x": "1, c/d"}), MediaType("e/f")]


def test_nonsense_is_passed_over() -> None:
    assert names("nonsense, a b/c, text/html, ;;, x/") == ["text/html"]


def test_a_content_type_is_one_media_type() -> None:
    found = parse('multipart/related; boundary="x y"; type=application/dicom')
    assert found is not None
    assert found.parameters == {"boundary": "x y", "type": "application/dicom"}
    assert parse("") is None


def test_the_choice_follows_the_client_and_then_the_server() -> None:
    offered = ("image/jpeg", "image/png")
    assert choose(parse_accept("image/*"), offered) == "image/jpeg"
    assert choose(parse_accept("image/jpeg;q=0.1, image/png"), offered) == "image/png"
    assert choose(parse_accept("text/html"), offered) is None


@given(st.text(alphabet='ab/*;,="\\ q=.01\x00é', max_size=200))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read(text: str) -> None:
    for one in parse_accept(text):
        assert 0 < one.quality <= 1
        assert "/" in one.name


def test_a_range_does_not_accept_what_has_no_weight() -> None:
    assert choose(parse_accept("image/jpeg;q=0, image/*"), ("image/jpeg", "image/png")) == "image/png"
    assert choose(parse_accept("image/png;q=0.0, */*"), ("image/png",)) is None
    parts = 'multipart/related; type="image/jpeg";q=0, */*'
    assert choose(parse_accept(parts), ("multipart/related",)) == "multipart/related"
