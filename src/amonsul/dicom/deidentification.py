"""De-identification (PS3.15 Annex E): what requests ask for, and doing it to a data set.

One walk through a data set, items of sequences included: what the request keeps stays whole, private elements go,
the profile decides about the rest, UIDs become new ones consistently. Then the patient gets a pseudonym and the data
set says how it was treated. A request with `DeidentificationOptions` gets the Basic Profile to the letter, with the
options it names, recorded in codes; one without gets what an edition of the Standard removes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from struct import calcsize
from typing import Final

import orjson
from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence as ItemSequence
from pydicom.uid import UID

from amonsul import __version__
from amonsul.dicom import confidentiality, vrs
from amonsul.dicom.confidentiality import Action, Option, Profile
from amonsul.dicom.date_shift import days_of, shift_date, shift_date_time
from amonsul.dicom.descriptors import Scrubber, scrubber
from amonsul.dicom.dictionary import STANDARD, Dictionary
from amonsul.dicom.editing import (
    empty,
    peek,
    private_creator_of,
    remove,
    sequence_items,
    set_element,
    text_of,
    uids_of,
    vr_of,
)
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level
from amonsul.dicom.modification import (
    IDENTIFIERS,
    PATIENT_ID,
    SOP_CLASS_UID,
    Edits,
    InstanceUids,
    Output,
    UidRules,
    apply_replacements,
    boolean,
    check_depth,
    check_identifiers,
    json_object,
    optional_text,
    parse_edits,
    parse_output,
    stamp,
)
from amonsul.dicom.paths import Location
from amonsul.dicom.pixel_cleaning import (
    BURNED_IN_ANNOTATION,
    RECOGNIZABLE_VISUAL_FEATURES,
    PixelCleaning,
    Region,
    cleaning_of,
    parse_regions,
)
from amonsul.dicom.tag_values import Encoder
from amonsul.dicom.uid_map import LevelOf, UidMap, nothing_else
from amonsul.errors import BadRequest, ParameterOutOfRange

PATIENT_NAME: Final = Tag(0x00100010)
PATIENT_IDENTITY_REMOVED: Final = Tag(0x00120062)
DEIDENTIFICATION_METHOD: Final = Tag(0x00120063)
DEIDENTIFICATION_METHOD_CODE_SEQUENCE: Final = Tag(0x00120064)
LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED: Final = Tag(0x00280303)

MAX_KEY_LENGTH = 256
_OF_PIXELS = frozenset((Option.CLEAN_PIXEL_DATA, Option.CLEAN_VISUAL_FEATURES))
_WELL_KNOWN = "1.2.840.10008."
"""What UIDs of the Standard begin with, of whatever kind: they identify nothing of anybody (PS3.6 Annex A)."""
_FIRST_OF_DATA_SETS = 0x00080000
"""Groups before belong to commands, file meta information and directories (PS3.5 §7.1)."""


@dataclass(frozen=True, slots=True)
class Anonymization:
    """A request to de-identify resources.

    Attributes:
        profile: what becomes of each attribute.
        edits: exceptions of the request.
        keep_private: whether private elements stay.
        date_shift_key: for the same moving of dates in several requests; empty: each request moves them its own way.
        pixel_regions: to blank; None: the request does not say.
        output: for whoever stores the results.
    """

    profile: Profile
    edits: Edits = field(default_factory=Edits)
    keep_private: bool = False
    date_shift_key: str = field(default="", repr=False)
    pixel_regions: tuple[Region, ...] | None = None
    output: Output = field(default_factory=Output)

    @property
    def needs_patient_name(self) -> bool:
        """Whether the patient's name becomes a pseudonym, to be given to `deidentify`."""
        return not self.edits.replaces(PATIENT_NAME) and not self.edits.keeps(PATIENT_NAME)

    @property
    def keeps_all_uids(self) -> bool:
        """Whether the results have the UIDs of the originals."""
        below_patient = {Level.STUDY, Level.SERIES, Level.INSTANCE}
        return below_patient <= self.kept_levels and not self.edits.replaced_uids().keys() & below_patient

    @property
    def kept_levels(self) -> frozenset[Level]:
        """The levels whose identifier stays."""
        if self.profile.options is not None and Option.UIDS in self.profile.options:
            return self.edits.kept_levels() | {Level.STUDY, Level.SERIES, Level.INSTANCE}
        return self.edits.kept_levels()

    @property
    def is_as_the_profile_says(self) -> bool:
        """Whether the result conforms to the profile: nothing stays that it takes out."""
        edits = self.edits
        if self.profile.options is None:
            return not (edits.keep or edits.replace or edits.remove or self.keep_private)
        return not (edits.keep or self.keep_private)


