"""Runs: a BackupSession is one backup, a RestoreSession one restore."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET

from holdfast.dialects.kubestash.types.common import Condition, Dependency, HookResults, Invoker, Ref, RunPhase, TypedRef
from holdfast.dialects.kubestash.types.hooks import HookUse
from holdfast.dialects.kubestash.types.manifests import ManifestOptions
from holdfast.dialects.kubestash.types.tasks import AddonUse
from holdfast.schema.fields import Duration, Maybe, Time, Wire, doc


class BackupSessionSpec(Wire):
    """Which session of which object runs."""

    invoker: Maybe[Annotated[Invoker, doc("The object whose session runs.")]] = UNSET
    session: Maybe[Annotated[str, doc("Name of the session there.")]] = UNSET
    retry_left: Maybe[Annotated[int, doc("Repetitions that remain after this run.", ge=0)]] = UNSET
    backup_timeout: Maybe[Annotated[Duration, doc("Time limit of this run.")]] = UNSET


class SnapshotStatusMirror(Wire):
    """A Snapshot of a run."""

    name: Maybe[Annotated[str, doc("Name of the Snapshot.")]] = UNSET
    phase: Maybe[Annotated[RunPhase, doc("Its phase.")]] = UNSET
    app_ref: Maybe[Annotated[TypedRef, doc("What was backed up.")]] = UNSET
    repository: Maybe[Annotated[str, doc("Repository that holds it.")]] = UNSET


class RetentionResult(Wire):
    """What a retention policy did to one repository."""

    ref: Maybe[Annotated[Ref, doc("The RetentionPolicy.")]] = UNSET
    repository: Maybe[Annotated[str, doc("The Repository.")]] = UNSET
    phase: Maybe[Annotated[Literal["Pending", "Applied", "FailedToApply"], doc("The outcome.")]] = UNSET
    error: Maybe[Annotated[str, doc("Why it failed.")]] = UNSET


class BackupSessionStatus(Wire):
    """How a backup goes or went."""

    phase: Maybe[Annotated[Literal["Pending", "Running", "Succeeded", "Failed", "Skipped"], doc("State of the run.")]] = UNSET
    duration: Maybe[Annotated[str, doc("How long it took.")]] = UNSET
    backup_deadline: Maybe[Annotated[Time, doc("When it counts as failed.")]] = UNSET
    session_deadline: Maybe[Annotated[Time, doc("The older name of `backupDeadline`.")]] = UNSET
    total_snapshots: Maybe[Annotated[int, doc("How many Snapshots it makes.")]] = UNSET
    snapshots: Maybe[Annotated[list[SnapshotStatusMirror], doc("Its Snapshots.")]] = UNSET
    hooks: Maybe[Annotated[HookResults, doc("How its hooks ended.")]] = UNSET
    retention_policy: Maybe[Annotated[list[RetentionResult], doc("What retention did to each repository.")]] = UNSET
    retried: Maybe[Annotated[bool, doc("Whether another session repeats it.")]] = UNSET
    next_retry: Maybe[Annotated[Time, doc("When it is repeated.")]] = UNSET
    conditions: Maybe[Annotated[list[Condition], doc("Steps of the run.", key="type")]] = UNSET


class BackupSession(Wire):
    """One run of a session: it makes a Snapshot in each of the session's repositories."""

    spec: Annotated[BackupSessionSpec, doc("Which session runs.")]
    status: Maybe[Annotated[BackupSessionStatus, doc("How it goes.")]] = UNSET


class PointInTime(Wire):
    """A moment to restore to."""

    target_time: Annotated[Time, doc("The moment.")]
    exclusive: Annotated[bool, doc("Whether data of that very moment is left out.")] = False


class RestoreSource(Wire):
    """What to restore."""

    namespace: Maybe[Annotated[str, doc("Namespace of the repository; the session's own when absent.")]] = UNSET
    repository: Maybe[Annotated[str, doc("The Repository; required for `latest` and for a moment.")]] = UNSET
    snapshot: Maybe[Annotated[str, doc("Name of a Snapshot, or `latest`; required unless a moment is given.")]] = UNSET
    pitr: Maybe[Annotated[PointInTime, doc("The moment to restore to.")]] = UNSET
    components: Maybe[Annotated[list[str], doc("Components to restore; all when absent.")]] = UNSET
    encryption_secret: Maybe[Annotated[Ref, doc("Secret with the password of the repository.")]] = UNSET


