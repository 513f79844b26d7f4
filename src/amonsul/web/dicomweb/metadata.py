"""WADO-RS metadata (PS3.18 §10.4.1.1.2), from the stored headers.

What an instance says in the JSON model is made once and kept for a while, under the packed header itself: a header that
changed is another one, so nothing that is kept can be out of date. URLs of bulk data depend on how the client called
this server; a mark that no file can know stands for them until the answer is written.
"""

from __future__ import annotations

import base64
import secrets
import struct
import threading
from collections import OrderedDict, deque
from collections.abc import Iterator, Mapping, Sequence

import orjson

from amonsul.archive import find, read
from amonsul.archive.find import Content, Resource
from amonsul.dicom import dicom_json, dicom_xml
from amonsul.dicom.elements import Bulk, Element, Tag
from amonsul.dicom.header import Header, HeaderReader
from amonsul.dicom.levels import Level
from amonsul.web.dicomweb.addresses import base_url, bulk_url, url_of
from amonsul.web.dicomweb.locate import lowest_level, named_resources
from amonsul.web.dicomweb.negotiation import DICOM_JSON, DICOM_XML, NotAcceptable, Part, multipart_response, wants_xml
from amonsul.web.dicomweb.settings import MetadataMode, OtherBinary
from amonsul.web.services import Services
from amonsul.web.values import Request, Response, Stream

_CACHED_BYTES = 24 << 20
_WHOLE = 256
"""Instances whose metadata are one piece; more are sent while they are made."""
_MARK = f"bulk-{secrets.token_hex(16)}:"
_MARK_BYTES = _MARK.encode()


