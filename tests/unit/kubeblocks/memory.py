"""The KubeBlocks API in a cluster in memory: the handlers run for real, without a clock and without a server."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import yaml
from tests.unit.kubestash.world import World, schemas_of

from holdfast.core.objects import Kind, Object
from holdfast.core.ports import Handler
from holdfast.dialects.kubeblocks.dialect import KubeBlocks
from holdfast.dialects.kubeblocks.types import KINDS
from holdfast.schema.structural import Schema

ADDONS = Path(__file__).resolve().parents[3] / "deploy" / "addons" / "kubeblocks"
GROUP = "dataprotection.kubeblocks.io"
JOB = {"image": "holdfast:test", "command": ["true"]}


class Memory(World):
    """Every object of a cluster, and the handlers of the API. A repository or schedule may heal: no phase of it is final."""

    schemas: ClassVar[Mapping[Kind, Schema]] = schemas_of(KINDS)
    cluster_scoped: ClassVar[frozenset[str]] = frozenset(
        {"Namespace", "ActionSet", "BackupRepo", "StorageProvider", "StorageClass", "CSIDriver", "ClusterRole"}
    )

    def spoken(self) -> Iterable[Handler]:
        return KubeBlocks().handlers

    def final(self, owner: Object) -> bool:
        phase = (owner.get("status") or {}).get("phase")
        ended = owner["kind"] in ("Backup", "Restore") and phase in ("Completed", "Failed")
        return ended and not owner["metadata"].get("deletionTimestamp")

    def find(self, kind: str, name: str, namespace: str = "default") -> Object:
        return super().find(kind, name, namespace)

    def status(self, kind: str, name: str) -> Object:
        return self.find(kind, name)["status"]


def thing(kind: str, name: str, *, meta: Object | None = None, status: Object | None = None, **spec: Any) -> Object:
    """Build an object of the API, in namespace `default` if its kind has one."""
    group = "storage.kubeblocks.io" if kind == "StorageProvider" else GROUP
    place = {} if kind in Memory.cluster_scoped else {"namespace": "default"}
    document = {
        "apiVersion": f"{group}/v1alpha1",
        "kind": kind,
        "metadata": {"name": name, **place, **(meta or {})},
        "spec": spec,
    }
    return {**document, **({"status": status} if status else {})}


def provider(name: str) -> Object:
    """Return a built-in provider as it is shipped."""
    return yaml.safe_load((ADDONS / f"provider-{name}.yaml").read_text())


def bucket(name: str = "cloud", **spec: Any) -> Object:
    """Build a BackupRepo in a bucket, reached by the tool."""
    config = {"bucket": "backups", "endpoint": "https://s3.example.org"}
    credential = {"name": "keys", "namespace": "default"}
    given = {"storageProviderRef": "minio", "accessMethod": "Tool", "pvReclaimPolicy": "Retain", "config": config}
    return thing("BackupRepo", name, **{**given, "credential": credential, **spec})


def condition(status: Object, type_: str) -> Object:
    return next(item for item in status["conditions"] if item["type"] == type_)
