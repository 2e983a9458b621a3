"""Backup: one copy of the data, and what is known of it."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET

from holdfast.dialects.kubeblocks.types.common import (
    NAME,
    BackupMethod,
    EncryptionConfig,
    Parameter,
    RetentionPeriod,
    SelectedTarget,
    period,
)
from holdfast.schema.fields import IMMUTABLE, Duration, Maybe, Rule, Time, Wire, doc
from holdfast.schema.kubernetes import ObjectReference


class BackupSpec(Wire):
    """Which method of which policy, and how long the result is kept."""

    RULES = (Rule("has(self.parameters) == has(oldSelf.parameters)", "parameters can't be added or removed later"),)

    backup_policy_name: Annotated[str, doc("BackupPolicy in the same namespace.", pattern=NAME, rules=(IMMUTABLE,))]
    backup_method: Annotated[str, doc("Method of the policy.", rules=(IMMUTABLE,))]
    deletion_policy: Annotated[
        Literal["Delete", "Retain"],
        doc("Whether stored data and snapshots go when the Backup is deleted.", default="Delete"),
    ]
    retention_period: Maybe[
        Annotated[RetentionPeriod, period("How long it is kept, such as `30d12h`; absent, empty or zero means for ever.")]
    ] = UNSET
    parent_backup_name: Maybe[
        Annotated[str, doc("Backup that an incremental or differential one builds on.", rules=(IMMUTABLE,))]
    ] = UNSET
    parameters: Maybe[
        Annotated[
            list[Parameter],
            doc("Values of parameters of the action set.", key="name", max_length=128, rules=(IMMUTABLE,)),
        ]
    ] = UNSET


class TimeRange(Wire):
    """The span of time that data covers; for a restore to a moment, the moments that can be named."""

    time_zone: Maybe[
        Annotated[
            str,
            doc(
                "Offset in which the source counts time, -12:59 to +13:00.",
                pattern=r"^(\+|\-)(0[0-9]|1[0-3]):([0-5][0-9])$",
            ),
        ]
    ] = UNSET
    start: Maybe[Annotated[Time, doc("Earliest moment, in UTC.")]] = UNSET
    end: Maybe[Annotated[Time, doc("Latest moment, in UTC.")]] = UNSET


class VolumeSnapshotStatus(Wire):
    """A volume snapshot of a backup."""

    name: Maybe[Annotated[str, doc("Name of the VolumeSnapshot.")]] = UNSET
    content_name: Maybe[Annotated[str, doc("Name of its VolumeSnapshotContent.")]] = UNSET
    volume_name: Maybe[Annotated[str, doc("Volume that it is of.")]] = UNSET
    size: Maybe[Annotated[str, doc("Size that a restore of it needs.")]] = UNSET
    target_name: Maybe[Annotated[str, doc("Target that it belongs to.")]] = UNSET


class ActionStatus(Wire):
    """How far one step of a backup is."""

    name: Maybe[Annotated[str, doc("The step.")]] = UNSET
    phase: Maybe[Annotated[Literal["New", "Running", "Completed", "Failed"], doc("How far it is.")]] = UNSET
    start_timestamp: Maybe[Annotated[Time, doc("When it began.")]] = UNSET
    completion_timestamp: Maybe[Annotated[Time, doc("When it ended.")]] = UNSET
    failure_reason: Maybe[Annotated[str, doc("Why it failed.")]] = UNSET
    action_type: Maybe[Annotated[Literal["Job", "StatefulSet", ""], doc("Kind of workload that does it.")]] = UNSET
    available_replicas: Maybe[Annotated[int, doc("Ready pods of a StatefulSet.", int32=True)]] = UNSET
    object_ref: Maybe[Annotated[ObjectReference, doc("The workload that does it.")]] = UNSET
    target_pod_name: Maybe[Annotated[str, doc("Pod that it works on.")]] = UNSET
    total_size: Maybe[Annotated[str, doc("Size of what it saved, such as `12Mi`; bytes without a suffix.")]] = UNSET
    time_range: Maybe[Annotated[TimeRange, doc("Span of time that its data covers.")]] = UNSET
    volume_snapshots: Maybe[Annotated[list[VolumeSnapshotStatus], doc("Snapshots that it took.")]] = UNSET


class BackupStatus(Wire):
    """What became of a backup, and all that a restore needs to know of it."""

    format_version: Maybe[Annotated[str, doc("Version of the layout of the stored files.")]] = UNSET
    phase: Maybe[Annotated[Literal["New", "Running", "Completed", "Failed", "Deleting"], doc("How far it is.")]] = UNSET
    expiration: Maybe[Annotated[Time, doc("When it may be deleted by itself; absent means never.")]] = UNSET
    start_timestamp: Maybe[Annotated[Time, doc("When it began, by the server's clock.")]] = UNSET
    completion_timestamp: Maybe[Annotated[Time, doc("When it ended, also when it failed.")]] = UNSET
    duration: Maybe[Annotated[Duration, doc("How long it took.")]] = UNSET
    total_size: Maybe[Annotated[str, doc("Size of what was saved, such as `12Mi`; bytes without a suffix.")]] = UNSET
    failure_reason: Maybe[Annotated[str, doc("Why it failed.")]] = UNSET
    deletion_failure_reason: Maybe[Annotated[str, doc("Why it could not be deleted yet.")]] = UNSET
    backup_repo_name: Maybe[Annotated[str, doc("BackupRepo that holds it.")]] = UNSET
    path: Maybe[Annotated[str, doc("Its folder, from the root of the repository.")]] = UNSET
    kopia_repo_path: Maybe[Annotated[str, doc("Where the deduplicating repository lies.")]] = UNSET
    persistent_volume_claim_name: Maybe[Annotated[str, doc("Claim that it was written to.")]] = UNSET
    time_range: Maybe[Annotated[TimeRange, doc("Span of time that the data covers.")]] = UNSET
    target: Maybe[Annotated[SelectedTarget, doc("Target as it was used.")]] = UNSET
    targets: Maybe[Annotated[list[SelectedTarget], doc("Targets as they were used, where there are several.")]] = UNSET
    backup_method: Maybe[Annotated[BackupMethod, doc("Method as it was used.")]] = UNSET
    encryption_config: Maybe[Annotated[EncryptionConfig, doc("Encryption as it was used.")]] = UNSET
    parent_backup_name: Maybe[Annotated[str, doc("Backup that it builds on.")]] = UNSET
    base_backup_name: Maybe[Annotated[str, doc("Full backup at the root of its chain.")]] = UNSET
    actions: Maybe[Annotated[list[ActionStatus], doc("How far each step is.")]] = UNSET
    volume_snapshots: Maybe[Annotated[list[VolumeSnapshotStatus], doc("Volume snapshots that belong to it.")]] = UNSET
    extras: Maybe[Annotated[list[dict[str, str]], doc("Facts that the job told for the restore.")]] = UNSET


class Backup(Wire):
    """One copy of the data of a target."""

    spec: Maybe[Annotated[BackupSpec, doc("What to back up, how, and how long to keep it.")]] = UNSET
    status: Maybe[Annotated[BackupStatus, doc("What became of it.")]] = UNSET
