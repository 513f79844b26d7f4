"""The table of options: every name that a configuration file may hold, declared once.

The names, types and meanings are Orthanc's, so that its files are read as they are; what this server adds stands in
the section `Amonsul`. `docs/configuration.md` and the commented file of `--config=FILE` are printed from here, and the
settings of every part are filled from here. An option marked `served=False` is known and has no effect yet.
"""

from __future__ import annotations

from typing import Final

from amonsul.archive.modalities import MANUFACTURERS
from amonsul.config.kinds import (
    AE_TITLE,
    FLAG,
    NUMBER,
    TEXT,
    TEXTS,
    Anything,
    Either,
    Fields,
    Kind,
    Listing,
    Named,
    Number,
    Row,
    Text,
    one_of,
)
from amonsul.config.options import Area, Option, Section, walk

_ANY_PORT: Final = Number(0, 65535)
_SECONDS: Final = Number(0, 86_400)
_MEGABYTES: Final = NUMBER
_COUNT: Final = Number(1, 100_000)
_LEVEL_NAMES: Final = ("Patient", "Study", "Series", "Instance")
_UID_PATTERN: Final = Text(r"[0-9.*?]{1,64}", "a UID, in which * and ? may stand for other characters")
_HEX_TAG: Final = r"\(?[0-9a-fA-F]{4}[,-]?[0-9a-fA-F]{2,4}\)?"

HOUSEKEEPER_TRIGGERS: Final = (
    "StorageCompressionChange",
    "MainDicomTagsChange",
    "UnnecessaryDicomAsJsonFiles",
    "IngestTranscodingChange",
    "DicomWebCacheChange",
)

# Ports of modalities are also written as strings by some tools.
_PEER_PORT: Final = Either((Number(0, 65535), Text(r"[0-9]{1,5}", "a port number")))

_MODALITY: Final = Either(
    (
        Row((AE_TITLE, TEXT, _PEER_PORT, one_of(MANUFACTURERS)), required=3),
        Fields(
            {
                "AET": AE_TITLE,
                "Host": TEXT,
                "Port": _PEER_PORT,
                "Manufacturer": one_of(MANUFACTURERS),
                "AllowEcho": FLAG,
                "AllowFind": FLAG,
                "AllowFindWorklist": FLAG,
                "AllowGet": FLAG,
                "AllowMove": FLAG,
                "AllowStore": FLAG,
                "AllowStorageCommitment": FLAG,
                "AllowNAction": FLAG,
                "AllowEventReport": FLAG,
                "AllowNEventReport": FLAG,
                "AllowTranscoding": FLAG,
                "UseDicomTls": FLAG,
                "LocalAet": TEXT,
                "Timeout": _SECONDS,
                "RetrieveMethod": one_of(("C-MOVE", "C-GET", "SystemDefault")),
            },
            required=("AET", "Host", "Port"),
            others_allowed=True,
            others_told=True,
        ),
    )
)

_HTTP_PEER_FIELDS: Final[dict[str, Kind]] = {
    "Url": TEXT,
    "Username": TEXT,
    "Password": TEXT,
    "HttpHeaders": Named(TEXT),
    "CertificateFile": TEXT,
    "CertificateKeyFile": TEXT,
    "CertificateKeyPassword": TEXT,
    "Pkcs11": FLAG,
    "Timeout": _SECONDS,
}
_PEER: Final = Either(
    (Row((TEXT, TEXT, TEXT), required=1), Fields(_HTTP_PEER_FIELDS, required=("Url",), others_allowed=True))
)
_DICOM_WEB_PEER: Final = Either(
    (
        Row((TEXT, TEXT, TEXT), required=1),
        Fields(
            {
                **_HTTP_PEER_FIELDS,
                "HasDelete": FLAG,
                "ChunkedTransfers": FLAG,
                "HasWadoRsUniversalTransferSyntax": FLAG,
            },
            required=("Url",),
            others_allowed=True,
        ),
    )
)
_DICTIONARY_ENTRY: Final = Row(
    (Text(r"[A-Z]{2}", "a value representation of two letters"), TEXT, NUMBER, NUMBER, TEXT), 2
)


def _warning(name: str, text: str) -> Option:
    return Option(name, FLAG, True, text, served=False)


def _legacy_syntax(name: str, what: str) -> Option:
    return Option(
        f"{name}TransferSyntaxAccepted",
        FLAG,
        None,
        f"Older way to take (true) or refuse (false) {what}. Prefer AcceptedTransferSyntaxes.",
        example=True,
    )


GENERAL: Final = Area(
    "General",
    (
        Option("Name", TEXT, "Amonsul", "Name of this server, shown in its answers and pages."),
        Option(
            "StorageDirectory",
            TEXT,
            "AmonsulStorage",
            "Folder of the stored files. A relative path counts from the folder of the configuration file that gives it, "
            "or from the working folder if none does.",
        ),
        Option(
            "IndexDirectory",
            TEXT,
            None,
            "Folder of the SQLite index; the storage folder unless given. It should be on a disk of this machine.",
            example="AmonsulIndex",
        ),
        Option("StorageCompression", FLAG, False, "Compress the stored files with zlib."),
        Option(
            "MaximumStorageSize",
            _MEGABYTES,
            0,
            "Megabytes that the stored files may take; 0 for no limit. What happens then is told by MaximumStorageMode.",
        ),
        Option("MaximumPatientCount", NUMBER, 0, "Patients that may be stored; 0 for no limit."),
        Option(
            "MaximumStorageMode",
            one_of(("Recycle", "Reject")),
            "Recycle",
            "At a limit of the storage, remove the patients who have been longest without a new instance and are not "
            "protected (Recycle), or refuse what comes in (Reject).",
        ),
        Option("MaximumStorageCacheSize", _MEGABYTES, 128, "Megabytes of stored files kept in memory.", served=False),
        Option(
            "StorageLoaderThreadsCount", _COUNT, 4, "Threads that read from the storage ahead of need.", served=False
        ),
        Option("StorageMemoryCapacity", _MEGABYTES, 512, "Megabytes that reading ahead may take.", served=False),
        Option("LuaScripts", TEXTS, [], "Lua scripts to run, in this order.", served=False),
        Option("Plugins", TEXTS, [], "Plugins to load: files, or folders of them.", served=False),
        Option("ConcurrentJobs", Number(0, 1000), 2, "Jobs that run at once; 0 for one per processor."),
        Option(
            "TemporaryDirectory",
            TEXT,
            None,
            "Folder of short-lived files; the system's unless given.",
            served=False,
            example="/tmp",
        ),
        Option("ReadOnly", FLAG, False, "Refuse whatever would change the stored data, or the remotes it is sent to."),
        Option(
            "DatabaseServerIdentifier",
            TEXT,
            None,
            "Tells this server apart from others on one database. Unless given it is made from the machine, the AE title "
            "and the ports.",
            served=False,
            example="pacs-1",
        ),
    ),
)

