"""Stable resources: told once per quiet time, by whatever process, with a clock that the test turns."""

from __future__ import annotations

import threading

from amonsul.archive import changes, edit, find
from amonsul.archive.context import Archive
from amonsul.archive.stability import StabilityWatch
from amonsul.dicom.levels import Level
from tests.contract.storing import store_instance

AGE_S = 60.0


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def watch(archive: Archive, clock: Clock) -> StabilityWatch:
    return StabilityWatch(archive, AGE_S, clock)


def told(archive: Archive) -> list[str]:
    types = ("StableSeries", "StableStudy", "StablePatient")
    return [change.change_type for change in changes.page(archive, types=types).changes]


def pass_time(clock: Clock, seconds: float, *watches: StabilityWatch) -> None:
    """Let time go by, a second at a time."""
    for _ in range(int(seconds)):
        clock.now += 1
        for one in watches:
            while one.tick():
                pass


def test_a_quiet_time_is_told_once_from_the_series_up(archive: Archive) -> None:
    clock = Clock()
    one = watch(archive, clock)
    stored = store_instance(archive)
    pass_time(clock, 60, one)
    assert told(archive) == []
    assert not find.get(archive, Level.STUDY, stored.study_id).is_stable
    pass_time(clock, 2, one)
    assert told(archive) == ["StableSeries", "StableStudy", "StablePatient"]
    for level, orthanc_id in ((0, stored.patient_id), (1, stored.study_id), (2, stored.series_id)):
        assert find.get(archive, Level(level), orthanc_id).is_stable
    pass_time(clock, 200, one)
    assert len(told(archive)) == 3


def test_a_new_instance_begins_a_new_quiet_time_of_its_ancestors(archive: Archive) -> None:
    clock = Clock()
    one = watch(archive, clock)
    stored = store_instance(archive)
    pass_time(clock, 40, one)
    store_instance(archive, series=2)
    pass_time(clock, 22, one)
    assert told(archive) == ["StableSeries"]
    assert not find.get(archive, Level.STUDY, stored.study_id).is_stable
    pass_time(clock, 40, one)
    assert told(archive) == ["StableSeries", "StableSeries", "StableStudy", "StablePatient"]
    store_instance(archive, instance=2)
    assert not find.get(archive, Level.SERIES, stored.series_id).is_stable
    pass_time(clock, 62, one)
    assert told(archive)[4:] == ["StableSeries", "StableStudy", "StablePatient"]


def test_metadata_labels_and_deletions_leave_it_alone(archive: Archive) -> None:
    clock = Clock()
    one = watch(archive, clock)
    stored = store_instance(archive)
    second = store_instance(archive, instance=2).instance_id
    pass_time(clock, 62, one)
    edit.set_metadata(archive, Level.STUDY, stored.study_id, "1024", b"x")
    edit.add_label(archive, Level.STUDY, stored.study_id, "x")
    edit.delete(archive, Level.INSTANCE, second)
    assert find.get(archive, Level.SERIES, stored.series_id).is_stable
    pass_time(clock, 100, one)
    assert len(told(archive)) == 3


def test_what_a_process_left_behind_another_tells_and_none_twice(archive: Archive) -> None:
    clock = Clock()
    first = watch(archive, clock)
    store_instance(archive, 1)
    pass_time(clock, 30, first)
    second = watch(archive, clock)  # after a restart, or on another machine
    store_instance(archive, 2)
    pass_time(clock, 62, second)
    assert len(told(archive)) == 6
    third = watch(archive, clock)
    pass_time(clock, 200, first, second, third)
    assert len(told(archive)) == 6


def test_many_watches_at_once_tell_each_resource_once(archive: Archive) -> None:
    clock = Clock()
    watches = [watch(archive, clock) for _ in range(4)]
    for patient in range(1, 9):
        store_instance(archive, patient)
    for one in watches:
        one.tick()
    clock.now += AGE_S + 1
    threads = [threading.Thread(target=one.tick) for one in watches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(told(archive)) == ["StablePatient"] * 8 + ["StableSeries"] * 8 + ["StableStudy"] * 8


def test_a_series_is_completed_when_its_last_promised_instance_comes(archive: Archive) -> None:
    for instance in (1, 3):
        store_instance(archive, instance=instance, CardiacNumberOfImages="3")
    types = ("CompletedSeries",)
    assert changes.page(archive, types=types).changes == []
    stored = store_instance(archive, instance=2, CardiacNumberOfImages="3")
    (change,) = changes.page(archive, types=types).changes
    assert (change.level, change.orthanc_id) == (Level.SERIES, stored.series_id)
    assert find.get(archive, Level.SERIES, stored.series_id).status == "Complete"
    store_instance(archive, instance=4, CardiacNumberOfImages="3")
    assert len(changes.page(archive, types=types).changes) == 1
