"""Stored instances as the DICOM client sends them: described from the index, opened when their turn comes."""

from __future__ import annotations

from collections.abc import Sequence

from amonsul.archive.context import Archive
from amonsul.archive.read import StoredAttachment
from amonsul.clients.dimse import Outgoing
from amonsul.database import sending
from amonsul.dicom.levels import Level, OrthancId


def outgoing(archive: Archive, instance_ids: Sequence[OrthancId]) -> dict[OrthancId, Outgoing]:
    """The instances that exist, in the order asked for."""
    with archive.database.read() as tx:
        found = sending.described(tx, instance_ids)
    return {
        each.orthanc_id: Outgoing(
            each.sop_class_uid,
            each.sop_instance_uid,
            each.transfer_syntax_uid,
            StoredAttachment(archive, Level.INSTANCE, each.orthanc_id, each.file).chunks,
        )
        for each in found
    }
