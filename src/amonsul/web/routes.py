"""Every URL of the server, in one table: what answers it, what it takes, what it is for.

The router, the documentation (`/openapi.json`) and the tests read this table; nothing else knows a path. The four
levels of resources share their lines: a function makes them for each level.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial

from amonsul.dicom.levels import Level
from amonsul.web import image_routes, job_routes, openapi, peer_routes, remote_routes
from amonsul.web.dicomweb.routes import dicom_web_routes
from amonsul.web.rest import attachments, changes, monitoring, resources, search, tags, tools, uploads
from amonsul.web.routing import Body, Parameter, Route
from amonsul.web.services import LOG_CATEGORIES
from amonsul.web.settings import WebSettings
from amonsul.web.upkeep_routes import upkeep_routes

FOLDERS = ("/tools",)

_TEXT = "text/plain"
_BINARY = "application/octet-stream"
_DICOM = "application/dicom"

_SHORT = Parameter("short", "Name tags by number: `0010,0010`.", "boolean")
_FULL = Parameter("full", "Give each tag its number, name, type and value.", "boolean")
_SIMPLIFY = Parameter("simplify", "Name tags by keyword, give values alone.", "boolean")
_EXPAND = Parameter("expand", "Describe the resources instead of listing their identifiers.", "boolean")
_REQUESTED = Parameter("requested-tags", "Further tags to report, by name or number, separated by semicolons.")
_IGNORE_LENGTH = Parameter("ignore-length", "Tags to print even if they are long, separated by semicolons.")
_WHOLE = Parameter("whole", "Accepted for compatibility: all attributes are always reported.", "boolean")
_SINCE = Parameter("since", "Skip so many results; needs `limit`.", "integer")
_LIMIT = Parameter("limit", "Report at most so many results, 0 for all; needs `since`.", "integer")
_CONTENT = Parameter(
    "response-content",
    "What to report of each resource, separated by semicolons: MainDicomTags, Metadata, Children, Parent, Labels, "
    "Status, IsStable, IsProtected, Attachments, RequestedTags. Overrides `expand`.",
)
_FILENAME = Parameter("filename", "Name of the download in the Content-Disposition header.")
_TRANSCODE = Parameter("transcode", "UID of the transfer syntax to deliver.")
_IF_NONE_MATCH = Parameter("If-None-Match", "ETag that the client has; 304 if it is current.", place="header")
_IF_MATCH = Parameter("If-Match", "ETag that must be current, or 409.", place="header")
_RANGE = Parameter("Range", "Part of the bytes: `bytes=0-99`.", place="header")
_ACCEPT = Parameter("Accept", "`application/dicom+json` or `application/dicom+xml` for those models.", place="header")

_TAG_NAMES = {
    Level.PATIENT: "Patients",
    Level.STUDY: "Studies",
    Level.SERIES: "Series",
    Level.INSTANCE: "Instances",
}

_QUERY_FIELDS = (
    Parameter("Level", "`Patient`, `Study`, `Series` or `Instance`."),
    Parameter(
        "Query", "Tags, by name or number, with the values to match: text with wildcards, ranges, lists.", "object"
    ),
    Parameter("CaseSensitive", "Whether case and accents matter.", "boolean"),
    Parameter("Labels", "Labels to look for.", "array"),
    Parameter("LabelsConstraint", "`All`, `Any` or `None` of them."),
    Parameter("MetadataQuery", "Metadata with the values to match.", "object"),
    Parameter("ParentPatient", "Only below this patient."),
    Parameter("ParentStudy", "Only below this study."),
    Parameter("ParentSeries", "Only below this series."),
)


def routes(settings: WebSettings) -> Sequence[Route]:
    """The table for a server with these settings."""
    table = [*_system(), *_tools(), *_log_levels(), *_changes(), *_instances()]
    for level in Level:
        table += _level(level)
        table += _below_and_above(level)
        table += _metadata_and_attachments(level)
    table += job_routes.job_routes()
    table += image_routes.image_routes()
    table += remote_routes.remote_routes()
    table += peer_routes.peer_routes()
    table += dicom_web_routes(settings.dicom_web)
    table += upkeep_routes()
    table += openapi.documentation_routes(lambda: routes(settings))
    return table


# ---------------------------------------------------------------------------------------------------- the server


def _system() -> Iterator[Route]:
    tag = "System"
    yield Route("GET", "/", tools.get_root, "Leads to a page", tag, answers="text/html", inline=True)
    yield Route("GET", "/system", tools.get_system, "What this server is", tag, inline=True)
    yield Route("GET", "/statistics", resources.get_system_statistics, "How many resources and bytes are stored", tag)
    yield Route("GET", "/plugins", tools.list_plugins, "List plugins", tag, inline=True)
    yield Route("GET", "/plugins/{id}", tools.get_plugin, "Describe a plugin", tag, inline=True)


def _tools() -> Iterator[Route]:
    tag = "System"
    yield Route("GET", "/tools/now", tools.get_now, "The time, UTC", tag, answers=_TEXT, inline=True)
    yield Route("GET", "/tools/now-local", tools.get_now_local, "The local time", tag, answers=_TEXT, inline=True)
    yield Route(
        "GET",
        "/tools/generate-uid",
        tools.generate_uid,
        "Make a new identifier",
        tag,
        parameters=(Parameter("level", "`patient`, `study`, `series` or `instance`."),),
        answers=_TEXT,
        inline=True,
    )
    yield Route(
        "GET",
        "/tools/dicom-conformance",
        tools.get_dicom_conformance,
        "What the DICOM services accept, as text",
        tag,
        answers=_TEXT,
    )
    yield Route(
        "GET", "/tools/default-encoding", tools.get_default_encoding, "Get the default encoding", tag, answers=_TEXT
    )
    yield Route(
        "PUT",
        "/tools/default-encoding",
        tools.set_default_encoding,
        "Set the default encoding",
        tag,
        "The character set of data sets that name none, by the name that the option `DefaultEncoding` uses.",
        body=Body.SMALL,
        request_types=(_TEXT,),
        answers=_TEXT,
    )
    yield Route(
        "GET",
        "/tools/accepted-transfer-syntaxes",
        tools.get_accepted_transfer_syntaxes,
        "List the transfer syntaxes that C-STORE accepts",
        tag,
    )
    yield Route(
        "PUT",
        "/tools/accepted-transfer-syntaxes",
        tools.set_accepted_transfer_syntaxes,
        "Set the transfer syntaxes that C-STORE accepts",
        tag,
        "The body is a UID, `*`, or a JSON array of UIDs and patterns such as `1.2.840.10008.1.2.4.*`.",
        body=Body.SMALL,
        request_types=("application/json", _TEXT),
    )
    yield Route(
        "GET",
        "/tools/accepted-sop-classes",
        tools.get_accepted_sop_classes,
        "List the SOP classes that C-STORE accepts",
        tag,
    )
    for name, path, what in (
        ("unknown-sop-class", "/tools/unknown-sop-class-accepted", "whether C-STORE accepts unknown SOP classes"),
        ("metrics", "/tools/metrics", "whether metrics are collected"),
    ):
        yield Route("GET", path, partial(tools.get_switch, name), f"Get {what}", tag, answers=_TEXT)
        yield Route(
            "PUT",
            path,
            partial(tools.set_switch, name),
            f"Set {what}",
            tag,
            "The body is `1` or `0`.",
            body=Body.SMALL,
            request_types=(_TEXT,),
            answers=_TEXT,
        )
    yield Route(
        "GET",
        "/tools/metrics-prometheus",
        monitoring.prometheus,
        "Metrics in the text format of Prometheus",
        tag,
        "Empty while metrics are switched off (`/tools/metrics`, option `MetricsEnabled`).",
        answers=_TEXT,
    )
    yield Route("GET", "/tools/labels", resources.all_labels, "List all labels in use", tag)
    yield Route(
        "POST",
        "/tools/execute-script",
        tools.forbidden,
        "Refused: scripts are not run on request",
        tag,
        request_types=(_TEXT,),
    )
    yield Route(
        "POST",
        "/tools/find",
        search.find_resources,
        "Search resources",
        "Search",
        body=Body.SMALL,
        request_types=("application/json",),
        fields=(
            *_QUERY_FIELDS,
            Parameter("Expand", "Describe the resources instead of listing their identifiers.", "boolean"),
            Parameter("Short", "Name tags by number.", "boolean"),
            Parameter("Full", "Give each tag its number, name, type and value.", "boolean"),
            Parameter("RequestedTags", "Further tags to report.", "array"),
            Parameter("ResponseContent", "What to report of each resource; overrides `Expand`.", "array"),
            Parameter("OrderBy", "Objects with `Type`, `Key` and `Direction`.", "array"),
            Parameter("Since", "Skip so many results.", "integer"),
            Parameter("Limit", "Report at most so many results, 0 for all.", "integer"),
        ),
    )
    yield Route(
        "POST",
        "/tools/count-resources",
        search.count_resources,
        "Count the answers to a search",
        "Search",
        body=Body.SMALL,
        request_types=("application/json",),
        fields=_QUERY_FIELDS,
    )
    yield Route(
        "POST",
        "/tools/lookup",
        search.lookup,
        "Find resources by a DICOM identifier",
        "Search",
        "The body is a Patient ID, or a Study, Series or SOP Instance UID.",
        body=Body.SMALL,
        request_types=(_TEXT,),
    )
    yield Route(
        "POST",
        "/tools/bulk-content",
        search.bulk_content,
        "Describe a set of resources",
        "Search",
        body=Body.SMALL,
        request_types=("application/json",),
        fields=(
            Parameter("Resources", "Identifiers of resources, of any level.", "array"),
            Parameter("Level", "Describe what lies at this level above or below them."),
            Parameter("Metadata", "Report metadata as well.", "boolean"),
            Parameter("Short", "Name tags by number.", "boolean"),
            Parameter("Full", "Give each tag its number, name, type and value.", "boolean"),
        ),
    )
    yield Route(
        "POST",
        "/tools/bulk-delete",
        search.bulk_delete,
        "Delete a set of resources",
        "Search",
        body=Body.SMALL,
        request_types=("application/json",),
        fields=(
            Parameter("Resources", "Identifiers of resources of any level, or objects of `Level` and `ID`.", "array"),
            *job_routes.JOB_FIELDS,
        ),
        answers=_TEXT,
    )


def _log_levels() -> Iterator[Route]:
    for name in ("", *LOG_CATEGORIES):
        path = f"/tools/log-level-{name}" if name else "/tools/log-level"
        categories = (name,) if name else LOG_CATEGORIES
        of = f" of the category `{name}`" if name else ""
        yield Route(
            "GET", path, partial(tools.get_log_level, categories), f"Get the verbosity of the log{of}", "System",
            answers=_TEXT,
        )  # fmt: skip
        yield Route(
            "PUT",
            path,
            partial(tools.set_log_level, categories),
            f"Set the verbosity of the log{of}",
            "System",
            "The body is `default`, `verbose` or `trace`.",
            body=Body.SMALL,
            request_types=(_TEXT,),
            answers=_TEXT,
        )


def _changes() -> Iterator[Route]:
    tag = "Changes"
    last = Parameter("last", "Report the newest entry only.", "boolean")
    since = Parameter("since", "Report entries after this number.", "integer")
    limit = Parameter("limit", "Report at most so many entries, 100 by default.", "integer")
    yield Route(
        "GET",
        "/changes",
        changes.list_changes,
        "List changes",
        tag,
        parameters=(
            since,
            limit,
            last,
            Parameter("to", "Report entries up to this number.", "integer"),
            Parameter("type", "Report these types only, separated by semicolons."),
        ),
    )
    yield Route("DELETE", "/changes", changes.clear_changes, "Forget all changes", tag, answers=_TEXT)
    yield Route(
        "GET",
        "/exports",
        changes.list_exports,
        "List exports",
        tag,
        "What was sent to other systems, while `LogExportedResources` is on.",
        parameters=(since, limit, last),
    )
    yield Route("DELETE", "/exports", changes.clear_exports, "Forget all exports", tag, answers=_TEXT)


# ---------------------------------------------------------------------------------------------------- resources


def _level(level: Level) -> Iterator[Route]:
    tag, root, one = _TAG_NAMES[level], f"/{level.collection}", f"/{level.collection}/{{id}}"
    name = level.type_name.lower()
    yield Route(
        "GET",
        root,
        partial(resources.list_resources, level),
        f"List {level.collection}",
        tag,
        parameters=(_EXPAND, _SINCE, _LIMIT, _SHORT, _FULL, _REQUESTED, _CONTENT),
    )
    yield Route(
        "GET",
        one,
        partial(resources.get_resource, level),
        f"Describe a {name}",
        tag,
        parameters=(_SHORT, _FULL, _REQUESTED),
    )
    yield Route(
        "DELETE",
        one,
        partial(resources.delete_resource, level),
        f"Delete a {name}",
        tag,
        "Everything below it goes too, and every ancestor left with nothing; the nearest that remains is answered.",
    )
    yield Route(
        "GET",
        f"{one}/statistics",
        partial(resources.get_statistics, level),
        f"How many resources and bytes a {name} has",
        tag,
    )
    yield Route(
        "GET",
        f"{one}/module",
        partial(tags.get_module, level),
        f"The attributes of the module of a {name}",
        tag,
        parameters=(_SIMPLIFY, _SHORT, _IGNORE_LENGTH),
    )
    yield Route("GET", f"{one}/labels", partial(resources.get_labels, level), f"List the labels of a {name}", tag)
    yield Route(
        "GET",
        f"{one}/labels/{{label}}",
        partial(resources.get_label, level),
        f"Whether a {name} has a label",
        tag,
        answers=_TEXT,
    )
    yield Route(
        "PUT",
        f"{one}/labels/{{label}}",
        partial(resources.add_label, level),
        f"Give a {name} a label",
        tag,
        answers=_TEXT,
    )
    yield Route(
        "DELETE",
        f"{one}/labels/{{label}}",
        partial(resources.remove_label, level),
        f"Take a label from a {name}",
        tag,
        answers=_TEXT,
    )
    if level is Level.PATIENT:
        yield Route(
            "PUT",
            f"{one}/protected",
            resources.set_protected,
            "Keep a patient from recycling",
            tag,
            "The body is `1` or `0`.",
            body=Body.SMALL,
            request_types=(_TEXT,),
            answers=_TEXT,
        )
        yield Route(
            "GET",
            f"{one}/protected",
            resources.get_protected,
            "Whether a patient is kept from recycling",
            tag,
            answers=_TEXT,
        )
    if level is Level.STUDY:
        yield Route(
            "GET",
            f"{one}/module-patient",
            tags.get_patient_module,
            "The attributes of the Patient Module of a study",
            tag,
            parameters=(_SIMPLIFY, _SHORT, _IGNORE_LENGTH),
        )
    if level is Level.SERIES:
        yield Route(
            "GET",
            f"{one}/ordered-slices",
            resources.get_ordered_slices,
            "The instances of a series in order of space",
            tag,
        )


def _below_and_above(level: Level) -> Iterator[Route]:
    tag, one = _TAG_NAMES[level], f"/{level.collection}/{{id}}"
    name = level.type_name.lower()
    for wanted in Level:
        if wanted > level:
            yield Route(
                "GET",
                f"{one}/{wanted.collection}",
                partial(resources.list_descendants, level, wanted),
                f"Describe the {wanted.collection} of a {name}",
                tag,
                parameters=(
                    Parameter("expand", "`false` lists identifiers instead.", "boolean"),
                    _SHORT,
                    _FULL,
                    _REQUESTED,
                ),
            )
        elif wanted < level:
            above = wanted.type_name.lower()
            yield Route(
                "GET",
                f"{one}/{above}",
                partial(resources.get_ancestor, level, wanted),
                f"Describe the {above} of a {name}",
                tag,
                parameters=(_SHORT, _FULL, _REQUESTED),
            )
    if level is Level.INSTANCE:
        return
    yield Route(
        "GET",
        f"{one}/shared-tags",
        partial(tags.get_shared_tags, level),
        f"The tags that are the same in all instances of a {name}",
        tag,
        parameters=(_SIMPLIFY, _SHORT),
    )
    yield Route(
        "GET",
        f"{one}/instances-tags",
        partial(tags.get_instances_tags, level),
        f"The tags of all instances of a {name}",
        tag,
        parameters=(_SIMPLIFY, _SHORT, _IGNORE_LENGTH),
    )


def _instances() -> Iterator[Route]:
    tag, one = "Instances", "/instances/{id}"
    yield Route(
        "POST",
        "/instances",
        uploads.upload,
        "Store instances",
        tag,
        "The body is a DICOM file, possibly with `Content-Encoding: gzip`, a ZIP archive of many, or a form with "
        "files. One file is answered with an object, several with an array.",
        body=Body.LARGE,
        request_types=(_DICOM, "application/zip", "multipart/form-data"),
    )
    yield Route(
        "GET",
        f"{one}/file",
        tags.get_file,
        "Download the DICOM file",
        tag,
        parameters=(_FILENAME, _TRANSCODE, _ACCEPT),
        answers=_DICOM,
    )
    yield Route(
        "GET",
        f"{one}/tags",
        tags.get_tags,
        "The attributes of an instance",
        tag,
        parameters=(_SIMPLIFY, _SHORT, _IGNORE_LENGTH, _WHOLE),
    )
    yield Route(
        "GET",
        f"{one}/simplified-tags",
        tags.get_simplified_tags,
        "The attributes of an instance by keyword",
        tag,
        parameters=(_IGNORE_LENGTH, _WHOLE),
    )
    yield Route(
        "GET",
        f"{one}/header",
        tags.get_header,
        "The file meta information of an instance",
        tag,
        parameters=(_SIMPLIFY, _SHORT),
    )
    yield Route("GET", f"{one}/frames", resources.get_frames, "List the frames of an instance", tag)
    yield Route("GET", f"{one}/content", tags.get_content, "List the attributes of an instance by number", tag)
    yield Route(
        "GET",
        f"{one}/content/{{path*}}",
        tags.get_content,
        "The raw value of an attribute",
        tag,
        "The path alternates tags and numbers of items: `0008-1140/0/0008-1150`. Sequences and fragments are listed.",
        answers=_BINARY,
    )
    yield Route(
        "GET", f"{one}/pdf", tags.get_pdf, "The PDF that an instance encapsulates", tag, answers="application/pdf"
    )
    yield Route(
        "POST",
        f"{one}/export",
        tools.forbidden,
        "Refused: files are not written on request",
        tag,
        request_types=(_TEXT,),
    )


def _metadata_and_attachments(level: Level) -> Iterator[Route]:
    tag, one = _TAG_NAMES[level], f"/{level.collection}/{{id}}"
    name = level.type_name.lower()
    yield Route(
        "GET",
        f"{one}/metadata",
        partial(attachments.list_metadata, level),
        f"List the metadata of a {name}",
        tag,
        parameters=(
            Parameter("expand", "Report the values as well.", "boolean"),
            Parameter("numeric", "Report numbers instead of names.", "boolean"),
        ),
    )
    yield Route(
        "GET",
        f"{one}/metadata/{{name}}",
        partial(attachments.get_metadata, level),
        f"Get a metadata of a {name}",
        tag,
        parameters=(_IF_NONE_MATCH,),
        answers=_TEXT,
    )
    yield Route(
        "PUT",
        f"{one}/metadata/{{name}}",
        partial(attachments.set_metadata, level),
        f"Set a metadata of a {name}",
        tag,
        "Only user-defined ones: numbers from 1024 to 65535, and names of the option `UserMetadata`.",
        parameters=(_IF_MATCH,),
        body=Body.SMALL,
        request_types=(_TEXT,),
        answers=_TEXT,
    )
    yield Route(
        "DELETE",
        f"{one}/metadata/{{name}}",
        partial(attachments.delete_metadata, level),
        f"Delete a metadata of a {name}",
        tag,
        parameters=(_IF_MATCH,),
        answers=_TEXT,
    )
    yield Route(
        "GET",
        f"{one}/attachments",
        partial(attachments.list_attachments, level),
        f"List the attachments of a {name}",
        tag,
        parameters=(Parameter("full", "Report numbers beside the names.", "boolean"),),
    )
    attachment = f"{one}/attachments/{{name}}"
    yield Route(
        "GET",
        attachment,
        partial(attachments.list_operations, level),
        f"List what can be done with an attachment of a {name}",
        tag,
        parameters=(_IF_NONE_MATCH,),
    )
    yield Route(
        "PUT",
        attachment,
        partial(attachments.set_attachment, level),
        f"Set an attachment of a {name}",
        tag,
        "Only user-defined ones: numbers from 1024 to 65535, and names of the option `UserContentType`.",
        parameters=(_IF_MATCH,),
        body=Body.LARGE,
        request_types=(_BINARY,),
    )
    yield Route(
        "DELETE",
        attachment,
        partial(attachments.delete_attachment, level),
        f"Delete an attachment of a {name}",
        tag,
        parameters=(_IF_MATCH,),
        answers=_TEXT,
    )
    for operation, handler, summary, answers in (
        ("info", attachments.get_info, "Sizes and checksums", "application/json"),
        ("size", attachments.get_size, "Size in bytes", _TEXT),
        ("compressed-size", attachments.get_compressed_size, "Size in the storage, in bytes,", _TEXT),
        ("md5", attachments.get_md5, "MD5", _TEXT),
        ("compressed-md5", attachments.get_compressed_md5, "MD5 of the bytes in the storage", _TEXT),
        ("is-compressed", attachments.get_is_compressed, "`1` or `0`: compression in the storage", _TEXT),
        ("data", attachments.get_data, "The bytes", _BINARY),
        ("compressed-data", attachments.get_compressed_data, "The bytes as they lie in the storage,", _BINARY),
    ):
        ranged = (_RANGE,) if answers == _BINARY else ()
        yield Route(
            "GET",
            f"{attachment}/{operation}",
            partial(handler, level),
            f"{summary} of an attachment of a {name}",
            tag,
            parameters=(_IF_NONE_MATCH, *ranged),
            answers=answers,
        )
    for operation, compressed in (("compress", True), ("uncompress", False)):
        yield Route(
            "POST",
            f"{attachment}/{operation}",
            partial(attachments.set_compression, compressed, level),
            f"{operation.capitalize()} an attachment of a {name} in the storage",
            tag,
            "What is read stays the same.",
        )
    yield Route(
        "POST",
        f"{attachment}/verify-md5",
        partial(attachments.verify_md5, level),
        f"Compare an attachment of a {name} with its MD5",
        tag,
    )
