"""What the verbs of the archive work with: the index, the blobs, and the few settings that change what they do.

`app.py` builds one `Archive` and every edge, job and plugin hands it to the verbs (`ingest`, `find`, `read`, `edit`…).
It holds collaborators and frozen values only; a verb that needs something else takes it as a parameter.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from amonsul.archive.asked_tags import AskedTags
from amonsul.archive.origin import Origin
from amonsul.archive.switches import Switchboard
from amonsul.blobs.spool import Spooled
from amonsul.blobs.store import BlobStore
from amonsul.database import Database, Transaction
from amonsul.dicom.charsets import charset_of_encoding
from amonsul.dicom.dictionary import STANDARD, Dictionary
from amonsul.dicom.header import Header
from amonsul.dicom.main_tags import MainTags
from amonsul.dicom.scanner import DEFAULT_LIMITS, ScanLimits
from amonsul.errors import ReadOnly

T = TypeVar("T")


class Overwrite(enum.Enum):
    """What happens to an instance that is in the archive already (option `OverwriteInstances`)."""

    NEVER = "Never"
    ALWAYS = "Always"
    IF_CHANGED = "IfChanged"


class StorageMode(enum.Enum):
    """What happens at a limit of the storage (option `MaximumStorageMode`)."""

    RECYCLE = "Recycle"
    REJECT = "Reject"


class StorageAccess(enum.Enum):
    """Whether a search may look at attributes that are not main tags (option `StorageAccessOnFind`).

    They are answered from the stored headers, so this never opens a pixel file.
    """

    ALWAYS = "Always"
    NEVER = "Never"
    ANSWERS = "Answers"


DEFAULT_ENCODING = "default-encoding"
"""The switch for the character set of data sets that declare none: a name that the option `DefaultEncoding` takes."""

Filter = Callable[[Header, Origin], int | None]
"""Asked before an instance is stored: None lets it pass, a number filters it out (the DIMSE status to answer with)."""


@dataclass(frozen=True, slots=True)
class ArchiveSettings:
    """What the operator decides about the archive."""

    overwrite: Overwrite = Overwrite.NEVER
    store_md5: bool = True
    default_encoding: str = "ISO_IR 100"
    limits: ScanLimits = DEFAULT_LIMITS
    storage_access_on_find: StorageAccess = StorageAccess.ALWAYS
    check_revisions: bool = False
    """Refuse to change metadata and attachments without their current revision (option `CheckRevisions`)."""
    user_metadata: Mapping[str, int] = field(default_factory=dict)
    """Names of user-defined metadata (option `UserMetadata`): 1024 to 65535."""
    user_content_types: Mapping[str, int] = field(default_factory=dict)
    """Names of user-defined attachments (option `UserContentType`): 1024 to 65535."""
    media_types: Mapping[int, str] = field(default_factory=dict)
    """Of user-defined attachments by number, where the option gives one."""
    compression: bool = False
    """Compress what comes in (option `StorageCompression`)."""
    maximum_storage_size: int = 0
    """Bytes that all attachments may take in the storage; 0 for no limit."""
    maximum_patient_count: int = 0
    """0 for no limit."""
    maximum_storage_mode: StorageMode = StorageMode.RECYCLE
    read_only: bool = False
    """Refuse whatever would change the stored data (option `ReadOnly`)."""
    keeps_labels: bool = False
    """An instance that is overwritten keeps its labels and those of its ancestors, which say whose it is."""


@dataclass(frozen=True, slots=True)
class Archive:
    """All that a verb may touch."""

    database: Database
    blobs: BlobStore
    main_tags: MainTags = field(default_factory=MainTags)
    dictionary: Dictionary = STANDARD
    settings: ArchiveSettings = field(default_factory=ArchiveSettings)
    filters: tuple[Filter, ...] = ()
    switches: Switchboard = field(default_factory=Switchboard)
    asked: AskedTags = field(default_factory=AskedTags)
    incoming: Callable[[Spooled], Spooled] | None = None
    """Makes another file of one that comes in, or gives back the same; None for nothing of the kind."""

    def require_writable(self) -> None:
        """Ask before anything that changes the stored data.

        Raises:
            ReadOnly: it may not be changed (option `ReadOnly`).
        """
        if self.settings.read_only:
            raise ReadOnly

    def write(self, work: Callable[[Transaction], T]) -> T:
        """Change the stored data; see `Database.write`.

        Raises:
            ReadOnly: it may not be changed (option `ReadOnly`).
        """
        self.require_writable()
        return self.database.write(work)

    @property
    def default_encoding(self) -> str:
        """Character set of data sets that declare none, as a Defined Term (PS3.3 §C.12.1.1.2)."""
        name = self.switches.get(DEFAULT_ENCODING)
        return self.settings.default_encoding if name is None else charset_of_encoding(name)
