"""`/tools/find` and its relatives: a JSON body read once into the one `Query`, the answers described."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from amonsul.archive import edit, find
from amonsul.database.search import COMPUTED
from amonsul.dicom.dictionary import Dictionary
from amonsul.dicom.elements import Tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.matching import Match, Universal, parse_match
from amonsul.dicom.query import (
    Cast,
    Constraint,
    Direction,
    LabelsConstraint,
    MetadataConstraint,
    OrderKey,
    Query,
)
from amonsul.errors import BadFileFormat, BadRequest, ParameterOutOfRange, UnknownResource
from amonsul.jobs.kinds.delete_resources import DeleteResources, Doomed
from amonsul.web.json_body import Json, parse_object
from amonsul.web.rest import jobs
from amonsul.web.rest.attachments import metadata_name
from amonsul.web.rest.resources import (
    Part,
    TagForm,
    content_of,
    describe_all,
    parse_parts,
    parse_tags,
    reference,
)
from amonsul.web.services import Services
from amonsul.web.values import TEXT_TYPE, Request, Response, json

MAX_RESOURCES = 100_000
_LARGEST = 1 << 53

_LEVELS = {level.type_name.lower(): level for level in Level} | {level.collection: level for level in Level}
_ORDERS = {
    "DicomTag": Cast.TEXT,
    "DicomTagAsInt": Cast.INTEGER,
    "DicomTagAsFloat": Cast.REAL,
    "Metadata": Cast.TEXT,
    "MetadataAsInt": Cast.INTEGER,
    "MetadataAsFloat": Cast.REAL,
}
_PARENTS = {"ParentPatient": Level.PATIENT, "ParentStudy": Level.STUDY, "ParentSeries": Level.SERIES}

Body = Mapping[str, Json]


# ---------------------------------------------------------------------------------------------------- the query


def parse_query(services: Services, body: Body) -> Query:
    """Read the body of `/tools/find` or `/tools/count-resources`.

    Raises:
        BadRequest: a field is missing or of the wrong type.
        ParameterOutOfRange: a value that is not understood.
    """
    level_name = body.get("Level")
    if not isinstance(level_name, str):
        raise BadRequest('Field "Level" is missing, or should be a string')
    keys = body.get("Query")
    if not isinstance(keys, dict):
        raise BadRequest('Field "Query" is missing, or should be a JSON object')
    level = parse_level(level_name)
    dictionary = services.archive.dictionary
    case_sensitive = _flag(body, "CaseSensitive", services.information.case_sensitive_pn)
    return Query(
        level=level,
        constraints=tuple(_constraints(dictionary, keys, case_sensitive)),
        labels=frozenset(_texts(body, "Labels", "must be an array of strings")),
        labels_constraint=_labels_constraint(body),
        metadata=tuple(_metadata_constraints(services, body, case_sensitive)),
        order_by=tuple(_order_keys(services, body)),
        since=_natural(body, "Since"),
        limit=_limit(services, level, _natural(body, "Limit")),
        parents=_parents(body, level),
        requested_tags=parse_tags(dictionary, _texts(body, "RequestedTags", "must be an array")),
    )


def _limit(services: Services, level: Level, wanted: int) -> int:
    """Most answers: what the client wants, within `LimitFindResults` or `LimitFindInstances`."""
    information = services.information
    allowed = information.limit_find_instances if level is Level.INSTANCE else information.limit_find_results
    return min(wanted or allowed, allowed or wanted)


def parse_level(name: str) -> Level:
    """A level by its name, singular or plural, in any case."""
    level = _LEVELS.get(name.lower())
    if level is None:
        raise ParameterOutOfRange(f"Invalid resource type '{name}'")
    return level


def _constraints(dictionary: Dictionary, keys: Body, case_sensitive: bool) -> list[Constraint]:
    constraints = []
    for name, key in keys.items():
        if not isinstance(key, str):
            raise BadRequest(f'Tag "{name}" must be associated with a string')
        tag = dictionary.tag(name)
        match = _match(dictionary, tag, key)
        if not isinstance(match, Universal):
            # UIDs have no case; the values of other VRs follow the request.
            sensitive = case_sensitive or dictionary.vr(tag) == "UI"
            constraints.append(Constraint(tag, match, sensitive))
    return constraints


def _match(dictionary: Dictionary, tag: Tag, key: str) -> Match:
    vr = dictionary.vr(tag)
    if vr in ("DA", "TM", "DT", "UI") and ("*" in key or "?" in key) and key.strip("*"):
        raise ParameterOutOfRange(f"Wildcards are not allowed on tag {tag >> 16:04x},{tag & 0xFFFF:04x}")
    return parse_match(vr, key)


def _metadata_constraints(services: Services, body: Body, case_sensitive: bool) -> list[MetadataConstraint]:
    wanted = body.get("MetadataQuery", {})
    if not isinstance(wanted, dict):
        raise BadRequest('Field "MetadataQuery" must be an JSON object')
    constraints = []
    for name, key in wanted.items():
        if not isinstance(key, str):
            raise BadRequest(f'Metadata "{name}" must be associated with a string')
        match = parse_match("LO", key)
        known = metadata_name(services, name)
        if not isinstance(match, Universal):
            constraints.append(MetadataConstraint(known, match, case_sensitive))
    return constraints


def _order_keys(services: Services, body: Body) -> list[OrderKey]:
    orders = body.get("OrderBy", [])
    if not isinstance(orders, list):
        raise BadRequest('Field "OrderBy" must be an array')
    return [_order_key(services, order) for order in orders]


def _order_key(services: Services, order: Json) -> OrderKey:
    if not isinstance(order, dict):
        raise BadRequest('Field "OrderBy" must be an array of JSON objects')
    kind, name, direction = order.get("Type"), order.get("Key"), order.get("Direction", "ASC")
    cast = _ORDERS.get(kind) if isinstance(kind, str) else None
    if cast is None or not isinstance(kind, str):
        raise BadRequest(f'Field "Type" must be one of {", ".join(_ORDERS)}')
    if direction not in ("ASC", "DESC"):
        raise BadRequest('Field "Direction" must be "ASC" or "DESC"')
    if not isinstance(name, str):
        raise BadRequest('Field "Key" must be a string')
    if kind.startswith("Metadata"):
        return OrderKey(metadata_name(services, name), Direction(direction), cast)
    return OrderKey(services.archive.dictionary.tag(name), Direction(direction), cast)


def _labels_constraint(body: Body) -> LabelsConstraint:
    name = body.get("LabelsConstraint", "All")
    if name not in ("All", "Any", "None"):
        raise BadRequest('Field "LabelsConstraint" must be "All", "Any", or "None"')
    return LabelsConstraint(name)


def _parents(body: Body, level: Level) -> Mapping[Level, OrthancId]:
    parents = {}
    for field, parent_level in _PARENTS.items():
        if field in body:
            value = body[field]
            if not isinstance(value, str):
                raise BadRequest(f'Field "{field}" must be a string')
            if parent_level >= level:
                raise BadRequest(f'Field "{field}" makes no sense at level {level.type_name}')
            parents[parent_level] = OrthancId(value)
    return parents


def _texts(body: Body, field: str, complaint: str) -> list[str]:
    values = body.get(field, [])
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise BadRequest(f'Field "{field}" {complaint}')
    return [value for value in values if isinstance(value, str)]


def _natural(body: Body, field: str) -> int:
    value = body.get(field, 0)
    if not isinstance(value, int) or isinstance(value, bool):
        raise BadRequest(f'Field "{field}" must be an integer')
    if not 0 <= value < _LARGEST:
        raise ParameterOutOfRange(f'Field "{field}" must be a positive integer')
    return value


def _flag(body: Body, field: str, default: bool = False) -> bool:
    value = body.get(field, default)
    if not isinstance(value, bool):
        raise BadRequest(f'Field "{field}" must be a Boolean')
    return value


def _form(body: Body) -> TagForm:
    if _flag(body, "Short"):
        return TagForm.SHORT
    return TagForm.FULL if _flag(body, "Full") else TagForm.NAMES


# ---------------------------------------------------------------------------------------------------- handlers


def find_resources(services: Services, request: Request) -> Response:
    """POST /tools/find."""
    body = parse_object(request)
    query = parse_query(services, body)
    if "Since" in body and not _is_decided_by_index(services, query):
        raise BadRequest(
            "Unable to use 'Since' in tools/find when querying tags that are not stored as MainDicomTags in the "
            "Database"
        )
    form = _form(body)
    expand = _flag(body, "Expand")
    parts: frozenset[Part] | None = None
    if "ResponseContent" in body:
        parts = parse_parts(_texts(body, "ResponseContent", "must be an array of strings"))
    if parts is None and not expand:
        return json(find.find_ids(services.archive, query))
    content = content_of(query.level, query.requested_tags, parts)
    resources = find.find(services.archive, query, content)
    return json(describe_all(services, resources, form, query.requested_tags, parts))


def count_resources(services: Services, request: Request) -> Response:
    """POST /tools/count-resources."""
    query = parse_query(services, parse_object(request))
    if not _is_decided_by_index(services, query):
        raise BadRequest(
            "Unable to count resources when querying tags that are not stored as MainDicomTags in the Database or when "
            "using case sensitive queries."
        )
    return json({"Count": find.count(services.archive, query)})


def _is_decided_by_index(services: Services, query: Query) -> bool:
    """Whether the answers can be counted and skipped without a look at each; clients are refused where not.

    The search itself could do it; but a page far down such a list costs as much as all pages before it.
    """
    main_tags = services.archive.main_tags
    known = {tag for level in Level if level <= query.level for tag in main_tags.tags(level)}
    return all(constraint.tag in known or constraint.tag in COMPUTED for constraint in query.constraints)


def lookup(services: Services, request: Request) -> Response:
    """POST /tools/lookup: the body is a Patient ID or a UID."""
    wanted = request.text()
    if "*" in wanted or "?" in wanted:
        raise ParameterOutOfRange("Wildcards are not allowed here")
    return json([reference(level, orthanc_id) for level, orthanc_id in find.lookup(services.archive, wanted)])


def bulk_content(services: Services, request: Request) -> Response:
    """POST /tools/bulk-content."""
    body = parse_object(request)
    archive, form = services.archive, _form(body)
    level_name = body.get("Level")
    if level_name is not None and not isinstance(level_name, str):
        raise BadRequest('Field "Level" should be a string')
    wanted = None if level_name is None else parse_level(level_name)
    metadata = _flag(body, "Metadata", True)
    try:
        identifiers = _texts(body, "Resources", "")
    except BadRequest:
        identifiers = None
    if identifiers is None or "Resources" not in body:
        raise BadFileFormat("List of strings expected in field: Resources")
    described: list[dict[str, object]] = []
    for level, orthanc_id in _at_level(services, identifiers, wanted):
        content = content_of(level) | (find.Content.METADATA if metadata else find.Content.NOTHING)
        try:
            resource = find.get(archive, level, orthanc_id, content)
        except UnknownResource:  # deleted meanwhile
            continue
        one = describe_all(services, [resource], form)[0]
        if metadata:
            one["Metadata"] = resource.metadata
        described.append(one)
    return json(described)


def _at_level(services: Services, identifiers: Sequence[str], wanted: Level | None) -> list[tuple[Level, OrthancId]]:
    """The resources that exist as often as they are named, or those above or below them at one level, each once."""
    archive = services.archive
    if len(identifiers) > MAX_RESOURCES:
        raise ParameterOutOfRange(f"more than {MAX_RESOURCES} resources")
    if wanted is None:
        named = [(find.level_of(archive, OrthancId(identifier)), OrthancId(identifier)) for identifier in identifiers]
        return [(level, orthanc_id) for level, orthanc_id in named if level is not None]
    found: dict[tuple[Level, OrthancId], None] = {}
    for identifier in dict.fromkeys(identifiers):
        orthanc_id = OrthancId(identifier)
        level = find.level_of(archive, orthanc_id)
        if level is None:
            continue
        if wanted is level:
            found[level, orthanc_id] = None
            continue
        try:
            if wanted < level:
                above = find.ancestor(archive, level, orthanc_id, wanted, find.Content.NOTHING)
                found[wanted, above.orthanc_id] = None
            else:
                for below in find.descendant_ids(archive, level, orthanc_id, wanted):
                    found[wanted, below] = None
        except UnknownResource:  # deleted meanwhile
            continue
        if len(found) > MAX_RESOURCES:
            raise ParameterOutOfRange(f"more than {MAX_RESOURCES} resources")
    return list(found)


def bulk_delete(services: Services, request: Request) -> Response:
    """POST /tools/bulk-delete."""
    body = parse_object(request)
    named = body.get("Resources")
    if not isinstance(named, list):
        raise BadRequest("The body must contain a Resources array")
    resources = [doomed for one in named if (doomed := _doomed(services, one)) is not None]
    parameters = jobs.parse_parameters(body)
    if not parameters.synchronous:
        return jobs.answer(services, DeleteResources(tuple(resources), parameters.permissive), parameters)
    for doomed in resources:
        try:
            edit.delete(services.archive, doomed.level, doomed.orthanc_id)
        except UnknownResource:  # gone with its parent, or meanwhile
            continue
    return Response(200, TEXT_TYPE)


def _doomed(services: Services, named: Json) -> Doomed | None:
    """A resource named by its identifier, or by Level and ID; None if there is none."""
    if isinstance(named, Mapping):
        level, identifier = named.get("Level"), named.get("ID")
        known = _LEVELS.get(level.lower()) if isinstance(level, str) else None
        if known is None or not isinstance(identifier, str):
            raise BadRequest("A resource to delete has a Level and an ID")
        return Doomed(known, OrthancId(identifier))
    if not isinstance(named, str):
        raise BadRequest("The body must contain a Resources array")
    found = find.level_of(services.archive, OrthancId(named))
    return None if found is None else Doomed(found, OrthancId(named))
