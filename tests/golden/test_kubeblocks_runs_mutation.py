"""Every spec field of KubeBlocks' ActionSets, policies, Backups and Restores does something, or is refused."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from tests.fields.ledger import rows
from tests.fields.mutation import differences, unread
from tests.fields.scene import Scene, made
from tests.unit.kubeblocks.memory import provider, thing

from holdfast.core.objects import Object, kind_of
from holdfast.core.plan import Problems
from holdfast.core.ports import Outcome
from holdfast.dialects.kubeblocks.dialect import KubeBlocks
from holdfast.dialects.kubeblocks.types import KINDS

NOW = datetime(2026, 11, 20, 13, 42, 30, tzinfo=UTC)
BORN = "2026-11-20T13:40:00Z"
JUDGED = ("ActionSet", "BackupPolicy", "Backup", "Restore")


class Stepped(Scene):
    """A scene in which runs go one step further: what a new Backup or Restore records, its next pass goes by."""

    def swapped(self, obj: Object) -> Stepped:
        again = super().swapped(obj)
        return Stepped(again.objects.values(), KubeBlocks().handlers, NOW)

    def _judged(self, obj: Object) -> Any:
        first = super()._judged(obj)
        if kind_of(obj).kind not in ("Backup", "Restore") or obj.get("status"):
            return first
        handler = next(each for each in KubeBlocks().handlers if each.kind == kind_of(obj))
        if isinstance(first[0], Problems):
            return first
        status = handler.project(obj, self, Outcome(), NOW)
        desired, conditions = super()._judged({**obj, "status": status})
        return desired, [*conditions, first, status.get("phase"), status.get("failureReason"), status.get("conditions")]


def job(**more: Any) -> Object:
    return {"image": "db:$(TAG)", "command": ["save"], **more}


def action_set(name: str, type_: str, **more: Any) -> Object:
    schema = {"openAPIV3Schema": {"type": "object", "properties": {"speed": {"type": "string"}}}}
    exec_ = {"exec": {"command": ["freeze"], "container": "db", "timeout": "30s"}}
    hooks = [exec_, {"job": job(runOnTargetPodNode=True)}]
    return thing(
        "ActionSet",
        name,
        backupType=type_,
        env=[{"name": "TAG", "value": "1"}],
        envFrom=[{"configMapRef": {"name": "set"}}],
        parametersSchema=schema,
        backup={
            "backupData": job(runOnTargetPodNode=True, syncProgress={"enabled": True, "intervalSeconds": 5}),
            "preBackup": hooks,
            "postBackup": hooks,
            "preDelete": job(),
            "withParameters": ["speed"],
        },
        restore={"prepareData": job(), "postReady": hooks, "withParameters": ["speed"], **more},
    )


def policy(name: str = "shop", **spec: Any) -> Object:
    login = {"secretName": "login", "hostKey": "host", "portKey": "port"}
    selector = {"matchLabels": {"app": "db"}}
    target = {"podSelector": selector, "connectionCredential": login, "serviceAccountName": "worker"}
    volumes = {"volumes": ["data"], "volumeMounts": [{"name": "data", "mountPath": "/data"}]}
    method = {
        "actionSetName": "dump",
        "targetVolumes": volumes,
        "env": [{"name": "A", "value": "b"}],
        "runtimeSettings": {"resources": {"limits": {"cpu": "1"}}},
    }
    given: dict[str, Any] = {"target": target, **spec}
    return thing(
        "BackupPolicy",
        name,
        backupRepoName="disk",
        pathPrefix="/shop",
        backoffLimit=1,
        **{key: value for key, value in given.items() if value},
        useKopia=True,
        backupMethods=[
            {"name": "full", **method},
            {"name": "own", **method, "target": {**target, "podSelector": {"matchLabels": {"app": "db"}, "strategy": "All"}}},
            {"name": "inc", **method, "actionSetName": "more", "compatibleMethod": "full"},
            {"name": "snap", **method, "snapshotVolumes": True},
        ],
    )


def pod(name: str) -> Object:
    return made(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {"name": name, "namespace": "default", "labels": {"app": "db"}},
            "spec": {
                "nodeName": "here",
                "containers": [{"name": "db", "image": "db", "ports": [{"name": "sql", "containerPort": 5}]}],
                "volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": name}}],
            },
            "status": {"podIP": "10.0.0.1", "conditions": [{"type": "Ready", "status": "True"}]},
        },
        creationTimestamp=BORN,
    )


def repository() -> Object:
    spec = {"storageProviderRef": "pvc", "accessMethod": "Mount", "pvReclaimPolicy": "Retain"}
    return {**thing("BackupRepo", "disk", **spec), "status": {"phase": "Ready"}}


def backup(name: str, method: str, **spec: Any) -> Object:
    return thing("Backup", name, backupPolicyName="shop", backupMethod=method, **spec)


def completed(name: str, type_: str, **status: Any) -> Object:
    labels = {"dataprotection.kubeblocks.io/backup-type": type_, "dataprotection.kubeblocks.io/backup-policy": "shop"}
    found = backup(name, "full")
    found["metadata"]["labels"] = labels
    method = {
        "name": "full",
        "actionSetName": "dump",
        "targetVolumes": {"volumeMounts": [{"name": "data", "mountPath": "/data"}]},
    }
    span = {"start": "2026-11-20T10:00:00Z", "end": "2026-11-20T12:00:00Z"}
    target = {"podSelector": {"matchLabels": {"app": "db"}}, "selectedTargetPods": ["db-0"]}
    known = {"phase": "Completed", "backupRepoName": "disk", "path": f"/default/{name}", "timeRange": span, "target": target}
    return {**found, "status": {**known, "backupMethod": method, **status}}


def restore(name: str, source: str, **spec: Any) -> Object:
    return thing("Restore", name, backup={"name": source, "namespace": "default"}, **spec)


ELSEWHERE = {
    "ActionSet spec.restore.prepareData.runOnTargetPodNode": "a claim that is filled has no pod yet beside which to run",
    "Restore spec.prepareDataConfig.dataSourceRef.mountPath": "read when a claim is populated: see test_kubeblocks_restore.py",
    "Restore spec.prepareDataConfig.dataSourceRef.volumeSource": "read when a claim is populated: see there",
    "Restore spec.readyConfig.readinessProbe.periodSeconds": "counts after a try that failed: see there",
}

CLAIM = {
    "metadata": {"name": "again", "labels": {"a": "b"}},
    "volumeSource": "data",
    "mountPath": "/data",
    "volumeClaimSpec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
}


def restores() -> Sequence[Object]:
    pods = {"matchLabels": {"app": "db"}}
    ready = {
        "execAction": {"target": {"podSelector": pods}},
        "jobAction": {"target": {"podSelector": pods, "volumeMounts": [{"name": "data", "mountPath": "/data"}]}},
        "connectionCredential": {"secretName": "login", "hostKey": "host", "portKey": "port"},
    }
    probe = {**ready, "readinessProbe": {"exec": {"image": "db", "command": ["ping"]}, "periodSeconds": 3, "timeoutSeconds": 2}}
    placed: dict[str, Any] = {
        "tolerations": [{"key": "a"}],
        "nodeSelector": {"a": "b"},
        "nodeName": "here",
        "affinity": {"nodeAffinity": {}},
        "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "a", "whenUnsatisfiable": "DoNotSchedule"}],
        "schedulerName": "mine",
    }
    pattern = {"templates": [CLAIM], "replicas": 2, "startingIndex": 1}
    common = {"serviceAccountName": "worker", "env": [{"name": "A", "value": "c"}], "backoffLimit": 1}
    return (
        restore(
            "claims",
            "done",
            prepareDataConfig={"volumeClaims": [CLAIM], "schedulingSpec": placed, "volumeClaimRestorePolicy": "Parallel"},
            containerResources={"limits": {"cpu": "1"}},
            parameters=[{"name": "speed", "value": "1"}],
            **common,
        ),
        restore("sets", "done", prepareDataConfig={"volumeClaimsTemplate": pattern, "volumeClaimRestorePolicy": "Serial"}),
        restore("moment", "log", restoreTime="2026-11-20T11:00:00Z", prepareDataConfig={"volumeClaims": [CLAIM]}),
        restore("ready", "done", readyConfig=ready),
        restore("probed", "done", readyConfig=probe),
        restore("source", "done", prepareDataConfig={"dataSourceRef": {"volumeSource": "data", "mountPath": "/data"}}),
    )


def scenes() -> Sequence[Scene]:
    """Small ones, since each field is changed in each of them until something moves."""
    earlier = {"timeRange": {"start": "2026-11-20T10:00:00Z", "end": "2026-11-20T10:30:00Z"}}
    repo, pods, dump = (provider("pvc"), repository()), (pod("db-0"), pod("db-1")), action_set("dump", "Full")
    more, done = action_set("more", "Incremental"), completed("done", "Full", **earlier)
    every = {"podSelector": {"matchLabels": {"app": "db"}, "strategy": "All"}, "selectedTargetPods": ["db-0", "db-1"]}
    both = completed("both", "Full", target=every)
    log = completed("log", "Continuous", backupMethod={"name": "log", "actionSetName": "stream"})
    target = {
        "name": "one",
        "podSelector": {"matchLabels": {"app": "db"}},
        "connectionCredential": {"secretName": "login", "hostKey": "host", "portKey": "port"},
        "containerPort": {"containerName": "db", "portName": "sql"},
    }
    gone = completed("gone", "Full", expiration="2026-11-20T11:00:00Z")
    gone["metadata"]["deletionTimestamp"] = BORN
    ageing = completed("ageing", "Full", expiration="2026-11-20T11:00:00Z")
    claims, sets, moment, ready, probed, source = restores()
    bare = {key: value for key, value in CLAIM.items() if key != "mountPath"}
    one_to_many = {"dataRestorePolicy": "OneToMany", "sourceOfOneToMany": {"targetPodName": "db-1"}}
    picked = {"requiredPolicyForAllPodSelection": one_to_many}
    db = {"matchLabels": {"app": "db"}}
    exec_action = {"execAction": {"target": {"podSelector": db}}}
    other = {**exec_action, "jobAction": {"target": {"podSelector": db}, **picked}}
    none = {"matchLabels": {"app": "none"}, "fallbackLabelSelector": db}
    fallen = {**exec_action, "jobAction": {"target": {"podSelector": none}}}
    bare_set = {"volumeClaimsTemplate": {"templates": [bare], "replicas": 1}}
    asked = [{"name": "speed", "value": "1"}]
    groups: Sequence[Sequence[Object]] = (
        (*repo, *pods, dump, policy(), backup("one", "full", retentionPeriod="1d", parameters=asked)),
        (*repo, *pods, dump, policy(), backup("all", "own"), backup("snapped", "snap")),
        (*repo, *pods, dump, more, policy(), done, backup("next", "inc", parentBackupName="done")),
        (*repo, *pods, dump, policy(target=None, targets=[target]), backup("named", "full")),
        (*repo, dump, policy(), gone),
        (*repo, policy(retentionPolicy="none"), ageing),
        (*repo, dump, done, claims),
        (*repo, dump, done, sets),
        (*repo, dump, done, restore("bare", "done", prepareDataConfig={"volumeClaims": [bare]})),
        (*repo, dump, both, restore("many", "both", prepareDataConfig={"volumeClaims": [CLAIM], **picked})),
        (*repo, dump, action_set("stream", "Continuous"), log, done, policy(), moment),
        (*repo, *pods, dump, done, ready),
        (*repo, dump, done, restore("bareset", "done", prepareDataConfig=bare_set)),
        (*repo, *pods, dump, both, restore("other", "both", readyConfig=other)),
        (*repo, *pods, dump, done, restore("fallen", "done", readyConfig=fallen)),
        (*repo, *pods, dump, done, probed),
        (*repo, dump, done, source),
    )
    return [Stepped([made(each, creationTimestamp=BORN) for each in group], KubeBlocks().handlers, NOW) for group in groups]


def test_no_field_of_a_run_is_without_effect() -> None:
    kinds = [spec for spec in KINDS if spec.kind in JUDGED]
    found = differences(unread(rows("kubeblocks"), kinds, scenes()), ELSEWHERE)
    assert not found, "\n".join(found)
