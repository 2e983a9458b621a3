"""A BackupStorage as a Job sees it: the URL, the volumes and mounts of a local one, the Secret of a remote one.

A Job mounts only Secrets of its own namespace, so a storage elsewhere brings a copy of its Secret along; a local storage
on a claim can't be brought along and is refused there.
"""

from collections.abc import Mapping
from typing import Final
from urllib.parse import urlsplit

import msgspec

from holdfast.core.calls import PASSWORD_KEY, SECRETS, RepositoryTarget, StorageTarget
from holdfast.core.objects import Object, Ref, bounded_name
from holdfast.core.plan import Problem, SecretCopy, SecretFiles
from holdfast.core.read import at, flag, mapping, name_of, namespace_of, number, text
from holdfast.dialects.kubestash.decode import Place
from holdfast.dialects.kubestash.kinds import SECRET

PROVIDERS: Final = ("local", "s3", "gcs", "azure")
_PLACE: Final = {
    "s3": ("bucket", "region", "prefix"),
    "gcs": ("bucket", "prefix"),
    "azure": ("storageAccount", "container", "prefix"),
}
_LOCAL_OWN: Final = ("mountPath", "subPath", "maxConnections")


class Store(msgspec.Struct, frozen=True, kw_only=True):
    """A storage opened for the Jobs of one namespace.

    `as_root`: files of a local storage belong to root, like the Jobs that read everybody's data.
    """

    root: StorageTarget
    volumes: tuple[Object, ...] = ()
    mounts: tuple[Object, ...] = ()
    secrets: tuple[SecretFiles, ...] = ()
    copies: tuple[SecretCopy, ...] = ()
    as_root: bool = False

    def at(self, *parts: str) -> StorageTarget:
        """Return the place at a path below the storage's root. No part leads out of it, wherever the path comes from."""
        path = "/".join(piece for part in parts for piece in part.split("/") if piece not in ("", ".", ".."))
        base = self.root.url.rstrip("/")
        return msgspec.structs.replace(self.root, url=f"{base}/{path}" if path else base or "/")


def provider(obj: Object) -> str:
    """Return the provider's name in small letters."""
    return text(obj, "spec", "storage", "provider").lower()


def problems(obj: Object) -> list[Problem]:
    """Judge `spec.storage`."""
    name, field = provider(obj), "spec.storage"
    if name not in PROVIDERS:
        return [Problem(f"{field}.provider", f"{name or 'an empty provider'} is none of {', '.join(PROVIDERS)}")]
    if not mapping(obj, "spec", "storage", name):
        return [Problem(f"{field}.{name}", f"needed with provider {name}")]
    others = [other for other in PROVIDERS if other != name and at(obj, "spec", "storage", other) is not None]
    found = [Problem(f"{field}.{other}", f"does not belong to provider {name}: remove it") for other in others]
    judges = {"local": _local_problems, "s3": _s3_problems, "gcs": _gcs_problems, "azure": _azure_problems}
    return found + judges[name](obj)


def location(obj: Object) -> tuple[str, ...]:
    """Return what tells one remote place from another, such as bucket, region and prefix. A local one is never compared."""
    name = provider(obj)
    if name not in _PLACE:
        return ()
    given = mapping(obj, "spec", "storage", name)
    return (name, *(text(given, field).strip("/") for field in _PLACE[name]))


def volume_name(place: Place) -> str:
    """Name the pod volume of a local storage."""
    return bounded_name(f"storage-{place.namespace}-{place.name}".replace(".", "-"))


def open_store(obj: Object, namespace: str, mount: str, owner: Object) -> Store | Problem:
    """Open a storage for Jobs in `namespace`. `mount` names its Secret's folder; `owner` owns the copy of that Secret."""
    if found := problems(obj):
        return found[0]
    name = provider(obj)
    if name == "local":
        return _local(obj, namespace)
    root = {"s3": _s3_root, "gcs": _gcs_root, "azure": _azure_root}[name](mapping(obj, "spec", "storage", name))
    secret = text(obj, "spec", "storage", name, "secretName")
    if not secret:
        return Store(root=root)
    held, copies = copied_secret(Place(namespace_of(obj), secret), namespace, mount, owner)
    root = msgspec.structs.replace(root, credentials_dir=f"{SECRETS}/{mount}")
    return Store(root=root, secrets=(SecretFiles(mount, held),), copies=copies)


def copied_secret(source: Place, namespace: str, mount: str, owner: Object) -> tuple[str, tuple[SecretCopy, ...]]:
    """Return the name of a Secret in `namespace`, and the copy that brings it there if it lives elsewhere."""
    if source.namespace == namespace:
        return source.name, ()
    name = bounded_name(f"holdfast-{name_of(owner)}-{mount}")
    copy = SecretCopy(Ref(SECRET, source.namespace, source.name), Ref(SECRET, namespace, name), owner)
    return name, (copy,)


class Encryption(msgspec.Struct, frozen=True):
    """The password of a repository for the Jobs of one namespace."""

    password_file: str
    secrets: tuple[SecretFiles, ...]
    copies: tuple[SecretCopy, ...]


NO_ENCRYPTION: Final = Encryption("", (), ())
"""For what holds no restic repository, such as volume snapshots."""


