"""Every field of a CloudCasa document does something: a generated mutation changes plans, children, a job's end or Problems.

A job writes down at its start what it works on. So each is followed through three moments: started, claims done, and the end.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from tests.fields.ledger import Row, rows
from tests.fields.mutation import allowed, differences, unread
from tests.fields.scene import Scene, made

from holdfast.core.objects import Object, kind_of
from holdfast.core.ports import Outcome
from holdfast.dialects.cloudcasa import kinds
from holdfast.dialects.cloudcasa.dialect import CloudCasa
from holdfast.dialects.cloudcasa.resources import COLLECTIONS
from holdfast.dialects.cloudcasa.types import KINDS

NOW = datetime(2026, 11, 20, 13, 42, 30, tzinfo=UTC)
BORN = "2026-11-20T12:50:00Z"
HANDLERS = CloudCasa().handlers
JOBS = next(handler for handler in HANDLERS if handler.kind == kinds.KUBEJOB)
CLUSTER, STORE, OTHER, POLICY, HOOK, BACKUP, OFFLOAD, RESTORE, POINT, COPY = (digit * 24 for digit in "1234567890")
VALID = {"validate_state": "VALID", "probed": "1-0"}


class Followed(Scene):
    """A scene in which jobs are seen at their start and at their end."""

    def swapped(self, obj: Object) -> Scene:
        return Followed([*self.objects.values(), obj], HANDLERS, self._now)

    def _judged(self, obj: Object) -> Any:
        if kind_of(obj) != kinds.KUBEJOB:
            return super()._judged(obj)
        started = {**obj, "status": JOBS.project(obj, self, Outcome(), self._now)}
        moved = {**started, "status": {**started["status"], "volumes": finished(started["status"])["volumes"]}}
        ended = {**started, "status": finished(started["status"])}
        for _ in range(3):
            ended = {**ended, "status": JOBS.project(ended, self, Outcome(), self._now)}
        plans = [JOBS.compile(each, self, self._now) for each in (started, moved, ended)]
        said = [{key: each["status"].get(key) for key in ("state", "message")} for each in (started, ended)]
        return plans, said


def finished(status: Object) -> Object:
    """Return the status of a job whose claims and resources are all dealt with."""
    claims = [{**each, "state": "COMPLETED", "snapshot_id": "5" * 64} for each in status.get("volumes", ())]
    hooked = {"restored": "all"} if status.get("hook_rules") else {}
    return {**status, "volumes": claims, "resources": "6" * 64, "backup_inst": COPY, **hooked}


def document(plural: str, ident: str, *, status: Object | None = None, local: bool = False, **spec: Any) -> Object:
    kind = COLLECTIONS[plural].spec.kind
    meta: Object = {"name": ident, "namespace": kinds.ORGANIZATION}
    if local:
        meta["annotations"] = {kinds.LOCAL_CLUSTER: "true"}
    if plural == "backupinstances":
        meta["labels"] = {kinds.BACKUPDEF: BACKUP}
    obj: Object = {"apiVersion": kinds.API_VERSION, "kind": kind, "metadata": meta, "spec": {"name": f"the {kind}", **spec}}
    return made({**obj, **({"status": status} if status else {})}, creationTimestamp=BORN)


def job(ident: str, type_: str, **spec: Any) -> Object:
    return document("jobs", ident * 24, type=type_, cluster=CLUSTER, retention={"retainDays": 3}, **spec)


def around() -> list[Object]:
    """Return a cluster with two claims and a pod in one namespace, one claim being Longhorn's."""

    def thing(kind: str, name: str, namespace: str = "", api: str = "v1", **fields: Any) -> Object:
        labels = fields.pop("labels", {})
        meta = {"name": name, "labels": labels, **({"namespace": namespace} if namespace else {})}
        return made({"apiVersion": api, "kind": kind, "metadata": meta, **fields}, creationTimestamp=BORN)

    def claim(name: str, storage: str) -> Object:
        spec = {"storageClassName": storage, "accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}
        return thing("PersistentVolumeClaim", name, "shop", spec=spec, status={"phase": "Bound"})

    organization = {kinds.ORGANIZATION_LABEL: "true"}
    return [
        thing("Namespace", kinds.ORGANIZATION, labels=organization),
        *(thing("Namespace", name) for name in ("shop", "mutant", "other-mutant")),
        claim("data", "local"),
        claim("more", "longhorn"),
        thing("StorageClass", "longhorn", api="storage.k8s.io/v1", provisioner="driver.longhorn.io"),
        *(
            thing("Pod", f"db-{place}", place, labels={"app": "db"}, spec={}, status={"phase": "Running"})
            for place in ("shop", "mutant", "other-mutant")
        ),
        *waiting(),
    ]


def waiting() -> list[Object]:
    """Return the Job of the first claim's copy, whose pod waits for its image."""
    name = f"cloudcasa-{'d' * 12}-0"
    started = {"startTime": BORN}
    mover = made({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name, "namespace": "shop"}, "status": started})
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": mover["metadata"]["uid"], "controller": True}
    state = {"name": "mover", "state": {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}}
    meta = {"name": f"{name}-abcde", "namespace": "shop", "ownerReferences": [owner]}
    status = {"phase": "Pending", "containerStatuses": [state]}
    pod = made({"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": {}, "status": status}, creationTimestamp=BORN)
    return [{**mover, "metadata": {**mover["metadata"], "creationTimestamp": BORN}}, pod]


