"""What is kept about other DICOM systems, on both databases: modalities, searches, and what to send."""

from __future__ import annotations

import pytest

from amonsul.archive import queries
from amonsul.archive.context import Archive
from amonsul.archive.modalities import Modality
from amonsul.archive.modality_list import Modalities
from amonsul.archive.remote_list import forget_run
from amonsul.database import Database, sending
from amonsul.dicom.elements import DataSet, Element, Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import InexistentItem, ParameterOutOfRange, UnknownResource
from amonsul.jobs.outgoing import outgoing
from tests.contract.storing import store
from tests.integration.rest.dicom_files import CT_IMAGE_STORAGE, ROOT, dicom_file

CONFIGURED = {"a": Modality("A", "host", 104), "b": Modality("B", "host", 105)}
CHANGED = Modality("CHANGED", "ö.example", 106, manufacturer="GE", timeout_s=5, allow_store=False)


def test_what_is_added_lies_over_the_configuration_for_one_run(database: Database) -> None:
    one, two = (Modalities(database, CONFIGURED) for _ in range(2))
    one.put("c", CHANGED)
    one.put("a", CHANGED)
    one.remove("b")
    assert one.all() == {"a": CHANGED, "c": CHANGED}
    assert two.all() == one.all()
    two.put("b", CHANGED)
    assert one.get("b") == CHANGED
    forget_run(database)
    assert one.all() == two.all() == CONFIGURED


def test_modalities_in_the_database_are_those_of_all_runs(database: Database) -> None:
    one, two = (Modalities(database, CONFIGURED, in_database=True) for _ in range(2))
    assert one.all() == {}
    one.put("c", CHANGED)
    assert two.all() == {"c": CHANGED}
    forget_run(database)
    assert two.get("c") == CHANGED
    two.remove("c")
    for action in (one.get, one.remove):
        with pytest.raises(InexistentItem):
            action("c")


def answer(number: int) -> DataSet:
    item: DataSet = {Tag(0x00080060): Element("CS", "CT")}
    return {
        Tag(0x00100010): Element("PN", f"Ünïcode^{number}"),
        Tag(0x00280010): Element("US", [number]),
        Tag(0x00400100): Element("SQ", [item]),
    }


def test_a_search_is_kept_as_it_was(archive: Archive) -> None:
    keys = {Tag(0x00100010): "Ü*", Tag(0x00080020): "20240101-"}
    answers = [answer(number) for number in range(1200)]
    query_id = queries.remember(archive, "a", Level.STUDY, keys, answers, timeout_s=3, local_aet="ME", kept=0)
    made = queries.get(archive, query_id)
    assert (made.modality, made.level, made.keys, made.timeout_s, made.local_aet) == ("a", Level.STUDY, keys, 3, "ME")
    assert made.number_of_answers == 1200
    assert queries.answers(archive, query_id) == answers
    assert queries.answer(archive, query_id, 1199) == answers[1199]
    with pytest.raises(ParameterOutOfRange):
        queries.answer(archive, query_id, 1200)
    queries.delete(archive, query_id)
    queries.delete(archive, query_id)
    for action in (queries.get, queries.answers):
        with pytest.raises(UnknownResource):
            action(archive, query_id)


def test_the_oldest_searches_make_room(archive: Archive) -> None:
    ids = [
        queries.remember(archive, "a", Level.STUDY, {}, [answer(number)], timeout_s=0, local_aet="", kept=3)
        for number in range(7)
    ]
    assert queries.list_ids(archive) == ids[-3:]
    with archive.database.read() as tx:
        assert tx.all("SELECT count(*) FROM query_answers") == [(3,)]


def test_instances_are_described_in_the_order_asked_for(archive: Archive) -> None:
    ids = [store(archive, dicom_file(instance=number)).instance_id for number in (1, 2, 3)]
    wanted = [ids[2], OrthancId("gone"), ids[0]]
    with archive.database.read() as tx:
        found = sending.described(tx, wanted)
    assert [each.orthanc_id for each in found] == [ids[2], ids[0]]
    assert found[0][1:4] == (CT_IMAGE_STORAGE, f"{ROOT}.1.1.1.3", "1.2.840.10008.1.2.1")
    instance = outgoing(archive, [ids[0]])[ids[0]]
    assert b"".join(bytes(piece) for piece in instance.file()) == dicom_file(instance=1)
