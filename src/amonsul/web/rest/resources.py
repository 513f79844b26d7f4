"""Patients, studies, series and instances: listings, single resources, what lies above and below, deletion.

The four levels differ in a few fields only, which `describe` knows; every handler takes its level as first argument
and the table of routes fills it in.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import lru_cache

from amonsul.archive import edit, find, read, statistics
from amonsul.archive.find import Content, RequestedValue, Resource
from amonsul.dicom.dictionary import Dictionary
from amonsul.dicom.elements import Tag, format_tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import (
    BadFileFormat,
    BadParameterType,
    BadRequest,
    InexistentItem,
    ParameterOutOfRange,
    UnknownDicomTag,
    UnknownResource,
)
from amonsul.web.rest.attachments import describe_attachment
from amonsul.web.rest.slices import ordered_slices
from amonsul.web.services import Services
from amonsul.web.values import NOT_FOUND, TEXT_TYPE, Request, Response, json

_MEGABYTE = 1 << 20
_NUMBER_OF_FRAMES = Tag(0x00280008)
_MAX_FRAMES = 1_000_000
MAX_REQUESTED_TAGS = 1000


class TagForm(enum.Enum):
    """How DICOM tags are printed."""

    NAMES = "names"
    SHORT = "short"
    FULL = "full"


class Part(enum.Enum):
    """Parts of a description that a client can choose; the values are those of `ResponseContent`."""

    MAIN_TAGS = "MainDicomTags"
    METADATA = "Metadata"
    CHILDREN = "Children"
    PARENT = "Parent"
    LABELS = "Labels"
    STATUS = "Status"
    IS_STABLE = "IsStable"
    IS_PROTECTED = "IsProtected"
    ATTACHMENTS = "Attachments"
    REQUESTED_TAGS = "RequestedTags"


_NEEDS = {Part.CHILDREN: Content.CHILDREN, Part.LABELS: Content.LABELS, Part.METADATA: Content.METADATA}
_EXPANDED = {
    Level.PATIENT: Content.CHILDREN | Content.LABELS,
    Level.STUDY: Content.CHILDREN | Content.LABELS | Content.PARENT_TAGS,
    Level.SERIES: Content.CHILDREN | Content.LABELS,
    Level.INSTANCE: Content.LABELS,
}
_CHILDREN = ("Studies", "Series", "Instances")
_PARENT = ("", "ParentPatient", "ParentStudy", "ParentSeries")


# ---------------------------------------------------------------------------------------------------- describing


def describe(
    resource: Resource, form: TagForm, dictionary: Dictionary, requested: Mapping[Tag, RequestedValue] | None = None
) -> dict[str, object]:
    """The JSON of a resource with everything that `expand` shows."""
    level = resource.level
    described: dict[str, object] = {}
    if level is Level.INSTANCE:
        described["FileSize"] = resource.file_size
        described["FileUuid"] = resource.file_uuid
        described["ID"] = resource.orthanc_id
        described["IndexInSeries"] = resource.index_in_series
    else:
        if level is Level.SERIES:
            described["ExpectedNumberOfInstances"] = resource.expected_number_of_instances
        described["ID"] = resource.orthanc_id
        described[_CHILDREN[level]] = resource.children
        described["IsStable"] = resource.is_stable
        described["LastUpdate"] = resource.last_update
        if level is Level.PATIENT:
            described["IsProtected"] = resource.is_protected
        elif level is Level.STUDY:
            described["PatientMainDicomTags"] = print_tags(resource.patient_main_tags, form, dictionary)
        else:
            described["Status"] = resource.status
    described["Labels"] = resource.labels
    described["MainDicomTags"] = print_tags(resource.main_tags, form, dictionary)
    if level is not Level.PATIENT:
        described[_PARENT[level]] = resource.parent
    if requested is not None:
        described["RequestedTags"] = print_tags(requested, form, dictionary)
    described["Type"] = level.type_name
    if resource.modified_from is not None:
        described["ModifiedFrom"] = resource.modified_from
    if resource.anonymized_from is not None:
        described["AnonymizedFrom"] = resource.anonymized_from
    return described


def describe_parts(
    services: Services,
    resource: Resource,
    parts: Collection[Part],
    form: TagForm,
    requested: Mapping[Tag, RequestedValue] | None,
) -> dict[str, object]:
    """The JSON of a resource with the parts asked for, and its identifier and type."""
    level, dictionary = resource.level, services.archive.dictionary
    described: dict[str, object] = {"ID": resource.orthanc_id, "Type": level.type_name}
    if Part.MAIN_TAGS in parts:
        described["MainDicomTags"] = print_tags(resource.main_tags, form, dictionary)
        if level is Level.STUDY:
            described["PatientMainDicomTags"] = print_tags(resource.patient_main_tags, form, dictionary)
    if Part.METADATA in parts:
        described["Metadata"] = resource.metadata
    if Part.CHILDREN in parts and level is not Level.INSTANCE:
        described[_CHILDREN[level]] = resource.children
    if Part.PARENT in parts and level is not Level.PATIENT:
        described[_PARENT[level]] = resource.parent
    if Part.LABELS in parts:
        described["Labels"] = resource.labels
    if Part.STATUS in parts and level is Level.SERIES:
        described["Status"] = resource.status
    if Part.IS_STABLE in parts and level is not Level.INSTANCE:
        described["IsStable"] = resource.is_stable
    if Part.IS_PROTECTED in parts and level is Level.PATIENT:
        described["IsProtected"] = resource.is_protected
    if Part.ATTACHMENTS in parts:
        described["Attachments"] = list(_attachments(services, resource))
    if requested is not None:
        described["RequestedTags"] = print_tags(requested, form, dictionary)
    return described


def _attachments(services: Services, resource: Resource) -> Iterator[dict[str, object]]:
    for content_type in resource.attachments:
        try:
            stored = read.attachment(services.archive, resource.level, resource.orthanc_id, str(content_type))
        except UnknownResource:  # deleted meanwhile
            continue
        yield describe_attachment(stored)


def describe_all(
    services: Services,
    resources: Sequence[Resource],
    form: TagForm,
    requested_tags: Sequence[Tag] = (),
    parts: Collection[Part] | None = None,
) -> list[dict[str, object]]:
    """Several resources; their requested tags are looked up together."""
    values: Sequence[Mapping[Tag, RequestedValue] | None] = [None] * len(resources)
    if requested_tags:
        values = find.requested_tags(services.archive, resources, requested_tags)
    if parts is not None:
        return [describe_parts(services, one, parts, form, value) for one, value in zip(resources, values, strict=True)]
    dictionary = services.archive.dictionary
    return [describe(one, form, dictionary, value) for one, value in zip(resources, values, strict=True)]


def content_of(level: Level, requested_tags: Sequence[Tag] = (), parts: Collection[Part] | None = None) -> Content:
    """What has to be fetched for a description."""
    content = Content.NOTHING
    if parts is None:
        content = _EXPANDED[level]
    else:
        for part in parts:
            content |= _NEEDS.get(part, Content.NOTHING)
        if Part.MAIN_TAGS in parts and level is Level.STUDY:
            content |= Content.PARENT_TAGS
        if Part.ATTACHMENTS in parts:
            content |= Content.ATTACHMENTS
    return content | Content.PARENT_TAGS if requested_tags else content


def print_tags(tags: Mapping[Tag, RequestedValue], form: TagForm, dictionary: Dictionary) -> dict[str, object]:
    """Tags in one of the three forms."""
    if form is TagForm.NAMES:
        names = _names(dictionary)
        return {names[tag]: value for tag, value in tags.items()}
    if form is TagForm.SHORT:
        return {format_tag(tag): value for tag, value in tags.items()}
    return {
        format_tag(tag): {
            "Name": dictionary.keyword(tag),
            "Type": "String" if isinstance(value, str) else "Sequence",
            "Value": value,
        }
        for tag, value in tags.items()
    }


class _Names(dict[Tag, str]):
    """Keywords of tags, looked up once."""

    def __init__(self, dictionary: Dictionary) -> None:
        self._dictionary = dictionary

    def __missing__(self, tag: Tag) -> str:
        self[tag] = name = self._dictionary.keyword(tag)
        return name


_names = lru_cache(maxsize=8)(_Names)


# ---------------------------------------------------------------------------------------------------- arguments


def tag_form(request: Request) -> TagForm:
    """`?short`, `?full` or names."""
    if request.flag("short"):
        return TagForm.SHORT
    return TagForm.FULL if request.flag("full") else TagForm.NAMES


def requested_tags(services: Services, request: Request) -> tuple[Tag, ...]:
    """`?requested-tags=PatientName;0008,0020`, also `requestedTags`."""
    argument = request.query.get("requested-tags") or request.query.get("requestedTags") or ""
    names = [name for name in argument.split(";") if name]
    try:
        return parse_tags(services.archive.dictionary, names)
    except UnknownDicomTag as error:
        raise BadRequest(f"Invalid requested-tags argument: {error.details}") from None


def parse_tags(dictionary: Dictionary, names: Sequence[str]) -> tuple[Tag, ...]:
    """Tags by name or number, without repetitions."""
    if len(names) > MAX_REQUESTED_TAGS:
        raise ParameterOutOfRange(f"more than {MAX_REQUESTED_TAGS} requested tags")
    return tuple(dict.fromkeys(dictionary.tag(name.strip()) for name in names))


def parse_parts(names: Sequence[str]) -> frozenset[Part]:
    """Values of `ResponseContent`."""
    parts = set()
    for name in names:
        try:
            parts.add(Part(name))
        except ValueError:
            raise ParameterOutOfRange(f'Unrecognized value for "ResponseContent": {name}') from None
    return frozenset(parts)


def integer(request: Request, name: str) -> int | None:
    """A number that is not negative."""
    text = request.query.get(name)
    if text is None:
        return None
    if len(text) > 18 or not text.removeprefix("-").isascii() or not text.removeprefix("-").isdigit():
        raise BadParameterType(f'Argument "{name}" must be a number')
    value = int(text)
    if value < 0:
        raise ParameterOutOfRange(f'Argument "{name}" must not be negative')
    return value


def _page(request: Request) -> tuple[int, int]:
    since, limit = integer(request, "since"), integer(request, "limit")
    if since is None and limit is None:
        return 0, 0
    if since is None or limit is None:
        missing = "since" if since is None else "limit"
        raise BadRequest(f'Missing "{missing}" argument for GET request against: {request.uri}')
    return since, limit


def identifier(request: Request) -> OrthancId:
    """The resource that the path names."""
    return OrthancId(request.params["id"])


# ---------------------------------------------------------------------------------------------------- handlers


def list_resources(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}."""
    archive = services.archive
    since, limit = _page(request)
    tags = requested_tags(services, request)
    content_names = request.query.get("response-content")
    parts = None if content_names is None else parse_parts([name for name in content_names.split(";") if name])
    if parts is None and not request.flag("expand"):
        return json(find.list_ids(archive, level, since, limit))
    content = content_of(level, tags, parts)
    resources = find.list_resources(archive, level, since, limit, content)
    return json(describe_all(services, resources, tag_form(request), tags, parts))


