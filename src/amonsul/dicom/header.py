"""The header of an instance: all it says except its bulk, in the form in which it is kept and asked for.

The scanner makes it once at ingest; the index keeps it packed, one row per instance; `/tags`, DICOM JSON metadata
and searches on any attribute are answered from it, without opening the file. Packing is orjson and a fast deflate.
"""

from __future__ import annotations

from dataclasses import dataclass

from amonsul.dicom.elements import DataSet


@dataclass(frozen=True, slots=True)
class Header:
    """What a file says, but its bulk.

    Attributes:
        transfer_syntax_uid: of the data set; found out from the bytes if the file has no meta header.
        file_meta: group 0002, empty if the file has none.
        data_set: everything else, up to the end of the file.
        pixel_data_offset: of the first byte of the tag of (7FE0,0008), (7FE0,0009) or (7FE0,0010), in the file (in the
            inflated stream if deflated); None without pixel data.
        pixel_data_vr: VR of the same element.
    """

    transfer_syntax_uid: str
    file_meta: DataSet
    data_set: DataSet
    pixel_data_offset: int | None = None
    pixel_data_vr: str | None = None


def encode_header(header: Header) -> bytes:
    """Pack a header; `decode_header` gives an equal one back."""
    raise NotImplementedError


def decode_header(packed: bytes) -> Header:
    """Unpack what `encode_header` made.

    Raises:
        InternalError: `packed` was not made by it.
    """
    raise NotImplementedError
