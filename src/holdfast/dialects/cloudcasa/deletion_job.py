"""DELETE_BACKUP: removes the data of a recovery point, in the objectstore or as VolumeSnapshots. The point goes after it.

Or it removes what a job that did not end well has left in the objectstore (see `tidying`).
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

from holdfast.core.calls import Forget, Forgotten, Retention
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Desired, Doomed, Phase, Plan, RunKind, Step
from holdfast.core.ports import Outcome, View
from holdfast.core.read import items, mapping, name_of, namespace_of, strings, text
from holdfast.dialects.cloudcasa import pods, points, stores
from holdfast.dialects.cloudcasa.handler import documents_of
from holdfast.dialects.cloudcasa.kinds import VOLUME_SNAPSHOT

LIMIT: Final = timedelta(hours=6)
_NAME: Final = "delete"


class DeletionJob:
    """The work of DELETE_BACKUP."""

    def start(self, job: Object, view: View, now: datetime) -> Object:
        """Write down what is to go."""
        documents = documents_of(job, view)
        if left := mapping(job, "spec", "leftovers"):
            store = text(left, "objectstore")
            if documents.get("objectstores", store) is None:
                return {"state": "COMPLETED", "message": f"objectstore {store} is gone, and with it what was left there"}
            return {"state": "RUNNING", "objectstore": store, "message": "removes what is left"}
        point = documents.get("backupinstances", text(job, "spec", "backup_inst"))
        if point is None:
            return {"state": "COMPLETED", "message": "the recovery point is gone"}
        status: Object = {"state": "RUNNING", "volumes": _snapshots(point), "message": "removes the data"}
        status["snapshot_ids"] = list(points.snapshots_of(point))
        store = text(point, "spec", "objectstore")
        if not store or not status["snapshot_ids"]:
            return status
        if documents.get("objectstores", store) is None:
            return {**status, "state": "FAILED", "message": f"objectstore {store} is gone: its data can't be reached"}
        return {**status, "objectstore": store}

    def desired(self, job: Object, view: View, now: datetime) -> Desired:
        """Forget what is in the objectstore, and delete the VolumeSnapshots."""
        store = documents_of(job, view).get("objectstores", text(job, "status", "objectstore"))
        plans = (_plan(job, store),) if store is not None else ()
        doomed = tuple(
            Doomed(Ref(VOLUME_SNAPSHOT, text(each, "namespace"), text(each, "volume_snapshot")), "its recovery point goes")
            for each in items(job, "status", "volumes")
        )
        return Desired(runs=plans, doomed=doomed)

    def status(self, job: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return how far it is."""
        status, run = mapping(job, "status"), outcome.runs.get(_NAME)
        left = [each for each in items(status, "volumes") if _exists(each, view)]
        if left:
            return {**status, "message": f"{len(left)} VolumeSnapshots are still there"}
        if run is None and text(status, "objectstore"):
            return {**status, "state": "FAILED", "message": f"objectstore {text(status, 'objectstore')} is gone"}
        if run is None or run.phase is Phase.SUCCEEDED:
            return {**status, "state": "COMPLETED", "message": "the data is gone"}
        if run.phase.terminal:
            return {**status, "state": "FAILED", "message": run.message or run.reason}
        return {**status, "message": run.message or "removes the data"}


def _exists(volume: Object, view: View) -> bool:
    return view.get(VOLUME_SNAPSHOT, text(volume, "namespace"), text(volume, "volume_snapshot")) is not None


def _snapshots(point: Object) -> list[Object]:
    """Return the claims whose VolumeSnapshots belong to a point; those that a copy was made of belong to another."""
    if text(point, "spec", "type") != "SNAPSHOT":
        return []
    return [each for each in items(points.info_of(point), "volumes") if text(each, "volume_snapshot")]


def _plan(job: Object, store: Object) -> Plan:
    left, repository = mapping(job, "spec", "leftovers"), stores.repository_of(store, lock_days=1)
    if left:
        wanted = Forget(repository, tags=tuple(strings(left, "tags")), keep=tuple(strings(left, "keep")))
    else:
        gone = Forgotten(text(job, "spec", "backup_inst"), tuple(strings(job, "status", "snapshot_ids")))
        wanted = Forget(repository, (gone,))
    call = Retention((wanted,)).call(stores.secrets_of(name_of(store)))
    child = pods.job(f"cloudcasa-delete-{name_of(job)[:12]}", namespace_of(job))
    step = Step(name=_NAME, child=child, mover=call, deadline=LIMIT)
    return Plan(name=_NAME, kind=RunKind.RETENTION, steps=(step,))
