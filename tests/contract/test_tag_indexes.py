"""Indexes of attributes without a column: the answers are the same before, while and after they are built."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from amonsul.archive import edit, find
from amonsul.archive import reconstruct as reconstruction
from amonsul.archive.context import Archive, Overwrite
from amonsul.archive.indexing import IndexingSettings, TagIndexing
from amonsul.archive.reconstruct import Scope
from amonsul.database import search, tag_indexes
from amonsul.database.jobs import State
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.main_tags import MainTags
from amonsul.dicom.matching import parse_match
from amonsul.dicom.query import Constraint, Query
from amonsul.errors import UnknownResource
from amonsul.imaging.codecs import LocalCodecs
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.kind import Kinds
from amonsul.jobs.kinds.index_tags import IndexTags, index_tags
from amonsul.jobs.settings import JobsSettings
from tests.contract.storing import store_instance

AGE, ETHNIC, KVP, DATE, COMMENTS = (
    Tag(0x00101010),
    Tag(0x00102160),
    Tag(0x00180060),
    Tag(0x00080022),
    Tag(0x00104000),
)
TAGS = (AGE, ETHNIC, KVP, DATE, COMMENTS)
VALUES = {
    "PatientAge": ("042Y", "007Y", None),
    "EthnicGroup": ("Elb", "Zwerg", "elb", None),
    "KVP": ("120", "80", "80\\120", None),
    "AcquisitionDate": ("20040119", "2004.01.20", "20050101", None),
    "PatientComments": ("Straße", "a" * 300, "STRASSE", "*", ""),
}
KEYS = (
    (AGE, "AS", "042Y"),
    (AGE, "AS", "0*"),
    (ETHNIC, "SH", "Elb"),
    (ETHNIC, "SH", "*l?"),
    (KVP, "DS", "120"),
    (KVP, "DS", "80\\70"),
    (DATE, "DA", "20040101-20041231"),
    (DATE, "DA", "-20040119"),
    (COMMENTS, "LT", "Stra?e"),
    (COMMENTS, "LT", "aaa*"),
)
EXTRA = MainTags({Level.STUDY: (AGE,), Level.PATIENT: (ETHNIC,)})
QUERIES = [
    Query(level, (Constraint(tag, parse_match(vr, key), case_sensitive),))
    for level in Level
    for tag, vr, key in KEYS
    for case_sensitive in (True, False)
]


@pytest.fixture
def archive(archive: Archive) -> Archive:
    settings = replace(archive.settings, overwrite=Overwrite.ALWAYS)
    return replace(archive, main_tags=EXTRA, settings=settings)


class Storm:
    """Writes of all kinds in random order."""

    def __init__(self, archive: Archive, seed: int) -> None:
        self._archive = archive
        self._random = random.Random(seed)

    def write(self) -> None:
        chance = self._random
        what = chance.random()
        if what < 0.65:
            more = {name: chance.choice(values) for name, values in VALUES.items()}
            patient, study, series, instance = (chance.randint(1, 3) for _ in range(4))
            store_instance(self._archive, patient, study, series, instance, **more)
            return
        level = chance.choice(list(Level))
        known = find.list_ids(self._archive, level)
        if not known:
            return
        orthanc_id = chance.choice(known)
        if what < 0.85:
            edit.delete(self._archive, level, orthanc_id)
        else:
            scope = Scope(level, orthanc_id, only_this_level=chance.random() < 0.5)
            reconstruction.reconstruct(self._archive, LocalCodecs(), scope)


def answers(archive: Archive) -> list[list[OrthancId]]:
    return [find.find_ids(archive, query) for query in QUERIES]


def expected(archive: Archive) -> list[list[OrthancId]]:
    """The same, of whoever looks at every header."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tag_indexes, "states", lambda _: {})
        return answers(archive)


def is_ready(archive: Archive) -> bool:
    with archive.database.read() as tx:
        states = tag_indexes.states(tx)
    return bool(states) and all(states.values())


@pytest.mark.parametrize("seed", range(5))
def test_answers_are_the_same_before_while_and_after_an_index_is_built(archive: Archive, seed: int) -> None:
    storm = Storm(archive, seed)
    for _ in range(25):
        storm.write()
    before = answers(archive)
    assert before == expected(archive)
    archive.write(lambda tx: tag_indexes.declare(tx, TAGS))
    for level in Level:
        after = 0
        while True:
            with archive.database.read() as tx:
                piece = tag_indexes.read_piece(tx, TAGS, level, after, 3)
            storm.write()
            archive.write(lambda tx, piece=piece: tag_indexes.enter_piece(tx, piece))  # type: ignore[misc]
            if not piece.size:
                break
            after = piece.after
        assert answers(archive) == expected(archive)
    archive.write(lambda tx: tag_indexes.finish(tx, TAGS))
    assert is_ready(archive)
    for _ in range(25):
        storm.write()
        assert answers(archive) == expected(archive)
    for patient_id in find.list_ids(archive, Level.PATIENT):
        edit.delete(archive, Level.PATIENT, patient_id)
    with archive.database.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM tag_values") == (0,)