HTTP: Final = Area(
    "HTTP server",
    (
        Option("HttpServerEnabled", FLAG, True, "Run the HTTP server."),
        Option("HttpPort", _ANY_PORT, 8042, "TCP port of the HTTP server; 0 lets the system choose."),
        Option(
            "HttpBindAddresses",
            TEXTS,
            None,
            "Addresses to listen on. Unless given: loopback only while RemoteAccessAllowed is false, every address otherwise.",
            example=["127.0.0.1"],
        ),
        Option("HttpThreadsCount", _COUNT, 50, "Requests that are worked on at once."),
        Option("HttpDescribeErrors", FLAG, True, "Send a JSON body that describes the error with answers that refuse."),
        Option("HttpCompressionEnabled", FLAG, False, "Compress answers for clients that take gzip or deflate."),
        Option("KeepAlive", FLAG, True, "Keep connections open between requests."),
        Option("KeepAliveTimeout", _SECONDS, 1, "Seconds after which an idle connection is closed."),
        Option(
            "TcpNoDelay", FLAG, True, "Send small answers at once (TCP_NODELAY). This server always does.", served=False
        ),
        Option("HttpRequestTimeout", _SECONDS, 30, "Seconds without any byte after which a request is given up."),
        Option(
            "MaximumRequestBodySizeMB",
            _MEGABYTES,
            8192,
            "Megabytes of the largest body that a request may have; JSON bodies have a lower bound of their own.",
        ),
        Option(
            "MaximumFileSizeInArchiveMB",
            _MEGABYTES,
            4096,
            "Megabytes of the largest file taken from an uploaded ZIP archive.",
        ),
        Option("OrthancExplorerEnabled", FLAG, True, "Serve the pages for people.", served=False),
        Option("WebDavEnabled", FLAG, True, "Serve the stored files as a WebDAV folder.", served=False),
        Option("WebDavDeleteAllowed", FLAG, False, "Let WebDAV clients delete.", served=False),
        Option("WebDavUploadAllowed", FLAG, True, "Let WebDAV clients upload.", served=False),
    ),
)

HTTP_SECURITY: Final = Area(
    "HTTP security",
    (
        Option(
            "RemoteAccessAllowed",
            FLAG,
            False,
            "Serve clients on other machines. While false the HTTP server listens on loopback only and refuses other clients.",
        ),
        Option(
            "AuthenticationEnabled",
            FLAG,
            None,
            "Ask for a user name and password (HTTP Basic). Unless given: as RemoteAccessAllowed. With authentication and remote "
            "access on and no user, the server does not start.",
            example=True,
        ),
        Option(
            "RegisteredUsers",
            Named(TEXT),
            {},
            "User names and their passwords, in plain text or better as an argon2 hash ($argon2id$…, see `amonsul hash-password`).",
            example={"alice": "$argon2id$v=19$m=65536,t=3,p=4$..."},
        ),
        Option("SslEnabled", FLAG, False, "Serve HTTPS instead of HTTP."),
        Option("SslCertificate", TEXT, "certificate.pem", "PEM file of the certificate and its private key."),
        Option("SslVerifyPeers", FLAG, False, "Take only clients that show a certificate signed by a trusted one."),
        Option(
            "SslTrustedClientCertificates",
            TEXT,
            "trustedClientCertificates.pem",
            "PEM file of the certificates that sign those of the clients.",
        ),
        Option(
            "SslMinimumProtocolVersion",
            Number(0, 6),
            4,
            "Oldest TLS version taken: 4 for TLS 1.2, 5 for TLS 1.3; 2 and 3 for TLS 1.0 and 1.1, which are broken.",
        ),
        Option(
            "SslCiphersAccepted",
            TEXTS,
            None,
            "Ciphers of TLS 1.2 to take, in OpenSSL's names; its safe defaults unless given.",
            example=["ECDHE-RSA-AES256-GCM-SHA384"],
        ),
        Option("ExecuteLuaEnabled", FLAG, False, "Let REST clients run Lua scripts on the server.", served=False),
        Option(
            "RestApiWriteToFileSystemEnabled", FLAG, False, "Let REST clients write files on the server.", served=False
        ),
    ),
)

