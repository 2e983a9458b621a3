"""The arguments of every mover call: what a dialect asks for and a mover carries out.

Both sides know each other only through these structs. A call crosses a process border as JSON (environment variable
`HOLDFAST_CALL`: `{"mover": ..., "arguments": {...}}`), so field names are the wire names. No argument is ever a secret: it
names a folder or a file below `SECRETS` into which the pod mounts one. Lists of stores are in the order of the user's object.
"""

from collections.abc import Mapping
from typing import Any, ClassVar

import msgspec

from holdfast.core.call import SECRETS, Call, RepositoryTarget, StorageTarget
from holdfast.core.cluster_calls import Exec, HttpRequest, ManifestsBackup, ManifestsRestore, TcpConnect

__all__ = ["SECRETS", "Call", "RepositoryTarget", "StorageTarget"]

DEAD_HOSTS = "HOLDFAST_DEAD_HOSTS"
"""The environment variable in which the engine names pods that have ended, by commas: their locks protect nobody."""

PASSWORD_KEY = "RESTIC_PASSWORD"
"""The key of an encryption Secret that holds the repository's password."""


OBJECT_LOCK, ENABLED = "object-lock", "Enabled"
"""The item of a report on a store that says whether its bucket has an object lock, and its status when it has."""


class StorageInit(Call, frozen=True, omit_defaults=True):
    """Prove that the store can be written, read, listed and deleted in, then write `metadata.yaml` unless it is there.

    `document` is that file's content as JSON; the mover adds `creationTimestamp`. With `adopt` (the namespace and name of the
    BackupStorage), what `metadata.yaml` lists is made again through the Kubernetes API: each Repository from its
    `repository.yaml` and its Snapshots from `snapshots/`, in the namespaces recorded there. The report has an item for each
    Repository, `<namespace>/<name>`, with the status `Synced` or `Failed`. A `repository` is made where it is missing, and
    opened. With `look_for_lock` an item `object-lock` of the report says `Enabled` or `Disabled`, as the bucket's is.
    """

    MOVER: ClassVar[str] = "storage-init"

    store: StorageTarget
    document: Mapping[str, Any]
    adopt: tuple[str, str] | None = None
    repository: RepositoryTarget | None = None
    look_for_lock: bool = False


class Listed(msgspec.Struct, frozen=True):
    """The entry of a repository in `metadata.yaml`, at the `root` of its storage. `path` leads from there to it."""

    root: StorageTarget
    namespace: str
    name: str
    path: str


class RepositoryInit(Call, frozen=True, omit_defaults=True):
    """Write `repository.yaml` (`document`) below the repository's path. One that is there is replaced when it differs.

    `listed` is added to the `metadata.yaml` of the storage, so that a new cluster finds the repository.
    """

    MOVER: ClassVar[str] = "repository-init"

    name: str
    store: StorageTarget
    document: Mapping[str, Any]
    listed: Listed | None = None


class VolumeBackup(Call, frozen=True, omit_defaults=True):
    """Back up paths of the pod's file system: one restic snapshot for each path, in each repository.

    The report holds one result for each repository, its `snapshot_ids` in the order of `paths`. `excludes` are restic patterns.
    Of the packs that lie in a repository afterwards, `sample` bytes are read again; 0 reads none.
    """

    MOVER: ClassVar[str] = "volume-backup"

    repositories: tuple[RepositoryTarget, ...]
    paths: tuple[str, ...]
    excludes: tuple[str, ...] = ()
    host: str = ""
    tags: tuple[str, ...] = ()
    sample: int = 0


class VolumeRestore(Call, frozen=True, omit_defaults=True):
    """Restore whole snapshots to their original absolute paths below `target`, and read back what was written if `verify`."""

    MOVER: ClassVar[str] = "volume-restore"

    repository: RepositoryTarget
    snapshot_ids: tuple[str, ...]
    target: str = "/"
    include: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    verify: bool = True


class Forgotten(msgspec.Struct, frozen=True):
    """The restic snapshots by which one Snapshot resource lives in one repository."""

    name: str
    snapshot_ids: tuple[str, ...]


class Forget(msgspec.Struct, frozen=True, omit_defaults=True):
    """What goes from one restic repository. Ids that are gone already are no error.

    Every snapshot with one of `tags` goes as well, but for those in `keep`.
    """

    repository: RepositoryTarget
    snapshots: tuple[Forgotten, ...] = ()
    tags: tuple[str, ...] = ()
    keep: tuple[str, ...] = ()


class Records(msgspec.Struct, frozen=True, omit_defaults=True):
    """The documents of Snapshots below a repository's path, `snapshots/<name>.yaml`: those to write, those to delete."""

    store: StorageTarget
    write: Mapping[str, Mapping[str, Any]] = {}
    delete: tuple[str, ...] = ()


class Retention(Call, frozen=True, omit_defaults=True):
    """Forget snapshots and prune what only they held. `failure` is absent only when all of them are gone.

    A repository with nothing to forget is only freed of the locks of dead holders; it may be missing. `records` are written
    before anything is forgotten; the document of a Snapshot that was forgotten goes after its data.
    """

    MOVER: ClassVar[str] = "retention"

    forget: tuple[Forget, ...]
    records: Records | None = None


