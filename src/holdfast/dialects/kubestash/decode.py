"""Specs as this dialect thinks of them: defaults applied, both generations of field and task names folded into one.

The seed's release and today's differ in spelling (`timeout`/`backupTimeout`, `LogicalBackup`/`logical-backup`); only this
module knows that. What it can't read as a number or a duration is left out here and refused by `validate`.
"""

from datetime import timedelta
from typing import Any, Final

import msgspec

from holdfast.core.objects import Kind, Object, Ref
from holdfast.core.read import flag, items, mapping, name_of, namespace_of, number, text, uid_of
from holdfast.core.times import parse_duration
from holdfast.dialects.kubestash.kinds import CORE

TASK_NAMES: Final = {
    "LogicalBackup": "logical-backup",
    "LogicalBackupRestore": "logical-backup-restore",
    "VolumeSnapshot": "volume-snapshot",
    "VolumeSnapshotRestore": "volume-snapshot-restore",
    "VolumeClone": "volume-clone",
    "ManifestBackup": "manifest-backup",
    "ManifestRestore": "manifest-restore",
}
"""Names of tasks in the seed's release, and what they are called since."""

DEFAULT_RETRIES: Final = 1
DEFAULT_HISTORY: Final = 1


class Place(msgspec.Struct, frozen=True, order=True):
    """A namespaced object of a kind that the context tells."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"

    def wire(self) -> Object:
        """Return the reference as a status or spec holds it."""
        return {"name": self.name, "namespace": self.namespace}


class Target(msgspec.Struct, frozen=True):
    """What is backed up or restored into."""

    kind: Kind
    namespace: str
    name: str

    @property
    def ref(self) -> Ref:
        """The object's reference."""
        return Ref(self.kind, self.namespace, self.name)

    def wire(self) -> Object:
        """Return it as `appRef` holds it."""
        group = {"apiGroup": self.kind.group} if self.kind.group else {}
        return {**group, "kind": self.kind.kind, "name": self.name, "namespace": self.namespace}


class Task(msgspec.Struct, frozen=True):
    """One task of an addon, under its newest name. Parameters are text."""

    name: str
    params: dict[str, str]
    raw: Object

    @property
    def mounts(self) -> list[Object]:
        """Which volumes of the target are mounted where."""
        return items(self.raw, "targetVolumes", "volumeMounts")

    @property
    def volumes(self) -> list[Object]:
        """Volumes given in full."""
        return items(self.raw, "targetVolumes", "volumes")

    @property
    def claim_templates(self) -> list[Object]:
        """Claims to create."""
        return items(self.raw, "targetVolumes", "volumeClaimTemplates")


class AddonUse(msgspec.Struct, frozen=True):
    """An addon, its tasks, and the settings of the Jobs that carry them out."""

    name: str
    tasks: tuple[Task, ...]
    settings: Object
    template: Object


class RepositoryUse(msgspec.Struct, frozen=True):
    """Where a session writes to."""

    name: str
    backend: str
    directory: str
    secret: Place | None
    deletion_policy: str

    @property
    def stored_policy(self) -> str:
        """The Repository's deletionPolicy: it knows no Retain, which keeps the Repository itself."""
        return "Delete" if self.deletion_policy == "Retain" else self.deletion_policy


class Session(msgspec.Struct, frozen=True):
    """One session of a BackupConfiguration."""

    name: str
    scheduler: Object
    addon: AddonUse
    repositories: tuple[RepositoryUse, ...]
    max_retry: int
    delay: timedelta
    timeout: timedelta | None
    history: int
    raw: Object

    @property
    def schedule(self) -> str:
        """The cron expression."""
        return text(self.scheduler, "schedule")

    @property
    def replaces(self) -> bool:
        """Whether a new run cancels one that still goes on, instead of being skipped."""
        return text(self.scheduler, "concurrencyPolicy") == "Replace"


class Backend(msgspec.Struct, frozen=True):
    """A storage and the retention of what lies there. What is not given is searched by `defaults`."""

    name: str
    storage: Place | None
    policy: Place | None


