"""Settings of a store that are neither its place nor its credentials."""

import datetime
from collections.abc import Mapping
from typing import Literal, cast

import msgspec

from holdfast.repo.errors import BadRequest

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


NAMES: Mapping[str, str] = {
    "connections": "operations side by side; 0 for as many as there are threads",
    "s3.storage-class": "storage class of packs, such as STANDARD_IA",
    "s3.encryption": "encryption at the server: AES256, aws:kms or aws:kms:dsse",
    "s3.kms-key-id": "the key for aws:kms",
    "s3.object-lock-mode": "keep what is written: COMPLIANCE or GOVERNANCE",
    "s3.object-lock-days": "for so many days",
}
"""Settings by the names that a command line has for them; `variable` says how the environment calls each."""

_MODES = ("GOVERNANCE", "COMPLIANCE")
_ENCRYPTIONS = ("AES256", "aws:kms", "aws:kms:dsse")
_FROZEN = ("GLACIER", "DEEP_ARCHIVE")


def variable(name: str) -> str:
    """The variable of a setting: `HOLDFAST_S3_STORAGE_CLASS` for `s3.storage-class`."""
    return "HOLDFAST_" + name.upper().replace(".", "_").replace("-", "_")


def read_options(given: Mapping[str, str], env: Mapping[str, str]) -> StoreOptions:
    """The options that are given by name, else by the environment. Raises BadRequest for what makes no sense."""
    if unknown := given.keys() - NAMES.keys():
        raise BadRequest(f"there is no option {min(unknown)!r} for stores: use {', '.join(NAMES)}")
    found = {name: given.get(name) or env.get(variable(name), "") for name in NAMES}
    storage_class, encryption, key = found["s3.storage-class"], found["s3.encryption"], found["s3.kms-key-id"]
    if storage_class.upper() in _FROZEN:
        raise BadRequest(f"s3.storage-class {storage_class}: what must be thawed before it can be read is no place for packs")
    if encryption and encryption not in _ENCRYPTIONS:
        raise BadRequest(f"s3.encryption {encryption!r}: use {', '.join(_ENCRYPTIONS)}")
    if key and not encryption.startswith("aws:kms"):
        raise BadRequest("s3.kms-key-id is for s3.encryption aws:kms or aws:kms:dsse")
    return StoreOptions(
        connections=_number("connections", found["connections"]),
        storage_class=storage_class,
        encryption=encryption,
        kms_key_id=key,
        object_lock=_lock(found["s3.object-lock-mode"], found["s3.object-lock-days"]),
    )


def _lock(mode: str, days: str) -> ObjectLock | None:
    if not mode and not days:
        return None
    if mode.upper() not in _MODES:
        raise BadRequest(f"s3.object-lock-mode {mode!r}: use {' or '.join(_MODES)}, together with s3.object-lock-days")
    if not (count := _number("s3.object-lock-days", days)):
        raise BadRequest(f"s3.object-lock-mode {mode} needs s3.object-lock-days, at least one")
    return ObjectLock(mode=cast("Retention", mode.upper()), days=count)


def _number(name: str, text: str) -> int:
    if not text:
        return 0
    if not text.isdecimal():
        raise BadRequest(f"{name} {text!r} is not a number")
    return int(text)