def stores(**spec: Any) -> list[Object]:
    access = {"endpoint": "https://s3.test"}
    one = {"provider_type": "aws", "bucket_name": "copies", "region": "us", "s3provider": access, **spec}
    other = {"provider_type": "aws", "bucket_name": "other", "region": "eu", "s3provider": access}
    return [document("objectstores", STORE, **one, status=VALID), document("objectstores", OTHER, **other, status=VALID)]


def point(ident: str, kind: str) -> Object:
    claims = [
        {"namespace": "shop", "claim": name, "state": "COMPLETED", "volume_snapshot": name, "snapshot_id": "5" * 64}
        for name in ("data", "more")
    ]
    info = {"volumes": claims, "namespaces": ["shop", "mutant", "other-mutant"], "resources": "6" * 64}
    place = {"objectstore": STORE, "backup_location": {"backup_location_info": info}}
    return document("backupinstances", ident, type=kind, backupdef=BACKUP, cluster=CLUSTER, start_time=1, **place)


def scene(
    *,
    trigger: str = "ADHOC",
    cluster: Mapping[str, Any] | None = None,
    offload: Mapping[str, Any] | None = None,
    store: Mapping[str, Any] | None = None,
    timing: Mapping[str, str] | None = None,
    jobs: Sequence[Object] = (),
) -> Scene:
    use = [{"hooks": [HOOK]}]
    rule = {"labels": {"app": "db"}, "target": [{"command": "sync"}]}
    schedules = [{"retainDays": 3, "schedule": {"cronSpec": "0 * * * *"} if timing is None else timing}]
    again = {"all_namespaces": False, "namespaces": ["shop"], "post_hooks": use}
    objects = [
        *around(),
        *stores(**(store or {})),
        document("kubeclusters", CLUSTER, local=True, **(cluster or {})),
        document("policies", POLICY, schedules=schedules, timezone="UTC"),
        document("kubehooks", HOOK, hook_type="COMMON", hook=[rule]),
        document(
            "kubebackups",
            BACKUP,
            cluster=CLUSTER,
            trigger_type=trigger,
            policy=POLICY,
            source={"namespaces": ["shop"]},
            pre_hooks=use,
            post_hooks=use,
        ),
        document(
            "kubeoffloads", OFFLOAD, cluster=CLUSTER, backupdef=BACKUP, trigger_type=trigger, policy=POLICY, **(offload or {})
        ),
        document("kuberestores", RESTORE, cluster=CLUSTER, backup_inst=COPY, **again),
        point(POINT, "SNAPSHOT"),
        point(COPY, "COPY"),
        *jobs,
    ]
    return Followed(objects, HANDLERS, NOW)


def scenes() -> Sequence[Scene]:
    snapshot = job("c", "KUBE_OFFLOAD", copydef=OFFLOAD, backupdef=BACKUP, run_backup=True)
    copied = job("d", "KUBE_OFFLOAD", copydef=OFFLOAD, backupdef=BACKUP)
    restored = job("e", "KUBE_RESTORE", restoredef=RESTORE, backup_inst=COPY)
    azure = {"provider_type": "azure", "s3provider": {"storage_account_name": "ours", "cloud": "Public"}}
    private = {"private": True, "proxy_cluster_list": [CLUSTER]}
    prefers = {"user_objectstore": OTHER}
    return [
        scene(trigger="SCHEDULED", offload={"run_backup": True}),
        scene(trigger="SCHEDULED", timing={}),
        scene(jobs=[snapshot]),
        scene(jobs=[copied], cluster={"backup_provider": prefers}),
        scene(jobs=[copied], cluster={"backup_provider": {"type": "aws", "region": "eu"}}),
        scene(jobs=[copied], offload={"offload_provider": prefers}),
        scene(jobs=[copied], offload={"offload_provider": {"type": "aws", "region": "eu"}}),
        scene(jobs=[copied], store=private),
        scene(store=azure),
        scene(jobs=[restored]),
    ]


def documents() -> list[Row]:
    """Return the rows of what users write, as the spec of each document's kind has it."""
    found: list[Row] = []
    for row in rows("cloudcasa"):
        collection = COLLECTIONS[row.kind]
        own = collection.written and ":" not in row.path and not row.path.startswith(("_", "status"))
        if own and row.path not in collection.shown:
            found.append(row._replace(kind=collection.spec.kind, path=f"spec.{row.path}"))
    return found


def test_no_field_of_a_document_is_without_effect() -> None:
    found = differences(unread(documents(), KINDS, scenes()), allowed("cloudcasa"))
    assert not found, "\n".join(found)
