"""BackupPolicy: what is backed up, in which ways, and where it goes.

What can't be meant is refused at once. It is Available when a backup that starts now would find its action sets and the
repository that it names. What is missing is told in the message, and looked for again when it comes. A policy that is
Unavailable for the sake of one method still serves Backups by the others.
"""

from collections.abc import Iterator
from datetime import datetime

from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import at, deleting, flag, items, mapping, phase_of, strings, text
from holdfast.dialects.kubeblocks.action_set import availability
from holdfast.dialects.kubeblocks.kinds import ACTION_SET, BACKUP_POLICY, BACKUP_REPO


class BackupPolicyHandler:
    """Handles BackupPolicies."""

    kind = BACKUP_POLICY
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge what can't be meant."""
        found = [*_names(obj), *_place(obj)]
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Judge it, and look for what it refers to."""
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        unfit = tuple(_unfit(obj, view))
        return Problems(unfit) if unfit else Desired()

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Say whether it can be used."""
        return availability(obj, outcome.problems)


def methods(policy: Object) -> list[Object]:
    """Return the methods of a policy."""
    return items(policy, "spec", "backupMethods")


def method(policy: Object, name: str) -> Object | None:
    """Return a method by name."""
    return next((each for each in methods(policy) if text(each, "name") == name), None)


def hindrances(policy: Object, name: str, refs: Refs) -> Problems | None:
    """Return why a method of a policy can't be used. What is wrong with another of its methods is none of its business."""
    places = [f"spec.backupMethods[{number}]." for number, each in enumerate(methods(policy)) if text(each, "name") != name]
    found = [each for each in _unfit(policy, refs) if not each.field.startswith(tuple(places))]
    return Problems(tuple(found)) if found else None


def _unfit(obj: Object, refs: Refs) -> Iterator[Problem]:
    """Yield all that makes a policy Unavailable."""
    yield from _methods(obj)
    yield from _targets(obj, "spec")
    yield from _action_sets(obj, refs)
    yield from _repo(obj, refs)


def _names(obj: Object) -> Iterator[Problem]:
    given = [text(each, "name") for each in methods(obj)]
    for number, name in enumerate(given):
        if name in given[:number]:
            yield Problem(f"spec.backupMethods[{number}].name", f"{name} is the name of two methods: each needs its own")


def _methods(obj: Object) -> Iterator[Problem]:
    if not methods(obj):
        yield Problem("spec.backupMethods", "is empty: name at least one way of backing up")
    for number, each in enumerate(methods(obj)):
        field = f"spec.backupMethods[{number}]"
        if not flag(each, "snapshotVolumes") and not text(each, "actionSetName"):
            yield Problem(f"{field}.actionSetName", "is needed unless snapshotVolumes is true")
        if flag(each, "snapshotVolumes") and not strings(each, "targetVolumes", "volumes"):
            yield Problem(f"{field}.targetVolumes.volumes", "is needed with snapshotVolumes: the volumes to take snapshots of")
        compatible = text(each, "compatibleMethod")
        if compatible and method(obj, compatible) is None:
            yield Problem(f"{field}.compatibleMethod", f"{compatible} is no method of this policy")
        yield from _mounts(each, field)
        yield from _targets({"spec": each}, field)


def _mounts(each: Object, field: str) -> Iterator[Problem]:
    """Judge volumes against mounts. With `volumes` only those are mounted, so another mount would never come about."""
    volumes = strings(each, "targetVolumes", "volumes")
    for number, mount in enumerate(items(each, "targetVolumes", "volumeMounts")):
        place = f"{field}.targetVolumes.volumeMounts[{number}]"
        if not text(mount, "name") or not text(mount, "mountPath"):
            yield Problem(place, "needs name and mountPath")
        elif volumes and text(mount, "name") not in volumes:
            yield Problem(place, f"{text(mount, 'name')} is not among targetVolumes.volumes")


def _targets(obj: Object, field: str) -> Iterator[Problem]:
    """Judge `target` and `targets` of a policy or of a method."""
    single, several = at(obj, "spec", "target") is not None, items(obj, "spec", "targets")
    if single and several:
        yield Problem(f"{field}.targets", "only one of target and targets may be set")
    if field == "spec" and not single and not several:
        yield Problem("spec.target", "is needed: what to back up")
    seen: set[str] = set()
    for number, each in enumerate(several):
        name = text(each, "name")
        if not name or name in seen:
            yield Problem(
                f"{field}.targets[{number}].name", f"{name} is used twice" if name else "is needed where there are several"
            )
        seen.add(name)
    places = [(f"{field}.target", mapping(obj, "spec", "target"))] if single else []
    places += [(f"{field}.targets[{number}]", each) for number, each in enumerate(several)]
    for place, each in places:
        if not _selects(mapping(each, "podSelector")):
            yield Problem(f"{place}.podSelector", "selects no pods: give matchLabels or matchExpressions")


def _selects(selector: Object) -> bool:
    known = bool(mapping(selector, "matchLabels") or items(selector, "matchExpressions"))
    return known or flag(selector, "useParentSelectedPods")


def _place(obj: Object) -> Iterator[Problem]:
    prefix = text(obj, "spec", "pathPrefix")
    if any(part in ("..", ".") for part in prefix.split("/")) or "\\" in prefix:
        yield Problem("spec.pathPrefix", f"{prefix} must be a plain path below the repository")
    encryption = mapping(obj, "spec", "encryptionConfig")
    if encryption and not (
        text(encryption, "passPhraseSecretKeyRef", "name") and text(encryption, "passPhraseSecretKeyRef", "key")
    ):
        yield Problem("spec.encryptionConfig.passPhraseSecretKeyRef", "needs name and key")


def _action_sets(obj: Object, refs: Refs) -> Iterator[Problem]:
    for number, each in enumerate(methods(obj)):
        name, field = text(each, "actionSetName"), f"spec.backupMethods[{number}].actionSetName"
        found = refs.get(ACTION_SET, "", name) if name else None
        if name and found is None:
            yield Problem(field, f"ActionSet {name} not found: create it", "ActionSetNotFound")
        elif found is not None and phase_of(found) == "Unavailable":
            yield Problem(field, f"ActionSet {name} is Unavailable: {text(found, 'status', 'message')}", "ActionSetUnavailable")


def _repo(obj: Object, refs: Refs) -> Iterator[Problem]:
    """Look for the repository that is named; whether the default one will do is known when a backup starts."""
    name = text(obj, "spec", "backupRepoName")
    found = refs.get(BACKUP_REPO, "", name) if name else None
    if name and found is None:
        yield Problem("spec.backupRepoName", f"BackupRepo {name} not found: create it", "BackupRepoNotFound")
    elif found is not None and deleting(found):
        yield Problem("spec.backupRepoName", f"BackupRepo {name} is being deleted: name another one", "BackupRepoNotFound")
