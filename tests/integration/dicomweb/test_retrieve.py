from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator

import httpx
import pytest
from PIL import Image
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import (
    HEVCM10P51,
    HEVCMP51,
    MPEG2MPML,
    MPEG4HP41,
    MPEG4HP41F,
    MPEG4HP42STEREO,
    UID,
    ImplicitVRLittleEndian,
    JPEGLSLossless,
    RLELossless,
)

from amonsul.web.dicomweb.settings import DicomWebSettings, OtherBinary
from amonsul.web.services import Services
from amonsul.web.settings import WebSettings
from tests.integration.dicomweb.parts import parts_of
from tests.integration.rest.dicom_files import ROOT, dicom_file
from tests.integration.rest.serving import serving_archive

STUDY = f"/dicom-web/studies/{ROOT}.1.1"
INSTANCE = f"{STUDY}/series/{ROOT}.1.1.1/instances/{ROOT}.1.1.1.1"
AS_STORED = 'multipart/related; type="application/dicom"; transfer-syntax=*'


@pytest.fixture
def filled(client: httpx.Client) -> httpx.Client:
    for instance in (1, 2, 3):
        assert client.post("/instances", content=dicom_file(1, 1, 1, instance, pixels=16)).status_code == 200
    return client


def packaged(client: httpx.Client, name: str) -> str:
    """Store one of pydicom's files; the path of the instance."""
    path = get_testdata_file(name)
    assert isinstance(path, str)
    with open(path, "rb") as file:
        assert client.post("/instances", content=file.read()).status_code == 200
    found = dcmread(path, stop_before_pixels=True)
    return (
        f"/dicom-web/studies/{found.StudyInstanceUID}/series/{found.SeriesInstanceUID}/instances/{found.SOPInstanceUID}"
    )


def test_a_study_comes_as_files_byte_by_byte(filled: httpx.Client) -> None:
    for path in (STUDY, f"{STUDY}/series/{ROOT}.1.1.1"):
        parts = parts_of(filled.get(path, headers={"accept": AS_STORED}))
        assert [data for _, data in parts] == [dicom_file(1, 1, 1, number, pixels=16) for number in (1, 2, 3)]


def test_an_instance_comes_alone_or_in_parts(filled: httpx.Client) -> None:
    alone = filled.get(INSTANCE, headers={"accept": "application/dicom"})
    assert alone.content == dicom_file(1, 1, 1, 1, pixels=16)
    ((headers, data),) = parts_of(filled.get(INSTANCE))
    assert headers == {"content-type": "application/dicom"}
    assert data == alone.content


def test_a_study_comes_as_a_zip_archive(filled: httpx.Client) -> None:
    answer = filled.get(STUDY, headers={"accept": "application/zip"})
    assert answer.headers["content-type"] == "application/zip"
    with zipfile.ZipFile(io.BytesIO(answer.content)) as members:
        assert members.testzip() is None
        assert members.read(members.namelist()[2]) == dicom_file(1, 1, 1, 3, pixels=16)


def test_files_are_transcoded_on_the_way(client: httpx.Client) -> None:
    path = packaged(client, "SC_rgb_rle_2frame.dcm")
    ((_, plain),) = parts_of(client.get(path))
    assert dcmread(io.BytesIO(plain)).file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
    wanted = f'multipart/related; type="application/dicom"; transfer-syntax={JPEGLSLossless}'
    ((_, compressed),) = parts_of(client.get(path, headers={"accept": wanted}))
    assert dcmread(io.BytesIO(compressed)).file_meta.TransferSyntaxUID == JPEGLSLossless
    ((_, kept),) = parts_of(client.get(path, headers={"accept": AS_STORED}))
    assert dcmread(io.BytesIO(kept)).file_meta.TransferSyntaxUID == RLELossless


@pytest.mark.parametrize(
    ("accept", "status"),
    [
        ("text/html", 406),
        ("image/jpeg", 406),
        ('multipart/related; type="application/dicom"; transfer-syntax=nope', 400),
        ('multipart/related; type="application/dicom"; transfer-syntax=1.2.840.10008.1.2.4.100', 406),
        ("application/json;q=0, application/dicom;q=0.1", 200),
    ],
)
def test_what_cannot_be_sent_is_refused(filled: httpx.Client, accept: str, status: int) -> None:
    assert filled.get(INSTANCE, headers={"accept": accept}).status_code == status


