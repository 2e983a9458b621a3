"""BackupStorage: a place in a bucket or on a volume, proven to work before anybody relies on it.

A Job writes, reads, lists and deletes there and leaves `metadata.yaml`. Its verdict is the condition BackendInitialized;
what can't work yet (a Secret that is missing) is told while the Job waits for it. What lies there already it makes known to the
cluster: for that its service account may create Repositories and Snapshots where the storage may be used, until it has ended.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from holdfast.core.calls import StorageInit, StorageWipe
from holdfast.core.conditions import Condition, condition, is_false, is_true, remove, upsert, upsert_all
from holdfast.core.objects import Object, Ref, owner_reference, ref_of
from holdfast.core.plan import Child, Desired, Doomed, Phase, Problem, Problems
from holdfast.core.ports import Outcome, Refs, Sums, View
from holdfast.core.read import (
    conditions_of,
    deleting,
    flag,
    items,
    mapping,
    name_of,
    namespace_of,
    owned_by,
    phase_of,
    text,
)
from holdfast.dialects.kubestash import initialize, names, runtime, sizes, storage, usage, wipe
from holdfast.dialects.kubestash.kinds import BACKUP_STORAGE, JOB, NAMESPACE, REPOSITORY, ROLE_BINDING

INITIALIZED: Final = initialize.Verdict("BackendInitialized", "BackendInitializationSucceeded", "BackendInitializationFailed")
SECRET_FOUND: Final = "BackendSecretFound"
_MOUNT: Final = "storage"
_SECRET_MISSING: Final = "CreateContainerConfigError"


class BackupStorageHandler:
    """Handles BackupStorages."""

    kind = BACKUP_STORAGE
    finalizer = names.FINALIZER
    sums = Sums(REPOSITORY, frozenset({"repositories", "totalSize"}))

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge provider, usage policy, the one default per namespace and the one storage per place."""
        found = [*storage.problems(obj), *usage.problems(obj)]
        found += runtime.settings_problems(mapping(obj, "spec", "runtimeSettings"), "spec.runtimeSettings")
        if old is not None:
            found += _frozen(obj, old)
        found = found or list(_rivals(obj, refs))
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say that the initialising Job shall run, once for each generation until it succeeds; at the end, what goes."""
        if deleting(obj):
            return _farewell(obj, view, now)
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        opened = storage.open_store(obj, namespace_of(obj), _MOUNT, obj)
        if isinstance(opened, Problem):
            return Problems((opened,))
        job = initialize.job_of(obj, names.storage_init_job(name_of(obj)), opened)
        job["spec"]["template"]["spec"] |= {"serviceAccountName": name_of(job), "automountServiceAccountToken": True}
        job = initialize.labelled(runtime.with_settings(job, mapping(obj, "spec", "runtimeSettings")), obj, INITIALIZED)
        call = StorageInit(opened.root, _document(), (namespace_of(obj), name_of(obj))).call(opened.secrets)
        attempt = _attempt(obj, view, now)
        found = initialize.desired(attempt, job, call, opened.copies)
        if attempt.needed:
            return msgspec.structs.replace(found, children=_rights(obj, job, view))
        return msgspec.structs.replace(found, doomed=(*found.doomed, *_rights_gone(obj, view)))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status: Ready or why not, and the Repositories that lie there."""
        conditions = conditions_of(obj)
        if deleting(obj):
            job = names.cleanup_job(name_of(obj))
            judged = wipe.verdict(obj, job, view, outcome, now) if wipe.wanted(obj) else None
            conditions = upsert(conditions, judged, now) if judged else conditions
            return {**mapping(obj, "status"), "conditions": conditions}
        if outcome.problems is not None:
            judged = condition("ValidationPassed", False, outcome.problems.items[0].reason, str(outcome.problems))
            conditions = upsert(conditions, judged, now)
            return {**mapping(obj, "status"), "conditions": conditions, "phase": phase_of(obj) or "NotReady"}
        attempt = _attempt(obj, view, now)
        waits = initialize.held_back(outcome.runs)
        changed = [item for item in (_secret(obj, attempt), _initialized(obj, attempt, waits)) if item is not None]
        conditions = upsert_all(remove(conditions, "ValidationPassed"), changed, now)
        ready = is_true(conditions, INITIALIZED.type) and not is_false(conditions, SECRET_FOUND)
        repositories = _repositories(obj, attempt, view)
        status: Object = {
            "phase": "Ready" if ready else "NotReady",
            "conditions": conditions,
            "totalSize": sizes.total(text(entry, "size") for entry in repositories if text(entry, "size")),
        }
        return {**status, "repositories": repositories} if repositories else status


