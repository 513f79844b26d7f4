"""What we write is as valid as what we read: dciodvfy, dcentvfy and dcdirdmp of dicom3tools find nothing new."""

from __future__ import annotations

import base64
import io
import re
import shutil
import subprocess
import zipfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import httpx
import pydicom
import pytest
from PIL import Image

from tests.integration.rest.dicom_files import dicom_file

PACKAGED = Path(pydicom.__file__).parent / "data" / "test_files"
JPEG, JPEG_LOSSLESS, JPEG_LS, JPEG_2000, RLE = (
    f"1.2.840.10008.1.2.{name}" for name in ("4.50", "4.70", "4.80", "4.91", "5")
)
IMPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.2"
DEFLATED = "1.2.840.10008.1.2.1.99"

_UIDS = re.compile(r"(?<=InstanceUID )[0-9.]+|[0-9]+(\.[0-9]+)+")
_PLACES = re.compile(r"\[[0-9]+\] = <[^>]*>")

_ABORTS = "dciodvfy aborts on native pixels of 32 bits"
NOT_LOOKED_AT = {
    **dict.fromkeys(("rtdose.dcm", "rtdose_1frame.dcm", "rtdose_expb.dcm", "rtdose_expb_1frame.dcm"), _ABORTS),
    "image_dfl.dcm": "it is deflated, and dicom3tools do not inflate",
    "badVR.dcm": "its values do not fit their VRs, and come in those of the standard when it is transcoded",
}
NAMES = [path.name for path in sorted(PACKAGED.glob("*.dcm")) if path.name not in NOT_LOOKED_AT]


def errors(data: bytes, folder: Path) -> Counter[str]:
    """The errors that dciodvfy reports, without the identifiers in them."""
    assert shutil.which("dciodvfy"), "dicom3tools are not installed"
    file = folder / "checked.dcm"
    file.write_bytes(data)
    done = subprocess.run(["dciodvfy", file], capture_output=True, check=False)
    lines = (done.stdout + done.stderr).decode("utf-8", "replace").splitlines()
    return Counter(_PLACES.sub("", _UIDS.sub("UID", line)).strip() for line in lines if line.startswith("Error"))


def assert_nothing_new(before: Counter[str], after: bytes, folder: Path) -> None:
    assert errors(after, folder) - before == Counter()


def stored(client: httpx.Client, name: str) -> str | None:
    """Identifier of a packaged file; None if it is none that can be stored."""
    answer = client.post("/instances", content=(PACKAGED / name).read_bytes())
    return answer.json()["ID"] if answer.status_code == 200 else None


def study_of(client: httpx.Client, files: Sequence[bytes]) -> str:
    """Identifier of the study that all files are of."""
    (study,) = {client.post("/instances", content=file).json()["ParentStudy"] for file in files}
    return str(study)


@pytest.mark.parametrize("name", NAMES)
def test_nothing_that_is_written_has_errors_that_were_not_there(
    name: str, client: httpx.Client, tmp_path: Path
) -> None:
    instance_id = stored(client, name)
    if instance_id is None:
        return
    url = f"/instances/{instance_id}"
    before = errors(client.get(f"{url}/file").content, tmp_path)
    bodies: dict[str, list[dict[str, object]]] = {
        "anonymize": [
            {"DeidentificationOptions": []},
            {"DeidentificationOptions": ["CleanDescriptors", "CleanStructuredContent"]},
        ],
        "modify": [{"Replace": {"PatientName": "A^B", "StudyDescription": "x"}}, {"RemovePrivateTags": True}],
    }
    for operation, each in bodies.items():
        for body in each:
            assert_nothing_new(
                before, client.post(f"{url}/{operation}", json=body).raise_for_status().content, tmp_path
            )
    for syntax in (IMPLICIT, BIG_ENDIAN, JPEG, JPEG_LOSSLESS, JPEG_LS, JPEG_2000, RLE):
        answer = client.get(f"{url}/file", params={"transcode": syntax})
        if answer.status_code == 200:
            assert_nothing_new(before, answer.content, tmp_path)
        else:
            assert answer.status_code in (400, 501), "pixels that are broken, or that the syntax does not hold"