class Wipe(Call, frozen=True, omit_defaults=True):
    """Delete everything below a store's URL. An empty path or a bucket's root is refused by the mover.

    `listed` is taken out of the storage's `metadata.yaml` then.
    """

    MOVER: ClassVar[str] = "wipe"

    name: str
    store: StorageTarget
    listed: Listed | None = None


class StorageWipe(Call, frozen=True, omit_defaults=True):
    """Delete every repository that a storage's `metadata.yaml` lists, and then that file. Neighbours are left alone."""

    MOVER: ClassVar[str] = "storage-wipe"

    name: str
    store: StorageTarget


class RepositoryCheck(Call, frozen=True, omit_defaults=True):
    """Prove that files can be written, read, listed and deleted below `path`, from the root of the pod's datasafed storage."""

    MOVER: ClassVar[str] = "repository-check"

    name: str
    path: str = ""


class PassPhrase(msgspec.Struct, frozen=True):
    """What may open sealed files: an algorithm of datasafed, and the file that holds the pass phrase, if it is there."""

    algorithm: str
    file: str


class RecordDiscovery(Call, frozen=True, omit_defaults=True):
    """Find the records of backups below `path` of the pod's datasafed storage, and make those objects that are not there.

    A record is a file called `file` that holds a completed object of `api_version` and `kind`. It is made in its own namespace
    if that exists, with `labels` and `spec` besides its own, and then gets its recorded status, with `status` in it. Sealed
    records are opened with whichever of the `phrases` fits.
    """

    MOVER: ClassVar[str] = "record-discovery"

    name: str
    file: str
    api_version: str
    kind: str
    plural: str
    labels: Mapping[str, str]
    spec: Mapping[str, Any]
    status: Mapping[str, Any]
    path: str = ""
    phrases: tuple[PassPhrase, ...] = ()


class Trigger(Call, frozen=True, omit_defaults=True):
    """Create `document` (all but its name) as `<name_prefix>-<moment>` through the Kubernetes API, once.

    The moment is the due time of the CronJob, in Unix seconds or as `stamp` (of strftime, in UTC) writes it. `plural` completes
    the REST path; apiVersion, kind and namespace are in the document. A name that exists is no error, unless the object has
    other labels: then the new one gets a name of its own.
    """

    MOVER: ClassVar[str] = "trigger"

    plural: str
    name_prefix: str
    document: Mapping[str, Any]
    stamp: str = ""


class AntflyServer(msgspec.Struct, frozen=True, omit_defaults=True):
    """The public API of an Antfly cluster: `url` is its root (`http://host:port`), `token_file` may hold a bearer token.

    A token file that is missing or empty means no token. `cluster` names the AntflyCluster in messages.
    """

    url: str
    cluster: str
    token_file: str = ""


class AntflyBackup(Call, frozen=True, omit_defaults=True):
    """Let an Antfly cluster back itself up to `location`; no `tables` means all. Gives up after `timeout` seconds.

    The backup's id derives from `owner` (`<namespace>/<name>`), `cron_job` and the Job (see `core.run_id`). With `adopt_job`
    and `adopt_uid` nothing is started: the mover waits for the backup that this earlier Job asked for, and says how it ended.
    """

    MOVER: ClassVar[str] = "antfly-backup"

    server: AntflyServer
    location: str
    owner: str
    cron_job: str
    timeout: int
    tables: tuple[str, ...] = ()
    adopt_job: str = ""
    adopt_uid: str = ""


class AntflyRestore(Call, frozen=True, omit_defaults=True):
    """Let an Antfly cluster load a backup, and wait until its data is there. `mode` as the API spells it; seconds."""

    MOVER: ClassVar[str] = "antfly-restore"

    server: AntflyServer
    location: str
    backup_id: str
    mode: str
    timeout: int
    tables: tuple[str, ...] = ()


class AntflyRetention(Call, frozen=True, omit_defaults=True):
    """Delete old backups of one AntflyBackup from an S3 location. A backup goes when neither rule keeps it.

    `keep_last` newest ones stay, and those younger than `keep_seconds` (0: that rule keeps nothing); the newest one and
    `spared` ids always stay. Only what the schedule of `owner` (`<namespace>/<name>`) made is looked at. `credentials_dir`
    holds the AWS_* keys, AWS_ENDPOINT_URL and AWS_REGION as files.
    """

    MOVER: ClassVar[str] = "antfly-retention"

    server: AntflyServer
    location: str
    owner: str
    credentials_dir: str
    keep_last: int = 0
    keep_seconds: int = 0
    spared: tuple[str, ...] = ()


class AntflyHealth(Call, frozen=True, omit_defaults=True):
    """Ask an Antfly cluster how it is."""

    MOVER: ClassVar[str] = "antfly-health"

    server: AntflyServer