class _Kept:
    """Texts by packed header, the least used ones forgotten."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._lock = threading.Lock()
        self._texts: OrderedDict[tuple[OtherBinary, bytes], bytes] = OrderedDict()
        self._size = 0

    def get(self, key: tuple[OtherBinary, bytes]) -> bytes | None:
        with self._lock:
            found = self._texts.get(key)
            if found is not None:
                self._texts.move_to_end(key)
            return found

    def put(self, key: tuple[OtherBinary, bytes], text: bytes) -> None:
        size = len(text) + len(key[1])
        if size > self._limit // 64:
            return
        with self._lock:
            if key not in self._texts:
                self._texts[key] = text
                self._size += size
            while self._size > self._limit:
                (_, packed), forgotten = self._texts.popitem(last=False)
                self._size -= len(packed) + len(forgotten)


_KEPT = _Kept(_CACHED_BYTES)
_WRITERS: Mapping[OtherBinary, deque[tuple[HeaderReader, dicom_json.Models]]] = {
    mode: deque(maxlen=8) for mode in OtherBinary
}
"""Those that no request uses: the next series may well resemble the one that they wrote last."""
_MAX_REMEMBERED = 16 << 10
"""Bytes of a packed header that a writer may remember meanwhile; as objects it is some hundred times as large."""


def get_metadata(services: Services, request: Request) -> Response:
    """GET {root}/studies/{study}/metadata and below."""
    as_xml = wants_xml(request, default=None)
    if as_xml is None:
        raise NotAcceptable("metadata are sent as application/dicom+json, or in parts of application/dicom+xml")
    settings = services.settings.dicom_web
    level = lowest_level(request.params)
    found = named_resources(services.archive, request.params)
    base = base_url(services, request)
    mode = {Level.STUDY: settings.studies_metadata, Level.SERIES: settings.series_metadata}.get(level)
    if mode is MetadataMode.MAIN_DICOM_TAGS:
        models = _main_tags(services, found)
        if as_xml:
            return multipart_response(DICOM_XML, (_xml_part(services, model) for model in models))
        return Response(200, DICOM_JSON.encode(), orjson.dumps(list(models)))
    if as_xml:
        return multipart_response(DICOM_XML, _xml_parts(services, found, base))
    texts = _texts(services, found, base)
    if sum(max(one.number_of_instances, 1) for one in found) <= _WHOLE:
        return Response(200, DICOM_JSON.encode(), b"[" + b",".join(texts) + b"]")
    return Response(200, DICOM_JSON.encode(), Stream(_array(texts), None))


def _array(texts: Iterator[bytes]) -> Iterator[bytes]:
    """A JSON array in large pieces."""
    pending, size, separator = [b"["], 0, b""
    for text in texts:
        pending += (separator, text)
        separator = b","
        size += len(text)
        if size > 256 << 10:
            yield b"".join(pending)
            pending, size = [], 0
    yield b"".join((*pending, b"]"))


def _texts(services: Services, found: Sequence[Resource], base: str) -> Iterator[bytes]:
    mode = services.settings.dicom_web.other_binary
    own = base.encode()
    try:
        reader, models = _WRITERS[mode].pop()
    except IndexError:
        reader, models = HeaderReader(), dicom_json.Models()
    remembered = 0
    try:
        for resource in found:
            for packed in read.packed_headers_below(services.archive, resource.level, resource.orthanc_id):
                key = (mode, packed)
                text = _KEPT.get(key)
                if text is None:
                    remembered = len(packed)
                    text = orjson.dumps(model_of(models, reader.read(packed), _MARK, mode))
                    _KEPT.put(key, text)
                yield text.replace(_MARK_BYTES, own)
    finally:
        if remembered <= _MAX_REMEMBERED:
            _WRITERS[mode].append((reader, models))


def _xml_parts(services: Services, found: Sequence[Resource], base: str) -> Iterator[Part]:
    mode = services.settings.dicom_web.other_binary
    reader, models = HeaderReader(), dicom_json.Models()
    for resource in found:
        for packed in read.packed_headers_below(services.archive, resource.level, resource.orthanc_id):
            yield _xml_part(services, model_of(models, reader.read(packed), base, mode))


def _xml_part(services: Services, model: Mapping[str, object]) -> Part:
    return Part((("Content-Type", DICOM_XML),), (dicom_xml.from_json(model, services.archive.dictionary),))


def model_of(models: dicom_json.Models, header: Header, base: str, mode: OtherBinary) -> dict[str, object]:
    """The data set of an instance in the JSON model, its bulk as URLs below `base`."""
    data_set = header.data_set
    url = url_of(base, data_set)

    def uri(path: dicom_json.Path, _bulk: Bulk | None = None) -> str:
        return bulk_url(url, path)

    if mode is OtherBinary.BULK_DATA_URI:
        return models.of(data_set, uri, uri)
    model = models.of(data_set, uri)
    return _with_arrays(model) if mode is OtherBinary.ARRAY_OF_VALUES else model


def _with_arrays(model: Mapping[str, object]) -> dict[str, object]:
    """The same with numbers that are base64 as numbers."""
    return {
        name: _as_array(attribute) if isinstance(attribute, dict) else attribute for name, attribute in model.items()
    }


def _as_array(attribute: dict[str, object]) -> dict[str, object]:
    vr = attribute.get("vr")
    match attribute:
        case {"vr": "OF" | "OD", "InlineBinary": str(text)}:
            data = base64.b64decode(text)
            size, code = (4, "f") if vr == "OF" else (8, "d")
            return {"vr": vr, "Value": list(struct.unpack(f"<{len(data) // size}{code}", data))}
        case {"vr": "SQ", "Value": list(items)}:
            return {"vr": vr, "Value": [_with_arrays(item) for item in items]}
        case _:
            return attribute


def _main_tags(services: Services, found: Sequence[Resource]) -> Iterator[dict[str, object]]:
    """Only what the index knows of each instance (option `MainDicomTags`)."""
    archive = services.archive
    for resource in found:
        level, orthanc_id = resource.level, resource.orthanc_id
        for one in find.descendants(archive, level, orthanc_id, Level.INSTANCE, Content.PARENT_TAGS):
            values = {
                **one.patient_main_tags,
                **one.study_main_tags,
                **one.series_main_tags,
                **one.main_tags,
                Tag(0x00080016): one.sop_class_uid,
            }
            yield {
                f"{tag:08X}": dicom_json.attribute(
                    Element("LO", text)
                    if (vr := archive.dictionary.vr(tag)) == "SQ"
                    else dicom_json.element_of_text(vr, text)
                )
                for tag, text in sorted(values.items())
            }
