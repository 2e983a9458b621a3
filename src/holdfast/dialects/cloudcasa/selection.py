"""Which namespaces and claims a definition means, as the cluster is now."""

from __future__ import annotations

from typing import Final

import msgspec

from holdfast.core.labels import OWNER_UID
from holdfast.core.objects import Object
from holdfast.core.ports import Refs
from holdfast.core.read import at, flag, name_of, namespace_of, phase_of, strings, text
from holdfast.dialects.cloudcasa.kinds import CLAIM, NAMESPACE, ORGANIZATION_LABEL, STORAGE_CLASS

SYSTEM: Final = frozenset({"kube-system", "kube-public", "kube-node-lease"})
"""Namespaces that a cluster makes by itself; `all_namespaces` leaves them out, as it does organisations."""

_LONGHORN: Final = "driver.longhorn.io"


class Chosen(msgspec.Struct, frozen=True):
    """What a definition means: the namespaces that exist, those that don't, and the claims, each as a job notes it."""

    namespaces: tuple[str, ...]
    missing: tuple[str, ...]
    volumes: tuple[Object, ...]


def choose(source: Object, refs: Refs, *, longhorn: bool = True) -> Chosen:
    """Return what a source means. Without `longhorn`, claims of Longhorn are left out."""
    existing = {name_of(each): each for each in refs.list(NAMESPACE)}
    if flag(source, "all_namespaces"):
        names = tuple(sorted(name for name, each in existing.items() if name not in SYSTEM and not _organization(each)))
        missing: tuple[str, ...] = ()
    else:
        wanted = tuple(dict.fromkeys(strings(source, "namespaces")))
        names = tuple(name for name in wanted if name in existing)
        missing = tuple(name for name in wanted if name not in existing)
    if at(source, "snapshotPersistentVolumes") is False:
        return Chosen(names, missing, ())
    claims = [claim for name in names for claim in refs.list(CLAIM, name) if _protected(claim)]
    if not longhorn:
        claims = [claim for claim in claims if _provisioner(claim, refs) != _LONGHORN]
    return Chosen(names, missing, tuple(_noted(claim) for claim in claims))


def _organization(namespace: Object) -> bool:
    return text(namespace, "metadata", "labels", ORGANIZATION_LABEL) == "true"


def _protected(claim: Object) -> bool:
    """Whether a claim holds data of a user: it has a volume, stays, and is none that some run made for itself."""
    temporary = OWNER_UID in (claim["metadata"].get("labels") or {})
    return phase_of(claim) == "Bound" and not temporary and not text(claim, "metadata", "deletionTimestamp")


def _provisioner(claim: Object, refs: Refs) -> str:
    found = refs.get(STORAGE_CLASS, "", text(claim, "spec", "storageClassName"))
    return text(found, "provisioner") if found is not None else ""


def _noted(claim: Object) -> Object:
    noted: Object = {
        "namespace": namespace_of(claim),
        "claim": name_of(claim),
        "size": text(claim, "spec", "resources", "requests", "storage", default="1Gi"),
        "access_modes": strings(claim, "spec", "accessModes"),
        "state": "PENDING",
    }
    kind = text(claim, "spec", "storageClassName")
    return {**noted, "storage_class": kind} if kind else noted
