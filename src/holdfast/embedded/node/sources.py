"""Secrets, ConfigMaps, claims and tokens that a pod refers to, read when they are needed.

Nothing is watched and nothing is kept: a node asks by name and only for what its own pods mount. What is missing is
an error that names the object and the key; the caller tells the user and tries again.
"""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from holdfast.core.objects import Object
from holdfast.embedded.node.failure import config_error
from holdfast.embedded.read import items, mapping
from holdfast.kube.builtin import CONFIGMAPS, PVCS, PVS, SECRETS, SERVICEACCOUNTS
from holdfast.kube.client import Client
from holdfast.kube.errors import NotFound
from holdfast.kube.resource import Resource

Values = dict[str, bytes]
"""The data of a Secret or ConfigMap by key."""


class Sources:
    """Reads for one pod. Each object is read once; make a new one to see changes."""

    def __init__(self, client: Client, namespace: str) -> None:
        self._client = client
        self._namespace = namespace
        self._seen: dict[tuple[str, str], Values | None] = {}

    async def secret(self, name: str, *, optional: bool = False) -> Values | None:
        """Return a Secret's data. None only when it is missing and optional; else NotReady is raised."""
        return self._required("secret", name, await self._data(SECRETS, name), optional)

    async def config_map(self, name: str, *, optional: bool = False) -> Values | None:
        """Return a ConfigMap's data and binary data, under the same rules."""
        return self._required("configmap", name, await self._data(CONFIGMAPS, name), optional)

    async def claim_path(self, name: str) -> str:
        """Return the directory of a bound PersistentVolumeClaim. Raises NotReady when there is none yet."""
        claim = await self._get(PVCS, name, self._namespace)
        if claim is None:
            raise config_error(f'persistentvolumeclaim "{self._namespace}/{name}" not found')
        volume_name = claim["spec"].get("volumeName", "")
        if claim.get("status", {}).get("phase") != "Bound" or not volume_name:
            raise config_error(f'persistentvolumeclaim "{self._namespace}/{name}" is not bound')
        volume = await self._get(PVS, volume_name, None)
        if volume is None:
            raise config_error(f'persistentvolume "{volume_name}" of claim "{self._namespace}/{name}" not found')
        spec = volume["spec"]
        path = (spec.get("hostPath") or mapping(spec, "local")).get("path")
        if not path:
            raise config_error(f'persistentvolume "{volume_name}" is neither hostPath nor local; this node has no other kind')
        return str(path)

    async def token(self, account: str, pod: Object, audience: str, seconds: int) -> str:
        """Return a token of a service account, bound to the pod."""
        meta = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": meta["name"], "uid": meta["uid"]}
        body: dict[str, Any] = {
            "apiVersion": "authentication.k8s.io/v1",
            "kind": "TokenRequest",
            "spec": {"expirationSeconds": seconds, "boundObjectRef": bound, "audiences": [audience] if audience else []},
        }
        path = SERVICEACCOUNTS.path(self._namespace, account, "token")
        try:
            answer = await self._client.post_raw(path, body)
        except NotFound:
            raise config_error(f'serviceaccount "{self._namespace}/{account}" not found') from None
        return str(answer["status"]["token"])

    async def automount(self, account: str) -> bool:
        """Return whether a service account lets its token be mounted unasked."""
        found = await self._get(SERVICEACCOUNTS, account, self._namespace)
        return found is None or found.get("automountServiceAccountToken") is not False

    def _required(self, kind: str, name: str, data: Values | None, optional: bool) -> Values | None:
        if data is None and not optional:
            raise config_error(f'{kind} "{self._namespace}/{name}" not found')
        return data

    async def _data(self, resource: Resource, name: str) -> Values | None:
        key = (resource.kind, name)
        if key not in self._seen:
            found = await self._get(resource, name, self._namespace)
            self._seen[key] = None if found is None else _decode(found)
        return self._seen[key]

    async def _get(self, resource: Resource, name: str, namespace: str | None) -> Object | None:
        try:
            return await self._client.get(resource, name, namespace)
        except NotFound:
            return None


class Item(msgspec.Struct, frozen=True):
    """One key to be shown as a file."""

    key: str
    path: str
    mode: int | None = None


def chosen_keys(source: Mapping[str, Any]) -> list[Item]:
    """Return the `items` of a Secret or ConfigMap volume; an empty list stands for all keys."""
    listed: Sequence[Mapping[str, Any]] = items(source, "items")
    return [Item(each["key"], each["path"], each.get("mode")) for each in listed]


def key_of(kind: str, name: str, data: Values, key: str, *, optional: bool = False) -> bytes | None:
    """Return one value. Raises NotReady that names the keys there are."""
    if key not in data and not optional:
        there = ", ".join(sorted(data)) or "no keys"
        raise config_error(f'{kind} "{name}" has no key "{key}" (it has {there})')
    return data.get(key)


def _decode(found: Object) -> Values:
    if found.get("kind") == "Secret":
        return {key: base64.b64decode(value) for key, value in mapping(found, "data").items()}
    plain = {key: value.encode() for key, value in mapping(found, "data").items()}
    binary = {key: base64.b64decode(value) for key, value in mapping(found, "binaryData").items()}
    return plain | binary
