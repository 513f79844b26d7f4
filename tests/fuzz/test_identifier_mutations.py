"""Identifiers that are broken in every way: each is answered or refused, and nothing else ever comes out."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amonsul.archive.context import Archive
from amonsul.archive.ingest import ingest
from amonsul.archive.origin import InternalOrigin
from amonsul.blobs.memory import MemoryBlobs
from amonsul.blobs.spool import Spooled
from amonsul.database import SqliteSettings, open_database
from amonsul.dimse_server.find import FindService
from amonsul.dimse_server.get import GetService
from amonsul.dimse_server.query import QuerySettings
from amonsul.dimse_server.service import Answer, Association, Context, Exchange, Prepared
from amonsul.dimse_server.worklist import WorklistService, WorklistSettings
from amonsul.errors import AmonsulError
from amonsul.protocols.dimse.commands import CFindRq, CGetRq, Request, Response
from amonsul.protocols.upper_layer.items import UserInformation
from amonsul.protocols.upper_layer.pdu import AAssociateRq
from tests.contract.dicom_files import instance_file
from tests.integration.dimse.qr_door import STUDY_ROOT_FIND, STUDY_ROOT_GET, Keys, dataset

IMPLICIT, EXPLICIT, BIG_ENDIAN = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2"

KEYS: list[Keys] = [
    {"QueryRetrieveLevel": "STUDY", "StudyInstanceUID": "", "PatientName": "*a*", "StudyDate": "20200101-"},
    {"QueryRetrieveLevel": "IMAGE", "SOPInstanceUID": "1.2\\1.3", "RequestAttributesSequence": [{"Modality": "C*"}]},
    {"QueryRetrieveLevel": "SERIES", "SeriesInstanceUID": "1.2.3.1.1.1", "StudyTime": "10-12", "Rows": 5},
    {"PatientID": "PID1", "ScheduledProcedureStepSequence": [{"ScheduledProcedureStepStartDate": "2020-"}]},
]


class Nobody:
    """A peer that takes everything."""

    is_cancelled = False

    def prepare(self, *_: object) -> Prepared:
        raise AssertionError("nothing is stored that could be sent")

    def ask(self, _message: Prepared) -> None:
        raise AssertionError("nothing is stored that could be sent")

    def response(self) -> Response:
        raise AssertionError("nothing is stored that could be sent")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Archive]:
    """One instance."""
    database = open_database(SqliteSettings(tmp_path_factory.mktemp("index") / "index.db", synchronous=False))
    made = Archive(database, MemoryBlobs())
    ingest(made, Spooled.of(instance_file()), InternalOrigin())
    yield made
    database.close()


@pytest.fixture(scope="module")
def worklists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with one entry."""
    folder = tmp_path_factory.mktemp("worklists")
    (folder / "one.wl").write_bytes(instance_file())
    return folder


def encoded(keys: Keys, syntax: str) -> bytes:
    buffer = io.BytesIO()
    dataset(keys, "ISO_IR 192").save_as(buffer, implicit_vr=syntax == IMPLICIT, little_endian=syntax != BIG_ENDIAN)
    return buffer.getvalue()


def exchange(request: Request, abstract_syntax: str, syntax: str, data: bytes) -> Exchange:
    context = Context(1, abstract_syntax, syntax)
    proposal = AAssociateRq("US", "THEM", (), UserInformation(max_pdu_length=16384))
    extended = {abstract_syntax: b"\1\1\0\0"}
    association = Association("THEM", "US", "127.0.0.1", {1: context}, 16384, None, None, extended, proposal)
    return Exchange(association, context, request, Spooled.of(data), Nobody())


def drain(answers: Iterable[Answer]) -> None:
    """Take all answers; a refusal is one."""
    with contextlib.suppress(AmonsulError):
        for answer in answers:
            assert answer.response.has_data_set == (answer.data_set is not None)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    keys=st.sampled_from(KEYS),
    syntax=st.sampled_from([IMPLICIT, EXPLICIT, BIG_ENDIAN]),
    edits=st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=6), st.integers(0, 8)), max_size=4),
)
def test_a_broken_identifier_is_answered_or_refused(
    archive: Archive, worklists: Path, keys: Keys, syntax: str, edits: list[tuple[int, bytes, int]]
) -> None:
    data = encoded(keys, syntax)
    for place, inserted, removed in edits:
        data = data[:place] + inserted + data[place + removed :]
    queries = QuerySettings()
    find = CFindRq(1, STUDY_ROOT_FIND)
    drain(FindService(archive, queries).serve(exchange(find, STUDY_ROOT_FIND, syntax, data)))
    scheduled = WorklistService(archive, queries, WorklistSettings(worklists))
    drain(scheduled.serve(exchange(find, STUDY_ROOT_FIND, syntax, data)))
    nothing_described = GetService(archive, queries, lambda _archive, _ids: {})
    drain(nothing_described.serve(exchange(CGetRq(1, STUDY_ROOT_GET), STUDY_ROOT_GET, syntax, data)))
