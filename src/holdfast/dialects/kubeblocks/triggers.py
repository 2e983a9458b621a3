"""What carries out a BackupSchedule: a CronJob for each entry, or one Backup that runs on for a method of type Continuous.

Names, labels and settings are the documented ones. A Backup is named after its due time, so it does not matter who makes it:
the controller does so itself on time, without waiting for a pod, and the CronJob's pod makes what the controller missed.
"""

import re
from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final

from holdfast.core.calls import Trigger
from holdfast.core.cron import Cron
from holdfast.core.objects import Object, bounded_name, owner_reference
from holdfast.core.plan import Child
from holdfast.core.read import flag, items, mapping, name_of, namespace_of, number, text
from holdfast.core.times import optional_time, parse_time
from holdfast.dialects.kubeblocks import names, worker
from holdfast.dialects.kubeblocks.kinds import BACKUP, ROLE_BINDING, api_version

STAMP: Final = "%Y%m%d%H%M%S"
FRESH: Final = timedelta(minutes=1)
"""How late the controller itself makes the Backup of a due time. What is older is left to the CronJob and its deadline."""
_STAMP_LENGTH: Final = 15
_HEAD: Final = 30
_EVERY: Final = re.compile(r"\*/([0-9]{1,4})")


def entry_name(entry: Object) -> str:
    """Return the name of an entry: its own, or that of its method."""
    return text(entry, "name") or text(entry, "backupMethod")


def name(schedule: Object, entry: Object) -> str:
    """Name the CronJob of an entry, or its continuous Backup: 52 characters, since Jobs add 11."""
    owner = next((text(each, "uid") for each in items(schedule, "metadata", "ownerReferences")), "") or text(
        schedule, "metadata", "uid"
    )
    head = f"{owner[:8]}-{name_of(schedule)}-{namespace_of(schedule)}"[:_HEAD].rstrip("-.")
    return bounded_name(f"{head}-{entry_name(entry)}", 52)


def cron_job(schedule: Object, entry: Object, policy: Object) -> Child:
    """Return the CronJob of an entry."""
    labels = {**mapping(schedule, "metadata", "labels"), **_labels(schedule, entry), names.MANAGED_BY: names.MANAGER}
    meta: Object = {"name": name(schedule, entry), "namespace": namespace_of(schedule), "labels": labels}
    container: Object = {
        "name": "backup-schedule",
        "securityContext": {"runAsUser": 65534, "runAsGroup": 65534},
    }
    pod: Object = {
        "restartPolicy": "Never",
        "serviceAccountName": names.WORKER,
        "automountServiceAccountToken": True,
        "containers": [container],
    }
    tries = number(policy, "spec", "backoffLimit")
    job: Object = {"backoffLimit": 2 if tries is None else tries, "template": {"metadata": {"labels": labels}, "spec": pod}}
    spec: Object = {
        "schedule": text(entry, "cronExpression"),
        "timeZone": "UTC",
        "suspend": False,
        "concurrencyPolicy": "Forbid",
        "successfulJobsHistoryLimit": 0,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"metadata": {"labels": labels}, "spec": job},
    }
    late = number(schedule, "spec", "startingDeadlineMinutes")
    if late is not None:
        spec["startingDeadlineSeconds"] = late * 60
    made: Object = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {**meta, "ownerReferences": [owner_reference(schedule)]},
        "spec": spec,
    }
    call = Trigger("backups", _prefix(schedule, entry, policy), _document(schedule, entry), STAMP)
    return Child(made, mover=call.call())


@lru_cache(maxsize=4096)
def cron(expression: str) -> Cron:
    """Read a cron expression, in UTC. Raises CronError."""
    return Cron.parse(expression)


def due(schedule: Object, entry: Object, policy: Object, job: Object | None, now: datetime) -> Child | None:
    """Return the Backup of a due time that has just come; None when there is none, or the CronJob is not in force yet."""
    if job is None or text(job, "spec", "schedule") != text(entry, "cronExpression"):
        return None
    ticks = list(cron(text(entry, "cronExpression")).between(now - FRESH, now))
    born = parse_time(text(job, "metadata", "creationTimestamp"))
    told = optional_time(text(schedule, "status", "schedules", entry_name(entry), "lastScheduleTime"))
    if not ticks or ticks[-1] < born or (told is not None and told >= ticks[-1]):
        return None
    document = _document(schedule, entry)
    name = f"{_prefix(schedule, entry, policy)}-{ticks[-1].strftime(STAMP)}"
    return Child({**document, "metadata": {**document["metadata"], "name": name}}, create_only=True)


def accounts(namespace: str) -> tuple[Child, ...]:
    """Return the account of the CronJobs of a namespace, with the right to create Backups there."""
    binding: Object = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": ROLE_BINDING.kind,
        "metadata": {
            "name": f"{names.WORKER}-rolebinding",
            "namespace": namespace,
            "labels": {names.MANAGED_BY: names.MANAGER},
        },
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": names.WORKER_ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": names.WORKER, "namespace": namespace}],
    }
    return (*worker.children(namespace), Child(binding))


def continuous(schedule: Object, entry: Object) -> Child:
    """Return the one Backup of an entry whose method stores the log as it is written. It stays when the entry goes."""
    document = _document(schedule, entry)
    meta = {
        **document["metadata"],
        "name": name(schedule, entry),
        "annotations": {names.ARCHIVE_INTERVAL: interval(text(entry, "cronExpression"))},
    }
    return Child({**document, "metadata": meta})


def interval(expression: str) -> str:
    """Return how often a continuous backup stores the log, in seconds: `*/m` minutes, `*/h` hours, else one minute."""
    fields = expression.split()
    for position, seconds in ((0, 60), (1, 3600)):
        found = _EVERY.fullmatch(fields[position]) if len(fields) == 5 else None
        if found is not None and int(found.group(1)):
            return f"{int(found.group(1)) * seconds}s"
    return "60s"


def enabled(entry: Object, *, is_continuous: bool) -> bool:
    """Whether an entry runs. One that does not say runs only if its method is continuous, as in the original."""
    return flag(entry, "enabled") if "enabled" in entry else is_continuous


def _labels(schedule: Object, entry: Object) -> Object:
    return {
        names.BACKUP_SCHEDULE: bounded_name(name_of(schedule)),
        names.BACKUP_METHOD: bounded_name(text(entry, "backupMethod")),
    }


def _prefix(schedule: Object, entry: Object, policy: Object) -> str:
    """Return what the names of an entry's Backups begin with: the instance, else the schedule, and which entry of several."""
    instance = text(policy, "spec", "target", "podSelector", "matchLabels", names.INSTANCE, default=name_of(schedule))
    several = text(entry, "name") or len(items(schedule, "spec", "schedules")) > 1
    whole = f"{instance}-{entry_name(entry)}" if several else instance
    return bounded_name(whole.lower(), 63 - _STAMP_LENGTH)


def _document(schedule: Object, entry: Object) -> Object:
    spec: Object = {
        "backupPolicyName": text(schedule, "spec", "backupPolicyName"),
        "backupMethod": text(entry, "backupMethod"),
        "retentionPeriod": text(entry, "retentionPeriod"),
    }
    if items(entry, "parameters"):
        spec["parameters"] = items(entry, "parameters")
    return {
        "apiVersion": api_version(BACKUP),
        "kind": BACKUP.kind,
        "metadata": {
            "namespace": namespace_of(schedule),
            "labels": {names.AUTO_BACKUP: "true", **_labels(schedule, entry), names.ENTRY: bounded_name(entry_name(entry))},
        },
        "spec": spec,
    }
