"""What `bench_schedules` runs: one row per API. A new API adds a row here and nothing else.

A row says which objects surround the schedules, how the nth schedule looks for a cron expression, when it is ready, which
objects are starts of runs, and to which schedule a start belongs. Names of schedules are `s<number>`, in namespace `bench`.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from holdfast.cli.dialects import KINDS, resource_of
from holdfast.cli.install import addons
from holdfast.core.times import format_time
from holdfast.dialects.kubeblocks import rendering
from holdfast.dialects.kubestash import names
from holdfast.kube.builtin import JOBS, PODS, STATEFULSETS
from holdfast.kube.resource import Resource

Object = dict[str, Any]

NAMESPACE: Final = "bench"
DP: Final = "dataprotection.kubeblocks.io"


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One API. Of what is `around`, the status is written as well, as its own operator would.

    `owner` returns the schedule that a start belongs to, blank for none. Limits are seconds and MB.
    """

    resource: Resource
    count: int
    around: Sequence[tuple[Resource, Object]]
    schedule: Callable[[str, str], Object]
    ready: Callable[[Object], bool]
    ready_within: float
    started: Resource
    owner: Callable[[Object], str]
    started_within: float = 60.0
    memory: int = 200


def _resource(dialect: str, kind: str) -> Resource:
    return resource_of(next(spec for spec in KINDS[dialect] if spec.kind == kind))


def _antfly(name: str, cron: str) -> Object:
    spec = {"clusterRef": {"name": "db"}, "schedule": cron, "destination": {"location": "s3://bucket/backups"}}
    return {"apiVersion": "antfly.io/v1", "kind": "AntflyBackup", "metadata": _meta(name), "spec": spec}


def _antfly_cluster() -> Object:
    kind = {"apiVersion": "antfly.io/v1", "kind": "AntflyCluster"}
    return {**kind, "metadata": _meta("db"), "spec": {"image": "antfly:1"}, "status": {"phase": "Running"}}


def _meta(name: str) -> Object:
    return {"name": name, "namespace": NAMESPACE}


def _status(obj: Object, field: str) -> str:
    return str((obj.get("status") or {}).get(field, ""))


def _label(obj: Object, name: str) -> str:
    return (obj["metadata"].get("labels") or {}).get(name, "")


def _kubeblocks(name: str, cron: str) -> Object:
    entries = [{"backupMethod": "dump", "cronExpression": cron, "enabled": True, "name": name}]
    spec = {"backupPolicyName": "db", "schedules": entries}
    return _blocks("BackupSchedule", name, spec)


def _blocks(kind: str, name: str, spec: Object, status: Object | None = None) -> Object:
    meta = _meta(name) if _resource("kubeblocks", kind).namespaced else {"name": name}
    document = {"apiVersion": "dataprotection.kubeblocks.io/v1alpha1", "kind": kind, "metadata": meta, "spec": spec}
    return {**document, **({"status": status} if status else {})}


def _database() -> Object:
    """Return a pod that is ready, since nobody runs it here."""
    spec = {"containers": [{"name": "db", "image": "db:1"}], "nodeName": "nowhere"}
    status = {"phase": "Running", "podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]}
    meta = {**_meta("db-0"), "labels": {"app": "db"}}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec, "status": status}


def _around_kubeblocks() -> Sequence[tuple[Resource, Object]]:
    """Return what a backup needs: a policy, its action set, a pod, and a repository that counts as checked a moment ago."""
    provider = next(obj for obj in addons("kubeblocks") if obj["metadata"]["name"] == "pvc")
    given = {"storageProviderRef": "pvc", "accessMethod": "Mount", "pvReclaimPolicy": "Delete", "config": {}}
    checked = {"preCheckDigest": rendering.digest(_blocks("BackupRepo", "disk", given), provider), "phase": "Ready"}
    checked["lastPreCheckTime"] = format_time(datetime.now(UTC))
    passed = [{"type": type_, "status": "True", "reason": "Bench"} for type_ in ("PreCheckPassed", "BackupsRediscovered")]
    job = {"image": "db:1", "command": ["true"]}
    methods = [{"name": "dump", "actionSetName": "dump"}]
    target = {"podSelector": {"matchLabels": {"app": "db"}}}
    policy = {"backupRepoName": "disk", "backupMethods": methods, "target": target}
    return [
        (_resource("kubeblocks", "ActionSet"), _blocks("ActionSet", "dump", {"backup": {"backupData": job}})),
        (_resource("kubeblocks", "BackupRepo"), _blocks("BackupRepo", "disk", given, {**checked, "conditions": passed})),
        (_resource("kubeblocks", "BackupPolicy"), _blocks("BackupPolicy", "db", policy)),
        (PODS, _database()),
    ]


STASH: Final = 500
"""How many BackupConfigurations of KubeStash."""