def test_what_is_not_there_is_not_found(filled: httpx.Client) -> None:
    for path in ("/dicom-web/studies/1.2", f"{STUDY}/series/1.2", f"{INSTANCE}9", f"{INSTANCE}9/metadata"):
        assert filled.get(path).status_code == 404


# ---------------------------------------------------------------------------------------------------- metadata


def test_metadata_are_the_same_at_each_level_and_again(filled: httpx.Client) -> None:
    whole = filled.get(f"{STUDY}/metadata").json()
    assert len(whole) == 3
    assert filled.get(f"{STUDY}/series/{ROOT}.1.1.1/metadata").json() == whole
    assert filled.get(f"{INSTANCE}/metadata").json() == whole[:1]
    assert whole[0]["7FE00010"] == {
        "vr": "OW",
        "BulkDataURI": f"{str(filled.base_url).rstrip('/')}{INSTANCE}/bulk/7fe00010",
    }
    assert filled.get(
        whole[0]["7FE00010"]["BulkDataURI"], headers={"accept": "application/octet-stream"}
    ).content == bytes(dcmread(io.BytesIO(dicom_file(1, 1, 1, 1, pixels=16))).PixelData)


def test_urls_are_as_the_client_sees_them(filled: httpx.Client) -> None:
    for headers in (
        {"forwarded": 'for=1.2.3.4;host="pacs.example.org";proto=https'},
        {"x-forwarded-host": "pacs.example.org", "x-forwarded-proto": "https"},
    ):
        (found,) = filled.get(f"{INSTANCE}/metadata", headers=headers).json()
        assert found["7FE00010"]["BulkDataURI"].startswith("https://pacs.example.org/dicom-web/studies/")
    (found,) = filled.get(f"{INSTANCE}/metadata", headers={"x-forwarded-host": 'evil"/<x>'}).json()
    assert found["7FE00010"]["BulkDataURI"].startswith(str(filled.base_url))


def test_a_cache_that_is_none_can_be_updated(filled: httpx.Client) -> None:
    (study,) = filled.get("/studies").json()
    assert filled.post(f"/studies/{study}/update-dicomweb-cache").json() == {}
    assert filled.post(f"/studies/{study[:-1]}x/update-dicomweb-cache").status_code == 404


def test_metadata_in_xml(filled: httpx.Client) -> None:
    answer = filled.get(f"{STUDY}/metadata", headers={"accept": 'multipart/related; type="application/dicom+xml"'})
    assert len(parts_of(answer)) == 3
    assert filled.get(f"{STUDY}/metadata", headers={"accept": "text/html"}).status_code == 406


@pytest.mark.parametrize("mode", list(OtherBinary))
def test_floats_show_as_the_operator_wants(services: Services, mode: OtherBinary) -> None:
    web = WebSettings(dicom_web=DicomWebSettings(other_binary=mode))
    file = dicom_file(attributes={"PointCoordinatesData": b"\0\0\x80\x3f\0\0\0\x40"})
    with serving_archive(Services(services.archive, web)) as served, httpx.Client(base_url=served.url) as client:
        client.post("/instances", content=file)
        (found,) = client.get(f"{INSTANCE}/metadata").json()
    match mode:
        case OtherBinary.BULK_DATA_URI:
            assert found["00660016"]["BulkDataURI"].endswith("/bulk/00660016")
        case OtherBinary.INLINE_BINARY:
            assert found["00660016"] == {"vr": "OF", "InlineBinary": "AACAPwAAAEA="}
        case _:
            assert found["00660016"] == {"vr": "OF", "Value": [1.0, 2.0]}


# ---------------------------------------------------------------------------------------------------- bulk and frames


