"""The composition root: everything is built here from the configuration, started and stopped in order. No behaviour.

On the way up nothing listens before the archive has put in order what an earlier run may have left; ports are taken
first of all, so that a server that is started twice fails before it touches any data. On the way down the doors close,
running work gets a bounded time, and the database is the last to go.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import os
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Final, TypeVar

import uvicorn
import uvloop

from amonsul import __version__, logs, measures
from amonsul.archive.context import DEFAULT_ENCODING, Archive
from amonsul.archive.dicom_web_servers import DicomWebServers
from amonsul.archive.indexing import TagIndexing
from amonsul.archive.ingest import Labels, ingest
from amonsul.archive.ingest_transcoding import IngestTranscoding
from amonsul.archive.maintenance import Recovered, recover
from amonsul.archive.modality_list import Modalities
from amonsul.archive.peer_list import Peers
from amonsul.archive.reclaim import remove_piece, sweep
from amonsul.archive.remote_list import forget_run
from amonsul.archive.stability import StabilityWatch
from amonsul.archive.switches import Switchboard
from amonsul.archive.upkeep import Task, Upkeep
from amonsul.blobs.filesystem import FilesystemBlobs
from amonsul.clients.dimse import DicomClient, Transcode
from amonsul.clients.http import HttpClient
from amonsul.clients.transcoding import transcoder
from amonsul.config import checklist, settings
from amonsul.config.kinds import ConfigurationError
from amonsul.config.reader import Configuration
from amonsul.crossing import Crossing
from amonsul.database import open_database
from amonsul.database.presence import Presence, open_presence
from amonsul.dicom.query import View
from amonsul.dicom.uids import transfer_syntaxes
from amonsul.dimse_server import commitment
from amonsul.dimse_server.commitment import CommitmentService
from amonsul.dimse_server.echo import EchoService
from amonsul.dimse_server.find import FindService
from amonsul.dimse_server.get import GetService
from amonsul.dimse_server.listener import DicomServer
from amonsul.dimse_server.move import MoveService, by_job
from amonsul.dimse_server.service import Service
from amonsul.dimse_server.settings import DimseSwitches
from amonsul.dimse_server.store import StoreService
from amonsul.dimse_server.worklist import WorklistService
from amonsul.errors import AmonsulError, Unavailable
from amonsul.imaging.codecs import Codecs
from amonsul.imaging.worker import WorkerPool
from amonsul.jobs.arrivals import MoveArrivals
from amonsul.jobs.commitment import Commit, committer
from amonsul.jobs.dicom_web import DicomWebClient
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.housekeeping import Housekeeper
from amonsul.jobs.kind import Kinds
from amonsul.jobs.kinds import index_tags
from amonsul.jobs.kinds.archive import archive_kind, media_kind
from amonsul.jobs.kinds.delete_resources import delete_resources
from amonsul.jobs.kinds.dicom_get_scu import get_scu
from amonsul.jobs.kinds.dicom_modality_store import modality_store
from amonsul.jobs.kinds.dicom_move_scu import move_scu
from amonsul.jobs.kinds.dicom_web_stow_client import stow_client
from amonsul.jobs.kinds.dicom_web_wado_retrieve_client import wado_retrieve_client
from amonsul.jobs.kinds.housekeeper import housekeeper
from amonsul.jobs.kinds.index_tags import IndexTags
from amonsul.jobs.kinds.merge_study import merge_study
from amonsul.jobs.kinds.orthanc_peer_store import peer_store
from amonsul.jobs.kinds.reconstruct import reconstruct_kind
from amonsul.jobs.kinds.resource_modification import resource_modification
from amonsul.jobs.kinds.split_study import split_study
from amonsul.jobs.kinds.storage_commitment_scp import storage_commitment_scp
from amonsul.jobs.outgoing import outgoing
from amonsul.jobs.peers import PeerClient
from amonsul.jobs.webhooks import WebhookSender
from amonsul.web.server import build_application, listening_sockets, server_config
from amonsul.web.services import Remotes, Services, Switch, Switches
from amonsul.web.settings import WebSettings

V = TypeVar("V")

logger = logging.getLogger("amonsul.server")

_CLOSING_S: Final = 1.5
"""Left for threads and the database after the doors are closed."""
_COLLECTIONS: Final = (20_000, 20, 20)
"""Thresholds of the cyclic collector: an answer of a hundred resources is a thousand objects and leaves no cycles."""
_M_ARENA_MAX: Final = -8
"""Number of the parameter of glibc's mallopt."""


