"""A pod's volumes as directories of this machine, made before its first container starts.

What holds secrets lies on a tmpfs and never on disk; the rest lies in the pod's own directory. Both go when the pod
goes. Claims and hostPaths stay where they are. A volume kind that this node can't give is refused by name.
"""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import msgspec

from holdfast.core.objects import Object
from holdfast.embedded.node import downward
from holdfast.embedded.node.failure import NotReady, config_error
from holdfast.embedded.node.files import File, give_to_group, make_directory, remove_tree, write_files
from holdfast.embedded.node.sources import Item, Sources, Values, chosen_keys, key_of
from holdfast.embedded.read import items, mapping

ACCOUNT_PATH = "/var/run/secrets/kubernetes.io/serviceaccount"
ACCOUNT_VOLUME = "holdfast-service-account"
TOKEN_SECONDS = 3607


class Volume(msgspec.Struct, frozen=True):
    """A prepared volume: a host path, and whether no container may write to it."""

    path: str
    read_only: bool = False


class Places(msgspec.Struct, frozen=True):
    """Where a pod's volumes may lie: `disk` for bulk, `memory` (a tmpfs) for secrets, and the cluster's CA."""

    disk: Path
    memory: Path
    ca: bytes
    capacity: Mapping[str, str]

    def remove_volumes(self) -> None:
        """Remove secrets and scratch space of a pod that has ended; its logs stay until its object goes."""
        remove_tree(self.memory)
        remove_tree(self.disk / "volumes")


async def prepare(pod: Object, places: Places, sources: Sources) -> dict[str, Volume]:
    """Make every volume of a pod. Raises NotReady, naming the volume, for what is missing; may be called again."""
    found: dict[str, Volume] = {}
    group = mapping(pod["spec"], "securityContext").get("fsGroup")
    for volume in items(pod["spec"], "volumes"):
        name = volume["name"]
        kind = next((key for key in volume if key != "name"), "emptyDir")
        make = _KINDS.get(kind)
        if make is None:
            known = ", ".join(sorted(_KINDS))
            raise NotReady("UnsupportedVolume", f"volume {name!r} is a {kind}; this node has only {known}", fatal=True)
        try:
            found[name] = await make(_Request(pod, name, mapping(volume, kind), places, sources, group))
        except NotReady as problem:
            raise NotReady(problem.reason, f"volume {name!r}: {problem.message}", fatal=problem.fatal) from None
    if await _wants_account(pod, sources):
        request = _Request(pod, ACCOUNT_VOLUME, _ACCOUNT_SOURCES, places, sources, group)
        found[ACCOUNT_VOLUME] = await _projected(request)
    return found


async def refresh(pod: Object, places: Places, sources: Sources) -> None:
    """Write the tokens of a running pod anew, before they expire."""
    group = mapping(pod["spec"], "securityContext").get("fsGroup")
    projected = [each for each in items(pod["spec"], "volumes") if each.get("projected")]
    for volume in projected:
        await _projected(_Request(pod, volume["name"], volume["projected"], places, sources, group))
    if await _wants_account(pod, sources):
        await _projected(_Request(pod, ACCOUNT_VOLUME, _ACCOUNT_SOURCES, places, sources, group))


class _Request(msgspec.Struct, frozen=True):
    pod: Object
    name: str
    source: Mapping[str, Any]
    places: Places
    sources: Sources
    group: int | None

    def memory(self) -> Path:
        make_directory(self.places.memory, 0o700)
        return make_directory(self.places.memory / self.name, 0o755)


_ACCOUNT_SOURCES: Mapping[str, Any] = {
    "sources": [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": TOKEN_SECONDS}},
        {"holdfastCluster": {}},
    ]
}


async def _wants_account(pod: Object, sources: Sources) -> bool:
    """Whether the token is to be mounted: asked for or not refused, and not there already as a volume of the pod."""
    spec: Mapping[str, Any] = pod["spec"]
    asked = spec.get("automountServiceAccountToken")
    if asked is False:
        return False
    containers = [*items(spec, "initContainers"), *spec["containers"]]
    if all(any(mount["mountPath"] == ACCOUNT_PATH for mount in items(each, "volumeMounts")) for each in containers):
        return False
    return asked is True or await sources.automount(account_of(pod))


def account_of(pod: Object) -> str:
    """Return the name of the pod's service account."""
    return str(pod["spec"].get("serviceAccountName") or "default")


async def _empty(request: _Request) -> Volume:
    in_memory = request.source.get("medium") == "Memory"
    parent = request.places.memory if in_memory else request.places.disk / "volumes"
    make_directory(parent, 0o700)
    path = make_directory(parent / request.name, 0o777)
    if request.group is not None:
        give_to_group(path, request.group, only_on_mismatch=True)
    return Volume(str(path))


