"""What clients turn while the server runs: seen by all processes, gone with the next start."""

from __future__ import annotations

from dataclasses import replace

from amonsul.archive import find
from amonsul.archive.context import DEFAULT_ENCODING, Archive
from amonsul.archive.switches import Switchboard
from amonsul.database import Database, DatabaseSettings, open_database
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level
from tests.contract.storing import store_instance


def test_a_switch_is_seen_by_another_process_and_forgotten_at_the_next_start(
    database: Database, database_settings: DatabaseSettings
) -> None:
    here = Switchboard(database)
    assert here.get("metrics") is None
    here.set("metrics", "1")
    here.set("metrics", "0")
    assert here.get("metrics") == "0"
    other = open_database(database_settings)
    there = Switchboard(other)
    assert there.get("metrics") == "0"
    there.forget()
    assert there.get("metrics") is None
    assert Switchboard(database).get("metrics") is None
    there.forget()
    other.close()


def test_the_default_encoding_reaches_what_comes_in(archive: Archive) -> None:
    archive = replace(archive, switches=Switchboard(archive.database))
    assert archive.default_encoding == "ISO_IR 100"
    archive.switches.set(DEFAULT_ENCODING, "Utf8")
    assert archive.default_encoding == "ISO_IR 192"
    stored = store_instance(archive, SpecificCharacterSet=None, PatientName="Müller")
    assert find.get(archive, Level.PATIENT, stored.patient_id).main_tags[Tag(0x00100010)] == "Müller"
