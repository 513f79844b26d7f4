"""Instances out of instances: modify, anonymise, split and merge, as jobs; one instance as a download.

What is wrong with a request is told before a job is made. The job gets the body as it came and the instances that
are there now.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

from amonsul.archive import find, rewriting
from amonsul.archive.context import Archive, Overwrite
from amonsul.archive.find import Content
from amonsul.database import Transaction, properties
from amonsul.dicom.deidentification import Anonymization
from amonsul.dicom.elements import Tag
from amonsul.dicom.identifiers import Identifiers
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.modification import (
    PATIENT_ID,
    Modification,
    check_in_place,
    check_patient_tags,
    parse_resources,
)
from amonsul.dicom.regrouping import parse_merge, parse_split
from amonsul.dicom.uid_map import KEY_BYTES
from amonsul.errors import ParameterOutOfRange, UnknownResource
from amonsul.jobs.kinds.merge_study import MergeStudy
from amonsul.jobs.kinds.resource_modification import (
    Named,
    ResourceModification,
    parse_request,
    transcoding,
)
from amonsul.jobs.kinds.split_study import SplitStudy
from amonsul.jobs.transformation import Submitter
from amonsul.web.files import spooled_response
from amonsul.web.json_body import Json, parse
from amonsul.web.rest import jobs
from amonsul.web.services import Services
from amonsul.web.values import DICOM_TYPE, Request, Response

_ANONYMIZED_COUNTER = "anonymized-patients"
_MAX_RESOURCES = 100_000


# ---------------------------------------------------------------------------------------------------- one instance


def transform_instance(is_anonymization: bool, services: Services, request: Request) -> Response:
    """POST /instances/{id}/modify, /instances/{id}/anonymize."""
    archive = services.archive
    wanted = parse_request(archive, parse(request.data()), is_anonymization, None, is_bulk=False)
    patient_name = _patient_name(archive, wanted.what)
    data_set = rewriting.load(archive, _id(request))
    cleaning = wanted.change(archive, secrets.token_bytes(KEY_BYTES), patient_name)(data_set, _nothing_else)
    quality = services.settings.lossy_quality
    file = rewriting.save(archive, data_set, services.codecs, transcoding(wanted.output, quality), cleaning)
    return spooled_response(file, DICOM_TYPE)


def _nothing_else(_uid: str) -> Level | None:
    return None


# ---------------------------------------------------------------------------------------------------- as jobs


def transform_resource(level: Level, is_anonymization: bool, services: Services, request: Request) -> Response:
    """POST /{level}/{id}/modify, /{level}/{id}/anonymize."""
    return _transform(services, request, is_anonymization, level)


def transform_resources(is_anonymization: bool, services: Services, request: Request) -> Response:
    """POST /tools/bulk-modify, /tools/bulk-anonymize."""
    return _transform(services, request, is_anonymization, None)


def _transform(services: Services, request: Request, is_anonymization: bool, level: Level | None) -> Response:
    archive = services.archive
    body = parse(request.data())
    wanted = parse_request(archive, body, is_anonymization, level, is_bulk=level is None)
    patient_name = _patient_name(archive, wanted.what)
    if level is None:
        resources = [_named(archive, OrthancId(each)) for each in _resources(body)]
    else:
        resources = [Named(level, _id(request))]
    instances = _instances(archive, resources)
    check_in_place(wanted.what.keeps_all_uids, wanted.output, archive.settings.overwrite is not Overwrite.NEVER)
    if isinstance(wanted.what, Modification):
        _check_patient(archive, wanted.what, resources)
    parameters = jobs.parse_parameters(body)
    arguments = ResourceModification(
        is_anonymization=is_anonymization,
        level=level,
        resources=tuple(resources),
        instances=instances,
        body=body,
        key=secrets.token_hex(KEY_BYTES),
        patient_name=patient_name,
        permissive=parameters.permissive,
        submitter=Submitter(request.remote_ip, request.username),
        lossy_quality=services.settings.lossy_quality,
    )
    return jobs.answer(services, arguments, parameters)


def split_study(services: Services, request: Request) -> Response:
    """POST /studies/{id}/split."""
    archive, study_id = services.archive, _id(request)
    body = parse(request.data())
    try:
        study = find.get(archive, Level.STUDY, study_id, Content.NOTHING)
    except UnknownResource:
        raise UnknownResource(f"Cannot split unknown study {study_id}") from None
    split = parse_split(body, archive.dictionary)
    below = {level: set(find.descendant_ids(archive, Level.STUDY, study_id, level)) for level in _BELOW_STUDY}
    named = []
    for level, wanted in zip(_BELOW_STUDY, (split.series, split.instances), strict=True):
        for orthanc_id in wanted:
            if orthanc_id not in below[level]:
                what = level.type_name.lower()
                raise UnknownResource(f"This {what} does not belong to the study to be split: {orthanc_id}")
            named.append(Named(level, orthanc_id))
    parameters = jobs.parse_parameters(body)
    arguments = SplitStudy(
        study_instance_uid=study.main_tags[_STUDY_INSTANCE_UID],
        instances=_instances(archive, named),
        body=body,
        key=secrets.token_hex(KEY_BYTES),
        permissive=parameters.permissive,
        submitter=Submitter(request.remote_ip, request.username),
    )
    return jobs.answer(services, arguments, parameters)


def merge_study(services: Services, request: Request) -> Response:
    """POST /studies/{id}/merge."""
    archive, study_id = services.archive, _id(request)
    body = parse(request.data())
    if find.level_of(archive, study_id) is not Level.STUDY:
        raise UnknownResource(f"Cannot merge into an unknown study: {study_id}")
    named = []
    for orthanc_id in parse_merge(body).resources:
        level = find.level_of(archive, orthanc_id)
        if level is None:
            raise UnknownResource(f"Cannot find this resource: {orthanc_id}")
        if level is Level.PATIENT:
            raise UnknownResource(
                f"This resource is neither a study, nor a series, nor an instance: {orthanc_id} is a Patient"
            )
        study = orthanc_id
        if level is not Level.STUDY:
            study = find.ancestor(archive, level, orthanc_id, Level.STUDY, Content.NOTHING).orthanc_id
        if study == study_id:
            raise UnknownResource(f"Cannot merge a {level.type_name.lower()} into the same study: {orthanc_id}")
        named.append(Named(level, orthanc_id))
    parameters = jobs.parse_parameters(body)
    arguments = MergeStudy(
        target=study_id,
        instances=_instances(archive, named),
        body=body,
        key=secrets.token_hex(KEY_BYTES),
        permissive=parameters.permissive,
        submitter=Submitter(request.remote_ip, request.username),
        lossy_quality=services.settings.lossy_quality,
    )
    return jobs.answer(services, arguments, parameters)


_BELOW_STUDY = (Level.SERIES, Level.INSTANCE)
_STUDY_INSTANCE_UID = Tag(0x0020000D)


def _id(request: Request) -> OrthancId:
    return OrthancId(request.params["id"])


def _resources(body: Json) -> Sequence[str]:
    found = parse_resources(body)
    if len(found) > _MAX_RESOURCES:
        raise ParameterOutOfRange(f"more than {_MAX_RESOURCES} resources")
    return found


def _named(archive: Archive, orthanc_id: OrthancId) -> Named:
    level = find.level_of(archive, orthanc_id)
    if level is None:
        raise ParameterOutOfRange
    return Named(level, orthanc_id)


def _instances(archive: Archive, resources: Sequence[Named]) -> tuple[OrthancId, ...]:
    """All instances of some resources, each once.

    Raises:
        ParameterOutOfRange: a resource that does not exist, as clients know it.
    """
    found: dict[OrthancId, None] = {}
    for named in resources:
        if named.level is Level.INSTANCE:
            found[named.orthanc_id] = None
            continue
        try:
            found.update(dict.fromkeys(find.descendant_ids(archive, named.level, named.orthanc_id, Level.INSTANCE)))
        except UnknownResource:
            raise ParameterOutOfRange from None
    return tuple(found)


def _patient_name(archive: Archive, wanted: Modification | Anonymization) -> str:
    """A pseudonym that was not given before; empty if none is needed."""
    if not isinstance(wanted, Anonymization) or not wanted.needs_patient_name:
        return ""

    def count(tx: Transaction) -> int:
        number = int(properties.get(tx, _ANONYMIZED_COUNTER) or "0") + 1
        properties.put(tx, _ANONYMIZED_COUNTER, str(number))
        return number

    return f"Anonymized{archive.database.write(count)}"


def _check_patient(archive: Archive, modification: Modification, resources: Sequence[Named]) -> None:
    """Below the level of patients, the attributes of a patient with other studies may not be changed."""
    replaced = {path.tag for path, _ in modification.edits.replace if not path.is_nested}
    if modification.level is Level.PATIENT or not replaced & set(archive.main_tags.tags(Level.PATIENT)):
        return
    checked: set[OrthancId] = set()
    for named in resources:
        if named.level is Level.PATIENT:
            source = find.get(archive, Level.PATIENT, named.orthanc_id, Content.NOTHING)
        else:
            source = find.ancestor(archive, named.level, named.orthanc_id, Level.PATIENT, Content.NOTHING)
        patient_id = modification.edits.replaced_uids().get(Level.PATIENT, source.main_tags.get(PATIENT_ID, ""))
        target_id = Identifiers(patient_id, "", "", "").at(Level.PATIENT)
        if target_id in checked:
            continue
        checked.add(target_id)
        try:
            target = find.get(archive, Level.PATIENT, target_id, Content.NOTHING)
        except UnknownResource:
            continue
        is_another = target_id != source.orthanc_id
        if is_another or target.number_of_studies > 1:
            check_patient_tags(modification.edits, target.main_tags, is_another)
