"""QIDO-RS (PS3.18 §10.6): a query string read once into the one `Query`, the answers as data sets.

Attributes that the index knows are answered from it, others from the stored header of the first instance; a page takes
a fixed number of questions to the database, whatever its length. Keys inside of sequences are the exception: candidates
are looked at page by page, up to a bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache

from amonsul.archive import find
from amonsul.archive.find import Content, Resource
from amonsul.dicom import dicom_json
from amonsul.dicom.dictionary import STANDARD, Dictionary
from amonsul.dicom.elements import Bulk, DataSet, Element, Tag, items_of
from amonsul.dicom.keys import Key, satisfies
from amonsul.dicom.levels import Level
from amonsul.dicom.matching import ListOf, Match, Phonetic, SingleValue, Universal, parse_match
from amonsul.dicom.modules import MODULES
from amonsul.dicom.phonetic import name_codes
from amonsul.dicom.query import Constraint, Direction, LabelsConstraint, OrderKey, Query
from amonsul.errors import BadFileFormat, ParameterOutOfRange, UnknownDicomTag
from amonsul.web.dicomweb.addresses import base_url, segment, study_url
from amonsul.web.dicomweb.negotiation import models_response, wants_xml
from amonsul.web.services import Services
from amonsul.web.values import Headers, Request, Response

MAX_KEYS = 100
MAX_INCLUDED = 1000
MAX_DEPTH = 16
MAX_CANDIDATES = 20_000
"""Resources looked at for keys inside of sequences."""
_PAGE = 256

STUDY_INSTANCE_UID = Tag(0x0020000D)
SERIES_INSTANCE_UID = Tag(0x0020000E)
SOP_INSTANCE_UID = Tag(0x00080018)
SOP_CLASS_UID = Tag(0x00080016)
MODALITY = Tag(0x00080060)
_RETRIEVE_URL = Tag(0x00081190)
MODALITIES_IN_STUDY = Tag(0x00080061)

_STUDY = (
    *(0x00080020, 0x00080030, 0x00080050, 0x00080061, 0x00080090, 0x00080201, 0x00100010, 0x00100020, 0x00100030),
    *(0x00100040, 0x0020000D, 0x00200010, 0x00201206, 0x00201208),
)
_SERIES = (
    *(0x00080020, 0x00080030, 0x00080050, 0x00080060, 0x00080090, 0x00080201, 0x0008103E, 0x00100010, 0x00100020),
    *(0x00100030, 0x00100040, 0x0020000D, 0x0020000E, 0x00200010, 0x00200011, 0x00201209, 0x00400244, 0x00400245),
)
_INSTANCE = (
    *(0x00080016, 0x00080018, 0x00080020, 0x00080030, 0x00080050, 0x00080056, 0x00080060, 0x00080090, 0x00080201),
    *(0x0008103E, 0x00100010, 0x00100020, 0x00100030, 0x00100040, 0x0020000D, 0x0020000E, 0x00200010, 0x00200011),
    *(0x00200013, 0x00280008),
)
_REQUIRED: Mapping[Level, Sequence[tuple[Tag, str, str]]] = {
    level: tuple((Tag(tag), f"{tag:08X}", STANDARD.vr(tag)) for tag in sorted((*tags, 0x00081190)))
    for level, tags in ((Level.STUDY, _STUDY), (Level.SERIES, _SERIES), (Level.INSTANCE, _INSTANCE))
}
"""What an answer holds in any case, where there is a value (PS3.18 §10.6.3.3)."""
_FROM_HEADER = {
    Level.STUDY: (),
    Level.SERIES: (Tag(0x00400275),),
    Level.INSTANCE: (Tag(0x00280010), Tag(0x00280011), Tag(0x00280100)),
}
"""The same, where the index does not know it: Request Attributes Sequence; Rows, Columns, Bits Allocated."""

_UTF_8 = {"vr": "CS", "Value": ["ISO_IR 192"]}
_ABOUT_THE_SEARCH = frozenset(
    ("limit", "offset", "includefield", "fuzzymatching", "orderby", "labels", "labelsconstraint", "accept", "charset")
)
_LISTS = frozenset(("UI", "CS"))
"""VRs of which a comma separates values: it is in none of them."""


@dataclass(slots=True)
class Search:
    """What a query string asks.

    Attributes:
        keys: that must hold inside of sequences.
        included: attributes that are wanted besides the required ones, each with those within it; empty for all.
        includes_all: all attributes of the level are wanted.
        cap: most answers that this server gives.
        case_sensitive: whether case matters in the keys of sequences.
    """

    query: Query
    keys: tuple[Key, ...] = ()
    included: dict[Tag, set[tuple[Tag, ...]]] = field(default_factory=dict)
    includes_all: bool = False
    cap: int = 0
    case_sensitive: bool = False


# ---------------------------------------------------------------------------------------------------- the handler


def search(level: Level, services: Services, request: Request) -> Response:
    """GET {root}/studies, …/series, …/instances."""
    wanted = parse_search(level, services, request)
    found, has_more = _find(services, wanted)
    base = base_url(services, request)
    models = _answers(services, wanted, found, base)
    headers: Headers = ()
    if has_more:
        headers = ((b"warning", f"299 {base}: There are additional results that can be requested".encode()),)
    as_xml = bool(wants_xml(request))
    return models_response(models, services.archive.dictionary, as_xml=as_xml, headers=headers)


# ---------------------------------------------------------------------------------------------------- the query


def parse_search(level: Level, services: Services, request: Request) -> Search:
    """Read a query string.

    Raises:
        ParameterOutOfRange: a key is malformed for its VR, or there are too many.
        BadFileFormat: a number is none.
    """
    settings, information = services.settings.dicom_web, services.information
    dictionary = services.archive.dictionary
    sensitive = settings.qido_case_sensitive
    if sensitive is None:
        sensitive = information.case_sensitive_pn
    reader = _Reader(level, dictionary, sensitive)
    constraints = [
        Constraint(tag, SingleValue(request.params[name]))
        for name, tag in (("study", STUDY_INSTANCE_UID), ("series", SERIES_INSTANCE_UID))
        if name in request.params
    ]
    items = request.query_items()
    options = {name.lower(): value for name, value in items if name.lower() in _ABOUT_THE_SEARCH}
    reader.is_fuzzy = options.get("fuzzymatching", "").lower() in ("true", "1")
    for name, value in items:
        if name.lower() == "includefield":
            reader.include(value)
        elif name.lower() not in _ABOUT_THE_SEARCH:
            reader.key(name, value)
    result = reader.result
    cap = information.limit_find_instances if level is Level.INSTANCE else information.limit_find_results
    cap = min(cap or settings.maximum_results, settings.maximum_results)
    limit, offset = _number(options, "limit"), _number(options, "offset")
    result.keys = _merged(result.keys)
    result.cap = cap
    result.case_sensitive = sensitive
    result.query = Query(
        level=level,
        constraints=(*constraints, *reader.constraints),
        labels=frozenset(filter(None, options.get("labels", "").split(","))),
        labels_constraint=_labels_constraint(options),
        order_by=tuple(_order(options.get("orderby", ""), dictionary)),
        # What is negative wraps around elsewhere, and then is beyond any end.
        since=offset if offset >= 0 else 1 << 62,
        limit=min(limit, cap) if limit > 0 else cap,
    )
    return result


class _Reader:
    """Collects the keys and fields of a query string."""

    def __init__(self, level: Level, dictionary: Dictionary, case_sensitive: bool) -> None:
        self._level = level
        self._dictionary = dictionary
        self._case_sensitive = case_sensitive
        self.is_fuzzy = False
        self.constraints: list[Constraint] = []
        self.result = Search(Query(level))

    def key(self, name: str, value: str) -> None:
        """One match parameter."""
        path = self._path(name)
        if path is None:
            return
        if len(self.constraints) + len(self.result.keys) >= MAX_KEYS:
            raise ParameterOutOfRange(f"more than {MAX_KEYS} keys")
        self._wants(path)
        tag = path[-1]
        vr = self._dictionary.vr(tag)
        match = parse_key(vr, value, is_fuzzy=self.is_fuzzy)
        if isinstance(match, Universal):
            return
        if len(path) > 1:
            key = Key(tag, vr, match)
            for sequence in reversed(path[:-1]):
                key = Key(sequence, "SQ", items=(key,))
            self.result.keys += (key,)
        else:
            if tag == MODALITY and self._level is Level.STUDY:
                tag = MODALITIES_IN_STUDY
            self.constraints.append(Constraint(tag, match, self._case_sensitive or vr == "UI"))

    def include(self, value: str) -> None:
        """One `includefield` parameter."""
        for name in value.split(","):
            if name.strip().lower() == "all":
                self.result.includes_all = True
            elif (path := self._path(name)) is not None:
                self._wants(path)

    def _wants(self, path: tuple[Tag, ...]) -> None:
        if len(self.result.included) >= MAX_INCLUDED:
            raise ParameterOutOfRange(f"more than {MAX_INCLUDED} attributes")
        self.result.included.setdefault(path[0], set()).add(path[1:])

    def _path(self, name: str) -> tuple[Tag, ...] | None:
        """Tags from the outermost sequence to the attribute; None if one is unknown: such keys are passed over."""
        steps = name.split(".")
        if len(steps) > MAX_DEPTH:
            return None
        try:
            tags = tuple(self._dictionary.tag(step.strip()) for step in steps)
        except UnknownDicomTag:
            return None
        return tags if all(self._dictionary.entry(tag) is not None for tag in tags) else None


def _merged(keys: Iterable[Key]) -> tuple[Key, ...]:
    """The same keys, those of a sequence put together: one item of it must match all of them (PS3.4 §C.2.2.2.6)."""
    merged: list[Key] = []
    sequences: dict[Tag, list[Key]] = {}
    for key in keys:
        if key.items:
            sequences.setdefault(key.tag, []).extend(key.items)
        else:
            merged.append(key)
    merged += [Key(tag, "SQ", items=_merged(items)) for tag, items in sequences.items()]
    return tuple(merged)


def parse_key(vr: str, value: str, *, is_fuzzy: bool = False) -> Match:
    """Read the value of a match parameter (PS3.18 §8.3.4.1).

    A name with wildcards says how it is written, not how it sounds.

    Raises:
        ParameterOutOfRange: it is malformed for the VR.
    """
    if is_fuzzy and vr == "PN" and "*" not in value and "?" not in value and (codes := name_codes(value)):
        return Phonetic(codes)
    if "\\" in value:
        return SingleValue(value)
    if vr in _LISTS and "," in value:
        values = tuple(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))
        if len(values) > 1:
            if any("*" in part or "?" in part for part in values):
                raise ParameterOutOfRange("Wildcards are not allowed in a list of values")
            return ListOf(values)
        value = "".join(values)
    if vr in ("DA", "TM", "DT") and not value.strip("*"):
        return Universal()
    return parse_match(vr, value)


def _number(options: Mapping[str, str], name: str) -> int:
    text = options.get(name, "")
    if not text:
        return 0
    try:
        if len(text) > 18 or not text.isascii():
            raise ValueError
        return int(text)
    except ValueError:
        raise BadFileFormat from None


def _labels_constraint(options: Mapping[str, str]) -> LabelsConstraint:
    name = options.get("labelsconstraint", "All").capitalize()
    try:
        return LabelsConstraint(name)
    except ValueError:
        raise ParameterOutOfRange("LabelsConstraint must be All, Any or None") from None


def _order(text: str, dictionary: Dictionary) -> Iterator[OrderKey]:
    """`StudyDate,-PatientName`; a direction may also follow, as `StudyDate desc`."""
    for part in text.split(",")[:16]:
        name = part.strip()
        if not name:
            continue
        direction = Direction.DESCENDING if name[0] == "-" else Direction.ASCENDING
        name, _, word = name.lstrip("+-").replace(":", " ").partition(" ")
        match word.strip().lower():
            case "desc" | "descending":
                direction = Direction.DESCENDING
            case "asc" | "ascending" | "":
                pass
            case _:
                raise ParameterOutOfRange("The direction of an order must be asc or desc")
        yield OrderKey(dictionary.tag(name), direction)


# ---------------------------------------------------------------------------------------------------- the answers


def _find(services: Services, wanted: Search) -> tuple[list[Resource], bool]:
    """A page of answers, and whether there are more that a limit of this server holds back."""
    archive, query = services.archive, wanted.query
    if wanted.keys:
        return _find_nested(services, wanted)
    is_capped = query.limit >= wanted.cap
    asked = replace(query, limit=query.limit + 1) if is_capped else query
    found = find.find(archive, asked, Content.PARENT_TAGS)
    return (found[: query.limit], True) if is_capped and len(found) > query.limit else (found, False)


def _find_nested(services: Services, wanted: Search) -> tuple[list[Resource], bool]:
    """The same where keys inside of sequences must hold."""
    archive, query = services.archive, wanted.query
    tags = tuple(dict.fromkeys(key.tag for key in wanted.keys))
    end = query.since + query.limit
    matching: list[Resource] = []
    for since in range(0, MAX_CANDIDATES, _PAGE):
        page = find.find(archive, replace(query, since=since, limit=_PAGE), Content.PARENT_TAGS)
        for resource, values in zip(page, find.elements(archive, page, tags), strict=True):
            data_set: DataSet = {tag: value for tag, value in values.items() if isinstance(value, Element)}
            if satisfies(wanted.keys, data_set, case_sensitive_pn=wanted.case_sensitive):
                matching.append(resource)
        if len(page) < _PAGE or len(matching) > end:
            return matching[query.since : end], len(matching) > end and query.limit >= wanted.cap
    return matching[query.since : end], True


def _answers(services: Services, wanted: Search, found: Sequence[Resource], base: str) -> list[dict[str, object]]:
    level = wanted.query.level
    archive, dictionary = services.archive, services.archive.dictionary
    further = dict.fromkeys((*_FROM_HEADER[level], *wanted.included))
    if wanted.includes_all and level is not Level.INSTANCE:
        for below in Level:
            if below <= level:
                further |= dict.fromkeys((*sorted(MODULES[below]), *archive.main_tags.tags(below)))
    required = {tag for tag, _, _ in _REQUIRED[level]}
    tags = tuple(tag for tag in further if tag not in required)
    if level is Level.INSTANCE and wanted.includes_all:
        elements = _whole_headers(services, found)
    elif tags:
        elements = find.elements(archive, found, tags)
    else:
        elements = [{}] * len(found)
    models = []
    for resource, values in zip(found, elements, strict=True):
        model = _required(resource, base)
        if values:
            for tag, value in values.items():
                if tag not in required:
                    inner = wanted.included.get(tag)
                    made = _attribute(dictionary.vr(tag), value, inner if inner and () not in inner else None)
                    if made is not None:
                        model[f"{tag:08X}"] = made
            model = dict(sorted(model.items()))
        models.append(model)
    return models


def _whole_headers(services: Services, found: Sequence[Resource]) -> list[Mapping[Tag, str | Element]]:
    """All attributes of instances that have a value in their header."""
    headers = find.stored_headers(services.archive, found)
    return [
        {} if header is None else {tag: one for tag, one in header.data_set.items() if not isinstance(one.value, Bulk)}
        for header in headers
    ]


def _required(resource: Resource, base: str) -> dict[str, object]:
    """The attributes that every answer holds, in order of their tags."""
    level = resource.level
    values: dict[Tag, str] = {
        **resource.patient_main_tags,
        **resource.study_main_tags,
        **resource.series_main_tags,
        **resource.main_tags,
    }
    url = study_url(base, values.get(STUDY_INSTANCE_UID, ""))
    match level:
        case Level.STUDY:
            values[MODALITIES_IN_STUDY] = "\\".join(resource.modalities)
            values[Tag(0x00201206)] = str(resource.number_of_series)
            values[Tag(0x00201208)] = str(resource.number_of_instances)
        case Level.SERIES:
            url += f"/series/{segment(values.get(SERIES_INSTANCE_UID, ''))}"
            values[Tag(0x00201209)] = str(resource.number_of_instances)
        case _:
            url += f"/series/{segment(values.get(SERIES_INSTANCE_UID, ''))}"
            url += f"/instances/{segment(values.get(SOP_INSTANCE_UID, ''))}"
            values[SOP_CLASS_UID] = resource.sop_class_uid
            values[Tag(0x00080056)] = "ONLINE"
    values[_RETRIEVE_URL] = url
    model: dict[str, object] = {"00080005": _UTF_8}
    for tag, name, vr in _REQUIRED[level]:
        text = values.get(tag)
        if text is None:
            continue
        if vr in _MAKERS:
            model[name] = _MAKERS[vr](text)
        elif text and text[-1] != " " and "\\" not in text:
            model[name] = {"vr": vr, "Value": [text]}
        else:
            model[name] = dicom_json.attribute(Element(vr, text))
    return model


@lru_cache(4096)
def _integer(text: str) -> dict[str, object]:
    return dicom_json.attribute(Element("IS", text))


def _person_name(text: str) -> dict[str, object]:
    if not text:
        return {"vr": "PN"}
    if "=" in text or "\\" in text or text[-1] == " ":
        return dicom_json.attribute(Element("PN", text))
    return {"vr": "PN", "Value": [{"Alphabetic": text}]}


_MAKERS: Mapping[str, Callable[[str], dict[str, object]]] = {"PN": _person_name, "IS": _integer}


def _attribute(vr: str, value: str | Element, inner: set[tuple[Tag, ...]] | None) -> dict[str, object] | None:
    """One further attribute; of a sequence only what is named, if something is. None if it has no value to show."""
    if isinstance(value, Element):
        if isinstance(value.value, Bulk):
            return None
        if inner is not None and value.vr == "SQ":
            value = Element("SQ", [_within(item, inner) for item in items_of(value)])
        return dicom_json.attribute(value)
    return dicom_json.attribute(dicom_json.element_of_text(vr, value))


def _within(item: DataSet, paths: set[tuple[Tag, ...]]) -> DataSet:
    kept: dict[Tag, Element] = {}
    for tag in sorted({path[0] for path in paths}):
        element = item.get(tag)
        if element is None:
            continue
        rest = {path[1:] for path in paths if path[0] == tag}
        if element.vr == "SQ" and () not in rest:
            element = Element("SQ", [_within(inner, rest) for inner in items_of(element)])
        kept[tag] = element
    return kept
