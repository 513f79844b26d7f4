"""Moving instances between studies: splitting a study, merging into one.

Both are modifications of series: they get new Series and SOP Instance UIDs, and the identifiers and the modules of the
patient and study that they move to. Here are the requests and the `Modification`s made of them; which instances they
apply to is the caller's matter.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydicom.dataset import Dataset
from pydicom.uid import UID

from amonsul.dicom.dictionary import STANDARD, Dictionary
from amonsul.dicom.editing import copy_element, remove, set_element, specific_character_set, text_of
from amonsul.dicom.elements import Tag, format_tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.modification import (
    IDENTIFIERS,
    STUDY_INSTANCE_UID,
    Edits,
    Modification,
    Output,
    boolean,
    json_object,
    modify,
    parse_edits,
    parse_output,
    parse_resources,
)
from amonsul.dicom.modules import MODULES
from amonsul.dicom.paths import TagPath
from amonsul.dicom.tag_values import Encoder, Text, Value, identifier_name, switch_to_utf_8
from amonsul.dicom.uid_map import LevelOf, UidMap, nothing_else
from amonsul.errors import BadFileFormat, BadRequest, ParameterOutOfRange

_STUDY_AND_ABOVE = MODULES[Level.PATIENT] | MODULES[Level.STUDY]


@dataclass(frozen=True, slots=True)
class Split:
    """A request to take series and instances out of a study into a new one."""

    series: tuple[OrthancId, ...]
    instances: tuple[OrthancId, ...]
    edits: Edits = field(default_factory=Edits)
    output: Output = field(default_factory=lambda: Output(keep_source=False))

    def modification(self, target_study_uid: str) -> Modification:
        """What becomes of the instances."""
        return Modification(Level.SERIES, _with_uid(self.edits, target_study_uid), output=self.output)


@dataclass(frozen=True, slots=True)
class Merge:
    """A request to move studies, series and instances into a study."""

    resources: tuple[OrthancId, ...]
    output: Output = field(default_factory=lambda: Output(keep_source=False))


def parse_split(body: object, dictionary: Dictionary = STANDARD) -> Split:
    """Read the body of `/studies/{id}/split`.

    Raises:
        BadRequest: neither series nor instances are named, or a field is of a wrong type.
        BadFileFormat: a list is none.
        ParameterOutOfRange: Replace or Remove has an attribute that is not of the patient or the study.
        BadParameterType: a value of a wrong type.
        UnknownDicomTag: an attribute is unknown.
    """
    fields = json_object({} if body is None else body)
    series, instances = (
        parse_resources(fields, name) if fields.get(name) is not None else () for name in ("Series", "Instances")
    )
    if not series and not instances:
        raise BadRequest('Both the "Series" and the "Instances" fields are missing')
    edits = parse_edits(fields, dictionary, needs_force=False)
    edits = Edits(edits.replace, edits.remove, (), edits.private_creator)
    for path in [path for path, _ in edits.replace] + list(edits.remove):
        _check_in_modules(path, dictionary)
    if any(path.tag in IDENTIFIERS for path in edits.remove):
        raise BadRequest("It is forbidden to remove one of the main Dicom identifiers")
    return Split(
        tuple(map(OrthancId, series)),
        tuple(map(OrthancId, instances)),
        edits,
        Output(keep_source=boolean(fields, "KeepSource"), keep_labels=boolean(fields, "KeepLabels")),
    )


def parse_merge(body: object) -> Merge:
    """Read the body of `/studies/{id}/merge`.

    Raises:
        BadFileFormat: there is no list of resources.
        BadRequest: a field is of a wrong type.
    """
    resources = parse_resources(body)
    fields = body if isinstance(body, Mapping) else {}
    return Merge(tuple(map(OrthancId, resources)), parse_output(fields, keep_source=False))


def split_study_uid(uid_map: UidMap, source_study_uid: str) -> str:
    """Study Instance UID of the new study of a split, the same each time the job runs."""
    return uid_map.uid(f"split {source_study_uid}")


def merge_into(
    data_set: Dataset, target: Dataset, merge: Merge, uid_map: UidMap, level_of: LevelOf = nothing_else
) -> None:
    """Make an instance one of another study, in place.

    Args:
        data_set: as read.
        target: any instance of the study to merge into; it stays as it is.
        merge: the request.
        uid_map: of the operation.
        level_of: tells what else is merged.

    Raises:
        BadFileFormat: the data set cannot be read.
    """
    study_uid = text_of(target, STUDY_INSTANCE_UID)
    if not study_uid:
        raise BadFileFormat("the study to merge into has no Study Instance UID")
    modification = Modification(Level.SERIES, _with_uid(Edits(), study_uid), output=merge.output)
    modify(data_set, modification, uid_map, level_of, Encoder())
    if specific_character_set(data_set) != specific_character_set(target):
        switch_to_utf_8(data_set)
    for tag in sorted(_STUDY_AND_ABOVE):
        remove(data_set, tag)
        copy_element(target, data_set, tag)
    set_element(data_set, STUDY_INSTANCE_UID, "UI", UID(study_uid, validation_mode=0))


def _with_uid(edits: Edits, study_uid: str) -> Edits:
    uid: tuple[TagPath, Value] = (TagPath((), STUDY_INSTANCE_UID), Text(study_uid))
    return Edits((*edits.replace, uid), edits.remove, edits.keep, edits.private_creator, force=True)


def _check_in_modules(path: TagPath, dictionary: Dictionary) -> None:
    tag: Tag = path.steps[0].tag if path.steps else path.tag
    if tag not in _STUDY_AND_ABOVE or tag == STUDY_INSTANCE_UID:
        raise ParameterOutOfRange(
            "Cannot modify the following tag while splitting a study (not in the patient/study modules): "
            f"{identifier_name(dictionary, tag)} ({format_tag(tag)})"
        )
