"""What the HTTP edge is told: frozen values that `config` fills in once.

`WebSettings` says how to listen, whom to let in and how much to accept. `SystemInformation` is what `GET /system`
tells about the parts that this edge does not see itself. Nothing here changes while the server runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from amonsul.web.dicomweb.settings import DicomWebSettings

MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class TlsSettings:
    """HTTPS (options `Ssl…`).

    Attributes:
        certificate: PEM file with the certificate chain and the private key.
        verify_peers: ask clients for a certificate and refuse those without.
        trusted_client_certificates: PEM file with what client certificates must be signed by.
        minimum_protocol_version: 0 or 1 any, 2 TLS 1.0, 3 TLS 1.1, 4 TLS 1.2, 5 TLS 1.3.
        ciphers: OpenSSL names of the accepted ciphers up to TLS 1.2; empty for the default of this program.
    """

    certificate: Path
    verify_peers: bool = False
    trusted_client_certificates: Path | None = None
    minimum_protocol_version: int = 4
    ciphers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class BodyLimits:
    """How much a client may send and how slowly.

    Attributes:
        maximum_size: bytes of any body (option `MaximumRequestBodySizeMB`).
        maximum_json_size: bytes of a body that is read as JSON or text.
        header_timeout_s: seconds for the request line and all headers.
        minimum_rate: bytes per second of a body, on average, after the grace period.
        grace_s: seconds after which the rate counts.
        idle_timeout_s: seconds without any byte of a body.
        linger_s: seconds for which a body that is not wanted is read after its refusal, so that the refusal arrives.
        memory: bytes of bodies kept in memory by all connections together; beyond that they go to files.
    """

    maximum_size: int = 8192 * MIB
    maximum_json_size: int = 32 * MIB
    header_timeout_s: float = 10.0
    minimum_rate: int = 1024
    grace_s: float = 10.0
    idle_timeout_s: float = 30.0
    linger_s: float = 2.0
    memory: int = 128 * MIB


@dataclass(frozen=True, slots=True)
class WebSettings:
    """The HTTP edge.

    Attributes:
        bind_addresses: to listen on; empty for loopback only without remote access, else all (option
            `HttpBindAddresses`).
        remote_access_allowed: serve clients that are not on this machine.
        authentication_enabled: None follows `remote_access_allowed`, as the option says.
        registered_users: name to password, or to an argon2 hash of it (`$argon2id$…`).
        allowed_hosts: further values of the Host header to accept without remote access.
        describe_errors: answer refusals with a body (option `HttpDescribeErrors`).
        compression: compress answers for clients that accept it (option `HttpCompressionEnabled`).
        threads: requests worked on at once (option `HttpThreadsCount`).
        maximum_connections: open at once; beyond that the longest idle one makes room.
        explorer_enabled: serve the web page (option `OrthancExplorerEnabled`).
        lossy_quality: of lossy transfer syntaxes, where a request does not say (`DicomLossyTranscodingQuality`).
        maximum_archived_file_size: bytes of a file in an uploaded ZIP archive (`MaximumFileSizeInArchiveMB`).
        zip_utf8: names in ZIP archives keep what is not ASCII (`ZipUseUtf8`).
        zip_streamed: send ZIP archives while they are made (`SynchronousZipStream`).
    """

    port: int = 8042
    bind_addresses: tuple[str, ...] = ()
    remote_access_allowed: bool = False
    authentication_enabled: bool | None = None
    registered_users: Mapping[str, str] = field(default_factory=dict)
    allowed_hosts: tuple[str, ...] = ()
    tls: TlsSettings | None = None
    describe_errors: bool = True
    compression: bool = False
    keep_alive: bool = True
    keep_alive_timeout_s: int = 1
    threads: int = 50
    maximum_connections: int = 2048
    limits: BodyLimits = BodyLimits()
    explorer_enabled: bool = True
    lossy_quality: int = 90
    maximum_archived_file_size: int = 4 << 30
    zip_utf8: bool = False
    zip_streamed: bool = True
    dicom_web: DicomWebSettings = field(default_factory=DicomWebSettings)

    @property
    def authentication(self) -> bool:
        """Whether requests need credentials."""
        enabled = self.authentication_enabled
        return self.remote_access_allowed if enabled is None else enabled


@dataclass(frozen=True, slots=True)
class SystemInformation:
    """What `GET /system` says beyond what the archive and the web settings know."""

    name: str = "MyOrthanc"
    database_server_identifier: str = ""
    database_version: int = 1
    dicom_aet: str = "ORTHANC"
    dicom_port: int = 4242
    dicom_default_retrieve_method: str = "C-MOVE"
    check_revisions: bool = False
    ingest_transcoding: str = ""
    maximum_patient_count: int = 0
    maximum_storage_mode: str = "Recycle"
    maximum_storage_size_mb: int = 0
    patient_level_enabled: bool = True
    read_only: bool = False
    storage_compression: bool = False
    plugins: tuple[str, ...] = ()
    concurrent_jobs: int = 2
    dicom_threads: int = 4
    case_sensitive_pn: bool = False
    limit_find_results: int = 0
    limit_find_instances: int = 0
    serves_dicom: bool = True
    serves_worklists: bool = False
