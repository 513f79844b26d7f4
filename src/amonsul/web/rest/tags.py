"""DICOM attributes of stored instances in the forms of the REST API, answered from stored headers.

Only `/content` and `/file` open the file of an instance.
"""

from __future__ import annotations

import base64
import mmap
from collections.abc import Callable, Iterable, Mapping

from amonsul import mapped
from amonsul.archive import find, read, rewriting
from amonsul.archive.find import Content
from amonsul.archive.read import StoredAttachment
from amonsul.dicom import content, dicom_json, dicom_xml, json_tags, scanner, uids
from amonsul.dicom.dictionary import Dictionary
from amonsul.dicom.elements import Bulk, DataSet, Tag, format_tag
from amonsul.dicom.levels import Level, OrthancId
from amonsul.dicom.modules import MODULES
from amonsul.errors import InexistentItem, ParameterOutOfRange, UnknownDicomTag
from amonsul.web.auth import SANDBOX
from amonsul.web.files import content_disposition, file_response, filename_argument, spooled_response
from amonsul.web.rest.resources import TagForm
from amonsul.web.services import Services
from amonsul.web.values import BINARY_TYPE, DICOM_TYPE, NOT_FOUND, Request, Response, Stream, json

_PRINTERS: Mapping[TagForm, Callable[..., dict[str, object]]] = {
    TagForm.FULL: json_tags.full,
    TagForm.SHORT: json_tags.short,
    TagForm.NAMES: json_tags.simplified,
}
_ENCAPSULATED_DOCUMENT = Tag(0x00420011)
_ENCAPSULATED_DOCUMENT_LENGTH = Tag(0x00420015)
_MIME_TYPE_OF_ENCAPSULATED_DOCUMENT = Tag(0x00420012)
_INLINE_LIMIT = 256 << 20
_WHOLE_IN_MEMORY = 1 << 20


def _form(request: Request) -> TagForm:
    """`?simplify`, `?short` or, by default, the full form."""
    if request.flag("simplify"):
        return TagForm.NAMES
    return TagForm.SHORT if request.flag("short") else TagForm.FULL


def _ignored_length(request: Request, dictionary: Dictionary) -> frozenset[Tag]:
    """`?ignore-length=PatientComments;0010,4000`: tags to print whatever their length."""
    argument = request.query.get("ignore-length", "")
    names = argument.split(";") if ";" in argument or dictionary_knows(dictionary, argument) else argument.split(",")
    return frozenset(dictionary.tag(name) for name in names if name)


def dictionary_knows(dictionary: Dictionary, name: str) -> bool:
    """Whether a name or number is a tag."""
    try:
        dictionary.tag(name)
    except UnknownDicomTag:
        return False
    return True


def _printed(services: Services, request: Request, data_set: DataSet, form: TagForm) -> dict[str, object]:
    dictionary = services.archive.dictionary
    if "ignore-length" in request.query:
        return _PRINTERS[form](data_set, dictionary, ignore_length=_ignored_length(request, dictionary))
    return _PRINTERS[form](data_set, dictionary)


def _id(request: Request) -> OrthancId:
    return OrthancId(request.params["id"])


# ---------------------------------------------------------------------------------------------------- one instance


def get_tags(services: Services, request: Request) -> Response:
    """GET /instances/{id}/tags."""
    header = read.header(services.archive, _id(request))
    return json(_printed(services, request, header.data_set, _form(request)))


def get_simplified_tags(services: Services, request: Request) -> Response:
    """GET /instances/{id}/simplified-tags."""
    header = read.header(services.archive, _id(request))
    return json(_printed(services, request, header.data_set, TagForm.NAMES))


def get_header(services: Services, request: Request) -> Response:
    """GET /instances/{id}/header."""
    header = read.header(services.archive, _id(request))
    return json(_printed(services, request, header.file_meta, _form(request)))


def get_content(services: Services, request: Request) -> Response:
    """GET /instances/{id}/content/…."""
    stored = read.attachment(services.archive, Level.INSTANCE, _id(request))
    path = [step for step in request.params.get("path", "").split("/") if step]
    try:
        found = content.lookup(_view(stored), path, services.archive.dictionary)
    except InexistentItem:
        return NOT_FOUND
    if isinstance(found, list):
        return json(found)
    if len(found) <= _WHOLE_IN_MEMORY:
        return Response(200, BINARY_TYPE, bytes(found))
    return Response(200, BINARY_TYPE, Stream(map(bytes, mapped.pieces(found)), len(found)))


def get_pdf(services: Services, request: Request) -> Response:
    """GET /instances/{id}/pdf."""
    data_set = read.header(services.archive, _id(request)).data_set
    document = data_set.get(_ENCAPSULATED_DOCUMENT)
    mime_type = data_set.get(_MIME_TYPE_OF_ENCAPSULATED_DOCUMENT)
    if document is None or mime_type is None or mime_type.value != "application/pdf":
        return NOT_FOUND
    stored = read.attachment(services.archive, Level.INSTANCE, _id(request))
    found = content.lookup(_view(stored), [format_tag(_ENCAPSULATED_DOCUMENT)])
    pdf = b"" if isinstance(found, list) else bytes(found)
    length = data_set.get(_ENCAPSULATED_DOCUMENT_LENGTH)
    if length is not None and isinstance(length.value, list) and length.value:
        pdf = pdf[: int(str(length.value[0]))]  # without the padding to an even length
    elif pdf.endswith(b"\0"):
        pdf = pdf[:-1]
    return Response(200, b"application/pdf", pdf, SANDBOX)


