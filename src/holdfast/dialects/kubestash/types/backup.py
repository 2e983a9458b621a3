"""What to back up, where to and when: BackupConfiguration, and the BackupBlueprint that makes such objects."""

from __future__ import annotations

from typing import Annotated, Literal

from msgspec import UNSET

from holdfast.dialects.kubestash.types.common import Condition, Dependency, ReadyPhase, Ref, RetryConfig, TypedRef, UsagePolicy
from holdfast.dialects.kubestash.types.hooks import HookUse
from holdfast.dialects.kubestash.types.scheduling import Scheduler
from holdfast.dialects.kubestash.types.tasks import AddonUse
from holdfast.schema.fields import Duration, Maybe, Wire, doc


class Backend(Wire):
    """One storage to write to, and what is kept there."""

    storage_ref: Annotated[Ref, doc("BackupStorage to use; its usagePolicy must admit this namespace.")]
    name: Annotated[str, doc("Identifier of this backend.")] = ""
    retention_policy: Maybe[Annotated[Ref, doc("RetentionPolicy for the Snapshots there; the default one when absent.")]] = (
        UNSET
    )


class BackupHooks(Wire):
    """Hooks around a backup."""

    pre_backup: Maybe[Annotated[list[HookUse], doc("Hooks that run before; a failure keeps the backup from running.")]] = UNSET
    post_backup: Maybe[Annotated[list[HookUse], doc("Hooks that run after, each by its execution policy.")]] = UNSET


class RepositoryUse(Wire):
    """A repository to write to; a Repository is made for it."""

    directory: Annotated[str, doc("Path inside the backend.")]
    name: Annotated[str, doc("Name of the Repository.")] = ""
    backend: Maybe[Annotated[str, doc("Name of a backend of this object; blank means the default one.")]] = UNSET
    encryption_secret: Maybe[Annotated[Ref, doc("Secret with the password of the repository; volume snapshots need none.")]] = (
        UNSET
    )
    deletion_policy: Annotated[
        Literal["Delete", "WipeOut", "Retain"],
        doc("What goes when the Repository is deleted: only the object, the data too, or nothing."),
    ] = "Delete"
    backup_verifier: Maybe[Annotated[Ref, doc("BackupVerifier that tests this repository.")]] = UNSET


class Session(Wire):
    """One way and time of backing the target up."""

    name: Annotated[str, doc("Identifier of this session.")]
    scheduler: Annotated[Scheduler, doc("When it is triggered.")]
    addon: Annotated[AddonUse, doc("What does the work.")]
    repositories: Annotated[list[RepositoryUse], doc("Where the data goes.", key="name", min_length=1)]
    hooks: Maybe[Annotated[BackupHooks, doc("What runs around the backup.")]] = UNSET
    retry_config: Maybe[Annotated[RetryConfig, doc("What happens after a failed backup.")]] = UNSET
    timeout: Maybe[Annotated[Duration, doc("Time limit; past it the BackupSession has failed. No limit when absent.")]] = UNSET
    backup_timeout: Maybe[Annotated[Duration, doc("The newer name of `timeout`.")]] = UNSET
    session_history_limit: Annotated[int, doc("Finished sessions to keep, with their Jobs.", ge=0)] = 1


class BackupConfigurationSpec(Wire):
    """What to back up, where to and when."""

    sessions: Annotated[list[Session], doc("When and how to back up.", key="name", min_length=1)]
    target: Maybe[Annotated[TypedRef, doc("Workload, database or volume to back up, in any namespace.")]] = UNSET
    backends: Maybe[
        Annotated[list[Backend], doc("Storages for the data; the default BackupStorage when absent.", key="name")]
    ] = UNSET
    paused: Annotated[bool, doc("Whether its CronJobs are suspended and nothing else is done.")] = False


class StorageStatus(Wire):
    """State of a backend's BackupStorage."""

    ref: Maybe[Annotated[Ref, doc("The BackupStorage.")]] = UNSET
    phase: Maybe[Annotated[ReadyPhase, doc("Its phase.")]] = UNSET
    reason: Maybe[Annotated[str, doc("What is wrong with it.")]] = UNSET


