"""AntflyBackup: backups of an Antfly cluster on a schedule."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET

from holdfast.dialects.antfly.types.common import LOCATION, ClusterReference, Condition, SecretReference
from holdfast.schema.fields import Duration, Maybe, Time, Wire, doc


class BackupDestination(Wire):
    """Where backups are stored."""

    location: Annotated[
        str,
        doc(
            "URL below which the Antfly servers write: `s3://bucket/path`, or `file:///path` on the servers, for tests only.",
            pattern=LOCATION,
        ),
    ]
    credentials_secret: Maybe[
        Annotated[SecretReference, doc("Credentials of the storage; a condition says whether the servers have them.")]
    ] = UNSET


class AntflyBackupSpec(Wire):
    """What to back up, where to and when."""

    cluster_ref: Annotated[ClusterReference, doc("The cluster to back up. It can't be changed to another one.")]
    schedule: Annotated[
        str, doc("When to back up, as five cron fields in UTC: minute, hour, day of month, month, day of week (0 is Sunday).")
    ]
    destination: Annotated[BackupDestination, doc("Where backups are stored.")]
    tables: Maybe[Annotated[list[str], doc("Tables to back up; all of them when absent.")]] = UNSET
    suspend: Annotated[bool, doc("Whether the schedule rests.")] = False
    backup_timeout: Annotated[Duration, doc("Longest time that one backup may take.")] = "1h"
    successful_jobs_history_limit: Annotated[
        int, doc("Jobs of good runs to keep. Stored backups are not touched by it.", ge=0)
    ] = 3
    failed_jobs_history_limit: Annotated[int, doc("Jobs of failed runs to keep.", ge=0)] = 1


class BackupRecord(Wire):
    """One backup, as it went."""

    backup_id: Annotated[str, doc("Id of the backup, as `spec.source.backupId` of an AntflyRestore takes it.")]
    start_time: Annotated[Time, doc("When it started.")]
    status: Annotated[Literal["Running", "Completed", "Failed"], doc("How it stands.")]
    completion_time: Maybe[Annotated[Time, doc("When it ended.")]] = UNSET
    tables: Maybe[Annotated[list[str], doc("Tables that are completely in it.")]] = UNSET
    error: Maybe[Annotated[str, doc("Why it failed.")]] = UNSET


class AntflyBackupStatus(Wire):
    """Whether the schedule works, and what came of its last runs."""

    phase: Maybe[
        Annotated[
            Literal["Active", "Suspended", "Failed"],
            doc("Whether the schedule is active, rests, or can't run; a condition says why."),
        ]
    ] = UNSET
    last_scheduled_time: Maybe[Annotated[Time, doc("When a backup was last due.")]] = UNSET
    last_successful_backup: Maybe[Annotated[BackupRecord, doc("The newest good backup.")]] = UNSET
    recent_backups: Maybe[Annotated[list[BackupRecord], doc("The last ten backups, newest first.")]] = UNSET
    conditions: Maybe[
        Annotated[
            list[Condition],
            doc("ScheduleReady, ClusterReady, LastBackupSucceeded; as needed ServersHaveCredentials and RetentionApplied."),
        ]
    ] = UNSET
    next_scheduled_backup: Maybe[Annotated[Time, doc("When the next backup is due.")]] = UNSET
    cron_job_name: Maybe[Annotated[str, doc("The CronJob that starts the backups.")]] = UNSET
    observed_generation: Maybe[Annotated[int, doc("Generation of the spec that this status describes.")]] = UNSET


class AntflyBackup(Wire):
    """Backs up an Antfly cluster on a schedule."""

    spec: Annotated[AntflyBackupSpec, doc("What to back up, where to and when.")]
    status: Maybe[Annotated[AntflyBackupStatus, doc("Whether the schedule works, and what came of its last runs.")]] = UNSET
