"""Archives, media and pictures over REST, read back by others."""

from __future__ import annotations

import base64
import io
import zipfile
from datetime import UTC, datetime
from pathlib import Path
from threading import Event

import httpx
import numpy
import pydicom
import pytest
from PIL import Image
from pydicom.fileset import FileSet

from amonsul.archive.context import Archive
from amonsul.archive.export import ExportOptions, export
from amonsul.archive.rewriting import Transcoding
from amonsul.dicom.levels import Level, OrthancId
from amonsul.imaging.codecs import LocalCodecs
from amonsul.imaging.pixels import Pixels
from amonsul.imaging.transcode import TranscodeOptions
from amonsul.web.services import Services
from amonsul.web.settings import WebSettings
from tests.integration.rest.dicom_files import dicom_file
from tests.integration.rest.serving import serving_archive
from tests.unit.imaging.builders import image


def store(client: httpx.Client, *files: bytes) -> list[dict[str, str]]:
    return [client.post("/instances", content=file).raise_for_status().json() for file in files]


def unzipped(answer: httpx.Response) -> zipfile.ZipFile:
    assert answer.raise_for_status().headers["content-type"] == "application/zip"
    return zipfile.ZipFile(io.BytesIO(answer.content))


# ---------------------------------------------------------------------------------------------------- archives


def test_an_archive_holds_the_files_as_they_were_stored(client: httpx.Client) -> None:
    files = [dicom_file(instance=number) for number in (1, 2)]
    stored = store(client, *files)

    archive = unzipped(client.get(f"/patients/{stored[0]['ParentPatient']}/archive"))

    assert archive.namelist() == [f"P1 - Doe^Jane1/A11 - Mller/1 - CT/CT00000{number}.dcm" for number in (1, 2)]
    assert [archive.read(name) for name in archive.namelist()] == files


def test_names_keep_what_is_not_ascii_when_asked_to(client: httpx.Client) -> None:
    (stored,) = store(client, dicom_file())
    path = f"/studies/{stored['ParentStudy']}/archive"

    by_query = unzipped(client.get(f"{path}?utf8=true"))
    by_body = unzipped(client.post(path, json={"Utf8": True}))

    assert by_query.namelist() == by_body.namelist() == ["P1 - Doe^Jane1/A11 - Müller/1 - CT/CT000001.dcm"]


def test_attributes_of_evil_files_stay_inside_of_the_archive_and_the_header(client: httpx.Client) -> None:
    evil = {"PatientID": "..", "PatientName": "../../etc/passwd", "StudyDescription": "a\r\nSet-Cookie: b"}
    (stored,) = store(client, dicom_file(attributes=evil))

    answer = client.get(f"/studies/{stored['ParentStudy']}/archive")

    assert "set-cookie" not in answer.headers
    (name,) = unzipped(answer).namelist()
    assert ".." not in name.split("/")
    assert len(name.split("/")) == 4
    assert client.get(f"/studies/{stored['ParentStudy']}/archive?filename=a%0d%0ab").status_code == 400


def test_media_are_a_file_set_to_others(client: httpx.Client, tmp_path: Path) -> None:
    stored = store(client, dicom_file(series=1), dicom_file(series=2), dicom_file(patient=2))
    resources = ",".join({each["ParentPatient"] for each in stored})

    unzipped(client.get(f"/tools/create-media?resources={resources}")).extractall(tmp_path / "media")

    file_set = FileSet(pydicom.dcmread(tmp_path / "media" / "DICOMDIR"))
    assert sorted(str(each.PatientID) for each in file_set) == ["P1", "P1", "P2"]
    loaded = {str(each.load().SOPInstanceUID) for each in file_set}
    assert loaded == {str(each.SOPInstanceUID) for each in file_set}


def test_an_archive_is_transcoded_on_the_way(client: httpx.Client) -> None:
    (stored,) = store(client, dicom_file())

    answer = client.post(f"/series/{stored['ParentSeries']}/archive", json={"Transcode": "1.2.840.10008.1.2.5"})

    archive = unzipped(answer)
    (name,) = archive.namelist()
    assert pydicom.dcmread(io.BytesIO(archive.read(name))).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.5"


