"""New UIDs from old ones."""

from __future__ import annotations

import re
import uuid

from hypothesis import given
from hypothesis import strategies as st

from amonsul.dicom.uid_map import UidMap
from amonsul.dicom.uids import is_valid

keys = st.binary(min_size=32, max_size=32)
uids = st.from_regex(r"[1-9][0-9]{0,8}(\.(0|[1-9][0-9]{0,8})){1,6}", fullmatch=True)


@given(keys, uids)
def test_a_new_uid_is_a_uid_made_from_a_uuid(key: bytes, old: str) -> None:
    new = UidMap(key).uid(old)
    assert is_valid(new)
    assert uuid.UUID(int=int(new.removeprefix("2.25."))).version == 8
    assert new != old


@given(keys, uids)
def test_the_same_key_gives_the_same_uid_anywhere(key: bytes, old: str) -> None:
    assert UidMap(key).uid(old) == UidMap(bytes(key)).uid(old)


@given(keys, keys, uids, uids)
def test_keys_and_uids_are_told_apart(key: bytes, other_key: bytes, old: str, other: str) -> None:
    pairs = {(key, old), (key, other), (other_key, old), (other_key, other)}
    assert len({UidMap(k).uid(uid) for k, uid in pairs}) == len(pairs)


def test_a_value_that_must_not_change() -> None:
    """Jobs that were interrupted by an upgrade go on with the same UIDs."""
    uid_map = UidMap(bytes(range(32)))
    assert uid_map.uid("1.2.3") == "2.25.323208961630152450876443539203389659764"
    assert uid_map.patient_id("P1") == "8f3842b8-4523-8960-9b87-a131fd8b4701"
    assert uid_map.number("dates", "P1", 1000) == 401


def test_a_patient_id_is_a_uuid_and_the_key_is_not_printed() -> None:
    uid_map = UidMap(b"secret" * 6)
    assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", uid_map.patient_id("P1"))
    assert "secret" not in repr(uid_map)
