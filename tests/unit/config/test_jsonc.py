"""JSON with comments: what is read, and what is told about a place."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amonsul.config.jsonc import MAX_DEPTH, MAX_SIZE, parse
from amonsul.config.kinds import ConfigurationError, Json

json_values: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("{}", {}),
        ('{"a": 1} // end', {"a": 1}),
        ('// first\n{"a": 1, /* between, with "quotes" and { */ "b": 2}', {"a": 1, "b": 2}),
        ('{"url": "http://host/*not a comment*/"}', {"url": "http://host/*not a comment*/"}),
        (r'{"a": "quote \" // still inside"}', {"a": 'quote " // still inside'}),
        ('{"a": [1, 2, ], }', {"a": [1, 2]}),
        ('{"a": [1, /* last */ ] // done\n, }', {"a": [1]}),
        ('/**/ [",]", "}"] /***/', [",]", "}"]),
    ],
)
def test_comments_and_trailing_commas_are_no_part_of_the_value(text: str, value: Json) -> None:
    assert parse(text, "file", {}) == value


@given(json_values)
def test_plain_json_is_read_as_it_is(value: Json) -> None:
    assume_no_variables = json.dumps(value).replace("$", "S")
    assert parse(assume_no_variables, "file", {}) == json.loads(assume_no_variables)


@given(st.text(alphabet='{}[],:"/*\\\n $a1', max_size=60))
def test_any_text_gives_a_value_or_a_configuration_error(text: str) -> None:
    with contextlib.suppress(ConfigurationError):
        parse(text, "file", {})


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ('{\n  // comment\n  "a": x\n}', "line 3, column 8"),
        ('{\n  /* two\n lines */ "a": x}', "line 3, column 16"),
        ('{"a": "open\n}', "line 1, column 7"),
        ("{} /* open", "line 1, column 4"),
        ('{"a": 1 "b": 2}', "line 1, column 9"),
        ('{"a": $b}', "line 1, column 7"),
    ],
)
def test_an_error_says_the_line_and_the_column_of_the_file(text: str, place: str) -> None:
    with pytest.raises(ConfigurationError, match=place):
        parse(text, "file", {})


def test_variables_are_filled_in_inside_and_outside_of_strings() -> None:
    environment = {"PORT": "8043", "NAME": 'a "quoted" \\ name'}
    text = '{"HttpPort": ${PORT}, "Name": "<${NAME}>", "Other": "${NOTHING:-else}"}'
    assert parse(text, "file", environment) == {"HttpPort": 8043, "Name": '<a "quoted" \\ name>', "Other": "else"}


def test_a_variable_inside_a_comment_needs_no_value() -> None:
    assert parse("{} // ${NOTHING}", "file", {}) == {}


def test_a_variable_without_value_is_an_error_that_names_it() -> None:
    with pytest.raises(ConfigurationError, match="line 1, column 7: the environment variable SECRET is not set"):
        parse('{"a": "${SECRET}"}', "file", {})


def test_nesting_is_bounded_before_the_parser_sees_it() -> None:
    assert parse("[" * MAX_DEPTH + "]" * MAX_DEPTH, "file", {})
    for depth in (MAX_DEPTH + 1, 100_000):
        with pytest.raises(ConfigurationError, match="nesting"):
            parse("[" * depth, "file", {})


def test_size_and_digits_are_bounded() -> None:
    with pytest.raises(ConfigurationError, match="16 MB"):
        parse(" " * (MAX_SIZE + 1), "file", {})
    with pytest.raises(ConfigurationError, match="file"):
        parse("9" * 10_000, "file", {})
    with pytest.raises(ConfigurationError, match="NaN"):
        parse("[NaN]", "file", {})


def test_a_name_that_stands_twice_is_told() -> None:
    told: list[str] = []
    assert parse('{"a": 1, "a": 2}', "file", {}, told.append) == {"a": 2}
    assert told == ["file: a stands twice in one object, the last one counts"]
