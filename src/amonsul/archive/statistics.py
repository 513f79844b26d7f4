"""How much there is. Answers come from counters that every write keeps; nothing is counted here."""

from __future__ import annotations

from amonsul.archive.context import Archive
from amonsul.database import statistics as counters
from amonsul.database.statistics import ResourceStatistics, SystemStatistics
from amonsul.dicom.levels import Level, OrthancId
from amonsul.errors import UnknownResource

__all__ = ["ResourceStatistics", "SystemStatistics", "of_resource", "system"]


def system(archive: Archive) -> SystemStatistics:
    """Statistics of the whole archive."""
    with archive.database.read() as tx:
        return counters.system(tx)


def of_resource(archive: Archive, level: Level, orthanc_id: OrthancId) -> ResourceStatistics:
    """Statistics of one resource.

    Raises:
        UnknownResource: there is no such resource.
    """
    with archive.database.read() as tx:
        found = counters.of_resource(tx, level, orthanc_id)
    if found is None:
        raise UnknownResource
    return found
