"""Settings of a store that are neither its place nor its credentials."""

import datetime
from typing import Literal

import msgspec

Retention = Literal["GOVERNANCE", "COMPLIANCE"]


class ObjectLock(msgspec.Struct, frozen=True, kw_only=True):
    """How new objects are retained: in COMPLIANCE nobody can shorten it, in GOVERNANCE who has that right. See `objectlock`."""

    mode: Retention
    days: int

    def until(self, now: datetime.datetime) -> datetime.datetime:
        """When an object that is written now is free again."""
        return now + datetime.timedelta(days=self.days)


class StoreOptions(msgspec.Struct, frozen=True, kw_only=True):
    """All are optional.

    `connections`: operations side by side, 0 for as many as the caller has threads. `upload_rate`, `download_rate`: bytes a
    second, 0 for no limit. The others are S3's: `storage_class` of packs (such as STANDARD_IA; never an archive that
    must be thawed), `encryption` at the server (`AES256`, `aws:kms`, `aws:kms:dsse`) and its `kms_key_id`, `object_lock`.
    """

    connections: int = 0
    upload_rate: int = 0
    download_rate: int = 0
    storage_class: str = ""
    encryption: str = ""
    kms_key_id: str = ""
    object_lock: ObjectLock | None = None
