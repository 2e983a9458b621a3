"""What travels between two installations: a job with the documents it needs goes out, its points come home.

A job of a cluster other than the local one is carried out by that cluster's own operator. So copies of the documents are laid
down there, in a namespace of their own and marked with where they came from, and the job last. Nothing there runs by itself:
copies of definitions have no schedule, and recovery points expire only at home. Pure.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from holdfast.core.objects import Object
from holdfast.core.read import items, mapping, name_of, strings, text
from holdfast.dialects.cloudcasa.kinds import API_VERSION, BACKUPDEF, BACKUPINSTANCE, CREDENTIALS, LOCAL_CLUSTER, ORIGIN, TARGET
from holdfast.dialects.cloudcasa.resources import COLLECTIONS
from holdfast.dialects.cloudcasa.validate import Lookup

_TIED: Final = ("policy", "copydef", "offload_provider", "backup_provider")
"""Fields of definitions that mean something at home only: when they run, and where copies go, is decided there."""

_AT_HOME: Final = ("jobrunner", "objectstore")
"""Fields of a job's status that home has written itself."""


def documents_for(job: Object, lookup: Lookup, home: str, credentials: str = "") -> tuple[Object, ...]:
    """Return what the other installation needs for a job, in the order in which it is to be made; the job comes last.

    `home` is the namespace there. The Secret of the objectstore is the caller's to bring; `credentials` changes when it does.
    """
    documents = [*_documents(job, lookup, credentials), _job(job)]
    origin = text(job, "spec", "cluster")
    for each in documents:
        each["metadata"] |= {"namespace": home, "labels": {**mapping(each, "metadata", "labels"), ORIGIN: origin}}
    return tuple(documents)


def objectstore_of(job: Object) -> str:
    """Return the `_id` of the objectstore that a job works with; empty when it needs none."""
    return text(job, "status", "objectstore")


def points_of(job: Object) -> tuple[str, ...]:
    """Return the `_id`s of the recovery points that a job says it made."""
    found = (text(job, "status", "snapshot_inst"), text(job, "status", "backup_inst"))
    return tuple(ident for ident in found if ident and text(job, "spec", "type") in ("KUBE_BACKUP", "KUBE_OFFLOAD"))


def brought_home(spec: Object, ident: str, organization: str) -> Object:
    """Return a recovery point that a job made elsewhere, from its fields there, as home keeps it."""
    made = _object(BACKUPINSTANCE.kind, ident, spec, organization)
    made["metadata"]["labels"] = {BACKUPDEF: text(spec, "backupdef")}
    return made


def status_from(reported: Object, own: Object) -> Object:
    """Return the status of a job at home from what is reported of it; what home decided stays."""
    kept = {name: own[name] for name in _AT_HOME if name in own}
    return {**reported, **kept}


def _documents(job: Object, lookup: Lookup, credentials: str) -> Iterator[Object]:
    cluster = text(job, "spec", "cluster")
    yield from _one("kubeclusters", cluster, lookup, {LOCAL_CLUSTER: "true"})
    yield from _one("objectstores", objectstore_of(job), lookup, {CREDENTIALS: credentials} if credentials else {})
    backup = lookup.spec_of("kubebackups", text(job, "spec", "backupdef")) or {}
    restore = lookup.spec_of("kuberestores", text(job, "spec", "restoredef")) or {}
    uses = [*items(backup, "pre_hooks"), *items(backup, "post_hooks"), *items(restore, "post_hooks")]
    for hook in dict.fromkeys(hook for use in uses for hook in strings(use, "hooks")):
        yield from _one("kubehooks", hook, lookup)
    yield from _one("kubebackups", text(job, "spec", "backupdef"), lookup)
    yield from _one("kubeoffloads", text(job, "spec", "copydef"), lookup)
    yield from _one("backupinstances", _point(job, lookup), lookup)
    yield from _one("kuberestores", text(job, "spec", "restoredef"), lookup)


def _point(job: Object, lookup: Lookup) -> str:
    """Return the copy that a job reads. Snapshots lie where the job goes, together with their points."""
    ident = text(job, "spec", "backup_inst")
    return ident if text(lookup.spec_of("backupinstances", ident) or {}, "type") == "COPY" else ""


def _one(plural: str, ident: str, lookup: Lookup, notes: Object | None = None) -> Iterator[Object]:
    spec = lookup.spec_of(plural, ident) if ident else None
    if spec is None:
        return
    collection = COLLECTIONS[plural]
    fields: dict[str, Any] = {name: value for name, value in spec.items() if name not in _TIED}
    if "trigger_type" in fields or "policy" in spec:
        fields["trigger_type"] = "ADHOC"
    if plural == "objectstores":
        fields.pop("proxy_cluster_list", None)
        fields["private"] = False
    if collection.unique:
        fields["name"] = f"{text(spec, 'name')[:200]} ({ident})"
    made = _object(collection.kind.kind, ident, fields, "")
    if notes:
        made["metadata"]["annotations"] = notes
    yield made


def _job(job: Object) -> Object:
    spec = {name: value for name, value in mapping(job, "spec").items() if name not in ("due", "skip")}
    made = _object("Kubejob", name_of(job), spec, "")
    made["metadata"]["labels"] = dict(mapping(job, "metadata", "labels"))
    if store := objectstore_of(job):
        made["metadata"]["annotations"] = {TARGET: store}
    return made


def _object(kind: str, ident: str, spec: Object, namespace: str) -> Object:
    meta: Object = {"name": ident, **({"namespace": namespace} if namespace else {})}
    return {"apiVersion": API_VERSION, "kind": kind, "metadata": meta, "spec": spec}
