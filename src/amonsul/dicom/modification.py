"""Changing instances: what requests ask for, and doing it to a data set.

Modification has a level. The identifiers above it stay, those at it and below become new ones, unless they are kept
or replaced, which breaks the model of the real world and is only done with `Force`. References from inside sequences
to what is changed in the same operation follow.

A request is parsed once into a `Modification`; `modify` applies it to one data set after the other. All that the data
sets share is the `UidMap` with its key.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID

from amonsul.dicom import uids
from amonsul.dicom.dictionary import STANDARD, Dictionary
from amonsul.dicom.editing import MAX_DEPTH, remove, sequences, set_element, text_of, uids_of, vr_of
from amonsul.dicom.elements import Tag, format_tag
from amonsul.dicom.levels import Level
from amonsul.dicom.part10 import IMPLEMENTATION_CLASS_UID, IMPLEMENTATION_VERSION_NAME
from amonsul.dicom.paths import Location, TagPath, data_sets_at, parse_path
from amonsul.dicom.tag_values import Encoder, Text, Value, identifier_name, parse_value
from amonsul.dicom.uid_map import LevelOf, UidMap, nothing_else
from amonsul.errors import BadFileFormat, BadRequest, ParameterOutOfRange

PATIENT_ID: Final = Tag(0x00100020)
STUDY_INSTANCE_UID: Final = Tag(0x0020000D)
SERIES_INSTANCE_UID: Final = Tag(0x0020000E)
SOP_INSTANCE_UID: Final = Tag(0x00080018)
SOP_CLASS_UID: Final = Tag(0x00080016)

IDENTIFIERS: Final[Mapping[Tag, Level]] = MappingProxyType(
    {
        PATIENT_ID: Level.PATIENT,
        STUDY_INSTANCE_UID: Level.STUDY,
        SERIES_INSTANCE_UID: Level.SERIES,
        SOP_INSTANCE_UID: Level.INSTANCE,
    }
)

MAX_PATHS = 10_000
"""In Replace, Remove or Keep of one request."""


@dataclass(frozen=True, slots=True)
class Edits:
    """What modification and de-identification have in common.

    Keeping wins over replacing, replacing over removing.
    """

    replace: tuple[tuple[TagPath, Value], ...] = ()
    remove: tuple[TagPath, ...] = ()
    keep: tuple[TagPath, ...] = ()
    private_creator: str = ""
    force: bool = False

    def replaces(self, tag: int) -> bool:
        """Whether an attribute of the outermost data set gets a value from the request."""
        return not self.keeps(tag) and any(path.tag == tag and not path.is_nested for path, _ in self.replace)

    def keeps(self, tag: int) -> bool:
        """Whether an attribute of the outermost data set is to stay."""
        return any(path.tag == tag and not path.is_nested for path in self.keep)

    def replaced_uids(self) -> dict[Level, str]:
        """The identifiers given by the request, Patient ID too."""
        return {
            IDENTIFIERS[path.tag]: value.text.strip(" \0")
            for path, value in self.replace
            if not path.is_nested and path.tag in IDENTIFIERS and isinstance(value, Text) and not self.keeps(path.tag)
        }

    def kept_levels(self) -> frozenset[Level]:
        """The levels whose identifier is to stay."""
        return frozenset(level for tag, level in IDENTIFIERS.items() if self.keeps(tag))


@dataclass(frozen=True, slots=True)
class Output:
    """What a request says of the results: for whoever stores them.

    Attributes:
        transcode: UID of the transfer syntax to write in; None: as it was.
        lossy_quality: 1 to 100; None: as configured.
        keep_source: whether the original stays.
        keep_labels: whether the new resources get the labels of the old ones.
    """

    transcode: str | None = None
    lossy_quality: int | None = None
    keep_source: bool = True
    keep_labels: bool = False


@dataclass(frozen=True, slots=True)
class Modification:
    """A request to modify resources of one level."""

    level: Level
    edits: Edits = field(default_factory=Edits)
    remove_private: bool = False
    output: Output = field(default_factory=Output)

    @property
    def keeps_all_uids(self) -> bool:
        """Whether the results have the UIDs of the originals."""
        changing = {level for level in Level if level >= max(self.level, Level.STUDY)}
        return changing <= self.edits.kept_levels() and not self.edits.replaced_uids().keys() - {Level.PATIENT}


# Requests


def parse_modification(body: object, level: Level | None, dictionary: Dictionary = STANDARD) -> Modification:
    """Read the body of `/{level}/{id}/modify`.

    Args:
        body: parsed JSON.
        level: of the route; None for instances: then the highest level whose identifier is replaced.
        dictionary: for the names of attributes.

    Raises:
        BadFileFormat: no JSON object, or a field of a wrong type.
        BadRequest: a field of a wrong type, or an identifier that may not be changed so.
        BadParameterType: a value of a wrong type.
        ParameterOutOfRange: an unknown transfer syntax, a quality beyond 1 to 100.
        UnknownDicomTag: an attribute is unknown.
    """
    fields = json_object(body)
    edits = parse_edits(fields, dictionary)
    if level is None:
        level = _highest_replaced(edits)
    return Modification(level, edits, boolean(fields, "RemovePrivateTags"), parse_output(fields))


def parse_bulk_modification(body: object, dictionary: Dictionary = STANDARD) -> Modification:
    """Read the body of `/tools/bulk-modify`, which may have a Level.

    Raises:
        ParameterOutOfRange: an unknown level.
        AmonsulError: as `parse_modification`.
    """
    fields = json_object(body)
    name = optional_text(fields, "Level")
    level = None
    if name is not None:
        level = next((level for level in Level if level.type_name == name), None)
        if level is None:
            raise ParameterOutOfRange("Level must be Patient, Study, Series or Instance")
    return parse_modification(fields, level, dictionary)


def parse_resources(body: object, name: str = "Resources") -> tuple[str, ...]:
    """The identifiers of resources in a body.

    Raises:
        BadFileFormat: there is no list of strings.
    """
    value = body.get(name) if isinstance(body, Mapping) else None
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise BadFileFormat(f"List of strings expected in field: {name}")
    return tuple(value)


def parse_edits(fields: Mapping[str, object], dictionary: Dictionary, needs_force: bool = True) -> Edits:
    """Read Replace, Remove, Keep, Force and PrivateCreator; see `parse_modification`.

    Args:
        fields: of the body.
        dictionary: for the names of attributes.
        needs_force: whether identifiers are only touched with Force.
    """
    private_creator = optional_text(fields, "PrivateCreator") or ""
    replace = fields.get("Replace")
    if replace is not None and not isinstance(replace, Mapping):
        raise BadRequest("Replace must be an object")
    values = []
    for name, value in list((replace or {}).items())[: MAX_PATHS + 1]:
        path = parse_path(name, dictionary)
        values.append((path, parse_value(path.tag, value, dictionary, private_creator)))
    edits = Edits(
        replace=tuple(values),
        remove=_paths(fields, "Remove", dictionary),
        keep=_paths(fields, "Keep", dictionary),
        private_creator=private_creator,
        force=boolean(fields, "Force"),
    )
    if len(edits.replace) > MAX_PATHS:
        raise BadRequest(f"more than {MAX_PATHS} attributes in Replace")
    if needs_force:
        check_identifiers(edits, dictionary)
    return edits


def check_identifiers(edits: Edits, dictionary: Dictionary = STANDARD) -> None:
    """The rules on PatientID, StudyInstanceUID, SeriesInstanceUID and SOPInstanceUID.

    Raises:
        BadRequest: one is kept or replaced without Force, or removed.
    """
    groups = (("kept", edits.keep), ("replaced", [path for path, _ in edits.replace]), ("removed", edits.remove))
    for verb, paths in groups:
        for path in paths:
            if path.is_nested or path.tag not in IDENTIFIERS:
                continue
            if not edits.force:
                name = identifier_name(dictionary, path.tag)
                raise BadRequest(f'Marking tag "{name}" as to be {verb} requires the "Force" option to be set to true')
            if verb == "removed":
                raise BadRequest("It is forbidden to remove one of the main Dicom identifiers")
    for level, value in edits.replaced_uids().items():
        if level is not Level.PATIENT and not uids.is_valid(value):
            raise BadRequest("An identifier is to be replaced by something that is no UID")


def parse_output(fields: Mapping[str, object], keep_source: bool = True) -> Output:
    """Read Transcode, LossyQuality, KeepSource and KeepLabels; see `parse_modification`."""
    transcode = fields.get("Transcode")
    if transcode is not None and not isinstance(transcode, str):
        raise BadFileFormat("String value expected in field: Transcode")
    if transcode is not None and transcode not in uids.transfer_syntaxes():
        raise ParameterOutOfRange(f"Unknown transfer syntax: {transcode[:64]}")
    quality = fields.get("LossyQuality")
    if quality is not None:
        if isinstance(quality, bool) or not isinstance(quality, int):
            raise BadFileFormat("Integer value expected in field: LossyQuality")
        if not 1 <= quality <= 100:
            raise ParameterOutOfRange("LossyQuality must be from 1 to 100")
    return Output(
        transcode=transcode,
        lossy_quality=quality,
        keep_source=boolean(fields, "KeepSource", keep_source),
        keep_labels=boolean(fields, "KeepLabels"),
    )


def check_in_place(keeps_all_uids: bool, output: Output, overwrites: bool) -> None:
    """The rules on results that take the place of their originals.

    Args:
        keeps_all_uids: of the modification or anonymization.
        output: of the same.
        overwrites: whether the archive replaces an instance by another with its UIDs.

    Raises:
        BadRequest: the results would be lost.
    """
    if not keeps_all_uids:
        return
    if not output.keep_source:
        raise BadRequest(
            "When keeping StudyInstanceUID, SeriesInstanceUID and SOPInstanceUID tag, you must set KeepSource to true "
            "to avoid deleting the modified files at the end of the process"
        )
    if not overwrites:
        raise BadRequest(
            "When keeping StudyInstanceUID, SeriesInstanceUID and SOPInstanceUID tag, you must have the "
            "'OverwriteInstances' configuration set to true in order to replace the modified resources"
        )


def check_patient_tags(edits: Edits, existing: Mapping[Tag, str], is_another_patient: bool) -> None:
    """A study or series may not change the patient to which other studies belong.

    Args:
        edits: of the modification.
        existing: the main tags of the patient under whom the results will be, if that one exists and has other studies.
        is_another_patient: whether that is not the patient of the original.

    Raises:
        BadRequest: attributes of the patient would differ among the studies.
    """
    replaced = {path.tag: value for path, value in edits.replace if not path.is_nested}
    if not replaced.keys() & existing.keys():
        return
    explanation = (
        "Trying to change patient tags in a study.  The Patient already exists and has other studies.  All the "
        "'Replace' tags should match the existing patient main dicom tags and you should specify all Patient "
        "MainDicomTags in your query.  Try using /patients/../modify instead to modify the patient. "
    )
    for tag, text in existing.items():
        value = replaced.get(tag)
        if value is None:
            if is_another_patient:
                raise BadRequest(f"{explanation}Missing tag in the 'Replace' tags: {format_tag(tag)}")
        elif not isinstance(value, Text) or value.text.strip() != text.strip():
            raise BadRequest(f"{explanation}Failing tag: {format_tag(tag)}")


def json_object(body: object) -> Mapping[str, object]:
    """The body as a JSON object.

    Raises:
        BadFileFormat: it is none.
    """
    if not isinstance(body, Mapping):
        raise BadFileFormat("The body must contain a JSON object")
    return body


def boolean(fields: Mapping[str, object], name: str, default: bool = False) -> bool:
    """A boolean field.

    Raises:
        BadRequest: it is none.
    """
    value = fields.get(name, default)
    if not isinstance(value, bool):
        raise BadRequest(f'Member "{name}" should be a Boolean value')
    return value


def optional_text(fields: Mapping[str, object], name: str) -> str | None:
    """A text field, None if absent.

    Raises:
        BadFileFormat: it is no text.
    """
    value = fields.get(name)
    if value is not None and not isinstance(value, str):
        raise BadFileFormat(f"String value expected in field: {name}")
    return value


def _paths(fields: Mapping[str, object], name: str, dictionary: Dictionary) -> tuple[TagPath, ...]:
    value = fields.get(name)
    if value is None:
        return ()
    if not isinstance(value, list) or len(value) > MAX_PATHS:
        raise BadRequest(f"{name} must be an array of at most {MAX_PATHS} tags")
    paths = []
    for text in value:
        if not isinstance(text, str):
            raise BadRequest(f"{name} must be an array of strings")
        paths.append(parse_path(text, dictionary))
    return tuple(paths)


def _highest_replaced(edits: Edits) -> Level:
    return min((*edits.replaced_uids(), Level.INSTANCE))


# Data sets


@dataclass(frozen=True, slots=True)
class UidRules:
    """What becomes of the UIDs of an operation.

    Attributes:
        uid_map: makes the new ones.
        level: those of this level and below change.
        kept: levels whose UIDs stay nevertheless.
        replaced: levels whose UIDs become a given one.
        level_of: tells whether a UID is of something in the operation.
    """

    uid_map: UidMap
    level: Level
    kept: frozenset[Level] = frozenset()
    replaced: Mapping[Level, str] = field(default_factory=dict)
    level_of: LevelOf = nothing_else

    def new(self, level: Level, old: str) -> str:
        """The UID that takes the place of the one of a resource in the operation."""
        if level in self.kept:
            return old
        if level in self.replaced:
            return self.replaced[level]
        return self.uid_map.uid(old) if level >= self.level else old

    def for_instance(self, data_set: Dataset) -> InstanceUids:
        """The same with the UIDs of one instance at hand."""
        own = {text_of(data_set, tag): level for tag, level in IDENTIFIERS.items() if level is not Level.PATIENT}
        own.pop("", None)
        return InstanceUids(self, own)


@dataclass(frozen=True, slots=True)
class InstanceUids:
    """The UIDs of an instance before the change, and what becomes of any UID in it."""

    rules: UidRules
    own: Mapping[str, Level]

    def level_of(self, uid: str) -> Level | None:
        """Of what a UID is the identifier among the resources that change."""
        return self.own.get(uid) or self.rules.level_of(uid)

    def reference(self, uid: str) -> str | None:
        """What becomes of a UID in a reference; None if it names nothing that changes."""
        level = self.level_of(uid)
        if level is None or (level < self.rules.level and level not in self.rules.replaced):
            return None
        return self.rules.new(level, uid)

    def set_identifiers(self, data_set: Dataset) -> None:
        """Give the outermost data set its new UIDs."""
        for tag, level in IDENTIFIERS.items():
            if level is not Level.PATIENT:
                old = text_of(data_set, tag)
                new = self.rules.new(level, old)
                if new != old:
                    set_element(data_set, tag, "UI", UID(new, validation_mode=0))


def modify(
    data_set: Dataset,
    modification: Modification,
    uid_map: UidMap,
    level_of: LevelOf = nothing_else,
    encoder: Encoder | None = None,
) -> None:
    """Apply a modification to a data set, in place, with its file meta information.

    Args:
        data_set: as read, preferably with nothing decoded.
        modification: to apply.
        uid_map: of the operation.
        level_of: tells what else is in the operation.
        encoder: of the values; its private creator is that of the request.

    Raises:
        BadFileFormat: a value is not possible for its VR, or the data set cannot be read.
        BadRequest: native pixel data for a data set with encapsulated pixel data.
        ParameterOutOfRange: an unknown character set.
    """
    edits = modification.edits
    identifiers = edits.replaced_uids()
    rules = UidRules(uid_map, modification.level, edits.kept_levels(), identifiers, level_of)
    instance_uids = rules.for_instance(data_set)
    rewrite_references(data_set, instance_uids)
    if modification.remove_private:
        remove_private(data_set, edits.keep)
    apply_removals(data_set, edits)
    apply_replacements(data_set, edits, encoder)
    instance_uids.set_identifiers(data_set)
    stamp(data_set)


def apply_removals(data_set: Dataset, edits: Edits) -> None:
    """Take out what Remove names and Keep does not."""
    kept = set(edits.keep)
    for path in edits.remove:
        if path not in kept:
            for holder in data_sets_at(data_set, path):
                remove(holder, path.tag)


def apply_replacements(data_set: Dataset, edits: Edits, encoder: Encoder | None = None) -> None:
    """Set what Replace gives and Keep does not hold, except UIDs of the outermost data set; see `modify`."""
    base = encoder or Encoder()
    encoder = Encoder(
        base.dictionary, edits.private_creator, base.interpret_binary, base.unencodable, base.default_charset
    )
    kept = set(edits.keep)
    # The character set first: the other values are written in it.
    for path, value in sorted(edits.replace, key=lambda edit: (edit[0].is_nested, edit[0].tag)):
        group, element = path.tag >> 16, path.tag & 0xFFFF
        is_uid = not path.is_nested and path.tag in IDENTIFIERS and path.tag != PATIENT_ID
        if path in kept or is_uid or group in (0, 2) or element == 0:
            continue
        for holder in data_sets_at(data_set, path):
            encoder.put(holder, path.tag, value, data_set)


def remove_private(data_set: Dataset, keep: Sequence[TagPath] = (), location: Location = ()) -> None:
    """Take out private elements, items of public sequences included, except those kept.

    A path without steps keeps them at any depth. `location` is that of the data set.
    """
    check_depth(len(location))
    kept = {path.tag for path in keep if not path.is_nested or path.leads_to(location)}
    kept |= {Tag(tag & 0xFFFF0000 | tag >> 8 & 0xFF) for tag in kept if tag & 0x10000 and tag & 0xFF00}
    for tag in list(data_set.keys()):
        if tag & 0x10000 and tag not in kept:
            remove(data_set, tag)
    for sequence_tag, items in sequences(data_set):
        for index, item in enumerate(items):
            remove_private(item, keep, (*location, (sequence_tag, index)))


def rewrite_references(data_set: Dataset, instance_uids: InstanceUids) -> None:
    """Make references in sequences follow what changes in the operation."""
    for _, items in sequences(data_set):
        for item in items:
            _rewrite_item(item, instance_uids, 1)


# Of kinds (SOP classes, transfer syntaxes), never of instances.
_UIDS_OF_KINDS = frozenset((0x00080016, 0x00081150, 0x00020002, 0x00020010, 0x00083002))
# What tells whether all that an item refers to has moved: SOP, referenced SOP and Series Instance UID.
_UIDS_OF_PARTS = frozenset((0x00080018, 0x00081155, 0x0020000E))


def _rewrite_item(item: Dataset, instance_uids: InstanceUids, depth: int) -> tuple[int, int]:
    """Answers how many references, in the item and below, are to something in the operation and how many are not."""
    check_depth(depth)
    followed = missed = 0
    for _, items in sequences(item):
        for child in items:
            child_followed, child_missed = _rewrite_item(child, instance_uids, depth + 1)
            followed, missed = followed + child_followed, missed + child_missed
    for tag in list(item.keys()):
        if tag in _UIDS_OF_KINDS or tag == STUDY_INSTANCE_UID or vr_of(item, tag) != "UI":
            continue
        old = uids_of(item, tag)
        new = [instance_uids.reference(uid) for uid in old]
        if tag in _UIDS_OF_PARTS:
            inside = sum(instance_uids.level_of(uid) is not None for uid in old)
            followed, missed = followed + inside, missed + len(old) - inside
        _set_uids(item, tag, old, [uid or before for uid, before in zip(new, old, strict=True)])
    _rewrite_study(item, instance_uids, moves=followed > 0 and missed == 0)
    return followed, missed


def _rewrite_study(item: Dataset, instance_uids: InstanceUids, moves: bool) -> None:
    """A study below which only series or instances move has its new UID where all that it refers to has moved."""
    old = uids_of(item, STUDY_INSTANCE_UID)
    is_below = instance_uids.rules.level > Level.STUDY
    new = [uid if is_below and not moves else instance_uids.reference(uid) or uid for uid in old]
    _set_uids(item, STUDY_INSTANCE_UID, old, new)


def _set_uids(item: Dataset, tag: int, old: list[str], new: list[str]) -> None:
    if new != old:
        values = [UID(uid, validation_mode=0) for uid in new]
        set_element(item, tag, "UI", values if len(values) > 1 else values[0])


def check_depth(depth: int) -> None:
    """Bound a recursion into items.

    Raises:
        BadFileFormat: too deep.
    """
    if depth > MAX_DEPTH:
        raise BadFileFormat(f"sequences nested deeper than {MAX_DEPTH} levels")


def stamp(data_set: Dataset) -> None:
    """Make the file meta information, if there is any, say what the data set says, and who wrote it."""
    meta = getattr(data_set, "file_meta", None)
    if not isinstance(meta, FileMetaDataset):
        return
    sop_class_uid = text_of(data_set, SOP_CLASS_UID)
    if sop_class_uid:
        set_element(meta, 0x00020002, "UI", UID(sop_class_uid, validation_mode=0))
    set_element(meta, 0x00020003, "UI", UID(text_of(data_set, SOP_INSTANCE_UID), validation_mode=0))
    set_element(meta, 0x00020012, "UI", UID(IMPLEMENTATION_CLASS_UID))
    set_element(meta, 0x00020013, "SH", IMPLEMENTATION_VERSION_NAME)
