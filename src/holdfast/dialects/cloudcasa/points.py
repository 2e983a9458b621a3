"""Recovery points: what a job leaves behind, how long it stays, and how it goes.

A point is deleted by a job, which removes the data first. It stays while it is locked, while a job reads it, and as long as it
is the newest good one of its definition: the last good copy goes only when somebody asks for that. Deleting the object by hand
is such a request; the finalizer holds it until its data is gone.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from holdfast.core.objects import Object, ref_of
from holdfast.core.plan import Child, Desired, Doomed, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import deleting, flag, items, mapping, name_of, namespace_of, number, strings, text
from holdfast.dialects.cloudcasa import runs, ticks
from holdfast.dialects.cloudcasa.kinds import (
    API_VERSION,
    BACKUPDEF,
    BACKUPINSTANCE,
    DELETES,
    KUBEJOB,
    NAMESPACE,
    ORGANIZATION_LABEL,
    ORIGIN,
    derived_id,
)
from holdfast.dialects.cloudcasa.scheduled import is_active, state_of

DAY: Final = 86_400
_AGAIN: Final = timedelta(minutes=10)
"""How long to wait after a deletion that failed."""


def snapshot_id(job: Object) -> str:
    """Return the id of the snapshot point that a job makes."""
    return derived_id("snapshot", namespace_of(job), name_of(job))


def copy_id(job: Object) -> str:
    """Return the id of the copy point that a job makes."""
    return derived_id("copy", namespace_of(job), name_of(job))


def snapshot_point(job: Object, now: datetime) -> Object:
    """Return the point of the snapshots that a job took."""
    resources = text(job, "status", "resources")
    return _point(job, snapshot_id(job), "SNAPSHOT", now, {"resources": resources} if resources else {})


def copy_point(job: Object, now: datetime, repository: str, listed: Sequence[str] = ()) -> Object:
    """Return the point of a job's copy; `repository` is its URL, `listed` the snapshots that list the copy there."""
    status = mapping(job, "status")
    info: Object = {"repository": repository, **({"catalog": list(listed)} if listed else {})}
    if resources := text(status, "resources"):
        info["resources"] = resources
    return _point(job, copy_id(job), "COPY", now, info)


def info_of(point: Object) -> Object:
    """Return the details of where a point lies."""
    return mapping(point, "spec", "backup_location", "backup_location_info")


def snapshots_of(point: Object) -> tuple[str, ...]:
    """Return the snapshots of the objectstore's repository that a point holds: claims, resources, the list of the copy."""
    info = info_of(point)
    found = [text(each, "snapshot_id") for each in items(info, "volumes")] + [text(info, "resources")]
    return tuple(ident for ident in [*found, *strings(info, "catalog")] if ident)


def newest_snapshot(job: Object, view: Refs) -> Object | None:
    """Return the newest snapshot point of a job's definition that can be used."""
    found = [
        point
        for point in view.list(BACKUPINSTANCE, namespace_of(job), label=(BACKUPDEF, text(job, "spec", "backupdef")))
        if text(point, "spec", "type") == "SNAPSHOT" and _ready(point)
    ]
    return max(found, key=_taken, default=None)


def _point(job: Object, ident: str, kind: str, now: datetime, info: Object) -> Object:
    spec, status = mapping(job, "spec"), mapping(job, "status")
    began = number(status, "start_time") or ticks.seconds(now)
    days = number(spec, "retention", "retainDays") or 0
    claims = [each for each in items(status, "volumes") if text(each, "state") == "COMPLETED"]
    kept = {
        name: spec[name] for name in ("backupdef", "backupdef_name", "cluster", "cluster_name", "retention") if name in spec
    }
    where = {
        **info,
        "volumes": claims,
        **{name: status[name] for name in ("namespaces", "missing_namespaces") if name in status},
    }
    fields: Object = {
        "name": f"backupinst-{began}",
        "type": kind,
        "source_type": "kubernetes",
        "start_time": began,
        "end_time": ticks.seconds(now),
        **kept,
        "backup_selection": mapping(status, "selection"),
        "pv_count": len(claims),
        "total_copy_data": sum(number(each, "bytes") or 0 for each in claims),
        "backup_location": {"backup_location_info": where},
        "expiry_timestamp": began + days * DAY,
        "partial": any(text(each, "state") == "FAILED" for each in items(status, "volumes")),
    }
    if kind == "COPY" or text(status, "objectstore"):
        fields["objectstore"] = text(status, "objectstore")
    passing = kind == "SNAPSHOT" and flag(status, "delete_snapshots")
    if flag(spec, "locked") and not passing:
        fields["locked"] = True
    labels: Object = {BACKUPDEF: text(spec, "backupdef")}
    if origin := text(job, "metadata", "labels", ORIGIN):
        labels[ORIGIN] = origin
    meta: Object = {"name": ident, "namespace": namespace_of(job), "labels": labels}
    return {"apiVersion": API_VERSION, "kind": BACKUPINSTANCE.kind, "metadata": meta, "spec": fields}


