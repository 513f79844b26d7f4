"""SplitStudy: series and instances of a study move into a new one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from pydicom.dataset import Dataset

from amonsul.archive.context import Archive
from amonsul.database.transforming import Ancestry
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.modification import modify
from amonsul.dicom.regrouping import parse_split, split_study_uid
from amonsul.dicom.tag_values import Encoder
from amonsul.dicom.uid_map import LevelOf, UidMap
from amonsul.imaging.codecs import Codecs
from amonsul.jobs.kind import Kind, Progress, Running
from amonsul.jobs.transformation import NOBODY, Submitter, Work, transform


@dataclass(frozen=True, slots=True)
class SplitStudy:
    """Arguments.

    Attributes:
        study_instance_uid: of the study to split.
        instances: that move.
        body: of the request.
        key: of the new identifiers, in hexadecimal digits.
    """

    study_instance_uid: str
    instances: tuple[OrthancId, ...]
    body: object
    key: str
    permissive: bool = False
    submitter: Submitter = NOBODY
    description: str = "REST API"

    @property
    def uid_map(self) -> UidMap:
        """Makes the new identifiers."""
        return UidMap(bytes.fromhex(self.key))

    @property
    def target_study_uid(self) -> str:
        """Study Instance UID of the new study."""
        return split_study_uid(self.uid_map, self.study_instance_uid)


def split_study(archive: Archive, codecs: Codecs) -> Kind[SplitStudy]:
    """The kind, with what it works with."""

    def run(arguments: SplitStudy, running: Running) -> Iterator[Progress]:
        split = parse_split(arguments.body, archive.dictionary)
        modification = split.modification(arguments.target_study_uid)
        uid_map = arguments.uid_map
        encoder = Encoder(archive.dictionary, default_charset=archive.default_encoding)

        def change(data_set: Dataset, level_of: LevelOf) -> None:
            modify(data_set, modification, uid_map, level_of, encoder)

        def show(ancestry: Ancestry) -> None:
            running.content["TargetStudy"] = ancestry[Level.STUDY]

        yield from transform(
            archive,
            codecs,
            running,
            Work(
                instances=arguments.instances,
                change=change,
                submitter=arguments.submitter,
                permissive=arguments.permissive,
                keep_source=split.output.keep_source,
                keep_labels=split.output.keep_labels,
                stored=show,
            ),
        )

    def content(arguments: SplitStudy) -> dict[str, object]:
        return {
            "Description": arguments.description,
            "FailedInstancesCount": 0,
            "InstancesCount": len(arguments.instances),
            "TargetStudyUID": arguments.target_study_uid,
        }

    return Kind("SplitStudy", SplitStudy, run, content)
