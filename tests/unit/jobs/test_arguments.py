"""Arguments of jobs survive JSON, or are refused when their kind is registered."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import BadFileFormat
from amonsul.jobs.arguments import decode, encode
from amonsul.jobs.kind import Kind, Kinds, Progress, Running


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Part:
    level: Level
    orthanc_id: OrthancId


@dataclass(frozen=True, slots=True)
class Everything:
    text: str
    number: int
    share: float
    flag: bool
    colour: Colour
    perhaps: int | None
    parts: tuple[Part, ...]
    pair: tuple[str, int]
    names: Mapping[str, str]
    anything: object
    later: str = "default"
    more: tuple[str, ...] = field(default_factory=tuple)


def steps(arguments: object, job: Running) -> Iterator[Progress]:
    yield Progress(1, 1)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(
    st.builds(
        Everything,
        text=st.text(),
        number=st.integers(-(2**63), 2**63 - 1),
        share=st.floats(allow_nan=False, allow_infinity=False),
        parts=st.lists(st.builds(Part, st.sampled_from(Level), st.text().map(OrthancId)), max_size=3).map(tuple),
        pair=st.tuples(st.text(), st.integers(-(2**63), 2**63 - 1)),
        perhaps=st.none() | st.integers(0, 9),
        names=st.dictionaries(st.text(), st.text(), max_size=3),
        anything=json_values,
        more=st.lists(st.text(), max_size=3).map(tuple),
    )
)
def test_what_goes_in_comes_out(arguments: Everything) -> None:
    assert decode(Everything, encode(arguments)) == arguments


@pytest.mark.parametrize(
    "text",
    ['{"level": 9, "orthanc_id": "a"}', '{"level": 1}', '{"level": 1, "orthanc_id": 2}', "[]", '{"level":1,"x":2}'],
)
def test_json_that_does_not_fit_is_refused(text: str) -> None:
    with pytest.raises(BadFileFormat):
        decode(Part, text)


def test_true_is_no_number() -> None:
    @dataclass(frozen=True)
    class Count:
        count: int

    Kind("Count", Count, steps, lambda _: {})
    with pytest.raises(BadFileFormat):
        decode(Count, '{"count": true}')


def test_a_kind_whose_arguments_could_not_come_back_is_refused_at_once() -> None:
    @dataclass(frozen=True)
    class Bytes:
        data: bytes

    @dataclass(frozen=True)
    class Choice:
        one: int | str

    for bad in (Bytes, Choice, int):
        with pytest.raises(TypeError):
            Kind("Bad", bad, steps, lambda _: {})


def test_arguments_of_an_older_version_are_upgraded() -> None:
    def upgrade(version: int, old: dict[str, object]) -> dict[str, object]:
        assert version == 1
        return {"level": 2, "orthanc_id": old["id"]}

    kind = Kind("Part", Part, steps, lambda _: {}, version=2, upgrade=upgrade)
    assert kind.decode(1, '{"id": "abc"}') == Part(Level.SERIES, OrthancId("abc"))
    assert kind.decode(2, '{"level": 0, "orthanc_id": "x"}') == Part(Level.PATIENT, OrthancId("x"))
    with pytest.raises(BadFileFormat):
        kind.decode(3, "{}")


def test_kinds_are_found_by_name_and_by_arguments() -> None:
    kind = Kind("Part", Part, steps, lambda _: {})
    kinds = Kinds([kind])
    assert kinds.get("Part") is kinds.of(Part(Level.STUDY, OrthancId("x"))) is kind
    assert kinds.get("Other") is None
    with pytest.raises(ValueError, match="two kinds"):
        Kinds([kind, kind])
