"""KUBE_RESTORE: claims first, each filled and read back, then the resources, so that an application starts with its data.

A claim that exists is left alone and counts as a failure, unless `overwrite` is set. Resources come back only after every
claim has: a partial restore is not handed to an application. Hooks run last of all; what the whole
cluster shares comes before anything else, and only when it is asked for.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.access import manifests_access, run_as
from holdfast.core.calls import VolumeRestore
from holdfast.core.cluster_calls import ManifestsRestore
from holdfast.core.labels import OWNER_UID
from holdfast.core.manifests import Changes, Selection
from holdfast.core.objects import Object, Ref
from holdfast.core.plan import Child, Desired, Doomed, Phase, Plan, Run, RunKind, SecretCopy, Step
from holdfast.core.ports import Outcome, View
from holdfast.core.read import at, flag, items, mapping, name_of, namespace_of, number, strings, text, uid_of
from holdfast.dialects.cloudcasa import cluster_step, kinds, pods, points, restore_hooks, stores
from holdfast.dialects.cloudcasa.handler import documents_of
from holdfast.dialects.cloudcasa.volume_copy import path_of

LIMIT: Final = timedelta(hours=24)
CLAIM_LIMIT: Final = timedelta(minutes=30)
_RESOURCES: Final = "resources"
_SECRET: Final = kinds.Kind("", "Secret")


class RestoreJob:
    """The work of KUBE_RESTORE."""

    def start(self, job: Object, view: View, now: datetime) -> Object:
        """Write down which claims and resources come back, and under which names."""
        documents = documents_of(job, view)
        restore = documents.get("kuberestores", text(job, "spec", "restoredef"))
        point = documents.get("backupinstances", text(job, "spec", "backup_inst"))
        if restore is None or point is None or documents.get("kubeclusters", text(job, "spec", "cluster")) is None:
            return _failed("its definition or the recovery point is gone")
        info, store = points.info_of(point), text(point, "spec", "objectstore")
        if store and documents.get("objectstores", store) is None:
            return _failed(f"objectstore {store} is gone")
        chosen, missing = _namespaces(restore, info)
        if missing:
            return _failed(f"the recovery point has no namespace {', '.join(missing)}")
        renamed = {text(each, "source"): text(each, "target") for each in items(restore, "spec", "namespace_mappings")}
        if strange := [name for name in renamed if name not in chosen]:
            return _failed(f"namespace_mappings name {', '.join(strange)}, which the recovery point does not have")
        claims = [
            {**each, "state": "PENDING", "target": renamed.get(text(each, "namespace"), text(each, "namespace"))}
            for each in items(info, "volumes")
            if text(each, "namespace") in chosen and at(restore, "spec", "restore_pvs") is not False
        ]
        rules = restore_hooks.rules(restore, chosen, renamed, documents)
        if isinstance(rules, str):
            return _failed(rules)
        resources = text(info, "resources")
        status: Object = {
            "state": "RUNNING",
            "volumes": claims,
            "namespaces": chosen,
            "mappings": [{"source": name, "target": to} for name, to in renamed.items() if name in chosen],
            "overwrite": flag(restore, "spec", "overwrite"),
            "message": f"restores {len(claims)} claims of {len(chosen)} namespaces",
            **({"hook_rules": rules} if rules else {}),
            **cluster_step.first(restore, resources),
        }
        return {**status, **({"objectstore": store} if store else {}), **({"snapshot_ids": [resources]} if resources else {})}

    def desired(self, job: Object, view: View, now: datetime) -> Desired:
        """Make what the whole cluster shares, if asked to; fill the claims; then make the resources."""
        store = documents_of(job, view).get("objectstores", text(job, "status", "objectstore"))
        if cluster_step.pending(job):
            return cluster_step.wanted(job, store) if store is not None else Desired()
        claims = items(job, "status", "volumes")
        going = [index for index, each in enumerate(claims) if not _ended(each)]
        fills = (each for index, claim in enumerate(claims) if _ended(claim) for each in _left(job, index, claim))
        left = (*cluster_step.left(job), *fills)
        if text(job, "status", "restored"):
            return msgspec.structs.replace(restore_hooks.wanted(job, now), doomed=left)
        if not going:
            resources = _resources(job, store) if store is not None and not _lost(job) else Desired()
            return Desired(children=resources.children, runs=resources.runs, doomed=left)
        targets = sorted({text(each, "target") for each in claims})
        spaces = (*(Child(_namespace(name), create_only=True) for name in targets), *(_anchor(job, name) for name in targets))
        anchors = {name: view.get(kinds.CONFIG_MAP, name, _anchor_name(job)) for name in targets}
        ready = [index for index in going if anchors[text(claims[index], "target")] is not None]
        plans = tuple(plan for index in ready if (plan := _plan(job, index, claims[index], store, view)) is not None)
        copies = tuple(_secret(job, store, name, anchor) for name, anchor in anchors.items() if store is not None and anchor)
        return Desired(children=spaces, runs=plans, secret_copies=copies, doomed=left)

    def status(self, job: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return how far it is."""
        if cluster_step.pending(job):
            return {**mapping(job, "status"), **cluster_step.seen(outcome)}
        return cluster_step.ended(job, _status(job, view, outcome, now))


