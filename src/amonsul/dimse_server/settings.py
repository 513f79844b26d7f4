"""What the DICOM door needs to know: fixed settings, and switches that may change while it is open."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

from amonsul.archive.modalities import Modality
from amonsul.dicom.levels import Level
from amonsul.dicom.query import View

DEFAULT_MAX_PDU_LENGTH = 131072
"""Offered to peers that are not small themselves: a CT slice in 4 PDUs instead of 32."""

SMALL_MAX_PDU_LENGTH = 16384
"""Offered to a peer that itself takes less than this: its buffers are likely as small on the way out."""


@dataclass(frozen=True, slots=True)
class AlwaysAllowed:
    """What peers may ask that are not among the modalities (`DicomAlwaysAllow…`)."""

    echo: bool = True
    store: bool = True
    find: bool = False
    find_worklist: bool = False
    get: bool = False
    move: bool = False


@dataclass(frozen=True, slots=True)
class DimseSettings:
    """Fixed while the server runs.

    Attributes:
        ae_title: our AE title (`DicomAet`).
        port: TCP port (`DicomPort`); 0 lets the system choose one, see `DicomServer.port`.
        host: address to listen on; empty for all of IPv4 and IPv6.
        max_pdu_length: what we take in one PDU (`MaximumPduLength`); None chooses by peer.
        check_called_aet: refuse associations that call another AE title (`DicomCheckCalledAet`).
        strict_aet_comparison: whether case matters in AE titles (`StrictAetComparison`).
        check_modality_host: whether a modality must come from its configured host (`DicomCheckModalityHost`).
        accepted_sop_classes: the storage SOP classes taken, None for all known ones; `*` and `?` are wildcards.
        rejected_sop_classes: those not taken among them; wildcards too.
        scp_timeout_s: longest silence of a peer within an association (`DicomScpTimeout`), 0 for any.
        artim_timeout_s: longest wait for an association request and for the close of a connection (PS3.8 §9.1.5).
        max_associations: open at once, answered with A-ASSOCIATE-RJ beyond.
        max_associations_per_address: the same from one IP address.
        max_silent_connections: open without an association; the oldest is closed beyond.
        max_instance_size: bytes of a data set, beyond which the association is aborted.
        max_spooled_in_memory: bytes of unfinished data sets over all associations, beyond which they go to files.
        tls: context for DICOM TLS, None for plain TCP.
    """

    ae_title: str = "ORTHANC"
    port: int = 4242
    host: str = ""
    max_pdu_length: int | None = None
    check_called_aet: bool = False
    strict_aet_comparison: bool = False
    always_allowed: AlwaysAllowed = field(default_factory=AlwaysAllowed)
    check_modality_host: bool = False
    accepted_sop_classes: tuple[str, ...] | None = None
    rejected_sop_classes: tuple[str, ...] = ()
    scp_timeout_s: float = 30.0
    artim_timeout_s: float = 10.0
    max_associations: int = 100
    max_associations_per_address: int = 16
    max_silent_connections: int = 512
    max_instance_size: int = 8 << 30
    max_spooled_in_memory: int = 128 << 20
    tls: ssl.SSLContext | None = None


@dataclass(frozen=True, slots=True)
class Tenant:
    """A further server of the same archive (`MultitenantDicom`).

    Attributes:
        ae_title: its AE title.
        port: its TCP port.
        view: what those who come there may see.
        labels: given to what is stored there, by level.
    """

    ae_title: str
    port: int
    view: View
    labels: Mapping[Level, tuple[str, ...]]


def _no_modalities() -> Mapping[str, Modality]:
    return {}


@dataclass(frozen=True, slots=True)
class DimseSwitches:
    """Asked anew for every association; the callables run in a thread and may block.

    Attributes:
        modalities: by symbolic name.
        accepted_transfer_syntaxes: UIDs, or patterns with `*` and `?` (`AcceptedTransferSyntaxes`).
        unknown_sop_class_accepted: whether any abstract syntax is taken for storage (`UnknownSopClassAccepted`).
    """

    modalities: Callable[[], Mapping[str, Modality]] = _no_modalities
    accepted_transfer_syntaxes: Callable[[], Collection[str]] = lambda: ("1.2.840.10008.1.*",)
    unknown_sop_class_accepted: Callable[[], bool] = lambda: False
