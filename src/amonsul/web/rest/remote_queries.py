"""`/modalities/{id}/query` and `/queries`: searches that are remembered, and what is retrieved of what they found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final

from amonsul.archive import queries
from amonsul.archive.modalities import RETRIEVE_METHODS, Modality
from amonsul.archive.queries import RemoteQuery
from amonsul.clients.identifiers import IDENTIFYING_KEYS, find_identifier, model_of
from amonsul.dicom import json_tags
from amonsul.dicom.dictionary import Dictionary
from amonsul.dicom.elements import DataSet, Element, Tag
from amonsul.dicom.levels import Level
from amonsul.errors import BadFileFormat, BadParameterType, ParameterOutOfRange, UnknownResource
from amonsul.jobs.kinds.dicom_get_scu import GetScu
from amonsul.jobs.kinds.dicom_move_scu import MoveScu
from amonsul.jobs.retrieval import UNIQUE_KEYS
from amonsul.web.json_body import Json, parse
from amonsul.web.rest import jobs
from amonsul.web.rest.modalities import (
    ae_title,
    flag,
    modality_named,
    overridden,
    parse_keys,
    parse_level,
    query_of,
    search,
    seconds,
    shown_answer,
    text,
)
from amonsul.web.services import Services
from amonsul.web.values import TEXT_TYPE, Request, Response, json
from amonsul.web.values import text as text_answer

_OPERATIONS: Final = ("answers", "level", "modality", "query", "retrieve")
_NO_OBJECT: Final = "Must provide a JSON object"


# ------------------------------------------------------------------------------------------------- searching


def query(services: Services, request: Request) -> Response:
    """POST /modalities/{id}/query."""
    name = request.params["id"]
    modality = modality_named(services, name)
    body = _object(request)
    if "Level" not in body:
        raise BadFileFormat("The JSON body must contain field Level")
    level = parse_level(body["Level"])
    keys = _keys(services, body)
    return _search(services, name, modality, level, keys, keys, body)


def query_children(level: Level, services: Services, request: Request) -> Response:
    """POST /queries/{id}/answers/{index}/query-series and its like."""
    parent = queries.get(services.archive, request.params["id"])
    answer = queries.answer(services.archive, parent.query_id, _index(request))
    if level <= parent.level:
        raise UnknownResource
    body = _object(request)
    keys = _keys(services, body)
    above = {tag: _text(answer, tag) for tag in UNIQUE_KEYS[parent.level]}
    modality = replace(
        modality_named(services, parent.modality),
        **_kept(parent),  # type: ignore[arg-type]  # values by name
    )
    return _search(services, parent.modality, modality, level, keys, keys | above, body)


def _kept(made: RemoteQuery) -> dict[str, object]:
    """What holds for all that follows from a search."""
    kept: dict[str, object] = {}
    if made.timeout_s:
        kept["timeout_s"] = made.timeout_s
    if made.local_aet:
        kept["local_aet"] = made.local_aet
    return kept


def _search(
    services: Services,
    name: str,
    modality: Modality,
    level: Level,
    given: Mapping[Tag, str],
    keys: Mapping[Tag, str],
    body: Mapping[str, Json],
) -> Response:
    archive, remotes = services.archive, services.remotes
    remote = overridden(modality, body)
    identifier = find_identifier(
        level,
        keys,
        remote.manufacturer,
        archive.dictionary,
        archive.default_encoding,
        only_applicable=flag(body, "Normalize", True),
    )
    answers = list(search(services, remote, model_of(level), identifier))
    query_id = queries.remember(
        archive,
        name,
        level,
        given,
        answers,
        timeout_s=seconds(body, "Timeout"),
        local_aet=ae_title(body, "LocalAet"),
        kept=remotes.queries_kept,
    )
    return json({"ID": query_id, "Path": f"/queries/{query_id}"})


# ------------------------------------------------------------------------------------------------- what was found


def list_queries(services: Services, _request: Request) -> Response:
    """GET /queries."""
    return json(queries.list_ids(services.archive))


def list_operations(services: Services, request: Request) -> Response:
    """GET /queries/{id}."""
    _query(services, request)
    return json(_OPERATIONS)


def delete_query(services: Services, request: Request) -> Response:
    """DELETE /queries/{id}."""
    queries.delete(services.archive, request.params["id"])
    return Response(200, TEXT_TYPE)


def get_level(services: Services, request: Request) -> Response:
    """GET /queries/{id}/level."""
    return text_answer(_query(services, request).level.type_name)


def get_modality(services: Services, request: Request) -> Response:
    """GET /queries/{id}/modality."""
    return text_answer(_query(services, request).modality)


def get_query(services: Services, request: Request) -> Response:
    """GET /queries/{id}/query."""
    dictionary = services.archive.dictionary
    keys = _query(services, request).keys
    data_set = {tag: Element("LO", value) for tag, value in keys.items()}
    return json(_printer(request)(data_set, dictionary))


def list_answers(services: Services, request: Request) -> Response:
    """GET /queries/{id}/answers."""
    if not request.flag("expand"):
        return json([str(number) for number in range(_query(services, request).number_of_answers)])
    print_tags, dictionary = _printer(request), services.archive.dictionary
    answers = queries.answers(services.archive, request.params["id"])
    return json([print_tags(shown_answer(services, answer), dictionary) for answer in answers])


def list_answer_operations(services: Services, request: Request) -> Response:
    """GET /queries/{id}/answers/{index}."""
    made = _query(services, request)
    queries.answer(services.archive, made.query_id, _index(request))
    below = (Level.STUDY, Level.SERIES, Level.INSTANCE)
    return json(["content", "retrieve", *(f"query-{level.collection}" for level in below if level > made.level)])


def get_content(services: Services, request: Request) -> Response:
    """GET /queries/{id}/answers/{index}/content."""
    answer = queries.answer(services.archive, request.params["id"], _index(request))
    return json(_printer(request)(shown_answer(services, answer), services.archive.dictionary))


# ------------------------------------------------------------------------------------------------- retrieving


def retrieve_all(services: Services, request: Request) -> Response:
    """POST /queries/{id}/retrieve."""
    made = _query(services, request)
    return _retrieve(services, request, made, queries.answers(services.archive, made.query_id))


def retrieve_one(services: Services, request: Request) -> Response:
    """POST /queries/{id}/answers/{index}/retrieve."""
    made = _query(services, request)
    return _retrieve(services, request, made, [queries.answer(services.archive, made.query_id, _index(request))])


def _retrieve(services: Services, request: Request, made: RemoteQuery, answers: Sequence[DataSet]) -> Response:
    remotes = services.remotes
    body = _retrieve_body(request)
    parameters = jobs.parse_parameters(body)
    modality = replace(
        modality_named(services, made.modality),
        **_kept(made),  # type: ignore[arg-type]  # values by name
    )
    remote = overridden(modality, body)
    method = _method(body, remote, remotes.default_retrieve_method)
    form = "Full" if flag(body, "Full") else "Simplify" if flag(body, "Simplify") else "Short"
    wanted = tuple(query_of(made.level, _named(made.level, answer)) for answer in answers)
    local_aet = remotes.calling(remote)
    arguments: MoveScu | GetScu
    if method == "C-GET":
        arguments = GetScu(remote, local_aet, made.level, wanted, form, parameters.permissive)
    else:
        target_aet = ae_title(body, "TargetAet") or remotes.ae_title
        arguments = MoveScu(remote, local_aet, target_aet, made.level, wanted, form, parameters.permissive)
    return jobs.answer(services, arguments, parameters)


def _retrieve_body(request: Request) -> Mapping[str, Json]:
    """A JSON object, or the AE title of the target as text."""
    data = request.data().strip()
    if data.startswith(b"{"):
        body = parse(data)
        assert isinstance(body, Mapping)
        return body
    return {"TargetAet": data.decode("latin-1")[:64]}


def _method(body: Mapping[str, Json], remote: Modality, default: str) -> str:
    method = text(body, "RetrieveMethod", "SystemDefault")
    if method not in RETRIEVE_METHODS:
        raise ParameterOutOfRange(f'RetrieveMethod can be "C-MOVE", "C-GET" or "SystemDefault": {method}')
    for each in (method, remote.retrieve_method):
        if each != "SystemDefault":
            return each
    return default


def _named(level: Level, answer: DataSet) -> dict[Tag, str]:
    """What names an answer; what it does not have is left out."""
    found = {tag: _text(answer, tag) for tag in IDENTIFYING_KEYS[level]}
    return {tag: value for tag, value in found.items() if tag in answer and value}


# ------------------------------------------------------------------------------------------------- parsing


def _query(services: Services, request: Request) -> RemoteQuery:
    return queries.get(services.archive, request.params["id"])


def _index(request: Request) -> int:
    index = request.params["index"]
    if not (index.isascii() and index.isdecimal()):
        raise BadParameterType("Syntax error in some user-supplied data")
    return int(index[:9])


def _object(request: Request) -> Mapping[str, Json]:
    try:
        body = parse(request.data())
    except BadFileFormat as error:
        raise BadFileFormat(f"{_NO_OBJECT}: {error.details}") from None
    if not isinstance(body, Mapping):
        raise BadFileFormat(_NO_OBJECT)
    return body


def _keys(services: Services, body: Mapping[str, Json]) -> dict[Tag, str]:
    wanted = body.get("Query", {})
    if not isinstance(wanted, Mapping):
        raise BadFileFormat("The field Query must contain a JSON object")
    return parse_keys(services, wanted)


def _text(answer: DataSet, tag: Tag) -> str:
    element = answer.get(tag)
    return element.value if element is not None and isinstance(element.value, str) else ""


def _printer(request: Request) -> Callable[[DataSet, Dictionary], dict[str, object]]:
    if request.flag("simplify"):
        return json_tags.simplified
    return json_tags.short if request.flag("short") else json_tags.full
