"""A full disk refuses what comes in, breaks nothing that is there, and is no reason to restart (DUR-3)."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.integration.server.dicom_client import Peer
from tests.integration.server.instances import Instance
from tests.integration.server.running import AE_TITLE, run_cli, serving

SMALL_MB, LARGE_MB = 12, 64
OUT_OF_RESOURCES = 0xA700  # PS3.4 Table B.2-1

_FULL_DISK = """
/* Makes a disk look full while a marker file exists: for where a small file system cannot be mounted. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

static int full(int fd) {
    char link[64], path[4096];
    struct stat ignored;
    const char *folder = getenv("FULL_DISK_FOLDER"), *marker = getenv("FULL_DISK_MARKER");
    if (!folder || !marker || stat(marker, &ignored) != 0) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return strncmp(path, folder, strlen(folder)) == 0;
}

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))
#define REFUSE(fd) if (full(fd)) { errno = ENOSPC; return -1; }

ssize_t write(int fd, const void *data, size_t size) { REFUSE(fd) return REAL(write)(fd, data, size); }
ssize_t pwrite(int fd, const void *data, size_t size, off_t at) { REFUSE(fd) return REAL(pwrite)(fd, data, size, at); }
ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REFUSE(fd) return REAL(pwrite64)(fd, data, size, at);
}
ssize_t writev(int fd, const struct iovec *parts, int count) { REFUSE(fd) return REAL(writev)(fd, parts, count); }
"""


@dataclass
class Disk:
    """A folder on a disk that is nearly full, and the way to give it more room."""

    folder: Path
    environment: dict[str, str]
    kind: str
    _marker: Path

    def fill(self) -> None:
        """Leave no room, where the size of the disk does not see to it."""
        if self.kind == "shim":
            self._marker.touch()

    def grow(self) -> None:
        """Make room."""
        if self.kind == "shim":
            self._marker.unlink()
        else:
            subprocess.run(["mount", "-o", f"remount,size={LARGE_MB}m", str(self.folder)], check=True)


@contextmanager
def small_disk(tmp_path: Path) -> Iterator[Disk]:
    """A file system of its own in memory if one may be mounted, else a library that pretends."""
    folder = tmp_path / "disk"
    folder.mkdir()
    marker = tmp_path / "full"
    command = ["mount", "-t", "tmpfs", "-o", f"size={SMALL_MB}m", "tmpfs", str(folder)]
    if shutil.which("mount") and subprocess.run(command, capture_output=True, check=False).returncode == 0:
        try:
            yield Disk(folder, {}, "tmpfs", marker)
        finally:
            subprocess.run(["umount", "--lazy", str(folder)], check=True)
        return
    source, library = tmp_path / "full_disk.c", tmp_path / "full_disk.so"
    source.write_text(_FULL_DISK)
    subprocess.run(["cc", "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"], check=True)
    environment = {"LD_PRELOAD": str(library), "FULL_DISK_FOLDER": str(folder), "FULL_DISK_MARKER": str(marker)}
    yield Disk(folder, environment, "shim", marker)


@pytest.mark.parametrize("index", ["on the same disk", "on another disk"])
def test_a_full_disk_refuses_and_recovers_without_a_restart(
    tmp_path: Path, index: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with small_disk(tmp_path) as disk:
        print(f"the small disk is a {disk.kind}")
        for name, value in disk.environment.items():
            monkeypatch.setenv(name, value)
        index_folder = disk.folder if index == "on the same disk" else tmp_path / "index"
        options = {"StorageDirectory": str(disk.folder / "storage"), "IndexDirectory": str(index_folder / "index")}
        size = 600_000
        with serving(tmp_path, options) as server, server.client() as client:

            def post(number: int) -> int:
                return client.post("/instances", content=Instance(number, size=size).file()).status_code

            stored = [number for number in range(1, 11) if post(number) == 200]
            assert stored
            disk.fill()
            codes = [post(number) for number in range(100, 140)]
            assert set(codes) <= {200, 507}
            assert codes[-1] == 507
            with Peer(server.dicom_port, AE_TITLE) as peer:
                peer.associate()
                assert [peer.store(Instance(number, size=size)) for number in (200, 201)] == [OUT_OF_RESOURCES] * 2
                assert peer.echo() == 0
            for number in stored:  # reads go on
                answer = client.get(f"/instances/{Instance(number).orthanc_id}/file")
                assert answer.content == Instance(number, size=size).file()
            kept = len(stored) + codes.count(200)
            assert client.get("/statistics").json()["CountInstances"] == kept
            disk.grow()
            assert post(300) == 200
            with Peer(server.dicom_port, AE_TITLE) as peer:
                peer.associate()
                assert peer.store(Instance(301, size=size)) == 0
            assert client.get("/statistics").json()["CountInstances"] == kept + 2
            assert server.stop() == 0
        checked = run_cli("fsck", "--md5", str(tmp_path / "configuration.json"), cwd=tmp_path)
        assert checked.returncode == 0, checked.stdout