class RetentionPolicyStatus(Wire):
    """State of a backend's RetentionPolicy."""

    ref: Maybe[Annotated[Ref, doc("The RetentionPolicy.")]] = UNSET
    found: Maybe[Annotated[bool, doc("Whether it exists.")]] = UNSET
    reason: Maybe[Annotated[str, doc("What is wrong with it.")]] = UNSET


class BackendStatus(Wire):
    """State of a backend."""

    name: Maybe[Annotated[str, doc("Name of the backend.")]] = UNSET
    ready: Maybe[Annotated[bool, doc("Whether it can be used.")]] = UNSET
    storage: Maybe[Annotated[StorageStatus, doc("Its BackupStorage.")]] = UNSET
    retention_policy: Maybe[Annotated[RetentionPolicyStatus, doc("Its RetentionPolicy.")]] = UNSET


class RepositoryStatus(Wire):
    """State of a repository."""

    name: Maybe[Annotated[str, doc("Name of the Repository.")]] = UNSET
    phase: Maybe[Annotated[ReadyPhase, doc("Its phase.")]] = UNSET
    reason: Maybe[Annotated[str, doc("What is wrong with it.")]] = UNSET
    verification_configured: Maybe[Annotated[bool, doc("Whether a verifier tests it.")]] = UNSET


class SessionStatus(Wire):
    """State of a session."""

    name: Maybe[Annotated[str, doc("Name of the session.")]] = UNSET
    next_schedule: Maybe[Annotated[str, doc("When it is triggered next.")]] = UNSET
    conditions: Maybe[Annotated[list[Condition], doc("What holds for the session.", key="type")]] = UNSET


class BackupConfigurationStatus(Wire):
    """Whether backups can run, and what is missing."""

    phase: Maybe[Annotated[Literal["NotReady", "Ready", "Invalid"], doc("State of the object.")]] = UNSET
    target_found: Maybe[Annotated[bool, doc("Whether the target exists.")]] = UNSET
    conditions: Maybe[Annotated[list[Condition], doc("What holds for the object.", key="type")]] = UNSET
    backends: Maybe[Annotated[list[BackendStatus], doc("State of each backend.")]] = UNSET
    repositories: Maybe[Annotated[list[RepositoryStatus], doc("State of each repository.")]] = UNSET
    dependencies: Maybe[Annotated[list[Dependency], doc("Objects that it needs.")]] = UNSET
    sessions: Maybe[Annotated[list[SessionStatus], doc("State of each session.")]] = UNSET


class BackupConfiguration(Wire):
    """Backs up one target: which storages receive the data, and when and how sessions run."""

    spec: Annotated[BackupConfigurationSpec, doc("What to back up, where to and when.")]
    status: Maybe[Annotated[BackupConfigurationStatus, doc("Whether backups can run.")]] = UNSET


class Subject(Wire):
    """A kind of workload."""

    api_version: Maybe[Annotated[str, doc("API version of the kind.")]] = UNSET
    kind: Maybe[Annotated[str, doc("The kind.")]] = UNSET


class BackupConfigurationTemplate(Wire):
    """The BackupConfiguration that a blueprint makes; `${name}` is filled in from the workload's annotations."""

    namespace: Maybe[Annotated[str, doc("Where it is made; the workload's namespace when absent.")]] = UNSET
    backends: Maybe[Annotated[list[Backend], doc("Its backends.", key="name")]] = UNSET
    sessions: Maybe[Annotated[list[Session], doc("Its sessions.", key="name")]] = UNSET
    deletion_policy: Maybe[Annotated[Literal["OnDelete"], doc("Whether it goes with the blueprint.")]] = UNSET


class BackupBlueprintSpec(Wire):
    """What annotated workloads get."""

    usage_policy: Maybe[Annotated[UsagePolicy, doc("Who may use this blueprint.")]] = UNSET
    subjects: Maybe[Annotated[list[Subject], doc("Kinds of workload that may use it.")]] = UNSET
    backup_configuration_template: Maybe[Annotated[BackupConfigurationTemplate, doc("What is made for each of them.")]] = UNSET


class BackupBlueprint(Wire):
    """Makes a BackupConfiguration for each workload that asks for it by annotation."""

    spec: Annotated[BackupBlueprintSpec, doc("What annotated workloads get.")]