def _status(job: Object, view: View, outcome: Outcome, now: datetime) -> Object:
    """Return how far the claims, the resources and the hooks are."""
    status = dict(mapping(job, "status"))
    if text(status, "restored"):
        return {**status, **restore_hooks.seen(job, view, outcome, now)}
    claims = list(items(job, "status", "volumes"))
    for index, claim in enumerate(claims):
        if not _ended(claim):
            claims[index] = _seen(job, index, claim, outcome.runs.get(f"claim-{index}"), view)
    status["volumes"] = claims
    done = sum(1 for claim in claims if _ended(claim))
    if done < len(claims):
        return {**status, "message": f"{done} of {len(claims)} claims restored"}
    if lost := _lost({"status": status}):
        return {**status, "state": "FAILED", "message": f"resources were left alone: {lost}"}
    if not strings(status, "snapshot_ids"):
        return _restored(status, f"{len(claims)} claims restored; the point has no resources")
    run = outcome.runs.get(_RESOURCES)
    if run is None or not run.phase.terminal:
        return {**status, "message": (run.message if run else "") or "restores resources"}
    if run.phase is Phase.SUCCEEDED:
        return _restored(status, f"{len(claims)} claims restored; {_made(run)}")
    unhooked = "; its hooks were not run" if status.get("hook_rules") else ""
    said = f"{len(claims)} claims restored; resources: {run.message or run.reason}{unhooked}"
    return {**status, "state": "PARTIAL", "message": said}


def _failed(message: str) -> Object:
    return {"state": "FAILED", "message": message}


def _restored(status: Object, said: str) -> Object:
    """Return the status of a job that brought everything back: it ends, unless commands are to run in the pods."""
    if status.get("hook_rules"):
        return {**status, "restored": said, "message": said}
    return {**status, "state": "COMPLETED", "message": said}


def _namespaces(restore: Object, info: Object) -> tuple[list[str], list[str]]:
    """Return the namespaces to restore, and those that were named and are not in the point."""
    there = strings(info, "namespaces")
    if flag(restore, "spec", "all_namespaces"):
        return there, []
    wanted = strings(restore, "spec", "namespaces")
    return [name for name in wanted if name in there], [name for name in wanted if name not in there]


def _resources(job: Object, store: Object) -> Desired:
    idents = strings(job, "status", "snapshot_ids")
    if not idents:
        return Desired()
    name = f"cloudcasa-restore-{name_of(job)[:12]}"
    child = pods.job(name, namespace_of(job))
    run_as(child, name)
    renamed = cluster_step.renamed(job)
    places = tuple(strings(job, "status", "namespaces"))
    targets = tuple(sorted({renamed.get(place, place) for place in places}))
    call = ManifestsRestore(
        selection=Selection(namespaces=places),
        changes=Changes(namespaces=renamed),
        repository=stores.repository_of(store),
        snapshot_id=idents[0],
        override=flag(job, "status", "overwrite"),
        skip=_SKIPPED,
    ).call(stores.secrets_of(name_of(store)))
    labels = {OWNER_UID: uid_of(job)}
    access = manifests_access(name, namespace_of(job), write=True, namespaces=targets, labels=labels)
    step = Step(name=_RESOURCES, child=child, mover=call, deadline=LIMIT)
    spaces = tuple(Child(_namespace(target), create_only=True) for target in targets)
    return Desired(children=(*spaces, *access), runs=(Plan(name=_RESOURCES, kind=RunKind.RESTORE, steps=(step,)),))


_SKIPPED: Final = (
    "persistentvolumes",
    "volumesnapshots.snapshot.storage.k8s.io",
    "volumesnapshotcontents.snapshot.storage.k8s.io",
)
"""What belongs to the storage of the cluster that was backed up."""


