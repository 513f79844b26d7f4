"""An archive does what a dictionary would, through stores, overwrites, deletions, searches, recycling and restarts.

`AMONSUL_TEST_ROUNDS=200 pytest tests/contract/test_model.py` is the full run (FZ-12).
"""

from __future__ import annotations

import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from amonsul.archive import changes, edit, find, fsck, read, statistics
from amonsul.archive.context import Archive, Overwrite
from amonsul.archive.edit import RemainingAncestor
from amonsul.archive.ingest import IngestStatus
from amonsul.archive.maintenance import Recovered, recover
from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.database import SqliteSettings, open_database
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.matching import SingleValue, WildCard
from amonsul.dicom.query import Constraint, Query
from amonsul.errors import UnknownResource
from tests.contract.dicom_files import instance_file
from tests.contract.storing import store

SMALL = st.integers(1, 2)
MODALITIES = ("CT", "MR")


@dataclass
class Node:
    """A resource of the model."""

    level: Level
    orthanc_id: OrthancId
    parent: Node | None
    description: str
    label: str | None = None

    @property
    def lineage(self) -> list[Node]:
        """The resource and its ancestors, from itself up."""
        return [self, *(self.parent.lineage if self.parent else [])]


class ArchiveModel(RuleBasedStateMachine):
    """Rules on an archive and on a model of it."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.TemporaryDirectory()
        self.stack = ExitStack()
        self.nodes: dict[OrthancId, Node] = {}
        self.files: dict[OrthancId, bytes] = {}
        self.patients: dict[OrthancId, int] = {}
        self.log: list[tuple[int, str, OrthancId]] = []
        self.last = 0
        self.archive = self.open()

    def open(self) -> Archive:
        root = Path(self.folder.name)
        database = open_database(SqliteSettings(root / "index.db", synchronous=False))
        self.stack.callback(database.close)
        blobs = FilesystemBlobs(root / "storage", sync=False)
        self.stack.callback(blobs.close)
        return Archive(database, blobs)

    @initialize(overwrite=st.sampled_from(Overwrite), maximum_patient_count=st.integers(0, 1))
    def choose(self, overwrite: Overwrite, maximum_patient_count: int) -> None:
        self.overwrite = overwrite
        self.maximum_patient_count = maximum_patient_count
        chosen = replace(self.archive.settings, overwrite=overwrite, maximum_patient_count=maximum_patient_count)
        self.archive = replace(self.archive, settings=chosen)

    @rule(patient=SMALL, study=SMALL, series=SMALL, instance=st.integers(1, 3), version=st.integers(0, 2))
    def store(self, patient: int, study: int, series: int, instance: int, version: int) -> None:
        more: dict[str, Any] = {"StudyDescription": f"version {version}", "Modality": MODALITIES[series - 1]}
        data = instance_file(patient, study, series, instance, pixels=bytes(100 * version), **more)
        stored = store(self.archive, data)
        self.patients[stored.patient_id] = patient
        ids = (stored.patient_id, stored.study_id, stored.series_id, stored.instance_id)
        present = self.files.get(stored.instance_id)
        kept = present is not None and (
            self.overwrite is Overwrite.NEVER or (self.overwrite is Overwrite.IF_CHANGED and present == data)
        )
        assert stored.status is (IngestStatus.ALREADY_STORED if kept else IngestStatus.SUCCESS)
        if kept:
            return
        if present is not None:
            self.forget(stored.instance_id)
        if self.maximum_patient_count and stored.patient_id not in self.nodes:
            for node in [node for node in self.nodes.values() if node.level is Level.PATIENT]:
                self.forget(node.orthanc_id)
        parent: Node | None = None
        appeared = []
        for level, orthanc_id in zip(Level, ids, strict=True):
            if orthanc_id not in self.nodes:
                self.nodes[orthanc_id] = Node(level, orthanc_id, parent, f"version {version}")
                appeared.append(self.nodes[orthanc_id])
            parent = self.nodes[orthanc_id]
        self.files[stored.instance_id] = data
        for node in reversed(appeared):
            self.last += 1
            self.log.append((self.last, f"New{node.level.type_name}", node.orthanc_id))

    def forget(self, orthanc_id: OrthancId) -> Node | None:
        """Remove a resource from the model; answers the nearest ancestor that stays."""
        target = self.nodes[orthanc_id]
        gone = {node.orthanc_id for node in self.nodes.values() if target in node.lineage}
        ancestor = target.parent
        while ancestor is not None and all(
            node.orthanc_id in gone for node in self.nodes.values() if node.parent is ancestor
        ):
            gone.add(ancestor.orthanc_id)
            ancestor = ancestor.parent
        self.nodes = {key: node for key, node in self.nodes.items() if key not in gone}
        self.files = {key: data for key, data in self.files.items() if key not in gone}
        self.log = [line for line in self.log if line[2] not in gone]
        return ancestor

    @precondition(lambda self: self.nodes)
    @rule(data=st.data())
    def delete(self, data: st.DataObject) -> None:
        target = self.nodes[data.draw(st.sampled_from(sorted(self.nodes)))]
        remaining = edit.delete(self.archive, target.level, target.orthanc_id)
        ancestor = self.forget(target.orthanc_id)
        expected = None if ancestor is None else RemainingAncestor(ancestor.level, ancestor.orthanc_id)
        assert remaining == expected

    @precondition(lambda self: self.nodes)
    @rule(data=st.data(), label=st.sampled_from(["a", "b"]))
    def label(self, data: st.DataObject, label: str) -> None:
        target = self.nodes[data.draw(st.sampled_from(sorted(self.nodes)))]
        if target.label is not None:
            edit.remove_label(self.archive, target.level, target.orthanc_id, target.label)
        edit.add_label(self.archive, target.level, target.orthanc_id, label)
        target.label = label

    @rule(patient=SMALL, label=st.sampled_from(["", "a", "b"]), wild=st.booleans())
    def search(self, patient: int, label: str, wild: bool) -> None:
        match = WildCard(f"pid{patient}*") if wild else SingleValue(f"PID{patient}")
        constraint = Constraint(Tag(0x00100020), match, case_sensitive=False)
        query = Query(Level.STUDY, (constraint,), labels=frozenset({label} - {""}))
        expected = {
            node.orthanc_id
            for node in self.nodes.values()
            if node.level is Level.STUDY
            and node.parent is not None
            and self.patients[node.parent.orthanc_id] == patient
            and label in ("", node.label)
        }
        assert set(find.find_ids(self.archive, query)) == expected
        assert find.count(self.archive, query) == len(expected)

    @rule()
    def restart(self) -> None:
        settings_now = self.archive.settings
        self.stack.close()
        self.archive = replace(self.open(), settings=settings_now)
        assert recover(self.archive) == Recovered(0, 0)

    @rule()
    def clear_changes(self) -> None:
        changes.clear(self.archive)
        self.log.clear()

    @invariant()
    def the_tree_is_that_of_the_model(self) -> None:
        for level in Level:
            expected = {node.orthanc_id: node for node in self.nodes.values() if node.level is level}
            found = find.list_resources(self.archive, level, content=find.Content.ALL)
            assert {resource.orthanc_id for resource in found} == set(expected)
            for resource in found:
                node = expected[resource.orthanc_id]
                children = {child.orthanc_id for child in self.nodes.values() if child.parent is node}
                assert set(resource.children) == children
                assert resource.parent == (node.parent.orthanc_id if node.parent else None)
                assert list(resource.labels) == ([node.label] if node.label else [])
                below = [key for key in self.files if node in self.nodes[key].lineage]
                if level is Level.INSTANCE:
                    assert resource.file_size == len(self.files[resource.orthanc_id])
                    continue
                assert resource.number_of_instances == len(below)
                assert resource.disk_size == sum(len(self.files[key]) for key in below)
                if level is Level.STUDY:
                    assert resource.main_tags[Tag(0x00081030)] == node.description

    @invariant()
    def the_files_are_those_of_the_model(self) -> None:
        for orthanc_id, data in self.files.items():
            assert read.attachment(self.archive, Level.INSTANCE, orthanc_id).read() == data

    @invariant()
    def statistics_and_changes_are_exact(self) -> None:
        patients, studies, series, instances = (
            sum(node.level is level for node in self.nodes.values()) for level in Level
        )
        size = sum(map(len, self.files.values()))
        expected = statistics.SystemStatistics(patients, studies, series, instances, size, size)
        assert statistics.system(self.archive) == expected
        page = changes.page(self.archive, limit=10_000)
        assert [(change.sequence, change.change_type, change.orthanc_id) for change in page.changes] == self.log
        assert changes.page(self.archive, since=10_000).last == self.last

    def teardown(self) -> None:
        assert fsck.check(self.archive, verify_md5=True).clean
        for level in Level:
            try:
                edit.delete(self.archive, level, OrthancId("nowhere"))
            except UnknownResource:
                continue
            raise AssertionError("deleted what is not there")
        self.stack.close()
        self.folder.cleanup()


TestArchiveModel = ArchiveModel.TestCase
TestArchiveModel.settings = settings(
    max_examples=int(os.environ.get("AMONSUL_TEST_ROUNDS", 40)),
    stateful_step_count=25,
    deadline=None,
    database=None,
    suppress_health_check=list(HealthCheck),
)
