"""Modify, anonymise, split and merge over REST, as jobs; and one instance as a download."""

from __future__ import annotations

import io
from pathlib import Path

import httpx
import imagecodecs
import numpy
import pydicom
import pytest
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.uid import ExplicitVRLittleEndian, JPEG2000Lossless

from amonsul.archive import find, read
from amonsul.archive.context import Archive
from amonsul.dicom.levels import Level, OrthancId
from tests.integration.rest.dicom_files import ROOT, dicom_file


def store(client: httpx.Client, *files: bytes) -> list[dict[str, str]]:
    return [client.post("/instances", content=file).raise_for_status().json() for file in files]


def post(client: httpx.Client, path: str, **body: object) -> dict[str, object]:
    answer: dict[str, object] = client.post(path, json=body).raise_for_status().json()
    return answer


def download(client: httpx.Client, instance_id: str) -> Dataset:
    return pydicom.dcmread(io.BytesIO(client.get(f"/instances/{instance_id}/file").raise_for_status().content))


def instances_of(client: httpx.Client, path: str) -> list[Dataset]:
    found = client.get(f"{path}/instances").raise_for_status().json()
    return [download(client, each["ID"]) for each in found]


# ---------------------------------------------------------------------------------------------------- modify


def test_a_modified_study_is_a_new_one_that_knows_where_it_is_from(client: httpx.Client) -> None:
    stored = store(client, *(dicom_file(series=series, instance=number) for series in (1, 2) for number in (1, 2)))
    study = stored[0]["ParentStudy"]

    answer = post(client, f"/studies/{study}/modify", Replace={"StudyDescription": "new"})

    assert (answer["InstancesCount"], answer["FailedInstancesCount"]) == (4, 0)
    made = client.get(str(answer["Path"])).json()
    assert made["ModifiedFrom"] == study
    assert made["MainDicomTags"]["StudyDescription"] == "new"
    results = instances_of(client, str(answer["Path"]))
    assert len(results) == 4
    assert len({each.SeriesInstanceUID for each in results}) == 2
    assert {each.StudyDescription for each in results} == {"new"}
    assert {each.StudyDescription for each in instances_of(client, f"/studies/{study}")} == {"Müller"}
    changes = client.get("/changes?limit=100").json()["Changes"]
    assert [each["ID"] for each in changes if each["ChangeType"] == "ModifiedStudy"] == [answer["ID"]]


def test_originals_go_when_they_are_not_to_be_kept_and_others_stay(client: httpx.Client) -> None:
    first, other = store(client, dicom_file(study=1), dicom_file(study=2))

    answer = post(client, f"/studies/{first['ParentStudy']}/modify", Replace={"StudyID": "x"}, KeepSource=False)

    studies = set(client.get("/studies").json())
    assert studies == {answer["ID"], other["ParentStudy"]}


def test_labels_go_along_when_asked_for(client: httpx.Client) -> None:
    (stored,) = store(client, dicom_file())
    study = stored["ParentStudy"]
    client.put(f"/studies/{study}/labels/seen").raise_for_status()

    with_labels = post(client, f"/studies/{study}/modify", KeepLabels=True)
    without = post(client, f"/studies/{study}/modify")

    assert client.get(f"{with_labels['Path']}/labels").json() == ["seen"]
    assert client.get(f"{without['Path']}/labels").json() == []


def test_a_job_tells_what_it_made(client: httpx.Client) -> None:
    (stored,) = store(client, dicom_file())

    job = post(client, f"/series/{stored['ParentSeries']}/modify", Asynchronous=True, Priority=3, UserData={"a": 1})
    while (described := client.get(str(job["Path"])).json())["State"] not in ("Success", "Failure"):
        pass

    assert (described["State"], described["Type"], described["Priority"]) == ("Success", "ResourceModification", 3)
    assert described["UserData"] == {"a": 1}
    assert client.get(described["Content"]["Path"]).status_code == 200