def test_an_archive_can_be_made_before_it_is_sent(archive: Archive) -> None:
    services = Services(archive, WebSettings(zip_streamed=False))
    with serving_archive(services) as served, httpx.Client(base_url=served.url, timeout=60) as client:
        (stored,) = store(client, dicom_file())

        answer = client.get(f"/series/{stored['ParentSeries']}/archive")

        assert int(answer.headers["content-length"]) == len(answer.content)
        assert unzipped(answer).testzip() is None


class Stalled(LocalCodecs):
    """Codecs that do nothing until somebody gives up."""

    def __init__(self) -> None:
        self.given_up = Event()
        self.calls = 0

    def encode(self, transfer_syntax_uid: str, pixels: Pixels, quality: int) -> bytes:
        self.calls += 1
        self.given_up.wait()
        return super().encode(transfer_syntax_uid, pixels, quality)


def test_an_archive_that_nobody_wants_any_more_is_given_up_between_two_frames(
    archive: Archive, client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    codecs = Stalled()

    class Flag(Event):
        def set(self) -> None:
            super().set()
            codecs.given_up.set()

    monkeypatch.setattr("amonsul.archive.export.Event", Flag)
    (stored,) = store(client, image(numpy.zeros((50, 4, 4), numpy.uint8)))
    options = ExportOptions(transcoding=Transcoding("1.2.840.10008.1.2.5"))
    making = export(archive, codecs, [(Level.INSTANCE, OrthancId(stored["ID"]))], options, datetime.now(UTC))

    chunks = making.chunks()
    assert (next(chunks), next(chunks)) == (b"", b"")  # nothing is ready, and whoever waits is told so
    chunks.close()

    assert codecs.calls <= TranscodeOptions().threads, "those that had begun"


def test_each_instance_is_in_an_archive_once(client: httpx.Client) -> None:
    (stored,) = store(client, dicom_file())

    answer = client.post("/tools/create-archive", json=[stored["ParentPatient"], stored["ParentSeries"], stored["ID"]])

    assert len(unzipped(answer).namelist()) == 1


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/studies/nope/archive", None, 404),
        ("GET", "/studies/{study}/archive?transcode=nope", None, 400),
        ("GET", "/studies/{study}/archive?transcode=1.2.840.10008.1.2.4.50&lossy-quality=0", None, 400),
        ("GET", "/tools/create-archive", None, 400),
        ("POST", "/tools/create-archive", {}, 400),
        ("POST", "/tools/create-archive", [1], 400),
        ("POST", "/tools/create-archive", ["nope"], 404),
        ("POST", "/studies/{study}/archive", [], 400),
    ],
)
def test_what_cannot_be_archived(client: httpx.Client, method: str, path: str, body: object, status: int) -> None:
    (stored,) = store(client, dicom_file())

    assert client.request(method, path.format(study=stored["ParentStudy"]), json=body).status_code == status


# ---------------------------------------------------------------------------------------------------- pictures


def picture(answer: httpx.Response) -> Image.Image:
    return Image.open(io.BytesIO(answer.raise_for_status().content))


def test_pictures_come_in_the_format_asked_for(client: httpx.Client) -> None:
    (stored,) = store(client, dicom_file(pixels=16))
    one = f"/instances/{stored['ID']}"

    assert picture(client.get(f"{one}/preview")).format == "PNG"
    assert picture(client.get(f"{one}/preview", headers={"Accept": "image/jpeg"})).format == "JPEG"
    assert client.get(f"{one}/preview", headers={"Accept": "text/html"}).status_code == 404
    assert picture(client.get(f"{one}/rendered?width=8")).size == (8, 8)
    assert picture(client.get(f"{one}/frames/0/rendered?window-center=100&window-width=10")).size == (16, 16)