class CannotListen(AmonsulError):
    """A port is taken, or an address is not of this machine."""


@contextmanager
def open_archive(configuration: Configuration) -> Iterator[Archive]:
    """The archive that a configuration describes, without any door; used by `serve`, `import` and `fsck` alike.

    Raises:
        ConfigurationError: an option that only shows now to be wrong.
        Unavailable: the database cannot be reached.
    """
    folder = settings.storage_folder(configuration)
    where = settings.database_settings(configuration)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if (index := settings.index_folder(configuration)) is not None:
            index.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise configuration.refuse("StorageDirectory", f"{error.filename}: {error.strerror}") from error
    dictionary = settings.dictionary(configuration)
    main_tags = settings.main_tags(configuration, dictionary)
    with ExitStack() as stack:
        database = open_database(where)
        stack.callback(database.close)
        blobs = FilesystemBlobs(folder, sync=settings.sync_storage(configuration))
        stack.callback(blobs.close)
        archive_settings = settings.archive_settings(configuration)
        incoming = None
        if (wanted := settings.ingest_transcoding(configuration)) is not None:
            codecs = WorkerPool(settings.worker_settings(configuration))
            stack.callback(codecs.close)
            incoming = IngestTranscoding(
                wanted,
                codecs,
                blobs.spool,
                of_uncompressed=configuration.flag("IngestTranscodingOfUncompressed"),
                of_compressed=configuration.flag("IngestTranscodingOfCompressed"),
                quality=configuration.number("DicomLossyTranscodingQuality"),
                limits=archive_settings.limits,
            )
        yield Archive(
            database,
            blobs,
            main_tags,
            dictionary,
            archive_settings,
            switches=Switchboard(database),
            incoming=incoming,
        )


def run(configuration: Configuration) -> None:
    """Serve until SIGTERM or SIGINT.

    Raises:
        AmonsulError: the server cannot start; the details say why.
    """
    reason = checklist.refusal(configuration)
    if reason is not None:
        raise ConfigurationError(reason)
    _limit_memory_arenas(configuration)
    with ExitStack() as stack:
        door = _take_http_ports(configuration, stack) if configuration.flag("HttpServerEnabled") else None
        archive = stack.enter_context(open_archive(configuration))
        recovered = Recovered(0, 0) if archive.settings.read_only else recover(archive)
        if recovered.discarded or recovered.reclaimed:
            logger.info(
                "put in order after an earlier run: %d unfinished and %d deleted files removed",
                recovered.discarded,
                recovered.reclaimed,
            )
        presence = stack.enter_context(_among_servers(configuration, archive))
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            again = runner.run(_serve(configuration, archive, door, presence))
    logger.info("stopped")
    if again:
        os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


@dataclass(frozen=True, slots=True)
class _HttpDoor:
    web: WebSettings
    sockets: list[socket.socket]


class _HttpServer(uvicorn.Server):
    """uvicorn, leaving signals to us."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Nothing: one place decides when to stop."""
        yield


@contextmanager
def _among_servers(configuration: Configuration, archive: Archive) -> Iterator[Presence | None]:
    """While this server runs; what clients set for the time of a run ends with the last server of the index."""
    if archive.settings.read_only:
        yield None
        return

    def forget() -> None:
        archive.switches.forget()
        forget_run(archive.database)

    presence = open_presence(settings.database_settings(configuration))
    presence.enter(forget)
    try:
        yield presence
    finally:
        with contextlib.suppress(Unavailable):  # the first to come forgets as well
            presence.leave(forget)