def test_bulk_data_come_in_part(filled: httpx.Client) -> None:
    path = f"{INSTANCE}/bulkdata/7fe00010"
    pixels = bytes(dcmread(io.BytesIO(dicom_file(1, 1, 1, 1, pixels=16))).PixelData)
    part = filled.get(path, headers={"accept": "application/octet-stream", "range": "bytes=2-5"})
    assert (part.status_code, part.content) == (206, pixels[2:6])
    assert part.headers["content-range"] == f"bytes 2-5/{len(pixels)}"
    beyond = filled.get(path, headers={"accept": "application/octet-stream", "range": "bytes=9999-"})
    assert beyond.status_code == 416
    assert [data for _, data in parts_of(filled.get(path))] == [pixels]
    assert filled.get(f"{INSTANCE}/bulkdata/00420011").status_code == 404


def test_all_bulk_data_are_what_metadata_refer_to(client: httpx.Client) -> None:
    nested = Dataset()
    nested.add_new(0x00420011, "OB", b"document")
    attributes = {"ReferencedImageSequence": [nested], "ICCProfile": b"profile.", "VectorGridData": b"\0\0\x80\x3f"}
    client.post("/instances", content=dicom_file(pixels=2, attributes=attributes))
    client.post("/instances", content=dicom_file(1, 1, 1, 2, pixels=2))
    for resource, count in ((INSTANCE, 4), (INSTANCE.rpartition("/instances")[0], 5), (STUDY, 5)):
        found = {headers["content-location"]: data for headers, data in parts_of(client.get(f"{resource}/bulkdata"))}
        assert len(found) == count
        assert {b"document", b"profile.", b"\0\0\x80\x3f", bytes(8)} == set(found.values())
        metadata = client.get(f"{resource}/metadata").text
        for location, data in found.items():
            assert location in metadata
            assert client.get(location, headers={"accept": "application/octet-stream"}).content == data
    assert client.get(f"{STUDY}/bulkdata", headers={"accept": "application/octet-stream"}).status_code == 406
    compressed = parts_of(client.get(f"{packaged(client, 'SC_rgb_rle_2frame.dcm')}/bulkdata"))
    assert [
        headers["content-location"].rpartition("/instances/")[2].partition("/")[2] for headers, _ in compressed
    ] == [
        "frames/1",
        "frames/2",
    ]


def test_frames_come_decoded_or_as_they_are(client: httpx.Client) -> None:
    path = packaged(client, "SC_rgb_rle_2frame.dcm")
    name = get_testdata_file("SC_rgb_rle_2frame.dcm")
    assert isinstance(name, str)
    decoded = dcmread(name).pixel_array
    parts = parts_of(client.get(f"{path}/frames/2,1"))
    assert [data for _, data in parts] == [decoded[1].tobytes(), decoded[0].tobytes()]
    assert parts[0][0]["content-location"].endswith("/frames/2")
    answer = client.get(
        f"{path}/frames/1", headers={"accept": 'multipart/related; type="application/octet-stream"; transfer-syntax=*'}
    )
    assert parts_of(answer)[0][0]["content-type"] == f"image/dicom-rle; transfer-syntax={RLELossless}"
    assert len(parts_of(client.get(f"{path}/frames"))) == 2
    assert len(parts_of(client.get(f"{path}/pixeldata"))) == 2
    alone = client.get(f"{path}/frames/1", headers={"accept": "application/octet-stream"})
    assert alone.content == decoded[0].tobytes()
    compressed = client.get(f"{path}/frames/1", headers={"accept": "image/dicom-rle"})
    assert compressed.headers["content-type"] == f"image/dicom-rle; transfer-syntax={RLELossless}"
    assert compressed.content == parts_of(answer)[0][1]
    for several in (f"{path}/frames/1,2", f"{path}/frames", f"{path}/pixeldata", f"{path}/bulkdata/7fe00010"):
        assert client.get(several, headers={"accept": "application/octet-stream"}).status_code == 406
        either = {"accept": "application/octet-stream, */*;q=0.1"}
        if "/frames" in several:
            assert len(parts_of(client.get(several, headers=either))) == 2


