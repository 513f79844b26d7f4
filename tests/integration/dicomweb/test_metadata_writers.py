"""Metadata of many series at once: what is kept between requests must not show in the metadata of another instance."""

from __future__ import annotations

import base64
import random
import struct
import sys
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from amonsul.web.dicomweb import metadata
from amonsul.web.dicomweb.settings import DicomWebSettings, OtherBinary
from amonsul.web.services import Services
from amonsul.web.settings import WebSettings
from tests.integration.dicomweb.parts import parts_of
from tests.integration.rest.dicom_files import ROOT, dicom_file
from tests.integration.rest.serving import serving_archive

Model = Mapping[str, Any]  # Any: the DICOM JSON Model, looked into by the tests

SERIES, INSTANCES = 6, 8
STUDY = f"{ROOT}.1.1"
OWN = {"ImageComments": "00204000", "SliceLocation": "00201041", "ReferencedImageSequence": "00081140"} | {
    "VectorGridData": "00640009",
    "ICCProfile": "00282000",
}


def attributes_of(number: int) -> dict[str, object]:
    """Attributes that all tell the number of their instance; which ones there are changes now and then."""
    nested = Dataset()
    nested.ReferencedSOPInstanceUID = f"1.2.{number}"
    nested.add_new(0x00420011, "OB", b"%04d" % number)
    values: dict[str, object] = {
        "ImageComments": f"number {number}",
        "SliceLocation": str(number),
        "ReferencedImageSequence": Sequence([nested]),
        "VectorGridData": struct.pack("<f", number),
        "ICCProfile": b"%06d" % number,
    }
    shape = random.Random(number // 2)
    return {name: value for name, value in values.items() if shape.random() < 0.8}


def place_of(number: int) -> tuple[int, int]:
    """Numbers of its series and of it there."""
    return number // INSTANCES + 1, number % INSTANCES + 1


def uid_of(number: int) -> str:
    return f"{STUDY}.{number // INSTANCES + 1}.{number % INSTANCES + 1}"


def expected(base: str, number: int, mode: OtherBinary) -> Model:
    """Those attributes in the JSON model."""
    url = f"{base}/dicom-web/studies/{STUDY}/series/{STUDY}.{number // INSTANCES + 1}/instances/{uid_of(number)}/bulk"
    vector: dict[str, object] = {"vr": "OF"}
    match mode:
        case OtherBinary.BULK_DATA_URI:
            vector["BulkDataURI"] = f"{url}/00640009"
        case OtherBinary.INLINE_BINARY:
            vector["InlineBinary"] = base64.b64encode(struct.pack("<f", number)).decode()
        case OtherBinary.ARRAY_OF_VALUES:
            vector["Value"] = [float(number)]
    nested = {
        "00081155": {"vr": "UI", "Value": [f"1.2.{number}"]},
        "00420011": {"vr": "OB", "BulkDataURI": f"{url}/00081140/1/00420011"},
    }
    values = {
        "ImageComments": {"vr": "LT", "Value": [f"number {number}"]},
        "SliceLocation": {"vr": "DS", "Value": [str(number)]},
        "ReferencedImageSequence": {"vr": "SQ", "Value": [nested]},
        "VectorGridData": vector,
        "ICCProfile": {"vr": "OB", "BulkDataURI": f"{url}/00282000"},
    }
    return {OWN[name]: value for name, value in values.items() if name in attributes_of(number)}


def test_metadata_asked_for_at_once_do_not_mix(services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metadata, "_KEPT", metadata._Kept(0))  # each request has to write what it answers
    with ExitStack() as stack:
        stack.callback(sys.setswitchinterval, sys.getswitchinterval())
        sys.setswitchinterval(1e-6)  # threads that touch what is another's meet there
        urls = {}
        for mode in OtherBinary:
            # a client that gets no time for a while finds its connection still open
            settings = WebSettings(dicom_web=DicomWebSettings(other_binary=mode), keep_alive_timeout_s=600)
            urls[mode] = stack.enter_context(serving_archive(Services(services.archive, settings))).url
        for number in range(SERIES * INSTANCES):
            file = dicom_file(1, 1, *place_of(number), attributes=attributes_of(number))
            posted = httpx.post(f"{urls[OtherBinary.BULK_DATA_URI]}/instances", content=file, timeout=600)
            assert posted.status_code == 200
        numbers = {uid_of(number): number for number in range(SERIES * INSTANCES)}

        def ask(seed: int) -> int:
            chance, count = random.Random(seed), 0
            with httpx.Client(timeout=600) as client:
                for _ in range(25):
                    mode, base = chance.choice([*urls.items()])
                    path = f"{base}/dicom-web/studies/{STUDY}" + chance.choice(
                        ["", *(f"/series/{STUDY}.{series}" for series in range(1, SERIES + 1))]
                    )
                    if chance.random() < 0.3:
                        answer = client.get(f"{path}/metadata", headers={"accept": "application/dicom+xml"})
                        for _, data in parts_of(answer):
                            (own,) = (number for uid, number in numbers.items() if f">{uid}<".encode() in data)
                            told = f">number {own}<".encode() in data
                            assert told == ("ImageComments" in attributes_of(own))
                            assert data.count(b">number ") == told
                    else:
                        for model in client.get(f"{path}/metadata").json():
                            own = numbers[model["00080018"]["Value"][0]]
                            found = {tag: model[tag] for tag in OWN.values() if tag in model}
                            assert found == expected(base, own, mode)
                            count += 1
            return count

        with ThreadPoolExecutor(6) as threads:
            assert sum(threads.map(ask, range(6))) > 0


def test_a_writer_that_wrote_something_large_is_not_kept(client: httpx.Client) -> None:
    writers = metadata._WRITERS[OtherBinary.BULK_DATA_URI]
    writers.clear()
    items = []
    for number in range(2000):
        item = Dataset()
        item.ReferencedSOPInstanceUID = "1.2." + ".".join(str(number * step) for step in range(11, 19))
        items.append(item)
    for instance, attributes, count in ((1, {"ReferencedImageSequence": Sequence(items)}, 0), (2, {}, 1)):
        client.post("/instances", content=dicom_file(1, 1, 1, instance, attributes=attributes))
        path = f"/dicom-web/studies/{STUDY}/series/{STUDY}.1/instances/{STUDY}.1.{instance}/metadata"
        assert len(client.get(path).json()) == 1
        assert len(writers) == count
