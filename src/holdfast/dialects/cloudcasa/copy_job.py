"""Snapshots and copies: take snapshots of the claims, save the resources, move both to the objectstore, remove the snapshot.

start      which claims, which objectstore, which options: written down
snapshot   hooks, then a VolumeSnapshot of each claim at nearly the same moment; a SNAPSHOT point holds them from then on
copy       per claim a temporary claim made from the snapshot, backed up by a mover; and the resources of the namespaces
CATALOG    what the copy holds is written into the objectstore too, and the COPY point is made
end        the snapshot point goes only now, and only if every claim and every resource is in the copy
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.labels import annotation
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Child, Desired, Doomed
from holdfast.core.ports import Outcome, View
from holdfast.core.read import at, flag, items, mapping, name_of, namespace_of, number, strings, text
from holdfast.core.times import optional_time
from holdfast.dialects.cloudcasa import (
    catalog,
    hooks,
    kinds,
    points,
    resources_step,
    selection,
    stores,
    volume_copy,
    volume_snapshot,
)
from holdfast.dialects.cloudcasa.handler import documents_of
from holdfast.dialects.cloudcasa.scheduled import is_active

_SNAPSHOT: Final = "snapshot"
_VALIDATION: Final = timedelta(minutes=10)
"""How long a job waits until its objectstore has been tried."""

_REMOVAL: Final = timedelta(minutes=10)
"""How long a copy waits for its snapshot to be gone; past it, it says that it still goes."""


class CopyJob:
    """The work of KUBE_BACKUP and KUBE_OFFLOAD."""

    def start(self, job: Object, view: View, now: datetime) -> Object:
        """Return the first status."""
        documents = documents_of(job, view)
        backup = documents.get("kubebackups", text(job, "spec", "backupdef"))
        cluster = documents.get("kubeclusters", text(job, "spec", "cluster"))
        offload = documents.get("kubeoffloads", text(job, "spec", "copydef"))
        if backup is None or cluster is None or (offload is None and _copies(job)):
            return _failed("its definition is gone")
        if (other := _earlier(job, view)) is not None:
            return {"state": "SKIPPED", "message": f"job {name_of(other)} of it is running: one at a time"}
        store = target(job, view)
        if isinstance(store, str) and _copies(job):
            return _failed(store)
        if not isinstance(store, str) and (waits := _not_ready(store, job, now)):
            return waits
        status: Object = {"state": "RUNNING", "selection": mapping(backup, "spec", "source")}
        if not isinstance(store, str):
            status["objectstore"] = name_of(store)
        if offload is not None:
            status["options"] = mapping(offload, "spec", "options")
            status["delete_snapshots"] = at(offload, "spec", "delete_snapshots") is not False
        return self._volumes(job, view, status, backup, offload)

    def _volumes(self, job: Object, view: View, status: Object, backup: Object, offload: Object | None) -> Object:
        """Add the claims: those of the namespaces as they are now, or those of the newest snapshot point."""
        if _takes_snapshot(job):
            chosen = selection.choose(mapping(backup, "spec", "source"), view, longhorn=_longhorn(offload))
            if not chosen.namespaces:
                return _failed("none of the namespaces exists")
            used = hooks.choose(backup, chosen.namespaces, view, documents_of(job, view))
            missing = f"; missing namespaces: {', '.join(chosen.missing)}" if chosen.missing else ""
            hooked = f"; {len(used)} hook commands" if used else ""
            said = f"{len(chosen.volumes)} claims in {len(chosen.namespaces)} namespaces{hooked}{missing}"
            extra: Object = {"namespaces": list(chosen.namespaces), "missing_namespaces": list(chosen.missing)}
            return {**status, **extra, "volumes": list(chosen.volumes), "hooks": list(used), "message": said}
        point = points.newest_snapshot(job, view)
        if point is None:
            return _failed("there is no snapshot to copy: run it with runBackup, or run the snapshot definition first")
        info = points.info_of(point)
        claims = [{**each, "state": "PENDING"} for each in items(info, "volumes") if text(each, "state") == "COMPLETED"]
        said = f"copies snapshot {name_of(point)} with {len(claims)} claims"
        kept = {name: info[name] for name in ("namespaces", "missing_namespaces") if name in info}
        return {**status, **kept, "volumes": claims, "snapshot_inst": name_of(point), "message": said}

    def desired(self, job: Object, view: View, now: datetime) -> Desired:
        """Say what shall exist and run now."""
        if _takes_snapshot(job) and not text(job, "status", "snapshot_inst"):
            return self._snapshot(job, view, now)
        return self._copy(job, view, now) if _copies(job) else Desired()

    def _snapshot(self, job: Object, view: View, now: datetime) -> Desired:
        if not flag(job, "status", "snapshots_taken"):
            plan = volume_snapshot.snapshot_plan(job, _SNAPSHOT)
            return Desired(children=hooks.access(job), runs=(plan,) if plan.steps else ())
        store = documents_of(job, view).get("objectstores", text(job, "status", "objectstore"))
        if not _copies(job) and store is not None and not resources_step.ended(job):
            return resources_step.wanted(job, store)
        return Desired(children=(Child(points.snapshot_point(job, now), create_only=True),))

    def _copy(self, job: Object, view: View, now: datetime) -> Desired:
        store = documents_of(job, view).get("objectstores", text(job, "status", "objectstore"))
        if store is None:
            return Desired()
        doomed = self._superfluous(job, view)
        if volume_copy.all_ended(job) and resources_step.ended(job):
            last = catalog.wanted(job, store, view, now) if _worth_listing(job) else Desired()
            left = volume_copy.wanted(job, store, view).doomed
            return msgspec.structs.replace(last, doomed=(*left, *doomed))
        saved, work = resources_step.wanted(job, store), volume_copy.wanted(job, store, view)
        return msgspec.structs.replace(
            work, children=saved.children, runs=(*saved.runs, *work.runs), doomed=(*work.doomed, *doomed)
        )

    def _superfluous(self, job: Object, view: View) -> tuple[Doomed, ...]:
        """Return the snapshot point, once the copy of everything is listed."""
        snapshot = text(job, "status", "snapshot_inst")
        if (
            not snapshot
            or not flag(job, "status", "delete_snapshots")
            or _partial(job)
            or not text(job, "status", "backup_inst")
        ):
            return ()
        return (Doomed(Ref(kinds.BACKUPINSTANCE, namespace_of(job), snapshot), "its copy is complete"),)

    def status(self, job: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status, from what is seen."""
        status = dict(mapping(job, "status"))
        if _takes_snapshot(job) and not text(job, "status", "snapshot_inst"):
            return self._snapshot_status(job, status, view, outcome)
        if not _copies(job):
            return self._ended_snapshot(job, status)
        if documents_of(job, view).get("objectstores", text(status, "objectstore")) is None:
            return {**status, **_failed(f"objectstore {text(status, 'objectstore')} is gone")}
        status |= resources_step.seen(job, outcome)
        status |= volume_copy.seen(job, outcome, view, now)
        return self._copy_status(job, status, view, outcome, now)

    def _snapshot_status(self, job: Object, status: Object, view: View, outcome: Outcome) -> Object:
        status |= resources_step.seen(job, outcome)
        if flag(job, "status", "snapshots_taken"):
            point = view.get(kinds.BACKUPINSTANCE, namespace_of(job), points.snapshot_id(job))
            if point is None:
                return {**status, "message": "lists the snapshots" if _copies(job) else "saves resources"}
            claims = [_to_copy(each) if _copies(job) else each for each in items(status, "volumes")]
            return {**status, "volumes": claims, "snapshot_inst": name_of(point), "message": "snapshots are taken"}
        run = outcome.runs.get(_SNAPSHOT)
        taken = volume_snapshot.seen(job, run)
        if taken is None:
            return {**status, "message": run.message if run and run.message else "takes snapshots"}
        if run is not None and (failed := hooks.failure(run)):
            return {**status, **_failed(failed)}
        if taken and all(text(each, "state") == "FAILED" for each in taken):
            return {**status, **_failed(f"no snapshot was taken: {text(taken[0], 'message')}")}
        if run is not None and (late := hooks.late_failure(run)):
            status["hooks_message"] = late
        return {**status, "volumes": taken, "snapshots_taken": True}

    def _ended_snapshot(self, job: Object, status: Object) -> Object:
        """Return the status of a snapshot job: it ends with its resources, if there is a place for them."""
        why = _why_partial({**job, "status": status})
        if not text(status, "objectstore"):
            said = "snapshots are taken; resources were not saved: there is no objectstore"
            return {**status, "state": "PARTIAL" if why else "COMPLETED", "message": f"{why}; {said}" if why else said}
        if why:
            return {**status, "state": "PARTIAL", "message": why}
        return {**status, "state": "COMPLETED", "message": f"{len(items(status, 'volumes'))} snapshots are taken"}

    def _copy_status(self, job: Object, status: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        seen: Object = {**job, "status": status}
        if not volume_copy.all_ended(seen) or not resources_step.ended(seen):
            return status
        claims = items(status, "volumes")
        lost = [each for each in claims if text(each, "state") == "FAILED"]
        if not _worth_listing(seen):
            said = text(lost[0], "message") if lost else text(status, "resources_message")
            return {**status, **_failed(f"nothing could be copied: {said}")}
        if failed := catalog.failure(outcome):
            return {**status, **_failed(f"the copy could not be listed in the objectstore: {failed}")}
        point = view.get(kinds.BACKUPINSTANCE, namespace_of(job), points.copy_id(job))
        if point is None:
            return {**status, "state": "CATALOG", "message": "lists the copy"}
        status["backup_inst"] = name_of(point)
        status["total_copy_data"] = sum(number(each, "bytes") or 0 for each in claims)
        if why := _why_partial(seen):
            return {**status, "state": "PARTIAL", "message": why}
        snapshot = view.get(kinds.BACKUPINSTANCE, namespace_of(job), text(status, "snapshot_inst"))
        if flag(status, "delete_snapshots") and snapshot is not None and not _stays(snapshot, now):
            return {**status, "state": "CATALOG", "message": "removes the snapshot"}
        return {**status, "state": "COMPLETED", "message": f"{len(claims)} claims, {status['total_copy_data']} bytes"}


def _copies(job: Object) -> bool:
    return text(job, "spec", "type") == "KUBE_OFFLOAD"


def _takes_snapshot(job: Object) -> bool:
    return not _copies(job) or flag(job, "spec", "run_backup")


def _worth_listing(job: Object) -> bool:
    """Whether anything at all was copied."""
    copied = any(text(each, "state") == "COMPLETED" for each in items(job, "status", "volumes"))
    return copied or bool(text(job, "status", "resources"))


def _not_ready(store: Object, job: Object, now: datetime) -> Object:
    """Return how a job waits for a store to be tried; empty when it works."""
    state, name = text(store, "status", "validate_state"), text(store, "spec", "name")
    if state == "VALID":
        return {}
    if state == "INVALID":
        return _failed(f"objectstore {name} can't be used: {text(store, 'status', 'message')}")
    asked = optional_time(text(job, "metadata", "creationTimestamp"))
    if asked is not None and now > asked + _VALIDATION:
        return _failed(f"objectstore {name} has not been tried within {_VALIDATION}")
    return {"state": "PENDING", "message": f"waits until objectstore {name} has been tried"}


def _to_copy(claim: Object) -> Object:
    return {**claim, "state": "PENDING"} if text(claim, "state") == "COMPLETED" else claim


def _stays(snapshot: Object, now: datetime) -> bool:
    """Whether the removal of a snapshot takes so long that a copy need not wait for it."""
    asked = optional_time(text(snapshot, "metadata", "deletionTimestamp"))
    return asked is not None and now > asked + _REMOVAL


def _longhorn(offload: Object | None) -> bool:
    return offload is None or at(offload, "spec", "snapshot_longhorn") is not False


def _failed(message: str) -> Object:
    return {"state": "FAILED", "message": message}


def target(job: Object, view: View) -> Object | str:
    """Return the objectstore of a job as things are now, or why there is none. Where a job came from may have chosen it."""
    documents = documents_of(job, view)
    offload = documents.spec_of("kubeoffloads", text(job, "spec", "copydef")) or {}
    cluster = documents.spec_of("kubeclusters", text(job, "spec", "cluster")) or {}
    chosen = annotation(job, kinds.TARGET)
    preferences = [
        {"user_objectstore": chosen} if chosen else {},
        mapping(offload, "offload_provider"),
        mapping(cluster, "backup_provider"),
        _settings(job, view),
    ]
    return stores.choose(preferences, view.list(kinds.OBJECTSTORE, namespace_of(job)))


def _settings(job: Object, view: View) -> Object:
    found = view.get(kinds.SETTINGS, namespace_of(job), "settings")
    return mapping(found, "spec", "backup_provider") if found is not None else {}


def _earlier(job: Object, view: View) -> Object | None:
    """Return another job of the same definition that goes on and came before."""
    name, label = ("copydef", kinds.COPYDEF) if _copies(job) else ("backupdef", kinds.BACKUPDEF)
    mine = (text(job, "metadata", "creationTimestamp"), name_of(job))
    for other in view.list(kinds.KUBEJOB, namespace_of(job), label=(label, text(job, "spec", name))):
        same = text(other, "spec", "type") == text(job, "spec", "type")
        theirs = (text(other, "metadata", "creationTimestamp"), name_of(other))
        if same and is_active(other) and theirs < mine and not text(other, "spec", "skip"):
            return other
    return None


def _partial(job: Object) -> bool:
    return bool(_why_partial(job))


def _why_partial(job: Object) -> str:
    """Return what of what was asked for is not in the result; empty when all is."""
    reasons: list[str] = []
    lost = [each for each in items(job, "status", "volumes") if text(each, "state") == "FAILED"]
    reasons += [f"claim {text(each, 'namespace')}/{text(each, 'claim')}: {text(each, 'message')}" for each in lost]
    if said := text(job, "status", "hooks_message"):
        reasons.append(said)
    if missing := strings(job, "status", "missing_namespaces"):
        reasons.append(f"missing namespaces: {', '.join(missing)}")
    if said := text(job, "status", "resources_message"):
        reasons.append(f"resources: {said}")
    return "; ".join(_short(reasons))


def _short(reasons: Sequence[str]) -> list[str]:
    return [*reasons[:5], f"and {len(reasons) - 5} more"] if len(reasons) > 5 else list(reasons)