def test_what_is_accepted_second_is_sent_if_the_first_cannot_be(client: httpx.Client) -> None:
    path = packaged(client, "rtdose_1frame.dcm")  # 32 bits, which JPEG cannot hold
    jpeg, plain = ('multipart/related; type="image/jpeg"', 'multipart/related; type="application/octet-stream"')
    assert client.get(f"{path}/frames/1", headers={"accept": jpeg}).status_code == 406
    answer = client.get(f"{path}/frames/1", headers={"accept": f"{jpeg}, {plain}"})
    assert answer.headers["content-type"].startswith(plain[:-1])
    file = 'multipart/related; type="application/dicom"; transfer-syntax='
    assert client.get(path, headers={"accept": f"{file}{JPEGLSLossless}"}).status_code == 406
    for first in (JPEGLSLossless, "nope"):
        ((_, data),) = parts_of(client.get(path, headers={"accept": f"{file}{first}, {file}*"}))
        assert dcmread(io.BytesIO(data)).file_meta.TransferSyntaxUID == ImplicitVRLittleEndian


def test_compressed_pixels_of_a_single_frame_are_one_bulk_data(client: httpx.Client) -> None:
    path = packaged(client, "MR_small_RLE.dcm")
    name = get_testdata_file("MR_small_RLE.dcm")
    assert isinstance(name, str)
    decoded = dcmread(name).pixel_array.tobytes()
    url = f"{path}/bulkdata/7fe00010"
    assert client.get(url, headers={"accept": "application/octet-stream"}).content == decoded
    part = client.get(url, headers={"accept": "application/octet-stream", "range": "bytes=4-9"})
    assert (part.status_code, part.content) == (206, decoded[4:10])
    ((headers, _),) = parts_of(client.get(url))
    assert headers["content-type"] == f"image/dicom-rle; transfer-syntax={RLELossless}"


@pytest.mark.parametrize("frames", ["0", "3", "a", "1,a", "-1", "1,,2", "99999999999999"])
def test_frames_that_are_none_are_refused(client: httpx.Client, frames: str) -> None:
    assert client.get(f"{packaged(client, 'SC_rgb_rle_2frame.dcm')}/frames/{frames}").status_code == 400


# ---------------------------------------------------------------------------------------------------- pictures


@pytest.mark.parametrize("kind", ["jpeg", "png", "gif"])
def test_pictures_of_every_level(client: httpx.Client, kind: str) -> None:
    path = packaged(client, "CT_small.dcm")
    study, series = path.split("/series")[0], path.split("/instances")[0]
    for resource in (study, series, path, f"{path}/frames/1"):
        for what in ("rendered", "thumbnail"):
            answer = client.get(f"{resource}/{what}", headers={"accept": f"image/{kind}"})
            assert answer.headers["content-type"] == f"image/{kind}"
            with Image.open(io.BytesIO(answer.content)) as picture:
                assert picture.size == (128, 128)


def test_a_picture_has_the_window_and_the_viewport_asked_for(client: httpx.Client) -> None:
    path = packaged(client, "CT_small.dcm")
    answer = client.get(f"{path}/rendered?window=-5000,10,linear&viewport=64,32", headers={"accept": "image/png"})
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert picture.size == (64, 32)
        assert picture.getpixel((32, 16)) == 255


def test_animations_have_all_frames(client: httpx.Client) -> None:
    answer = client.get(f"{packaged(client, 'SC_rgb_rle_2frame.dcm')}/rendered", headers={"accept": "image/gif"})
    with Image.open(io.BytesIO(answer.content)) as picture:
        assert getattr(picture, "n_frames", 1) == 2


def test_pictures_of_all_frames_come_in_parts(client: httpx.Client) -> None:
    path = packaged(client, "SC_rgb_rle_2frame.dcm")
    study, series = path.split("/series")[0], path.split("/instances")[0]
    other = {
        "StudyInstanceUID": study.rpartition("/")[2],
        "SeriesInstanceUID": series.rpartition("/")[2],
    }
    assert client.post("/instances", content=dicom_file(pixels=0, attributes=other)).status_code == 200
    for resource in (study, series, path, f"{path}/frames/1,2"):
        answer = client.get(f"{resource}/rendered", headers={"accept": 'multipart/related; type="image/png"'})
        assert answer.headers["content-type"].startswith('multipart/related; type="image/png"')
        parts = parts_of(answer)
        url = str(client.base_url).rstrip("/") + path
        assert [headers["content-location"] for headers, _ in parts] == [f"{url}/frames/{n}/rendered" for n in (1, 2)]
        for _, data in parts:
            with Image.open(io.BytesIO(data)) as picture:
                assert (picture.format, picture.size) == ("PNG", (100, 100))
    (part,) = parts_of(client.get(f"{path}/thumbnail", headers={"accept": "multipart/related; type=image/*"}))
    assert part[0]["content-type"] == "image/jpeg"
    assert client.get(f"{path}/frames/1,2/rendered", headers={"accept": "image/png"}).status_code == 406
    for accept, kind in (("*/*", "image/jpeg"), ("image/png, */*;q=0.1", "image/png")):
        several = parts_of(client.get(f"{path}/frames/2,1/rendered", headers={"accept": accept}))
        assert [headers["content-type"] for headers, _ in several] == [kind] * 2
    assert client.get(f"{path}/frames/3/rendered").status_code == 400


