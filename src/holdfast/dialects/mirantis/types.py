"""The Mirantis API as types. CRDs and the reference page are generated from here.

Field names and values are those of the API; every sentence is ours. What is beyond the documented fields (`phase`, `files`,
`nextBackupAt`, conditions, ...) lies in the status only, so that a manifest for the original runs here unchanged and back.
"""

from __future__ import annotations

from typing import Annotated, ClassVar, Final, Literal

from msgspec import UNSET, field

from holdfast.dialects.mirantis.kinds import GROUP, VERSION
from holdfast.schema.fields import Maybe, Opaque, Time, Wire, doc
from holdfast.schema.kind import AGE, Column, KindSpec

Outcome = Literal["Completed", "Failed"]
Phase = Literal["Pending", "InProgress", "Completed", "Failed"]


class RClone(Wire):
    """A bucket that is reached with rclone."""

    bucket: Annotated[str, doc("Existing bucket that holds the folder of backups.", min_length=1)]
    credential: Annotated[str, doc("RCloneCredential with the access data, in the same namespace.", min_length=1)]


class Parameters(Wire):
    """Where a backup goes and whether it is encrypted. Nothing set: the Cluster's own `backup` section, whole."""

    key_encryption_key: Maybe[
        Annotated[
            str,
            doc(
                "KeyEncryptionKey that wraps the archive's data key; else a Secret of that name. Needs rclone or nfsUploadUrl."
            ),
        ]
    ] = UNSET
    nfs_upload_url: Maybe[
        Annotated[str, doc("NFS share that receives the backup: nfs://HOST:/PATH. Not together with rclone.")]
    ] = UNSET
    rclone: Maybe[Annotated[RClone, doc("Bucket that receives the backup. Not together with nfsUploadUrl.")]] = UNSET


class Condition(Wire):
    """One thing that holds, does not hold or is not known, with the reason."""

    type: Annotated[str, doc("What this condition is about.")]
    status: Annotated[Literal["True", "False", "Unknown"], doc("Whether it holds.")]
    reason: Maybe[Annotated[str, doc("The cause as one word, for programs.")]] = UNSET
    message: Maybe[Annotated[str, doc("The cause as a sentence, for people.")]] = UNSET
    last_transition_time: Maybe[Annotated[Time, doc("When it last changed.")]] = UNSET
    observed_generation: Maybe[Annotated[int, doc("Generation of the spec that was judged.")]] = UNSET


class Running(Wire):
    """The attempt that runs now."""

    started_at: Maybe[Annotated[Time, doc("When it started.")]] = UNSET
    status: Maybe[Annotated[str, doc("Pending while it waits for its turn, else InProgress.")]] = UNSET
    message: Maybe[Annotated[str, doc("What it does or waits for.")]] = UNSET


class Ended(Wire):
    """The attempt that ended last."""

    started_at: Maybe[Annotated[Time, doc("When it started.")]] = UNSET
    completed_at: Maybe[Annotated[Time, doc("When it ended.")]] = UNSET
    status: Maybe[Annotated[Outcome, doc("Its outcome.")]] = UNSET
    message: Maybe[Annotated[str, doc("Why it failed; absent when it did not.")]] = UNSET


class Successful(Wire):
    """The latest attempt that completed. Later failures leave it as it is."""

    started_at: Maybe[Annotated[Time, doc("When it started.")]] = UNSET
    completed_at: Maybe[Annotated[Time, doc("When it ended.")]] = UNSET


class Attempts(Wire):
    """The attempts so far. A map, as the original's sample shows it."""

    in_progress: Maybe[Annotated[Running, doc("The attempt that runs now; absent while nothing runs.")]] = UNSET
    last: Maybe[Annotated[Ended, doc("The attempt that ended last.")]] = UNSET
    last_successful: Maybe[Annotated[Successful, doc("The latest attempt that completed.")]] = UNSET
    total: Maybe[Annotated[int, doc("Number of attempts, failed ones and the running one included.", ge=0)]] = UNSET


class ClusterBackupScheduleSpec(Wire):
    """When to back up which cluster."""

    schedule: Annotated[
        str, doc("Cron expression of five fields in the controller's time zone; at most one run an hour.", min_length=1)
    ]
    target_cluster: Annotated[str, doc("Cluster to back up, in the same namespace. Can't be changed.", min_length=1)]
    parameters: Maybe[
        Annotated[Parameters, doc("Storage and encryption; empty takes the Cluster's backup section at each run.")]
    ] = UNSET