DICOM: Final = Area(
    "DICOM server",
    (
        Option("DicomServerEnabled", FLAG, True, "Run the DICOM server."),
        Option("DicomAet", AE_TITLE, "ORTHANC", "AE title of this server, 1 to 16 characters (PS3.5 §6.2)."),
        Option("DicomCheckCalledAet", FLAG, False, "Refuse associations that call another AE title than DicomAet."),
        Option("DicomPort", _ANY_PORT, 4242, "TCP port of the DICOM server; 0 lets the system choose."),
        Option(
            "DefaultEncoding",
            one_of(
                (
                    "Ascii",
                    "Utf8",
                    "Latin1",
                    "Latin2",
                    "Latin3",
                    "Latin4",
                    "Latin5",
                    "Cyrillic",
                    "Windows1251",
                    "Arabic",
                    "Greek",
                    "Hebrew",
                    "Thai",
                    "Japanese",
                    "JapaneseKanji",
                    "Chinese",
                    "Korean",
                    "SimplifiedChinese",
                )
            ),
            "Latin1",
            "Character set taken for data sets that do not say theirs.",
        ),
        Option(
            "AcceptedTransferSyntaxes",
            Listing(_UID_PATTERN, or_single=True),
            ["1.2.840.10008.1.*"],
            "Transfer syntaxes taken for C-STORE; * and ? may stand for other characters.",
        ),
        _legacy_syntax("Deflated", "Deflated Explicit VR Little Endian"),
        _legacy_syntax("Jpeg", "lossy JPEG"),
        _legacy_syntax("Jpeg2000", "JPEG 2000"),
        _legacy_syntax("JpegLossless", "JPEG lossless and JPEG-LS"),
        _legacy_syntax("Jpip", "JPIP references"),
        _legacy_syntax("Mpeg2", "MPEG-2"),
        _legacy_syntax("Mpeg4", "MPEG-4"),
        _legacy_syntax("H265", "H.265"),
        _legacy_syntax("Rle", "RLE lossless"),
        Option("UnknownSopClassAccepted", FLAG, False, "Take C-STORE of SOP classes that the Standard does not list."),
        Option(
            "AcceptedSopClasses",
            Listing(_UID_PATTERN, or_single=True),
            None,
            "Storage SOP classes taken; every class of the Standard unless given.",
            example=["1.2.840.10008.5.1.4.1.1.2"],
        ),
        Option(
            "RejectedSopClasses",
            Listing(_UID_PATTERN, or_single=True),
            None,
            "Storage SOP classes refused, of those that AcceptedSopClasses takes.",
            example=["1.2.840.10008.5.1.4.1.1.66"],
        ),
        Option(
            "DicomScpTimeout",
            _SECONDS,
            30,
            "Seconds without any byte after which an association is aborted; 0 for never.",
        ),
        Option(
            "MaximumPduLength",
            Number(4096, 1 << 20),
            None,
            "Largest PDU this server takes, in bytes, as told to its peers (PS3.8 §D.1). Unless given: 131072, and 16384 for peers that take less than that themselves.",
            example=131072,
        ),
        Option(
            "DicomThreadsCount",
            _COUNT,
            4,
            "DICOM operations that are worked on at once, besides queries and retrievals, which have threads of their own.",
        ),
        Option("DicomScuTimeout", _SECONDS, 10, "Seconds to wait for a remote modality; 0 for no limit."),
        Option(
            "DicomAssociationCloseDelay",
            _SECONDS,
            5,
            "Seconds for which an association to a modality is kept for the next use.",
        ),
        Option(
            "MaximumConcurrentDcmtkTranscoders", NUMBER, 0, "Pictures transcoded at once; 0 for no limit.", served=False
        ),
    ),
)

DICOM_SECURITY: Final = Area(
    "DICOM security",
    (
        Option(
            "DicomAlwaysAllowEcho",
            FLAG,
            True,
            "Answer C-ECHO of any peer, also of a modality whose AllowEcho is false.",
        ),
        Option(
            "DicomAlwaysAllowStore",
            FLAG,
            True,
            "Take C-STORE of any peer, also of a modality whose AllowStore is false.",
        ),
        Option(
            "DicomAlwaysAllowFind",
            FLAG,
            False,
            "Answer C-FIND of any peer, also of a modality whose AllowFind is false.",
        ),
        Option(
            "DicomAlwaysAllowFindWorklist",
            FLAG,
            False,
            "Answer worklist C-FIND of any peer, also of a modality whose AllowFindWorklist is false.",
        ),
        Option(
            "DicomAlwaysAllowGet", FLAG, False, "Answer C-GET of any peer, also of a modality whose AllowGet is false."
        ),
        Option(
            "DicomAlwaysAllowMove",
            FLAG,
            False,
            "Answer C-MOVE of any peer, also of a modality whose AllowMove is false.",
        ),
        Option(
            "DicomCheckModalityHost",
            FLAG,
            False,
            "Check the address of a modality, too, when it names itself by AE title.",
        ),
        Option(
            "StrictAetComparison",
            FLAG,
            False,
            "Compare AE titles exactly; otherwise upper and lower case are the same.",
        ),
        Option("DicomTlsEnabled", FLAG, False, "Take DICOM associations over TLS only."),
        Option(
            "DicomTlsCertificate",
            TEXT,
            None,
            "PEM file of the certificate for DICOM TLS.",
            example="dicom.crt",
        ),
        Option("DicomTlsPrivateKey", TEXT, None, "PEM file of its private key.", example="dicom.key"),
        Option(
            "DicomTlsTrustedCertificates",
            TEXT,
            None,
            "PEM file of the certificates that peers must be signed by.",
            example="trusted.crt",
        ),
        Option(
            "DicomTlsRemoteCertificateRequired",
            FLAG,
            True,
            "Refuse DICOM TLS peers without a certificate.",
        ),
        Option(
            "DicomTlsMinimumProtocolVersion",
            Number(0, 6),
            0,
            "Oldest TLS version for DICOM: 5 for TLS 1.3; 0 and any other for TLS 1.2, as the BCP 195 profiles ask (PS3.15 §B.9 ff.).",
        ),
        Option(
            "DicomTlsCiphersAccepted",
            TEXTS,
            [],
            "Ciphers of DICOM TLS, in OpenSSL's names; those of the profile if empty.",
        ),
    ),
)

