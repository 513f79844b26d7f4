"""What every blob store keeps."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.blobs.ids import is_blob_id, new_blob_id
from amonsul.blobs.memory import MemoryBlobs
from amonsul.blobs.spool import Spooled
from amonsul.blobs.store import BlobId, BlobStore
from amonsul.errors import InexistentFile, PayloadTooLarge

LARGE = bytes(range(256)) * (40 << 10)  # 10 MB: more than a spool keeps in memory


@pytest.fixture(params=["filesystem", "filesystem, not synced", "memory"])
def blobs(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[BlobStore]:
    store: BlobStore
    if request.param == "memory":
        store = MemoryBlobs()
    else:
        store = FilesystemBlobs(tmp_path, sync=request.param == "filesystem")
    yield store
    store.close()


def stored(blobs: BlobStore, data: bytes) -> BlobId:
    blob = blobs.stage(Spooled.of(data))
    blobs.publish(blob)
    return blob


def named(*blobs: BlobId) -> Callable[[Sequence[BlobId]], set[BlobId]]:
    return lambda asked: set(asked) & set(blobs)


def test_what_was_stored_is_read_back(blobs: BlobStore) -> None:
    blob = stored(blobs, b"some bytes")
    assert is_blob_id(blob)
    assert blobs.size(blob) == 10
    assert blobs.read(blob) == b"some bytes"
    assert b"".join(blobs.chunks(blob)) == b"some bytes"


@pytest.mark.parametrize("data", [b"", b"x", LARGE], ids=["empty", "one byte", "large"])
def test_any_size_is_stored(blobs: BlobStore, data: bytes) -> None:
    blob = stored(blobs, data)
    assert blobs.size(blob) == len(data)
    assert blobs.read(blob) == data
    assert b"".join(blobs.chunks(blob)) == data


@pytest.mark.parametrize(("start", "end"), [(0, 4), (3, 7), (5, None), (0, 0), (9, 100), (10, None), (20, 30), (7, 3)])
def test_a_part_is_read(blobs: BlobStore, start: int, end: int | None) -> None:
    blob = stored(blobs, b"0123456789")
    assert blobs.read(blob, start, end) == b"0123456789"[start:end]
    assert b"".join(blobs.chunks(blob, start, end)) == b"0123456789"[start:end]


def test_a_part_of_a_large_blob_comes_in_bounded_pieces(blobs: BlobStore) -> None:
    blob = stored(blobs, LARGE)
    pieces = list(blobs.chunks(blob, 1000, len(LARGE) - 1000))
    assert b"".join(pieces) == LARGE[1000:-1000]
    assert max(map(len, pieces)) <= 1 << 20


def test_a_spool_ends_as_a_blob(blobs: BlobStore) -> None:
    spool = blobs.spool()
    for at in range(0, len(LARGE), 1 << 20):
        spool.write(LARGE[at : at + (1 << 20)])
    blob = blobs.stage(spool.finish())
    blobs.publish(blob)
    assert blobs.read(blob) == LARGE


def test_a_spool_refuses_more_than_its_limit(blobs: BlobStore) -> None:
    spool = blobs.spool(size_limit=100)
    spool.write(b"x" * 100)
    with pytest.raises(PayloadTooLarge):
        spool.write(b"x")
    spool.discard()


def test_a_staged_blob_can_be_read_before_it_is_published(blobs: BlobStore) -> None:
    blob = blobs.stage(Spooled.of(b"early"))
    assert blobs.read(blob) == b"early"
    assert list(blobs.scan()) == []


def test_a_discarded_blob_is_gone(blobs: BlobStore) -> None:
    blob = blobs.stage(Spooled.of(b"unwanted"))
    blobs.discard(blob)
    with pytest.raises(InexistentFile):
        blobs.read(blob)


def test_a_deleted_blob_is_gone_and_may_be_deleted_again(blobs: BlobStore) -> None:
    blob = stored(blobs, b"unwanted")
    blobs.delete(blob)
    blobs.delete(blob)
    for reach in (blobs.read, blobs.size, blobs.chunks):
        with pytest.raises(InexistentFile):
            reach(blob)


def test_a_blob_deleted_before_it_was_published_stays_away(blobs: BlobStore) -> None:
    blob = blobs.stage(Spooled.of(b"unwanted"))
    blobs.delete(blob)
    blobs.publish(blob)
    assert list(blobs.scan()) == []


def test_open_chunks_survive_a_deletion(blobs: BlobStore) -> None:
    blob = stored(blobs, LARGE)
    chunks = blobs.chunks(blob)
    blobs.delete(blob)
    assert b"".join(chunks) == LARGE


def test_names_that_are_no_identifiers_are_not_there(blobs: BlobStore) -> None:
    for name in ("", "../../etc/passwd", "x", "/etc/passwd", "incoming/.lock"):
        with pytest.raises(InexistentFile):
            blobs.read(BlobId(name))
        blobs.delete(BlobId(name))


def test_scan_tells_what_is_published_in_order_of_identifiers(blobs: BlobStore) -> None:
    made = [stored(blobs, b"x" * size) for size in range(5)]
    blobs.stage(Spooled.of(b"not yet"))
    assert list(blobs.scan()) == sorted((blob, size) for size, blob in enumerate(made))


def test_identifiers_grow() -> None:
    made = [new_blob_id() for _ in range(2000)]
    assert made == sorted(set(made))
    assert all(is_blob_id(blob) and blob[14] == "7" and blob[19] in "89ab" for blob in made)


@pytest.mark.parametrize("size", [4095, 4097, 70_000, 100_001])
def test_a_write_that_stops_short_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    store = FilesystemBlobs(tmp_path)
    data = (bytes(range(251)) * (size // 251 + 1))[:size]
    write = os.write
    monkeypatch.setattr("amonsul.blobs.filesystem.os.write", lambda number, data: write(number, data[:8192]))
    assert store.read(stored(store, data)) == data
    store.close()


class TestRecovery:
    """Of the file system: what an earlier run left is settled, what a living one does is left alone."""

    def left(self, root: Path) -> list[str]:
        return sorted(path.name for path in root.rglob("*") if path.is_file() and path.name != ".lock")

    def abandoned(self, root: Path, *data: bytes) -> list[BlobId]:
        """Blobs staged by a run that ended without a word."""
        store = FilesystemBlobs(root)
        made = [store.stage(Spooled.of(one)) for one in data]
        spool = store.spool()
        spool.write(LARGE)
        store.close()  # releases the lock, as the end of a process does
        return made

    def test_staged_blobs_are_published_if_a_row_names_them(self, tmp_path: Path) -> None:
        kept, unwanted = self.abandoned(tmp_path, b"kept", b"unwanted")
        store = FilesystemBlobs(tmp_path)
        assert store.recover(named(kept)) == 2  # the blob without row, and the spool
        assert store.read(kept) == b"kept"
        with pytest.raises(InexistentFile):
            store.read(unwanted)
        assert list(store.scan()) == [(kept, 4)]
        store.close()
        assert self.left(tmp_path) == [kept]

    def test_what_a_living_process_stages_is_left_alone(self, tmp_path: Path) -> None:
        living, store = FilesystemBlobs(tmp_path), FilesystemBlobs(tmp_path)
        blob = living.stage(Spooled.of(b"in work"))
        assert store.recover(named()) == 0
        assert store.read(blob) == b"in work"
        living.publish(blob)
        assert list(store.scan()) == [(blob, 7)]
        living.close()
        store.close()

    def test_nothing_is_left_of_a_clean_run(self, tmp_path: Path) -> None:
        store = FilesystemBlobs(tmp_path)
        blob = stored(store, b"x")
        store.delete(blob)
        store.close()
        assert self.left(tmp_path) == []
        assert list((tmp_path / "incoming").glob("*/")) == []

    def test_recovering_twice_is_harmless(self, tmp_path: Path) -> None:
        (kept,) = self.abandoned(tmp_path, b"kept")
        store = FilesystemBlobs(tmp_path)
        store.recover(named(kept))
        assert store.recover(named(kept)) == 0
        assert store.read(kept) == b"kept"
        store.close()
