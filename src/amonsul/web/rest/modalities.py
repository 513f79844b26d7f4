"""`/modalities`: which remote DICOM systems there are, and what is asked of them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final

from pydicom.dataset import Dataset

from amonsul.archive import changes, find
from amonsul.archive.modalities import Modality, parse_modality
from amonsul.clients.dimse import MODALITY_WORKLIST_FIND, PATIENT_ROOT_FIND, Outgoing
from amonsul.clients.identifiers import LEVEL_NAMES, find_identifier, identifier_of, model_of
from amonsul.dicom import json_tags
from amonsul.dicom.charsets import writable_charset
from amonsul.dicom.elements import DataSet, Element, Tag, format_tag
from amonsul.dicom.identifiers import PATIENT_ID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID, STUDY_INSTANCE_UID
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.scanner import scan
from amonsul.dicom.tag_values import Value, parse_value
from amonsul.dicom.uids import new_uid
from amonsul.errors import (
    AmonsulError,
    BadFileFormat,
    ParameterOutOfRange,
    RemoteFailure,
    UnknownDicomTag,
    UnknownResource,
)
from amonsul.jobs.kinds.dicom_get_scu import GetScu
from amonsul.jobs.kinds.dicom_modality_store import ModalityStore, Reference
from amonsul.jobs.kinds.dicom_move_scu import MoveScu
from amonsul.web.json_body import Json, parse
from amonsul.web.rest import jobs
from amonsul.web.services import Services
from amonsul.web.values import NOT_FOUND, TEXT_TYPE, Request, Response, empty, json

logger = logging.getLogger(__name__)

MAX_ANSWERS: Final = 100_000
"""Of one search; more are not asked for."""

_OPERATIONS: Final = (
    *("configuration", "echo", "find", "find-instance", "find-patient", "find-series", "find-study", "find-worklist"),
    *("get", "move", "query", "storage-commitment", "store", "store-straight"),
)
_PLAIN_JSON: Final = b"application/json"
_ORTHANC_ID: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
_SPECIFIC_CHARACTER_SET: Final = Tag(0x00080005)
_SOP_CLASS_UID: Final = Tag(0x00080016)
_QUERY_RETRIEVE_LEVEL: Final = Tag(0x00080052)
_MEDIA_STORAGE_SOP_INSTANCE_UID: Final = Tag(0x00020003)

_IDENTIFIERS: Final = (PATIENT_ID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID, SOP_INSTANCE_UID)

_ASKED: Final[Mapping[Level, tuple[int, ...]]] = {
    Level.PATIENT: (0x00100010, 0x00100020, 0x00100030, 0x00100040, 0x00101000),
    Level.STUDY: (
        *(0x00080020, 0x00080030, 0x00080050, 0x00080090, 0x00081030),
        *(0x00100020, 0x0020000D, 0x00200010),
    ),
    Level.SERIES: (
        *(0x00080021, 0x00080031, 0x00080050, 0x00080060, 0x0008103E, 0x00081070, 0x00100020, 0x00180015, 0x00181030),
        *(0x0020000D, 0x0020000E, 0x00200011, 0x00400254),
    ),
    Level.INSTANCE: (
        *(0x00080012, 0x00080013, 0x00080018, 0x00080050, 0x00100020, 0x0020000D, 0x0020000E, 0x00200013),
    ),
}
"""What `find-patient` and its like ask for."""

_GIVEN: Final[Mapping[Level, tuple[Tag, ...]]] = {
    Level.PATIENT: (),
    Level.STUDY: (PATIENT_ID,),
    Level.SERIES: (PATIENT_ID, STUDY_INSTANCE_UID),
    Level.INSTANCE: (PATIENT_ID, STUDY_INSTANCE_UID, SERIES_INSTANCE_UID),
}
"""What they must be given."""


# ------------------------------------------------------------------------------------------------- known ones


def list_modalities(services: Services, request: Request) -> Response:
    """GET /modalities."""
    known = services.remotes.modalities.all()
    if request.flag("expand"):
        return json({name: modality.to_json() for name, modality in known.items()})
    return json(list(known))


def list_operations(services: Services, request: Request) -> Response:
    """GET /modalities/{id}."""
    return json(_OPERATIONS) if request.params["id"] in services.remotes.modalities.all() else NOT_FOUND


def get_configuration(services: Services, request: Request) -> Response:
    """GET /modalities/{id}/configuration."""
    return json(_modality(services, request).to_json())


def put_modality(services: Services, request: Request) -> Response:
    """PUT /modalities/{id}."""
    modality = parse_modality(parse(request.data()))
    services.remotes.modalities.put(request.params["id"], modality)
    return Response(200, TEXT_TYPE)


def delete_modality(services: Services, request: Request) -> Response:
    """DELETE /modalities/{id}."""
    services.remotes.modalities.remove(request.params["id"])
    return Response(200, TEXT_TYPE)


# ------------------------------------------------------------------------------------------------- C-ECHO


def echo(services: Services, request: Request) -> Response:
    """POST /modalities/{id}/echo."""
    modality = _modality(services, request)
    body = parse(request.data()) if request.data().strip() else {}
    return _echo(services, modality, body)


def echo_anyone(services: Services, request: Request) -> Response:
    """POST /tools/dicom-echo."""
    body = parse(request.data())
    return _echo(services, parse_modality(body), body)


def _echo(services: Services, modality: Modality, body: Json) -> Response:
    remotes = services.remotes
    options = body if isinstance(body, Mapping) else {}
    modality = replace(modality, timeout_s=seconds(options, "Timeout") or modality.timeout_s)
    checks_find = flag(options, "CheckFind", remotes.echo_checks_find)
    try:
        remotes.client.echo(modality)
        if checks_find:
            _check_find(services, modality)
    except RemoteFailure as error:
        logger.info("%s", error)
        return empty(500)
    return Response(200, _PLAIN_JSON, b"{}")


def _check_find(services: Services, modality: Modality) -> None:
    """Search for a patient that does not exist."""
    archive = services.archive
    keys = {PATIENT_ID: new_uid()}
    identifier = find_identifier(
        Level.PATIENT, keys, modality.manufacturer, archive.dictionary, archive.default_encoding
    )
    for _ in services.remotes.client.find(modality, PATIENT_ROOT_FIND, identifier):
        pass


# ------------------------------------------------------------------------------------------------- C-STORE


def store(services: Services, request: Request) -> Response:
    """POST /modalities/{id}/store."""
    modality = _modality(services, request)
    names, options = store_body(request)
    remotes = services.remotes
    parameters = jobs.parse_parameters(options)
    remote = overridden(modality, options)
    if "CalledAet" in options:
        remote = replace(remote, ae_title=ae_title(options, "CalledAet") or remote.ae_title)
    if "Host" in options:
        remote = replace(remote, host=text(options, "Host"))
    if "Port" in options:
        remote = replace(remote, port=_port(options))
    resources, instances = resources_to_send(services, names, request.params["id"])
    arguments = ModalityStore(
        remote,
        remotes.calling(remote),
        resources,
        instances,
        permissive=parameters.permissive,
        move_originator_aet=ae_title(options, "MoveOriginatorAet"),
        move_originator_id=natural(options, "MoveOriginatorID", 0xFFFF),
        storage_commitment_transaction_uid=new_uid() if flag(options, "StorageCommitment") else "",
    )
    return jobs.answer(services, arguments, parameters)


def store_straight(services: Services, request: Request) -> Response:
    """POST /modalities/{id}/store-straight: send the body on without storing it."""
    modality = _modality(services, request)
    view = request.body.view()
    header = scan(view)
    found = [header.data_set.get(tag) for tag in (_SOP_CLASS_UID, SOP_INSTANCE_UID)]
    uids = [str(element.value) if element is not None else "" for element in found]
    if not all(uids):
        raise BadFileFormat("a DICOM file without SOP class or instance")
    piece = 256 << 10
    sop_class_uid, sop_instance_uid = uids
    instance = Outgoing(
        sop_class_uid,
        sop_instance_uid,
        header.transfer_syntax_uid,
        lambda: (view[start : start + piece] for start in range(0, len(view), piece)),
    )
    for outcome in services.remotes.client.store(modality, [instance]):
        outcome.raise_failure(modality)
    return json({"SOPClassUID": sop_class_uid, "SOPInstanceUID": sop_instance_uid})


def resources_to_send(
    services: Services, names: set[str], remote_name: str
) -> tuple[tuple[Reference, ...], tuple[OrthancId, ...]]:
    """Named resources with the instances below them, which are noted as exported if that is wanted.

    Raises:
        UnknownResource: one of them is not there.
    """
    archive = services.archive
    resources = {OrthancId(name): _level(services, OrthancId(name)) for name in sorted(names)}
    instances: dict[OrthancId, None] = {}
    for orthanc_id, level in resources.items():
        if level is Level.INSTANCE:
            instances[orthanc_id] = None
        else:
            instances.update(dict.fromkeys(find.descendant_ids(archive, level, orthanc_id, Level.INSTANCE)))
        if services.remotes.logs_exports:
            identifiers = _identifiers(services, level, orthanc_id)
            changes.log_export(archive, level, orthanc_id, remote_name, identifiers)
    return tuple(Reference(each, level.type_name) for each, level in resources.items()), tuple(instances)


def store_body(request: Request) -> tuple[set[str], Mapping[str, Json]]:
    """Which resources a body names for sending, and the options around them.

    Raises:
        BadFileFormat: it names none, or is malformed.
    """
    return _resources(_store_body(request))


def _store_body(request: Request) -> Json:
    data = request.data().strip()
    if _ORTHANC_ID.fullmatch(data[:64].decode("latin-1")) and len(data) <= 44:
        return data.decode("ascii")
    try:
        return parse(data)
    except BadFileFormat as error:
        raise BadFileFormat(f"Must provide a JSON value: {error.details}") from None


def _resources(body: Json) -> tuple[set[str], Mapping[str, Json]]:
    """Which resources a body names, and the options around them."""
    options: Mapping[str, Json] = {}
    listed: Json = body
    if isinstance(body, Mapping):
        options = body
        if "Resources" not in body:
            raise BadFileFormat('Missing field in JSON: "Resources"')
        listed = body["Resources"]
    if isinstance(listed, str):
        listed = [listed]
    if not isinstance(listed, list):
        raise BadFileFormat("Must provide a JSON object, or a JSON array of strings")
    names = set()
    for name in listed:
        if not isinstance(name, str) or not _ORTHANC_ID.fullmatch(name):
            raise BadFileFormat(f"This string is not a valid Orthanc identifier: {str(name)[:64]}")
        names.add(name)
    return names, options


def _level(services: Services, orthanc_id: OrthancId) -> Level:
    level = find.level_of(services.archive, orthanc_id)
    if level is None:
        raise UnknownResource(f"there is no resource {orthanc_id}")
    return level


def _identifiers(services: Services, level: Level, orthanc_id: OrthancId) -> tuple[str, str, str, str]:
    """Patient ID and UIDs of a resource, empty below its level."""
    found = [""] * 4
    at: OrthancId | None = orthanc_id
    for each in reversed([other for other in Level if other <= level]):
        if at is None:
            break
        resource = find.get(services.archive, each, at)
        found[each] = resource.main_tags.get(_IDENTIFIERS[each], "")
        at = resource.parent
    return found[0], found[1], found[2], found[3]


# ------------------------------------------------------------------------------------------------- C-FIND


def find_at(level: Level, services: Services, request: Request) -> Response:
    """POST /modalities/{id}/find-patient and its like."""
    modality = _modality(services, request)
    try:
        keys = parse_keys(services, parse(request.data()))
    except AmonsulError:
        return empty(400)
    if any(not keys.get(tag) for tag in _GIVEN[level]):
        return empty(400)
    return json([_shown(services, answer) for answer in _find(services, modality, level, keys)])


def find_hierarchy(services: Services, request: Request) -> Response:
    """POST /modalities/{id}/find: patients with their studies and series."""
    modality = _modality(services, request)
    try:
        keys = parse_keys(services, parse(request.data()))
    except AmonsulError:
        return empty(400)
    patients = []
    for patient in _find(services, modality, Level.PATIENT, keys):
        below = {PATIENT_ID: _text(patient, PATIENT_ID)}
        studies = []
        for study in _find(services, modality, Level.STUDY, keys | below):
            further = below | {STUDY_INSTANCE_UID: _text(study, STUDY_INSTANCE_UID)}
            series = _find(services, modality, Level.SERIES, keys | further)
            studies.append(_shown(services, study) | {"Series": [_shown(services, each) for each in series]})
        patients.append(_shown(services, patient) | {"Studies": studies})
    return json(patients)


def find_worklist(services: Services, request: Request) -> Response:
    """POST /modalities/{id}/find-worklist."""
    modality = _modality(services, request)
    body = parse(request.data())
    if not isinstance(body, Mapping):
        raise BadFileFormat("Must provide a JSON object")
    query = body.get("Query", body)
    options = body if "Query" in body else {}
    if not isinstance(query, Mapping):
        raise BadFileFormat("The field Query must contain a JSON object")
    archive = services.archive
    keys: dict[Tag, Value] = {}
    for name, value in query.items():
        tag = _tag(services, name)
        keys[tag] = parse_value(tag, value, archive.dictionary)
    identifier = identifier_of(keys, archive.dictionary, archive.default_encoding)
    print_tags = json_tags.simplified
    if flag(options, "Short"):
        print_tags = json_tags.short
    elif flag(options, "Full"):
        print_tags = json_tags.full
    answers = search(services, modality, MODALITY_WORKLIST_FIND, identifier)
    return json([print_tags(shown_answer(services, answer), archive.dictionary) for answer in answers])


def search(services: Services, modality: Modality, model: str, identifier: Dataset) -> Iterator[DataSet]:
    """Answers of a modality, a bounded number of them; those that are instances bear their UID twice, as clients know.

    Raises:
        NoPresentationContext: it does not serve this model.
        NetworkProtocolError: it cannot be reached, or refuses.
    """
    found = services.remotes.client.find(modality, model, identifier, default_charset=services.archive.default_encoding)
    for number, answer in enumerate(found):
        if number >= MAX_ANSWERS:
            logger.warning("%s has more than %d answers; the rest is left out", modality.ae_title, MAX_ANSWERS)
            return
        if identifier.get("QueryRetrieveLevel") == LEVEL_NAMES[Level.INSTANCE] and SOP_INSTANCE_UID in answer:
            yield {_MEDIA_STORAGE_SOP_INSTANCE_UID: answer[SOP_INSTANCE_UID], **answer}
        else:
            yield answer


def _find(services: Services, modality: Modality, level: Level, keys: Mapping[Tag, str]) -> Sequence[DataSet]:
    archive = services.archive
    wanted = {Tag(tag): "" for tag in _ASKED[level]} | dict(keys)
    identifier = find_identifier(
        level,
        wanted,
        modality.manufacturer,
        archive.dictionary,
        archive.default_encoding,
        only_applicable=True,
    )
    return list(search(services, modality, model_of(level), identifier))


def _shown(services: Services, answer: DataSet) -> dict[str, object]:
    return json_tags.simplified(shown_answer(services, answer), services.archive.dictionary)


def shown_answer(services: Services, answer: DataSet) -> DataSet:
    """An answer for JSON, which is Unicode whatever it was: its character set is told as ours."""
    shown = dict(answer)
    if _SPECIFIC_CHARACTER_SET in shown:
        shown[_SPECIFIC_CHARACTER_SET] = Element("CS", writable_charset(services.archive.default_encoding))
    return shown


def _text(answer: DataSet, tag: Tag) -> str:
    element = answer.get(tag)
    return element.value if element is not None and isinstance(element.value, str) else ""


# ------------------------------------------------------------------------------------------------- C-MOVE and C-GET


@dataclass(frozen=True, slots=True)
class _Retrieval:
    level: Level
    queries: tuple[Mapping[str, str], ...]
    options: Mapping[str, Json]


def move(services: Services, request: Request) -> Response:
    """POST /modalities/{id}/move."""
    modality = _modality(services, request)
    wanted = _retrieval(services, request)
    parameters = jobs.parse_parameters(wanted.options)
    remote = overridden(modality, wanted.options)
    local_aet = services.remotes.calling(remote)
    target_aet = ae_title(wanted.options, "TargetAet") or services.remotes.ae_title
    arguments = MoveScu(remote, local_aet, target_aet, wanted.level, wanted.queries, permissive=parameters.permissive)
    return jobs.answer(services, arguments, parameters)


def get(services: Services, request: Request) -> Response:
    """POST /modalities/{id}/get."""
    modality = _modality(services, request)
    wanted = _retrieval(services, request)
    parameters = jobs.parse_parameters(wanted.options)
    remote = overridden(modality, wanted.options)
    local_aet = services.remotes.calling(remote)
    arguments = GetScu(remote, local_aet, wanted.level, wanted.queries, permissive=parameters.permissive)
    return jobs.answer(services, arguments, parameters)


def _retrieval(services: Services, request: Request) -> _Retrieval:
    wrong = "Must provide a JSON body containing fields Resources and Level"
    try:
        body = parse(request.data())
    except BadFileFormat as error:
        raise BadFileFormat(f"{wrong}: {error.details}") from None
    if not isinstance(body, Mapping) or "Level" not in body or not isinstance(body.get("Resources"), list):
        raise BadFileFormat(wrong)
    level = parse_level(body["Level"])
    resources = body["Resources"]
    assert isinstance(resources, list)
    return _Retrieval(level, tuple(query_of(level, parse_keys(services, each)) for each in resources), body)


def query_of(level: Level, keys: Mapping[Tag, str]) -> dict[str, str]:
    """A resource as jobs name it, see `jobs.retrieval`."""
    named = {**keys, _QUERY_RETRIEVE_LEVEL: LEVEL_NAMES[level]}
    if level is Level.INSTANCE and SOP_INSTANCE_UID in keys:
        named[_MEDIA_STORAGE_SOP_INSTANCE_UID] = keys[SOP_INSTANCE_UID]  # for show: clients know it so
    return {format_tag(tag): value for tag, value in sorted(named.items())}


# ------------------------------------------------------------------------------------------------- shared parsing


def modality_named(services: Services, name: str) -> Modality:
    """A modality by its symbolic name.

    Raises:
        InexistentItem: there is none.
    """
    return services.remotes.modalities.get(name)


def _modality(services: Services, request: Request) -> Modality:
    return modality_named(services, request.params["id"])


def overridden(modality: Modality, options: Mapping[str, Json]) -> Modality:
    """A modality with the `LocalAet` and the `Timeout` of one request."""
    local_aet = ae_title(options, "LocalAet") or modality.local_aet
    return replace(modality, local_aet=local_aet, timeout_s=seconds(options, "Timeout") or modality.timeout_s)


def parse_level(value: Json) -> Level:
    """A level by its name in the REST API.

    Raises:
        ParameterOutOfRange: there is no such level.
    """
    for level in Level:
        if isinstance(value, str) and value.capitalize() in (level.type_name, level.collection.capitalize()):
            return level
    raise ParameterOutOfRange(f"Invalid resource type '{value}'")


def parse_keys(services: Services, value: Json) -> dict[Tag, str]:
    """Tags by name or number with the text to match.

    Raises:
        BadFileFormat: it is no object of texts, or a tag is unknown.
    """
    if not isinstance(value, Mapping):
        raise BadFileFormat("Associative array of DICOM tags to strings expected in field: Query")
    keys: dict[Tag, str] = {}
    for name, text_value in value.items():
        if not isinstance(text_value, str):
            raise BadFileFormat("Associative array of DICOM tags to strings expected in field: Query")
        keys[_tag(services, name)] = text_value
    return dict(sorted(keys.items()))


def _tag(services: Services, name: str) -> Tag:
    try:
        return services.archive.dictionary.tag(name)
    except UnknownDicomTag:
        raise BadFileFormat("Associative array of DICOM tags to strings expected in field: Query") from None


def text(options: Mapping[str, Json], name: str, default: str | None = None) -> str:
    """A text among options.

    Raises:
        BadFileFormat: it is none.
    """
    value = options.get(name, default)
    if not isinstance(value, str):
        raise BadFileFormat(f"String value expected in field: {name}")
    return value


def ae_title(options: Mapping[str, Json], name: str) -> str:
    """An AE title among options, empty if it is not there.

    Raises:
        BadFileFormat: it is no text.
        ParameterOutOfRange: it is no AE title (PS3.5 §6.2).
    """
    title = text(options, name, "").strip(" ")
    if len(title) > 16 or not title.isascii() or not (title.isprintable() and "\\" not in title):
        raise ParameterOutOfRange(f"An AE title has 1 to 16 characters of ASCII (PS3.5 §6.2): {name}")
    return title


def flag(options: Mapping[str, Json], name: str, default: bool = False) -> bool:
    """A boolean among options.

    Raises:
        BadFileFormat: it is none.
    """
    value = options.get(name, default)
    if not isinstance(value, bool):
        raise BadFileFormat(f"Boolean value expected in field: {name}")
    return value


def natural(options: Mapping[str, Json], name: str, highest: int) -> int:
    """A number among options, 0 if it is not there.

    Raises:
        BadFileFormat: it is none, or out of range.
    """
    value = options.get(name, 0)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= highest:
        raise BadFileFormat(f"Unsigned integer value expected in field: {name}")
    return value


def seconds(options: Mapping[str, Json], name: str) -> int:
    """A time in seconds among options, 0 if it is not there."""
    return natural(options, name, 1 << 31)


def _port(options: Mapping[str, Json]) -> int:
    port = options.get("Port")
    if isinstance(port, str) and port.isascii() and port.isdigit():
        port = int(port[:9])
    if isinstance(port, bool) or not isinstance(port, int) or not 1 <= port <= 0xFFFF:
        raise BadFileFormat("Integer value expected in field: Port")
    return port