MODALITIES: Final = Area(
    "Modalities and peers",
    (
        Option(
            "DicomModalities",
            Named(_MODALITY),
            {},
            'Remote DICOM servers by symbolic name: [ "AET", "host", port, "manufacturer" ] or an object with AET, Host, Port, '
            "Manufacturer, AllowEcho, AllowFind, AllowFindWorklist, AllowGet, AllowMove, AllowStore, AllowStorageCommitment "
            "(or AllowNAction and AllowEventReport), AllowTranscoding, UseDicomTls, LocalAet, Timeout, RetrieveMethod.",
            example={"sample": ["STORESCP", "127.0.0.1", 2000]},
        ),
        Option(
            "DicomModalitiesInDatabase",
            FLAG,
            False,
            "Keep the modalities in the database; DicomModalities is not read then.",
        ),
        Option(
            "DicomEchoChecksFind",
            FLAG,
            False,
            "Check C-FIND, too, when a modality is tested with C-ECHO.",
        ),
        Option(
            "DicomDefaultRetrieveMethod",
            one_of(("C-MOVE", "C-GET")),
            "C-MOVE",
            "How to retrieve from modalities that do not say.",
        ),
        Option(
            "DicomScuPreferredTransferSyntax",
            TEXT,
            "1.2.840.10008.1.2.1",
            "Transfer syntax proposed first to modalities.",
        ),
        Option(
            "OrthancPeers",
            Named(_PEER),
            {},
            'Remote servers reached over REST, by symbolic name: [ "url", "user", "password" ] or an object with Url, Username, '
            "Password, HttpHeaders, CertificateFile, CertificateKeyFile, CertificateKeyPassword, Pkcs11, Timeout.",
            example={"sample": ["http://127.0.0.1:8043/"]},
        ),
        Option("OrthancPeersInDatabase", FLAG, False, "Keep the peers in the database, not in the files."),
        Option(
            "HttpProxy",
            TEXT,
            "",
            "Proxy for the requests of this server, host:port or user:password@host:port.",
        ),
        Option("HttpVerbose", FLAG, False, "Log each request of this server to another."),
        Option(
            "HttpTimeout",
            _SECONDS,
            60,
            "Seconds that this server waits for another to go on in a request; 0 for no limit.",
        ),
        Option(
            "HttpsVerifyPeers",
            FLAG,
            True,
            "Check the certificates of the HTTPS servers that this server calls.",
        ),
        Option(
            "HttpsCACertificates",
            TEXT,
            "",
            "PEM file of the authorities to trust; the system's if empty.",
        ),
        Section(
            "Pkcs11",
            "Hardware tokens and smart cards with the keys of client certificates, for servers with `Pkcs11`.",
            (
                Option(
                    "Module",
                    TEXT,
                    None,
                    "Library of the token, by its maker. GnuTLS must be installed (Debian: libgnutls30).",
                    example="/usr/lib/softhsm/libsofthsm2.so",
                ),
                Option(
                    "Pin",
                    TEXT,
                    None,
                    "PIN of the token. One that is refused is not tried a second time while the server runs, so that "
                    "the token does not lock itself.",
                    example="1234",
                ),
                Option("Verbose", FLAG, False, "Log which keys of the token are used."),
            ),
        ),
    ),
)

STORE: Final = Area(
    "Store and index",
    (
        Option(
            "OverwriteInstances",
            Either((one_of(("Never", "Always", "IfChanged")), FLAG)),
            "Never",
            "What to do with an instance that is stored already: keep the old one (Never), take the new one (Always), or take it "
            "if its bytes differ (IfChanged). false and true mean Never and Always.",
        ),
        Option("StoreDicom", FLAG, True, "Keep the files; if false only the index is kept.", served=False),
        Option("StoreMD5ForAttachments", FLAG, True, "Keep the MD5 of every stored file."),
        Option(
            "SyncStorageArea",
            FLAG,
            True,
            "Sync every file to the disk before it is acknowledged. Without it, a power cut may lose what was acknowledged.",
        ),
        Option(
            "StableAge",
            _SECONDS,
            60,
            "Seconds without a new instance after which a resource counts as stable.",
        ),
        Option(
            "ExtraMainDicomTags",
            Fields(dict.fromkeys(_LEVEL_NAMES, TEXTS)),
            {},
            "Further tags to keep in the index, by level, by name or by number.",
            example={
                "Patient": [],
                "Study": ["PatientAge"],
                "Series": ["PatientPosition"],
                "Instance": ["Rows", "Columns"],
            },
        ),
        Option("CaseSensitivePN", FLAG, False, "Tell upper from lower case in searches for person names."),
        Option(
            "LimitFindResults",
            NUMBER,
            0,
            "Most patients, studies or series that a search gives; 0 for no limit.",
        ),
        Option("LimitFindInstances", NUMBER, 0, "Most instances that a search gives; 0 for no limit."),
        Option(
            "StorageAccessOnFind",
            one_of(("Always", "Never", "Answers")),
            "Always",
            "Whether searches may look at tags that are not main tags: in their conditions and their answers (Always), in their answers only (Answers), or not at all (Never). The stored headers answer them, no file is opened.",
        ),
        Option("QueryRetrieveSize", NUMBER, 100, "Queries to modalities that are remembered."),
        Option(
            "CheckRevisions",
            FLAG,
            False,
            "Ask clients for the current revision (If-Match) when they change metadata.",
        ),
        Option("PatientLevelEnabled", FLAG, True, "Show the level of patients.", served=False),
        Option("LogExportedResources", FLAG, False, "Note what is sent to modalities and peers in /exports."),
        Option(
            "UserMetadata",
            Named(Number(1024, 65535)),
            {},
            "Names for metadata of your own, numbers from 1024.",
            example={"Sample": 1024},
        ),
        Option(
            "UserContentType",
            Named(Either((Number(1024, 65535), Row((Number(1024, 65535), TEXT), 2)))),
            {},
            "Names for attachments of your own, numbers from 1024, with a MIME type if wanted.",
            example={"sample": 1024, "report": [1025, "application/pdf"]},
        ),
        Option("MediaArchiveSize", NUMBER, 1, "Media archives kept for download."),
        Option("ZipUseUtf8", FLAG, False, "Write the names in ZIP archives in UTF-8."),
        Option("SynchronousZipStream", FLAG, True, "Send ZIP archives while they are made."),
    ),
)