async def _serve(
    configuration: Configuration, archive: Archive, door: _HttpDoor | None, presence: Presence | None
) -> bool:
    """Serve until told to stop; answer whether to begin again."""
    stop, again = asyncio.Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    def end(*, restart: bool) -> None:
        if restart:
            loop.call_soon_threadsafe(again.set)
        loop.call_soon_threadsafe(stop.set)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, partial(_on_signal, number, stop))
    switches = _switches(configuration, archive)
    codecs = WorkerPool(settings.worker_settings(configuration))
    modalities = Modalities(
        archive.database,
        settings.modalities(configuration),
        in_database=configuration.flag("DicomModalitiesInDatabase"),
        read_only=archive.settings.read_only,
    )
    http_client = HttpClient(settings.http_settings(configuration))
    peers = _peers(configuration, archive, http_client)
    dicom_web = _dicom_web(configuration, archive, http_client)
    arrivals = MoveArrivals()
    client = _dicom_client(configuration, archive, codecs)
    webhooks = _webhooks(configuration, archive)
    dicom_threads = Crossing("dicom", configuration.number("DicomThreadsCount"))
    commit = _committer(configuration, archive, client)
    kinds = _kinds(configuration, archive, codecs, client, arrivals, commit, peers, dicom_web)
    jobs = JobEngine(archive, kinds, settings.jobs_settings(configuration))
    housekeeping = _housekeeping(configuration, archive, jobs)
    upkeep = _upkeep(configuration, archive, presence, jobs, housekeeping)
    dicom = _dicom_servers(configuration, archive, switches, modalities, arrivals, dicom_threads, codecs, jobs)
    http_threads = Crossing("http", configuration.number("HttpThreadsCount"))
    measures.FREE_HTTP_THREADS.set_function(lambda: http_threads.free)
    measures.FREE_DICOM_THREADS.set_function(lambda: dicom_threads.free)
    measures.ACTIVE_REQUESTS.set_function(lambda: http_threads.busy)
    measures.ASSOCIATIONS.set_function(lambda: sum(dicom_door.server.associations for dicom_door in dicom))
    logging.getLogger().addHandler(measures.LogCounter())
    http = None
    serving: asyncio.Task[None] | None = None
    try:
        for dicom_door in dicom:
            try:
                await dicom_door.server.start()
            except OSError as error:
                raise _cannot_listen(dicom_door.option, dicom_door.server.port, error) from error
        if door is not None:
            information = settings.system_information(configuration)
            if dicom:
                information = replace(information, dicom_port=dicom[0].server.port)
            services = Services(
                archive,
                door.web,
                information,
                switches,
                jobs,
                codecs,
                _remotes(configuration, modalities, client, commit, peers, dicom_web),
            )
            services = replace(services, end=end, is_stopping=stop.is_set)
            if housekeeping is not None:
                services = replace(services, housekeeping=housekeeping.status)
            config = server_config(build_application(services, http_threads), door.web)
            config.timeout_graceful_shutdown = int(settings.stop_timeout_s(configuration))
            http = _HttpServer(config)
            serving = asyncio.create_task(http.serve(door.sockets))
            for each in door.sockets:
                host, port = each.getsockname()[:2]
                name = f"[{host}]" if ":" in host else host
                scheme = "http" if door.web.tls is None else "https"
                logger.info("HTTP server listens on %s://%s:%d", scheme, name, port)
        jobs.start()
        for warning in checklist.findings(configuration):
            logger.warning("%s", warning)
        upkeep.start()
        webhooks.start()
        logger.info("Amonsul %s is ready", __version__)
        gc.freeze()  # what is here now stays; the collector need not look at it again
        gc.set_threshold(*_COLLECTIONS)
        await _until(stop, serving)
        logger.info("stopping")
    finally:
        if http is not None:
            http.should_exit = True
        closing: list[Awaitable[None]] = [] if serving is None else [serving]
        closing += [dicom_door.server.stop(settings.stop_timeout_s(configuration)) for dicom_door in dicom]
        for outcome in await asyncio.gather(*closing, return_exceptions=True):
            if outcome is not None:
                logger.error("a door did not close in order: %r", outcome)
        jobs.stop(_CLOSING_S)
        upkeep.stop(_CLOSING_S)
        webhooks.stop(_CLOSING_S)
        for crossing in (dicom_threads, http_threads):
            crossing.close(_CLOSING_S / 2)
        client.close()
        codecs.close()
    return again.is_set()