def parse_anonymization(body: object, dictionary: Dictionary = STANDARD) -> Anonymization:
    """Read the body of `/{level}/{id}/anonymize` and `/tools/bulk-anonymize`.

    Raises:
        BadFileFormat: no JSON object, or a field of a wrong type.
        BadRequest: a field of a wrong type, an identifier that may not be changed so, or options that do not go
            together.
        BadParameterType: a value of a wrong type.
        ParameterOutOfRange: an unknown edition, option or transfer syntax.
        UnknownDicomTag: an attribute is unknown.
    """
    fields = json_object(body)
    edits = parse_edits(fields, dictionary, needs_force=False)
    version = optional_text(fields, "DicomVersion")
    names = fields.get("DeidentificationOptions")
    options = None
    if names is not None:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise BadRequest("DeidentificationOptions must be an array of strings")
        options = confidentiality.parse_options(names)
        if version not in (None, confidentiality.CURRENT):
            raise ParameterOutOfRange(f"DeidentificationOptions need DicomVersion {confidentiality.CURRENT}")
        if Option.UIDS in options and not edits.force:
            raise BadRequest('RetainUIDs requires the "Force" option to be set to true')
    key = optional_text(fields, "DateShiftKey") or ""
    if len(key) > MAX_KEY_LENGTH:
        raise ParameterOutOfRange(f"DateShiftKey is longer than {MAX_KEY_LENGTH} characters")
    if key and (options is None or Option.MODIFIED_DATES not in options):
        raise BadRequest(f"DateShiftKey needs the option {Option.MODIFIED_DATES.value}")
    check_identifiers(edits, dictionary)
    regions = parse_regions(fields)
    chosen = options or frozenset()
    if Option.CLEAN_VISUAL_FEATURES in chosen and not regions:
        raise BadRequest(f"{Option.CLEAN_VISUAL_FEATURES.value} needs PixelRegions: no face is looked for")
    if regions is not None and not chosen & _OF_PIXELS:
        raise BadRequest(f"PixelRegions need the option {Option.CLEAN_PIXEL_DATA.value}")
    return Anonymization(
        profile=confidentiality.profile(confidentiality.parse_version(version or confidentiality.CURRENT), options),
        edits=edits,
        keep_private=boolean(fields, "KeepPrivateTags"),
        date_shift_key=key,
        pixel_regions=regions,
        output=parse_output(fields),
    )


def deidentify(
    data_set: Dataset,
    anonymization: Anonymization,
    uid_map: UidMap,
    patient_name: str = "",
    level_of: LevelOf = nothing_else,
    encoder: Encoder | None = None,
) -> PixelCleaning | None:
    """De-identify a data set, in place, with its preamble and file meta information.

    Pixels are not touched: what is to become of them is the answer, None if they stay as they are.

    Args:
        data_set: as read, preferably with nothing decoded.
        anonymization: how.
        uid_map: of the operation.
        patient_name: a pseudonym, the same for the whole operation.
        level_of: tells what else is in the operation; other UIDs become new ones too, but Keep does not reach them.
        encoder: of the values; its private creator is that of the request.

    Raises:
        AmonsulError: as `modify`.
    """
    edits = anonymization.edits
    options = anonymization.profile.options or frozenset()
    cleaning = None
    if options & _OF_PIXELS:
        of_annotations = Option.CLEAN_PIXEL_DATA in options
        cleaning = cleaning_of(data_set, anonymization.pixel_regions, of_annotations=of_annotations)
    walk = _Walk(data_set, anonymization, uid_map, level_of)
    patient_id = text_of(data_set, PATIENT_ID)
    walk.data_set(data_set, ())
    if not edits.keeps(PATIENT_ID) and not edits.replaces(PATIENT_ID):
        set_element(data_set, PATIENT_ID, "LO", uid_map.patient_id(patient_id))
    removed = {path.tag for path in edits.remove if not path.is_nested}
    if anonymization.needs_patient_name and PATIENT_NAME not in removed:
        set_element(data_set, PATIENT_NAME, "PN", patient_name)
    walk.instance_uids.set_identifiers(data_set)
    _say_so(data_set, anonymization)
    if cleaning is not None:
        _say_what_pixels_show(data_set, anonymization)
    apply_replacements(data_set, edits, encoder)
    _clean_edges(data_set)
    stamp(data_set)
    return cleaning


