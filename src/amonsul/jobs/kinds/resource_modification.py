"""ResourceModification: resources are modified or de-identified, and the results stored.

The arguments hold the request as it came, the instances it was about then, and the key from which all new identifiers
are computed: whoever goes on with the job makes the same ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from pydicom.dataset import Dataset

from amonsul.archive.context import Archive
from amonsul.archive.rewriting import Transcoding
from amonsul.database.transforming import Ancestry
from amonsul.dicom.deidentification import Anonymization, deidentify, parse_anonymization
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.modification import Modification, Output, modify, parse_bulk_modification, parse_modification
from amonsul.dicom.pixel_cleaning import PixelCleaning
from amonsul.dicom.tag_values import Encoder
from amonsul.dicom.uid_map import LevelOf, UidMap
from amonsul.imaging.codecs import Codecs
from amonsul.jobs.kind import Kind, Progress, Running
from amonsul.jobs.transformation import ANONYMIZED_FROM, MODIFIED_FROM, NOBODY, Change, Submitter, Work, transform


@dataclass(frozen=True, slots=True)
class Named:
    """A resource that a request names."""

    level: Level
    orthanc_id: OrthancId


@dataclass(frozen=True, slots=True)
class ResourceModification:
    """Arguments.

    Attributes:
        is_anonymization: or else a modification.
        level: of the route; None for several resources, or an instance.
        resources: as named.
        instances: all below these.
        body: of the request.
        key: of the new identifiers, in hexadecimal digits.
        patient_name: the pseudonym of an anonymization; empty if it needs none.
        lossy_quality: where the request does not say.
    """

    is_anonymization: bool
    level: Level | None
    resources: tuple[Named, ...]
    instances: tuple[OrthancId, ...]
    body: object
    key: str
    patient_name: str = ""
    permissive: bool = False
    submitter: Submitter = NOBODY
    lossy_quality: int = 90
    description: str = "REST API"


@dataclass(frozen=True, slots=True)
class Request:
    """What a body asks for.

    Attributes:
        level: identifiers at this level and below become new ones.
    """

    what: Modification | Anonymization
    level: Level

    @property
    def output(self) -> Output:
        """What it says of the results."""
        return self.what.output

    def change(self, archive: Archive, key: bytes, patient_name: str) -> Change:
        """What it does to a data set."""
        encoder = Encoder(archive.dictionary, default_charset=archive.default_encoding)
        uid_map = UidMap(key)
        if isinstance(self.what, Anonymization):
            return partial(_deidentify, self.what, uid_map, patient_name, encoder)
        return partial(_modify, self.what, uid_map, encoder)


def parse_request(
    archive: Archive, body: object, is_anonymization: bool, level: Level | None, is_bulk: bool
) -> Request:
    """Read the body of a request.

    Raises:
        AmonsulError: as the parser that it takes.
    """
    if is_anonymization:
        return Request(parse_anonymization(body, archive.dictionary), Level.PATIENT)
    if is_bulk:
        modification = parse_bulk_modification(body, archive.dictionary)
    else:
        modification = parse_modification(body, level, archive.dictionary)
    return Request(modification, modification.level)


def transcoding(output: Output, lossy_quality: int) -> Transcoding | None:
    """Into what results are transcoded."""
    return None if output.transcode is None else Transcoding(output.transcode, output.lossy_quality or lossy_quality)


def resource_modification(archive: Archive, codecs: Codecs) -> Kind[ResourceModification]:
    """The kind, with what it works with."""

    def run(arguments: ResourceModification, running: Running) -> Iterator[Progress]:
        is_single, level = arguments.level is not None, arguments.level
        request = parse_request(archive, arguments.body, arguments.is_anonymization, level, not is_single)
        results = _Results(running)
        verb = "Anonymized" if arguments.is_anonymization else "Modified"
        logged = level if level is not None else request.level
        work = Work(
            instances=arguments.instances,
            change=request.change(archive, bytes.fromhex(arguments.key), arguments.patient_name),
            submitter=arguments.submitter,
            permissive=arguments.permissive,
            keep_source=request.output.keep_source,
            keep_labels=request.output.keep_labels,
            transcoding=transcoding(request.output, arguments.lossy_quality),
            mark=ANONYMIZED_FROM if arguments.is_anonymization else MODIFIED_FROM,
            level=logged,
            is_in_place=request.what.keeps_all_uids,
            change_type=None if logged is Level.INSTANCE else f"{verb}{logged.type_name}",
            stored=results.show_all if level is None else partial(results.show_one, level),
        )
        yield from transform(archive, codecs, running, work)
        if not is_single:
            running.content["Resources"].sort(key=_in_order)

    def content(arguments: ResourceModification) -> dict[str, object]:
        shown: dict[str, object] = {
            "Description": arguments.description,
            "FailedInstancesCount": 0,
            "InstancesCount": len(arguments.instances),
            "IsAnonymization": arguments.is_anonymization,
            "ParentResources": sorted(named.orthanc_id for named in arguments.resources),
        }
        if arguments.level is not None:
            shown["Resources"] = [
                {"ID": named.orthanc_id, "Type": named.level.type_name} for named in arguments.resources
            ]
            shown["Type"] = arguments.level.type_name
        else:
            shown["Resources"] = []
        return shown

    return Kind("ResourceModification", ResourceModification, run, content)


class _Results:
    """What was made, as the content of the job shows it."""

    def __init__(self, running: Running) -> None:
        self._content = running.content
        self._known: set[tuple[Level, str]] | None = None

    def show_one(self, level: Level, ancestry: Ancestry) -> None:
        self._content["ID"] = ancestry[level]
        self._content["Path"] = f"/{level.collection}/{ancestry[level]}"
        self._content["PatientID"] = ancestry[Level.PATIENT]

    def show_all(self, ancestry: Ancestry) -> None:
        shown = self._content["Resources"]
        if self._known is None:
            levels = {level.type_name: level for level in Level}
            self._known = {(levels[each["Type"]], each["ID"]) for each in shown}
        for level in Level:
            if (level, ancestry[level]) not in self._known:
                self._known.add((level, ancestry[level]))
                path = f"/{level.collection}/{ancestry[level]}"
                shown.append({"ID": ancestry[level], "Path": path, "Type": level.type_name})


_ORDER = ("Instance", "Series", "Study", "Patient")


def _in_order(resource: dict[str, str]) -> tuple[int, str]:
    return _ORDER.index(resource["Type"]), resource["ID"]


def _modify(
    modification: Modification, uid_map: UidMap, encoder: Encoder, data_set: Dataset, level_of: LevelOf
) -> None:
    modify(data_set, modification, uid_map, level_of, encoder)


def _deidentify(
    anonymization: Anonymization,
    uid_map: UidMap,
    patient_name: str,
    encoder: Encoder,
    data_set: Dataset,
    level_of: LevelOf,
) -> PixelCleaning | None:
    return deidentify(data_set, anonymization, uid_map, patient_name, level_of, encoder)