JOBS: Final = Area(
    "Jobs",
    (
        Option("SynchronousCMove", FLAG, True, "Answer a C-MOVE when its sub-operations are done."),
        Option("JobsHistorySize", NUMBER, 10, "Ended jobs that are remembered."),
        Option("SaveJobs", FLAG, True, "Keep jobs over a restart."),
        Option("StorageCommitmentReportsSize", NUMBER, 100, "Storage commitment reports that are remembered."),
        Section(
            "JobsEngineThreadsCount",
            "Threads of single jobs, by kind of job.",
            (Option("ResourceModification", _COUNT, 1, "Threads of a job that modifies or anonymises."),),
        ),
        Option(
            "LuaHeartBeatPeriod",
            _SECONDS,
            0,
            "Seconds between two calls of the Lua heart beat; 0 for none.",
            served=False,
        ),
    ),
)

DICTIONARY: Final = Area(
    "Dictionary and text",
    (
        Option("LoadPrivateDictionary", FLAG, True, "Know the common private tags by name."),
        Option(
            "Dictionary",
            Named(_DICTIONARY_ENTRY, _HEX_TAG, "a tag such as 0014,1020"),
            {},
            "Further tags: VR, name, least and most values (0 for no limit), and the private creator for private ones.",
            example={
                "0014,1020": ["DA", "ValidationExpiryDate", 1, 1],
                "7053,1000": ["DS", "PETScaleFactor", 1, 1, "Philips PET Private Group"],
            },
        ),
        Option(
            "ExternalDictionaries",
            TEXTS,
            None,
            "Files with further dictionaries, in DCMTK's form.",
            example=["private.dic"],
        ),
        Option(
            "DefaultPrivateCreator",
            TEXT,
            "",
            "Private creator taken for private tags that are given without one.",
            served=False,
        ),
        Option("Locale", TEXT, None, "Locale of the server; its texts do not depend on it.", served=False, example="C"),
    ),
)

TRANSCODING: Final = Area(
    "Transcoding",
    (
        Option(
            "TranscodeDicomProtocol",
            FLAG,
            True,
            "Transcode for modalities that do not take a transfer syntax.",
        ),
        Option(
            "BuiltinDecoderTranscoderOrder",
            one_of(("After", "Before", "Disabled")),
            "After",
            "When the built-in decoder comes in, seen from those of plugins.",
            served=False,
        ),
        Option(
            "IngestTranscoding",
            TEXT,
            None,
            "Transfer syntax that what comes in is stored in.",
            example="1.2.840.10008.1.2.4.70",
        ),
        Option(
            "IngestTranscodingOfUncompressed",
            FLAG,
            True,
            "Let IngestTranscoding touch uncompressed pictures.",
        ),
        Option(
            "IngestTranscodingOfCompressed",
            FLAG,
            True,
            "Let IngestTranscoding touch compressed pictures.",
        ),
        Option("DicomLossyTranscodingQuality", Number(1, 100), 90, "Quality of lossy JPEG."),
        Option(
            "TranscoderThreadsCount",
            _COUNT,
            4,
            "Processes that decode and encode pictures; at most one for each processor.",
        ),
        Option(
            "TranscoderMemoryCapacity",
            _MEGABYTES,
            256,
            "Megabytes of frames being decoded and encoded at once; a larger frame is worked at alone.",
        ),
        Option(
            "TranscoderCacheSize", _MEGABYTES, 256, "Megabytes of transcoded pictures kept in memory.", served=False
        ),
        Option("DicomParserThreadsCount", _COUNT, 2, "Threads that parse stored files.", served=False),
        Option("DicomParserMemoryCapacity", _MEGABYTES, 256, "Megabytes of files being parsed at once.", served=False),
        Option("DicomParserCacheSize", _MEGABYTES, 256, "Megabytes of parsed files kept in memory.", served=False),
        Option(
            "SequentialDicomReaderThreadsCount",
            _COUNT,
            None,
            "Threads that read a series ahead; as StorageLoaderThreadsCount unless given.",
            served=False,
            example=4,
        ),
        Option("SequentialDicomReaderWindowSize", _COUNT, 4, "Files that are read ahead.", served=False),
        Option("SequentialDicomReaderWindowCapacity", _MEGABYTES, 128, "Megabytes that are read ahead.", served=False),
    ),
)

OBSERVABILITY: Final = Area(
    "Logs, metrics and warnings",
    (
        Option(
            "MetricsEnabled",
            FLAG,
            True,
            "Show metrics at `/tools/metrics-prometheus`; `/tools/metrics` switches them while the server runs. Counting costs some microseconds a request and goes on in any case.",
        ),
        Option(
            "DeidentifyLogs",
            FLAG,
            True,
            "Keep patient data out of the logs. This server logs none in either case.",
            served=False,
        ),
        Option(
            "DeidentifyLogsDicomVersion",
            TEXT,
            "2023b",
            "Edition of PS3.15 that says what patient data is.",
            served=False,
        ),
        Option("MallocArenaMax", NUMBER, 5, "Memory arenas of the C library; 0 for its own choice."),
        Section(
            "Warnings",
            "Warnings that may be turned off.",
            (
                _warning("W001_TagsBeingReadFromStorage", "A stored file was opened to answer a search."),
                _warning("W002_InconsistentDicomTagsInDb", "A resource was indexed with another set of main tags."),
                _warning("W003_DecoderFailure", "A picture could not be decoded."),
                _warning("W004_NoMainDicomTagsSignature", "A resource was indexed before main tags had a signature."),
                _warning("W005_RequestingTagFromLowerResourceLevel", "A tag of a lower level was asked for."),
                _warning("W006_RequestingTagFromMetaHeader", "A tag of the file meta information was asked for."),
                _warning("W007_MissingRequestedTagsNotReadFromDisk", "A requested tag is not in the index."),
            ),
        ),
    ),
)

