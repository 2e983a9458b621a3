"""The CronJob by which a session starts itself, with the account it runs under.

Names, owner and labels are the documented ones. All scheduler fields are taken over, also the ones below jobTemplate. The
CronJob's own concurrencyPolicy governs this pod of a few seconds, never the backup: that is the session's gate.
"""

from datetime import datetime
from typing import Final

from holdfast.core.calls import Trigger
from holdfast.core.objects import Object, bounded_name, owner_reference
from holdfast.core.plan import Child, MoverCall
from holdfast.core.read import flag, mapping, name_of, namespace_of, text
from holdfast.core.times import format_duration
from holdfast.dialects.kubestash import names, pods, runtime
from holdfast.dialects.kubestash.decode import Session
from holdfast.dialects.kubestash.kinds import BACKUP_SESSION, CORE, api_version

_SCHEDULER: Final = (
    "startingDeadlineSeconds",
    "concurrencyPolicy",
    "successfulJobsHistoryLimit",
    "failedJobsHistoryLimit",
)
_JOB: Final = (
    "parallelism",
    "completions",
    "activeDeadlineSeconds",
    "backoffLimit",
    "ttlSecondsAfterFinished",
    "completionMode",
    "suspend",
)


def children(obj: Object, session: Session, *, paused: bool) -> tuple[Child, ...]:
    """Return the service account, role binding and CronJob of a session of the BackupConfiguration `obj`."""
    own = names.trigger(name_of(obj), session.name)
    call = Trigger("backupsessions", names.backup_session_prefix(name_of(obj), session.name), _document(obj, session)).call()
    return scheduled(obj, own, session.name, session.scheduler, call, paused=paused)


def scheduled(obj: Object, own: str, session: str, scheduler: Object, call: MoverCall, *, paused: bool) -> tuple[Child, ...]:
    """Return a CronJob called `own` by a scheduler's fields, with its account, for the BackupConfiguration `obj`."""
    account = text(scheduler, "jobTemplate", "template", "spec", "serviceAccountName")
    meta = {"namespace": namespace_of(obj), "labels": _labels(obj, session), "ownerReferences": [owner_reference(obj)]}
    accounts = () if account else (Child(_account(own, meta)),)
    cron_job = Child(_cron_job(own, scheduler, meta, paused), mover=call)
    return (*accounts, Child(_binding(own, account or own, meta)), cron_job)


def session_metadata(obj: Object, session: str) -> Object:
    """Return namespace, labels and owner of a BackupSession of the BackupConfiguration `obj`."""
    labels = {
        names.MANAGED_BY: "kubestash.com",
        names.INVOKER_NAME: bounded_name(name_of(obj)),
        names.INVOKER_KIND: "BackupConfiguration",
        names.INVOKER_NAMESPACE: namespace_of(obj),
        names.SESSION_NAME: bounded_name(session),
    }
    return {"namespace": namespace_of(obj), "labels": labels, "ownerReferences": [owner_reference(obj)]}


def session_spec(configuration: str, session: str, retry_left: int, timeout: str) -> Object:
    """Return the spec of a BackupSession."""
    invoker = {"apiGroup": CORE, "kind": "BackupConfiguration", "name": configuration}
    spec: Object = {"invoker": invoker, "session": session, "retryLeft": retry_left}
    return {**spec, "backupTimeout": timeout} if timeout else spec


def first_session(obj: Object, session: Session, born: datetime) -> Object:
    """Return the BackupSession that is made at once, named after the time at which the BackupConfiguration was made."""
    document = _document(obj, session)
    name = names.backup_session(name_of(obj), session.name, born)
    return {**document, "metadata": {**document["metadata"], "name": name}}


def _document(obj: Object, session: Session) -> Object:
    timeout = format_duration(session.timeout) if session.timeout else ""
    return {
        "apiVersion": api_version(BACKUP_SESSION),
        "kind": BACKUP_SESSION.kind,
        "metadata": session_metadata(obj, session.name),
        "spec": session_spec(name_of(obj), session.name, session.max_retry, timeout),
    }


def _labels(obj: Object, session: str) -> Object:
    kind, namespace = "BackupConfiguration", namespace_of(obj)
    return names.labels("backup", kind=kind, namespace=namespace, name=name_of(obj), session=session)


def _account(name: str, meta: Object) -> Object:
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name, **meta}}


def _binding(name: str, account: str, meta: Object) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": name, **meta},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": names.TRIGGER_ROLE},
        "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": meta["namespace"]}],
    }


def _cron_job(name: str, scheduler: Object, meta: Object, paused: bool) -> Object:
    template = mapping(scheduler, "jobTemplate")
    made = pods.job(name, meta["namespace"], meta["labels"], container="trigger")
    pod = made["spec"]["template"]["spec"]
    pod.update({"serviceAccountName": name, "automountServiceAccountToken": True})
    job: Object = {"metadata": {"labels": meta["labels"]}, "spec": {"template": made["spec"]["template"]}}
    job = runtime.with_template(job, mapping(template, "template"))
    job["spec"] |= {key: template[key] for key in _JOB if template.get(key) is not None}
    spec: Object = {
        "schedule": text(scheduler, "schedule"),
        "suspend": paused or flag(scheduler, "suspend"),
        "jobTemplate": job,
    }
    spec |= {key: scheduler[key] for key in _SCHEDULER if scheduler.get(key) is not None}
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": name, **meta}, "spec": spec}