def get_resource(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}."""
    archive, query = services.archive, request.query
    if not query:
        try:
            resource = find.get(archive, level, identifier(request), _EXPANDED[level])
        except UnknownResource:
            return NOT_FOUND
        return json(describe(resource, TagForm.NAMES, archive.dictionary))
    tags = requested_tags(services, request)
    try:
        resource = find.get(archive, level, identifier(request), content_of(level, tags))
    except UnknownResource:
        return NOT_FOUND
    return json(describe_all(services, [resource], tag_form(request), tags)[0])


def delete_resource(level: Level, services: Services, request: Request) -> Response:
    """DELETE /{level}/{id}."""
    try:
        remaining = edit.delete(services.archive, level, identifier(request))
    except UnknownResource:
        return NOT_FOUND
    if remaining is None:
        return json({"RemainingAncestor": None})
    return json({"RemainingAncestor": reference(remaining.level, remaining.orthanc_id)})


def reference(level: Level, orthanc_id: OrthancId) -> dict[str, str]:
    """A resource named: identifier, path, type."""
    return {"ID": orthanc_id, "Path": f"/{level.collection}/{orthanc_id}", "Type": level.type_name}


def list_descendants(level: Level, wanted: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/{lower level}: expanded unless told otherwise."""
    archive = services.archive
    tags = requested_tags(services, request)
    if "expand" in request.query and not request.flag("expand"):
        return json(find.descendant_ids(archive, level, identifier(request), wanted))
    resources = find.descendants(archive, level, identifier(request), wanted, content_of(wanted, tags))
    return json(describe_all(services, resources, tag_form(request), tags))