COMPATIBILITY: Final = Area(
    "Older names",
    (
        Option("LoaderThreads", _COUNT, None, "Older name of StorageLoaderThreadsCount.", served=False, example=4),
        Option(
            "ZipLoaderThreads",
            NUMBER,
            None,
            "Older name for threads that read ahead for ZIP archives.",
            served=False,
            example=0,
        ),
    ),
)

DICOM_WEB: Final = Section(
    "DicomWeb",
    "DICOMweb (PS3.18), as server and as client.",
    (
        Option("Enable", FLAG, True, "Serve DICOMweb."),
        Option("Root", TEXT, "/dicom-web/", "Where the DICOMweb routes begin."),
        Option(
            "PublicRoot",
            TEXT,
            None,
            "The same as clients see it behind a proxy; Root unless given.",
            example="/dicom-web/",
        ),
        Option("EnableWado", FLAG, True, "Serve WADO-URI."),
        Option("WadoRoot", TEXT, "/wado", "Route of WADO-URI."),
        Option("Ssl", FLAG, False, "Write https in the URLs of answers."),
        Option("Host", TEXT, "", "Host in the URLs of answers; as the client calls it if empty."),
        Option(
            "QidoCaseSensitive",
            FLAG,
            None,
            "Tell upper from lower case in QIDO-RS; as CaseSensitivePN unless given.",
            example=True,
        ),
        Option(
            "StudiesMetadata",
            one_of(("Full", "MainDicomTags", "Extrapolate")),
            "Full",
            "What /metadata of a study holds.",
        ),
        Option(
            "SeriesMetadata",
            one_of(("Full", "MainDicomTags", "Extrapolate")),
            "Full",
            "What /metadata of a series holds.",
        ),
        Option(
            "StudiesMetadataExtrapolatedTags",
            TEXTS,
            [],
            "Tags that are extrapolated in the metadata of studies.",
            served=False,
        ),
        Option(
            "SeriesMetadataExtrapolatedTags",
            TEXTS,
            [],
            "Tags that are extrapolated in the metadata of series.",
            served=False,
        ),
        Option("EnableMetadataCache", FLAG, True, "Keep the metadata of a series once made.", served=False),
        Option("MetadataWorkerThreadsCount", _COUNT, 4, "Threads that make metadata.", served=False),
        Option("WadoRsLoaderThreadsCount", NUMBER, 0, "Threads that read ahead for WADO-RS.", served=False),
        Option("EnablePerformanceLogs", FLAG, False, "Log how long answers took.", served=False),
        Option(
            "OtherBinaryMode",
            one_of(("BulkDataURI", "InlineBinary", "ArrayOfValues")),
            "BulkDataURI",
            "How binary values show in metadata.",
        ),
        Option("ServersInDatabase", FLAG, False, "Keep the remote servers in the database, not in the files."),
        Option(
            "Servers",
            Named(_DICOM_WEB_PEER),
            {},
            "Remote DICOMweb servers by symbolic name, as OrthancPeers, and HasDelete, ChunkedTransfers, HasWadoRsUniversalTransferSyntax.",
            example={"sample": ["http://127.0.0.1:8043/dicom-web/"]},
        ),
        Option(
            "StowMaxInstances",
            NUMBER,
            10,
            "Most instances in one STOW-RS request that this server sends; 0 for no bound.",
        ),
        Option(
            "StowMaxSize",
            NUMBER,
            10,
            "Most megabytes in one STOW-RS request that this server sends, unless one instance has more; 0 for no bound.",
        ),
    ),
)

MULTITENANT: Final = Section(
    "MultitenantDicom",
    "Further DICOM servers, each with its AE title, its port and a view by labels.",
    (
        Option(
            "Servers",
            Listing(
                Fields(
                    {
                        "AET": AE_TITLE,
                        "Port": _ANY_PORT,
                        "Labels": TEXTS,
                        "LabelsConstraint": one_of(("All", "Any", "None")),
                        "LabelsStoreLevels": Listing(one_of(_LEVEL_NAMES)),
                        "Locales": Anything(),
                    },
                    required=("AET", "Port"),
                )
            ),
            [],
            "One object per server: AET, Port, Labels, LabelsConstraint (All, Any, None), LabelsStoreLevels, Locales. Searches find what their labels permit at the level of the search; what is stored gets the labels. Texts do not depend on Locales.",
            example=[{"AET": "HELLO", "Port": 4343, "Labels": ["hello"]}],
        ),
    ),
)

WORKLISTS: Final = Section(
    "Worklists",
    "Modality worklists.",
    (
        Option("Enable", FLAG, False, "Answer worklist C-FIND."),
        Option("Directory", TEXT, None, "Folder of the worklist files.", example="Worklists"),
        Option("Database", TEXT, None, "Older name of Directory.", example="Worklists"),
        Option(
            "FilterIssuerAet",
            FLAG,
            False,
            "Answer only with entries scheduled for the AE title that asks.",
        ),
        Option("LimitAnswers", NUMBER, 0, "Most entries in an answer; 0 for no limit."),
        Option("SaveInOrthancDatabase", FLAG, False, "Keep the worklist in the database, not in files.", served=False),
        Option(
            "SetStudyInstanceUidIfMissing", FLAG, True, "Give entries without a StudyInstanceUID one.", served=False
        ),
        Option("DeleteWorklistsOnStableStudy", FLAG, True, "Remove an entry when its study is stable.", served=False),
        Option("DeleteWorklistsDelay", NUMBER, 24, "Hours after which entries are removed.", served=False),
        Option("HousekeepingInterval", _SECONDS, 60, "Seconds between two rounds of removal.", served=False),
    ),
)

