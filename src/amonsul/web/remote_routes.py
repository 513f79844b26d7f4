"""The lines of the table of URLs that are about other DICOM systems: modalities, searches, storage commitment."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from amonsul.dicom.levels import Level
from amonsul.web.rest import modalities, remote_queries, storage_commitment
from amonsul.web.routing import Body, Handler, Parameter, Route

_JSON = "application/json"
_TEXT = "text/plain"

EXPAND = Parameter("expand", "Describe them instead of listing names.", "boolean")
_SIMPLIFY = Parameter("simplify", "Attributes by name, values alone.", "boolean")
_SHORT = Parameter("short", "Attributes by number, values alone.", "boolean")

_LOCAL_AET = Parameter("LocalAet", "Our AE title for this once.")
_TIMEOUT = Parameter("Timeout", "Seconds to wait for each answer.", "integer")
_CHECK_FIND = Parameter("CheckFind", "Make a search, too, that finds nothing.", "boolean")
_LEVEL = Parameter("Level", "`Patient`, `Study`, `Series` or `Instance`.")
_QUERY = Parameter("Query", "Attributes, by name or number, with the values to match.", "object")
PERMISSIVE = Parameter("Permissive", "Go on where single resources fail.", "boolean")
JOB = (
    Parameter("Synchronous", "Answer when the job has ended; the default.", "boolean"),
    Parameter("Asynchronous", "Answer at once, with the address of the job.", "boolean"),
    Parameter("Priority", "Of the job; higher ones go first.", "integer"),
    Parameter("UserData", "Travels along with the job.", "object"),
)
_MODALITY = (
    Parameter("AET", "AE title."),
    Parameter("Host", "Name or address."),
    Parameter("Port", "TCP port.", "integer"),
    Parameter("Manufacturer", "What to mind when it is asked, as in the option `DicomModalities`."),
    *(
        Parameter(f"Allow{right}", f"Whether it may ask us for {what}.", "boolean")
        for right, what in (
            ("Echo", "C-ECHO"),
            ("Find", "C-FIND"),
            ("FindWorklist", "C-FIND of worklists"),
            ("Get", "C-GET"),
            ("Move", "C-MOVE"),
            ("Store", "C-STORE"),
            ("StorageCommitment", "storage commitment"),
        )
    ),
    Parameter("AllowTranscoding", "Whether we may transcode for it.", "boolean"),
    Parameter("UseDicomTls", "Whether we reach it over TLS.", "boolean"),
    Parameter("LocalAet", "Our AE title towards it."),
    Parameter("Timeout", "Seconds to wait for its answers.", "integer"),
    Parameter("RetrieveMethod", "`C-MOVE`, `C-GET` or `SystemDefault`."),
)
_FORM = (
    Parameter("Full", "Describe the resources with names and types.", "boolean"),
    Parameter("Simplify", "Describe the resources by names of attributes.", "boolean"),
)
_RETRIEVE = (
    Parameter("TargetAet", "Where to send it to by C-MOVE; to us unless given."),
    Parameter("RetrieveMethod", "`C-MOVE`, `C-GET` or `SystemDefault`."),
    *_FORM,
    _TIMEOUT,
    PERMISSIVE,
    *JOB,
)


def remote_routes() -> Iterator[Route]:
    """The routes of `/modalities`, `/storage-commitment`, `/queries` and `/tools/dicom-echo`."""
    yield from _known()
    yield from _asked()
    yield from _commitment()
    yield from _queries()
    yield from _answers()


def _known() -> Iterator[Route]:
    tag, one = "Modalities", "/modalities/{id}"
    yield Route("GET", "/modalities", modalities.list_modalities, "List modalities", tag, parameters=(EXPAND,))
    yield Route("GET", one, modalities.list_operations, "List what can be asked of a modality", tag)
    yield Route("GET", f"{one}/configuration", modalities.get_configuration, "Describe a modality", tag)
    yield Route(
        "PUT",
        one,
        modalities.put_modality,
        "Add or change a modality",
        tag,
        "For good with `DicomModalitiesInDatabase`, otherwise until the server ends. Also `[AET, Host, Port]`.",
        body=Body.SMALL,
        request_types=(_JSON,),
        fields=_MODALITY,
        answers=_TEXT,
    )
    yield Route("DELETE", one, modalities.delete_modality, "Remove a modality", tag, answers=_TEXT)


def _asked() -> Iterator[Route]:
    tag, one = "Modalities", "/modalities/{id}"

    def post(
        operation: str,
        handler: Handler,
        summary: str,
        help_text: str = "",
        fields: tuple[Parameter, ...] = (),
        types: tuple[str, ...] = (_JSON,),
    ) -> Route:
        return Route(
            "POST",
            f"{one}/{operation}",
            handler,
            summary,
            tag,
            help_text,
            body=Body.SMALL,
            request_types=types,
            fields=fields,
        )

    echo_fields = (_CHECK_FIND, _TIMEOUT)
    yield post("echo", modalities.echo, "Test a modality", "C-ECHO.", echo_fields)
    yield Route(
        "POST",
        "/tools/dicom-echo",
        modalities.echo_anyone,
        "Test a DICOM system",
        tag,
        "C-ECHO to a system that is described in the body, as an array or an object.",
        body=Body.SMALL,
        request_types=(_JSON,),
        fields=(*_MODALITY, _CHECK_FIND),
    )
    yield post(
        "store",
        modalities.store,
        "Send to a modality",
        "C-STORE of everything below the named resources. The body is an identifier, an array of them, or an object.",
        (
            Parameter("Resources", "Identifiers of resources of any level.", "array"),
            _LOCAL_AET,
            Parameter("CalledAet", "Its AE title for this once."),
            Parameter("Host", "Its address for this once."),
            Parameter("Port", "Its TCP port for this once.", "integer"),
            Parameter("MoveOriginatorAet", "Send as if this AE title had asked for it by C-MOVE."),
            Parameter("MoveOriginatorID", "The message ID of that C-MOVE.", "integer"),
            Parameter("StorageCommitment", "Ask for storage commitment afterwards.", "boolean"),
            _TIMEOUT,
            PERMISSIVE,
            *JOB,
        ),
        (_JSON, _TEXT),
    )
    yield Route(
        "POST",
        f"{one}/store-straight",
        modalities.store_straight,
        "Send a DICOM file to a modality",
        tag,
        "C-STORE of the body, which is not stored here.",
        body=Body.LARGE,
        request_types=("application/dicom",),
    )
    for level in Level:
        name = level.type_name.lower()
        yield post(
            f"find-{name}",
            partial(modalities.find_at, level),
            f"Search {level.collection} at a modality",
            "C-FIND; the body has the attributes with the values to match. Use `query` instead.",
        )
    yield post(
        "find",
        modalities.find_hierarchy,
        "Search a modality for patients with all below",
        "C-FIND at three levels; the body has the attributes with the values to match. Use `query` instead.",
    )
    yield post(
        "find-worklist",
        modalities.find_worklist,
        "Search the worklist of a modality",
        "C-FIND; the body has the attributes with the values to match, or has them in `Query`.",
        (
            _QUERY,
            Parameter("Short", "Answer attributes by number.", "boolean"),
            Parameter("Full", "Answer attributes with names and types.", "boolean"),
        ),
    )
    yield post(
        "query",
        remote_queries.query,
        "Search a modality",
        "C-FIND; the answers are remembered and can be retrieved, see `/queries`.",
        (
            _LEVEL,
            _QUERY,
            Parameter("Normalize", "Leave out attributes that are not of this level; the default.", "boolean"),
            _LOCAL_AET,
            _TIMEOUT,
        ),
    )
    resources = Parameter("Resources", "Objects with the identifying attributes of each resource.", "array")
    yield post(
        "move",
        modalities.move,
        "Have a modality send something",
        "C-MOVE.",
        (_LEVEL, resources, _RETRIEVE[0], _LOCAL_AET, _TIMEOUT, PERMISSIVE, *JOB),
    )
    yield post(
        "get",
        modalities.get,
        "Retrieve from a modality",
        "C-GET.",
        (_LEVEL, resources, _LOCAL_AET, _TIMEOUT, PERMISSIVE, *JOB),
    )


def _commitment() -> Iterator[Route]:
    tag, one = "Storage commitment", "/storage-commitment/{id}"
    yield Route(
        "POST",
        "/modalities/{id}/storage-commitment",
        storage_commitment.request_commitment,
        "Ask a modality to be responsible for instances",
        tag,
        "N-ACTION; the modality reports later, see `/storage-commitment/{id}`.",
        body=Body.SMALL,
        request_types=(_JSON,),
        fields=(
            Parameter("Resources", "Identifiers of resources of any level.", "array"),
            Parameter("DicomInstances", "Objects with SOPClassUID and SOPInstanceUID, or arrays of both.", "array"),
            _LOCAL_AET,
            _TIMEOUT,
        ),
    )
    yield Route("GET", one, storage_commitment.get_report, "What a modality answered", tag)
    yield Route(
        "POST",
        f"{one}/remove",
        storage_commitment.remove_committed,
        "Delete what a modality is responsible for now",
        tag,
        "Only if it is for all that it was asked for.",
        body=Body.SMALL,
        request_types=(_JSON, _TEXT),
    )


def _queries() -> Iterator[Route]:
    tag, one = "Queries", "/queries/{id}"
    yield Route("GET", "/queries", remote_queries.list_queries, "List searches at modalities", tag)
    yield Route("GET", one, remote_queries.list_operations, "List what a search can be asked", tag)
    yield Route("DELETE", one, remote_queries.delete_query, "Forget a search", tag, answers=_TEXT)
    yield Route("GET", f"{one}/level", remote_queries.get_level, "Level of a search", tag, answers=_TEXT)
    yield Route("GET", f"{one}/modality", remote_queries.get_modality, "Who was searched", tag, answers=_TEXT)
    yield Route(
        "GET",
        f"{one}/query",
        remote_queries.get_query,
        "What was searched for",
        tag,
        parameters=(_SIMPLIFY, _SHORT),
    )
    yield Route(
        "GET",
        f"{one}/answers",
        remote_queries.list_answers,
        "List what was found",
        tag,
        parameters=(EXPAND, _SIMPLIFY, _SHORT),
    )
    yield Route(
        "POST",
        f"{one}/retrieve",
        remote_queries.retrieve_all,
        "Retrieve all that was found",
        tag,
        "C-MOVE or C-GET. The body is an object, or the AE title to send to.",
        body=Body.SMALL,
        request_types=(_JSON, _TEXT),
        fields=_RETRIEVE,
    )


def _answers() -> Iterator[Route]:
    tag, one = "Queries", "/queries/{id}/answers/{index}"
    yield Route("GET", one, remote_queries.list_answer_operations, "List what can be done with an answer", tag)
    yield Route(
        "GET",
        f"{one}/content",
        remote_queries.get_content,
        "One answer of a search",
        tag,
        parameters=(_SIMPLIFY, _SHORT),
    )
    yield Route(
        "POST",
        f"{one}/retrieve",
        remote_queries.retrieve_one,
        "Retrieve one answer",
        tag,
        "C-MOVE or C-GET. The body is an object, or the AE title to send to.",
        body=Body.SMALL,
        request_types=(_JSON, _TEXT),
        fields=_RETRIEVE,
    )
    for level in (Level.STUDY, Level.SERIES, Level.INSTANCE):
        yield Route(
            "POST",
            f"{one}/query-{level.collection}",
            partial(remote_queries.query_children, level),
            f"Search the {level.collection} below an answer",
            tag,
            "C-FIND at the same modality.",
            body=Body.SMALL,
            request_types=(_JSON,),
            fields=(_QUERY, _TIMEOUT),
        )
