"""`data:` URIs (RFC 2397): binary values in JSON bodies."""

from __future__ import annotations

import binascii
import re
from typing import NamedTuple

from amonsul.errors import BadFileFormat

_HEAD = re.compile(r"data:([^;,]*)((?:;[^;,]+)*),", re.IGNORECASE)


class DataUri(NamedTuple):
    """A decoded URI."""

    mime_type: str
    """In lower case, without parameters; may be empty."""
    data: bytes


def is_data_uri(text: str) -> bool:
    """Whether the text has the form `data:…;base64,…`."""
    head = _HEAD.match(text[:256])
    return head is not None and _is_base64(head[2])


def parse_data_uri(text: str) -> DataUri:
    """Decode a URI.

    Raises:
        BadFileFormat: no data URI, not in base64, or bad base64.
    """
    head = _HEAD.match(text[:256])
    if head is None or not _is_base64(head[2]):
        raise BadFileFormat("a data URI with base64 is expected")
    try:
        encoded = text[head.end() :].encode("ascii").translate(None, b" \t\r\n")
        data = binascii.a2b_base64(encoded, strict_mode=True)
    except (binascii.Error, UnicodeEncodeError):
        raise BadFileFormat("bad base64 in a data URI") from None
    return DataUri(head[1].strip().lower(), data)


def _is_base64(parameters: str) -> bool:
    return parameters.lower().endswith(";base64")