def test_what_cannot_be_read_fails_a_job_and_stays(client: httpx.Client, archive: Archive) -> None:
    good, bad = store(client, dicom_file(instance=1), dicom_file(instance=2))
    archive.blobs.delete(read.attachment(archive, Level.INSTANCE, OrthancId(bad["ID"])).uuid)
    path = f"/series/{good['ParentSeries']}/modify"

    refused = client.post(path, json={"KeepSource": False})
    permitted = post(client, path, KeepSource=False, Permissive=True)

    assert refused.status_code == 404
    assert permitted["FailedInstancesCount"] == 1
    assert client.get(f"/instances/{bad['ID']}").status_code == 200
    assert client.get(f"/instances/{good['ID']}").status_code == 404


def test_results_never_take_the_place_of_their_originals_without_being_allowed_to(client: httpx.Client) -> None:
    (stored,) = store(client, dicom_file())
    keep = ["StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"]

    answer = client.post(f"/patients/{stored['ParentPatient']}/modify", json={
        "Replace": {"PatientID": "P1"}, "Keep": keep, "Force": True, "KeepSource": False
    })  # fmt: skip

    assert answer.status_code == 400
    assert client.get(f"/instances/{stored['ID']}").status_code == 200


def test_what_keeps_its_identifier_shows_the_new_attributes(client: httpx.Client) -> None:
    (stored,) = store(client, dicom_file())
    study = stored["ParentStudy"]

    post(client, f"/studies/{study}/modify", Keep=["StudyInstanceUID"], Replace={"StudyDescription": "n"}, Force=True)

    assert client.get(f"/studies/{study}").json()["MainDicomTags"]["StudyDescription"] == "n"
    assert client.post("/tools/find", json={"Level": "Study", "Query": {"StudyDescription": "n"}}).json() == [study]


def test_an_instance_is_answered_and_not_stored(client: httpx.Client) -> None:
    (stored,) = store(client, dicom_file())

    answer = client.post(f"/instances/{stored['ID']}/modify", json={"Replace": {"PatientName": "Ünal"}})

    made = pydicom.dcmread(io.BytesIO(answer.raise_for_status().content))
    assert str(made.PatientName) == "Ünal"
    assert made.SOPInstanceUID != f"{ROOT}.1.1.1.1"
    assert client.get("/instances").json() == [stored["ID"]]


# ---------------------------------------------------------------------------------------------------- anonymise


def test_one_request_gives_one_pseudonym_and_the_next_another(client: httpx.Client) -> None:
    stored = store(client, dicom_file(instance=1), dicom_file(instance=2))
    path = f"/studies/{stored[0]['ParentStudy']}/anonymize"

    first, second = (instances_of(client, str(post(client, path)["Path"])) for _ in range(2))

    names = [{str(each.PatientName) for each in results} for results in (first, second)]
    assert names == [{"Anonymized1"}, {"Anonymized2"}]
    assert len({each.StudyInstanceUID for each in first}) == 1
    assert {each.PatientID for each in first} != {each.PatientID for each in second}
    assert all("1970" not in str(each) for each in first)


def test_several_resources_are_done_in_one_job(client: httpx.Client) -> None:
    one, other = store(client, dicom_file(patient=1), dicom_file(patient=2))

    answer = post(client, "/tools/bulk-anonymize", Resources=[one["ParentSeries"], other["ID"]])

    assert answer["InstancesCount"] == 2
    made = answer["Resources"]
    assert isinstance(made, list)
    assert [each["Type"] for each in made] == ["Instance"] * 2 + ["Series"] * 2 + ["Study"] * 2 + ["Patient"] * 2
    assert all(client.get(each["Path"]).json()["AnonymizedFrom"] for each in made)


# ---------------------------------------------------------------------------------------------------- split, merge