def get_file(services: Services, request: Request) -> Response:
    """GET /instances/{id}/file."""
    accept = request.header(b"accept") or ""
    if "application/dicom+json" in accept or "application/dicom+xml" in accept:
        model = _dicom_json(services, request)
        if "application/dicom+xml" in accept:
            return Response(200, b"application/dicom+xml", dicom_xml.from_json(model, services.archive.dictionary))
        return json(model, content_type=b"application/dicom+json")
    stored = read.attachment(services.archive, Level.INSTANCE, _id(request))
    name = content_disposition(filename_argument(request, _id(request) + ".dcm"))
    wanted = request.query.get("transcode")
    if wanted is not None:
        if wanted not in uids.transfer_syntaxes():
            raise ParameterOutOfRange(f"Unknown transfer syntax: {wanted}")
        if wanted != read.header(services.archive, _id(request)).transfer_syntax_uid:
            transcoding = rewriting.Transcoding(wanted, quality_argument(services, request))
            source = rewriting.copied(services.archive, stored)
            file = rewriting.transcoded(services.archive, source, services.codecs, transcoding, is_new=False)
            return spooled_response(file, DICOM_TYPE, (name,))
    return file_response(stored, DICOM_TYPE, (name,))


def quality_argument(services: Services, request: Request) -> int:
    """`?lossy-quality=` or what is configured.

    Raises:
        ParameterOutOfRange: not from 1 to 100.
    """
    value = request.query.get("lossy-quality")
    if value is None:
        return services.settings.lossy_quality
    if not (value.isascii() and value.isdigit() and len(value) < 4 and 1 <= int(value) <= 100):
        raise ParameterOutOfRange("lossy-quality must be from 1 to 100")
    return int(value)


def _dicom_json(services: Services, request: Request) -> dict[str, object]:
    """The DICOM JSON Model with everything inline (PS3.18 §F.2.7)."""
    header = read.header(services.archive, _id(request))
    stored = read.attachment(services.archive, Level.INSTANCE, _id(request))
    if stored.size > _INLINE_LIMIT:
        raise ParameterOutOfRange(f"{stored.size} bytes are too many for one JSON body")
    view = _view(stored)
    inflated = scanner.inflated(view)
    data = view if inflated is None else inflated
    bulks: dict[str, Bulk] = {}

    def place(_path: dicom_json.Path, bulk: Bulk) -> str:
        uri = f"{bulk.offset}:{bulk.length}"
        bulks[uri] = bulk
        return uri

    model = dicom_json.to_json(header.data_set, place)
    _inline(model, bulks, data)
    return model


def _inline(model: dict[str, object], bulks: Mapping[str, Bulk], data: memoryview | bytes) -> None:
    for attribute in model.values():
        assert isinstance(attribute, dict)
        uri = attribute.pop("BulkDataURI", None)
        if uri is not None:
            bulk = bulks[uri]
            value = data[bulk.offset : bulk.offset + bulk.length]
            if len(value):
                attribute["InlineBinary"] = base64.b64encode(value).decode()
        elif attribute.get("vr") == "SQ":
            for item in attribute.get("Value", ()):
                _inline(item, bulks, data)


def _view(stored: StoredAttachment) -> memoryview:
    """The bytes of a file, mapped where there is one."""
    path = stored.path()
    if path is None or stored.size == 0:
        return memoryview(stored.read())
    try:
        with open(path, "rb") as file:
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except FileNotFoundError:  # overwritten since: the index knows the new one
        return memoryview(stored.read())


# ---------------------------------------------------------------------------------------------------- many instances


def get_shared_tags(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/shared-tags: text that is the same in all instances."""
    form = _form(request)
    shared: dict[Tag, object] | None = None
    kept: DataSet = {}
    for _, header in read.headers_below(services.archive, level, _id(request)):
        texts = {tag: text for tag, text in _texts(header.data_set) if text is not None}
        if shared is None:
            shared, kept = dict(texts), header.data_set
        else:
            shared = {tag: value for tag, value in shared.items() if texts.get(tag) == value}
    common = {tag: element for tag, element in kept.items() if tag in (shared or {})}
    return json(_PRINTERS[form](common, services.archive.dictionary))


def _texts(data_set: DataSet) -> Iterable[tuple[Tag, str | None]]:
    return ((tag, json_tags.text_of(element)) for tag, element in data_set.items())


def get_instances_tags(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/instances-tags."""
    form = _form(request)
    return json(
        {
            orthanc_id: _printed(services, request, header.data_set, form)
            for orthanc_id, header in read.headers_below(services.archive, level, _id(request))
        }
    )


def get_module(level: Level, services: Services, request: Request) -> Response:
    """GET /{level}/{id}/module: the attributes of the module that stands for the level (PS3.3 §C.7, §C.12)."""
    return _module(level, level, services, request)


def get_patient_module(services: Services, request: Request) -> Response:
    """GET /studies/{id}/module-patient."""
    return _module(Level.STUDY, Level.PATIENT, services, request)


def _module(level: Level, module: Level, services: Services, request: Request) -> Response:
    archive = services.archive
    instance_id = _id(request)
    if level is not Level.INSTANCE:
        instance_id = next(iter(find.descendant_ids(archive, level, instance_id, Level.INSTANCE)), instance_id)
    else:
        find.get(archive, level, instance_id, Content.NOTHING)
    data_set = read.header(archive, instance_id).data_set
    wanted = MODULES[module]
    return json(
        _printed(services, request, {tag: value for tag, value in data_set.items() if tag in wanted}, _form(request))
    )
