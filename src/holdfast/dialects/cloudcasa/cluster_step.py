"""What a restore makes outside of namespaces when it is asked to: first of all, since everything else may need it.

Definitions, Namespaces with their labels, StorageClasses and cluster roles of the recovery point are made where they are
missing; one that exists is never changed, whatever `overwrite` says. The account that makes them has the right only meanwhile.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from holdfast.core.access import CLUSTER_WRITE_ROLE, account_for, run_as
from holdfast.core.belongings import NAMESPACES, RESTORED
from holdfast.core.cluster_calls import ManifestsRestore
from holdfast.core.labels import OWNER_UID
from holdfast.core.manifests import Changes, Selection
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Desired, Doomed, Phase, Plan, RunKind, Step
from holdfast.core.ports import Outcome
from holdfast.core.read import items, name_of, namespace_of, strings, text, uid_of
from holdfast.dialects.cloudcasa import kinds, pods, stores

LIMIT: Final = timedelta(minutes=30)
_NAME: Final = "cluster"
_NAME_LABEL: Final = "kubernetes.io/metadata.name"
"""Label that every cluster puts on a Namespace: its name."""


def first(restore: Object, resources: str) -> Object:
    """Return the fields of a job's first status: whether there is something to make."""
    asked = restore["spec"].get("cluster_resources") is True
    return {"cluster_resources": "PENDING"} if asked and resources else {}


def pending(job: Object) -> bool:
    """Whether that is still to be done."""
    return text(job, "status", "cluster_resources") == "PENDING"


def wanted(job: Object, store: Object) -> Desired:
    """Return the plan that makes what is missing."""
    account = _account(job)
    child = pods.job(account, namespace_of(job))
    run_as(child, account)
    chosen = {"key": _NAME_LABEL, "operator": "In", "values": strings(job, "status", "namespaces")}
    spaces = Selection(resources=(NAMESPACES,), selector={"matchExpressions": [chosen]}, cluster_resources=True)
    call = ManifestsRestore(
        selection=Selection(resources=RESTORED, exclude_resources=(NAMESPACES,), cluster_resources=True),
        also=(spaces,),
        changes=Changes(namespaces=renamed(job)),
        repository=stores.repository_of(store),
        snapshot_id=strings(job, "status", "snapshot_ids")[0],
    ).call(stores.secrets_of(name_of(store)))
    access = account_for(CLUSTER_WRITE_ROLE, account, "", job_namespace=namespace_of(job), labels={OWNER_UID: uid_of(job)})
    step = Step(name=_NAME, child=child, mover=call, deadline=LIMIT)
    return Desired(children=access, runs=(Plan(name=_NAME, kind=RunKind.RESTORE, steps=(step,)),))


def seen(outcome: Outcome) -> Object:
    """Return what became of it, once that is known."""
    run = outcome.runs.get(_NAME)
    if run is None or not run.phase.terminal:
        return {"message": (run.message if run else "") or "makes cluster resources"}
    report = run.steps[_NAME].report
    made = report.results[0].files if report and report.results else 0
    if run.phase is Phase.SUCCEEDED:
        return {"cluster_resources": "COMPLETED", "message": f"{made} cluster resources made"}
    return {
        "cluster_resources": "PARTIAL",
        "message": f"{made} cluster resources made",
        "cluster_message": run.message or run.reason,
    }


def ended(job: Object, status: Object) -> Object:
    """Return the status of a job that goes well without them as one that says what is missing."""
    trouble = text(job, "status", "cluster_message")
    if not trouble or text(status, "state") != "COMPLETED":
        return status
    return {**status, "state": "PARTIAL", "message": f"{text(status, 'message')}; cluster resources: {trouble}"}


def left(job: Object) -> tuple[Doomed, ...]:
    """Return the right that nobody needs any more."""
    if text(job, "status", "cluster_resources") in ("", "PENDING"):
        return ()
    return (Doomed(Ref(kinds.CLUSTER_ROLE_BINDING, "", _account(job)), "its cluster resources have been dealt with"),)


def renamed(job: Object) -> dict[str, str]:
    """Return the new names of a job's namespaces by the old ones."""
    return {text(each, "source"): text(each, "target") for each in items(job, "status", "mappings")}


def _account(job: Object) -> str:
    return f"cloudcasa-cluster-{name_of(job)[:12]}"