class ClusterBackupScheduleStatus(Wire):
    """What became of the schedule's runs."""

    attempts: Maybe[Annotated[Attempts, doc("The attempts of this schedule.")]] = UNSET
    next_backup_at: Maybe[Annotated[Time, doc("When the next backup is due.")]] = UNSET
    last_backup: Maybe[Annotated[str, doc("ClusterBackup of the last due time.")]] = UNSET
    observed_schedule: Maybe[Annotated[str, doc("The cron expression for which nextBackupAt was found.")]] = UNSET
    conditions: Maybe[Annotated[list[Condition], doc("Whether the schedule is in force.", key="type")]] = UNSET


class ClusterBackupSchedule(Wire):
    """Backs up the control plane of one cluster again and again."""

    spec: ClusterBackupScheduleSpec
    status: Maybe[ClusterBackupScheduleStatus] = UNSET


class ClusterBackupSpec(Wire):
    """One backup to make."""

    target_cluster: Annotated[str, doc("Cluster to back up, in the same namespace.", min_length=1)]
    parameters: Maybe[Annotated[Parameters, doc("Storage and encryption; empty takes the Cluster's backup section.")]] = UNSET


class BackupFile(Wire):
    """One file of a backup."""

    name: Maybe[Annotated[str, doc("File name.")]] = UNSET
    size: Maybe[Annotated[int, doc("Size in bytes.", ge=0)]] = UNSET
    sha256: Maybe[Annotated[str, doc("SHA-256 of the file, as it was read back.", pattern="^[0-9a-f]{64}$")]] = UNSET


class UsedKey(Wire):
    """The key that opens an archive."""

    name: Maybe[Annotated[str, doc("KeyEncryptionKey or Secret that the parameters name.")]] = UNSET
    secret: Maybe[Annotated[str, doc("Secret that held its text.")]] = UNSET
    id: Maybe[Annotated[str, doc("Fingerprint of the key, also in the manifest beside the archive.")]] = UNSET


class Snapshot(Wire):
    """What was found in the control plane's database."""

    store: Maybe[Annotated[str, doc("Which kind of database: etcd or sqlite.")]] = UNSET
    revision: Maybe[Annotated[int, doc("Revision that the snapshot holds.")]] = UNSET
    keys: Maybe[Annotated[int, doc("Number of keys in it.")]] = UNSET
    hash: Maybe[Annotated[str, doc("Its checksum as `etcdctl snapshot status` prints it; SHA-256 for sqlite.")]] = UNSET


class ClusterBackupStatus(Wire):
    """What became of the backup."""

    phase: Maybe[Annotated[Phase, doc("State of the backup.")]] = UNSET
    attempts: Maybe[Annotated[Attempts, doc("The same in the schedule's words.")]] = UNSET
    started_at: Maybe[Annotated[Time, doc("When it started.")]] = UNSET
    completed_at: Maybe[Annotated[Time, doc("When it ended.")]] = UNSET
    message: Maybe[Annotated[str, doc("State in words: what it waits for, or why it failed.")]] = UNSET
    location: Maybe[Annotated[str, doc("Where the files lie.")]] = UNSET
    files: Maybe[Annotated[list[BackupFile], doc("Files written.")]] = UNSET
    encrypted: Maybe[Annotated[bool, doc("Whether the archive is encrypted.")]] = UNSET
    node: Maybe[Annotated[str, doc("Control-plane node on which it is made.")]] = UNSET
    parameters: Maybe[Annotated[Parameters, doc("The parameters in force: own ones, or the Cluster's.")]] = UNSET
    key: Maybe[Annotated[UsedKey, doc("The key that opens the archive.")]] = UNSET
    snapshot: Maybe[Annotated[Snapshot, doc("What the archive holds of the database.")]] = UNSET


class ClusterBackup(Wire):
    """One backup of the control plane of a cluster. Creating one runs it."""

    spec: ClusterBackupSpec
    status: Maybe[ClusterBackupStatus] = UNSET


class RemoteConfig(Wire):
    """Options of an rclone remote, written into its section as given."""

    OPEN: ClassVar[bool] = True

    access_key_id: Annotated[str, doc("Access key id.", min_length=1)] = field(name="access_key_id")
    endpoint: Annotated[str, doc("Address of the storage.", min_length=1)]
    type: Annotated[Literal["s3"], doc("Type of the remote.")]


class GivenSecret(Wire):
    """A clear secret on its way in."""

    value: Maybe[Annotated[str, doc("Clear secret, older place; moved to a Secret at once.")]] = UNSET


class RemoteSecret(Wire):
    """The secret part of a remote: given in clear once, then a reference."""

    secret: Maybe[Annotated[GivenSecret, doc("Older wrapper of the value.")]] = UNSET
    value: Maybe[Annotated[str, doc("Clear secret; moved to a Secret at once.")]] = UNSET
    name: Maybe[Annotated[str, doc("Secret that holds the value.")]] = UNSET
    key: Maybe[Annotated[str, doc("Entry in that Secret.")]] = UNSET


