"""What compressed frames say of themselves: size, precision and colour transform, read from their marker segments.

Only headers are read and nothing is decoded, so that a frame of 65535 × 65535 is refused before a codec sees it, and
the colour of a JPEG frame is known for certain (ITU-T T.81 §B.2, ITU-T T.87 §C.2, ITU-T T.800 §A.5).
"""

from __future__ import annotations

from dataclasses import dataclass

from amonsul.errors import BadFileFormat

_MAX_SEGMENTS = 1000


@dataclass(frozen=True, slots=True)
class JpegHeader:
    """Of a JPEG or JPEG-LS frame.

    Attributes:
        process: low byte of the SOF marker: 0xC0 baseline … 0xC3 lossless, 0xF7 JPEG-LS.
        component_ids: as in the frame header, e.g. (1, 2, 3) or the letters R, G and B.
        adobe_transform: of an Adobe APP14 segment: 0 none (RGB), 1 YCbCr; None without such a segment.
        is_jfif: there is a JFIF segment, which means YCbCr.
    """

    process: int
    precision: int
    rows: int
    columns: int
    component_ids: tuple[int, ...]
    adobe_transform: int | None
    is_jfif: bool

    @property
    def is_rgb(self) -> bool | None:
        """Whether three components are RGB and not YCbCr; None if the frame does not say."""
        if self.adobe_transform is not None:
            return self.adobe_transform == 0
        if self.is_jfif:
            return False
        return True if self.component_ids == (0x52, 0x47, 0x42) else None


@dataclass(frozen=True, slots=True)
class Jpeg2000Header:
    """Of a JPEG 2000 or HTJ2K codestream.

    Attributes:
        start: of the codestream, behind the boxes of a JP2 file if there are any.
        has_component_transform: the decoder turns YCbCr into RGB by itself (COD, multiple component transform).
    """

    start: int
    precision: int
    is_signed: bool
    rows: int
    columns: int
    components: int
    has_component_transform: bool
    is_reversible: bool


def jpeg_header(frame: memoryview | bytes) -> JpegHeader:
    """Read up to the first scan of a JPEG or JPEG-LS frame.

    Raises:
        BadFileFormat: it is not one, or is cut off before its first scan.
    """
    if bytes(frame[:2]) != b"\xff\xd8":
        raise BadFileFormat("A frame does not begin with the SOI marker of JPEG")
    position, adobe_transform, is_jfif = 2, None, False
    for _ in range(_MAX_SEGMENTS):
        while bytes(frame[position : position + 2]) == b"\xff\xff":
            position += 1  # fill bytes (T.81 §B.1.1.2)
        head = bytes(frame[position : position + 4])
        if len(head) < 4 or head[0] != 0xFF:
            break
        marker, length = head[1], int.from_bytes(head[2:4], "big")
        body = bytes(frame[position + 4 : position + 2 + min(length, 2048)])
        if (0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)) or marker == 0xF7:
            if len(body) < 6 or len(body) < 6 + 3 * body[5]:
                break
            return JpegHeader(
                process=marker,
                precision=body[0],
                rows=int.from_bytes(body[1:3], "big"),
                columns=int.from_bytes(body[3:5], "big"),
                component_ids=tuple(body[6 : 6 + 3 * body[5] : 3]),
                adobe_transform=adobe_transform,
                is_jfif=is_jfif,
            )
        if marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12:
            adobe_transform = body[11]
        elif marker == 0xE0 and body.startswith(b"JFIF\0"):
            is_jfif = True
        elif marker in (0xDA, 0xD9):
            break
        position += 2 + length
    raise BadFileFormat("A JPEG frame has no frame header")


def jpeg2000_header(frame: memoryview | bytes) -> Jpeg2000Header:
    """Read the main header of a JPEG 2000 or HTJ2K codestream.

    Raises:
        BadFileFormat: it is not one.
    """
    start = _codestream_start(frame)
    if bytes(frame[start : start + 4]) != b"\xff\x4f\xff\x51":
        raise BadFileFormat("A frame does not begin with the SOC and SIZ markers of JPEG 2000")
    size = bytes(frame[start + 4 : start + 4 + 38 + 3 * 4])
    if len(size) < 41:
        raise BadFileFormat("A JPEG 2000 frame is cut off in its header")
    x1, y1, x0, y0 = (int.from_bytes(size[at : at + 4], "big") for at in (4, 8, 12, 16))
    components = int.from_bytes(size[36:38], "big")
    depth = size[38]
    position = start + 4 + int.from_bytes(size[:2], "big")
    for _ in range(_MAX_SEGMENTS):
        head = bytes(frame[position : position + 4])
        if len(head) < 4 or head[0] != 0xFF or head[1] == 0x90:
            break
        body = bytes(frame[position + 4 : position + 18])
        if head[1] == 0x52 and len(body) >= 10:
            return Jpeg2000Header(
                start=start,
                precision=(depth & 0x7F) + 1,
                is_signed=bool(depth & 0x80),
                rows=y1 - y0,
                columns=x1 - x0,
                components=components,
                has_component_transform=body[4] == 1,
                is_reversible=body[9] == 1,
            )
        position += 2 + int.from_bytes(head[2:4], "big")
    raise BadFileFormat("A JPEG 2000 frame has no coding style")


def _codestream_start(frame: memoryview | bytes) -> int:
    """Behind the boxes of a JP2 file, which DICOM does not allow and some write (ITU-T T.800 §I.4)."""
    if bytes(frame[4:12]) != b"jP  \r\n\x87\n":
        return 0
    position = 0
    for _ in range(100):
        head = bytes(frame[position : position + 16])
        if len(head) < 8:
            break
        length = int.from_bytes(head[:4], "big")
        header_length = 16 if length == 1 else 8
        if head[4:8] == b"jp2c":
            return position + header_length
        if length == 1:
            length = int.from_bytes(head[8:16], "big")
        if length < header_length:
            break
        position += length
    raise BadFileFormat("A JP2 file without codestream")
