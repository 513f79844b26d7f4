"""OrthancPeerStore: stored instances go to a peer over its REST API.

A step is an instance. Some are on their way at once, each on a connection that is kept for the next; they are counted
in order, and the checkpoint is how many are. One that was sent and not yet counted when the job stopped is sent again,
which its receiver takes for the same.

The job knows its peer by name and asks for the rest when it runs, so that no password is kept with it. A peer without
secrets is kept with it, too: one that was added for the run of a server is not known after it.
"""

from __future__ import annotations

import contextlib
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from isal import isal_zlib

from amonsul.archive import read, rewriting
from amonsul.archive.context import Archive
from amonsul.archive.rewriting import Transcoding
from amonsul.blobs.spool import Spooled
from amonsul.clients.http import Body, Session
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import AmonsulError, JobCanceled
from amonsul.imaging.codecs import Codecs
from amonsul.jobs.kind import Kind, Progress, Running
from amonsul.jobs.kinds.dicom_modality_store import Reference
from amonsul.jobs.peers import CONNECTIONS, INSTANCES, MEDIA_TYPE, PeerClient, may_pass

_AHEAD: Final = 2
"""Instances that wait behind each connection."""
_PIECE: Final = 256 << 10
_GZIP: Final = 31
_COMPRESSION_LEVEL: Final = 1


@dataclass(frozen=True, slots=True)
class PeerStore:
    """Arguments.

    Attributes:
        peer: its name.
        shown: what the content tells of it.
        kept: all of it as JSON, if there is no secret in it.
        resources: as named.
        instances: to send, in this order.
        transcode: transfer syntax to send in; empty for each as it is.
        lossy_quality: of `transcode`, if something is lost by it.
        compress: send them with `Content-Encoding: gzip`.
    """

    peer: str
    shown: object
    kept: object
    resources: tuple[Reference, ...]
    instances: tuple[OrthancId, ...]
    permissive: bool = False
    transcode: str = ""
    lossy_quality: int = 90
    compress: bool = False
    description: str = "REST API"


@dataclass(frozen=True, slots=True)
class _Outcome:
    size: int
    """Of what was to be sent, in bytes."""
    error: AmonsulError | None = None


def peer_store(archive: Archive, codecs: Codecs, peers: PeerClient) -> Kind[PeerStore]:
    """The kind, with what it works with."""

    def run(arguments: PeerStore, running: Running) -> Iterator[Progress]:
        total = len(arguments.instances)
        done = int(running.checkpoint or 0)
        sender = _Sender(archive, codecs, peers, arguments, running)
        connections = max(CONNECTIONS, running.threads)
        waiting: deque[Future[_Outcome]] = deque()
        with contextlib.ExitStack() as stack:
            stack.callback(sender.close)
            pool = ThreadPoolExecutor(connections, "peer-store")
            stack.callback(pool.shutdown, wait=True, cancel_futures=True)
            following = iter(arguments.instances[done:])
            while done < total:
                while len(waiting) < connections * _AHEAD and (instance_id := next(following, None)) is not None:
                    waiting.append(pool.submit(sender.send, instance_id))
                outcome = waiting.popleft().result()
                with running.item(arguments.permissive):
                    if outcome.error is not None:
                        raise outcome.error
                _count(running.content, outcome.size)
                done += 1
                yield Progress(done, total, done)

    def content(arguments: PeerStore) -> dict[str, object]:
        shown: dict[str, object] = {
            "Compress": arguments.compress,
            "Description": arguments.description,
            "FailedInstancesCount": 0,
            "InstancesCount": len(arguments.instances),
            "ParentResources": [each.orthanc_id for each in arguments.resources],
            "Peer": arguments.shown,
            "Resources": [{"ID": each.orthanc_id, "Type": each.type_name} for each in arguments.resources],
            "Size": "0",
            "SizeMB": 0,
        }
        if arguments.transcode:
            shown["Transcode"] = arguments.transcode
        return shown

    return Kind("OrthancPeerStore", PeerStore, run, content, may_pass=may_pass, max_attempts=1)


def _count(content: dict[str, object], size: int) -> None:
    size += int(str(content["Size"]))
    content["Size"] = str(size)
    content["SizeMB"] = size >> 20


class _Sender:
    """Sends instances from several threads, each of which has a session of its own."""

    def __init__(
        self, archive: Archive, codecs: Codecs, peers: PeerClient, arguments: PeerStore, running: Running
    ) -> None:
        self._archive = archive
        self._codecs = codecs
        self._peers = peers
        self._arguments = arguments
        self._running = running
        self._has_failed = False
        self._transcoding = None
        if arguments.transcode:
            self._transcoding = Transcoding(arguments.transcode, arguments.lossy_quality)
        self._headers: Mapping[str, str] = {"Content-Encoding": "gzip"} if arguments.compress else {}
        self._lock = threading.Lock()
        self._idle: list[Session] = []

    def send(self, instance_id: OrthancId) -> _Outcome:
        """Send one, unless the job is about to stop: who waits for that should not wait for another silence."""
        size = 0
        if self._running.stopping or self._has_failed:
            return _Outcome(size, JobCanceled())
        try:
            with contextlib.ExitStack() as stack:
                body, size = self._body(instance_id, stack)
                session = self._take()
                try:
                    session.require("POST", INSTANCES, body, self._headers)
                finally:
                    with self._lock:
                        self._idle.append(session)
        except AmonsulError as error:
            self._has_failed = not self._arguments.permissive
            return _Outcome(size, error)
        return _Outcome(size)

    def close(self) -> None:
        """Close all connections; nothing is on its way any more."""
        for session in self._idle:
            session.close()

    def _take(self) -> Session:
        with self._lock:
            if self._idle:
                return self._idle.pop()
        return self._peers.session(self._arguments.peer, self._arguments.kept)

    def _body(self, instance_id: OrthancId, stack: contextlib.ExitStack) -> tuple[Body, int]:
        stored = read.attachment(self._archive, Level.INSTANCE, instance_id)
        if self._transcoding is None and not self._arguments.compress:

            def again() -> tuple[int, Iterable[bytes]]:
                chunks = stored.chunks()  # opened first: only now is its size certain
                return stored.size, chunks

            return Body(again, MEDIA_TYPE), stored.size
        file = rewriting.copied(self._archive, stored)
        if self._transcoding is not None:
            file = rewriting.transcoded(self._archive, file, self._codecs, self._transcoding, is_new=False)
        if self._arguments.compress:
            file = self._compressed(file)
        stack.callback(file.discard)
        return Body.of(file.view(), MEDIA_TYPE), file.size

    def _compressed(self, file: Spooled) -> Spooled:
        spool = self._archive.blobs.spool()
        try:
            compressor = isal_zlib.compressobj(_COMPRESSION_LEVEL, isal_zlib.DEFLATED, _GZIP)
            view = file.view()
            for start in range(0, len(view), _PIECE):
                spool.write(compressor.compress(view[start : start + _PIECE]))
            spool.write(compressor.flush())
            return spool.finish()
        except BaseException:
            spool.discard()
            raise
        finally:
            file.discard()
