"""The attributes that follow when pixels are written in another way (PS3.3 §C.7.6.3, §C.7.6.1.1, §C.12.4)."""

from __future__ import annotations

from pydicom.config import IGNORE
from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence as ItemSequence
from pydicom.tag import BaseTag

from amonsul.dicom.uids import new_uid
from amonsul.imaging.pixels import Pixels
from amonsul.imaging.rewriting import SOP_CLASS_UID, SOP_INSTANCE_UID, element_of, sop_instance_uid_of
from amonsul.imaging.syntaxes import (
    JPEG_BASELINE,
    JPEG_EXTENDED,
    JPEG_LOSSLESS,
    JPEG_LOSSLESS_SV1,
    JPEG_LS_NEAR_LOSSLESS,
    NEAR_LOSSLESS_ERROR,
    Writable,
)

OFFSET_TABLES = (0x7FE00001, 0x7FE00002)
_ENCAPSULATED_PIXEL_DATA_VALUE_TOTAL_LENGTH = 0x7FE00003
_PALETTE = (
    *(0x00281101, 0x00281102, 0x00281103, 0x00281199, 0x00281201, 0x00281202, 0x00281203),
    *(0x00281221, 0x00281222, 0x00281223),
    # smallest and largest value, padding value and limit: indices, too
    *(0x00280106, 0x00280107, 0x00280120, 0x00280121),
)


def set_element(data_set: Dataset, tag: int, vr: str, value: object) -> None:
    """Put an element in, in place of whatever there was."""
    data_set[BaseTag(tag)] = DataElement(tag, vr, value, validation_mode=IGNORE)


def describe_samples(data_set: Dataset, pixels: Pixels, photometric_interpretation: str, bits_allocated: int) -> None:
    """Make the Image Pixel module say what the samples of a frame are now.

    Args:
        data_set: to be changed.
        pixels: one frame.
        photometric_interpretation: as it is written, e.g. YBR_FULL_422 for RGB samples in a JPEG frame.
        bits_allocated: as it is written.
    """
    tables = [*OFFSET_TABLES, _ENCAPSULATED_PIXEL_DATA_VALUE_TOTAL_LENGTH]
    element = element_of(data_set, 0x00280004)
    was_palette = element is not None and str(element.value).strip() == "PALETTE COLOR"
    for tag in [*tables, *_PALETTE] if was_palette and photometric_interpretation != "PALETTE COLOR" else tables:
        data_set.pop(BaseTag(tag), None)
    if pixels.samples.ndim == 3:
        set_element(data_set, 0x00280006, "US", 0)
    set_element(data_set, 0x00280002, "US", 3 if pixels.samples.ndim == 3 else 1)
    set_element(data_set, 0x00280004, "CS", photometric_interpretation)
    set_element(data_set, 0x00280100, "US", bits_allocated)
    set_element(data_set, 0x00280101, "US", pixels.bits)
    set_element(data_set, 0x00280102, "US", pixels.bits - 1)
    set_element(data_set, 0x00280103, "US", 1 if pixels.samples.dtype.kind == "i" else 0)


def tell_compression(
    data_set: Dataset,
    transfer_syntax_uid: str,
    writable: Writable,
    bits: int,
    ratio: float,
    quality: int,
    is_new_instance: bool,
) -> None:
    """Say how the pixels were compressed, and what was lost by it.

    Args:
        data_set: to be changed.
        transfer_syntax_uid: that the pixels are written in now.
        writable: what is known of it.
        bits: of a sample.
        ratio: of uncompressed to compressed bytes.
        quality: that was asked for.
        is_new_instance: if something was lost, the data set gets a SOP Instance UID of its own.
    """
    if transfer_syntax_uid in (JPEG_LOSSLESS, JPEG_LOSSLESS_SV1):
        value = 1 if transfer_syntax_uid == JPEG_LOSSLESS_SV1 else 6
        derived = (
            f"Lossless JPEG compression, selection value {value}, point transform 0, compression ratio {ratio:.5g}"
        )
        _describe_derivation(data_set, derived)
    if not writable.is_lossy:
        return
    _describe_derivation(data_set, _loss(transfer_syntax_uid, writable, bits, ratio, quality))
    set_element(data_set, 0x00282110, "CS", "01")
    _append(data_set, 0x00282112, "DS", f"{ratio:.5g}")
    _append(data_set, 0x00282114, "CS", writable.method)
    image_type = _values(data_set, 0x00080008) or ["", "SECONDARY"]
    set_element(data_set, 0x00080008, "CS", ["DERIVED", *image_type[1:]])
    _append_item(data_set, 0x00089215, _code("113040", "Lossy Compression"))
    if is_new_instance:
        original = Dataset()
        set_element(original, 0x00081150, "UI", "".join(_values(data_set, SOP_CLASS_UID)[:1]))
        set_element(original, 0x00081155, "UI", sop_instance_uid_of(data_set))
        set_element(original, 0x0040A170, "SQ", ItemSequence([_code("121320", "Uncompressed predecessor")]))
        _append_item(data_set, 0x00082112, original)
        set_element(data_set, SOP_INSTANCE_UID, "UI", new_uid())


def _loss(transfer_syntax_uid: str, writable: Writable, bits: int, ratio: float, quality: int) -> str:
    if transfer_syntax_uid == JPEG_LS_NEAR_LOSSLESS:
        return f"near lossless JPEG-LS compression, factor {ratio:.5g} (NEAR={NEAR_LOSSLESS_ERROR})"
    how = f"Lossy compression with {writable.description}"
    if transfer_syntax_uid == JPEG_EXTENDED:
        how += f" {8 if bits <= 8 else 12} bit"
    is_jpeg = transfer_syntax_uid in (JPEG_BASELINE, JPEG_EXTENDED)
    return f"{how}, {'IJG quality factor' if is_jpeg else 'quality'} {quality}, compression ratio {ratio:.5g}"


def _describe_derivation(data_set: Dataset, how: str) -> None:
    before = "\\".join(_values(data_set, 0x00082111))
    set_element(data_set, 0x00082111, "ST", f"{how} [{before}]"[:1024] if before else how)


def _values(data_set: Dataset, tag: int) -> list[str]:
    element = element_of(data_set, tag)
    if element is None or element.value in (None, ""):
        return []
    return [str(part) for part in element.value] if element.VM > 1 else [str(element.value)]


def _append(data_set: Dataset, tag: int, vr: str, value: str) -> None:
    set_element(data_set, tag, vr, [*_values(data_set, tag), value])


def _append_item(data_set: Dataset, tag: int, item: Dataset) -> None:
    element = element_of(data_set, tag)
    items = list(element.value) if element is not None and element.VR == "SQ" else []
    set_element(data_set, tag, "SQ", ItemSequence([*items, item]))


def _code(value: str, meaning: str) -> Dataset:
    """A coded entry of the DICOM controlled terminology (PS3.3 §8.8)."""
    item = Dataset()
    for tag, vr, text in ((0x00080100, "SH", value), (0x00080102, "SH", "DCM"), (0x00080104, "LO", meaning)):
        set_element(item, tag, vr, text)
    return item