def test_matrices_have_the_stored_values(client: httpx.Client) -> None:
    (stored,) = store(client, dicom_file(pixels=16, attributes={"RescaleSlope": "2", "RescaleIntercept": "-1"}))
    one = f"/instances/{stored['ID']}"
    raw = numpy.frombuffer(client.get(f"{one}/frames/0/raw").content, "<u2").reshape(16, 16)

    values = numpy.load(io.BytesIO(client.get(f"{one}/numpy?rescale=false").content))
    rescaled = numpy.load(io.BytesIO(client.get(f"{one}/frames/0/numpy").content))
    packed = numpy.load(io.BytesIO(client.get(f"/series/{stored['ParentSeries']}/numpy?compress=true").content))

    assert (values[0, :, :, 0] == raw).all()
    assert (rescaled[:, :, 0] == raw * 2.0 - 1).all()
    assert (packed["arr_0"][0] == rescaled).all()
    deep = numpy.asarray(picture(client.get(f"{one}/image-uint16")))
    assert (deep == raw).all()


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/instances/nope/preview", 404),
        ("/instances/{id}/frames/9/preview", 415),
        ("/instances/{id}/frames/-1/preview", 415),
        ("/instances/{id}/frames/x/preview", 404),
        ("/instances/{id}/frames/9/raw", 400),
        ("/instances/{id}/rendered?width=x", 404),
        ("/instances/{id}/rendered?window-width=nan", 404),
        ("/instances/{id}/numpy?compress=maybe", 400),
        ("/instances/nope/numpy", 404),
    ],
)
def test_pictures_that_are_not_there(client: httpx.Client, path: str, status: int) -> None:
    (stored,) = store(client, dicom_file())

    assert client.get(path.format(id=stored["ID"])).status_code == status


# ---------------------------------------------------------------------------------------------------- create


def uri(image: Image.Image, kind: str) -> str:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def test_an_image_becomes_an_instance_of_a_study(client: httpx.Client) -> None:
    (stored,) = store(client, dicom_file())
    pixels = numpy.arange(24, dtype=numpy.uint8).reshape(4, 6)
    body = {
        "Parent": stored["ParentStudy"],
        "Tags": {"Modality": "OT"},
        "Content": uri(Image.fromarray(pixels), "png"),
    }

    answer = client.post("/tools/create-dicom", json=body).raise_for_status().json()

    assert (answer["Status"], answer["ParentStudy"]) == ("Success", stored["ParentStudy"])
    made = pydicom.dcmread(io.BytesIO(client.get(f"{answer['Path']}/file").content))
    assert (made.PatientID, made.Modality) == ("P1", "OT")
    assert (made.pixel_array == pixels).all()


def test_a_series_is_made_of_several_images(client: httpx.Client) -> None:
    image = uri(Image.new("RGB", (3, 2), (1, 2, 3)), "png")

    answer = client.post("/tools/create-dicom", json={"Tags": {}, "Content": [image, image]}).raise_for_status().json()

    assert len(client.get(answer["Path"]).json()["Instances"]) == 2


@pytest.mark.parametrize(
    "body",
    [b"{", b"[]", b'{"Tags":{},"Content":"data:image/png;base64,AAAA"}', b'{"Tags":{},"Parent":"nope"}'],
)
def test_what_cannot_be_made(client: httpx.Client, body: bytes) -> None:
    assert client.post("/tools/create-dicom", content=body).status_code == 400
    assert client.get("/instances").json() == []


def test_the_matrix_of_a_study_has_the_images_of_its_series_in_order(client: httpx.Client) -> None:
    first = store(client, *(dicom_file(series=2, instance=number, pixels=16) for number in (2, 1)))
    store(client, dicom_file(series=1, pixels=16))
    study = first[0]["ParentStudy"]

    whole = numpy.load(io.BytesIO(client.get(f"/studies/{study}/numpy").content))
    series = numpy.load(io.BytesIO(client.get(f"/series/{first[0]['ParentSeries']}/numpy").content))

    assert (whole.shape, series.shape) == ((3, 16, 16, 1), (2, 16, 16, 1))
    assert (whole[1:] == series).all()
    store(client, dicom_file(series=3, pixels=8))
    assert "size of the frames varies" in client.get(f"/studies/{study}/numpy").text
    assert client.get("/studies/nope/numpy").status_code == 404
