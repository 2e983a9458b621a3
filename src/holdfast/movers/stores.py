"""Opens what a call names: a store with its credentials, a repository with its password.

Credentials and passwords come from files that the pod mounts, go straight into the store, and are never printed.
"""

import os
import threading
from collections.abc import Callable
from pathlib import Path

import msgspec

from holdfast.core.calls import DEAD_HOSTS, RepositoryTarget, StorageTarget
from holdfast.core.report import Progress
from holdfast.movers.context import MoverError, log
from holdfast.repo.errors import NoRepository, RepositoryExists, StoreError, StoreUnavailable
from holdfast.repo.repository import Repository
from holdfast.repo.result import Progress as RepositoryProgress
from holdfast.repo.store import Store
from holdfast.repo.stores import ObjectLock, StoreOptions
from holdfast.repo.stores import open_store as open_url
from holdfast.repo.stores.wrapped import RetainingStore, find_inner

LOCK_PATIENCE_SECONDS = 600.0
"""How long a mover waits for whoever keeps it out: as a rule a prune, which is done sooner."""

_KEYS = {
    "s3": ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "CA_CERT_DATA"),
    "gs": ("GOOGLE_SERVICE_ACCOUNT_JSON_KEY", "GOOGLE_PROJECT_ID"),
    "azure": (
        "AZURE_ACCOUNT_KEY",
        "AZURE_ACCOUNT_NAME",
        "AZURE_ENDPOINT",
        "AZURE_CLIENT_ID",
        "AZURE_CLIENT_SECRET",
        "AZURE_TENANT_ID",
    ),
}
_NEEDED = {"s3": 2, "gs": 1, "azure": 1}
"""The keys that the Secret of a storage may hold, by the scheme of its URL; the first so many must be there."""


def open_store(target: StorageTarget) -> Store:
    """Open a store. Raises MoverError for missing keys, BadLocation for a URL that makes no sense."""
    number = {name: int(target.options.get(name) or 0) for name in ("connections", "upload_rate", "download_rate")}
    days = int(target.options.get("lock_days") or 0)
    options = StoreOptions(
        connections=number["connections"],
        upload_rate=number["upload_rate"],
        download_rate=number["download_rate"],
        object_lock=ObjectLock(mode="COMPLIANCE", days=days) if days else None,
    )
    return open_url(target.url, environment(target), options)


def has_object_lock(target: StorageTarget) -> bool:
    """Whether what is written into a store can be kept from everybody: whether it is a bucket with S3's object lock.

    Raises StoreUnavailable, MoverError; any other refusal means that it has none, or that we may not use it.
    """
    if not target.url.startswith("s3:"):
        return False
    store = open_store(msgspec.structs.replace(target, options={**target.options, "lock_days": "1"}))
    locked = find_inner(store, RetainingStore)
    try:
        if locked is None:
            return False
        locked.until()
    except StoreUnavailable:
        raise
    except StoreError as error:
        log(f"{target.url}: no object lock: {error}")
        return False
    finally:
        store.close()
    return True


def environment(target: StorageTarget) -> dict[str, str]:
    """Return the settings of a store in the names that the repository library reads."""
    found = credentials(target)
    if found.pop("CA_CERT_DATA", ""):
        found["AWS_CA_BUNDLE"] = str(Path(target.credentials_dir) / "CA_CERT_DATA")
    if key := found.pop("GOOGLE_SERVICE_ACCOUNT_JSON_KEY", ""):
        found["GOOGLE_APPLICATION_CREDENTIALS"] = str(Path(target.credentials_dir) / "GOOGLE_SERVICE_ACCOUNT_JSON_KEY")
        found |= _emulator(key)
    options = {"region": "AWS_DEFAULT_REGION", "insecure_tls": "AWS_INSECURE_TLS", "account": "AZURE_ACCOUNT_NAME"}
    return found | {options[name]: value for name, value in target.options.items() if name in options}