POSTGRESQL: Final = Section(
    "PostgreSQL",
    "The index in PostgreSQL instead of SQLite.",
    (
        Option("EnableIndex", FLAG, False, "Keep the index in PostgreSQL."),
        Option("EnableStorage", FLAG, False, "Keep the files in PostgreSQL, too.", served=False),
        Option(
            "ConnectionUri", TEXT, "", "postgresql://user:password@host:port/database, instead of the single options."
        ),
        Option("Host", TEXT, "localhost", "Host of the PostgreSQL server, or the folder of its socket."),
        Option("Port", _ANY_PORT, 5432, "Port of the PostgreSQL server."),
        Option("Database", TEXT, "orthanc_db", "Name of the database."),
        Option("Username", TEXT, "orthanc_user", "User to connect as."),
        Option("Password", TEXT, "", "Password of the user."),
        Option("EnableSsl", FLAG, False, "Connect over TLS only."),
        Option("IndexConnectionsCount", _COUNT, 50, "Connections to the database at most."),
        Option(
            "UseDynamicConnectionPool",
            FLAG,
            True,
            "Open connections when they are needed. This server always does.",
            served=False,
        ),
        Option("Lock", FLAG, True, "Keep other servers from the same database.", served=False),
        Option("MaximumConnectionRetries", NUMBER, 10, "Attempts to connect at start.", served=False),
        Option("ConnectionRetryInterval", _SECONDS, 5, "Seconds between two attempts.", served=False),
        Option(
            "TransactionMode",
            one_of(("ReadCommitted", "Serializable")),
            "ReadCommitted",
            "Isolation of transactions.",
            served=False,
        ),
        Option("HousekeepingInterval", _SECONDS, 1, "Seconds between two rounds of housekeeping.", served=False),
        Option("EnableVerboseLogs", FLAG, False, "Log the statements.", served=False),
        Option(
            "AllowInconsistentChildCounts",
            FLAG,
            False,
            "Let child counts lag behind. This server keeps them exact.",
            served=False,
        ),
        Option("ApplicationName", TEXT, "", "Name of this client as the PostgreSQL server shows it.", served=False),
        Option("Schema", TEXT, "public", "Schema of the tables.", served=False),
    ),
)


def _other(name: str, what: str) -> Option:
    return Option(name, Anything(), None, what, served=False, example={})


OWN: Final = Section(
    "Amonsul",
    "Limits and switches that Orthanc does not have.",
    (
        Option(
            "AllowedHosts",
            TEXTS,
            [],
            "Further host names by which this machine may be called while RemoteAccessAllowed is false. Other names are refused, so that no web page elsewhere can reach the server through the browser of a local user.",
        ),
        Option(
            "DicomWebMaximumResults",
            Number(1, 1_000_000),
            10_000,
            "Most answers to one QIDO-RS search; a Warning header tells that there are more.",
        ),
        Option("DicomWebDelete", FLAG, False, "Serve DELETE on studies, series and instances of DICOMweb."),
        Option(
            "CorsOrigins",
            TEXTS,
            [],
            "Origins of web pages elsewhere, such as viewers, that may use DICOMweb: `https://viewer.example.org`; `*` for all of them, which only answers requests without credentials.",
        ),
        Option("HttpHeaderTimeout", Number(1, 3600), 10, "Seconds for the request line and the headers of a request."),
        Option(
            "HttpMinimumRate",
            Number(1),
            1024,
            "Bytes per second that a request body must bring on average after its first 10 seconds.",
        ),
        Option(
            "HttpMaximumConnections",
            Number(1, 100_000),
            2048,
            "HTTP connections open at once; beyond that, the one that has been idle longest makes room.",
        ),
        Option(
            "HttpBodyMemoryMB",
            Number(1, 1 << 20),
            128,
            "Megabytes of request bodies in memory over all connections; beyond that they go to files.",
        ),
        Option("MaximumJsonBodySizeMB", Number(1, 4096), 32, "Megabytes of the largest JSON or text body."),
        Option(
            "ArtimTimeout",
            Number(1, 3600),
            10,
            "Seconds that a DICOM peer has to ask for an association, and to close its connection after one (PS3.8 §9.1.5).",
        ),
        Option(
            "LinkLocalModalities",
            FLAG,
            False,
            "Speak to modalities at link-local addresses, as devices have that are cabled directly. Clouds keep credentials at such addresses.",
        ),
        Option(
            "DicomBindAddress",
            TEXT,
            "",
            "Address that the DICOM servers listen on; every address of the machine if empty.",
        ),
        Option("MaximumAssociations", _COUNT, 100, "DICOM associations open at once; further ones are rejected."),
        Option("MaximumAssociationsPerAddress", _COUNT, 16, "The same from one address."),
        Option(
            "MaximumInstanceSizeMB", Number(1, 1 << 20), 8192, "Megabytes of the largest data set taken over DICOM."
        ),
        Option(
            "DicomMemoryMB",
            Number(1, 1 << 20),
            128,
            "Megabytes of unfinished data sets in memory over all associations; beyond that they go to files.",
        ),
        Option(
            "MaximumNesting", Number(1, 64), 64, "Levels of nested sequences in a DICOM file; a deeper one is refused."
        ),
        Option(
            "MaximumInflatedSizeMB",
            Number(1, 1 << 20),
            512,
            "Megabytes that a deflated data set may inflate to; a larger one is refused.",
        ),
        Option(
            "IndexTagsAfter",
            NUMBER,
            100,
            "Searches for an attribute that is in no column of the index after which it gets an index of its own, as those of ExtraMainDicomTags have. 0 for never.",
        ),
        Option(
            "MaximumIndexedTags",
            Number(0, 1000),
            32,
            "Attributes that get an index of their own because they are searched for often.",
        ),
        Option(
            "StorageCommitmentChecksFiles",
            FLAG,
            False,
            "Read the files of the instances that storage commitment is asked for, and take responsibility only if they are as they came in.",
        ),
        Option(
            "TenantsRetrieveWholeResources",
            FLAG,
            False,
            "Let a further DICOM server send all instances of a study that its labels permit, also those that have other labels of their own, as Orthanc does.",
        ),
        Option(
            "StopTimeout",
            Number(0, 3600),
            8,
            "Seconds that running work may take to finish when the server is told to stop.",
        ),
        Option(
            "Webhooks",
            Named(Fields({"Url": TEXT, "Secret": TEXT, "Types": TEXTS}, required=("Url", "Secret"))),
            {},
            "Web addresses that are told of changes by POST, in order, signed with the secret; see the page on changes. "
            "Types are those of /changes; all without.",
            example={
                "ris": {"Url": "https://ris.example/changed", "Secret": "a long random text", "Types": ["StableStudy"]}
            },
        ),
    ),
)

