"""What has to be known of instances to send them, without opening a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from amonsul.database import condemned
from amonsul.database.attachments import DICOM, Attachment, columns_of
from amonsul.database.engine import Transaction
from amonsul.dicom.levels import OrthancId


class Described(NamedTuple):
    """One instance."""

    orthanc_id: OrthancId
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str
    file: Attachment


def described(tx: Transaction, instance_ids: Sequence[OrthancId]) -> list[Described]:
    """Those of the instances that exist, in the order asked for."""
    rows = tx.all(
        "SELECT i.orthanc_id, i.sop_class_uid, i.sop_instance_uid, i.transfer_syntax_uid, "
        f"{columns_of('a')} FROM instances i "
        f"JOIN attachments a ON a.level = 3 AND a.resource_row = i.id AND a.content_type = {DICOM} "
        f"WHERE {tx.dialect.is_text_in('i.orthanc_id', 'ids')} AND {condemned.LIVE.format('i')}",
        ids=tx.dialect.texts(instance_ids),
    )
    by_id = {row[0]: Described(row[0], row[1], row[2], row[3], Attachment(*row[4:])) for row in rows}
    return [by_id[orthanc_id] for orthanc_id in instance_ids if orthanc_id in by_id]