class RCloneCredentialSpec(Wire):
    """Access to a remote storage in the words of rclone."""

    remote_config: Annotated[RemoteConfig, doc("rclone options, written out as given; never a secret.")]
    remote_name: Maybe[Annotated[str, doc("Section name in the rclone file; `remote` when absent.")]] = UNSET
    remote_config_secret_key: Maybe[
        Annotated[str, doc("Option that receives the secret; `secret_access_key` when absent.")]
    ] = UNSET
    remote_secret: Maybe[Annotated[RemoteSecret, doc("The secret, or where it is kept.")]] = UNSET


class SecretHolderStatus(Wire):
    """Whether the secret is kept and who needs it."""

    conditions: Maybe[Annotated[list[Condition], doc("Ready, and why it may not go.", key="type")]] = UNSET


class RCloneCredential(Wire):
    """Credentials of a remote storage."""

    spec: RCloneCredentialSpec
    status: Maybe[SecretHolderStatus] = UNSET


class KeySecret(Wire):
    """The text of a key: given in clear once, then a reference."""

    value: Maybe[Annotated[str, doc("Clear key text of at least 32 characters in one line; moved to a Secret at once.")]] = (
        UNSET
    )
    name: Maybe[Annotated[str, doc("Secret that holds the key.")]] = UNSET
    key: Maybe[Annotated[str, doc("Entry in that Secret.")]] = UNSET


class KeyEncryptionKeySpec(Wire):
    """A key that encrypts the data keys of archives."""

    secret: Maybe[Annotated[KeySecret, doc("The key, or where it is kept.")]] = UNSET


class NeedingArchive(Wire):
    """An archive that only this key opens."""

    name: Annotated[str, doc("ClusterBackup that made it.")]
    uid: Annotated[str, doc("Its uid: it may be gone, while its files are there.")]
    secret: Maybe[Annotated[str, doc("Secret that holds the text with which the archive was encrypted.")]] = UNSET
    location: Maybe[Annotated[str, doc("Where its files lie; absent while it is being made.")]] = UNSET


class KeyEncryptionKeyStatus(Wire):
    """Whether the key is kept, and what would be lost without it."""

    conditions: Maybe[Annotated[list[Condition], doc("Ready, and why it may not go.", key="type")]] = UNSET
    archives: Maybe[
        Annotated[
            list[NeedingArchive], doc("Archives that need the key, at most 100; first those whose ClusterBackup is gone.")
        ]
    ] = UNSET
    held_secrets: Maybe[Annotated[list[str], doc("Secrets that a finalizer keeps because archives need them.")]] = UNSET


class KeyEncryptionKey(Wire):
    """A passphrase that wraps the data key of each archive."""

    spec: KeyEncryptionKeySpec
    status: Maybe[KeyEncryptionKeyStatus] = UNSET


class ClusterSpec(Wire):
    """What backups need of a Cluster; all else is kept as it is."""

    OPEN: ClassVar[bool] = True

    backup: Maybe[Annotated[Parameters, doc("Storage and encryption for backups that name none themselves.")]] = UNSET


class Cluster(Wire):
    """A cluster whose control plane can be backed up. Holdfast reads it and changes nothing in it."""

    spec: Maybe[ClusterSpec] = UNSET
    status: Maybe[Opaque] = UNSET


_PHASE: Final = Column("Phase", ".status.phase")
_TARGET: Final = Column("Cluster", ".spec.targetCluster")


def _kind(plural: str, type_: type[Wire], *columns: Column, referenced: bool = False) -> KindSpec:
    return KindSpec(
        group=GROUP,
        version=VERSION,
        kind=type_.__name__,
        plural=plural,
        type=type_,
        columns=(*columns, AGE),
        referenced=referenced,
    )


KINDS: Final = (
    _kind(
        "clusterbackupschedules",
        ClusterBackupSchedule,
        _TARGET,
        Column("Schedule", ".spec.schedule"),
        Column("Last", ".status.attempts.last.status"),
        Column("Last-Successful", ".status.attempts.lastSuccessful.completedAt", "date"),
        Column("Next", ".status.nextBackupAt"),
        Column("Total", ".status.attempts.total", "integer"),
    ),
    _kind(
        "clusterbackups",
        ClusterBackup,
        _TARGET,
        _PHASE,
        Column("Encrypted", ".status.encrypted", "boolean"),
        Column("Location", ".status.location"),
        Column("Completed", ".status.completedAt", "date"),
    ),
    _kind("rclonecredentials", RCloneCredential, Column("Remote", ".spec.remoteName")),
    _kind("keyencryptionkeys", KeyEncryptionKey, Column("Secret", ".spec.secret.name")),
    _kind("clusters", Cluster, referenced=True),
)
"""Every kind of the API."""
