"""What `bench_schedules` runs: one row per API. A new API adds a row here and nothing else.

A row says which objects surround the schedules, how the nth schedule looks for a cron expression, when it is ready, which
objects are starts of runs, and to which schedule a start belongs. Names of schedules are `s<number>`, in namespace `bench`.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from holdfast.cli.dialects import KINDS, resource_of
from holdfast.kube.builtin import JOBS
from holdfast.kube.resource import Resource

Object = dict[str, Any]

NAMESPACE: Final = "bench"


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
}
"""The rows by name."""
