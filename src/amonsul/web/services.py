"""What handlers work with: the archive, what `/system` tells, and the switches that can be turned while running."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

from amonsul.archive.context import Archive
from amonsul.archive.modalities import Modality
from amonsul.archive.modality_list import Modalities
from amonsul.clients.dimse import DicomClient
from amonsul.dicom.uids import storage_sop_classes, transfer_syntaxes
from amonsul.errors import NotImplementedHere
from amonsul.imaging.codecs import Codecs, LocalCodecs
from amonsul.jobs.commitment import Commit
from amonsul.jobs.dicom_web import DicomWebClient
from amonsul.jobs.engine import JobEngine
from amonsul.jobs.peers import PeerClient
from amonsul.web.settings import SystemInformation, WebSettings

V = TypeVar("V")

LOG_CATEGORIES = ("generic", "plugins", "http", "dicom", "sqlite", "jobs", "lua")


@dataclass(frozen=True, slots=True)
class Switch(Generic[V]):
    """A value that can be read and changed while the server runs, wherever it is kept."""

    get: Callable[[], V]
    set: Callable[[V], None]

    @classmethod
    def holding(cls, value: V) -> Switch[V]:
        """A switch that keeps its value in this process."""
        held = [value]

        def change(new: V) -> None:
            held[0] = new

        return cls(lambda: held[0], change)


@dataclass(frozen=True, slots=True)
class Switches:
    """What `/tools` can change.

    Attributes:
        default_encoding: of data sets that declare none, by the name that the option `DefaultEncoding` uses.
        log_levels: `default`, `verbose` or `trace` for each category.
        accepted_transfer_syntaxes: UIDs that the DICOM server accepts.
        accepted_sop_classes: UIDs that it stores.
        unknown_sop_class_accepted: whether it stores any other class.
        metrics_enabled: whether metrics are collected.
    """

    default_encoding: Switch[str] = field(default_factory=lambda: Switch.holding("Latin1"))
    log_levels: Mapping[str, Switch[str]] = field(
        default_factory=lambda: {category: Switch.holding("default") for category in LOG_CATEGORIES}
    )
    accepted_transfer_syntaxes: Switch[Sequence[str]] = field(
        default_factory=lambda: Switch.holding(tuple(sorted(transfer_syntaxes())))
    )
    accepted_sop_classes: Callable[[], Sequence[str]] = field(
        default_factory=lambda: lambda: sorted(storage_sop_classes())
    )
    unknown_sop_class_accepted: Switch[bool] = field(default_factory=lambda: Switch.holding(False))
    metrics_enabled: Switch[bool] = field(default_factory=lambda: Switch.holding(True))


@dataclass(frozen=True, slots=True, eq=False)
class Remotes:
    """Other DICOM systems, and how they are spoken to.

    Attributes:
        ae_title: ours.
        echo_checks_find: whether C-ECHO of a client is followed by a C-FIND unless it says (`DicomEchoChecksFind`).
        default_retrieve_method: for modalities that do not say (`DicomDefaultRetrieveMethod`).
        queries_kept: searches that are remembered; 0 for all (`QueryRetrieveSize`).
        logs_exports: whether what is sent is noted (`LogExportedResources`).
        commit: asks for storage commitment; None where nobody does.
        peers: servers that are reached over REST; None where nobody speaks to them.
        dicom_web: servers that are reached over DICOMweb; the same.
    """

    modalities: Modalities
    client: DicomClient
    ae_title: str = "ORTHANC"
    echo_checks_find: bool = False
    default_retrieve_method: str = "C-MOVE"
    queries_kept: int = 100
    logs_exports: bool = False
    commit: Commit | None = None
    peers: PeerClient | None = None
    dicom_web: DicomWebClient | None = None

    def calling(self, modality: Modality) -> str:
        """Our AE title towards a modality."""
        return modality.local_aet or self.ae_title


class End(Protocol):
    """Ends the server."""

    def __call__(self, *, restart: bool) -> None:
        """Tell it to stop once the answers under way are out, and to begin again if `restart`."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Services:
    """All that a handler may touch besides its request."""

    archive: Archive
    settings: WebSettings = field(default_factory=WebSettings)
    information: SystemInformation = field(default_factory=SystemInformation)
    switches: Switches = field(default_factory=Switches)
    jobs: JobEngine | None = None
    """None where nobody runs jobs."""
    codecs: Codecs = field(default_factory=LocalCodecs)

    others: Remotes | None = None
    """None where nobody speaks to other systems."""
    housekeeping: Callable[[], Mapping[str, object]] | None = None
    """Tells how far the housekeeper is; None where there is none."""
    end: End | None = None
    """None where the server is not ours to end."""
    is_stopping: Callable[[], bool] = lambda: False
    """Asked by what goes on without an end."""

    @property
    def remotes(self) -> Remotes:
        """Other DICOM systems.

        Raises:
            NotImplementedHere: nobody speaks to them.
        """
        if self.others is None:
            raise NotImplementedHere("this server does not speak to other DICOM systems")
        return self.others

    @property
    def engine(self) -> JobEngine:
        """The jobs.

        Raises:
            NotImplementedHere: nobody runs any.
        """
        if self.jobs is None:
            raise NotImplementedHere("this server runs no jobs")
        return self.jobs