def test_a_search_starts_from_the_index(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 31):
        store_instance(archive, number, KVP=str(number))
    query = Query(Level.STUDY, (Constraint(KVP, parse_match("DS", "7")),))
    looked_at: list[int] = []
    candidates = search.candidates

    def counting(*arguments: object) -> object:
        for rows in candidates(*arguments):  # type: ignore[arg-type]
            looked_at.append(len(rows))
            yield rows

    monkeypatch.setattr("amonsul.database.residual.candidates", counting)
    first = find.find_ids(archive, query)
    TagIndexing(archive, IndexingSettings(after=1), lambda: None).tick()
    assert is_ready(archive)
    assert find.find_ids(archive, query) == first
    assert looked_at == [30, 1]


def test_attributes_are_indexed_when_they_are_declared_or_asked_for_often(archive: Archive) -> None:
    store_instance(archive, KVP="120")
    indexing = TagIndexing(archive, IndexingSettings(after=3, most=1), lambda: None)
    ask = Query(Level.STUDY, (Constraint(KVP, parse_match("DS", "120")),))
    for number in range(4):
        indexing.tick()
        with archive.database.read() as tx:
            assert set(tag_indexes.states(tx)) == ({AGE, ETHNIC, KVP} if number == 3 else {AGE, ETHNIC})
        find.find_ids(archive, ask)
    find.find_ids(archive, Query(Level.STUDY, (Constraint(DATE, parse_match("DA", "20200101")),)))
    indexing.tick()
    plain = replace(archive, main_tags=MainTags())
    never = TagIndexing(plain, IndexingSettings(after=0), lambda: None)
    while never.tick():
        pass
    with archive.database.read() as tx:
        assert tag_indexes.states(tx) == {}
        assert tx.one("SELECT COUNT(*) FROM tag_values") == (0,)


def test_what_other_conditions_narrow_down_is_not_counted(archive: Archive) -> None:
    stored = store_instance(archive, KVP="120")
    constraint = Constraint(KVP, parse_match("DS", "120"))
    find.find_ids(archive, Query(Level.INSTANCE, (constraint,), parents={Level.STUDY: stored.study_id}))
    assert archive.asked.take() == {}
    find.find_ids(archive, Query(Level.INSTANCE, (constraint,)))
    assert archive.asked.take() == {KVP: 1}


def test_no_more_attributes_are_remembered_than_allowed(archive: Archive) -> None:
    asks = {Tag(0x00189000 + number): number + 1 for number in range(20)}
    archive.write(lambda tx: tag_indexes.count_asks(tx, asks, 5))
    with archive.database.read() as tx:
        assert tag_indexes.often_asked(tx, 1, 100) == [Tag(0x00189000 + number) for number in range(19, 14, -1)]


def test_a_large_archive_is_read_by_upkeep(archive: Archive, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(1, 31):
        store_instance(archive, number, KVP=str(number), PatientAge=f"{number:03}Y")
    monkeypatch.setattr("amonsul.archive.indexing.SMALL", 10)
    monkeypatch.setattr("amonsul.jobs.kinds.index_tags._PIECE", 4)
    engine = JobEngine(archive, Kinds([index_tags(archive)]), JobsSettings(history_size=100))
    begun: list[str] = []
    TagIndexing(archive, IndexingSettings(), lambda: begun.append(engine.submit(IndexTags()))).tick()
    assert not is_ready(archive)
    assert answers(archive) == expected(archive)
    engine.start()
    try:
        job = engine.wait(begun[0])
    finally:
        engine.stop()
    assert job.state is State.SUCCESS
    assert job.content["Tags"] == ["0010,1010", "0010,2160"]
    assert is_ready(archive)
    assert answers(archive) == expected(archive)


def test_a_resource_that_vanished_gets_no_entries(archive: Archive) -> None:
    stored = store_instance(archive, KVP="120")
    with archive.database.read() as tx:
        piece = tag_indexes.read_piece(tx, [KVP], Level.INSTANCE, 0, 10)
    edit.delete(archive, Level.PATIENT, stored.patient_id)
    archive.write(lambda tx: tag_indexes.enter_piece(tx, piece))
    with archive.database.read() as tx:
        assert tx.one("SELECT COUNT(*) FROM tag_values") == (0,)
    with pytest.raises(UnknownResource):
        edit.delete(archive, Level.PATIENT, stored.patient_id)