def test_in_parts_there_are_no_pictures_of_what_has_none(client: httpx.Client) -> None:
    for number in (1, 2):
        client.post("/instances", content=dicom_file(1, 1, 1, number, pixels=0))
    answer = client.get(f"{STUDY}/rendered", headers={"accept": "multipart/related; type=image/jpeg"})
    assert answer.status_code == 406


@pytest.mark.parametrize(
    ("transfer_syntax_uid", "kind"),
    [
        (MPEG2MPML, "video/mpeg"),
        (MPEG4HP41, "video/mp4"),
        (MPEG4HP42STEREO, "video/mp4"),
        (HEVCMP51, "video/mp4"),
        (HEVCM10P51, "video/mp4"),
        (MPEG4HP41F, "video/mp4"),
    ],
)
def test_a_video_is_rendered_as_itself(client: httpx.Client, transfer_syntax_uid: str, kind: str) -> None:
    stream = bytes(range(256)) * 4
    data_set = dcmread(io.BytesIO(dicom_file(pixels=16)))
    data_set.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    data_set.NumberOfFrames = 25
    data_set.PixelData = encapsulate([stream])
    data_set["PixelData"].is_undefined_length = True
    written = io.BytesIO()
    data_set.save_as(written)
    assert client.post("/instances", content=written.getvalue()).status_code == 200
    answer = client.get(f"{INSTANCE}/rendered", headers={"accept": kind})
    assert (answer.status_code, answer.headers["content-type"], answer.content) == (200, kind, stream)
    part = client.get(f"{INSTANCE}/rendered", headers={"range": "bytes=256-511"})
    assert (part.status_code, part.content) == (206, stream[256:512])
    in_parts = 'multipart/related; type="image/jpeg"'
    for resource, other in (("rendered", "image/jpeg"), ("frames/1", "image/jpeg"), ("frames/1", in_parts)):
        assert client.get(f"{INSTANCE}/{resource}", headers={"accept": other}).status_code == 406
    ((headers, data),) = parts_of(
        client.get(f"{INSTANCE}/frames/1", headers={"accept": f'multipart/related; type="{kind}"'})
    )
    assert headers["content-type"] == f"{kind}; transfer-syntax={transfer_syntax_uid}"
    assert data == stream


def test_annotations_that_are_not_drawn_are_told(client: httpx.Client) -> None:
    path = packaged(client, "CT_small.dcm")
    answer = client.get(f"{path}/rendered?annotation=patient&iccprofile=srgb")
    assert answer.headers["warning"].startswith("299 ")
    assert answer.headers["warning"].endswith("no support for annotation and iccprofile")
    assert "warning" not in client.get(f"{path}/rendered?iccprofile=no").headers


@pytest.mark.parametrize(
    ("query", "accept", "status"),
    [
        ("window=1,2", "*/*", 400),
        ("window=1,2,cubic", "*/*", 400),
        ("window=nan,0,linear", "*/*", 400),
        ("viewport=1", "*/*", 400),
        ("viewport=0,0", "*/*", 400),
        ("viewport=65535,65535", "*/*", 400),
        ("quality=0", "*/*", 400),
        ("", "text/html", 406),
    ],
)
def test_pictures_that_cannot_be_are_refused(client: httpx.Client, query: str, accept: str, status: int) -> None:
    path = packaged(client, "CT_small.dcm")
    assert client.get(f"{path}/rendered?{query}", headers={"accept": accept}).status_code == status


