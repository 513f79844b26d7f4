"""Storage commitment as the archive keeps it: what it is responsible for, and what others took over."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from amonsul.archive import commitment, find, read
from amonsul.archive.commitment import CommitmentStatus
from amonsul.archive.context import Archive, ArchiveSettings
from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.blobs.memory import MemoryBlobs
from amonsul.database import Database, DatabaseSettings, open_database
from amonsul.dicom.commitment import CommitmentReport, FailureReason, Reference, Refusal
from amonsul.dicom.levels import Level
from amonsul.errors import BadSequenceOfCalls, InexistentItem
from tests.contract.dicom_files import CT_IMAGE_STORAGE
from tests.contract.storing import store_instance

MR_IMAGE_STORAGE = "1.2.840.10008.5.1.4.1.1.4"
UNKNOWN = Reference(CT_IMAGE_STORAGE, "1.2.3.4")


def stored(archive: Archive, number: int) -> Reference:
    got = store_instance(archive, instance=number)
    return Reference(got.sop_class_uid, got.sop_instance_uid)


def begin(archive: Archive, *references: Reference, uid: str = "1.2.1", kept: int = 0) -> None:
    commitment.begin(archive, uid, "REMOTE", references, kept=kept)


def receive(archive: Archive, report: CommitmentReport, aet: str = "REMOTE", strict: bool = True) -> bool:
    return commitment.receive(archive, aet, report, strict=strict)


def test_each_instance_is_looked_at(archive: Archive) -> None:
    here = stored(archive, 1)
    other_class = Reference(MR_IMAGE_STORAGE, stored(archive, 2).sop_instance_uid)
    assert commitment.failures(archive, [here, UNKNOWN, other_class], checks_files=False) == {
        UNKNOWN: FailureReason.NO_SUCH_OBJECT_INSTANCE,
        other_class: FailureReason.CLASS_INSTANCE_CONFLICT,
    }


@pytest.mark.parametrize("store_md5", [True, False])
@pytest.mark.parametrize("damage", ["gone", "shorter", "changed"])
def test_files_are_read_if_they_are_to_be(archive: Archive, tmp_path: Path, damage: str, store_md5: bool) -> None:
    blobs = FilesystemBlobs(tmp_path / "storage", sync=False)
    archive = replace(archive, blobs=blobs, settings=ArchiveSettings(store_md5=store_md5))
    sound, broken = stored(archive, 1), stored(archive, 2)
    (broken_id,) = (found for _, found in find.lookup(archive, broken.sop_instance_uid))
    path = read.attachment(archive, Level.INSTANCE, broken_id).path()
    assert path is not None
    data = path.read_bytes()
    path.unlink()
    if damage != "gone":
        path.write_bytes(data[:-1] if damage == "shorter" else data[:-1] + bytes([data[-1] ^ 1]))
    assert commitment.failures(archive, [sound, broken], checks_files=False) == {}
    expected = {} if damage == "changed" and not store_md5 else {broken: FailureReason.PROCESSING_FAILURE}
    assert commitment.failures(archive, [sound, broken], checks_files=True) == expected
    blobs.close()


def test_a_report_makes_a_commitment(archive: Archive) -> None:
    one, two = stored(archive, 1), stored(archive, 2)
    begin(archive, one, two)
    assert commitment.get(archive, "1.2.1").status is CommitmentStatus.PENDING
    assert receive(archive, CommitmentReport("1.2.1", (two, one)))
    found = commitment.get(archive, "1.2.1")
    assert (found.status, found.committed, found.refused) == (CommitmentStatus.SUCCESS, (one, two), ())


def test_refusals_are_kept_with_their_reasons(archive: Archive) -> None:
    one, two = stored(archive, 1), stored(archive, 2)
    begin(archive, one, two)
    receive(archive, CommitmentReport("1.2.1", (one,), (Refusal(two, 0x0213),)))
    found = commitment.get(archive, "1.2.1")
    assert (found.status, found.refused) == (CommitmentStatus.FAILURE, (Refusal(two, 0x0213),))


def test_what_a_report_leaves_out_is_not_committed(archive: Archive) -> None:
    one, two = stored(archive, 1), stored(archive, 2)
    begin(archive, one, two)
    receive(archive, CommitmentReport("1.2.1", (one, UNKNOWN)))
    found = commitment.get(archive, "1.2.1")
    assert found.status is CommitmentStatus.FAILURE
    assert (found.committed, found.refused) == ((one,), (Refusal(two, FailureReason.PROCESSING_FAILURE),))


def test_only_who_was_asked_can_report(archive: Archive) -> None:
    one = stored(archive, 1)
    begin(archive, one)
    for aet, strict in (("OTHER", False), ("remote", True)):
        with pytest.raises(commitment.NotTheirs):
            receive(archive, CommitmentReport("1.2.1", (one,)), aet, strict)
    assert commitment.get(archive, "1.2.1").status is CommitmentStatus.PENDING
    assert receive(archive, CommitmentReport("1.2.1", (one,)), "remote", strict=False)


def test_reports_on_something_unknown_are_not_kept(archive: Archive) -> None:
    assert not receive(archive, CommitmentReport("1.2.9", (UNKNOWN,)))
    with pytest.raises(InexistentItem):
        commitment.get(archive, "1.2.9")


def test_the_oldest_make_room(archive: Archive) -> None:
    for number in range(5):
        begin(archive, UNKNOWN, uid=f"1.2.{number}", kept=2)
    for number in range(3):
        with pytest.raises(InexistentItem):
            commitment.get(archive, f"1.2.{number}")
    assert commitment.get(archive, "1.2.3").references == (UNKNOWN,)


def test_a_restart_between_request_and_report_loses_nothing(
    database: Database, database_settings: DatabaseSettings
) -> None:
    blobs = MemoryBlobs()
    one = stored(Archive(database, blobs), 1)
    begin(Archive(database, blobs), one)
    database.close()
    for _ in range(2):
        again = open_database(database_settings)
        try:
            assert receive(Archive(again, blobs), CommitmentReport("1.2.1", (one,)))
            assert commitment.get(Archive(again, blobs), "1.2.1").committed == (one,)
        finally:
            again.close()


def test_what_is_committed_can_be_removed(archive: Archive) -> None:
    one, two, three = (stored(archive, number) for number in range(1, 4))
    begin(archive, one, two)
    with pytest.raises(BadSequenceOfCalls):
        commitment.remove_committed(archive, "1.2.1")
    receive(archive, CommitmentReport("1.2.1", (one, two)))
    for _ in range(2):
        commitment.remove_committed(archive, "1.2.1")
        assert [found for found in (one, two, three) if find.lookup(archive, found.sop_instance_uid)] == [three]


def test_nothing_is_removed_after_a_failure(archive: Archive) -> None:
    one, two = stored(archive, 1), stored(archive, 2)
    begin(archive, one, two)
    receive(archive, CommitmentReport("1.2.1", (one,)))
    with pytest.raises(BadSequenceOfCalls):
        commitment.remove_committed(archive, "1.2.1")
    assert find.lookup(archive, one.sop_instance_uid)
