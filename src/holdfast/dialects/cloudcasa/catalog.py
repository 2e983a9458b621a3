"""The list of copies in the objectstore itself: with it a fresh installation finds them with nothing but the store.

What a point holds is backed up as one small file of the encrypted repository, with a tag by which `holdfast rest import` finds
it. Only then is the point made: what is listed here is listed there.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.calls import VolumeBackup
from holdfast.core.labels import OWNER_UID
from holdfast.core.objects import Object
from holdfast.core.plan import Child, Desired, Phase, Plan, RunKind, Step
from holdfast.core.ports import Outcome, View
from holdfast.core.read import mapping, name_of, namespace_of, text, uid_of
from holdfast.dialects.cloudcasa import pods, points, stores
from holdfast.dialects.cloudcasa.kinds import BACKUPINSTANCE

TAG: Final = "cloudcasa-point"
FOLDER: Final = "/catalog"
FILE: Final = "point.json"
LIMIT: Final = timedelta(minutes=30)
_NAME: Final = "catalog"


def wanted(job: Object, store: Object, view: View, now: datetime) -> Desired:
    """Return the plan that lists the copy, and once it is listed the point."""
    url = stores.url_of(mapping(store, "spec"))
    point = points.copy_point(job, now, url)
    if view.get(BACKUPINSTANCE, namespace_of(job), name_of(point)) is not None:
        return Desired()
    name = f"cloudcasa-catalog-{name_of(job)[:12]}"
    seen = view.step(namespace_of(job), name)
    if seen.phase is Phase.SUCCEEDED:
        listed = [ident for result in (seen.report.results if seen.report else ()) for ident in result.snapshot_ids]
        made = points.copy_point(job, now, url, listed)
        return Desired(children=(Child(made, create_only=True),), runs=(_plan(job, name, point, store),))
    meta: Object = {"name": name, "namespace": namespace_of(job), "labels": {OWNER_UID: uid_of(job)}}
    listed = msgspec.json.encode({"_id": name_of(point), **mapping(point, "spec")}, order="deterministic").decode()
    document: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta, "data": {FILE: listed}}
    return Desired(children=(Child(document, create_only=True),), runs=(_plan(job, name, point, store),))


def failure(outcome: Outcome) -> str:
    """Return why the copy could not be listed; empty while it is, or when it was."""
    run = outcome.runs.get(_NAME)
    return (run.message or run.reason) if run is not None and run.phase is Phase.FAILED else ""


def _plan(job: Object, name: str, point: Object, store: Object) -> Plan:
    volume: Object = {"name": "point", "configMap": {"name": name}}
    mount: Object = {"name": "point", "mountPath": f"{FOLDER}/{FILE}", "subPath": FILE, "readOnly": True}
    call = VolumeBackup(
        repositories=(stores.repository_of(store, lock_days=stores.lock_of(job)),),
        paths=(FOLDER,),
        host=text(job, "spec", "cluster"),
        tags=("cloudcasa", TAG, f"point={name_of(point)}"),
    ).call(stores.secrets_of(name_of(store)))
    child = pods.job(name, namespace_of(job), volumes=(volume,), mounts=(mount,))
    return Plan(name=_NAME, kind=RunKind.BACKUP, steps=(Step(name=_NAME, child=child, mover=call, deadline=LIMIT),))
