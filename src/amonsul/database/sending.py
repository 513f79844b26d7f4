"""What has to be known of instances to send them, without opening a file."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from amonsul.database import condemned
from amonsul.database.engine import Transaction
from amonsul.dicom.levels import OrthancId


class Described(NamedTuple):
    """One instance."""

    orthanc_id: OrthancId
    sop_class_uid: str
    sop_instance_uid: str
    transfer_syntax_uid: str


def described(tx: Transaction, instance_ids: Sequence[OrthancId]) -> list[Described]:
    """Those of the instances that exist, in the order asked for."""
    rows = tx.all(
        "SELECT orthanc_id, sop_class_uid, sop_instance_uid, transfer_syntax_uid FROM instances "
        f"WHERE {tx.dialect.is_text_in('orthanc_id', 'ids')} AND {condemned.LIVE.format('instances')}",
        ids=tx.dialect.texts(instance_ids),
    )
    by_id = {row[0]: Described(*row) for row in rows}
    return [by_id[orthanc_id] for orthanc_id in instance_ids if orthanc_id in by_id]