def _document() -> Object:
    return {"kind": "BackendMeta", "operatorVersion": "holdfast", "repositories": []}


def _attempt(obj: Object, view: View, now: datetime) -> initialize.Attempt:
    return initialize.attempt(obj, names.storage_init_job(name_of(obj)), INITIALIZED, view, now)


def _initialized(obj: Object, attempt: initialize.Attempt, waits: str) -> Condition | None:
    return initialize.outcome(obj, attempt, INITIALIZED, "Backend has been initialized successfully.", waits)


def _secret(obj: Object, attempt: initialize.Attempt) -> Condition | None:
    """Return whether the Secret is there, as far as the Job's pod shows it."""
    secret = text(obj, "spec", "storage", storage.provider(obj), "secretName")
    if not secret or attempt.state is None:
        return None
    name = f"Secret {namespace_of(obj)}/{secret}"
    if attempt.state.phase is Phase.RUNNING and attempt.state.reason == _SECRET_MISSING:
        return condition(SECRET_FOUND, False, "BackendSecretNotAvailable", f"{name} can't be used: {attempt.state.message}")
    if attempt.state.report is not None:
        return condition(SECRET_FOUND, True, "BackendSecretAvailable", f"{name} is available.")
    return None


def _repositories(obj: Object, attempt: initialize.Attempt, view: View) -> list[Object]:
    """Return what lies there: the Repositories that exist, and those that could not be made again, with the reason."""
    found = [
        {
            "name": name_of(item),
            "namespace": namespace_of(item),
            "path": text(item, "spec", "path"),
            "size": text(item, "status", "size", default="0 B"),
            "synced": phase_of(item) == "Ready",
        }
        for item in _known(obj, view)
    ]
    there = {(entry["namespace"], entry["name"]) for entry in found}
    return found + [entry for entry in _lost(obj, attempt) if (entry["namespace"], entry["name"]) not in there]


def _known(obj: Object, view: View) -> list[Object]:
    label = (names.STORAGE_LABEL, names.storage_label(namespace_of(obj), name_of(obj)))
    return sorted(view.list(REPOSITORY, label=label), key=lambda item: (namespace_of(item), name_of(item)))


def _lost(obj: Object, attempt: initialize.Attempt) -> list[Object]:
    """Return the entries of Repositories that failed to come back: what the last Job says, else what the status holds."""
    report = attempt.state.report if attempt.state else None
    if report is None:
        return [entry for entry in items(obj, "status", "repositories") if text(entry, "error")]
    failed = [(item.name.partition("/"), item.message) for item in report.items if item.status != "Synced"]
    return [{"namespace": at[0], "name": at[2], "synced": False, "error": message} for at, message in failed]


def _rights(obj: Object, job: Object, view: View) -> tuple[Child, ...]:
    """Return the account of the initialising Job, unless the user names one, and what lets it make objects known.

    That is a binding in each namespace that may use the storage, and in no other: what lies in a bucket reaches no further.
    """
    namespace, account = namespace_of(obj), text(job, "spec", "template", "spec", "serviceAccountName")
    labels = names.labels("initializer", kind=BACKUP_STORAGE.kind, namespace=namespace, name=name_of(obj))
    meta = {"name": account, "namespace": namespace, "labels": labels, "ownerReferences": [owner_reference(obj)]}
    own: Object = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}
    places = [name_of(item) for item in view.list(NAMESPACE) if not deleting(item)]
    admitted = [place for place in places if place == namespace or usage.admits(obj, place, view)]
    bindings = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": ROLE_BINDING.kind,
            "metadata": {
                "name": names.initializer_binding(namespace, name_of(obj)),
                "namespace": place,
                "labels": labels,
            },
            "roleRef": {"apiGroup": ROLE_BINDING.group, "kind": "ClusterRole", "name": names.INITIALIZER_ROLE},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": namespace}],
        }
        for place in sorted(admitted)
    ]
    return (*((Child(own),) if account == name_of(job) else ()), *(Child(binding) for binding in bindings))


