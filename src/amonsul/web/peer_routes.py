"""The lines of the table of URLs that are about peers: servers that are reached over REST."""

from __future__ import annotations

from collections.abc import Iterator

from amonsul.web.remote_routes import EXPAND, JOB, PERMISSIVE
from amonsul.web.rest import peers
from amonsul.web.routing import Body, Parameter, Route

_JSON = "application/json"
_TEXT = "text/plain"
_DICOM = "application/dicom"

WEB_SERVER = (
    Parameter("Url", "Root of its API, http or https."),
    Parameter("Username", "For HTTP Basic authentication."),
    Parameter("Password", "For HTTP Basic authentication; never shown."),
    Parameter("HttpHeaders", "Headers of each request; only their names are shown.", "object"),
    Parameter("CertificateFile", "PEM file of our certificate towards it."),
    Parameter("CertificateKeyFile", "PEM file of the key, if the certificate's does not hold it."),
    Parameter("CertificateKeyPassword", "Password of the key; never shown."),
    Parameter("Pkcs11", "Whether the key is in a hardware token; then CertificateKeyFile is its URL.", "boolean"),
    Parameter("Timeout", "Seconds to wait for it; 0 for `HttpTimeout`.", "integer"),
)
"""How a server is reached over HTTP."""
_PEER = (
    *WEB_SERVER,
    Parameter("RemoteSelf", "What it calls us. It and any other member are kept and shown."),
)


def peer_routes() -> Iterator[Route]:
    """The routes of `/peers`."""
    tag, one = "Peers", "/peers/{id}"
    yield Route("GET", "/peers", peers.list_peers, "List peers", tag, parameters=(EXPAND,))
    yield Route("GET", one, peers.list_operations, "List what can be asked of a peer", tag)
    yield Route("GET", f"{one}/configuration", peers.get_configuration, "Describe a peer", tag)
    yield Route("GET", f"{one}/system", peers.get_system, "What a peer tells of itself", tag)
    yield Route(
        "PUT",
        one,
        peers.put_peer,
        "Add or change a peer",
        tag,
        "For good with `OrthancPeersInDatabase`, otherwise until the server ends. Also `[Url]` and "
        "`[Url, Username, Password]`.",
        body=Body.SMALL,
        request_types=(_JSON,),
        fields=_PEER,
        answers=_TEXT,
    )
    yield Route("DELETE", one, peers.delete_peer, "Remove a peer", tag, answers=_TEXT)
    yield Route(
        "POST",
        f"{one}/store",
        peers.store,
        "Send to a peer",
        tag,
        "Everything below the named resources, several instances at once. The body is an identifier, an array of them, "
        "or an object.",
        body=Body.SMALL,
        request_types=(_JSON, _TEXT),
        fields=(
            Parameter("Resources", "Identifiers of resources of any level.", "array"),
            Parameter("Compress", "Send with gzip.", "boolean"),
            Parameter("Transcode", "Transfer syntax to send in."),
            Parameter("LossyQuality", "1 to 100, where something is lost by `Transcode`.", "integer"),
            PERMISSIVE,
            *JOB,
        ),
    )
    yield Route(
        "POST",
        f"{one}/store-straight",
        peers.store_straight,
        "Send a DICOM file to a peer",
        tag,
        "The body, which is not stored here; the answer is the peer's.",
        body=Body.LARGE,
        request_types=(_DICOM,),
    )
