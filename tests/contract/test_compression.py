"""Compressed attachments: what lies in the storage, and that readers see none of it."""

from __future__ import annotations

import hashlib
import struct
import threading
import zlib
from dataclasses import replace
from pathlib import Path

import pytest

from amonsul import mapped
from amonsul.archive import edit, fsck, read, statistics
from amonsul.archive.compression import compress, inflate, part
from amonsul.archive.context import Archive, Overwrite
from amonsul.archive.ingest import IngestStatus
from amonsul.blobs.memory import MemoryBlobs
from amonsul.blobs.spool import Spooled
from amonsul.cli import main
from amonsul.dicom.levels import Level
from amonsul.errors import BadFileFormat, UnknownResource
from tests.contract.dicom_files import instance_file
from tests.contract.storing import store, store_instance

CONTENT = b"".join(number.to_bytes(4, "big") for number in range(200_000))


def compressing(archive: Archive, **settings: object) -> Archive:
    return replace(archive, settings=replace(archive.settings, compression=True, **settings))  # type: ignore[arg-type]


def packed(data: bytes) -> bytes:
    return bytes(
        compress(MemoryBlobs().spool(), len(data), mapped.pieces(memoryview(data)), with_md5=False).spooled.view()
    )


def test_the_form_is_the_size_and_a_zlib_stream() -> None:
    made = compress(MemoryBlobs().spool(), len(CONTENT), mapped.pieces(memoryview(CONTENT), 7), with_md5=True)
    data = bytes(made.spooled.view())
    assert struct.unpack("<Q", data[:8]) == (len(CONTENT),)
    assert zlib.decompress(data[8:]) == CONTENT
    assert (made.size, made.md5) == (len(data), hashlib.md5(data).hexdigest())


def test_it_is_inflated_whatever_the_pieces() -> None:
    stream = packed(b"some text" * 30)[8:]
    for size in (1, 2, 7, len(stream)):
        cut = [stream[at : at + size] for at in range(0, len(stream), size)]
        assert b"".join(inflate(iter(cut), 270)) == b"some text" * 30
    assert list(inflate(iter([packed(b"")[8:]]), 0)) == []


def test_what_is_damaged_is_never_given_out_whole() -> None:
    stream = packed(b"some text" * 30)[8:]
    for broken, size in (
        (stream[:-1], 270),
        (stream, 269),
        (stream, 271),
        (stream + b"x", 270),
        (b"", 270),
        (bytes([stream[0] ^ 1]) + stream[1:], 270),
    ):
        with pytest.raises(BadFileFormat):
            list(inflate(iter([broken]), size))


def test_a_bomb_is_inflated_no_further_than_its_size() -> None:
    stream = zlib.compress(bytes(50 << 20))
    taken: list[bytes] = []
    with pytest.raises(BadFileFormat):
        taken.extend(inflate(iter([stream]), 1000))
    assert sum(map(len, taken)) <= 1000


def test_parts_end_where_they_should() -> None:
    data = b"0123456789"
    for start in range(11):
        for end in (*range(start, 12), None):
            cut = iter([data[:3], data[3:4], data[4:]])
            assert b"".join(part(cut, start, end)) == data[start:end]