class Configuration(msgspec.Struct, frozen=True):
    """A BackupConfiguration. `target` is None when it names none."""

    place: Place
    uid: str
    target: Target | None
    backends: tuple[Backend, ...]
    sessions: tuple[Session, ...]
    paused: bool

    def session(self, name: str) -> Session | None:
        """Return a session by name."""
        return next((session for session in self.sessions if session.name == name), None)


def configuration(obj: Object) -> Configuration:
    """Read a BackupConfiguration."""
    namespace = namespace_of(obj)
    return Configuration(
        place=Place(namespace, name_of(obj)),
        uid=uid_of(obj),
        target=target(mapping(obj, "spec", "target"), namespace),
        backends=tuple(_backend(raw, namespace) for raw in items(obj, "spec", "backends")),
        sessions=tuple(_session(raw, namespace) for raw in items(obj, "spec", "sessions")),
        paused=flag(obj, "spec", "paused"),
    )


def target(raw: Object, namespace: str) -> Target | None:
    """Read a target; None when there is none."""
    if not text(raw, "name"):
        return None
    kind = Kind(text(raw, "apiGroup"), text(raw, "kind"))
    return Target(kind, text(raw, "namespace", default=namespace), text(raw, "name"))


def place(raw: Object, namespace: str) -> Place | None:
    """Read a reference; None when it names nothing. An empty namespace is `namespace`."""
    name = text(raw, "name")
    return Place(text(raw, "namespace", default=namespace), name) if name else None


def addon_use(raw: Object) -> AddonUse:
    """Read an addon's use."""
    return AddonUse(
        name=text(raw, "name"),
        tasks=tuple(_task(entry) for entry in items(raw, "tasks")),
        settings=mapping(raw, "containerRuntimeSettings"),
        template=mapping(raw, "jobTemplate"),
    )


def duration(raw: Object, *fields: str) -> timedelta | None:
    """Return the first of several duration fields that is set and readable."""
    for field in fields:
        given = text(raw, field)
        if given:
            try:
                return parse_duration(given)
            except ValueError:
                return None
    return None


def comma_list(value: str) -> tuple[str, ...]:
    """Split the comma text of a parameter."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


def retries_left(spec: Object, session: Session) -> int:
    """Return how often a BackupSession may still be repeated: what it says, else what its session allows."""
    given = number(spec, "retryLeft")
    return session.max_retry if given is None else given


def is_backup_configuration(invoker: Object) -> bool:
    """Whether an invoker is a BackupConfiguration: the group may be left out."""
    return text(invoker, "kind") == "BackupConfiguration" and text(invoker, "apiGroup", default=CORE) == CORE


def _backend(raw: Object, namespace: str) -> Backend:
    return Backend(
        name=text(raw, "name"),
        storage=place(mapping(raw, "storageRef"), namespace),
        policy=place(mapping(raw, "retentionPolicy"), namespace),
    )


def _session(raw: Object, namespace: str) -> Session:
    retry = mapping(raw, "retryConfig")
    max_retry = number(retry, "maxRetry")
    history = number(raw, "sessionHistoryLimit")
    return Session(
        name=text(raw, "name"),
        scheduler=mapping(raw, "scheduler"),
        addon=addon_use(mapping(raw, "addon")),
        repositories=tuple(_repository(entry, namespace) for entry in items(raw, "repositories")),
        max_retry=DEFAULT_RETRIES if max_retry is None else max_retry,
        delay=duration(retry, "delay") or timedelta(),
        timeout=duration(raw, "backupTimeout", "timeout"),
        history=DEFAULT_HISTORY if history is None else history,
        raw=raw,
    )


def _repository(raw: Object, namespace: str) -> RepositoryUse:
    return RepositoryUse(
        name=text(raw, "name"),
        backend=text(raw, "backend"),
        directory=text(raw, "directory"),
        secret=place(mapping(raw, "encryptionSecret"), namespace),
        deletion_policy=text(raw, "deletionPolicy", default="Delete"),
    )


def _task(raw: Object) -> Task:
    name = text(raw, "name")
    params = {key: parameter_text(value) for key, value in mapping(raw, "params").items()}
    return Task(TASK_NAMES.get(name, name), params, raw)


def parameter_text(value: Any) -> str:
    """Return a parameter as text: a boolean in small letters, a structure as JSON."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()
