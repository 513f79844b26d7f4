"""Unique identifiers."""

from __future__ import annotations

import pytest

from amonsul.dicom import uids


def test_transfer_syntaxes_say_how_data_sets_are_written() -> None:
    assert uids.transfer_syntax("1.2.840.10008.1.2").is_implicit
    assert not uids.transfer_syntax("1.2.840.10008.1.2").is_encapsulated
    assert uids.transfer_syntax("1.2.840.10008.1.2.2").is_big_endian
    deflated = uids.transfer_syntax("1.2.840.10008.1.2.1.99")
    assert (deflated.is_deflated, deflated.is_encapsulated, deflated.is_implicit) == (True, False, False)
    jpeg = uids.transfer_syntax("1.2.840.10008.1.2.4.50")
    assert (jpeg.is_encapsulated, jpeg.name) == (True, "JPEG Baseline (Process 1)")
    assert uids.transfer_syntax("1.2.840.10008.1.2.4.112").keyword == "JPEGXL"
    unknown = uids.transfer_syntax("1.2.3")
    assert (unknown.is_encapsulated, unknown.is_implicit, unknown.name) == (True, False, "Unknown")
    assert uids.transfer_syntax("1.2.840.10008.1.2.8.1").keyword == "DeflatedImageFrameCompression"
    assert len(uids.transfer_syntaxes()) == 63


def test_storage_sop_classes_are_those_that_instances_have() -> None:
    classes = uids.storage_sop_classes()
    assert classes["1.2.840.10008.5.1.4.1.1.2"] == "CTImageStorage"
    assert "1.2.840.10008.5.1.4.38.1" in classes  # hanging protocols are instances
    for other in (
        "1.2.840.10008.1.1",  # verification
        "1.2.840.10008.1.3.10",  # DICOMDIR
        "1.2.840.10008.1.20.1",  # storage commitment
        "1.2.840.10008.5.1.4.1.2.1.1",  # C-FIND
        "1.2.840.10008.5.1.4.1.1.200.4",  # C-FIND of protocols
        "1.2.840.10008.5.1.4.1.1.201.5",  # inventory creation
    ):
        assert other not in classes
    assert len(classes) > 190


def test_uids_have_names() -> None:
    assert uids.name_of("1.2.840.10008.1.1") == "Verification SOP Class"
    assert uids.name_of("1.2.3") is None


@pytest.mark.parametrize("uid", ["1.2.840.10008.1.1", "0", "2.25.0", "1." + "2" * 62])
def test_uids_are_recognised(uid: str) -> None:
    assert uids.is_valid(uid)


@pytest.mark.parametrize("uid", ["", ".", "1.", "1..2", "01.2", "1.02", "1.2 ", "1.2\n", "1.a", "1.²", "1." + "2" * 63])
def test_what_is_no_uid_is_recognised(uid: str) -> None:
    assert not uids.is_valid(uid)


def test_new_uids_are_valid_and_different() -> None:
    made = {uids.new_uid() for _ in range(100)}
    assert len(made) == 100
    assert all(map(uids.is_valid, made))