async def _claim(request: _Request) -> Volume:
    path = Path(await request.sources.claim_path(request.source["claimName"]))
    if not os.path.isdir(path):  # noqa: ASYNC240 - local, and answered from memory
        raise config_error(f'the directory of claim "{request.source["claimName"]}" is gone: {path}')
    read_only = bool(request.source.get("readOnly"))
    if request.group is not None and not read_only:
        context = mapping(request.pod["spec"], "securityContext")
        lazy = context.get("fsGroupChangePolicy") == "OnRootMismatch"
        await asyncio.to_thread(give_to_group, path, request.group, only_on_mismatch=lazy)
    return Volume(str(path), read_only)


async def _host(request: _Request) -> Volume:
    return _host_path(request)


def _host_path(request: _Request) -> Volume:
    path, kind = Path(request.source["path"]), request.source.get("type") or ""
    if kind == "DirectoryOrCreate":
        path.mkdir(parents=True, exist_ok=True)
    elif kind == "FileOrCreate":
        path.touch(exist_ok=True)
    checks: Mapping[str, Callable[[], bool]] = {
        "Directory": path.is_dir,
        "DirectoryOrCreate": path.is_dir,
        "File": path.is_file,
        "FileOrCreate": path.is_file,
        "Socket": path.is_socket,
        "CharDevice": path.is_char_device,
        "BlockDevice": path.is_block_device,
    }
    if not checks.get(kind, path.exists)():
        raise config_error(f"hostPath {path} is not there or not of type {kind or 'any'}")
    return Volume(str(path))


async def _secret(request: _Request) -> Volume:
    name = request.source["secretName"]
    data = await request.sources.secret(name, optional=bool(request.source.get("optional")))
    return _keyed(request, "secret", name, data)


async def _config_map(request: _Request) -> Volume:
    name = request.source["name"]
    data = await request.sources.config_map(name, optional=bool(request.source.get("optional")))
    return _keyed(request, "configmap", name, data)


def _keyed(request: _Request, kind: str, name: str, data: Values | None) -> Volume:
    mode = request.source.get("defaultMode")
    files = _chosen(kind, name, data, request.source, 0o644 if mode is None else mode)
    path = request.memory()
    write_files(path, files, request.group)
    return Volume(str(path), read_only=True)


async def _downward(request: _Request) -> Volume:
    path = request.memory()
    mode = request.source.get("defaultMode")
    files = _downward_files(request, items(request.source, "items"), 0o644 if mode is None else mode)
    write_files(path, files, request.group)
    return Volume(str(path), read_only=True)


async def _projected(request: _Request) -> Volume:
    given = request.source.get("defaultMode")
    mode = 0o644 if given is None else given
    files: dict[str, File] = {}
    for each in items(request.source, "sources"):
        kind = next(iter(each), "")
        files |= await _projection(request, kind, mapping(each, kind), mode)
    path = request.memory()
    write_files(path, files, request.group)
    return Volume(str(path), read_only=True)


async def _projection(request: _Request, kind: str, source: Mapping[str, Any], mode: int) -> dict[str, File]:
    optional = bool(source.get("optional"))
    match kind:
        case "secret":
            data = await request.sources.secret(source["name"], optional=optional)
            return _chosen("secret", source["name"], data, source, mode)
        case "configMap":
            data = await request.sources.config_map(source["name"], optional=optional)
            return _chosen("configmap", source["name"], data, source, mode)
        case "downwardAPI":
            return _downward_files(request, items(source, "items"), mode)
        case "serviceAccountToken":
            seconds = int(source.get("expirationSeconds") or 3600)
            audience = source.get("audience") or ""
            token = await request.sources.token(account_of(request.pod), request.pod, audience, seconds)
            return {source["path"]: File(token.encode(), mode)}
        case "holdfastCluster":
            namespace = request.pod["metadata"]["namespace"].encode()
            return {"ca.crt": File(request.places.ca, mode), "namespace": File(namespace, mode)}
        case _:
            raise NotReady("UnsupportedVolume", f"this node can't project a {kind}", fatal=True)


def _chosen(kind: str, name: str, data: Values | None, source: Mapping[str, Any], mode: int) -> dict[str, File]:
    if data is None:
        return {}
    wanted = chosen_keys(source) or [Item(key, key) for key in data]
    files: dict[str, File] = {}
    for item in wanted:
        value = key_of(kind, name, data, item.key, optional=bool(source.get("optional")))
        if value is not None:
            files[item.path] = File(value, mode if item.mode is None else item.mode)
    return files


def _downward_files(request: _Request, listed: list[Mapping[str, Any]], mode: int) -> dict[str, File]:
    files: dict[str, File] = {}
    for item in listed:
        if (reference := item.get("fieldRef")) is not None:
            text = downward.field(request.pod, reference["fieldPath"])
        else:
            text = downward.resource(request.pod, "", item["resourceFieldRef"], request.places.capacity)
        files[item["path"]] = File(text.encode(), item.get("mode") or mode)
    return files


_KINDS: Mapping[str, Callable[[_Request], Awaitable[Volume]]] = {
    "emptyDir": _empty,
    "hostPath": _host,
    "persistentVolumeClaim": _claim,
    "secret": _secret,
    "configMap": _config_map,
    "downwardAPI": _downward,
    "projected": _projected,
}
