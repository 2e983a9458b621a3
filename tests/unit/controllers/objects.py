"""Builders of objects as an API server would return them."""

from datetime import UTC, datetime, timedelta

from holdfast.core.objects import Object, owner_reference
from holdfast.core.times import format_time

NOW = datetime(2026, 11, 20, 13, 0, 0, tzinfo=UTC)


def ago(seconds: float) -> str:
    return format_time(NOW - timedelta(seconds=seconds))


def job(**spec: object) -> Object:
    template = {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "busybox", "command": ["true"]}]}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": "nightly",
            "namespace": "demo",
            "uid": "job-1",
            "creationTimestamp": ago(60),
            "resourceVersion": "7",
        },
        "spec": {"parallelism": 1, "completions": 1, "backoffLimit": 6, "template": template, **spec},
    }


def pod(
    name: str, phase: str = "Pending", *, owner: Object | None = None, ended: float = 5, ready: bool = False, **meta: object
) -> Object:
    state = {"terminated": {"exitCode": 1, "finishedAt": ago(ended)}} if phase in ("Succeeded", "Failed") else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name,
            "namespace": "demo",
            "uid": f"uid-{name}",
            "creationTimestamp": ago(30),
            "ownerReferences": [owner_reference(owner)] if owner else [],
            **meta,
        },
        "spec": {"containers": [{"name": "c"}]},
        "status": {
            "phase": phase,
            "containerStatuses": [{"name": "c", "state": state, "restartCount": 0}],
            "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
        },
    }


def with_status(obj: Object, status: Object) -> Object:
    return obj | {"status": status}