def test_a_document_is_rendered_as_itself(client: httpx.Client) -> None:
    document = b"%PDF-1.4 nothing much "
    attributes = {"EncapsulatedDocument": document, "MIMETypeOfEncapsulatedDocument": "application/pdf"}
    client.post("/instances", content=dicom_file(attributes=attributes))
    answer = client.get(f"{INSTANCE}/rendered")
    assert (answer.headers["content-type"], answer.content) == ("application/pdf", document)
    assert client.get(f"{INSTANCE}/rendered", headers={"accept": "image/jpeg"}).status_code == 406


# ---------------------------------------------------------------------------------------------------- WADO-URI


def test_wado_uri_gives_files_and_pictures(client: httpx.Client) -> None:
    path = packaged(client, "CT_small.dcm")
    uid = path.rpartition("/")[2]
    base = f"/wado?requestType=WADO&objectUID={uid}"
    file = client.get(f"{base}&contentType=application%2Fdicom")
    assert file.content[128:132] == b"DICM"
    for query, size in (("", (128, 128)), ("&rows=64&columns=64", (64, 64)), ("&region=0,0,0.5,1", (64, 128))):
        with Image.open(io.BytesIO(client.get(f"{base}{query}").content)) as picture:
            assert (picture.format, picture.size) == ("JPEG", size)
    for query in ("&anonymize=yes", "&rows=0", "&region=1,1,0,0", "&windowCenter=x", "&contentType=text/html"):
        assert client.get(base + query).status_code == 400
    assert client.get("/wado?requestType=WADO&objectUID=1.2").status_code == 404


@pytest.fixture
def deleting(services: Services) -> Iterator[httpx.Client]:
    web = WebSettings(
        dicom_web=DicomWebSettings(allowed_to_delete=True, cors_origins=("https://viewer.example.org",), root="/dw")
    )
    with serving_archive(Services(services.archive, web)) as served, httpx.Client(base_url=served.url) as client:
        yield client


def test_delete_is_served_if_allowed(deleting: httpx.Client, client: httpx.Client) -> None:
    for instance in (1, 2):
        deleting.post("/instances", content=dicom_file(1, 1, 1, instance))
    assert client.delete(INSTANCE).status_code == 405
    assert deleting.delete(INSTANCE.replace("dicom-web", "dw")).status_code == 204
    assert len(deleting.get(f"/dw/studies/{ROOT}.1.1/instances").json()) == 1
    assert deleting.delete(f"/dw/studies/{ROOT}.1.1").status_code == 204
    assert deleting.get("/dw/studies").json() == []


def test_pages_of_named_origins_may_come_in_and_no_others(deleting: httpx.Client) -> None:
    ask = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
    good = deleting.options("/dw/studies", headers={"origin": "https://viewer.example.org", **ask})
    assert good.status_code == 204
    assert good.headers["access-control-allow-origin"] == "https://viewer.example.org"
    assert good.headers["access-control-allow-headers"] == "content-type"
    plain = deleting.get(
        "/dw/studies", headers={"origin": "https://viewer.example.org", "sec-fetch-site": "cross-site"}
    )
    assert plain.headers["access-control-allow-origin"] == "https://viewer.example.org"
    for path, origin in (("/dw/studies", "https://evil.example.org"), ("/studies", "https://viewer.example.org")):
        assert "access-control-allow-origin" not in deleting.get(path, headers={"origin": origin}).headers
        assert deleting.post(path, headers={"origin": origin}, content=b"x").status_code == 403
    stored = deleting.post("/dw/studies", headers={"origin": "https://viewer.example.org"}, content=b"x")
    assert stored.status_code == 415


def test_options_tells_what_can_be_done(client: httpx.Client) -> None:
    wadl = client.options("/dicom-web", headers={"accept": "application/vnd.sun.wadl+xml"})
    assert wadl.headers["content-type"] == "application/vnd.sun.wadl+xml"
    assert 'path="studies/{study}/metadata"' in wadl.text
    described = client.options("/dicom-web/studies", headers={"accept": "application/json"}).json()
    assert {"GET", "POST"} <= {one["method"] for one in described["resources"] if one["path"] == "/studies"}