def _object(job: Object, index: int) -> str:
    return f"cloudcasa-{name_of(job)[:12]}-{index}"


def _plan(job: Object, index: int, claim: Object, store: Object | None, view: View) -> Plan | None:
    """Return the plan of one claim: the claim itself, and a mover that fills it unless it is made of a snapshot."""
    if _in_the_way(job, claim, view):
        return None
    steps = [Step(name="claim", child=_claim(job, claim), deadline=CLAIM_LIMIT, outlives=True)]
    if text(claim, "snapshot_id") and store is not None:
        steps.append(_fill(job, index, claim, store))
    return Plan(name=f"claim-{index}", kind=RunKind.RESTORE, steps=tuple(steps))


def _fill(job: Object, index: int, claim: Object, store: Object) -> Step:
    volume: Object = {"name": "data", "persistentVolumeClaim": {"claimName": text(claim, "claim")}}
    mount: Object = {"name": "data", "mountPath": path_of(claim)}
    child = pods.job(_object(job, index), text(claim, "target"), volumes=(volume,), mounts=(mount,), rights=pods.RESTORE_RIGHTS)
    call = VolumeRestore(stores.repository_of(store), (text(claim, "snapshot_id"),), target="/").call(
        stores.secrets_of(name_of(store), _anchor_name(job))
    )
    return Step(name="fill", child=child, mover=call, needs=("claim",), deadline=LIMIT)


def _claim(job: Object, claim: Object) -> Object:
    spec: Object = {
        "accessModes": claim.get("access_modes") or ["ReadWriteOnce"],
        "resources": {"requests": {"storage": text(claim, "size", default="1Gi")}},
    }
    if kind := text(claim, "storage_class"):
        spec["storageClassName"] = kind
    if not text(claim, "snapshot_id"):
        name = text(claim, "volume_snapshot")
        spec["dataSource"] = {"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": name}
    meta: Object = {"name": text(claim, "claim"), "namespace": text(claim, "target"), "annotations": {kinds.OUTLIVES: "true"}}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": meta, "spec": spec}


def _namespace(name: str) -> Object:
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}


def _anchor_name(job: Object) -> str:
    return f"cloudcasa-{name_of(job)[:12]}"


def _anchor(job: Object, namespace: str) -> Child:
    """Return the object that a copy of the store's Secret belongs to, so that it goes when the job has ended."""
    meta: Object = {"name": _anchor_name(job), "namespace": namespace, "labels": {OWNER_UID: uid_of(job)}}
    return Child({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}, create_only=True)


def _secret(job: Object, store: Object, namespace: str, anchor: Object) -> SecretCopy:
    source = Ref(_SECRET, namespace_of(job), kinds.secret_name(name_of(store)))
    return SecretCopy(source, Ref(_SECRET, namespace, _anchor_name(job)), owner=anchor)


def _left(job: Object, index: int, claim: Object) -> tuple[Doomed, ...]:
    return (Doomed(Ref(kinds.JOB, text(claim, "target"), _object(job, index)), "its claim has been dealt with"),)


def _in_the_way(job: Object, claim: Object, view: View) -> bool:
    """Whether a claim of this name is there that this job did not make."""
    found = view.get(kinds.CLAIM, text(claim, "target"), text(claim, "claim"))
    return found is not None and text(found, "metadata", "labels", OWNER_UID) != uid_of(job)


def _ended(claim: Object) -> bool:
    return text(claim, "state") not in kinds.ACTIVE_STATES


def _seen(job: Object, index: int, claim: Object, run: Run | None, view: View) -> Object:
    if run is None:
        if _in_the_way(job, claim, view):
            return {
                **claim,
                "state": "FAILED",
                "message": "exists already: restore it under another namespace, or remove it first",
            }
        return claim
    if run.phase is Phase.SUCCEEDED:
        return {**claim, "state": "COMPLETED"}
    return {**claim, "state": "FAILED", "message": run.message or run.reason} if run.phase.terminal else claim


def _lost(job: Object) -> str:
    """Return what kept a claim from coming back; empty when all are there."""
    lost = [each for each in items(job, "status", "volumes") if text(each, "state") == "FAILED"]
    return "; ".join(f"claim {text(each, 'target')}/{text(each, 'claim')}: {text(each, 'message')}" for each in lost[:5])


def _made(run: Run) -> str:
    """Return what the mover says of the kinds it made, in short."""
    report = run.steps[_RESOURCES].report
    count = number({"files": report.results[0].files}, "files") if report and report.results else 0
    return f"{count} resources read"
