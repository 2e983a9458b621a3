"""The CronJob that starts the backups of an AntflyBackup, and the call that its Jobs carry out."""

from datetime import timedelta
from typing import Final

from holdfast.core.calls import AntflyBackup, AntflyServer
from holdfast.core.objects import Object, owner_reference
from holdfast.core.plan import Child, MoverCall, Step
from holdfast.core.run_id import job_environment
from holdfast.dialects.antfly import clusters, jobs, names
from holdfast.dialects.antfly.decode import Backup

STARTING_DEADLINE: Final = 10800
"""Seconds by which a start may be late: after three hours the tick is given up."""

RETRIES: Final = 3
ZONE: Final = "Etc/UTC"
"""Said aloud, so that `nextScheduledBackup` is right whatever zone the cluster's controllers run in."""

_LEAST: Final = timedelta(minutes=1)


def child(obj: Object, wanted: Backup, cluster: Object | None, *, suspended: bool) -> Child:
    """Return the CronJob of the AntflyBackup `obj`."""
    labels = names.backup_labels(wanted.place.name)
    marked = jobs.marked(labels, AntflyBackup.MOVER)
    spec = jobs.job_spec("backup", marked, timeout=wanted.timeout, retries=RETRIES, env=job_environment())
    cron: Object = {
        "apiVersion": "batch/v1",
        "kind": "CronJob",
        "metadata": {
            "name": names.cron_job(wanted.place.name),
            "namespace": wanted.place.namespace,
            "labels": labels,
            "ownerReferences": [owner_reference(obj)],
        },
        "spec": {
            "schedule": wanted.schedule,
            "timeZone": ZONE,
            "suspend": suspended,
            "concurrencyPolicy": "Forbid",
            "startingDeadlineSeconds": STARTING_DEADLINE,
            "successfulJobsHistoryLimit": max(wanted.keep_good, 1),
            "failedJobsHistoryLimit": max(wanted.keep_failed, 1),
            "jobTemplate": {"metadata": {"labels": marked}, "spec": spec},
        },
    }
    return Child(cron, mover=call(wanted, cluster, wanted.timeout))


def adoption(wanted: Backup, cluster: Object | None, job: Object, left: timedelta) -> Step:
    """Return the step that finds out what became of the backup that a lost pod of `job` had asked for."""
    meta = job["metadata"]
    labels = names.health_labels()
    asked = call(wanted, cluster, left, adopt=(meta["name"], meta["uid"]))
    made: Object = {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": names.adoption_job(meta["name"]), "namespace": wanted.place.namespace, "labels": labels},
        "spec": jobs.job_spec("adopt", labels, timeout=left + _LEAST, retries=RETRIES),
    }
    return Step(name="adopt", child=made, mover=asked)


def call(wanted: Backup, cluster: Object | None, timeout: timedelta, *, adopt: tuple[str, str] = ("", "")) -> MoverCall:
    """Return what the mover is told; `adopt` names a Job by name and uid whose backup it shall only look for."""
    token, secrets = jobs.token_of(wanted.storage)
    asked = AntflyBackup(
        server=AntflyServer(clusters.endpoint(wanted.cluster, cluster), str(wanted.cluster), token),
        location=wanted.storage.location,
        owner=str(wanted.place),
        cron_job=names.cron_job(wanted.place.name),
        timeout=jobs.patience(timeout),
        tables=wanted.tables,
        adopt_job=adopt[0],
        adopt_uid=adopt[1],
    )
    return asked.call(secrets)