Element = DataElement | RawDataElement


class _Walk:
    """Through one data set and all items in it."""

    def __init__(self, data_set: Dataset, anonymization: Anonymization, uid_map: UidMap, level_of: LevelOf) -> None:
        edits = anonymization.edits
        self._profile = anonymization.profile
        self._options = self._profile.options or frozenset()
        self._keep_private = anonymization.keep_private
        self._kept = frozenset(path.tag for path in edits.keep if not path.is_nested and path.tag not in IDENTIFIERS)
        self._kept_creators = frozenset(tag & 0xFFFF0000 | tag >> 8 & 0xFF for tag in self._kept if tag & 0x10000)
        self._kept_paths = tuple(path for path in edits.keep if path.is_nested)
        kept = set(edits.keep)
        self._removed = frozenset(path.tag for path in edits.remove if not path.is_nested and path not in kept)
        self._removed_paths = tuple(path for path in edits.remove if path.is_nested and path not in kept)
        self._keeps_patient_id = edits.keeps(PATIENT_ID)
        self._uid_map = uid_map
        rules = UidRules(uid_map, Level.STUDY, anonymization.kept_levels, edits.replaced_uids(), level_of)
        self.instance_uids: InstanceUids = rules.for_instance(data_set)
        patient_id = text_of(data_set, PATIENT_ID)
        shifting = UidMap(anonymization.date_shift_key.encode()) if anonymization.date_shift_key else uid_map
        self._days = days_of(shifting, patient_id)
        self._scrubber: Scrubber | None = None
        if self._profile.cleans:
            self._scrubber = scrubber(data_set, self._profile)

    def data_set(self, data_set: Dataset, location: Location) -> None:
        check_depth(len(location))
        safe = self._safe_private(data_set) if Option.SAFE_PRIVATE in self._options else frozenset()
        for element in list(data_set.values()):
            tag = int(element.tag)
            if tag in self._kept or tag in self._kept_creators:
                continue
            if self._kept_paths and any(path.tag == tag and path.leads_to(location) for path in self._kept_paths):
                continue
            if tag < _FIRST_OF_DATA_SETS or tag & 0xFFFF == 0 or self._removes(tag, location):
                remove(data_set, element.tag)
            elif tag & 0x10000:
                if self._keep_private or tag in safe:
                    self._private(data_set, element, location)
                else:
                    remove(data_set, element.tag)
            else:
                self._public(data_set, element, location)

    def _removes(self, tag: int, location: Location) -> bool:
        if tag in self._removed:
            return True
        paths = self._removed_paths
        return bool(paths) and any(path.tag == tag and path.leads_to(location) for path in paths)

    def _public(self, data_set: Dataset, element: Element, location: Location) -> None:
        tag = int(element.tag)
        action = self._profile.action(tag)
        if action is Action.CLEAN and tag & 0xFF00FFFF == _OVERLAY_DATA:
            is_region = text_of(data_set, tag & 0xFFFF0000 | _OVERLAY_TYPE) == "R"
            action = Action.KEEP if is_region else Action.REMOVE  # graphics may be drawn text
        if not location and tag in IDENTIFIERS:  # PatientID and the three UIDs come at the end
            return
        if tag == PATIENT_ID:
            self._patient_id(data_set)
        elif tag == PATIENT_NAME:
            set_element(data_set, tag, "PN", "")
        elif action is None or action is Action.KEEP:
            if not self._items(data_set, element, location) and element.VR in ("UI", "UN", None):
                self._known_uids(data_set, tag)
        elif action is Action.UID:
            self._uids(data_set, tag)
        elif self._is_way_to_kept(tag, location):
            self._items(data_set, element, location)
        elif action is Action.REMOVE:
            remove(data_set, element.tag)
            if tag & 0xFF00FFFF == _OVERLAY_DATA and self._profile.options is not None:
                _remove_group(data_set, tag >> 16)  # what is left of the plane would describe nothing
        elif action is Action.CLEAR:
            empty(data_set, tag)
        elif action is Action.DUMMY:
            self._dummy(data_set, tag, location)
        elif action is Action.CLEAN:
            if not self._items(data_set, element, location):
                self._clean(data_set, tag)
        else:
            self._shift(data_set, tag)

    def _private(self, data_set: Dataset, element: Element, location: Location) -> None:
        """A private element that stays; its UIDs become new ones where the profile asks for that."""
        tag = int(element.tag)
        if self._items(data_set, element, location) or vr_of(data_set, tag) != "UI":
            return
        if self._profile.options is None or Option.UIDS in self._options:
            self._known_uids(data_set, tag)
        else:
            self._uids(data_set, tag)

    def _items(self, data_set: Dataset, element: Element, location: Location) -> bool:
        """Treat the items of a sequence; False if it is none."""
        if element.VR not in ("SQ", "UN", None):
            return False
        items = sequence_items(data_set, element.tag)
        for index, item in enumerate(items or ()):
            self.data_set(item, (*location, (int(element.tag), index)))
        return items is not None

    def _is_way_to_kept(self, tag: int, location: Location) -> bool:
        paths = self._kept_paths
        return bool(paths) and any(
            path.leads_through(location) and path.steps[len(location)].tag == tag for path in paths
        )

    def _patient_id(self, data_set: Dataset) -> None:
        """Of an item: the same identifier has the same pseudonym everywhere."""
        if not self._keeps_patient_id:
            old = text_of(data_set, PATIENT_ID)
            set_element(data_set, PATIENT_ID, "LO", self._uid_map.patient_id(old) if old else "")

    def _uids(self, data_set: Dataset, tag: int) -> None:
        old = uids_of(data_set, tag)
        _put_uids(data_set, tag, old, [self._new_uid(uid) for uid in old])

    def _new_uid(self, uid: str) -> str:
        return self.instance_uids.reference(uid) or (uid if uid.startswith(_WELL_KNOWN) else self._uid_map.uid(uid))

    def _known_uids(self, data_set: Dataset, tag: int) -> None:
        """An attribute that the profile does not name may still refer to what changes."""
        if tag != SOP_CLASS_UID and vr_of(data_set, tag) == "UI":
            old = uids_of(data_set, tag)
            _put_uids(data_set, tag, old, [self.instance_uids.reference(uid) or uid for uid in old])

    def _clean(self, data_set: Dataset, tag: int) -> None:
        if tag >> 24 == 0x50 and (known := STANDARD.vr(tag)) not in vrs.CHARSET_TEXT:
            if known == "UN":
                remove(data_set, tag)
            return
        vr = vr_of(data_set, tag)
        text = text_of(data_set, tag)
        cleaned = self._scrubber.clean(text) if self._scrubber is not None else ""
        if cleaned != text:
            values = [cleaned] if vr in vrs.SINGLE_VALUED_TEXT else cleaned.split("\\")
            set_element(data_set, tag, vr, values if len(values) > 1 else values[0])

    def _shift(self, data_set: Dataset, tag: int) -> None:
        vr = vr_of(data_set, tag)
        move = shift_date if vr == "DA" else shift_date_time
        moved = [move(value, self._days) for value in text_of(data_set, tag).split("\\")]
        values = [value for value in moved if value is not None]
        if len(values) < len(moved):  # no date: nothing is known of it, so nothing may stay
            values = [""]
        set_element(data_set, tag, vr, values if len(values) > 1 else values[0])

    def _dummy(self, data_set: Dataset, tag: int, location: Location) -> None:
        items = sequence_items(data_set, tag)
        if items is None:
            _put_dummy(data_set, tag)
            return
        for index, item in enumerate(items):
            place = (*location, (int(tag), index))
            self.data_set(item, place)
            _make_dummy(item, len(place))

    def _safe_private(self, data_set: Dataset) -> frozenset[int]:
        """Private elements that stay, and who reserved their blocks (PS3.15 §E.3.10)."""
        declared = _declared_safe(data_set)
        known = _known_safe()
        found = set()
        for tag in list(data_set.keys()):
            if not tag & 0x10000 or tag & 0xFFFF < 0x1000:
                continue
            creator = private_creator_of(data_set, tag)
            if creator and (
                (tag & 0xFFFF00FF, creator) in known
                or (tag >> 16, creator, tag & 0xFF) in declared
                or (tag >> 16, creator, -1) in declared
            ):
                found.add(int(tag))
                found.add(tag & 0xFFFF0000 | tag >> 8 & 0xFF)
        return frozenset(found)