class RestoreHooks(Wire):
    """Hooks around a restore."""

    pre_restore: Maybe[Annotated[list[HookUse], doc("Hooks that run before; a failure keeps the restore from running.")]] = (
        UNSET
    )
    post_restore: Maybe[Annotated[list[HookUse], doc("Hooks that run after, each by its execution policy.")]] = UNSET


class RestoreSessionSpec(Wire):
    """What to restore, where to and how."""

    data_source: Annotated[RestoreSource, doc("What to restore.")]
    target: Maybe[Annotated[TypedRef, doc("Workload or claim that receives the data.")]] = UNSET
    addon: Maybe[Annotated[AddonUse, doc("What does the work.")]] = UNSET
    hooks: Maybe[Annotated[RestoreHooks, doc("What runs around the restore.")]] = UNSET
    timeout: Maybe[Annotated[Duration, doc("Time limit; no limit when absent.")]] = UNSET
    restore_timeout: Maybe[Annotated[Duration, doc("The newer name of `timeout`.")]] = UNSET
    manifest_options: Maybe[Annotated[ManifestOptions, doc("What a restore of manifests brings back.")]] = UNSET


class RestoreProgress(Wire):
    """How far a restore is."""

    seconds_elapsed: Maybe[Annotated[int, doc("Seconds since it began.")]] = UNSET
    percent_done: Maybe[Annotated[str, doc("Share that is done.")]] = UNSET
    total_files: Maybe[Annotated[int, doc("Files to restore.")]] = UNSET
    files_done: Maybe[Annotated[int, doc("Files restored.")]] = UNSET
    restore_done: Maybe[Annotated[str, doc("Data restored.")]] = UNSET
    total: Maybe[Annotated[str, doc("Data to restore.")]] = UNSET
    speed: Maybe[Annotated[str, doc("Present rate.")]] = UNSET


class RestoreComponent(Wire):
    """How the restore of one component goes or went."""

    phase: Maybe[
        Annotated[Literal["Pending", "Running", "Failed", "Succeeded", "Invalid", "Unknown"], doc("State of the component.")]
    ] = UNSET
    progress: Maybe[Annotated[RestoreProgress, doc("How far it is.")]] = UNSET
    duration: Maybe[Annotated[str, doc("How long it took.")]] = UNSET
    error: Maybe[Annotated[str, doc("Why it failed.")]] = UNSET


class RestoreSessionStatus(Wire):
    """How a restore goes or went."""

    phase: Maybe[
        Annotated[Literal["Pending", "Running", "Succeeded", "Failed", "Invalid", "Unknown"], doc("State of the restore.")]
    ] = UNSET
    target_found: Maybe[Annotated[bool, doc("Whether the target exists.")]] = UNSET
    duration: Maybe[Annotated[str, doc("How long it took.")]] = UNSET
    restore_deadline: Maybe[Annotated[Time, doc("When it counts as failed.")]] = UNSET
    total_components: Maybe[Annotated[int, doc("How many components there are.")]] = UNSET
    components: Maybe[Annotated[dict[str, RestoreComponent], doc("State of each component, by its name.")]] = UNSET
    hooks: Maybe[Annotated[HookResults, doc("How its hooks ended.")]] = UNSET
    dependencies: Maybe[Annotated[list[Dependency], doc("Objects that it needs.")]] = UNSET
    paused_backups: Maybe[Annotated[list[TypedRef], doc("BackupConfigurations that wait for its end.")]] = UNSET
    conditions: Maybe[Annotated[list[Condition], doc("Steps of the restore.", key="type")]] = UNSET


class RestoreSession(Wire):
    """One restore: brings the data of a Snapshot, or of a moment, back into a target."""

    spec: Annotated[RestoreSessionSpec, doc("What to restore, where to and how.")]
    status: Maybe[Annotated[RestoreSessionStatus, doc("How it goes.")]] = UNSET
