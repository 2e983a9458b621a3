"""Where the control plane of a Cluster is, and on which node it can be read.

A Cluster object does not say where its etcd listens or where its certificates lie. The defaults are those of kubeadm; the
annotations below name others, paths being those of the node. A pod on one Ready control-plane node reads them.
"""

from pathlib import PurePosixPath
from typing import Final

import msgspec

from holdfast.core.calls import ControlPlane
from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.core.ports import Refs
from holdfast.core.read import items, mapping, name_of
from holdfast.dialects.mirantis.kinds import NODE

PREFIX: Final = "backup.holdfast.dev/"
_ROOT: Final = "/holdfast/control-plane"

DEFAULTS: Final = {
    "nodes": "node-role.kubernetes.io/control-plane",
    "store": "etcd",
    "etcd": "https://127.0.0.1:2379",
    "pki": "/etc/kubernetes/pki",
    "manifests": "/etc/kubernetes/manifests",
    "sqlite": "",
    "local-folder": "/srv/backup/ucp",
}
"""Every annotation without its prefix, with its default: the nodes' label (`key` or `key=value`), `etcd` or `sqlite`, the
endpoint, the folders (blank: left out of the archive), the data directory of an embedded API server, and where local
archives go, which is the documented folder."""

_STORES: Final = ("etcd", "sqlite")
_FOLDERS: Final = ("pki", "manifests", "sqlite", "local-folder")


class Settings(msgspec.Struct, frozen=True):
    """What the annotations of a Cluster say, with the defaults."""

    values: dict[str, str]

    def __getitem__(self, name: str) -> str:
        """Return one setting."""
        return self.values[name]

    def source(self) -> ControlPlane:
        """Return the control plane as the pod sees it."""
        sqlite = self["store"] == "sqlite"
        return ControlPlane(
            store=self["store"],
            endpoint="" if sqlite else self["etcd"],
            pki=f"{_ROOT}/pki" if self["pki"] else "",
            manifests=f"{_ROOT}/manifests" if self["manifests"] else "",
            database=f"{_ROOT}/sqlite/state.db" if sqlite else "",
        )

    def volumes(self) -> tuple[list[Object], list[Object]]:
        """Return volumes and mounts of what is read, all read-only."""
        wanted = ("pki", "manifests", *(["sqlite"] if self["store"] == "sqlite" else []))
        named = [name for name in wanted if self[name]]
        volumes = [{"name": name, "hostPath": {"path": self[name], "type": "Directory"}} for name in named]
        mounts = [{"name": name, "mountPath": f"{_ROOT}/{name}", "readOnly": True} for name in named]
        return volumes, mounts


def settings(cluster: Object) -> Settings:
    """Read the annotations of a Cluster."""
    given = mapping(cluster, "metadata", "annotations")
    found = {name: str(given.get(PREFIX + name, default)).strip() for name, default in DEFAULTS.items()}
    return Settings(found)


def problems(cluster: Object) -> list[Problem]:
    """Judge the annotations of a Cluster."""
    chosen, found = settings(cluster), list[Problem]()
    where = f"Cluster {name_of(cluster)} metadata.annotations"
    if chosen["store"] not in _STORES:
        found.append(Problem(f"{where}.{PREFIX}store", f"{chosen['store']!r} is none of {', '.join(_STORES)}"))
    if chosen["store"] == "sqlite" and not chosen["sqlite"]:
        found.append(Problem(f"{where}.{PREFIX}sqlite", "is needed with store sqlite: the data directory of the API server"))
    if chosen["store"] == "etcd" and not chosen["etcd"].startswith(("https://", "http://")):
        found.append(Problem(f"{where}.{PREFIX}etcd", f"{chosen['etcd']!r} is no URL such as {DEFAULTS['etcd']}"))
    for name in _FOLDERS:
        path = PurePosixPath(chosen[name])
        if chosen[name] and (not path.is_absolute() or ".." in path.parts):
            found.append(Problem(f"{where}.{PREFIX}{name}", f"{chosen[name]!r} is not an absolute path without '..'"))
    if not chosen["local-folder"]:
        found.append(Problem(f"{where}.{PREFIX}local-folder", "must not be blank"))
    return found


def healthy_node(chosen: Settings, refs: Refs) -> str:
    """Return the first Ready, schedulable node with the label, by name; blank when there is none."""
    key, _, value = chosen["nodes"].partition("=")
    nodes = [node for node in refs.list(NODE) if _has(node, key, value) and _ready(node)]
    return min((name_of(node) for node in nodes), default="")


def _has(node: Object, key: str, value: str) -> bool:
    labels = mapping(node, "metadata", "labels")
    return key in labels and (not value or labels[key] == value)


def _ready(node: Object) -> bool:
    return any(each.get("type") == "Ready" and each.get("status") == "True" for each in items(node, "status", "conditions"))