# Dummies: not empty, conformant to their VR, and the same for everybody. Whole numbers are often ordinals: 1, not 0.

_DUMMIES: Final[Mapping[str, object]] = {
    "AE": "ANONYMIZED",
    "AS": "000Y",
    "CS": "ANONYMIZED",
    "DA": "19000101",
    "DS": "0",
    "DT": "19000101000000",
    "FD": 0.0,
    "FL": 0.0,
    "IS": "1",
    "LO": "ANONYMIZED",
    "LT": "ANONYMIZED",
    "PN": "ANONYMIZED",
    "SH": "ANONYMIZED",
    "SL": 0,
    "SS": 0,
    "ST": "ANONYMIZED",
    "TM": "000000",
    "UC": "ANONYMIZED",
    "UL": 1,
    "UR": "urn:anonymized",
    "US": 1,
    "UT": "ANONYMIZED",
}

CONCEPT_NAME_CODE_SEQUENCE = 0x0040A043
MEASUREMENT_UNITS_CODE_SEQUENCE = 0x004008EA
_STRUCTURE = frozenset((CONCEPT_NAME_CODE_SEQUENCE, MEASUREMENT_UNITS_CODE_SEQUENCE))
"""What says how a value is to be read, not what it is."""


_OVERLAY_DATA: Final = 0x60003000
"""Of the first plane."""
_OVERLAY_TYPE: Final = 0x0040


