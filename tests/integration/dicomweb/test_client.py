"""A client that others wrote drives every service."""

from __future__ import annotations

import io

import numpy
import pytest
from dicomweb_client.api import DICOMwebClient
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset

from amonsul.web.dicomweb.settings import DicomWebSettings
from amonsul.web.services import Services
from amonsul.web.settings import WebSettings
from tests.integration.rest.dicom_files import ROOT, dicom_file
from tests.integration.rest.serving import serving_archive


def data_sets(count: int) -> list[Dataset]:
    return [dcmread(io.BytesIO(dicom_file(1, 1, 1, number, pixels=16))) for number in range(1, count + 1)]


def test_dicomweb_client_drives_every_service(services: Services) -> None:
    settings = WebSettings(dicom_web=DicomWebSettings(allowed_to_delete=True))
    study, series = f"{ROOT}.1.1", f"{ROOT}.1.1.1"
    instance = f"{series}.2"
    with serving_archive(Services(services.archive, settings)) as served:
        client = DICOMwebClient(f"{served.url}/dicom-web")
        answer = client.store_instances(data_sets(3))
        assert len(answer.ReferencedSOPSequence) == 3

        (found,) = client.search_for_studies(search_filters={"PatientID": "P1"}, fields=["StudyDescription"])
        assert Dataset.from_json(found).StudyDescription == "Müller"
        assert len(client.search_for_series(study)) == 1
        assert len(client.search_for_instances(study, series, limit=2, offset=1)) == 2
        assert len(client.search_for_studies(search_filters={"PatientName": "Do*"}, fuzzymatching=True)) == 1

        assert [one.InstanceNumber for one in client.retrieve_study(study)] == [1, 2, 3]
        assert len(client.retrieve_series(study, series)) == 3
        retrieved = client.retrieve_instance(study, series, instance)
        assert retrieved == data_sets(2)[1]
        assert len(list(client.iter_series(study, series))) == 3

        assert len(client.retrieve_study_metadata(study)) == 3
        assert len(client.retrieve_series_metadata(study, series)) == 3
        metadata = client.retrieve_instance_metadata(study, series, instance)
        # This client leaves the port out of its Host header.
        uri = metadata["7FE00010"]["BulkDataURI"].replace("127.0.0.1/", f"127.0.0.1:{served.port}/")
        assert client.retrieve_bulkdata(uri) == [data_sets(2)[1].PixelData]

        (frame,) = client.retrieve_instance_frames(study, series, instance, [1])
        assert frame == data_sets(2)[1].PixelData
        for kind in ("image/png", "image/jpeg"):
            assert client.retrieve_instance_rendered(study, series, instance, media_types=(kind,))
            assert client.retrieve_instance_frames_rendered(study, series, instance, [1], media_types=(kind,))

        client.delete_instance(study, series, instance)
        assert len(client.search_for_instances(study)) == 2
        client.delete_series(study, series)
        assert client.search_for_studies() == []


@pytest.mark.parametrize("name", ["SC_rgb_rle_2frame.dcm", "MR_small_RLE.dcm", "SC_rgb_jpeg_dcmtk.dcm", "JPEG2000.dcm"])
def test_dicomweb_client_reads_what_was_compressed(services: Services, name: str) -> None:
    path = get_testdata_file(name)
    assert isinstance(path, str)
    source = dcmread(path)
    with serving_archive(services) as served:
        client = DICOMwebClient(f"{served.url}/dicom-web")
        client.store_instances([source])
        uids = (source.StudyInstanceUID, source.SeriesInstanceUID, source.SOPInstanceUID)
        (kept,) = client.retrieve_instance_frames(*uids, [1], media_types=(("application/octet-stream", "*"),))
        assert kept
        plain = client.retrieve_instance(*uids, media_types=(("application/dicom", "1.2.840.10008.1.2.1"),))
        assert plain.file_meta.TransferSyntaxUID == "1.2.840.10008.1.2.1"
        assert numpy.allclose(plain.pixel_array, source.pixel_array, atol=2) or name == "SC_rgb_jpeg_dcmtk.dcm"