async def _until(stop: asyncio.Event, serving: asyncio.Task[None] | None) -> None:
    """Wait for the signal; an HTTP server that ends by itself is an error."""
    waiting = asyncio.create_task(stop.wait())
    tasks = {waiting} if serving is None else {waiting, serving}
    await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    if serving is not None and serving.done():
        await serving


def _on_signal(number: int, stop: asyncio.Event) -> None:
    if stop.is_set():
        os._exit(128 + number)
    stop.set()


@dataclass(frozen=True, slots=True)
class _DicomDoor:
    server: DicomServer
    option: str
    """That names its port."""


def _dicom_servers(
    configuration: Configuration,
    archive: Archive,
    switches: Switches,
    modalities: Modalities,
    arrivals: MoveArrivals,
    threads: Crossing,
    codecs: Codecs,
    jobs: JobEngine,
) -> list[_DicomDoor]:
    """The main one first, then those of the tenants."""
    if not configuration.flag("DicomServerEnabled"):
        return []
    dimse_switches = DimseSwitches(
        modalities=modalities.all,
        accepted_transfer_syntaxes=switches.accepted_transfer_syntaxes.get,
        unknown_sop_class_accepted=switches.unknown_sop_class_accepted.get,
    )
    dimse_settings = settings.dimse_settings(configuration)
    queries = settings.query_settings(configuration, switches.default_encoding.get)
    transcode = _transcoder(configuration, archive, codecs)
    mover = DicomClient(replace(settings.scu_settings(configuration), association_close_delay_s=0), transcode)
    is_synchronous = configuration.flag("SynchronousCMove")
    strict = dimse_settings.strict_aet_comparison

    def services(ae_title: str, view: View | None, labels: Labels) -> list[Service]:
        own = replace(queries, retrieve_ae_title=ae_title)
        send_later = None if is_synchronous else by_job(jobs, ae_title)
        return [
            EchoService(),
            StoreService(archive.blobs.spool, partial(ingest, archive, labels=labels), arrivals.arrived),
            FindService(archive, own, view),
            GetService(archive, own, outgoing, transcode, view),
            MoveService(
                archive,
                own,
                modalities.all,
                mover,
                outgoing,
                strict_aet_comparison=strict,
                send_later=send_later,
                view=view,
            ),
            CommitmentService(archive, commitment.by_job(jobs, ae_title, view), strict_aet_comparison=strict),
        ]

    main = services(dimse_settings.ae_title, None, {})
    worklists = settings.worklist_settings(configuration)
    if worklists is not None:
        main.append(WorklistService(archive, queries, worklists))
    doors = [_DicomDoor(DicomServer(dimse_settings, dimse_switches, main, threads), "DicomPort")]
    for tenant in settings.tenants(configuration):
        own_settings = replace(dimse_settings, ae_title=tenant.ae_title, port=tenant.port)
        own_services = services(tenant.ae_title, tenant.view, tenant.labels)
        server = DicomServer(own_settings, dimse_switches, own_services, threads)
        doors.append(_DicomDoor(server, "MultitenantDicom.Servers"))
    return doors


def _transcoder(configuration: Configuration, archive: Archive, codecs: Codecs) -> Transcode | None:
    """What makes instances fit for those that do not take them as they are stored."""
    return transcoder(archive.blobs.spool, codecs) if configuration.flag("TranscodeDicomProtocol") else None


