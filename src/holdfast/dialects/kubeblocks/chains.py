"""Chains of backups: what an incremental or differential one builds on, and what builds on a backup.

A parent is good when it is Completed, of the same policy, repository and number of targets, and covers some time. An
incremental builds on the newest good incremental of its own method if that belongs to the newest good full one, else on that; a
differential builds on a full one. Nothing is searched when the Backup names its parent.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

import msgspec

from holdfast.core.objects import Object, bounded_name
from holdfast.core.ports import Refs
from holdfast.core.read import deleting, items, mapping, name_of, namespace_of, phase_of, text
from holdfast.core.times import optional_time
from holdfast.dialects.kubeblocks import names, targets
from holdfast.dialects.kubeblocks.kinds import BACKUP, POD
from holdfast.dialects.kubeblocks.refusal import Refusal

if TYPE_CHECKING:
    from holdfast.dialects.kubeblocks.backup_context import Context

LONGEST = 1000
"""How many links a chain may have; more is taken for a circle."""


def type_of(backup: Object) -> str:
    """Return the type of a Backup, as its label says."""
    return text(backup, "metadata", "labels", names.BACKUP_TYPE, default="Full")


def end_of(backup: Object) -> datetime | None:
    """Return up to when a Backup covers its source."""
    return optional_time(text(backup, "status", "timeRange", "end") or text(backup, "status", "completionTimestamp"))


def start_of(backup: Object) -> datetime | None:
    """Return from when on a Backup covers its source."""
    return optional_time(text(backup, "status", "timeRange", "start") or text(backup, "status", "startTimestamp"))


def parent_of(backup: Object) -> str:
    """Return the name of what a Backup builds on; empty for none."""
    return text(backup, "status", "parentBackupName") or text(backup, "spec", "parentBackupName")


def with_parent(context: "Context", refs: Refs) -> "Context | Refusal":
    """Return a new Backup's context with its parent and its base; the same for a type that has none."""
    wanted = text(context.obj, "spec", "parentBackupName")
    if context.backup_type not in ("Incremental", "Differential"):
        if wanted:
            said = f"a {context.backup_type} backup builds on nothing: leave out spec.parentBackupName"
            return Refusal("ParentNotWanted", said)
        return context
    found = _named(wanted, context, refs) if wanted else _newest(context, refs)
    if isinstance(found, Refusal):
        return found
    base = name_of(found) if type_of(found) == "Full" else text(found, "status", "baseBackupName")
    sealed = mapping(found, "status", "encryptionConfig")
    picked = _with_pods_of(found, context, refs)
    if isinstance(picked, Refusal):
        return picked
    return msgspec.structs.replace(picked, parent=name_of(found), base=base, encryption=sealed)


def _with_pods_of(parent: Object, context: "Context", refs: Refs) -> "Context | Refusal":
    """Return the context with the pods of the parent for every target that asks for them."""
    before = {target.name: target.selected for target in targets.recorded(mapping(parent, "status"))}
    found = list(context.targets)
    for index, picked in enumerate(found):
        if not targets.inherits_parent(picked.target):
            continue
        wanted = before.get(picked.target.name, ())
        pods = [refs.get(POD, context.namespace, name) for name in wanted]
        if not pods or None in pods:
            said = f"pods {', '.join(wanted)} of the parent backup {name_of(parent)} are not all there"
            return Refusal("ParentPodsGone", f"{said}: leave out useParentSelectedPods")
        found[index] = msgspec.structs.replace(picked, names=tuple(wanted), pods=tuple(pods))
    return msgspec.structs.replace(context, targets=tuple(found))


