"""The Kubernetes resources of the namespaces, saved into the objectstore's repository by a mover that may read these.

Its account may read everything in these namespaces, and outside of them only the kinds of `core.belongings`, of which it saves
what belongs to them. Both rights go with the job.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core.access import CLUSTER_READ_ROLE, cluster_binding, manifests_access, run_as
from holdfast.core.cluster_calls import ManifestsBackup
from holdfast.core.labels import OWNER_UID
from holdfast.core.manifests import Selection
from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Phase, Plan, RunKind, Step
from holdfast.core.ports import Outcome
from holdfast.core.read import name_of, namespace_of, strings, text, uid_of
from holdfast.dialects.cloudcasa import pods, stores

LIMIT: Final = timedelta(hours=2)
_NAME: Final = "resources"


def wanted(job: Object, store: Object) -> Desired:
    """Return the plan that saves the resources; nothing once it is known what became of it."""
    if ended(job):
        return Desired()
    account = f"cloudcasa-resources-{name_of(job)[:12]}"
    child = pods.job(account, namespace_of(job))
    run_as(child, account)
    places = tuple(strings(job, "status", "namespaces"))
    call = ManifestsBackup(
        selection=Selection(namespaces=places),
        belongings=True,
        repository=stores.repository_of(store, lock_days=stores.lock_of(job)),
        host=text(job, "spec", "cluster"),
        tags=("cloudcasa", f"job={name_of(job)}"),
    ).call(stores.secrets_of(name_of(store)))
    step = Step(name=_NAME, child=child, mover=call, deadline=LIMIT)
    home, labels = namespace_of(job), {OWNER_UID: uid_of(job)}
    access = manifests_access(account, home, namespaces=places, labels=labels)
    around = cluster_binding(CLUSTER_READ_ROLE, account, home, labels=labels)
    return Desired(children=(*access, around), runs=(Plan(name=_NAME, kind=RunKind.BACKUP, steps=(step,)),))


def seen(job: Object, outcome: Outcome) -> Object:
    """Return what became of the resources, once that is known."""
    run = outcome.runs.get(_NAME)
    if run is None or not run.phase.terminal:
        return {}
    report = run.steps[_NAME].report
    result = report.results[0] if report and report.results else None
    if run.phase is Phase.SUCCEEDED and result is not None and result.snapshot_ids:
        return {
            "resources": result.snapshot_ids[0],
            "num_backup_resources": result.files,
            "total_backup_resources": result.files,
        }
    found: Object = {"resources_message": run.message or run.reason or "the mover does not say which snapshot it wrote"}
    if result is not None and result.snapshot_ids:
        found |= {"resources": result.snapshot_ids[0], "num_backup_resources": result.files}
    return found


def ended(job: Object) -> bool:
    """Whether it is known what became of the resources."""
    return bool(text(job, "status", "resources") or text(job, "status", "resources_message"))
