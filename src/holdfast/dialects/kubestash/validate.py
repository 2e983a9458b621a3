"""What a BackupConfiguration must be before anything is done for it.

The rules run in the documented order and stop at the first that finds something, so the message is about the cause and not
about what follows from it. Objects that do not exist yet pass: they may come later, and the status tells that they are
missing. A default that is gone is the same once the BackupConfiguration has passed: nothing about its spec is wrong. A field
that this build does not act on is refused here by name.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from holdfast.core.conditions import is_true
from holdfast.core.cron import Cron, CronError
from holdfast.core.objects import Object
from holdfast.core.plan import Problem, Problems
from holdfast.core.ports import Refs
from holdfast.core.read import conditions_of, items, mapping, name_of, namespace_of, number, text
from holdfast.core.times import parse_duration
from holdfast.dialects.kubestash import addons, executor, hooks, manifests, runtime, usage
from holdfast.dialects.kubestash.decode import Configuration, Place, Session, configuration, place
from holdfast.dialects.kubestash.defaults import ResolvedBackend, backends
from holdfast.dialects.kubestash.kinds import ADDON, BACKUP_STORAGE, NAMESPACE, REPOSITORY, RETENTION_POLICY, TARGETS, VOLUME
from holdfast.dialects.kubestash.names import PLACE_LABEL, SHARES_SECRETS, place_label

_NO_SECRET: Final = "volume-snapshot"
_ONE_REPOSITORY: Final = ("volume-snapshot", "manifest-backup")
_MOUNTING: Final = ("logical-backup", "volume-snapshot")
VALIDATED: Final = "ValidationPassed"
_DURATIONS: Final = ("timeout", "backupTimeout")
_POLICIES: Final = ("Delete", "WipeOut", "Retain")
_CONCURRENCY: Final = ("", "Allow", "Forbid", "Replace")


def backup_configuration(obj: Object, refs: Refs) -> Problems | None:
    """Judge a BackupConfiguration."""
    wanted = configuration(obj)
    passed = is_true(conditions_of(obj), VALIDATED)
    rules: tuple[Callable[[], Iterable[Problem]], ...] = (
        lambda: _target(wanted, obj),
        lambda: _backends(wanted, backends(wanted, refs), passed=passed),
        lambda: _session_names(wanted),
        lambda: (problem for item in _each(wanted) for problem in _session(*item, wanted, refs)),
        lambda: _directories(wanted),
        lambda: _other_repositories(wanted, refs),
        lambda: _usage(wanted, refs),
        lambda: _hooks(wanted, refs),
        lambda: _addons(wanted, refs),
        lambda: _volumes(wanted, refs),
        lambda: _secrets(wanted, refs),
    )
    for rule in rules:
        if found := tuple(rule()):
            return Problems(found)
    return None


def durations(raw: Object, fields: Sequence[str], where: str) -> list[Problem]:
    """Judge duration fields: readable and positive."""
    found: list[Problem] = []
    for field in fields:
        given = text(raw, field)
        try:
            if given and parse_duration(given).total_seconds() < 0:
                found.append(Problem(f"{where}.{field}", f"{given} is negative: use a duration such as 30s, 5m or 1h30m"))
        except ValueError as error:
            found.append(Problem(f"{where}.{field}", str(error)))
    return found


def shared_secret(secret: Place, namespace: str, refs: Refs, field: str) -> list[Problem]:
    """Judge whether objects of `namespace` may name a Secret: as the seed says, unless the Secret's namespace asks for a grant.

    A namespace asks by carrying the annotation that lists whom it shares with; an empty list shares with nobody.
    """
    marks = mapping(refs.get(NAMESPACE, "", secret.namespace) or {}, "metadata", "annotations")
    if secret.namespace == namespace or SHARES_SECRETS not in marks:
        return []
    allowed = {part.strip() for part in text(marks, SHARES_SECRETS).split(",")}
    if "*" in allowed or namespace in allowed:
        return []
    grant = f"kubectl annotate namespace {secret.namespace} {SHARES_SECRETS}={namespace}"
    return [Problem(field, f"Secret {secret} is not shared with namespace {namespace}; its owner can allow it: {grant}")]


def _each(wanted: Configuration) -> Iterable[tuple[Session, str]]:
    return ((session, f"spec.sessions[{index}]") for index, session in enumerate(wanted.sessions))


def _target(wanted: Configuration, obj: Object) -> Iterable[Problem]:
    if wanted.target is None:
        if text(obj, "spec", "target", "kind"):
            yield Problem("spec.target", "spec.target.name is empty: name a workload or a PersistentVolumeClaim")
        elif any(session.addon.name != addons.KUBEDUMP for session in wanted.sessions):
            yield Problem("spec.target", f"needed by every addon but {addons.KUBEDUMP}: name a workload or a claim")
    elif wanted.target.kind not in TARGETS:
        known = ", ".join(str(kind) for kind in TARGETS)
        hint = "; for a PersistentVolume name the claim that is bound to it" if wanted.target.kind == VOLUME else ""
        yield Problem("spec.target", f"{wanted.target.kind} has no volumes that this build can find: use one of {known}{hint}")


def _backends(wanted: Configuration, resolved: Sequence[ResolvedBackend], *, passed: bool) -> Iterable[Problem]:
    names = [backend.name for backend in wanted.backends]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield Problem("spec.backends", f"backend name {name!r} is used more than once: each must be unique")
    for index, backend in enumerate(resolved):
        field = f"spec.backends[{index}]" if index < len(names) else "spec.backends"
        if backend.storage is None and index < len(names):
            yield Problem(f"{field}.storageRef", "needed: name a BackupStorage")
        elif backend.storage is None and not passed:
            yield Problem(field, _no_default("BackupStorage"))
        if backend.policy is None and not passed:
            yield Problem(f"{field}.retentionPolicy", _no_default("RetentionPolicy"))


def _no_default(kind: str) -> str:
    return f"none is named and no default {kind} admits this namespace: name one, or set spec.default on a {kind}"


def _session_names(wanted: Configuration) -> Iterable[Problem]:
    if not wanted.sessions:
        yield Problem("spec.sessions", "needs at least one session")
    seen: set[str] = set()
    for session, field in _each(wanted):
        if not session.name:
            yield Problem(f"{field}.name", "needed: a name that is unique among the sessions")
        elif session.name in seen:
            yield Problem(f"{field}.name", f"{session.name} is used more than once: each must be unique")
        seen.add(session.name)


def _session(session: Session, field: str, wanted: Configuration, refs: Refs) -> Iterable[Problem]:
    names = [use.name for use in session.repositories]
    for name in dict.fromkeys(name for name in names if names.count(name) > 1):
        yield Problem(f"{field}.repositories", f"repository name {name} is used more than once in this session")
    yield from _scheduler(session, f"{field}.scheduler")
    yield from addons.problems(session.addon, addons.BACKUP, f"{field}.addon")
    yield from runtime.template_problems(session.addon.template, f"{field}.addon.jobTemplate")
    yield from runtime.container_problems(session.addon.settings, f"{field}.addon.containerRuntimeSettings")
    for index, task in enumerate(session.addon.tasks):
        where = f"{field}.addon.tasks[{index}]"
        if task.name == "logical-backup":
            yield from addons.path_problems(task, where)
        if task.claim_templates:
            what = "targetVolumes.volumeClaimTemplates"
            yield Problem(f"{where}.{what}", "makes claims for a restore; a backup reads volumes that exist: remove it")
        if task.name in _ONE_REPOSITORY and len(names) > 1:
            yield Problem(f"{field}.repositories", f"{task.name} writes to one repository only: make a session for each")
    yield from manifests.account_problems(session.addon, f"{field}.addon")
    if wanted.target is not None:
        yield from addons.target_problems(session.addon, wanted.target, f"{field}.addon")
    yield from _limits(session, field)
    if not names:
        yield Problem(f"{field}.repositories", "needs at least one repository")
    for index in range(len(session.repositories)):
        yield from _repository(session, index, f"{field}.repositories[{index}]", wanted, refs)


def _limits(session: Session, field: str) -> Iterable[Problem]:
    yield from durations(session.raw, _DURATIONS, field)
    given = [name for name in _DURATIONS if text(session.raw, name)]
    if len(given) > 1 and text(session.raw, given[0]) != text(session.raw, given[1]):
        yield Problem(f"{field}.timeout", "differs from backupTimeout, which means the same: keep one of them")
    yield from durations(mapping(session.raw, "retryConfig"), ("delay",), f"{field}.retryConfig")
    if session.max_retry < 1:
        yield Problem(f"{field}.retryConfig.maxRetry", f"{session.max_retry} is less than 1; without a value it is 1")
    if session.history < 0:
        yield Problem(f"{field}.sessionHistoryLimit", f"{session.history} is negative: use 0 or more")


def _scheduler(session: Session, field: str) -> Iterable[Problem]:
    if not session.scheduler:
        yield Problem(field, "needed: a schedule such as '0 2 * * *'")
        return
    try:
        Cron.parse(session.schedule)
    except CronError as error:
        yield Problem(f"{field}.schedule", str(error))
    policy = text(session.scheduler, "concurrencyPolicy")
    if policy not in _CONCURRENCY:
        yield Problem(f"{field}.concurrencyPolicy", f"{policy} is none of Allow, Forbid, Replace")
    for name in ("startingDeadlineSeconds", "successfulJobsHistoryLimit", "failedJobsHistoryLimit"):
        if (number(session.scheduler, name) or 0) < 0:
            yield Problem(f"{field}.{name}", "is negative: use 0 or more")
    template = mapping(session.scheduler, "jobTemplate")
    if number(template, "activeDeadlineSeconds") is not None and (number(template, "activeDeadlineSeconds") or 0) < 1:
        yield Problem(f"{field}.jobTemplate.activeDeadlineSeconds", "must be 1 or more")
    yield from runtime.template_problems(mapping(template, "template"), f"{field}.jobTemplate.template")


def _repository(session: Session, index: int, field: str, wanted: Configuration, refs: Refs) -> Iterable[Problem]:
    use = session.repositories[index]
    resolved = {backend.name: backend for backend in backends(wanted, refs)}
    if not use.name:
        yield Problem(f"{field}.name", "needed: the name of the Repository to create")
    if use.backend and use.backend not in {backend.name for backend in wanted.backends}:
        known = ", ".join(backend.name for backend in wanted.backends) or "none"
        yield Problem(f"{field}.backend", f"{use.backend} is no backend of this BackupConfiguration (it has: {known})")
    if not use.directory.strip("/"):
        yield Problem(f"{field}.directory", "needed: the path inside the backend, such as /demo/data")
    elif ".." in use.directory.split("/"):
        yield Problem(f"{field}.directory", f"{use.directory} leaves the backend: no part may be '..'")
    if use.deletion_policy not in _POLICIES:
        yield Problem(f"{field}.deletionPolicy", f"{use.deletion_policy} is none of {', '.join(_POLICIES)}")
    if use.secret is None and any(task.name != _NO_SECRET for task in session.addon.tasks):
        yield Problem(f"{field}.encryptionSecret", f"needed by all but {_NO_SECRET}: a Secret with the key RESTIC_PASSWORD")
    backend = resolved.get(use.backend)
    existing = refs.get(REPOSITORY, wanted.place.namespace, use.name) if use.name else None
    if existing is not None and backend is not None and wanted.target is not None:
        yield from _existing(existing, backend, wanted, use.directory, f"{field}.name")


def _existing(repository: Object, backend: ResolvedBackend, wanted: Configuration, path: str, field: str) -> Iterable[Problem]:
    name, namespace = name_of(repository), namespace_of(repository)
    assert wanted.target is not None
    given = mapping(repository, "spec", "appRef")
    if {**given, "namespace": text(given, "namespace", default=namespace)} != wanted.target.wire():
        theirs = f"{text(given, 'kind')} {text(given, 'namespace', default=namespace)}/{text(given, 'name')}"
        yield Problem(field, f"Repository {namespace}/{name} exists and holds backups of {theirs}: use another name")
    stored = place(mapping(repository, "spec", "storageRef"), namespace)
    if backend.storage is not None and stored != backend.storage:
        yield Problem(field, f"Repository {namespace}/{name} exists in BackupStorage {stored}: use another name")
    if text(repository, "spec", "path").strip("/") != path.strip("/"):
        there = text(repository, "spec", "path")
        yield Problem(field, f"Repository {namespace}/{name} exists with path {there}, which can't change: use another name")


def _directories(wanted: Configuration) -> Iterable[Problem]:
    """One directory of one backend serves one repository."""
    seen: dict[tuple[str, str], str] = {}
    for session, field in _each(wanted):
        for index, use in enumerate(session.repositories):
            holder = seen.setdefault((use.backend, use.directory.strip("/")), use.name)
            if holder != use.name:
                where = f"{field}.repositories[{index}].directory"
                yield Problem(where, f"{use.directory} is the directory of repository {holder} already: use another one")


def _other_repositories(wanted: Configuration, refs: Refs) -> Iterable[Problem]:
    resolved = {backend.name: backend.storage for backend in backends(wanted, refs)}
    for session, field in _each(wanted):
        for index, use in enumerate(session.repositories):
            storage = resolved.get(use.backend)
            if storage is None:
                continue
            label = (PLACE_LABEL, place_label(storage.namespace, storage.name, use.directory))
            for other in refs.list(REPOSITORY, label=label):
                same = place(mapping(other, "spec", "storageRef"), namespace_of(other)) == storage
                itself = (namespace_of(other), name_of(other)) == (wanted.place.namespace, use.name)
                if same and not itself and text(other, "spec", "path").strip("/") == use.directory.strip("/"):
                    there = f"Repository {namespace_of(other)}/{name_of(other)}"
                    where = f"{field}.repositories[{index}].directory"
                    yield Problem(where, f"{use.directory} in BackupStorage {storage} belongs to {there}: use another one")


def _usage(wanted: Configuration, refs: Refs) -> Iterable[Problem]:
    namespace = wanted.place.namespace
    for index, backend in enumerate(backends(wanted, refs)):
        pairs = ((BACKUP_STORAGE, backend.storage, "storageRef"), (RETENTION_POLICY, backend.policy, "retentionPolicy"))
        for kind, at_place, name in pairs:
            found = refs.get(kind, at_place.namespace, at_place.name) if at_place else None
            if found is not None and not usage.admits(found, namespace, refs):
                yield usage.refusal(found, namespace, f"spec.backends[{index}].{name}")


def _hooks(wanted: Configuration, refs: Refs) -> Iterable[Problem]:
    for session, field in _each(wanted):
        for name in ("preBackup", "postBackup"):
            listed = items(session.raw, "hooks", name)
            where, first = f"{field}.hooks.{name}", name == "preBackup"
            yield from hooks.problems(listed, wanted.place.namespace, refs, where, first=first)


def _addons(wanted: Configuration, refs: Refs) -> Iterable[Problem]:
    for session, field in _each(wanted):
        addon = refs.get(ADDON, "", session.addon.name)
        if addon is None:
            continue
        yield from addons.declared_problems(session.addon, addon, addons.BACKUP, f"{field}.addon")
        kinds = [work.component for work in addons.works(session.addon, addon, addons.BACKUP)]
        if len(set(kinds)) < len(kinds):
            twice = next(kind for kind in kinds if kinds.count(kind) > 1)
            yield Problem(f"{field}.addon.tasks", f"two of these tasks make a component called {twice}: give each its session")


def _volumes(wanted: Configuration, refs: Refs) -> Iterable[Problem]:
    """Each mount must name a volume of the target, once the target is there."""
    there = wanted.target and refs.get(wanted.target.kind, wanted.target.namespace, wanted.target.name)
    if wanted.target is None or there is None:
        return
    for session, field in _each(wanted):
        for index, task in enumerate(session.addon.tasks):
            if task.name not in _MOUNTING:
                continue
            for name in executor.names(wanted.target, there, refs)[:1]:
                part = executor.component(name, wanted.target, there, task, refs, read_only=True)
                if isinstance(part, Problem):
                    yield Problem(f"{field}.addon.tasks[{index}].{part.field}", part.message)


def _secrets(wanted: Configuration, refs: Refs) -> Iterable[Problem]:
    for session, field in _each(wanted):
        for index, use in enumerate(session.repositories):
            if use.secret is not None:
                where = f"{field}.repositories[{index}].encryptionSecret"
                yield from shared_secret(use.secret, wanted.place.namespace, refs, where)
