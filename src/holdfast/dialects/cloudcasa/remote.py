"""Jobs of a cluster other than the one that we run in: home decides where they go and waits; they are carried out there.

Home writes down the objectstore and whose job it is, which lets the agent of that cluster take it (or whoever reaches the
cluster from here). From then on the status is what is reported. A job that nobody takes, or that is not heard of again, ends
here with that reason; when the other side comes back, it learns that the job has ended and removes what is left of it.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from holdfast.core.labels import annotation
from holdfast.core.objects import Object
from holdfast.core.ports import Refs, View
from holdfast.core.read import flag, mapping, number, text
from holdfast.core.times import parse_time
from holdfast.dialects.cloudcasa import kinds, ticks
from holdfast.dialects.cloudcasa.copy_job import target
from holdfast.dialects.cloudcasa.handler import documents_of

SILENT: Final = timedelta(minutes=2)
"""After which a cluster that is not heard of is not ACTIVE any more."""

TAKEN_WITHIN: Final = timedelta(minutes=10)
"""How long a job may wait for being taken, and"""

LOST_AFTER: Final = timedelta(hours=1)
"""how long one that runs may not be heard of."""


def cluster_of(job: Object, refs: Refs) -> Object | None:
    """Return the other cluster that a job is for; None when it is carried out here.

    The data of a copy lies in the objectstore, so it is deleted from here; a snapshot is deleted where it is.
    """
    documents = documents_of(job, refs)
    cluster = documents.get("kubeclusters", text(job, "spec", "cluster"))
    if cluster is None or annotation(cluster, kinds.LOCAL_CLUSTER) == "true":
        return None
    if text(job, "spec", "type") == "DELETE_BACKUP":
        point = documents.spec_of("backupinstances", text(job, "spec", "backup_inst"))
        return cluster if point is not None and text(point, "type") == "SNAPSHOT" else None
    return cluster


def heard_until(cluster: Object) -> datetime | None:
    """Return until when a cluster counts as heard of; None when it never was."""
    seen = number(cluster, "status", "last_seen")
    return ticks.moment(seen) + SILENT if seen is not None else None


def status(job: Object, cluster: Object, view: View, now: datetime) -> Object:
    """Return the status of a job of another cluster as it is at home."""
    before, name, until = mapping(job, "status"), text(cluster, "spec", "name"), heard_until(cluster)
    silent = until is None or now >= until
    if not text(before, "jobrunner"):
        if flag(job, "spec", "cancel"):
            return {**before, "state": "CANCELLED", "message": "was cancelled before it was taken"}
        if until is None:
            return _failed(before, f"no agent has reported from cluster {name}: apply there what its agentURL serves")
        return {**before, **_allowed(job, name, view)}
    if number(before, "start_time") is None:
        since = parse_time(text(job, "metadata", "creationTimestamp"))
        if flag(job, "spec", "cancel") and silent:
            return {**before, "state": "CANCELLED", "message": f"was cancelled before the agent of cluster {name} took it"}
        if now >= since + TAKEN_WITHIN:
            return _failed(before, f"the agent of cluster {name} did not take it within {TAKEN_WITHIN}")
        return before
    if silent and flag(job, "spec", "cancel"):
        said = f"was cancelled; the agent of cluster {name} is silent, and removes what is left once it reports again"
        return {**before, "state": "CANCELLED", "message": said}
    if until is None or now >= until - SILENT + LOST_AFTER:
        return _failed(before, f"the agent of cluster {name} has been silent for {LOST_AFTER}")
    return before


def _allowed(job: Object, name: str, view: View) -> Object:
    """Return the status of a job that may be taken now, or why it can't be."""
    kind = text(job, "spec", "type")
    found: Object = {"state": "PENDING", "jobrunner": f"agent of {name}", "message": f"waits for the agent of cluster {name}"}
    if kind == "KUBE_RESTORE":
        point = documents_of(job, view).spec_of("backupinstances", text(job, "spec", "backup_inst"))
        if point is None:
            return {"state": "FAILED", "message": "the recovery point is gone"}
        store = text(point, "objectstore")
        return {**found, **({"objectstore": store} if store else {})}
    if kind == "DELETE_BACKUP":
        return found
    chosen = target(job, view)
    if isinstance(chosen, str):
        return {"state": "FAILED", "message": chosen} if kind == "KUBE_OFFLOAD" else found
    return {**found, "objectstore": chosen["metadata"]["name"]}


def _failed(before: Object, message: str) -> Object:
    return {**before, "state": "FAILED", "message": message}
