"""URLs of jobs and of what jobs do: modify, anonymise, split, merge, archives; and of instances made of nothing."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from amonsul.dicom.levels import Level
from amonsul.jobs.commands import Command
from amonsul.web.rest import archives, create, jobs, transform
from amonsul.web.routing import Body, Parameter, Route

_TEXT = "text/plain"
_BINARY = "application/octet-stream"
_DICOM = "application/dicom"
_FILENAME = Parameter("filename", "Name of the download in the Content-Disposition header.")
_TRANSCODE = Parameter("transcode", "UID of the transfer syntax to deliver.")
_RANGE = Parameter("Range", "Part of the bytes: `bytes=0-99`.", place="header")
_TAG_NAMES = {Level.PATIENT: "Patients", Level.STUDY: "Studies", Level.SERIES: "Series"}


def job_routes() -> Iterator[Route]:
    """The lines of the table."""
    yield from _jobs()
    yield from _transform()
    yield from _archives()
    yield from _create()


def _jobs() -> Iterator[Route]:
    tag, one, output = "Jobs", "/jobs/{id}", "/jobs/{id}/{name}"
    state = Parameter("state", "Only jobs in these states, separated by semicolons.")
    kind = Parameter("type", "Only jobs of these types, separated by semicolons.")
    yield Route(
        "GET",
        "/jobs",
        jobs.list_jobs,
        "List jobs",
        tag,
        parameters=(
            Parameter("expand", "Describe the jobs instead of listing their identifiers.", "boolean"),
            state,
            kind,
            Parameter("since", "Skip so many jobs.", "integer"),
            Parameter("limit", "Report at most so many jobs.", "integer"),
        ),
    )
    yield Route(
        "POST",
        "/jobs/purge",
        jobs.purge_jobs,
        "Forget ended jobs",
        tag,
        "All that succeeded or failed, of some states and types if any is named. Answers their number as `Count`.",
        parameters=(state, kind),
    )
    yield Route("GET", one, jobs.get_job, "Describe a job", tag)
    yield Route("DELETE", one, jobs.delete_job, "Forget an ended job", tag, answers=_TEXT)
    for command, summary in (
        (Command.PAUSE, "Pause a job"),
        (Command.CANCEL, "End a job"),
        (Command.RESUME, "Let a paused job go on"),
        (Command.RESUBMIT, "Run a failed job again"),
    ):
        yield Route("POST", f"{one}/{command.value}", partial(jobs.command_job, command), summary, tag)
    yield Route(
        "GET",
        output,
        jobs.get_output,
        "Download what a job made",
        tag,
        parameters=(_FILENAME, _RANGE),
        answers=_BINARY,
    )
    yield Route("DELETE", output, jobs.delete_output, "Remove what a job made", tag, answers=_TEXT)


JOB_FIELDS = (
    Parameter("Synchronous", "Wait for the end; the default.", "boolean"),
    Parameter("Asynchronous", "Answer the identifier of the job at once.", "boolean"),
    Parameter("Permissive", "Go on after single failures.", "boolean"),
    Parameter("Priority", "Of the job; higher ones go first.", "integer"),
    Parameter("UserData", "Any JSON; it travels along with the job.", "object"),
    Parameter("MaximumAttempts", "How often the job is tried if the remote is away; once unless given.", "integer"),
)
"""What every body that asks for a job may say."""
_OUTPUT_FIELDS = (
    Parameter("KeepSource", "Whether the originals stay.", "boolean"),
    Parameter("KeepLabels", "Whether the results get the labels of the originals.", "boolean"),
    Parameter("Transcode", "UID of the transfer syntax of the results."),
    Parameter("LossyQuality", "1 to 100, for a transfer syntax that loses something.", "integer"),
)
_EDIT_FIELDS = (
    Parameter("Replace", "Attributes, by name, number or path, with their new values.", "object"),
    Parameter("Remove", "Attributes to remove.", "array"),
    Parameter("Keep", "Attributes to keep as they are.", "array"),
    Parameter("Force", "Allow that identifiers are chosen or kept.", "boolean"),
    Parameter("PrivateCreator", "Who defines the private attributes of `Replace`."),
)
_MODIFY_FIELDS = (
    *_EDIT_FIELDS,
    Parameter("RemovePrivateTags", "Remove private attributes, those kept excepted.", "boolean"),
    *_OUTPUT_FIELDS,
)
_ANONYMIZE_FIELDS = (
    *_EDIT_FIELDS,
    Parameter("KeepPrivateTags", "Keep private attributes.", "boolean"),
    Parameter("DicomVersion", "Edition of the profile: `2008`, `2017c`, `2021b` or `2023b`."),
    Parameter("DeidentificationOptions", "Options of the Basic Profile (PS3.15 Annex E).", "array"),
    Parameter("PixelRegions", "Objects with X, Y, Width and Height: rectangles to blank in all frames.", "array"),
    Parameter("DateShiftKey", "With the same key, all requests move the dates of a patient alike."),
    *_OUTPUT_FIELDS,
)
_RESOURCES = Parameter("Resources", "Identifiers of resources.", "array")


def _transform() -> Iterator[Route]:
    for is_anonymization, verb, fields in ((False, "modify", _MODIFY_FIELDS), (True, "anonymize", _ANONYMIZE_FIELDS)):
        what = verb.capitalize()
        yield Route(
            "POST",
            f"/instances/{{id}}/{verb}",
            partial(transform.transform_instance, is_anonymization),
            f"{what} an instance",
            "Instances",
            "The result is answered and not stored.",
            body=Body.SMALL,
            request_types=("application/json",),
            fields=fields,
            answers=_DICOM,
        )
        for level in (Level.PATIENT, Level.STUDY, Level.SERIES):
            yield Route(
                "POST",
                f"/{level.collection}/{{id}}/{verb}",
                partial(transform.transform_resource, level, is_anonymization),
                f"{what} a {level.type_name.lower()}",
                _TAG_NAMES[level],
                body=Body.SMALL,
                request_types=("application/json",),
                fields=(*fields, *JOB_FIELDS),
            )
        yield Route(
            "POST",
            f"/tools/bulk-{verb}",
            partial(transform.transform_resources, is_anonymization),
            f"{what} a set of resources",
            "System",
            body=Body.SMALL,
            request_types=("application/json",),
            fields=(
                _RESOURCES,
                Parameter("Level", "Identifiers at this level and below become new ones."),
                *fields,
                *JOB_FIELDS,
            ),
        )
    yield Route(
        "POST",
        "/studies/{id}/split",
        transform.split_study,
        "Split a study",
        "Studies",
        "The series and instances named move into a new study.",
        body=Body.SMALL,
        request_types=("application/json",),
        fields=(
            Parameter("Series", "Identifiers of series of the study.", "array"),
            Parameter("Instances", "Identifiers of instances of the study.", "array"),
            Parameter("Replace", "Attributes of the patient and the study with their new values.", "object"),
            Parameter("Remove", "Attributes of the patient and the study to remove.", "array"),
            *_OUTPUT_FIELDS[:2],
            *JOB_FIELDS,
        ),
    )
    yield Route(
        "POST",
        "/studies/{id}/merge",
        transform.merge_study,
        "Merge into a study",
        "Studies",
        "The studies, series and instances named move into this study.",
        body=Body.SMALL,
        request_types=("application/json",),
        fields=(_RESOURCES, *_OUTPUT_FIELDS, *JOB_FIELDS),
    )


_ZIP = "application/zip"


def _create() -> Iterator[Route]:
    yield Route(
        "POST",
        "/tools/create-dicom",
        create.create_dicom,
        "Make an instance or a series",
        "System",
        "Of attributes and, if wanted, of images or documents given as data URIs (RFC 2397).",
        body=Body.LARGE,
        request_types=("application/json",),
        fields=(
            Parameter("Tags", "Attributes, by name or number, with their values.", "object"),
            Parameter(
                "Content",
                "A PNG, a JPEG, a PDF or a 3D model (STL, OBJ, MTL) as a data URI; an array of these, or of objects "
                "with `Content` and `Tags`, for a series.",
            ),
            Parameter("Parent", "Identifier of the patient, study or series that it belongs to."),
            Parameter("Force", "Allow that UIDs and attributes of the parent are chosen.", "boolean"),
            Parameter("PrivateCreator", "Who defines the private attributes."),
            Parameter("InterpretBinaryTags", "Decode data URIs in binary attributes; the default.", "boolean"),
            Parameter("Encapsulate", "Keep a JPEG compressed as it is.", "boolean"),
        ),
    )


_ARCHIVE_PARAMETERS = (
    _FILENAME,
    _TRANSCODE,
    Parameter("lossy-quality", "1 to 100, for a transfer syntax that loses something.", "integer"),
    Parameter("utf8", "Names keep what is not ASCII; otherwise as `ZipUseUtf8` says.", "boolean"),
)
_ARCHIVE_FIELDS = (
    *JOB_FIELDS,
    Parameter("Transcode", "UID of the transfer syntax of the instances."),
    Parameter("LossyQuality", "1 to 100, for a transfer syntax that loses something.", "integer"),
    Parameter("Filename", "Name of the download."),
    Parameter("Utf8", "Names keep what is not ASCII; otherwise as `ZipUseUtf8` says.", "boolean"),
)
_EXTENDED = Parameter("extended", "Say more in the DICOMDIR.", "boolean")


def _archives() -> Iterator[Route]:
    archive, media = archives.Form(), archives.Form(is_media=True)
    for level in (Level.PATIENT, Level.STUDY, Level.SERIES):
        for form, name, what in ((archive, "archive", "ZIP archive"), (media, "media", "DICOM media")):
            path, of = f"/{level.collection}/{{id}}/{name}", level.type_name.lower()
            yield Route(
                "GET",
                path,
                partial(archives.get_archive, level, form),
                f"Download a {of} as {what}",
                _TAG_NAMES[level],
                parameters=_ARCHIVE_PARAMETERS + ((_EXTENDED,) if form.is_media else ()),
                answers=_ZIP,
            )
            yield Route(
                "POST",
                path,
                partial(archives.post_archive, level, form),
                f"Make a {what} of a {of}",
                _TAG_NAMES[level],
                "The answer is the archive, or the identifier of the job whose output `archive` it will be.",
                body=Body.SMALL,
                request_types=("application/json",),
                fields=_ARCHIVE_FIELDS
                + ((Parameter("Extended", "Say more in the DICOMDIR.", "boolean"),) if form.is_media else ()),
                answers=_ZIP,
            )
    for form, name, what in (
        (archive, "create-archive", "ZIP archive"),
        (media, "create-media", "DICOM media"),
        (archives.Form(is_media=True, is_extended=True), "create-media-extended", "DICOM media with more to say"),
    ):
        yield Route(
            "GET",
            f"/tools/{name}",
            partial(archives.get_archive_of_many, form),
            f"Download resources as {what}",
            "System",
            parameters=(
                Parameter("resources", "Identifiers of resources, of any level, separated by commas."),
                *_ARCHIVE_PARAMETERS,
            ),
            answers=_ZIP,
        )
        yield Route(
            "POST",
            f"/tools/{name}",
            partial(archives.post_archive_of_many, form),
            f"Make a {what} of resources",
            "System",
            "The body is an object, or an array of identifiers.",
            body=Body.SMALL,
            request_types=("application/json",),
            fields=(_RESOURCES, *_ARCHIVE_FIELDS),
            answers=_ZIP,
        )