def _dicom_client(configuration: Configuration, archive: Archive, codecs: Codecs) -> DicomClient:
    """Whoever speaks to other DICOM systems."""
    return DicomClient(settings.scu_settings(configuration), _transcoder(configuration, archive, codecs))


def _peers(configuration: Configuration, archive: Archive, http_client: HttpClient) -> PeerClient:
    """Servers that are reached over REST."""
    known = Peers(
        archive.database,
        settings.peers(configuration),
        in_database=configuration.flag("OrthancPeersInDatabase"),
        read_only=archive.settings.read_only,
    )
    return PeerClient(known, http_client)


def _dicom_web(configuration: Configuration, archive: Archive, http_client: HttpClient) -> DicomWebClient:
    """Servers that are reached over DICOMweb."""
    known = DicomWebServers(
        archive.database,
        settings.dicom_web_servers(configuration),
        in_database=configuration.flag("DicomWeb.ServersInDatabase"),
        read_only=archive.settings.read_only,
    )
    max_instances, max_size = settings.stow_limits(configuration)
    return DicomWebClient(known, http_client, max_instances, max_size)


def _remotes(
    configuration: Configuration,
    modalities: Modalities,
    client: DicomClient,
    commit: Commit,
    peers: PeerClient,
    dicom_web: DicomWebClient,
) -> Remotes:
    """Other systems, for the REST API."""
    return Remotes(
        modalities,
        client,
        ae_title=settings.scu_settings(configuration).ae_title,
        echo_checks_find=configuration.flag("DicomEchoChecksFind"),
        default_retrieve_method=configuration.text("DicomDefaultRetrieveMethod"),
        queries_kept=configuration.number("QueryRetrieveSize"),
        logs_exports=configuration.flag("LogExportedResources"),
        commit=commit,
        peers=peers,
        dicom_web=dicom_web,
    )


def _committer(configuration: Configuration, archive: Archive, client: DicomClient) -> Commit:
    """Whoever asks modalities for storage commitment."""
    return committer(
        archive,
        client,
        kept=configuration.number("StorageCommitmentReportsSize"),
        strict=configuration.flag("StrictAetComparison"),
    )


def _kinds(
    configuration: Configuration,
    archive: Archive,
    codecs: Codecs,
    client: DicomClient,
    arrivals: MoveArrivals,
    commit: Commit,
    peers: PeerClient,
    dicom_web: DicomWebClient,
) -> Kinds:
    """All kinds of jobs."""
    return Kinds(
        (
            modality_store(archive, client, commit),
            peer_store(archive, codecs, peers),
            stow_client(archive, dicom_web),
            wado_retrieve_client(archive, dicom_web),
            storage_commitment_scp(
                archive, client, checks_files=configuration.flag("Amonsul.StorageCommitmentChecksFiles")
            ),
            move_scu(archive, client, arrivals),
            get_scu(archive, client),
            resource_modification(archive, codecs),
            split_study(archive, codecs),
            merge_study(archive, codecs),
            archive_kind(archive, codecs),
            media_kind(archive, codecs),
            delete_resources(archive),
            reconstruct_kind(archive, codecs),
            index_tags.index_tags(archive),
            housekeeper(
                archive,
                codecs,
                settings.housekeeper_settings(configuration),
                settings.ingest_transcoding(configuration) or "",
            ),
        )
    )


def _webhooks(configuration: Configuration, archive: Archive) -> Upkeep:
    """What tells others of changes, in a thread of its own: others may be slow."""
    if archive.settings.read_only:
        return Upkeep(())
    sender = WebhookSender(archive.database, settings.webhooks(configuration))
    sender.register()
    return Upkeep((Task("the delivery to webhooks", sender.tick, 0.5),))