OTHER_SECTIONS: Final = (
    Section(
        "Housekeeper",
        "Work on stored data in quiet hours.",
        (
            Option("Enable", FLAG, False, "Give what is stored the form that changed settings ask for."),
            Option("Force", FLAG, False, "Work on everything at each start, even if no setting changed."),
            Option("ThrottleDelay", _SECONDS, 5, "Seconds of rest after a series that was worked on."),
            Option("GlobalPropertyId", NUMBER, 1025, "Where Orthanc keeps its state.", served=False),
            Option(
                "Schedule",
                Named(TEXTS),
                {},
                "Hours at which it may work, by day, in local time; at any time without a day.",
                example={"Monday": ["0-6", "20-24"], "Sunday": ["0-24"]},
            ),
            Option(
                "Triggers",
                Fields(dict.fromkeys(HOUSEKEEPER_TRIGGERS, FLAG)),
                {},
                "Changes of settings that make it work; all unless one is turned off.",
                example=dict.fromkeys(HOUSEKEEPER_TRIGGERS, True),
            ),
            Option(
                "LimitMainDicomTagsReconstructLevel",
                one_of(("", *_LEVEL_NAMES)),
                "",
                "The one level whose main tags are read anew after a change of ExtraMainDicomTags; all if it is empty.",
            ),
        ),
    ),
    Section(
        "DelayedDeletion",
        "Remove files some time after their rows.",
        (
            Option("Enable", FLAG, False, "Delay the removal of files.", served=False),
            Option("ThrottleDelayMs", NUMBER, 0, "Milliseconds between two files.", served=False),
            Option("Path", TEXT, None, "Where the queue is kept.", served=False, example="PendingDeletions"),
        ),
    ),
    Section(
        "Transfers",
        "Fast transfers between servers.",
        (
            Option("Threads", _COUNT, 6, "Connections of a transfer.", served=False),
            Option("BucketSize", NUMBER, 4096, "Kilobytes of a bucket.", served=False),
            Option("CacheSize", NUMBER, 128, "Megabytes kept in memory.", served=False),
            Option("MaxPushTransactions", NUMBER, 4, "Transfers taken in at once.", served=False),
            Option("MaxHttpRetries", NUMBER, 0, "Attempts per bucket after the first.", served=False),
            Option("PeerConnectivityTimeout", _SECONDS, 2, "Seconds to wait for the test of a peer.", served=False),
            Option("PeerCommitTimeout", _SECONDS, 600, "Seconds to wait for the end of a transfer.", served=False),
        ),
    ),
    _other("MySQL", "The index in MySQL."),
    _other("Odbc", "The index behind ODBC."),
    _other("AdvancedStorage", "Several storage folders and names of your own."),
    _other("AwsS3Storage", "Files in Amazon S3 or alike."),
    _other("AzureBlobStorage", "Files in Azure Blob Storage."),
    _other("GoogleCloudStorage", "Files in Google Cloud Storage."),
    _other("Authorization", "An external service that says who may do what."),
    _other("OrthancExplorer2", "The second generation of pages for people."),
    _other("OHIF", "The OHIF viewer."),
    _other("StoneWebViewer", "The Stone viewer."),
    _other("VolView", "The VolView viewer."),
    _other("WebViewer", "The first viewer."),
    _other("WholeSlideImaging", "Whole-slide pictures."),
    _other("Gdcm", "GDCM as a codec."),
    _other("ServeFolders", "Folders served over HTTP."),
    _other("Indexer", "Folders that are indexed without copying."),
    _other("Tcia", "Import of collections from TCIA."),
    _other("GoogleCloudPlatform", "Accounts of Google Cloud."),
    _other("Education", "Teaching with LTI."),
    Option("PythonScript", TEXT, None, "Python script to run.", served=False, example="script.py"),
    Option("PythonVerbose", FLAG, False, "Log what the Python script is given.", served=False),
)

AREAS: Final = (
    GENERAL,
    HTTP,
    HTTP_SECURITY,
    DICOM,
    DICOM_SECURITY,
    MODALITIES,
    STORE,
    JOBS,
    DICTIONARY,
    TRANSCODING,
    OBSERVABILITY,
    COMPATIBILITY,
    Area("Beyond Orthanc", (OWN,)),
    Area("DICOMweb", (DICOM_WEB,)),
    Area("Further DICOM servers", (MULTITENANT,)),
    Area("Worklists", (WORKLISTS,)),
    Area("PostgreSQL", (POSTGRESQL,)),
    Area("Other parts", OTHER_SECTIONS),
)

ENTRIES: Final[tuple[Option | Section, ...]] = tuple(entry for area in AREAS for entry in area.entries)
OPTIONS: Final[dict[str, Option]] = dict(walk(ENTRIES))
