"""Metadata agree with those of DCMTK's dcm2json, but for what docs/dicomweb.md lists."""

from __future__ import annotations

import io
from pathlib import Path

import pydicom.data
import pytest
from pydicom import dcmread

from tests.integration.dicomweb import agreement
from tests.integration.dicomweb.agreement import differences
from tests.integration.rest.dicom_files import dicom_file

_PACKAGED = Path(pydicom.data.__file__).parent
_DOCUMENT = Path(__file__).parents[3] / "docs" / "dicomweb.md"


@pytest.mark.parametrize("folder", ["test_files", "charset_files"])
def test_metadata_say_what_dcmtk_says(folder: str) -> None:
    found = {file.name: differences(file) for file in sorted((_PACKAGED / folder).glob("*.dcm"))}
    read = [one for one in found.values() if one is not None]
    assert len(read) > 0.6 * len(found)  # dcm2json does not know every character set
    assert [one for differences_ in read for one in differences_ if not one.reason] == []


def test_values_of_every_kind_agree(tmp_path: Path) -> None:
    data_set = dcmread(io.BytesIO(dicom_file()))
    data_set.add_new(0x00720050, "CS", ["A", "", "C "])
    data_set.add_new(0x0072005E, "AE", " AE ")
    data_set.add_new(0x00720061, "DA", ["20240101", "19991231"])
    data_set.add_new(0x00720064, "IS", ["-1", "+2", "  3 "])
    data_set.add_new(0x00720066, "LO", ["a ", "b"])
    data_set.add_new(0x0072006A, "PN", ["Doe^John=x=y", "Roe^Jane^^^"])
    data_set.add_new(0x00720068, "LT", " two\\lines \r\n of text  ")
    data_set.add_new(0x00720072, "DS", ["1.50", "-2e-3"])
    data_set.add_new(0x00720074, "FD", [0.1, -1e300, 5e-324])
    data_set.add_new(0x00720076, "FL", [0.1, 16777216.0])
    data_set.add_new(0x00720078, "UL", [0, 4294967295])
    data_set.add_new(0x0072007C, "SL", [-2147483648, 2147483647])
    data_set.add_new(0x00720060, "AT", [0x00100010, 0x7FE00010])
    data_set.add_new(0x00720071, "UR", "http://host/a\\b")
    data_set.add_new(0x0072006D, "UN", b"\1\2\3\4")
    file = tmp_path / "file.dcm"
    data_set.save_as(file)
    found = differences(file)
    assert found is not None
    assert [one for one in found if not one.reason] == []


def test_every_reason_is_documented() -> None:
    text = " ".join(_DOCUMENT.read_text().split())
    reasons = [value for name, value in vars(agreement).items() if name.isupper() and isinstance(value, str)]
    assert reasons
    assert [reason for reason in reasons if reason.lower() not in text.lower()] == []