def run(*arguments: str) -> object:
    """Exit status of the program."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return ended.value.code


def test_a_file_is_recovered_without_an_index(tmp_path: Path) -> None:
    source, target = tmp_path / "blob", tmp_path / "content"
    source.write_bytes(packed(CONTENT))
    assert run("recover-compressed", str(source), str(target)) == 0
    assert target.read_bytes() == CONTENT
    source.write_bytes(packed(b"other"))
    assert run("recover-compressed", str(source), str(target)) == 1  # never over what is there
    assert target.read_bytes() == CONTENT
    target.unlink()
    for broken in (b"", b"1234", packed(CONTENT)[:-20], CONTENT):
        source.write_bytes(broken)
        assert run("recover-compressed", str(source), str(target)) == 1
        assert not target.exists()


def test_an_instance_is_read_as_it_came(archive: Archive) -> None:
    archive = compressing(archive)
    data = instance_file(pixels=bytes(300_000))
    stored = store(archive, data)
    attachments = read.attachments(archive, Level.INSTANCE, stored.instance_id)
    assert list(attachments) == ["dicom", "dicom-until-pixel-data"]
    file = read.attachment(archive, Level.INSTANCE, stored.instance_id)
    assert file.compression == 2
    assert (file.size, file.md5) == (len(data), hashlib.md5(data).hexdigest())
    assert file.compressed_size == len(file.read_compressed()) < 2000
    assert file.compressed_md5 == hashlib.md5(file.read_compressed()).hexdigest()
    assert b"".join(file.chunks_compressed()) == file.read_compressed()
    assert file.path() is None
    assert file.verify()
    assert file.read() == data == b"".join(file.chunks())
    assert file.read(100, 200_000) == data[100:200_000]
    assert file.read(len(data) - 5) == data[-5:]
    beginning = read.attachment(archive, Level.INSTANCE, stored.instance_id, "dicom-until-pixel-data")
    assert data.startswith(beginning.read())
    assert data[beginning.size :].startswith(b"\xe0\x7f\x10\x00")
    total = statistics.system(archive)
    assert total.disk_size == file.compressed_size + beginning.compressed_size
    assert total.uncompressed_size == file.size + beginning.size
    of_patient = statistics.of_resource(archive, Level.PATIENT, stored.patient_id)
    assert (of_patient.dicom_disk_size, of_patient.dicom_uncompressed_size) == (file.compressed_size, len(data))
    assert fsck.check(archive).clean


def test_the_same_file_is_known_again_without_its_md5(archive: Archive) -> None:
    archive = compressing(archive, store_md5=False, overwrite=Overwrite.IF_CHANGED)
    data = instance_file(pixels=bytes(3000))
    store(archive, data)
    assert store(archive, data).status is IngestStatus.ALREADY_STORED
    assert store(archive, data[:-2] + b"xy").status is IngestStatus.SUCCESS


def test_an_attachment_changes_its_form_and_keeps_its_content(archive: Archive) -> None:
    study = store_instance(archive).study_id
    edit.set_attachment(archive, Level.STUDY, study, "1024", Spooled.of(CONTENT))
    before = statistics.system(archive)
    for compressed, compression, revision in ((True, 2, 1), (True, 2, 1), (False, 1, 2), (False, 1, 2), (True, 2, 3)):
        edit.set_compression(archive, Level.STUDY, study, "1024", compressed)
        found = read.attachment(archive, Level.STUDY, study, "1024")
        assert (found.compression, found.revision) == (compression, revision)
        assert found.read() == CONTENT
        assert found.md5 == hashlib.md5(CONTENT).hexdigest()
    assert statistics.system(archive).uncompressed_size == before.uncompressed_size
    assert statistics.system(archive).disk_size < before.disk_size
    assert isinstance(archive.blobs, MemoryBlobs)
    assert len(list(archive.blobs.scan())) == 2
    assert fsck.check(archive).clean
    with pytest.raises(UnknownResource):
        edit.set_compression(archive, Level.STUDY, study, "1025", True)


def test_readers_see_one_content_while_its_form_changes(archive: Archive) -> None:
    study = store_instance(archive).study_id
    edit.set_attachment(archive, Level.STUDY, study, "1024", Spooled.of(CONTENT))
    wrong: list[bytes] = []
    done = threading.Event()

    def reader() -> None:
        while not done.is_set():
            found = read.attachment(archive, Level.STUDY, study, "1024")
            if found.read(1000, 2000) != CONTENT[1000:2000]:
                wrong.append(b"part")
            if b"".join(found.chunks()) != CONTENT:
                wrong.append(b"all")

    readers = [threading.Thread(target=reader) for _ in range(3)]
    for one in readers:
        one.start()
    for number in range(12):
        edit.set_compression(archive, Level.STUDY, study, "1024", number % 2 == 0)
    done.set()
    for one in readers:
        one.join()
    assert wrong == []