def _put_dummy(data_set: Dataset, tag: int) -> None:
    """As many values as there were: some attributes need two or more."""
    vr = vr_of(data_set, tag)
    dummy = _DUMMIES.get(vr, b"\0\0")
    count = _value_count(data_set, tag, vr)
    set_element(data_set, tag, vr, [dummy] * count if count > 1 else dummy)


def _value_count(data_set: Dataset, tag: int, vr: str) -> int:
    element = peek(data_set, tag)
    if element is None or vr not in _DUMMIES or vr in vrs.SINGLE_VALUED_TEXT:
        return 1
    if isinstance(element.value, bytes):
        number = vrs.NUMBERS.get(vr)
        return element.value.count(b"\\") + 1 if number is None else len(element.value) // calcsize(f"={number}")
    return len(element.value) if isinstance(element.value, MultiValue | list | tuple) else 1


def _remove_group(data_set: Dataset, group: int) -> None:
    for tag in [tag for tag in data_set.keys() if tag >> 16 == group]:  # noqa: SIM118 (others would decode it)
        remove(data_set, tag)


def _make_dummy(item: Dataset, depth: int) -> None:
    """Leave of an item its structure: codes that name things, coded strings, UIDs that were already replaced."""
    check_depth(depth)
    for tag in list(item.keys()):
        if tag in _STRUCTURE:
            continue
        items = sequence_items(item, tag)
        vr = vr_of(item, tag)
        if items is not None:
            for child in items:
                _make_dummy(child, depth + 1)
        elif (vr not in ("CS", "UI", "AT", "SQ") and text_of(item, tag) != "") or vr in vrs.NUMBERS or vr in vrs.BINARY:
            _put_dummy(item, tag)


def _put_uids(data_set: Dataset, tag: int, old: Sequence[str], new: Sequence[str]) -> None:
    if new != old:
        values = [UID(uid, validation_mode=0) for uid in new]
        set_element(data_set, tag, "UI", values if len(values) > 1 else values[0])


# Safe private attributes

PRIVATE_DATA_ELEMENT_CHARACTERISTICS_SEQUENCE = 0x00080300


