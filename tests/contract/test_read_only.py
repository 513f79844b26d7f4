"""A read-only archive: everything is read, nothing is changed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from amonsul.archive import changes, edit, find, read
from amonsul.archive.context import Archive
from amonsul.archive.reconstruct import Scope, invalidate_summaries, reconstruct
from amonsul.blobs.memory import MemoryBlobs
from amonsul.blobs.spool import Spooled
from amonsul.dicom.levels import Level
from amonsul.errors import ReadOnly
from amonsul.imaging.codecs import LocalCodecs
from tests.contract.storing import store_instance


def test_whatever_would_change_it_is_refused(archive: Archive) -> None:
    stored = store_instance(archive)
    study = stored.study_id
    closed = replace(archive, settings=replace(archive.settings, read_only=True))
    attempts: list[Callable[[], object]] = [
        lambda: store_instance(closed, 2),
        lambda: edit.delete(closed, Level.STUDY, study),
        lambda: edit.set_metadata(closed, Level.STUDY, study, "1024", b"x"),
        lambda: edit.delete_metadata(closed, Level.STUDY, study, "1024"),
        lambda: edit.add_label(closed, Level.STUDY, study, "x"),
        lambda: edit.remove_label(closed, Level.STUDY, study, "x"),
        lambda: edit.set_attachment(closed, Level.STUDY, study, "1024", Spooled.of(b"x")),
        lambda: edit.delete_attachment(closed, Level.STUDY, study, "1024"),
        lambda: edit.set_compression(closed, Level.INSTANCE, stored.instance_id, "dicom", True),
        lambda: edit.set_protection(closed, stored.patient_id, True),
        lambda: changes.clear(closed),
        lambda: changes.clear_exports(closed),
        lambda: reconstruct(closed, LocalCodecs(), Scope(Level.STUDY, study)),
        lambda: reconstruct(closed, LocalCodecs(), Scope()),
        lambda: invalidate_summaries(closed),
    ]
    for attempt in attempts:
        with pytest.raises(ReadOnly):
            attempt()
    assert find.list_ids(closed, Level.STUDY, 0, 0) == [study]
    assert len(changes.page(closed).changes) == 4
    assert read.attachment(closed, Level.INSTANCE, stored.instance_id).verify()
    assert isinstance(archive.blobs, MemoryBlobs)
    assert len(list(archive.blobs.scan())) == 1
    assert not archive.blobs._staged