def test_a_deflated_file_is_inflated_by_others(client: httpx.Client, tmp_path: Path) -> None:
    instance_id = stored(client, "CT_small.dcm")
    deflated, back = tmp_path / "deflated.dcm", tmp_path / "back.dcm"
    deflated.write_bytes(client.get(f"/instances/{instance_id}/file", params={"transcode": DEFLATED}).content)
    subprocess.run(["dcmconv", "+te", deflated, back], check=True)
    assert_nothing_new(errors((PACKAGED / "CT_small.dcm").read_bytes(), tmp_path), back.read_bytes(), tmp_path)


def test_the_instances_of_a_changed_study_still_belong_together(client: httpx.Client, tmp_path: Path) -> None:
    files = [dicom_file(series=series, instance=number) for series in (1, 2) for number in (1, 2)]
    study = study_of(client, files)
    operations = {"anonymize": {"DeidentificationOptions": []}, "modify": {"Replace": {"StudyDescription": "x"}}}
    for operation, body in operations.items():
        made = client.post(f"/studies/{study}/{operation}", json=body).raise_for_status().json()
        archive = zipfile.ZipFile(io.BytesIO(client.get(f"{made['Path']}/archive").raise_for_status().content))
        folder = tmp_path / operation
        archive.extractall(folder)
        done = subprocess.run(["dcentvfy", *sorted(folder.rglob("*.dcm"))], capture_output=True, text=True, check=False)
        assert "Error" not in done.stdout + done.stderr


@pytest.mark.parametrize("path", ["media", "media?extended"])
def test_media_is_read_by_others(path: str, client: httpx.Client, tmp_path: Path) -> None:
    numbers = [(series, number) for series in (1, 2) for number in (1, 2)]
    files = [dicom_file(series=series, instance=number) for series, number in numbers]
    study = study_of(client, files)
    zipfile.ZipFile(io.BytesIO(client.get(f"/studies/{study}/{path}").raise_for_status().content)).extractall(tmp_path)
    directory = tmp_path / "DICOMDIR"
    dumped = subprocess.run(["dcdirdmp", directory], capture_output=True, text=True, check=False)
    assert dumped.returncode == 0, dumped.stderr
    assert "Error" not in dumped.stdout + dumped.stderr
    checked = subprocess.run(["dciodvfy", directory], capture_output=True, text=True, check=False)
    assert "Error" not in checked.stdout + checked.stderr
    listed = subprocess.run(["dcmdump", "+P", "0004,1500", directory], capture_output=True, text=True, check=True)
    assert len(listed.stdout.splitlines()) == len(files)


def test_what_is_created_has_nothing_missing_that_was_given(client: httpx.Client, tmp_path: Path) -> None:
    dot = io.BytesIO()
    Image.new("RGB", (4, 4)).save(dot, "PNG")
    empty = ("PatientBirthDate", "PatientSex", "StudyDate", "StudyTime", "StudyID", "AccessionNumber", "Manufacturer")
    tags = {
        **dict.fromkeys((*empty, "ReferringPhysicianName", "Laterality", "ContentDate", "AcquisitionDateTime"), ""),
        "PatientName": "A^B",
        "PatientID": "1",
        "Modality": "OT",
        "SeriesNumber": "1",
        "InstanceNumber": "1",
    }
    image = {"SOPClassUID": "1.2.840.10008.5.1.4.1.1.7", "ConversionType": "WSD", "PatientOrientation": ""}
    document = {
        "SOPClassUID": "1.2.840.10008.5.1.4.1.1.104.1",
        "ConversionType": "WSD",
        "BurnedInAnnotation": "NO",
        "ContentTime": "",
        "DocumentTitle": "",
        "ConceptNameCodeSequence": [],
    }
    for more, content in (
        (image, b"data:image/png;base64," + base64.b64encode(dot.getvalue())),
        (document, b"data:application/pdf;base64," + base64.b64encode(b"%PDF-1.1\n%%EOF\n")),
    ):
        body = {"Tags": {**tags, **more}, "Content": content.decode("ascii")}
        made = client.post("/tools/create-dicom", json=body).raise_for_status().json()
        assert errors(client.get(f"{made['Path']}/file").content, tmp_path) == Counter()
