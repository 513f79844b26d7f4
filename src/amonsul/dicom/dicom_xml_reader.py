"""The Native DICOM Model (PS3.19 §A.1) read into the DICOM JSON Model.

The XML comes from outside. A document type declaration is refused, so there are no entities to expand and nothing is
ever fetched; depth and the number of elements are bounded.
"""

from __future__ import annotations

from collections.abc import Mapping
from xml.parsers import expat

from amonsul.dicom import vrs
from amonsul.errors import BadFileFormat

MAX_DEPTH = 256
MAX_ELEMENTS = 1_000_000

_COMPONENTS = ("FamilyName", "GivenName", "MiddleName", "NamePrefix", "NameSuffix")
_GROUPS = ("Alphabetic", "Ideographic", "Phonetic")


def to_json(data: bytes) -> dict[str, object]:
    """Read one data set.

    Raises:
        BadFileFormat: not XML, with a document type, or no Native DICOM Model.
    """
    reader = _Reader()
    parser = expat.ParserCreate(namespace_separator=" ")
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    parser.CharacterDataHandler = reader.text
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.ExternalEntityRefHandler = _refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise BadFileFormat(f"not XML: {expat.ErrorString(error.code)}") from None
    return reader.model()


def _refuse(*_: object) -> int:
    raise BadFileFormat("XML with a document type declaration is not read")


class _Open:
    """An element that has begun."""

    __slots__ = ("attributes", "children", "name", "texts")

    def __init__(self, name: str, attributes: Mapping[str, str]) -> None:
        self.name = name
        self.attributes = attributes
        self.children: list[_Open] = []
        self.texts: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self.texts)


class _Reader:
    def __init__(self) -> None:
        self._root = _Open("", {})
        self._open = [self._root]
        self._count = 0

    def start(self, name: str, attributes: Mapping[str, str]) -> None:
        self._count += 1
        if len(self._open) > MAX_DEPTH or self._count > MAX_ELEMENTS:
            raise BadFileFormat("too much, or too deeply nested XML")
        element = _Open(name.rpartition(" ")[2], attributes)
        self._open[-1].children.append(element)
        self._open.append(element)

    def end(self, _name: str) -> None:
        self._open.pop()

    def text(self, text: str) -> None:
        self._open[-1].texts.append(text)

    def model(self) -> dict[str, object]:
        (root,) = self._root.children
        if root.name != "NativeDicomModel":
            raise BadFileFormat("the XML is no Native DICOM Model")
        return _data_set(root)


def _data_set(parent: _Open) -> dict[str, object]:
    model: dict[str, object] = {}
    for element in parent.children:
        if element.name != "DicomAttribute":
            raise BadFileFormat("an element of the Native DICOM Model is unknown")
        tag, vr = element.attributes.get("tag", "").upper(), element.attributes.get("vr", "")
        if tag in model:
            raise BadFileFormat(f"attribute {tag[:8]} is given twice")
        model[tag] = _attribute(element, vr)
    return model


def _attribute(element: _Open, vr: str) -> dict[str, object]:
    written: dict[str, object] = {"vr": vr}
    values: dict[int, object] = {}
    for child in element.children:
        match child.name:
            case "Value":
                values[_number(child)] = _value(vr, child.text)
            case "PersonName":
                values[_number(child)] = _person_name(child)
            case "Item":
                values[_number(child)] = _data_set(child)
            case "InlineBinary":
                written["InlineBinary"] = "".join(child.text.split())
            case "BulkData":
                attributes = child.attributes
                written["BulkDataURI"] = attributes.get("uri") or attributes.get("URI") or attributes.get("uuid", "")
            case _:
                raise BadFileFormat("an element of the Native DICOM Model is unknown")
    if values:
        last = max(values)
        if last > 2 * len(values) + 1000:
            raise BadFileFormat("the values of an attribute are numbered wrongly")
        written["Value"] = [values.get(number) for number in range(1, last + 1)]
    return written


def _number(element: _Open) -> int:
    text = element.attributes.get("number", "")
    if not text.isascii() or not text.isdigit() or len(text) > 9 or int(text) < 1:
        raise BadFileFormat("a value in the Native DICOM Model has no number")
    return int(text)


def _value(vr: str, text: str) -> object:
    if not text:
        return None
    try:
        if vr in vrs.INTEGERS or vr == "IS":
            return int(text[:24])
        if vr in vrs.REALS:
            return float(text[:64])
    except ValueError:
        raise BadFileFormat(f"a value is none of VR {vr}") from None
    return text


def _person_name(element: _Open) -> object:
    groups: dict[str, object] = {}
    for group in element.children:
        if group.name not in _GROUPS:
            raise BadFileFormat("a person name in the Native DICOM Model is malformed")
        parts = {part.name: part.text for part in group.children}
        groups[group.name] = "^".join(parts.get(name, "") for name in _COMPONENTS).rstrip("^")
    return {group: name for group, name in groups.items() if name} or None
