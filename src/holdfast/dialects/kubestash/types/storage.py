"""Where data lies and how long: BackupStorage, RetentionPolicy and Repository."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import UNSET, field

from holdfast.dialects.kubestash.types.common import Condition, ReadyPhase, Ref, RunPhase, TypedRef, UsagePolicy
from holdfast.dialects.kubestash.types.runtime import RuntimeSettings
from holdfast.schema.fields import Maybe, Time, Wire, doc


class LocalStorage(Wire):
    """A directory of a volume; any volume source of Kubernetes is written inline."""

    OPEN: ClassVar[bool] = True

    mount_path: Maybe[Annotated[str, doc("Where Jobs mount the volume.")]] = UNSET
    sub_path: Maybe[Annotated[str, doc("Folder of the volume to use.")]] = UNSET
    max_connections: Maybe[Annotated[int, doc("Transfers side by side.", ge=0)]] = UNSET


class S3Storage(Wire):
    """A bucket of an S3 service."""

    endpoint: Maybe[Annotated[str, doc("Address of the service, with its scheme.")]] = UNSET
    bucket: Maybe[Annotated[str, doc("The bucket.")]] = UNSET
    prefix: Maybe[Annotated[str, doc("Folder in the bucket.")]] = UNSET
    region: Maybe[Annotated[str, doc("Region of the bucket.")]] = UNSET
    secret_name: Maybe[Annotated[str, doc("Secret with the access key; the pod's identity when absent.")]] = UNSET
    max_connections: Maybe[Annotated[int, doc("Transfers side by side.", ge=0)]] = UNSET
    insecure_tls: Annotated[bool, doc("Whether any certificate is accepted.")] = field(name="insecureTLS", default=False)


class GCSStorage(Wire):
    """A bucket of Google Cloud Storage."""

    bucket: Maybe[Annotated[str, doc("The bucket.")]] = UNSET
    prefix: Maybe[Annotated[str, doc("Folder in the bucket.")]] = UNSET
    secret_name: Maybe[Annotated[str, doc("Secret with the service account's key.")]] = UNSET
    max_connections: Maybe[Annotated[int, doc("Transfers side by side.", ge=0)]] = UNSET


class AzureStorage(Wire):
    """A container of Azure Blob Storage."""

    storage_account: Maybe[Annotated[str, doc("The storage account.")]] = UNSET
    container: Maybe[Annotated[str, doc("The container.")]] = UNSET
    prefix: Maybe[Annotated[str, doc("Folder in the container.")]] = UNSET
    secret_name: Maybe[Annotated[str, doc("Secret with the account's key; the workload's identity when absent.")]] = UNSET
    max_connections: Maybe[Annotated[int, doc("Transfers side by side.", ge=0)]] = UNSET


class StorageLocation(Wire):
    """A backend and the place in it."""

    provider: Maybe[Annotated[Literal["local", "s3", "gcs", "azure"], doc("Kind of backend.")]] = UNSET
    local: Maybe[Annotated[LocalStorage, doc("A volume.")]] = UNSET
    s3: Maybe[Annotated[S3Storage, doc("An S3 service.")]] = UNSET
    gcs: Maybe[Annotated[GCSStorage, doc("Google Cloud Storage.")]] = UNSET
    azure: Maybe[Annotated[AzureStorage, doc("Azure Blob Storage.")]] = UNSET


class BackupStorageSpec(Wire):
    """Where data lies and who may use it."""

    storage: Maybe[Annotated[StorageLocation, doc("The backend and the place in it.")]] = UNSET
    usage_policy: Maybe[Annotated[UsagePolicy, doc("Who may refer to this storage.")]] = UNSET
    default: Annotated[bool, doc("Whether backups that name no storage use this one; one per namespace.")] = False
    deletion_policy: Annotated[Literal["Delete", "WipeOut"], doc("Whether the data goes with this object.")] = "Delete"
    runtime_settings: Maybe[Annotated[RuntimeSettings, doc("Settings of the Jobs that prepare and clean it.")]] = UNSET


class StoredRepository(Wire):
    """A repository that lies in a storage."""

    name: Maybe[Annotated[str, doc("Name of the Repository.")]] = UNSET
    namespace: Maybe[Annotated[str, doc("Its namespace.")]] = UNSET
    path: Maybe[Annotated[str, doc("Its path in the backend.")]] = UNSET
    size: Maybe[Annotated[str, doc("Its size.")]] = UNSET
    synced: Maybe[Annotated[bool, doc("Whether its objects were made again from the backend.")]] = UNSET
    error: Maybe[Annotated[str, doc("Why that failed.")]] = UNSET


class BackupStorageStatus(Wire):
    """Whether a storage can be used, and what lies there."""

    phase: Maybe[Annotated[ReadyPhase, doc("Whether it can be used.")]] = UNSET
    total_size: Maybe[Annotated[str, doc("Size of all its repositories.")]] = UNSET
    repositories: Maybe[Annotated[list[StoredRepository], doc("Repositories that lie there.")]] = UNSET
    conditions: Maybe[Annotated[list[Condition], doc("What holds for the storage.", key="type")]] = UNSET


class BackupStorage(Wire):
    """A place for backups: a volume, or a bucket of an object store."""

    spec: Annotated[BackupStorageSpec, doc("Where data lies and who may use it.")]
    status: Maybe[Annotated[BackupStorageStatus, doc("Whether it can be used.")]] = UNSET


class SuccessfulSnapshots(Wire):
    """How many good Snapshots stay."""

    last: Maybe[Annotated[int, doc("The newest so many.", ge=0)]] = UNSET
    hourly: Maybe[Annotated[int, doc("The newest of each of so many hours.", ge=0)]] = UNSET
    daily: Maybe[Annotated[int, doc("The newest of each of so many days.", ge=0)]] = UNSET
    weekly: Maybe[Annotated[int, doc("The newest of each of so many weeks.", ge=0)]] = UNSET
    monthly: Maybe[Annotated[int, doc("The newest of each of so many months.", ge=0)]] = UNSET
    yearly: Maybe[Annotated[int, doc("The newest of each of so many years.", ge=0)]] = UNSET


class FailedSnapshots(Wire):
    """How many failed Snapshots stay."""

    last: Annotated[int, doc("The newest so many.", ge=0)] = 1


class RetentionPolicySpec(Wire):
    """What stays, what goes, and who may use this policy."""

    max_retention_period: Maybe[
        Annotated[str, doc("Age at which Snapshots go, such as `1y6mo` or `30d`.", pattern="^([0-9]+(y|mo|w|d|h|m))+$")]
    ] = UNSET
    successful_snapshots: Maybe[Annotated[SuccessfulSnapshots, doc("How many good Snapshots stay.")]] = UNSET
    failed_snapshots: Annotated[FailedSnapshots, doc("How many failed Snapshots stay.")] = field(
        default_factory=FailedSnapshots
    )
    default: Annotated[bool, doc("Whether backends that name no policy use this one; one per namespace.")] = False
    usage_policy: Maybe[Annotated[UsagePolicy, doc("Who may refer to this policy.")]] = UNSET


class RetentionPolicy(Wire):
    """Which Snapshots stay and which go. The newest good one always stays."""

    spec: Annotated[RetentionPolicySpec, doc("What stays and what goes.")]


class RepositorySpec(Wire):
    """Which application's data lies where."""

    app_ref: Maybe[Annotated[TypedRef, doc("The application whose data it holds.")]] = UNSET
    storage_ref: Maybe[Annotated[Ref, doc("The BackupStorage that holds it.")]] = UNSET
    path: Maybe[Annotated[str, doc("Its path in the backend; it cannot change.")]] = UNSET
    deletion_policy: Annotated[Literal["Delete", "WipeOut"], doc("Whether the data goes with this object.")] = "Delete"
    encryption_secret: Maybe[Annotated[Ref, doc("Secret with its password.")]] = UNSET
    paused: Annotated[bool, doc("Whether nothing is done with it.")] = False


