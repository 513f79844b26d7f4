"""A process that dies at any marked point has lost nothing that it acknowledged and leaves nothing behind."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import amonsul
from amonsul.archive import find
from amonsul.blobs.crash import CRASH_POINTS
from amonsul.blobs.spool import Spooled
from amonsul.dicom.levels import Level
from tests.faults.places import Place, assert_whole_after_recovery, environment

IN_RECOVERY = {"recover.published", "recover.discarded"}


def run_worker(place: Place, crash_point: str, journal: Path) -> int:
    command = [sys.executable, "-m", "tests.faults.worker", str(place.folder), place.conninfo or "", str(journal)]
    done = subprocess.run(command, env=environment(AMONSUL_CRASH_POINT=crash_point), capture_output=True, check=False)
    assert done.returncode in (0, -signal.SIGKILL), done.stderr.decode()
    return done.returncode


def possible(journal: Path) -> dict[str, set[str | None]]:
    """For each instance the MD5s that its file may have; None if it may be absent."""
    states: dict[str, set[str | None]] = {}
    for line in journal.read_text().splitlines():
        step, verb, *words = line.split()
        if verb == "store":
            name, after = words[0], words[1]
            before = states.get(name, {None})
            states[name] = {after} if step == "done" else before | {after}
        else:
            for name in words:
                states[name] = {None} if step == "done" else states[name] | {None}
    return states


def assert_as_journal_says(place: Place, journal: Path) -> None:
    digests = assert_whole_after_recovery(place)
    with place.archive() as archive:
        found: dict[str, str] = {}
        for instance in find.list_resources(archive, Level.INSTANCE):
            *_, patient, _, _, number = instance.main_tags[archive.dictionary.tag("SOPInstanceUID")].split(".")
            found[f"{patient}.{number}"] = digests[instance.orthanc_id]
    states = possible(journal)
    for name, allowed in states.items():
        assert found.get(name) in allowed, name
    assert set(found) <= set(states)


@pytest.mark.parametrize("crash_point", sorted(CRASH_POINTS - IN_RECOVERY))
def test_a_crash_at_a_marked_point_loses_nothing_and_leaves_nothing(
    place: Place, crash_point: str, tmp_path: Path
) -> None:
    journal = tmp_path / "journal"
    # The first passage, and a later one; then a run to the end on what recovery made of it.
    assert run_worker(place, crash_point, journal) == -signal.SIGKILL
    assert_as_journal_says(place, journal)
    run_worker(place, f"{crash_point}:3", journal)
    assert_as_journal_says(place, journal)


@pytest.mark.parametrize("crash_point", sorted(IN_RECOVERY))
def test_a_crash_during_recovery_is_recovered_from(place: Place, crash_point: str, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    left = "ingest.committed" if crash_point == "recover.published" else "ingest.staged"
    assert run_worker(place, f"{left}:2", journal) == -signal.SIGKILL
    assert run_worker(place, crash_point, journal) == -signal.SIGKILL
    assert_as_journal_says(place, journal)


def test_without_a_crash_everything_is_as_the_journal_says(place: Place, tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    assert run_worker(place, "", journal) == 0
    assert_as_journal_says(place, journal)


def test_every_marked_point_is_in_the_list_and_in_the_code() -> None:
    root = Path(amonsul.__file__).parent
    used = {name for path in root.rglob("*.py") for name in re.findall(r'crash_point\("([\w.]+)"\)', path.read_text())}
    assert used == CRASH_POINTS


def test_a_spool_of_a_process_that_died_is_removed(tmp_path: Path) -> None:
    place = Place(tmp_path, None)
    with place.archive() as archive:
        spool = archive.blobs.spool()
        spool.write(bytes(20 << 20))  # is in a file now, and never finished
        archive.blobs.stage(Spooled.of(b"never committed"))
    assert len(place.files()) == 2
    assert assert_whole_after_recovery(place) == {}