def _housekeeping(configuration: Configuration, archive: Archive, jobs: JobEngine) -> Housekeeper | None:
    """What notices changed settings; None if nobody wants it."""
    if archive.settings.read_only or not configuration.flag("Housekeeper.Enable"):
        return None
    uid = settings.ingest_transcoding(configuration) or ""
    return Housekeeper(archive, jobs, settings.housekeeper_settings(configuration), uid)


def _upkeep(
    configuration: Configuration,
    archive: Archive,
    presence: Presence | None,
    jobs: JobEngine,
    housekeeping: Housekeeper | None,
) -> Upkeep:
    """What this process does by itself."""
    if presence is None:
        return Upkeep(())
    stability = StabilityWatch(archive, settings.stable_age_s(configuration))
    read_all = partial(jobs.submit, IndexTags(), priority=index_tags.PRIORITY)
    indexing = TagIndexing(archive, settings.indexing_settings(configuration), read_all)
    return Upkeep(
        (
            *([] if housekeeping is None else [Task("the housekeeper", housekeeping.tick, 5.0)]),
            Task("the indexes of attributes", indexing.tick, 10.0),
            Task("the watch for stable resources", stability.tick, stability.interval_s),
            Task("the removal of large resources", partial(remove_piece, archive), 0.5),
            Task("the removal of deleted files", partial(sweep, archive), 60.0),
            Task("the presence among the servers of the index", presence.renew, 10.0),
        )
    )


def _switches(configuration: Configuration, archive: Archive) -> Switches:
    """What REST clients may turn while the server runs."""
    accepted = settings.accepted_transfer_syntaxes(configuration, tuple(transfer_syntaxes()))
    return Switches(
        default_encoding=_shared(archive, DEFAULT_ENCODING, configuration.text("DefaultEncoding"), str, str),
        log_levels={category: _log_level(category) for category in logs.CATEGORIES},
        accepted_transfer_syntaxes=_shared(
            archive, "accepted-transfer-syntaxes", accepted, " ".join, lambda text: tuple(text.split())
        ),
        unknown_sop_class_accepted=_shared_flag(
            archive, "unknown-sop-class-accepted", configuration.flag("UnknownSopClassAccepted")
        ),
        metrics_enabled=_shared_flag(archive, "metrics", configuration.flag("MetricsEnabled")),
    )


def _shared(
    archive: Archive, name: str, configured: V, encode: Callable[[V], str], decode: Callable[[str], V]
) -> Switch[V]:
    """A switch that all processes of the archive see, until the server starts again."""

    def get() -> V:
        value = archive.switches.get(name)
        return configured if value is None else decode(value)

    return Switch(get, lambda value: archive.switches.set(name, encode(value)))


def _shared_flag(archive: Archive, name: str, configured: bool) -> Switch[bool]:
    return _shared(archive, name, configured, lambda value: "1" if value else "0", lambda text: text == "1")


def _log_level(category: str) -> Switch[str]:
    def change(value: str) -> None:
        logs.set_category_verbosity(category, logs.Verbosity(value))

    get: Callable[[], str] = lambda: logs.category_verbosity(category).value  # noqa: E731
    return Switch(get, change)


def _take_http_ports(configuration: Configuration, stack: ExitStack) -> _HttpDoor:
    web = settings.web_settings(configuration)
    try:
        sockets = listening_sockets(web)
    except OSError as error:
        raise _cannot_listen("HttpPort", web.port, error) from error
    for each in sockets:
        stack.callback(each.close)
    return _HttpDoor(replace(web, port=sockets[0].getsockname()[1]), list(sockets))


def _cannot_listen(option: str, port: int, error: OSError) -> CannotListen:
    return CannotListen(f"cannot listen on port {port} ({option}): {os.strerror(error.errno or 0)}")


def _limit_memory_arenas(configuration: Configuration) -> None:
    """Keep the C library from giving every thread an arena of its own, which never shrinks again."""
    arenas = configuration.number("MallocArenaMax")
    if arenas:
        with contextlib.suppress(OSError, AttributeError):  # not glibc
            ctypes.CDLL(None).mallopt(_M_ARENA_MAX, arenas)