def _rights_gone(obj: Object, view: View) -> tuple[Doomed, ...]:
    """Return the bindings of the initialising Job, which needs them no more."""
    label = (names.INVOKER_NAME, names.label_value(name_of(obj)))
    name = names.initializer_binding(namespace_of(obj), name_of(obj))
    there = (item for item in view.list(ROLE_BINDING, label=label) if name_of(item) == name)
    return tuple(Doomed(Ref(ROLE_BINDING, namespace_of(item), name), "the initialising Job has ended") for item in there)


def _farewell(obj: Object, view: View, now: datetime) -> Desired:
    """Take the Repositories along; with WipeOut delete everything that lies there before the storage itself goes.

    The initialising Job is stopped first and its rights go with it: a rediscovery under way would bring back what goes here.
    """
    gone, place = _rights_gone(obj, view), f"{namespace_of(obj)}/{name_of(obj)}"
    job = view.get(JOB, namespace_of(obj), names.storage_init_job(name_of(obj)))
    if job is not None and owned_by(job, obj):
        return Desired(doomed=(*gone, Doomed(ref_of(job), f"BackupStorage {place} was deleted")))
    if gone:
        return Desired(doomed=gone)
    known = [Ref(REPOSITORY, namespace_of(item), name_of(item)) for item in _known(obj, view)]
    if known:
        kept = "its data goes too" if wipe.wanted(obj) else "its data stays"
        return Desired(doomed=tuple(Doomed(ref, f"BackupStorage {place} was deleted; {kept}") for ref in known))
    opened = storage.open_store(obj, namespace_of(obj), _MOUNT, obj) if wipe.wanted(obj) else None
    if opened is None or isinstance(opened, Problem):
        return Desired(release=True)
    cleaner = initialize.job_of(obj, names.cleanup_job(name_of(obj)), opened, "cleaner")
    cleaner = runtime.with_settings(cleaner, mapping(obj, "spec", "runtimeSettings"))
    call = StorageWipe(place, opened.root).call(opened.secrets)
    return wipe.erase(obj, cleaner, call, opened.copies, view, now)


def _frozen(obj: Object, old: Object) -> list[Problem]:
    """The place can't change while Repositories lie there; how it is reached (endpoint, Secret) can."""
    if not items(old, "status", "repositories"):
        return []
    same_place = storage.location(obj) == storage.location(old)
    same_provider = storage.provider(obj) == storage.provider(old)
    same_local = mapping(obj, "spec", "storage", "local") == mapping(old, "spec", "storage", "local")
    if same_provider and same_place and same_local:
        return []
    return [Problem("spec.storage", "can't move while Repositories lie there: make a second BackupStorage for the new place")]


def _rivals(obj: Object, refs: Refs) -> Sequence[Problem]:
    """Judge against the other storages. Of two that disagree, only the younger one is told."""
    found: list[Problem] = []
    for other in refs.list(BACKUP_STORAGE):
        if _key(other) == _key(obj) or _born(other) > _born(obj):
            continue
        name = f"BackupStorage {namespace_of(other)}/{name_of(other)}"
        if flag(obj, "spec", "default") and flag(other, "spec", "default") and namespace_of(other) == namespace_of(obj):
            found.append(Problem("spec.default", f"{name} is the namespace's default already: only one can be"))
        if storage.location(obj) and storage.location(obj) == storage.location(other):
            found.append(Problem("spec.storage", f"{name} uses the same place: use another bucket or prefix"))
    return found


def _key(obj: Object) -> tuple[str, str]:
    return namespace_of(obj), name_of(obj)


def _born(obj: Object) -> tuple[str, str, str]:
    """Sort by age; an object that is being created now is the youngest."""
    return text(obj, "metadata", "creationTimestamp", default="9"), namespace_of(obj), name_of(obj)