def get_ancestor(level: Level, wanted: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/{higher level}."""
    tags = requested_tags(services, request)
    resource = find.ancestor(services.archive, level, identifier(request), wanted, content_of(wanted, tags))
    return json(describe_all(services, [resource], tag_form(request), tags)[0])


def get_statistics(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/statistics."""
    found = statistics.of_resource(services.archive, level, identifier(request))
    counts = {"CountStudies": found.studies, "CountSeries": found.series, "CountInstances": found.instances}
    shown = ("CountStudies", "CountSeries", "CountInstances")[level:]
    described: dict[str, object] = {name: counts[name] for name in shown}
    for name, size in (
        ("DicomDiskSize", found.dicom_disk_size),
        ("DicomUncompressedSize", found.dicom_uncompressed_size),
        ("DiskSize", found.disk_size),
        ("UncompressedSize", found.uncompressed_size),
    ):
        described[name] = str(size)
        described[name + "MB"] = size // _MEGABYTE
    return json(described)


def get_system_statistics(services: Services, _request: Request) -> Response:
    """GET /statistics."""
    found = statistics.system(services.archive)
    return json(
        {
            "CountInstances": found.instances,
            "CountPatients": found.patients,
            "CountSeries": found.series,
            "CountStudies": found.studies,
            "TotalDiskSize": str(found.disk_size),
            "TotalDiskSizeMB": found.disk_size // _MEGABYTE,
            "TotalUncompressedSize": str(found.uncompressed_size),
            "TotalUncompressedSizeMB": found.uncompressed_size // _MEGABYTE,
        }
    )


def get_labels(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/labels."""
    return json(find.get(services.archive, level, identifier(request), Content.LABELS).labels)


def get_label(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/labels/{label}."""
    labels = find.get(services.archive, level, identifier(request), Content.LABELS).labels
    return Response(200, TEXT_TYPE) if request.params["label"] in labels else NOT_FOUND


def add_label(level: Level, services: Services, request: Request) -> Response:
    """PUT /{level}/{id}/labels/{label}."""
    edit.add_label(services.archive, level, identifier(request), request.params["label"])
    return Response(200, TEXT_TYPE)


def remove_label(level: Level, services: Services, request: Request) -> Response:
    """DELETE /{level}/{id}/labels/{label}."""
    edit.remove_label(services.archive, level, identifier(request), request.params["label"])
    return Response(200, TEXT_TYPE)


def all_labels(services: Services, _request: Request) -> Response:
    """GET /tools/labels."""
    return json(edit.all_labels(services.archive))


def set_protected(services: Services, request: Request) -> Response:
    """PUT /patients/{id}/protected."""
    is_protected = boolean(request)
    try:
        edit.set_protection(services.archive, identifier(request), is_protected)
    except UnknownResource:
        raise ParameterOutOfRange("there is no such patient") from None
    return Response(200, TEXT_TYPE)


def boolean(request: Request) -> bool:
    """A body that says `1` or `0`, `true` or `false`."""
    match request.text().strip():
        case "1" | "true":
            return True
        case "0" | "false":
            return False
    raise BadFileFormat("Boolean value expected")


def get_frames(services: Services, request: Request) -> Response:
    """GET /instances/{id}/frames."""
    data_set = read.header(services.archive, identifier(request)).data_set
    frames = data_set.get(_NUMBER_OF_FRAMES)
    text = frames.value.strip() if frames is not None and isinstance(frames.value, str) else ""
    count = int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 1
    return json(list(range(min(max(count, 1), _MAX_FRAMES))))


def get_protected(services: Services, request: Request) -> Response:
    """GET /patients/{id}/protected."""
    try:
        patient = find.get(services.archive, Level.PATIENT, identifier(request), Content.NOTHING)
    except UnknownResource:
        raise ParameterOutOfRange("there is no such patient") from None
    return Response(200, TEXT_TYPE, b"1" if patient.is_protected else b"0")


def get_ordered_slices(services: Services, request: Request) -> Response:
    """GET /series/{id}/ordered-slices."""
    slices = find.slices_of(services.archive, identifier(request))
    if not slices:
        raise InexistentItem
    return json(ordered_slices(slices))
