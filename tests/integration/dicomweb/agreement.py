"""What /metadata says of a file, beside what DCMTK's dcm2json says of it.

`python -m tests.integration.dicomweb.agreement FOLDER…` counts the differences over folders of files by their reason,
and prints those that have none.
"""

from __future__ import annotations

import base64
import json
import math
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from amonsul.dicom import content
from amonsul.dicom.dicom_json import Models
from amonsul.dicom.elements import Bulk, Tag
from amonsul.dicom.header import Header, decode_header, encode_header
from amonsul.dicom.scanner import scan
from amonsul.dicom.uids import transfer_syntax
from amonsul.errors import AmonsulError
from amonsul.web.dicomweb.metadata import model_of
from amonsul.web.dicomweb.settings import OtherBinary

Attribute = Mapping[str, object]
Model = Mapping[str, Attribute]

CHARACTER_SET = "Specific Character Set is that of the file"
DECIMAL_TEXT = "decimal strings are strings"
DIGITS = "floats have all their digits"
PADDING = "padding is no part of a value"
CARETS = "person names keep the carets at their end"
LEADING_BLANKS = "blanks at the beginning are kept"
UNKNOWN_VR = "UN has the VR of the dictionary"
TRAILING_PADDING = "Data Set Trailing Padding is left out"
ITEM_CHARACTER_SET = "an item may name a character set of its own"
BULK = "binary values are bulk data"

_PIXEL_DATA = Tag(0x7FE00010)


@dataclass(frozen=True)
class Difference:
    """One attribute of which the two say different things; `reason` is empty if none is known."""

    path: tuple[str, ...]
    ours: Attribute | None
    theirs: Attribute | None
    reason: str


def differences(file: Path) -> list[Difference] | None:
    """What the two say differently of a file; None if one of them does not read it.

    Compressed pixel data is left out for both: dcm2json does not write it.
    """
    data = file.read_bytes()
    try:
        header = decode_header(encode_header(scan(data)))
    except AmonsulError:
        return None
    ours = _model(header)
    pixels = header.data_set.get(_PIXEL_DATA)
    end = len(data)
    if (
        pixels is not None
        and isinstance(pixels.value, Bulk)
        and transfer_syntax(header.transfer_syntax_uid).is_encapsulated
    ):
        ours = {tag: attribute for tag, attribute in ours.items() if tag < "7FE00010"}
        end = pixels.value.offset - 12
    theirs = _dcm2json(data[:end])
    if theirs is None:
        return None
    return list(_compare(ours, theirs, memoryview(data), ()))


def _model(header: Header) -> Model:
    found: Model = json.loads(json.dumps(model_of(Models(), header, "http://server", OtherBinary.BULK_DATA_URI)))
    return found


def _dcm2json(data: bytes) -> Model | None:
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        done = subprocess.run(["dcm2json", "-q", "-fc", "--encode-extended", file.name], capture_output=True)
    try:
        found: Model = json.loads(done.stdout.decode("utf-8", "replace"), strict=False)
    except ValueError:
        return None
    return found


def _compare(ours: Model, theirs: Model, data: memoryview, path: tuple[str, ...]) -> Iterator[Difference]:
    for tag in sorted(ours.keys() | theirs.keys()):
        here = (*path, tag)
        left, right = ours.get(tag), theirs.get(tag)
        if left is None or right is None:
            yield Difference(here, left, right, TRAILING_PADDING if tag == "FFFCFFFC" else "")
        elif left["vr"] == right["vr"] == "SQ" and len(_items(left)) == len(_items(right)):
            for number, (item, other) in enumerate(zip(_items(left), _items(right), strict=True)):
                yield from _compare(item, other, data, (*here, str(number)))
        elif left != right:
            yield Difference(here, left, right, _reason(left, right, data, here))


def _items(attribute: Attribute) -> list[Model]:
    items = attribute.get("Value", [])
    assert isinstance(items, list)
    return items


def _reason(ours: Attribute, theirs: Attribute, data: memoryview, path: tuple[str, ...]) -> str:
    vr = ours["vr"]
    if path[-1] == "00080005" and theirs.get("Value") == ["ISO_IR 192"]:
        return CHARACTER_SET
    if vr != theirs["vr"]:
        return UNKNOWN_VR if theirs["vr"] == "UN" else ""
    if "BulkDataURI" in ours:
        mine, other = _bulk(data, path), base64.b64decode(str(theirs.get("InlineBinary", "")))
        return BULK if mine == other else PADDING if mine == other.rstrip(b"\0") else ""
    left, right = ours.get("Value", []), theirs.get("Value", [])
    assert isinstance(left, list)
    assert isinstance(right, list)
    unpadded = [one.rstrip("\0 ") if isinstance(one, str) else one for one in right]
    if vr == "PN" and _without_carets(left) == _without_carets(right):
        return CARETS
    if vr in ("DS", "IS") and _numbers(left) == _numbers(unpadded):
        return DECIMAL_TEXT if unpadded == right else PADDING
    if vr in ("FL", "FD") and len(left) == len(right):
        precision = 1e-7 if vr == "FL" else 1e-15
        same = all(math.isclose(one, other, rel_tol=precision) for one, other in zip(left, right, strict=True))
        return DIGITS if same else ""
    if left == unpadded:
        return PADDING
    if [one.strip(" ") if isinstance(one, str) else one for one in left] == unpadded:
        return LEADING_BLANKS
    if len(path) > 1 and "�" in json.dumps(right, ensure_ascii=False):
        return ITEM_CHARACTER_SET
    return ""


def _bulk(data: memoryview, path: tuple[str, ...]) -> bytes:
    found = content.lookup(data, [*path])
    if isinstance(found, list):
        found = content.lookup(data, [*path, "0"])
    assert isinstance(found, memoryview)
    return bytes(found)


def _numbers(values: list[object]) -> list[float | str]:
    read: list[float | str] = []
    for value in values:
        try:
            read.append(float(str(value)))
        except ValueError:
            read.append(str(value))
    return read


def _without_carets(names: list[object]) -> list[dict[str, str]]:
    return [
        kept
        for name in names
        if isinstance(name, dict)
        and (kept := {group: text.rstrip("^") for group, text in name.items() if text.rstrip("^")})
    ]


def main(folders: list[str]) -> None:
    """Print what differs over folders of files."""
    reasons: Counter[str] = Counter()
    read = unread = 0
    for file in sorted(file for folder in folders for file in Path(folder).rglob("*") if file.is_file()):
        found = differences(file)
        if found is None:
            unread += 1
            continue
        read += 1
        for one in found:
            reasons[one.reason] += 1
            if not one.reason:
                print(file.name, "/".join(one.path), str(one.ours)[:200], str(one.theirs)[:200])
    print(f"{read} files are read by both, {unread} are not")
    for reason, count in reasons.most_common():
        print(f"{count:8} {reason or 'for no known reason'}")


if __name__ == "__main__":
    main(sys.argv[1:])