class RecentSnapshot(Wire):
    """One of the newest Snapshots."""

    name: Maybe[Annotated[str, doc("Name of the Snapshot.")]] = UNSET
    phase: Maybe[Annotated[RunPhase, doc("Its phase.")]] = UNSET
    session: Maybe[Annotated[str, doc("The session that made it.")]] = UNSET
    size: Maybe[Annotated[str, doc("Its size.")]] = UNSET
    snapshot_time: Maybe[Annotated[Time, doc("When it was taken.")]] = UNSET


class RepositoryState(Wire):
    """What a repository holds."""

    phase: Maybe[Annotated[Literal["NotReady", "Ready"], doc("Whether it can be used.")]] = UNSET
    last_backup_time: Maybe[Annotated[Time, doc("When the last good backup was taken.")]] = UNSET
    integrity: Maybe[Annotated[bool, doc("Result of the last check.")]] = UNSET
    snapshot_count: Maybe[Annotated[int, doc("How many Snapshots there are.")]] = UNSET
    size: Maybe[Annotated[str, doc("Size of all data.")]] = UNSET
    recent_snapshots: Maybe[Annotated[list[RecentSnapshot], doc("The newest Snapshots.", max_length=5)]] = UNSET
    component_paths: Maybe[Annotated[list[str], doc("Paths of its components.")]] = UNSET
    conditions: Maybe[Annotated[list[Condition], doc("What holds for the repository.", key="type")]] = UNSET


class Repository(Wire):
    """The backups of one application in one storage."""

    spec: Annotated[RepositorySpec, doc("Which data lies where.")]
    status: Maybe[Annotated[RepositoryState, doc("What it holds.")]] = UNSET