def _declared_safe(data_set: Dataset) -> frozenset[tuple[int, str, int]]:
    """Group, creator and element (-1: all of the block) that the data set itself declares safe (PS3.3 §C.12.1.1.7)."""
    found = set()
    for item in sequence_items(data_set, PRIVATE_DATA_ELEMENT_CHARACTERISTICS_SEQUENCE) or ():
        group, creator = item.get("PrivateGroupReference"), item.get("PrivateCreatorReference")
        if not isinstance(group, int) or not creator:
            continue
        status = item.get("BlockIdentifyingInformationStatus")
        if status == "SAFE":
            found.add((group, str(creator).strip(), -1))
        elif status == "MIXED":
            elements = item.get("NonidentifyingPrivateElements")
            for element in [elements] if isinstance(elements, int) else elements or ():
                found.add((group, str(creator).strip(), int(element) & 0xFF))
    return frozenset(found)


@cache
def _known_safe() -> frozenset[tuple[int, str]]:
    """Tag with the block byte zero, and creator."""
    table = orjson.loads(files("amonsul.dicom").joinpath("tables", "confidentiality_safe_private.json").read_bytes())
    return frozenset(
        (int(group, 16) << 16 | int(element, 16), creator) for group, element, creator, *_ in table["attributes"]
    )


# What the result says of itself

_DATA_SET_TRAILING_PADDING: Final = 0xFFFCFFFC
_FRONT_KEPT = frozenset((0x00020000, 0x00020001, 0x00020002, 0x00020003, 0x00020010, 0x00020012, 0x00020013))


def _clean_edges(data_set: Dataset) -> None:
    """The preamble, the file meta information and the padding behind the data set are no places to hide in."""
    remove(data_set, _DATA_SET_TRAILING_PADDING)
    if getattr(data_set, "preamble", None) is not None:
        data_set.preamble = bytes(128)
    meta = getattr(data_set, "file_meta", None)
    if isinstance(meta, FileMetaDataset):
        for tag in list(meta.keys()):
            if tag not in _FRONT_KEPT:
                remove(meta, tag)


def _say_so(data_set: Dataset, anonymization: Anonymization) -> None:
    profile = anonymization.profile
    kept = anonymization.edits.keeps
    conforms = anonymization.is_as_the_profile_says
    product = f"Amonsul {__version__}"
    method = [f"{product} - {profile.description}" if conforms else product]
    if profile.options is not None and conforms:
        method += [code.meaning for code in profile.codes[1:]]
    if not kept(PATIENT_IDENTITY_REMOVED):
        set_element(data_set, PATIENT_IDENTITY_REMOVED, "CS", "YES")
    if not kept(DEIDENTIFICATION_METHOD):
        set_element(data_set, DEIDENTIFICATION_METHOD, "LO", method if len(method) > 1 else method[0])
    if profile.options is None:
        return
    if conforms:
        items = [_code_item(code) for code in profile.codes]
        set_element(data_set, DEIDENTIFICATION_METHOD_CODE_SEQUENCE, "SQ", ItemSequence(items))
    else:
        remove(data_set, DEIDENTIFICATION_METHOD_CODE_SEQUENCE)
    if not kept(LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED):
        dates = "REMOVED"
        if Option.FULL_DATES in profile.options:
            dates = "UNMODIFIED"
        elif Option.MODIFIED_DATES in profile.options:
            dates = "MODIFIED"
        set_element(data_set, LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED, "CS", dates)


def _say_what_pixels_show(data_set: Dataset, anonymization: Anonymization) -> None:
    options = anonymization.profile.options or frozenset()
    for option, tag in (
        (Option.CLEAN_PIXEL_DATA, BURNED_IN_ANNOTATION),
        (Option.CLEAN_VISUAL_FEATURES, RECOGNIZABLE_VISUAL_FEATURES),
    ):
        if option in options and not anonymization.edits.keeps(tag):
            set_element(data_set, tag, "CS", "NO")


def _code_item(code: confidentiality.Code) -> Dataset:
    item = Dataset()
    item.CodeValue = code.value
    item.CodingSchemeDesignator = code.scheme
    item.CodeMeaning = code.meaning
    return item
