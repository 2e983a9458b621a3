"""A store whose objects nobody can destroy before their time: S3 object lock.

Every object but the repository's own locks is written with a date until which the service keeps it, whoever asks (COMPLIANCE)
or unless somebody has the right to bypass it (GOVERNANCE). Such a bucket keeps versions: a plain delete or an overwrite hides
an object and destroys nothing, and `recover` brings it back. What we ourselves are asked to delete before its time is refused
with the date. Retention can be extended, never shortened here.

The client that the other operations use can't send these headers, so botocore does, loaded for such stores only. Keys that
the caller does not name are found by botocore's own chain, from the environment of the process.
"""

import datetime
import hashlib
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NoReturn, Protocol, TypeVar, cast

import botocore.session  # pyright: ignore[reportMissingTypeStubs]
from botocore.config import Config  # pyright: ignore[reportMissingTypeStubs]
from botocore.exceptions import BotoCoreError, ClientError  # pyright: ignore[reportMissingTypeStubs]

from holdfast.repo.errors import ObjectExists, ObjectRetained, StoreError, StoreUnavailable
from holdfast.repo.store import CONFIG, Buffer, Store
from holdfast.repo.stores.bucket import Place, refusal
from holdfast.repo.stores.http import is_on, read_ca
from holdfast.repo.stores.options import ObjectLock, StoreOptions
from holdfast.repo.stores.wrapped import RetainingStore

POOL_SIZE = 64
_NO_LOCK = ("ObjectLockConfigurationNotFoundError", "NoSuchObjectLockConfiguration")
T = TypeVar("T")


class _Client(Protocol):
    """The calls of botocore's S3 client that we make; arguments and answers are those of the S3 API."""

    def put_object(self, **arguments: Any) -> dict[str, Any]: ...
    def get_object(self, **arguments: Any) -> dict[str, Any]: ...
    def head_object(self, **arguments: Any) -> dict[str, Any]: ...
    def put_object_retention(self, **arguments: Any) -> dict[str, Any]: ...
    def get_object_lock_configuration(self, **arguments: Any) -> dict[str, Any]: ...
    def list_object_versions(self, **arguments: Any) -> dict[str, Any]: ...
    def close(self) -> None: ...


def open_locked(inner: Store, where: Place, endpoint: str, env: Mapping[str, str], options: StoreOptions) -> "ObjectLockStore":
    """The store that retains what `inner` stores at `where`. Raises StoreError for a lock of no days."""
    lock = options.object_lock
    if lock is None or lock.days < 1:
        raise StoreError(f"{where}: an object lock of no days protects nothing: use at least one")
    virtual = env.get("AWS_S3_ADDRESSING_STYLE", "path") == "virtual"
    insecure = is_on(env, "AWS_INSECURE_TLS") or is_on(env, "RESTIC_INSECURE_TLS")
    ca = env.get("RESTIC_CACERT") or env.get("AWS_CA_BUNDLE") if read_ca(env) else None
    make = cast("Callable[..., _Client]", botocore.session.get_session().create_client)  # pyright: ignore[reportUnknownMemberType]
    client = make(
        "s3",
        endpoint_url=endpoint,
        region_name=env.get("AWS_DEFAULT_REGION") or env.get("AWS_REGION") or "us-east-1",
        aws_access_key_id=env.get("AWS_ACCESS_KEY_ID"),
        aws_secret_access_key=env.get("AWS_SECRET_ACCESS_KEY"),
        aws_session_token=env.get("AWS_SESSION_TOKEN"),
        verify=False if insecure else ca,
        config=Config(
            s3={"addressing_style": "virtual" if virtual else "path"},
            retries={"total_max_attempts": 1},
            connect_timeout=10,
            read_timeout=300,
            max_pool_connections=POOL_SIZE,
        ),
    )
    return ObjectLockStore(inner, client, where, options)


