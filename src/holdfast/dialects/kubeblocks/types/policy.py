"""BackupPolicy and BackupSchedule: what is backed up in which ways, and when."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET

from holdfast.dialects.kubeblocks.types.actions import AvailabilityStatus
from holdfast.dialects.kubeblocks.types.common import (
    NAME,
    BackupMethod,
    BackupTarget,
    EncryptionConfig,
    Parameter,
    RetentionPeriod,
    period,
)
from holdfast.schema.fields import Maybe, Rule, Time, Wire, doc


class BackupPolicySpec(Wire):
    """What is backed up, in which ways, and where it goes."""

    RULES = (Rule("has(self.target) != has(self.targets)", "exactly one of target and targets must be set"),)

    backup_methods: Annotated[list[BackupMethod], doc("The ways of backing up.")]
    backup_repo_name: Maybe[
        Annotated[str, doc("BackupRepo that stores the data; the default one when absent.", pattern=NAME)]
    ] = UNSET
    path_prefix: Maybe[Annotated[str, doc("Folder below the namespace's folder in the repository.")]] = UNSET
    backoff_limit: Annotated[int, doc("How often a failed job is tried again.", ge=0, le=10, int32=True)] = 2
    target: Maybe[Annotated[BackupTarget, doc("What is backed up, unless a method says otherwise.")]] = UNSET
    targets: Maybe[Annotated[list[BackupTarget], doc("Several named targets instead of one.")]] = UNSET
    use_kopia: Annotated[
        bool, doc("Whether the data is kept deduplicated, compressed and encrypted, over all backups of a cluster.")
    ] = False
    encryption_config: Maybe[Annotated[EncryptionConfig, doc("Encryption of what is stored.")]] = UNSET
    retention_policy: Maybe[
        Annotated[Literal["retainLatestBackup", "none"], doc("Whether the newest completed backup outlives its expiration.")]
    ] = UNSET


class BackupPolicy(Wire):
    """What is backed up, in which ways, and where it goes."""

    spec: Maybe[Annotated[BackupPolicySpec, doc("What is backed up, and how.")]] = UNSET
    status: Maybe[Annotated[AvailabilityStatus, doc("Whether it can be used.")]] = UNSET


class SchedulePolicy(Wire):
    """One method and its times."""

    backup_method: Annotated[str, doc("Method of the policy to run.")]
    cron_expression: Annotated[str, doc("When, as a cron expression in UTC.")]
    enabled: Maybe[Annotated[bool, doc("Whether it runs.")]] = UNSET
    retention_period: Annotated[
        RetentionPeriod, period("How long its backups are kept, such as `7d` or `1y6mo`; empty or zero means for ever.")
    ] = "7d"
    name: Maybe[Annotated[str, doc("Name of this entry, used once; that of the method when absent.")]] = UNSET
    parameters: Maybe[Annotated[list[Parameter], doc("Parameters of its backups.", key="name", max_length=128)]] = UNSET


class BackupScheduleSpec(Wire):
    """When which methods of a policy run."""

    backup_policy_name: Annotated[str, doc("BackupPolicy in the same namespace.", pattern=NAME)]
    schedules: Annotated[list[SchedulePolicy], doc("The methods and their times.", min_length=1, max_length=1000)]
    starting_deadline_minutes: Maybe[
        Annotated[int, doc("Minutes by which a run may start late; later it is left out.", ge=0, le=1440)]
    ] = UNSET


class ScheduleStatus(Wire):
    """How the runs of one entry go."""

    phase: Maybe[Annotated[Literal["Running", "Failed"], doc("Whether its latest run, if any, went well.")]] = UNSET
    failure_reason: Maybe[Annotated[str, doc("Why not.")]] = UNSET
    last_schedule_time: Maybe[Annotated[Time, doc("When it last fired.")]] = UNSET
    last_successful_time: Maybe[Annotated[Time, doc("When a backup of it was last completed.")]] = UNSET


class BackupScheduleStatus(Wire):
    """Whether the schedule is in force."""

    phase: Maybe[Annotated[Literal["Available", "Failed"], doc("Whether it is in force.")]] = UNSET
    observed_generation: Maybe[Annotated[int, doc("Generation of the spec that was judged.")]] = UNSET
    failure_reason: Maybe[Annotated[str, doc("Why it is not.")]] = UNSET
    schedules: Maybe[Annotated[dict[str, ScheduleStatus], doc("How each entry goes, by its name.")]] = UNSET


class BackupSchedule(Wire):
    """Runs methods of a policy again and again."""

    spec: Maybe[Annotated[BackupScheduleSpec, doc("When which methods run.")]] = UNSET
    status: Maybe[Annotated[BackupScheduleStatus, doc("Whether the schedule is in force.")]] = UNSET
