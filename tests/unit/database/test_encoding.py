"""How values lie in columns."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from amonsul.database.columns import COLUMNS, fold
from amonsul.database.encoding import decode_list, decode_tags, encode_list, encode_tags
from amonsul.database.postgresql import translate
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level
from amonsul.dicom.main_tags import MainTags

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\\"))


@given(st.dictionaries(st.integers(0, 0xFFFFFFFF).map(Tag), TEXT))
def test_tags_come_back(tags: dict[Tag, str]) -> None:
    assert decode_tags(encode_tags(tags)) == tags


def test_a_nul_is_dropped() -> None:
    assert decode_tags(encode_tags({Tag(1): "a\0b"})) == {Tag(1): "ab"}


@given(st.lists(TEXT.filter(bool)))
def test_lists_come_back_sorted_and_distinct(values: list[str]) -> None:
    assert decode_list(encode_list(values)) == sorted(set(values))


def test_every_search_column_is_a_main_tag_of_its_level() -> None:
    main_tags = MainTags()
    for tag, column in COLUMNS.items():
        assert Tag(tag) in main_tags.tags(column.level)
    assert {column.level for column in COLUMNS.values()} == set(Level)


def test_dates_and_times_lose_old_separators() -> None:
    assert fold(COLUMNS[0x00080020], "2004.01.19") == "20040119"
    assert fold(COLUMNS[0x00080030], "07:27:30.5") == "072730.5"
    assert fold(COLUMNS[0x0020000D], "1.2.840.10008") == "1.2.840.10008"
    assert fold(COLUMNS[0x00100010], "Müller^Jörg") == fold(COLUMNS[0x00100010], "MÜLLER^JÖRG")


def test_parameters_are_translated_and_nothing_else() -> None:
    assert translate("SELECT :a, ':x' || 'b%', c::text, :a_1") == "SELECT %(a)s, '%(x)s' || 'b%%', c::text, %(a_1)s"