def test_a_series_moves_into_a_study_of_its_own(client: httpx.Client) -> None:
    first, second = store(client, dicom_file(series=1), dicom_file(series=2))
    study = first["ParentStudy"]

    answer = post(client, f"/studies/{study}/split", Series=[second["ParentSeries"]])

    assert client.get(f"/studies/{study}").json()["Series"] == [first["ParentSeries"]]
    (made,) = instances_of(client, f"/studies/{answer['TargetStudy']}")
    assert (made.PatientID, made.StudyInstanceUID) == ("P1", answer["TargetStudyUID"])


def test_a_study_moves_into_another(client: httpx.Client) -> None:
    first, second = store(client, dicom_file(patient=1), dicom_file(patient=2))
    target = first["ParentStudy"]

    post(client, f"/studies/{target}/merge", Resources=[second["ParentStudy"]])

    results = instances_of(client, f"/studies/{target}")
    assert [each.PatientID for each in results] == ["P1", "P1"]
    assert client.get("/patients").json() == [first["ParentPatient"]]


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/studies/nope/split", {"Series": ["x"]}, 404),
        ("/studies/{study}/split", {}, 400),
        ("/studies/{study}/split", {"Series": ["nope"]}, 404),
        ("/studies/{study}/merge", {"Resources": ["{study}"]}, 404),
        ("/studies/{study}/merge", {"Resources": ["{patient}"]}, 404),
        ("/studies/nope/modify", {}, 400),
        ("/studies/{study}/modify", {"Priority": "high"}, 400),
        ("/studies/{study}/modify", {"Synchronous": 1}, 400),
        ("/tools/bulk-modify", {"Resources": ["nope"]}, 400),
        ("/tools/bulk-modify", {"Resources": ["{study}"], "Level": "nope"}, 400),
    ],
)
def test_what_is_wrong_is_told_before_a_job_is_made(
    client: httpx.Client, path: str, body: dict[str, object], status: int
) -> None:
    (stored,) = store(client, dicom_file())
    places = {"study": stored["ParentStudy"], "patient": stored["ParentPatient"]}
    filled = {
        name: [str(each).format(**places) for each in value] if isinstance(value, list) else value
        for name, value in body.items()
    }

    assert client.post(path.format(**places), json=filled).status_code == status
    assert client.get("/jobs").json() == []


# ---------------------------------------------------------------------------------------------------- archives


def test_an_archive_made_by_a_job_is_downloaded_from_it(client: httpx.Client) -> None:
    (stored,) = store(client, dicom_file())

    job = post(client, f"/studies/{stored['ParentStudy']}/archive", Asynchronous=True, Filename="x.zip")
    while (described := client.get(str(job["Path"])).json())["State"] not in ("Success", "Failure"):
        pass
    answer = client.get(f"{job['Path']}/archive").raise_for_status()

    assert described["Content"]["ArchiveSize"] == str(len(answer.content))
    assert answer.headers["content-disposition"] == 'filename="x.zip"'
    client.delete(f"{job['Path']}/archive").raise_for_status()
    assert client.get(f"{job['Path']}/archive").status_code == 404


def test_nothing_is_left_in_the_incoming_folder(client: httpx.Client, folder: Path, archive: Archive) -> None:
    (stored,) = store(client, dicom_file())
    study = OrthancId(stored["ParentStudy"])

    post(client, f"/studies/{study}/modify", Transcode="1.2.840.10008.1.2.5")
    client.get(f"/studies/{study}/archive?transcode=1.2.840.10008.1.2.5").raise_for_status()
    client.get(f"/instances/{stored['ID']}/file?transcode=1.2.840.10008.1.2").raise_for_status()

    assert [path for path in folder.rglob("incoming/**/*") if path.is_file() and path.stat().st_size] == []
    assert len(find.descendant_ids(archive, Level.STUDY, study, Level.INSTANCE)) == 1


# ---------------------------------------------------------------------------------------------------- pixels