def why_bad(parent: Object, context: "Context") -> str:
    """Return why a Backup is no good as a parent; empty when it is."""
    own, policy = text(context.method, "name"), text(context.obj, "spec", "backupPolicyName")
    compatible = text(context.method, "compatibleMethod")
    method, type_ = text(parent, "spec", "backupMethod"), type_of(parent)
    repo = name_of(context.repo) if context.repo else ""
    if phase_of(parent) != "Completed" or deleting(parent):
        return f"it is {phase_of(parent) or 'new'}, not Completed"
    if text(parent, "spec", "backupPolicyName") != policy:
        return f"it is of BackupPolicy {text(parent, 'spec', 'backupPolicyName')}, not of {policy}"
    if type_ not in (("Full",) if context.backup_type == "Differential" else ("Full", "Incremental")):
        return f"it is a {type_} backup, on which a {context.backup_type} one can't build"
    if type_ == "Full" and compatible and method != compatible:
        return f"its method {method} is not the compatibleMethod {compatible}"
    if type_ == "Incremental" and method != own:
        return f"its method {method} is not {own}"
    if text(parent, "status", "backupRepoName") != repo:
        return f"it lies in BackupRepo {text(parent, 'status', 'backupRepoName')}, not in {repo}"
    if end_of(parent) is None:
        return "it does not say up to when it covers its source"
    several = items(parent, "status", "targets")
    return "" if len(several or [1]) == len(context.targets) else "it has another number of targets"


def _named(name: str, context: "Context", refs: Refs) -> Object | Refusal:
    found = refs.get(BACKUP, context.namespace, name)
    why = "it does not exist" if found is None else why_bad(found, context)
    if found is None or why:
        return Refusal("BadParent", f"Backup {context.namespace}/{name} can't be the parent: {why}")
    return found


def _newest(context: "Context", refs: Refs) -> Object | Refusal:
    policy = text(context.obj, "spec", "backupPolicyName")
    siblings = refs.list(BACKUP, context.namespace, label=(names.BACKUP_POLICY, bounded_name(policy)))
    good = [backup for backup in siblings if not why_bad(backup, context)]
    full = _latest([backup for backup in good if type_of(backup) == "Full"])
    if full is None:
        return Refusal("NoParent", f"no completed full backup of BackupPolicy {policy} is there to build on: take one first")
    last = _latest([backup for backup in good if type_of(backup) == "Incremental"])
    if last is None or text(last, "status", "baseBackupName") != name_of(full) or _end(last) < _end(full):
        return full
    return last


def _latest(backups: Sequence[Object]) -> Object | None:
    return max(backups, key=lambda backup: (_end(backup), name_of(backup)), default=None)


def _end(backup: Object) -> datetime:
    end = end_of(backup)
    assert end is not None, "only good parents are compared"
    return end


def ancestors(backup: Object, refs: Refs) -> list[Object] | Refusal:
    """Return what a Backup builds on, oldest first: the full one and the incrementals up to it.

    Each must have been completed; one whose deletion waits for its children is still whole.
    """
    found: list[Object] = []
    at, place = backup, namespace_of(backup)
    while name := parent_of(at):
        parent = refs.get(BACKUP, place, name)
        why = "does not exist any more" if parent is None else f"is {phase_of(parent) or 'new'}, not Completed"
        if parent is None or phase_of(parent) not in ("Completed", "Deleting"):
            return Refusal("BrokenChain", f"Backup {place}/{name_of(at)} builds on {name}, which {why}")
        if len(found) >= LONGEST or any(name_of(each) == name for each in found):
            return Refusal("BrokenChain", f"the chain of Backup {place}/{name_of(backup)} goes round in a circle at {name}")
        found.append(parent)
        at = parent
    if found and type_of(found[-1]) != "Full":
        return Refusal("BrokenChain", f"the chain of Backup {place}/{name_of(backup)} does not begin with a full backup")
    return found[::-1]


def children(backup: Object, refs: Refs) -> Iterator[Object]:
    """Yield the Backups that build on this one directly."""
    policy = bounded_name(text(backup, "spec", "backupPolicyName"))
    for other in refs.list(BACKUP, namespace_of(backup), label=(names.BACKUP_POLICY, policy)):
        if parent_of(other) == name_of(backup):
            yield other
