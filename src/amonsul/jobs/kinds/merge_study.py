"""MergeStudy: studies, series and instances move into a study that exists."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from amonsul.archive import find, rewriting
from amonsul.archive.context import Archive
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.regrouping import merge_into, parse_merge
from amonsul.dicom.uid_map import LevelOf, UidMap
from amonsul.errors import UnknownResource
from amonsul.imaging.codecs import Codecs
from amonsul.jobs.kind import Kind, Progress, Running
from amonsul.jobs.kinds.resource_modification import transcoding
from amonsul.jobs.transformation import NOBODY, Submitter, Work, transform


@dataclass(frozen=True, slots=True)
class MergeStudy:
    """Arguments.

    Attributes:
        target: the study to merge into.
        instances: that move.
        body: of the request.
        key: of the new identifiers, in hexadecimal digits.
        lossy_quality: where the request does not say.
    """

    target: OrthancId
    instances: tuple[OrthancId, ...]
    body: object
    key: str
    permissive: bool = False
    submitter: Submitter = NOBODY
    lossy_quality: int = 90
    description: str = "REST API"


def merge_study(archive: Archive, codecs: Codecs) -> Kind[MergeStudy]:
    """The kind, with what it works with."""

    def run(arguments: MergeStudy, running: Running) -> Iterator[Progress]:
        merge = parse_merge(arguments.body)
        uid_map = UidMap(bytes.fromhex(arguments.key))
        instances = find.descendant_ids(archive, Level.STUDY, arguments.target, Level.INSTANCE)
        if not instances:
            raise UnknownResource(f"the study {arguments.target} is gone")
        target = rewriting.load(archive, instances[0], with_pixels=False)
        target.decode()  # once, before several threads look at it

        def change(data_set: Dataset, level_of: LevelOf) -> None:
            merge_into(data_set, target, merge, uid_map, level_of)

        yield from transform(
            archive,
            codecs,
            running,
            Work(
                instances=arguments.instances,
                change=change,
                submitter=arguments.submitter,
                permissive=arguments.permissive,
                keep_source=merge.output.keep_source,
                keep_labels=merge.output.keep_labels,
                transcoding=transcoding(merge.output, arguments.lossy_quality),
            ),
        )

    def content(arguments: MergeStudy) -> dict[str, object]:
        return {
            "Description": arguments.description,
            "FailedInstancesCount": 0,
            "InstancesCount": len(arguments.instances),
            "TargetStudy": arguments.target,
        }

    return Kind("MergeStudy", MergeStudy, run, content)