class ControlPlane(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where the pod finds a control plane. Paths are those in the pod; an empty one does not exist.

    `store` is `etcd` or `sqlite`; `endpoint` the etcd to ask, `pki` the folder of certificates (with the client's for etcd
    below it), `manifests` the folder of static manifests, `database` the file of an embedded API server.
    """

    store: str
    endpoint: str = ""
    pki: str = ""
    manifests: str = ""
    database: str = ""


class NfsShare(msgspec.Struct, frozen=True):
    """An NFS share by its server and the path that it exports."""

    server: str
    path: str


class ArchivePlace(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where archives go. `location` names it for people.

    With `share` they go into `folder` inside of it, by a client of our own: the machine can't mount it. With `remote` they go
    through rclone to `<remote>:<folder>` with `options` as its section and the file `secret_file` as the value of
    `secret_option`; else into the pod's directory `folder`.
    """

    folder: str
    location: str
    remote: str = ""
    options: Mapping[str, str] = {}
    secret_option: str = ""
    secret_file: str = ""
    share: NfsShare | None = None


class ArchiveKey(msgspec.Struct, frozen=True):
    """The key that wraps an archive's data key: its object's name, the Secret and the file that holds its text."""

    name: str
    secret: str
    file: str


class ControlPlaneBackup(Call, frozen=True, omit_defaults=True):
    """Archive a control plane as `<name>.tar.gz`, or with a key as `<name>.encrypted` and `<name>.dek`, with a manifest beside.

    The report's `archive` names every file with the checksum of what was read back.
    """

    MOVER: ClassVar[str] = "control-plane-backup"

    cluster: str
    name: str
    node: str
    source: ControlPlane
    place: ArchivePlace
    key: ArchiveKey | None = None


class ArchiveDelete(Call, frozen=True, omit_defaults=True):
    """Delete the files of archives from their place. Files that are gone already are no error."""

    MOVER: ClassVar[str] = "archive-delete"

    place: ArchivePlace
    files: tuple[str, ...]


class DatasafedInstall(Call, frozen=True, omit_defaults=True):
    """Put the program `datasafed`, which runs in any image, into a folder that the containers of the pod share."""

    MOVER: ClassVar[str] = "datasafed-install"

    folder: str


class DatasafedAttend(Call, frozen=True, omit_defaults=True):
    """Stand beside a container of the user's: carry out what it asks of `datasafed`, and tell what it says of itself.

    `folder` is where `datasafed-install` put the program. `info` is the file in which a backup writes what it knows of itself,
    as JSON; it is looked at every `interval` seconds and at the end. What was saved is measured then, and `record`, a document
    to which that is added as its status, is written beside it under the name `record_file`; with `lasting`, for a command that
    never ends, whenever the file has changed. The repository is that of the
    environment (see `movers.datasafed.settings`).
    """

    MOVER: ClassVar[str] = "datasafed-attend"

    folder: str
    info: str = ""
    interval: int = 5
    lasting: bool = False
    record: Mapping[str, Any] = {}
    record_file: str = ""


class DatasafedConclude(Call, frozen=True, omit_defaults=True):
    """Measure what a backup stored and read it back, as `DatasafedAttend` does at its end, when its words were lost.

    `record` and `record_file` as there; `extras` is what the backup had told of itself before. The repository is that of the
    environment.
    """

    MOVER: ClassVar[str] = "datasafed-conclude"

    record: Mapping[str, Any]
    record_file: str
    extras: tuple[Mapping[str, Any], ...] = ()


class DatasafedDelete(Call, frozen=True, omit_defaults=True):
    """Delete a folder of a repository with all that it holds, and the folders above it that are empty then.

    `path` must hold `name`, so that nobody deletes more than one backup. What is gone already is no error.
    """

    MOVER: ClassVar[str] = "datasafed-delete"

    path: str
    name: str


class RecordDelete(Call, frozen=True, omit_defaults=True):
    """Delete the records `file` of a backup, plain or sealed, from all folders below its own, and nothing else.

    `path` must hold `name`, as in `DatasafedDelete`. What is gone already is no error.
    """

    MOVER: ClassVar[str] = "record-delete"

    path: str
    name: str
    file: str


CALLS: Mapping[str, type[Call]] = {
    kind.MOVER: kind
    for kind in (
        StorageInit,
        RepositoryInit,
        VolumeBackup,
        VolumeRestore,
        Retention,
        Wipe,
        RepositoryCheck,
        RecordDiscovery,
        StorageWipe,
        Trigger,
        AntflyBackup,
        AntflyRestore,
        AntflyRetention,
        AntflyHealth,
        ControlPlaneBackup,
        ArchiveDelete,
        Exec,
        HttpRequest,
        TcpConnect,
        DatasafedInstall,
        DatasafedAttend,
        DatasafedConclude,
        DatasafedDelete,
        RecordDelete,
        ManifestsBackup,
        ManifestsRestore,
    )
}
"""Every call by the name of its mover."""


def decode_call(mover: str, arguments: Mapping[str, Any]) -> Call:
    """Read the arguments of a mover. Raises KeyError for an unknown mover, msgspec.ValidationError for wrong arguments."""
    return msgspec.convert(dict(arguments), CALLS[mover])
