"""Errors as rows keep them, and back: a synchronous caller may get an error that another process met."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator

from amonsul.database.jobs import Failure
from amonsul.errors import (
    AmonsulError,
    InternalError,
    JobCanceled,
    NetworkProtocolError,
    NoPresentationContext,
    RemoteFailure,
)

logger = logging.getLogger(__name__)

CANCELED = Failure(JobCanceled.orthanc_status, JobCanceled.message)
CRASHED = Failure(
    InternalError.orthanc_status, InternalError.message, "The server was interrupted several times at the same step"
)


def describe(error: AmonsulError) -> Failure:
    """What is written down about an error."""
    return Failure(error.orthanc_status, error.message, error.details, error.payload)


def describe_bug(error: Exception, kind: str, job_id: str) -> Failure:
    """The same for an error that nobody expected; logged without its message, which may quote data of patients."""
    where = "".join(traceback.format_tb(error.__traceback__))
    logger.error("job %s (%s) failed with %s\n%s", job_id, kind, type(error).__name__, where)
    return Failure(InternalError.orthanc_status, InternalError.message, type(error).__name__)


def may_pass(error: AmonsulError) -> bool:
    """A DICOM system that is not there may come back; one that refuses will refuse again."""
    return isinstance(error, NetworkProtocolError) and not isinstance(error, RemoteFailure | NoPresentationContext)


def revive(failure: Failure) -> AmonsulError:
    """An error that answers as the one that was described."""
    for known in _subclasses(AmonsulError):
        if (known.orthanc_status, known.message) == (failure.code, failure.message):
            return known(failure.details, failure.payload)
    return InternalError(failure.details or failure.message, failure.payload)


def _subclasses(kind: type[AmonsulError]) -> Iterator[type[AmonsulError]]:
    for subclass in kind.__subclasses__():
        yield subclass
        yield from _subclasses(subclass)