def open_encryption(secret: Place, namespace: str, repository: str, owner: Object) -> Encryption:
    """Make an encryption Secret readable for Jobs in `namespace`."""
    mount = f"encryption-{repository}"
    name, copies = copied_secret(secret, namespace, mount, owner)
    return Encryption(f"{SECRETS}/{mount}/{PASSWORD_KEY}", (SecretFiles(mount, name),), copies)


def repository_target(
    store: Store, encryption: Encryption, *, name: str, path: str, component: str, snapshot: str = ""
) -> RepositoryTarget:
    """Name one component's restic repository. `path` is the component's, from the storage's root."""
    return RepositoryTarget(name, store.at(path), encryption.password_file, component, snapshot)


def _local_problems(obj: Object) -> list[Problem]:
    local, field = mapping(obj, "spec", "storage", "local"), "spec.storage.local"
    found: list[Problem] = []
    if not text(local, "mountPath").startswith("/"):
        found.append(Problem(f"{field}.mountPath", "needed, as an absolute path: where Jobs see the storage"))
    sources = [key for key in local if key not in _LOCAL_OWN]
    if len(sources) != 1:
        named = ", ".join(sources) or "none"
        found.append(Problem(field, f"needs one volume source, such as persistentVolumeClaim, nfs or hostPath (has: {named})"))
    return [*found, *_bad_connections(local, field)]


def _s3_problems(obj: Object) -> list[Problem]:
    s3, field = mapping(obj, "spec", "storage", "s3"), "spec.storage.s3"
    found: list[Problem] = []
    if not text(s3, "bucket"):
        found.append(Problem(f"{field}.bucket", "needed: the name of the bucket"))
    endpoint = urlsplit(text(s3, "endpoint"))
    if text(s3, "endpoint") and (endpoint.scheme not in ("http", "https") or not endpoint.hostname):
        given = text(s3, "endpoint")
        found.append(Problem(f"{field}.endpoint", f"{given} is no URL: write it with its scheme, such as https://{given}"))
    return [*found, *_bad_connections(s3, field)]


def _gcs_problems(obj: Object) -> list[Problem]:
    return _container_problems(obj, "gcs", {"bucket": "the name of the bucket"})


def _azure_problems(obj: Object) -> list[Problem]:
    needed = {"storageAccount": "the name of the storage account", "container": "the name of the container"}
    return _container_problems(obj, "azure", needed)


def _container_problems(obj: Object, name: str, needed: Mapping[str, str]) -> list[Problem]:
    given, field = mapping(obj, "spec", "storage", name), f"spec.storage.{name}"
    found = [Problem(f"{field}.{key}", f"needed: {what}") for key, what in needed.items() if not text(given, key).strip("/")]
    return [*found, *_bad_connections(given, field)]


def _bad_connections(provider: Object, field: str) -> list[Problem]:
    given = number(provider, "maxConnections")
    if given is None or given >= 0:
        return []
    return [Problem(f"{field}.maxConnections", f"{given} connections move nothing: use a positive number, or 0 for no limit")]


def _connections(provider: Object) -> dict[str, str]:
    """The option for how many transfers run side by side; none for 0, which is no limit."""
    given = number(provider, "maxConnections")
    return {"connections": str(given)} if given else {}


def _local(obj: Object, namespace: str) -> Store | Problem:
    local, place = mapping(obj, "spec", "storage", "local"), Place(namespace_of(obj), name_of(obj))
    if "persistentVolumeClaim" in local and namespace != place.namespace:
        message = f"BackupStorage {place} is a claim of namespace {place.namespace}, which a Job in {namespace} can't mount"
        return Problem("spec.storage.local", f"{message}: use nfs, hostPath or s3, or a storage in {namespace}")
    name = volume_name(place)
    source = {key: value for key, value in local.items() if key not in _LOCAL_OWN}
    mount: Object = {"name": name, "mountPath": text(local, "mountPath")}
    if text(local, "subPath"):
        mount["subPath"] = text(local, "subPath")
    root = StorageTarget(text(local, "mountPath").rstrip("/") or "/", _connections(local))
    return Store(root=root, volumes=({"name": name, **source},), mounts=(mount,), as_root=True)


def _s3_root(s3: Object) -> StorageTarget:
    region = text(s3, "region")
    endpoint = text(s3, "endpoint").rstrip("/") or f"https://s3.{region or 'us-east-1'}.amazonaws.com"
    parts = [endpoint, text(s3, "bucket").strip("/"), text(s3, "prefix").strip("/")]
    options = _connections(s3)
    if region:
        options["region"] = region
    if flag(s3, "insecureTLS"):
        options["insecure_tls"] = "true"
    return StorageTarget("s3:" + "/".join(part for part in parts if part), options)


def _gcs_root(gcs: Object) -> StorageTarget:
    return StorageTarget(f"gs:{text(gcs, 'bucket').strip('/')}:/{text(gcs, 'prefix').strip('/')}", _connections(gcs))


def _azure_root(azure: Object) -> StorageTarget:
    url = f"azure:{text(azure, 'container').strip('/')}:/{text(azure, 'prefix').strip('/')}"
    return StorageTarget(url, {"account": text(azure, "storageAccount"), **_connections(azure)})