class ObjectLockStore(RetainingStore):
    """Retains what it stores; see the module."""

    def __init__(self, inner: Store, client: _Client, where: Place, options: StoreOptions) -> None:
        super().__init__(inner)
        self._client, self._where = client, where
        self._lock = cast("ObjectLock", options.object_lock)
        self._extra = _extra_arguments(options)
        self._pack_extra = {"StorageClass": options.storage_class} if options.storage_class else {}
        self._default_days: int | None = None

    def create(self) -> None:
        """Check that the bucket answers and has an object lock. It can be switched on for versioned buckets only."""
        super().create()
        self.default_days()

    def default_days(self) -> int:
        """How many days the bucket retains by default; 0 when it does not. Raises StoreError for a bucket without a lock."""
        if self._default_days is None:
            found = self._do(
                "look at the object lock", lambda: self._client.get_object_lock_configuration(Bucket=self._where.bucket)
            )
            configuration = found.get("ObjectLockConfiguration", {})
            if configuration.get("ObjectLockEnabled") != "Enabled":
                self._no_lock()
            default = configuration.get("Rule", {}).get("DefaultRetention", {})
            self._default_days = int(default.get("Days", 0)) or int(default.get("Years", 0)) * 365
        return self._default_days

    def _no_lock(self) -> NoReturn:
        raise StoreError(
            f"{self._where}: the bucket {self._where.bucket!r} has no object lock: switch on versioning and object lock "
            "for it, or leave out the lock"
        ) from None

    def until(self, since: datetime.datetime | None = None) -> datetime.datetime:
        """As long as asked, or as the bucket's default if that is longer."""
        days = max(self._lock.days, self.default_days())
        return (since or datetime.datetime.now(datetime.UTC)) + datetime.timedelta(days=days)

    def put(self, path: str, data: Buffer) -> None:
        """Store and retain. What exists stays the current version; a new one would be kept for nothing."""
        if path.startswith("locks/"):
            super().put(path, data)
            return
        arguments = {"ObjectLockMode": self._lock.mode, "ObjectLockRetainUntilDate": self.until(), "IfNoneMatch": "*"}
        arguments |= self._extra | (self._pack_extra if path.startswith("data/") else {})
        try:
            self._on(path, f"write {path}", self._client.put_object, Body=bytes(data), **arguments)
        except ObjectExists:
            if path == CONFIG:
                raise

    def delete(self, path: str) -> None:
        """Delete, unless the service keeps the object. Raises ObjectRetained with the date."""
        if not path.startswith("locks/"):
            found = self._on(path, f"look at {path}", self._client.head_object)
            until = _retained_until(found)
            if until is not None:
                raise ObjectRetained(
                    f"{self._where}: {path} can't be deleted before {until:%Y-%m-%d %H:%M} UTC: the bucket's object lock "
                    f"keeps it in mode {found.get('ObjectLockMode', 'unknown')}"
                )
        super().delete(path)

    def retain(self, path: str, until: datetime.datetime) -> bool:
        """See RetainingStore."""
        found = self._on(path, f"look at {path}", self._client.head_object)
        present = _retained_until(found)
        if present is not None and present >= until:
            return False
        mode = found.get("ObjectLockMode") or self._lock.mode
        retention = {"Mode": mode, "RetainUntilDate": until}
        self._on(path, f"retain {path}", self._client.put_object_retention, Retention=retention)
        return True

    def retained_until(self, path: str) -> datetime.datetime | None:
        """See RetainingStore."""
        return _retained_until(self._on(path, f"look at {path}", self._client.head_object))

    def recover(self) -> list[str]:
        """See RetainingStore.

        The oldest retained version whose content fits its name is stored again as the newest version; for `config`, which
        has no such name, the oldest. Nothing is removed. An object that a prune removed after its retention stays away.
        """
        recovered: list[str] = []
        for key, versions in self._hidden():
            path = key[len(self._where.key("")) :]
            good = self._good_versions(path, versions)
            if good and not any(version["IsLatest"] for version, _ in good):
                arguments = {"ObjectLockMode": self._lock.mode, "ObjectLockRetainUntilDate": self.until(), **self._extra}
                self._on(path, f"write {path}", self._client.put_object, Body=good[0][1], **arguments)
                recovered.append(path)
        return recovered

    def _good_versions(self, path: str, versions: list[dict[str, Any]]) -> list[tuple[dict[str, Any], bytes]]:
        """The versions whose content is what it should be, with that content, oldest first; the oldest is retained."""
        good: list[tuple[dict[str, Any], bytes]] = []
        for version in sorted(versions, key=lambda entry: entry["LastModified"]):
            found = self._on(path, f"read {path}", self._client.get_object, VersionId=version["VersionId"])
            content = cast("bytes", self._do(f"read {path}", found["Body"].read))
            if _fits(path, content, good[0][1] if good else None) and (good or _retained_until(found) is not None):
                good.append((version, content))
        return good

    def _hidden(self) -> Iterator[tuple[str, list[dict[str, Any]]]]:
        """Keys outside of `locks/` whose newest version is not their only one, each with its versions that have content."""
        versions: dict[str, list[dict[str, Any]]] = {}
        markers: set[str] = set()
        for page in self._version_pages():
            for version in page.get("Versions", []):
                versions.setdefault(version["Key"], []).append(version)
            markers.update(marker["Key"] for marker in page.get("DeleteMarkers", []))
        locks = self._where.key("locks/")
        for key, found in versions.items():
            if not key.startswith(locks) and (key in markers or len(found) > 1):
                yield key, found

    def _version_pages(self) -> Iterator[dict[str, Any]]:
        start: dict[str, str] = {}
        while True:
            arguments = {"Bucket": self._where.bucket, "Prefix": self._where.key(""), **start}
            page = self._do("list versions", lambda arguments=arguments: self._client.list_object_versions(**arguments))
            yield page
            if not page.get("IsTruncated"):
                return
            start = {"KeyMarker": page["NextKeyMarker"], "VersionIdMarker": page["NextVersionIdMarker"]}

    def close(self) -> None:
        """Close both clients' connections."""
        self._client.close()
        super().close()

    def _on(self, path: str, what: str, call: Callable[..., dict[str, Any]], **arguments: Any) -> dict[str, Any]:
        return self._do(what, lambda: call(Bucket=self._where.bucket, Key=self._where.key(path), **arguments))

    def _do(self, what: str, action: Callable[[], T]) -> T:
        try:
            return action()
        except ClientError as error:
            said = cast("dict[str, Any]", error.response).get("Error", {})  # pyright: ignore[reportUnknownMemberType]
            code, text = str(said.get("Code", "")), str(said.get("Message", ""))
            if code in _NO_LOCK or "ObjectLockConfiguration" in text:
                self._no_lock()
            raise refusal(self._where, what, code, f"the service answers {code}: {text}"[:300]) from None
        except BotoCoreError as error:
            raise StoreUnavailable(f"{self._where}: {what}: {str(error)[:300]}") from None
        except OSError as error:
            raise StoreUnavailable(f"{self._where}: {what}: {error.strerror or error}") from None


def _extra_arguments(options: StoreOptions) -> dict[str, str]:
    found = {"ServerSideEncryption": options.encryption, "SSEKMSKeyId": options.kms_key_id}
    return {name: value for name, value in found.items() if value}


def _retained_until(found: Mapping[str, Any]) -> datetime.datetime | None:
    """Until when the object of an answer is retained; None when it is free."""
    until = cast("datetime.datetime | None", found.get("ObjectLockRetainUntilDate"))
    return until if until is not None and until > datetime.datetime.now(datetime.UTC) else None


def _fits(path: str, content: bytes, first: bytes | None) -> bool:
    """Whether content is what its name says; `config` has to be what it was at `first`."""
    if path == CONFIG:
        return first is None or content == first
    return hashlib.sha256(content).hexdigest() == path.rpartition("/")[2]
