"""Storage commitment: asking a modality for it, and what it answered."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from amonsul.archive import commitment, find
from amonsul.archive.commitment import CommitmentStatus
from amonsul.dicom.commitment import DESCRIPTIONS, Reference
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.uids import is_valid, new_uid
from amonsul.errors import BadFileFormat, NotImplementedHere, UnknownResource
from amonsul.jobs.outgoing import outgoing
from amonsul.web.json_body import Json, parse
from amonsul.web.rest.modalities import modality_named, overridden
from amonsul.web.services import Services
from amonsul.web.values import Request, Response, json

_AT_ONCE = 500


def request_commitment(services: Services, request: Request) -> Response:
    """POST /modalities/{id}/storage-commitment."""
    modality = modality_named(services, request.params["id"])
    commit = services.remotes.commit
    if commit is None:
        raise NotImplementedHere("nobody asks for storage commitment")
    body = parse(request.data())
    if not isinstance(body, Mapping):
        raise BadFileFormat("Must provide a JSON object with a list of resources")
    listed, named = body.get("Resources"), body.get("DicomInstances")
    if listed is None and named is None:
        raise BadFileFormat(
            'Empty storage commitment request, one of these fields is mandatory: "Resources" or "DicomInstances"'
        )
    references = dict.fromkeys([*_of_resources(services, listed), *_of_instances(named)])
    transaction_uid = new_uid()
    commit(overridden(modality, body), transaction_uid, tuple(references))
    return json({"ID": transaction_uid, "Path": f"/storage-commitment/{transaction_uid}"})


def _of_resources(services: Services, listed: Json) -> Iterator[Reference]:
    """All instances of stored resources."""
    if listed is None:
        return
    if not isinstance(listed, list):
        raise BadFileFormat('The "Resources" field must provide an array of identifiers')
    archive = services.archive
    for name in listed:
        level = find.level_of(archive, OrthancId(name)) if isinstance(name, str) else None
        if level is None or not isinstance(name, str):
            raise UnknownResource
        ids = [OrthancId(name)]
        if level is not Level.INSTANCE:
            ids = list(find.descendant_ids(archive, level, OrthancId(name), Level.INSTANCE))
        for start in range(0, len(ids), _AT_ONCE):
            for each in outgoing(archive, ids[start : start + _AT_ONCE]).values():
                yield Reference(each.sop_class_uid, each.sop_instance_uid)


def _of_instances(named: Json) -> Iterator[Reference]:
    """Instances named by their UIDs, stored or not."""
    if named is None:
        return
    if not isinstance(named, list):
        raise BadFileFormat('The "DicomInstances" field must provide an array of DICOM instances')
    for each in named:
        if isinstance(each, list):
            if len(each) != 2 or not all(isinstance(uid, str) for uid in each):
                raise BadFileFormat(
                    "An instance entry must provide an array with 2 strings: SOP Class UID and SOP Instance UID"
                )
            uids = each
        elif isinstance(each, Mapping):
            uids = [each.get("SOPClassUID"), each.get("SOPInstanceUID")]
        else:
            uids = []
        match uids:
            case [str(sop_class_uid), str(sop_instance_uid)] if is_valid(sop_class_uid) and is_valid(sop_instance_uid):
                yield Reference(sop_class_uid, sop_instance_uid)
            case _:
                raise BadFileFormat("An instance entry must provide a SOP Class UID and a SOP Instance UID")


def get_report(services: Services, request: Request) -> Response:
    """GET /storage-commitment/{id}."""
    found = commitment.get(services.archive, request.params["id"])
    shown: dict[str, object] = {"RemoteAET": found.remote_aet, "Status": found.status.value}
    if found.status is not CommitmentStatus.PENDING:
        shown["Success"] = [_shown(reference) for reference in found.committed]
        shown["Failures"] = [
            {
                "Description": DESCRIPTIONS.get(refusal.reason, "Unknown failure reason"),
                "FailureReason": refusal.reason,
                **_shown(refusal.reference),
            }
            for refusal in found.refused
        ]
    return json(shown)


def remove_committed(services: Services, request: Request) -> Response:
    """POST /storage-commitment/{id}/remove."""
    commitment.remove_committed(services.archive, request.params["id"])
    return Response(200, b"application/json", b"{}")


def _shown(reference: Reference) -> dict[str, str]:
    return {"SOPClassUID": reference.sop_class_uid, "SOPInstanceUID": reference.sop_instance_uid}
