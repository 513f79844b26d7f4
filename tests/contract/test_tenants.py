"""What tenants see of one archive, against a model that knows nothing of the index."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from amonsul.archive import commitment, edit, find
from amonsul.archive.context import Archive, ArchiveSettings, Overwrite
from amonsul.archive.ingest import ingest
from amonsul.blobs.spool import Spooled
from amonsul.dicom.commitment import FailureReason, Reference
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.matching import SingleValue
from amonsul.dicom.query import Constraint, LabelsConstraint, Query, View
from tests.contract.dicom_files import CT_IMAGE_STORAGE, instance_file
from tests.contract.storing import REST, store_instance

ALL, ANY, NONE = LabelsConstraint
DEFAULT_LEVELS = frozenset({Level.STUDY, Level.SERIES, Level.INSTANCE})
MODALITIES_IN_STUDY = Tag(0x00080061)
NUMBER_OF_SERIES, NUMBER_OF_INSTANCES = Tag(0x00201206), Tag(0x00201208)
SERIES_DESCRIPTION = Tag(0x0008103E)

Path = tuple[OrthancId, OrthancId, OrthancId, OrthancId]


@dataclass(frozen=True)
class Tenant:
    labels: tuple[str, ...]
    constraint: LabelsConstraint = ALL
    store_levels: frozenset[Level] = DEFAULT_LEVELS

    @property
    def view(self) -> View:
        return View(self.labels, self.constraint)

    def may(self, labels: Collection[str]) -> bool:
        """The constraint, as the documents say it."""
        shared = set(self.labels) & set(labels)
        if self.constraint is ALL:
            return shared == set(self.labels)
        if self.constraint is ANY:
            return bool(shared) or not self.labels
        return not shared if self.labels else not labels


@dataclass
class Model:
    """Instances by path, and labels by resource."""

    paths: list[Path] = field(default_factory=list)
    labels: dict[OrthancId, set[str]] = field(default_factory=lambda: defaultdict(set))

    def found(self, tenant: Tenant, level: Level) -> set[OrthancId]:
        return {path[level] for path in self.paths if tenant.may(self.labels[path[level]])}

    def leaving(self, tenant: Tenant, level: Level) -> set[OrthancId]:
        """Instances that leave when everything that is found at a level is retrieved."""
        found = self.found(tenant, level)
        return {
            path[Level.INSTANCE]
            for path in self.paths
            if path[level] in found
            and all(not self.labels[below] or tenant.may(self.labels[below]) for below in path[level + 1 :])
        }


def store(archive: Archive, tenant: Tenant | None, *numbers: int, **more: Any) -> Path:
    labels = dict.fromkeys(tenant.store_levels, tenant.labels) if tenant is not None else {}
    patient, study, series, instance = numbers
    got = ingest(archive, Spooled.of(instance_file(patient, study, series, instance, **more)), REST, labels)
    return got.patient_id, got.study_id, got.series_id, got.instance_id


def leaving(archive: Archive, view: View | None, level: Level) -> set[OrthancId]:
    return {
        instance
        for page in find.iterate(archive, Query(level, view=view))
        for resource in page
        for instance in find.instances_seen(archive, level, resource.orthanc_id, view)
    }


def values(archive: Archive, view: View, level: Level, *tags: Tag) -> dict[OrthancId, Mapping[Tag, object]]:
    found: dict[OrthancId, Mapping[Tag, object]] = {}
    for page in find.iterate(archive, Query(level, requested_tags=tags, view=view)):
        told = find.elements(archive, page, tags, view=view)
        found.update(zip((resource.orthanc_id for resource in page), told, strict=True))
    return found


LABELS = st.sets(st.sampled_from("abc"), max_size=2).map(lambda labels: tuple(sorted(labels)))
TENANTS = st.builds(
    Tenant,
    LABELS,
    st.sampled_from(LabelsConstraint),
    st.sampled_from([DEFAULT_LEVELS, frozenset({Level.STUDY}), frozenset(Level)]),
)
SMALL = st.integers(1, 2)
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("store"), st.integers(-1, 2), st.tuples(SMALL, SMALL, SMALL, SMALL)),
        st.tuples(st.just("label"), st.sampled_from("abc"), st.tuples(st.integers(0, 30), st.sampled_from(Level))),
    ),
    min_size=1,
    max_size=12,
)


@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(tenants=st.tuples(TENANTS, TENANTS, TENANTS), steps=STEPS)
def test_nothing_leaves_that_the_model_keeps_back(
    archive: Archive, tenants: tuple[Tenant, Tenant, Tenant], steps: list[tuple[str, object, object]]
) -> None:
    model = Model()
    for patient in find.list_ids(archive, Level.PATIENT):
        edit.delete(archive, Level.PATIENT, patient)
    for what, who, where in steps:
        if what == "store":
            assert isinstance(who, int)
            assert isinstance(where, tuple)
            tenant = tenants[who] if who >= 0 else None
            path = store(archive, tenant, *where)
            if path not in model.paths:
                model.paths.append(path)
            if tenant is not None:
                for level in tenant.store_levels:
                    model.labels[path[level]].update(tenant.labels)
        elif model.paths:
            assert isinstance(who, str)
            assert isinstance(where, tuple)
            number, level = where
            resource = model.paths[number % len(model.paths)][level]
            edit.add_label(archive, level, resource, who)
            model.labels[resource].add(who)
    for tenant in tenants:
        for level in Level:
            query = Query(level, view=tenant.view)
            found = {resource.orthanc_id for page in find.iterate(archive, query) for resource in page}
            assert found == model.found(tenant, level) == set(find.find_ids(archive, query))
            assert find.count(archive, query) == len(found)
            left = leaving(archive, tenant.view, level)
            assert left == model.leaving(tenant, level)
            assert all(not model.labels[instance] or tenant.may(model.labels[instance]) for instance in left)
        counts = values(archive, tenant.view, Level.STUDY, NUMBER_OF_SERIES, NUMBER_OF_INSTANCES)
        seen = model.leaving(tenant, Level.STUDY)
        for study, told in counts.items():
            below = [path for path in model.paths if path[Level.STUDY] == study and path[Level.INSTANCE] in seen]
            assert told[NUMBER_OF_INSTANCES] == str(len(below))
            assert told[NUMBER_OF_SERIES] == str(len({path[Level.SERIES] for path in below}))


A, B = Tenant(("a",)), Tenant(("b",))


def test_a_shared_study_carries_nobody_elses_instances_out(archive: Archive) -> None:
    of_a, of_b = store(archive, A, 1, 1, 1, 1), store(archive, B, 1, 1, 2, 2)
    in_one_series = store(archive, B, 1, 1, 1, 3)
    assert find.get(archive, Level.STUDY, of_a[Level.STUDY]).labels == ["a", "b"]
    assert leaving(archive, A.view, Level.STUDY) == {of_a[Level.INSTANCE]}
    assert leaving(archive, B.view, Level.STUDY) == {of_b[Level.INSTANCE], in_one_series[Level.INSTANCE]}
    assert leaving(archive, None, Level.STUDY) == {of_a[3], of_b[3], in_one_series[3]}


def test_the_operator_may_let_whole_studies_go(archive: Archive) -> None:
    of_a, of_b = store(archive, A, 1, 1, 1, 1), store(archive, B, 1, 1, 2, 2)
    assert leaving(archive, replace(A.view, is_whole=True), Level.STUDY) == {of_a[3], of_b[3]}


def test_what_has_no_labels_belongs_to_what_is_above(archive: Archive) -> None:
    coarse = replace(A, store_levels=frozenset({Level.STUDY}))
    of_a = store(archive, coarse, 1, 1, 1, 1)
    assert leaving(archive, A.view, Level.STUDY) == {of_a[3]}
    assert leaving(archive, A.view, Level.SERIES) == set()


def test_computed_attributes_tell_nothing_of_others(archive: Archive) -> None:
    store(archive, A, 1, 1, 1, 1, Modality="CT")
    store(archive, B, 1, 1, 2, 2, Modality="MR")
    wanted = (MODALITIES_IN_STUDY, NUMBER_OF_SERIES, NUMBER_OF_INSTANCES)
    (told,) = values(archive, B.view, Level.STUDY, *wanted).values()
    assert [told[tag] for tag in wanted] == ["MR", "1", "1"]


@pytest.mark.parametrize(("modality", "number"), [("CT", 1), ("MR", 0)])
@pytest.mark.parametrize("level", [Level.PATIENT, Level.STUDY])
def test_searches_by_computed_attributes_tell_nothing_of_others(
    archive: Archive, level: Level, modality: str, number: int
) -> None:
    everywhere = frozenset(Level)
    store(archive, replace(A, store_levels=everywhere), 1, 1, 1, 1, Modality="CT")
    store(archive, replace(B, store_levels=everywhere), 1, 1, 2, 2, Modality="MR")
    query = Query(level, (Constraint(MODALITIES_IN_STUDY, SingleValue(modality)),), view=A.view)
    assert find.count(archive, query) == len(find.find_ids(archive, query)) == number


def test_attributes_come_from_instances_that_are_seen(archive: Archive) -> None:
    store(archive, A, 1, 1, 1, 1, ImageComments="of A")
    store(archive, B, 1, 1, 2, 2, ImageComments="of B")
    comments = Tag(0x00204000)
    for tenant, expected in ((A, "of A"), (B, "of B")):
        (told,) = values(archive, tenant.view, Level.STUDY, comments).values()
        value = told[comments]
        assert (value if isinstance(value, str) else value.value) == expected  # type: ignore[attr-defined]


def test_labels_are_also_given_to_what_is_stored_already(archive: Archive) -> None:
    store_instance(archive)
    path = store(archive, A, 1, 1, 1, 1)
    assert [find.get(archive, level, path[level]).labels for level in Level] == [[], ["a"], ["a"], ["a"]]


@pytest.mark.parametrize("keeps_labels", [True, False])
def test_where_there_are_tenants_labels_outlive_an_overwrite(archive: Archive, keeps_labels: bool) -> None:
    overwriting = replace(archive, settings=ArchiveSettings(overwrite=Overwrite.ALWAYS, keeps_labels=keeps_labels))
    path = store(overwriting, A, 1, 1, 1, 1)
    store(overwriting, None, 1, 1, 1, 1)
    expected = ["a"] if keeps_labels else []
    assert find.get(archive, Level.INSTANCE, path[3]).labels == expected
    assert find.get(archive, Level.STUDY, path[1]).labels == expected


def test_nobody_learns_by_storage_commitment_what_others_have(archive: Archive) -> None:
    store(archive, A, 1, 1, 1, 1)
    (uid,) = [resource.main_tags[Tag(0x00080018)] for resource in find.find(archive, Query(Level.INSTANCE))]
    reference = Reference(CT_IMAGE_STORAGE, uid)
    assert commitment.failures(archive, [reference], checks_files=False, view=A.view) == {}
    assert commitment.failures(archive, [reference], checks_files=False, view=B.view) == {
        reference: FailureReason.NO_SUCH_OBJECT_INSTANCE
    }


@pytest.mark.parametrize("constraint", LabelsConstraint)
@pytest.mark.parametrize("labels", [(), ("a",), ("a", "b")])
@pytest.mark.parametrize("own", [(), ("a",), ("b",), ("a", "b"), ("c",), ("a", "b", "c")])
def test_the_rule_is_that_of_searches_by_label(
    constraint: LabelsConstraint, labels: tuple[str, ...], own: tuple[str, ...]
) -> None:
    assert View(labels, constraint).permits(own) == Tenant(labels, constraint).may(own)
