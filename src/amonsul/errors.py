"""The one exception tree of the product, read by both edges.

Whatever refuses a request raises one of these with the fact in `details`. The HTTP edge turns it into the
status and JSON body that clients of the REST API know (`HttpStatus`, `OrthancStatus`, `Message`…), the DICOM edge
into the DIMSE status of the service. Anything else that escapes is a bug and is answered as an internal error.
"""

from __future__ import annotations

from typing import ClassVar


class AmonsulError(Exception):
    """Base of all refusals.

    Attributes:
        http_status: status of the HTTP answer.
        orthanc_status: number in the `OrthancStatus` field of the REST API.
        message: fixed text in the `Message` and `OrthancError` fields.
        dimse_status: status of a DIMSE response (PS3.7 Annex C) where the service has no better one.
        details: what was wrong this time; free text, no patient data.
        payload: more facts for programs, as JSON (`ErrorPayload` of the REST API); None if there are none.
    """

    http_status: ClassVar[int] = 500
    orthanc_status: ClassVar[int] = -1
    message: ClassVar[str] = "Internal error"
    dimse_status: ClassVar[int] = 0x0110

    def __init__(self, details: str = "", payload: object = None) -> None:
        super().__init__(details or self.message)
        self.details = details
        self.payload = payload


class InternalError(AmonsulError):
    """A broken promise inside the server."""


class BadFileFormat(AmonsulError):
    """Bytes that are not what they should be: a DICOM file, a JSON body, a ZIP archive."""

    http_status, orthanc_status, message, dimse_status = 400, 15, "Bad file format", 0xC000


class BadRequest(AmonsulError):
    """A request that lacks something or contradicts itself."""

    http_status, orthanc_status, message = 400, 8, "Bad request"


class ParameterOutOfRange(AmonsulError):
    """A value outside the set that is understood."""

    http_status, orthanc_status, message = 400, 3, "Parameter out of range"


class BadParameterType(AmonsulError):
    """A value of the wrong type."""

    http_status, orthanc_status, message = 400, 5, "Bad type for a parameter"


class BadSequenceOfCalls(AmonsulError):
    """Something that may be asked, but not yet or not any more."""

    http_status, orthanc_status, message = 500, 6, "Bad sequence of calls"


class NotImplementedHere(AmonsulError):
    """Something that the API knows and this server does not do."""

    http_status, orthanc_status, message = 501, 2, "Not implemented yet"


class UnknownDicomTag(AmonsulError):
    """A DICOM tag given by a name that no dictionary knows."""

    http_status, orthanc_status, message = 400, 27, "Unknown DICOM tag"


class Forbidden(AmonsulError):
    """Credentials are fine, the action is not allowed."""

    http_status, orthanc_status, message, dimse_status = 403, 4, "Forbidden", 0x0124


class UnknownResource(AmonsulError):
    """No such resource, or no such route."""

    http_status, orthanc_status, message, dimse_status = 404, 17, "Unknown resource", 0x0112


class InexistentItem(AmonsulError):
    """The resource exists, the item asked of it does not."""

    http_status, orthanc_status, message = 404, 7, "Accessing an inexistent item"


class MissingIdentifier(BadFileFormat):
    """A data set without one of the UIDs that identify an instance (PS3.3 §C.12.1, C.7.2.1, C.7.3.1)."""

    dimse_status = 0xA900


class InexistentFile(AmonsulError):
    """A file that should be there and is not."""

    http_status, orthanc_status, message = 404, 13, "Inexistent file"


class IncompatibleImageSize(AmonsulError):
    """Images of different sizes where all must have the same."""

    http_status, orthanc_status, message = 500, 24, "Incompatible size of the images"


class IncompatibleImageFormat(AmonsulError):
    """Images of different kinds of samples where all must have the same, or of a kind that cannot be used here."""

    http_status, orthanc_status, message = 500, 23, "Incompatible format of the images"


class UnsupportedMediaType(AmonsulError):
    """A body of a type that the route does not take."""

    http_status, orthanc_status, message = 415, 3000, "Unsupported media type"


class BadRange(AmonsulError):
    """An HTTP range outside the file (RFC 9110 §14.4)."""

    http_status, orthanc_status, message = 416, 41, "Incorrect range request"


class NetworkProtocolError(AmonsulError):
    """A remote DICOM or HTTP peer did not follow its protocol."""

    http_status, orthanc_status, message = 500, 9, "Error in the network protocol"


class NoPresentationContext(NetworkProtocolError):
    """A remote DICOM system takes part in no association for what is asked of it."""

    orthanc_status = 2015
    message = "DicomUserConnection: No acceptable presentation context for modality"


class RemoteFailure(NetworkProtocolError):
    """A remote DICOM system answered a request with a failure status; the payload tells it."""

    @classmethod
    def of(cls, operation: str, remote: str, status: int, hint: str = "") -> RemoteFailure:
        """What a response says.

        Args:
            operation: name of the DIMSE service.
            remote: how to call the remote.
            status: of the response.
            hint: what it may mean, or the comment of the remote.
        """
        details = f"{operation} SCU to {remote} has failed with DIMSE status 0x{status:04X}"
        payload = {"Content": {"DimseErrorStatus": status}, "Type": "Dimse"}
        return cls(f"{details} ({hint})" if hint else details, payload)

    @property
    def status(self) -> int:
        """Of the response."""
        match self.payload:
            case {"Content": {"DimseErrorStatus": int(status)}}:
                return status
        return self.dimse_status


class RemoteCannotProcess(RemoteFailure):
    """A remote DICOM system does not understand a search."""

    http_status = 422


class Conflict(AmonsulError):
    """The revision given by the client is not the current one."""

    http_status, orthanc_status = 409, 43
    message = "A bad revision number was provided, which might indicate conflict between multiple writers"


class PayloadTooLarge(AmonsulError):
    """A body, a data set or a part of one beyond its configured bound."""

    http_status, orthanc_status, message, dimse_status = 413, 8, "Payload too large", 0xA700


class StorageFull(AmonsulError):
    """No room left for the bytes (PS3.4 Table B.2-1: out of resources)."""

    http_status, orthanc_status, message, dimse_status = 507, 19, "The file storage is full", 0xA700


class ReadOnly(AmonsulError):
    """A write to a server that is configured to refuse them."""

    http_status, orthanc_status, message, dimse_status = 403, 45, "The server is read-only", 0x0124


class Unavailable(AmonsulError):
    """The database or the storage cannot be reached now; the client may come back."""

    http_status, orthanc_status, message, dimse_status = 503, 36, "The database is currently not available", 0xA700


class CannotStore(AmonsulError):
    """The storage refused the bytes for another reason than lack of room."""

    http_status, orthanc_status, message, dimse_status = 500, 14, "Cannot write to the file", 0xA700


class JobCanceled(AmonsulError):
    """Somebody asked for the end of a job that others wait for."""

    http_status, orthanc_status, message = 500, 37, "This job was canceled"