def _emulator(key: str) -> dict[str, str]:
    """Return how an emulator of Google's storage is reached: its key is a document that names its address and no person."""
    try:
        document = msgspec.json.decode(key, type=dict[str, object])
    except msgspec.DecodeError as error:
        hint = "put the JSON document of a service account's key there"
        raise MoverError("BadCredentials", "GOOGLE_SERVICE_ACCOUNT_JSON_KEY is not JSON", hint) from error
    address = document.get("gcs_base_url")
    if not isinstance(address, str):
        return {}
    return {"RCLONE_GCS_ENDPOINT": f"{address}/storage/v1/", "RCLONE_GCS_ANONYMOUS": "true"}


def credentials(target: StorageTarget) -> dict[str, str]:
    """Read the Secret of a store. Raises MoverError naming the key that it lacks."""
    if not target.credentials_dir:
        return {}
    folder, scheme = Path(target.credentials_dir), target.url.partition(":")[0]
    known = _KEYS.get(scheme, ())
    found = {key: (folder / key).read_text().strip() for key in known if (folder / key).is_file()}
    for key in known[: _NEEDED.get(scheme, 0)]:
        if not found.get(key) and not found.get("AZURE_CLIENT_SECRET"):
            raise MoverError("IncompleteSecret", f"the storage's Secret has no key {key}", f"add {key} to the Secret")
    return found


def password(target: RepositoryTarget) -> str:
    """Read the password of a repository. Raises MoverError when there is none."""
    if not target.password_file:
        raise MoverError(
            "NoPassword",
            f"repository {target.name} names no encryption Secret",
            "set encryptionSecret: data is never stored in clear",
        )
    try:
        text = Path(target.password_file).read_text().rstrip("\r\n")
    except OSError as error:
        key = Path(target.password_file).name
        raise MoverError(
            "NoPassword", f"the encryption Secret of repository {target.name} has no key {key}", f"add {key} to the Secret"
        ) from error
    if not text:
        raise MoverError("NoPassword", f"the encryption password of repository {target.name} is empty", "set one in the Secret")
    return text


def open_repository(target: RepositoryTarget, stop: threading.Event) -> Repository:
    """Open the repository of a target, knowing which lock holders are dead; others are waited for unless `stop` is set.

    Raises errors of `repo`, or MoverError.
    """
    secret = password(target)
    repo = Repository.open(open_store(target.store), secret)
    repo.dead_hosts = frozenset(filter(None, os.environ.get(DEAD_HOSTS, "").split(",")))
    repo.be_patient(LOCK_PATIENCE_SECONDS, stop)
    return repo


def open_or_init(target: RepositoryTarget, stop: threading.Event) -> Repository:
    """Open the repository of a target, and make it first when it is missing. Raises errors of `repo`, or MoverError."""
    try:
        return open_repository(target, stop)
    except NoRepository:
        log(f"repository {target.name} {target.component}: initialising {target.store.url}")
    try:
        return Repository.init(open_store(target.store), password(target))
    except RepositoryExists:
        return open_repository(target, stop)


def follow(
    target: RepositoryTarget, say: Callable[[Progress], None], base: Progress | None = None
) -> Callable[[RepositoryProgress], None]:
    """Return the hook that turns a repository's progress into the mover's, on top of what earlier paths have done."""
    start = base or Progress(target.name, target.component)

    def hook(done: RepositoryProgress) -> None:
        say(progress_of(start, done))

    return hook


def progress_of(start: Progress, done: RepositoryProgress) -> Progress:
    """Return progress with its rate (bytes per second) and, once the totals are known, the seconds left."""
    rate = done.bytes_done / done.seconds if done.seconds > 0 else 0.0
    left = max(done.bytes_total - done.bytes_done, 0) / rate if done.totals_known and rate > 0 else None
    return msgspec.structs.replace(
        start,
        files_done=start.files_done + done.files_done,
        files_total=start.files_total + done.files_total,
        bytes_done=start.bytes_done + done.bytes_done,
        bytes_total=start.bytes_total + done.bytes_total,
        seconds=start.seconds + done.seconds,
        rate=rate,
        eta=left,
    )