class BackupinstanceHandler:
    """Handles Backupinstances."""

    kind = BACKUPINSTANCE
    finalizer = "cloudcasa.holdfast.dev/data"

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Accept what jobs write."""
        return None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Make the job that deletes a point whose time has come; let the point go once its data is gone."""
        namespace = view.get(NAMESPACE, "", namespace_of(obj))
        if namespace is None or text(namespace, "metadata", "labels", ORGANIZATION_LABEL) != "true":
            return Desired(release=True)
        jobs = view.list(KUBEJOB, namespace_of(obj), label=(DELETES, name_of(obj)))
        if any(state_of(job) == "COMPLETED" for job in jobs):
            return Desired(release=True) if deleting(obj) else Desired(doomed=(Doomed(ref_of(obj), "its data is gone"),))
        if _is_guest(obj) and not (deleting(obj) and text(obj, "spec", "type") == "SNAPSHOT"):
            return Desired(release=deleting(obj))
        wait, wake = _waits(obj, view, now)
        if wait:
            return Desired(wake_at=wake)
        if any(is_active(job) for job in jobs):
            return Desired()
        failed = [job for job in jobs if not is_active(job)]
        again = max((ticks.moment(number(job, "status", "end_time") or 0) + _AGAIN for job in failed), default=now)
        if again > now:
            return Desired(wake_at=again)
        job = runs.deletion_job(
            obj, derived_id("delete", namespace_of(obj), name_of(obj), str(len(failed))), ticks.seconds(now)
        )
        return Desired(children=(Child(job, create_only=True),))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the state, and why a point is still there if it should not be."""
        wait, _ = _waits(obj, view, now)
        if deleting(obj):
            return {"state": "DELETING", **({"message": wait} if wait else {})}
        expired = (number(obj, "spec", "expiry_timestamp") or 0) <= ticks.seconds(now)
        if not expired or _is_guest(obj):
            return {"state": "READY"}
        return {"state": "READY", "message": f"has expired and stays: {wait}"} if wait else {"state": "DELETING"}


def _is_guest(obj: Object) -> bool:
    """Whether a point belongs to another installation, which alone decides how long it stays; copies are data of its stores."""
    return bool(text(obj, "metadata", "labels", ORIGIN))


def _waits(obj: Object, view: View, now: datetime) -> tuple[str, datetime | None]:
    """Return why a point can't go now, and when to look again; empty when it can."""
    until = ticks.moment(number(obj, "spec", "expiry_timestamp") or 0)
    if now < until and (not deleting(obj) or flag(obj, "spec", "locked")):
        return ("is locked until it expires" if flag(obj, "spec", "locked") else "has not expired"), until
    for job in view.list(KUBEJOB, namespace_of(obj), label=(BACKUPDEF, text(obj, "spec", "backupdef"))):
        copied = "" if text(job, "status", "backup_inst") else text(job, "status", "snapshot_inst")
        reads = name_of(obj) in (copied, text(job, "spec", "backup_inst"))
        if reads and is_active(job) and text(job, "spec", "type") != "DELETE_BACKUP":
            return f"job {name_of(job)} reads it", None
    if not deleting(obj) and _is_last(obj, view):
        return "it is the newest good one of its definition", None
    return "", None


def _is_last(obj: Object, view: View) -> bool:
    """Whether no newer point of the same kind and definition is good. Snapshots are no copies: none of them is the last."""
    if text(obj, "spec", "type") != "COPY":
        return False
    others = view.list(BACKUPINSTANCE, namespace_of(obj), label=(BACKUPDEF, text(obj, "spec", "backupdef")))
    return not any(
        _taken(each) > _taken(obj)
        and text(each, "spec", "type") == "COPY"
        and _ready(each)
        and not flag(each, "spec", "partial")
        for each in others
    )


def _ready(point: Object) -> bool:
    return not deleting(point) and text(point, "status", "state", default="READY") == "READY"


def _taken(point: Object) -> tuple[int, str]:
    return number(point, "spec", "start_time") or 0, name_of(point)
