"""Searches: the translation to SQL answers what looking at each resource would."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from amonsul.archive import edit, find, read
from amonsul.archive.context import Archive, ArchiveSettings, StorageAccess
from amonsul.archive.find import Content, Resource
from amonsul.blobs.memory import MemoryBlobs
from amonsul.database import Database, search
from amonsul.dicom.dictionary import STANDARD
from amonsul.dicom.elements import Tag
from amonsul.dicom.json_tags import text_of
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.main_tags import MainTags
from amonsul.dicom.matching import ListOf, Match, Range, SingleValue, WildCard, matches
from amonsul.dicom.query import (
    Cast,
    Constraint,
    Direction,
    LabelsConstraint,
    MetadataConstraint,
    OrderKey,
    Query,
)
from amonsul.errors import ParameterOutOfRange
from tests.contract.storing import store_instance

NAMES = [
    "Doe^John",
    "DOE^JANE",
    "doe^john",
    "",
    "100%_sure",
    "a[b]c",
    "Müller^Jörg",
    "MÜLLER",
    "山田^太郎",
    "x*y?z",
    None,
]
DESCRIPTIONS = [
    "Thorax CT",
    "thorax ct",
    "Head [native]",
    "50% dose",
    "a_b",
    "",
    None,
    "ü",
    "long description of a study",
]
DATES = ["20230101", "20230102", "20240229", "", "19991231", None, "2023.06.15"]
MODALITIES = ["CT", "MR", "SR", None]
KVPS = ["120", "140", "80.5", None]
LABELS = ["alpha", "beta", "gamma"]


def filled(database: Database) -> Archive:
    """Three patients with two studies of two series of two instances, with all kinds of values."""
    archive = Archive(
        database,
        MemoryBlobs(),
        MainTags({Level.STUDY: [Tag(0x00101010)]}),
        settings=ArchiveSettings(user_metadata={"Color": 3001}),
    )
    number = 0
    for patient in range(4):
        for study in range(2):
            for series in range(2):
                for instance in range(2):
                    number += 1
                    values = {
                        "PatientName": NAMES[(patient * 3) % len(NAMES)],
                        "StudyDescription": DESCRIPTIONS[(patient * 2 + study) % len(DESCRIPTIONS)],
                        "StudyDate": DATES[(patient * 2 + study) % len(DATES)],
                        "PatientAge": (None, "052Y", "010M")[(patient + study) % 3],
                        "Modality": MODALITIES[(patient + series) % len(MODALITIES)],
                        "SeriesDescription": DESCRIPTIONS[number % len(DESCRIPTIONS)],
                        "ReferringPhysicianName": NAMES[number % len(NAMES)],
                        "InstanceNumber": str(number * 7 % 30),
                        "KVP": KVPS[number % len(KVPS)],
                        "ImageType": ("ORIGINAL\\PRIMARY", "DERIVED\\SECONDARY", None)[number % 3],
                    }
                    given_values = {keyword: value for keyword, value in values.items() if value is not None}
                    absent = dict.fromkeys(key for key, value in values.items() if value is None)
                    stored = store_instance(archive, patient, study, series, instance, **given_values, **absent)
            edit.add_label(archive, Level.STUDY, stored.study_id, LABELS[patient % 3])
            if study:
                edit.add_label(archive, Level.STUDY, stored.study_id, LABELS[(patient + 1) % 3])
                edit.set_metadata(
                    archive, Level.STUDY, stored.study_id, "Color", ("red", "Red", "blue")[patient % 3].encode()
                )
    return archive


@pytest.fixture
def archive_with_data(database: Database) -> Archive:
    return filled(database)


class Oracle:
    """Answers queries by looking at each resource."""

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.by_level = {level: find.list_resources(archive, level, content=Content.ALL) for level in Level}
        self.headers: dict[OrthancId, Mapping[Tag, str]] = {}
        for level in Level:
            for resource in self.by_level[level]:
                _, header = next(iter(read.headers_below(archive, level, resource.orthanc_id)))
                texts = ((tag, text_of(element)) for tag, element in header.data_set.items())
                self.headers[resource.orthanc_id] = {tag: text for tag, text in texts if text is not None}

    def value(self, resource: Resource, tag: Tag) -> str | None:
        levels = [level for level in Level if tag in self.archive.main_tags.tags(level)]
        if tag == search.MODALITIES_IN_STUDY:
            return self.modalities(resource) or None
        if levels and min(levels) > resource.level:
            return None
        for tags in (
            resource.main_tags, resource.series_main_tags, resource.study_main_tags, resource.patient_main_tags
        ):  # fmt: skip
            if tag in tags:
                return tags[tag]
        return None if levels else self.headers[resource.orthanc_id].get(tag)

    def modalities(self, resource: Resource) -> str:
        of_study = {study.orthanc_id: study.modalities for study in self.by_level[Level.STUDY]}
        if resource.level is Level.PATIENT:
            return "\\".join(sorted({modality for study in resource.children for modality in of_study[study]}))
        return "\\".join(
            of_study[resource.orthanc_id if resource.level is Level.STUDY else resource.study_id or OrthancId("")]
        )

    def satisfies(self, resource: Resource, query: Query) -> bool:
        for wanted in query.constraints:
            value = self.value(resource, wanted.tag)
            if value is None and not wanted.mandatory:
                continue
            if not matches(wanted.match, value, wanted.case_sensitive):
                return False
        for metadata in query.metadata:
            if not matches(metadata.match, resource.metadata.get(metadata.name), metadata.case_sensitive):
                return False
        labels = set(resource.labels)
        if not query.labels:
            return query.labels_constraint is not LabelsConstraint.NONE or not labels
        match query.labels_constraint:
            case LabelsConstraint.ALL:
                return query.labels <= labels
            case LabelsConstraint.ANY:
                return bool(query.labels & labels)
            case LabelsConstraint.NONE:
                return not query.labels & labels

    def find(self, query: Query) -> list[OrthancId]:
        found = [resource.orthanc_id for resource in self.by_level[query.level] if self.satisfies(resource, query)]
        return found[query.since : query.since + query.limit if query.limit else None]


def keyword_values() -> Mapping[str, list[str]]:
    names = [name for name in NAMES if name]
    descriptions = [text for text in DESCRIPTIONS if text]
    return {
        "PatientName": names,
        "PatientID": ["PID0", "pid1", "PID3", "nope"],
        "StudyDate": [date for date in DATES if date and "." not in date],
        "StudyDescription": descriptions,
        "PatientAge": ["052Y", "010m"],
        "AccessionNumber": ["ACC0-0", "acc1-1", "ACC3-0"],
        "ReferringPhysicianName": names,
        "StudyInstanceUID": ["1.2.3.0.0", "1.2.3.3.1", "1.2"],
        "Modality": ["CT", "mr", "SR"],
        "SeriesDescription": descriptions,
        "SeriesInstanceUID": ["1.2.3.0.0.1", "1.2.3.2.1.0"],
        "SOPInstanceUID": ["1.2.3.0.0.1.1"],
        "InstanceNumber": ["7", "14", "21"],
        "KVP": ["120", "80.5"],
        "ImageType": ["PRIMARY", "derived", "ORIGINAL\\PRIMARY"],
        "ModalitiesInStudy": ["CT", "MR", "SR"],
    }


VALUES = keyword_values()


@st.composite
def wild_cards(draw: st.DrawFn, value: str) -> Match:
    """A pattern made from a value by putting stars and question marks in place of parts."""
    start = draw(st.integers(0, len(value)))
    end = draw(st.integers(start, len(value)))
    middle = list(value[start:end])
    for place in range(len(middle)):
        if draw(st.integers(0, 5)) == 0:
            middle[place] = draw(st.sampled_from("*?"))
    pattern = draw(st.sampled_from(["", "*"])) + "".join(middle) + draw(st.sampled_from(["*", "*", "", "?"]))
    return WildCard(pattern if {"*", "?"} & set(pattern) else pattern + "*")


@st.composite
def constraints(draw: st.DrawFn) -> Constraint:
    keyword = draw(st.sampled_from(sorted(VALUES)))
    values = VALUES[keyword]
    value = draw(st.sampled_from(values))
    match: Match
    kind = draw(st.sampled_from(["single", "single", "wild", "list", "range"]))
    if kind == "wild":
        match = draw(wild_cards(value))
    elif kind == "list":
        match = ListOf(tuple(draw(st.lists(st.sampled_from(values), min_size=1, max_size=3))))
    elif kind == "range" and keyword == "StudyDate":
        low, high = draw(st.sampled_from([*values, None])), draw(st.sampled_from([*values, None]))
        match = Range(low, high)
    else:
        match = SingleValue(value)
    return Constraint(STANDARD.tag(keyword), match, draw(st.booleans()), draw(st.sampled_from([True, True, False])))


@st.composite
def queries(draw: st.DrawFn) -> Query:
    return Query(
        draw(st.sampled_from(Level)),
        tuple(draw(st.lists(constraints(), max_size=3))),
        labels=draw(st.frozensets(st.sampled_from([*LABELS, "none"]), max_size=2)),
        labels_constraint=draw(st.sampled_from(LabelsConstraint)),
        since=draw(st.sampled_from([0, 0, 0, 1, 3])),
        limit=draw(st.sampled_from([0, 0, 0, 1, 2, 100])),
    )


def differing(archive: Archive, oracle: Oracle) -> None:
    @settings(
        max_examples=150,
        deadline=None,
        database=None,
        derandomize=True,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )
    @given(queries())
    def agrees(query: Query) -> None:
        expected = oracle.find(query)
        assert find.find_ids(archive, query) == expected
        resources = find.find(archive, query, Content.NOTHING)
        assert [resource.orthanc_id for resource in resources] == expected
        assert find.count(archive, query) == len(oracle.find(replace(query, since=0, limit=0)))

    agrees()


def test_searches_answer_what_looking_at_each_resource_would(archive_with_data: Archive) -> None:
    differing(archive_with_data, Oracle(archive_with_data))


@pytest.mark.parametrize(("glance", "many"), [(0, 0), (4, 0), (4, 6), (0, 1000)])
def test_they_do_so_whichever_way_they_take(
    archive_with_data: Archive, monkeypatch: pytest.MonkeyPatch, glance: int, many: int
) -> None:
    """With a bound of one row hardly any condition is where a search starts at once; chunks of two are the smallest."""
    monkeypatch.setattr(search, "_START", 1)
    monkeypatch.setattr(search, "_GLANCE", glance)
    monkeypatch.setattr(search, "_MANY", many)
    monkeypatch.setattr(search, "_CHUNK", 2)
    differing(archive_with_data, Oracle(archive_with_data))


def studies(archive: Archive, *constraints: Constraint, **more: object) -> list[str]:
    query = Query(Level.STUDY, constraints, **more)  # type: ignore[arg-type]
    uid = Tag(0x0020000D)
    return [study.main_tags[uid].removeprefix("1.2.3.") for study in find.find(archive, query)]


def test_computed_attributes_are_matched(archive_with_data: Archive) -> None:
    instances = Tag(0x00201208)
    assert len(studies(archive_with_data, Constraint(instances, SingleValue("4")))) == 8
    assert studies(archive_with_data, Constraint(instances, SingleValue("5"))) == []
    modalities = Tag(search.MODALITIES_IN_STUDY)
    patients = find.count(archive_with_data, Query(Level.PATIENT, (Constraint(modalities, SingleValue("SR")),)))
    assert patients == 2


def test_keys_beyond_what_a_statement_takes_are_refused(archive_with_data: Archive) -> None:
    modalities = Tag(search.MODALITIES_IN_STUDY)
    some = tuple(f"X{number}" for number in range(400))
    assert studies(archive_with_data, Constraint(modalities, ListOf((*some, "CT")))) != []
    for match in (ListOf(tuple(f"X{number}" for number in range(5000))), SingleValue("X" * 100_000)):
        with pytest.raises(ParameterOutOfRange):
            studies(archive_with_data, Constraint(modalities, match))


@pytest.mark.parametrize(
    "query",
    [
        Query(Level.STUDY, labels=frozenset(f"x{number}" for number in range(2000))),
        Query(Level.STUDY, order_by=(OrderKey(Tag(0x00080020), Direction.ASCENDING, Cast.TEXT),) * 3000),
        Query(
            Level.STUDY,
            metadata=tuple(
                MetadataConstraint(str(n), SingleValue("x"), case_sensitive=True) for n in range(1024, 4024)
            ),
        ),
    ],
)
def test_a_query_of_thousands_of_terms_is_refused(archive_with_data: Archive, query: Query) -> None:
    with pytest.raises(ParameterOutOfRange):
        find.find_ids(archive_with_data, query)
    few = replace(query, labels=frozenset(), order_by=query.order_by[:3], metadata=query.metadata[:3])
    find.find_ids(archive_with_data, few)


def test_one_of_thousands_of_labels_is_found(archive_with_data: Archive) -> None:
    labels = frozenset({"alpha", *(f"x{number}" for number in range(2000))})
    found = find.find_ids(archive_with_data, Query(Level.STUDY, labels=labels, labels_constraint=LabelsConstraint.ANY))
    assert found == find.find_ids(archive_with_data, Query(Level.STUDY, labels=frozenset({"alpha"})))


def test_a_tag_of_a_lower_level_matches_nothing_unless_it_may_lack(archive_with_data: Archive) -> None:
    modality = Tag(0x00080060)
    assert studies(archive_with_data, Constraint(modality, SingleValue("CT"))) == []
    assert len(studies(archive_with_data, Constraint(modality, SingleValue("CT"), mandatory=False))) == 8


def test_attributes_out_of_the_index_are_found_in_headers_if_allowed(archive_with_data: Archive) -> None:
    kvp = Constraint(STANDARD.tag("KVP"), SingleValue("120"))
    assert find.count(archive_with_data, Query(Level.INSTANCE, (kvp,))) == 8
    for access in (StorageAccess.NEVER, StorageAccess.ANSWERS):
        settings_now = replace(archive_with_data.settings, storage_access_on_find=access)
        assert find.count(replace(archive_with_data, settings=settings_now), Query(Level.INSTANCE, (kvp,))) == 0


def test_main_tags_added_later_are_found_in_headers(archive_with_data: Archive) -> None:
    """What was stored before an extra main tag was configured has it in the header only."""
    later = replace(archive_with_data, main_tags=MainTags({Level.INSTANCE: [STANDARD.tag("KVP")]}))
    kvp = Constraint(STANDARD.tag("KVP"), SingleValue("120"))
    assert find.count(later, Query(Level.INSTANCE, (kvp,))) == 8
    tags = [STANDARD.tag("KVP")]
    instances = find.list_resources(later, Level.INSTANCE, 0, 4, Content.PARENT_TAGS)
    assert [values.get(tags[0]) for values in find.requested_tags(later, instances, tags)] == [
        "140",
        "80.5",
        None,
        "120",
    ]


def test_metadata_are_matched(archive_with_data: Archive) -> None:
    def count(name: str, match: Match, *, level: Level = Level.STUDY, case_sensitive: bool = False) -> int:
        return find.count(archive_with_data, Query(level, metadata=(MetadataConstraint(name, match, case_sensitive),)))

    assert count("Color", SingleValue("red")) == 3
    assert count("Color", SingleValue("red"), case_sensitive=True) == 2
    assert count("Color", WildCard("*e*")) == 4
    assert count("Color", ListOf(("blue", "green"))) == 1
    assert count("Nope", SingleValue("x")) == 0
    assert count("Origin", SingleValue("RestApi"), level=Level.INSTANCE) == 32
    assert count("IndexInSeries", SingleValue("7"), level=Level.INSTANCE) == 2
    assert count("3001", SingleValue("blue")) == count("8", SingleValue("x")) + 1 == 1
    assert count("1", SingleValue("7"), level=Level.INSTANCE) == 2


def test_ancestors_restrict(archive_with_data: Archive) -> None:
    patient = find.list_ids(archive_with_data, Level.PATIENT)[1]
    study = find.descendant_ids(archive_with_data, Level.PATIENT, patient, Level.STUDY)[0]
    assert studies(archive_with_data, parents={Level.PATIENT: patient}) == ["1.0", "1.1"]
    assert find.count(archive_with_data, Query(Level.INSTANCE, parents={Level.STUDY: study})) == 4
    assert find.count(archive_with_data, Query(Level.STUDY, parents={Level.STUDY: study})) == 1
    assert studies(archive_with_data, parents={Level.PATIENT: OrthancId("nope")}) == []
    assert find.count(archive_with_data, Query(Level.PATIENT, parents={Level.STUDY: study})) == 0


@pytest.mark.parametrize("level", Level)
def test_a_page_of_all_is_that_of_the_listing(archive_with_data: Archive, level: Level) -> None:
    everything = find.list_ids(archive_with_data, level)
    for since, limit in ((0, 0), (0, 3), (2, 3), (3, 0), (len(everything), 2)):
        found = find.find_ids(archive_with_data, Query(level, since=since, limit=limit))
        assert found == everything[since:][: limit or None]


def test_answers_are_ordered(archive_with_data: Archive) -> None:
    date, number, description = Tag(0x00080020), Tag(0x00200013), Tag(0x00081030)

    def dates(*keys: OrderKey, **more: object) -> list[str | None]:
        query = Query(Level.STUDY, order_by=keys, **more)  # type: ignore[arg-type]
        return [study.main_tags.get(date) for study in find.find(archive_with_data, query)]

    # The column holds the date of 2023-06-15 without the separators that ACR-NEMA gave it.
    ascending = [None, "", "19991231", "20230101", "20230101", "20230102", "2023.06.15", "20240229"]
    assert dates(OrderKey(date)) == ascending
    assert dates(OrderKey(date, Direction.DESCENDING)) == ascending[::-1]
    assert dates(OrderKey(date, Direction.DESCENDING), limit=2) == ["20240229", "2023.06.15"]
    assert dates(OrderKey(date, Direction.DESCENDING), since=1, limit=1) == ["2023.06.15"]

    def numbers(*keys: OrderKey) -> list[str]:
        return [
            i.main_tags[number] for i in find.find(archive_with_data, Query(Level.INSTANCE, order_by=keys, limit=6))
        ]

    assert numbers(OrderKey(number)) == ["0", "1", "10", "11", "12", "13"]
    assert numbers(OrderKey(number, cast=Cast.INTEGER)) == ["0", "1", "2", "3", "4", "5"]
    assert numbers(OrderKey(number, Direction.DESCENDING, Cast.REAL)) == ["29", "28", "27", "26", "25", "24"]
    two_keys = studies(archive_with_data, order_by=(OrderKey(description), OrderKey(date, Direction.DESCENDING)))
    assert len(two_keys) == 8
    by_metadata = Query(
        Level.STUDY, order_by=(OrderKey("Color"),), metadata=(MetadataConstraint("Color", WildCard("*")),)
    )
    colors = [s.metadata["Color"] for s in find.find(archive_with_data, by_metadata, Content.METADATA)]
    assert colors == ["Red", "blue", "red", "red"]
    assert len(studies(archive_with_data, order_by=(OrderKey("LastUpdate"), OrderKey(STANDARD.tag("KVP"))))) == 8
    index = Query(
        Level.INSTANCE, order_by=(OrderKey("IndexInSeries", Direction.DESCENDING), OrderKey("Origin")), limit=1
    )
    assert find.find(archive_with_data, index)[0].index_in_series == 29


def test_common_trigrams_are_left_out_and_the_answer_is_the_same(archive: Archive) -> None:
    for patient in range(80):
        store_instance(archive, patient, PatientName=f"COMMON^PART{patient:03d}^COMMON")
    name = Tag(0x00100010)

    def found(pattern: str) -> list[str]:
        return studies(archive, Constraint(name, WildCard(pattern), case_sensitive=False))

    with archive.database.read() as tx:
        telling = search._telling(tx, "patients", "patient_name", ["COMMON^PART077^", "MON"])
    assert telling == ["077^"]
    assert found("*common^part077^com*") == ["77.1"]
    assert found("*common^part07?^com*") == [f"{patient}.1" for patient in range(70, 80)]
    assert found("*ART0?1^COMMON") == [f"{patient}.1" for patient in range(1, 80, 10)]
    assert found("*MON^PART") == []
    assert len(found("*COMMON*")) == 80
    assert found('*"077"*') == []


def test_nothing_of_a_query_reaches_sql_as_text(archive_with_data: Archive) -> None:
    name = Tag(0x00100010)
    for text in ("'; DROP TABLE patients; --", '"', "%s", ":p1", "\\", "{t}", "x\x00y", "' OR '1'='1"):
        for match in (SingleValue(text), WildCard(f"*{text}*"), ListOf((text,))):
            for case_sensitive in (True, False):
                assert studies(archive_with_data, Constraint(name, match, case_sensitive)) == []
        assert studies(archive_with_data, labels=frozenset({text})) == []
        assert studies(archive_with_data, parents={Level.PATIENT: OrthancId(text)}) == []
    assert len(studies(archive_with_data)) == 8