@pytest.mark.parametrize(
    ("syntax", "becomes"),
    [
        ("1.2.840.10008.1.2.1", "1.2.840.10008.1.2.1"),
        ("1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.1.99"),
        ("1.2.840.10008.1.2.2", "1.2.840.10008.1.2.2"),
        ("1.2.840.10008.1.2.5", "1.2.840.10008.1.2.5"),
        ("1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.80"),
        ("1.2.840.10008.1.2.4.90", "1.2.840.10008.1.2.4.90"),
        ("1.2.840.10008.1.2.4.81", "1.2.840.10008.1.2.1"),  # lossy already: not again
    ],
)
def test_pixels_are_blanked_in_any_transfer_syntax(client: httpx.Client, syntax: str, becomes: str) -> None:
    (stored,) = store(client, dicom_file(pixels=16, attributes={"BurnedInAnnotation": "YES"}))
    study = stored["ParentStudy"]
    if syntax != "1.2.840.10008.1.2.1":
        study = str(post(client, f"/studies/{study}/modify", Transcode=syntax)["ID"])
    before = pixels_of(client, study)

    answer = post(
        client,
        f"/studies/{study}/anonymize",
        DeidentificationOptions=["CleanPixelData"],
        PixelRegions=[{"X": 2, "Y": 0, "Width": 100, "Height": 3}],
    )

    (result,) = instances_of(client, str(answer["Path"]))
    assert result.file_meta.TransferSyntaxUID == becomes
    assert result.BurnedInAnnotation == "NO"
    after = pixels_of(client, str(answer["ID"]))
    assert after[3:] == before[3:]
    assert [row[:2] for row in after[:3]] == [row[:2] for row in before[:3]]
    assert {sample for row in after[:3] for sample in row[2:]} == {min(map(min, before))}


def test_single_bits_that_cannot_be_packed_again_stay_unpacked(client: httpx.Client) -> None:
    data_set = get_testdata_file("liver_1frame.dcm", read=True)
    assert isinstance(data_set, Dataset)
    frame = imagecodecs.jpeg2k_encode(data_set.pixel_array.astype("u1"), reversible=True, codecformat="j2k")
    data_set.PixelData, data_set.file_meta.TransferSyntaxUID = encapsulate([bytes(frame)]), JPEG2000Lossless
    data_set["PixelData"].is_undefined_length = True
    file = io.BytesIO()
    data_set.save_as(file)
    (stored,) = store(client, file.getvalue())
    body = {
        "DeidentificationOptions": ["CleanPixelData"],
        "PixelRegions": [{"X": 0, "Y": 0, "Width": 9, "Height": 9}],
    }

    answer = client.post(f"/instances/{stored['ID']}/anonymize", json=body).raise_for_status()

    assert pydicom.dcmread(io.BytesIO(answer.content)).file_meta.TransferSyntaxUID == ExplicitVRLittleEndian


def pixels_of(client: httpx.Client, study: str) -> list[list[int]]:
    (instance,) = client.get(f"/studies/{study}/instances").json()
    array = numpy.load(
        io.BytesIO(client.get(f"/instances/{instance['ID']}/numpy?rescale=false").raise_for_status().content)
    )
    rows: list[list[int]] = array.reshape(16, 16).astype(int).tolist()
    return rows


def test_an_instance_with_annotations_that_nobody_locates_is_not_anonymised(client: httpx.Client) -> None:
    one, two = store(
        client,
        dicom_file(instance=1, attributes={"BurnedInAnnotation": "YES"}),
        dicom_file(instance=2, attributes={"BurnedInAnnotation": "NO"}),
    )
    body = {"DeidentificationOptions": ["CleanPixelData"]}
    refused = client.post(f"/studies/{one['ParentStudy']}/anonymize", json=body)
    assert refused.status_code == 400
    assert "PixelRegions" in refused.json()["Details"]
    assert client.post(f"/instances/{one['ID']}/anonymize", json=body).status_code == 400
    assert client.post(f"/instances/{two['ID']}/anonymize", json=body).status_code == 200
    answer = post(client, f"/studies/{one['ParentStudy']}/anonymize", Permissive=True, **body)
    assert answer["FailedInstancesCount"] == 1