def _stash(kind: str, name: str, spec: Object, status: Object | None = None) -> Object:
    resource = _resource("kubestash", kind)
    document = {"apiVersion": resource.api_version, "kind": kind, "metadata": _meta(name), "spec": spec}
    return {**document, **({"status": status} if status else {})}


def _initialized(type_: str) -> Object:
    """Return the status of what its Job has initialised, since no pod runs here."""
    judged = {"type": type_, "status": "True", "reason": f"{type_}ByBench", "message": "", "observedGeneration": 1}
    return {"phase": "Ready", "conditions": [{**judged, "lastTransitionTime": format_time(datetime.now(UTC))}]}


def _kubestash(name: str, cron: str) -> Object:
    """Return a BackupConfiguration with a Repository of its own."""
    mounts = [{"name": "data", "mountPath": "/data"}]
    task = {"name": "LogicalBackup", "params": {"paths": "/data"}, "targetVolumes": {"volumeMounts": mounts}}
    use = {"name": f"{name}-repo", "backend": "store", "directory": f"/{name}", "encryptionSecret": _meta("key")}
    session = {
        "name": "daily",
        "scheduler": {"schedule": cron, "jobTemplate": {"template": {}}},
        "addon": {"name": "workload-addon", "tasks": [task]},
        "repositories": [use],
    }
    backend = {"name": "store", "storageRef": _meta("store"), "retentionPolicy": _meta("keep")}
    target = {"apiGroup": "apps", "kind": "StatefulSet", **_meta("db")}
    return _stash("BackupConfiguration", name, {"backends": [backend], "sessions": [session], "target": target})


def _around_kubestash() -> Sequence[tuple[Resource, Object]]:
    """Return a storage and every Repository, initialised, a retention policy and the target. Addons are installed."""
    place = {"provider": "local", "local": {"mountPath": "/store", "persistentVolumeClaim": {"claimName": "store"}}}
    usage = {"usagePolicy": {"allowedNamespaces": {"from": "Same"}}}
    kept = {**usage, "maxRetentionPeriod": "1mo", "successfulSnapshots": {"last": 5}}
    container = {"name": "db", "image": "db:1", "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    labels = {"matchLabels": {"app": "db"}}
    template = {"metadata": {"labels": labels["matchLabels"]}, "spec": {"containers": [container]}}
    claim = {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
    claims = [{"metadata": {"name": "data"}, "spec": claim}]
    target = {"serviceName": "db", "selector": labels, "template": template, "volumeClaimTemplates": claims}
    workload = {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": _meta("db"), "spec": target}
    store = _stash("BackupStorage", "store", {"storage": place, **usage}, _initialized("BackendInitialized"))
    found = [
        (_resource("kubestash", "BackupStorage"), store),
        (_resource("kubestash", "RetentionPolicy"), _stash("RetentionPolicy", "keep", kept)),
        (STATEFULSETS, workload),
    ]
    found += [(_resource("kubestash", "Repository"), _stash_repository(f"s{number}")) for number in range(STASH)]
    return found


def _stash_repository(name: str) -> Object:
    """Return the Repository of a BackupConfiguration, as that will ask for it."""
    app = {"apiGroup": "apps", "kind": "StatefulSet", **_meta("db")}
    spec = {"storageRef": _meta("store"), "path": f"/{name}", "deletionPolicy": "Delete", "appRef": app}
    given = {**spec, "encryptionSecret": _meta("key")}
    return _stash("Repository", f"{name}-repo", given, _initialized("RepositoryInitialized"))


ROWS: Final = {
    "antfly": Row(
        resource=_resource("antfly", "AntflyBackup"),
        count=5000,
        around=[(_resource("antfly", "AntflyCluster"), _antfly_cluster())],
        schedule=_antfly,
        ready=lambda obj: _status(obj, "phase") == "Active" and bool(_status(obj, "nextScheduledBackup")),
        ready_within=60.0,
        started=JOBS,
        owner=lambda job: _label(job, "antfly.io/backup"),
    ),
    "kubeblocks": Row(
        resource=_resource("kubeblocks", "BackupSchedule"),
        count=1000,
        around=_around_kubeblocks(),
        schedule=_kubeblocks,
        ready=lambda obj: _status(obj, "phase") == "Available",
        ready_within=20.0,
        started=JOBS,
        owner=lambda job: _label(job, f"{DP}/backup-schedule") if _label(job, f"{DP}/backup-name") else "",
    ),
    "kubestash": Row(
        resource=_resource("kubestash", "BackupConfiguration"),
        count=STASH,
        around=_around_kubestash(),
        schedule=_kubestash,
        ready=lambda obj: _status(obj, "phase") == "Ready",
        ready_within=30.0,
        started=JOBS,
        owner=lambda job: _label(job, names.INVOKER_NAME) if _label(job, names.SESSION_NAME) else "",
    ),
}
"""The rows by name."""
