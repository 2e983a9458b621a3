"""Which Backups a Restore brings back, and in what order.

A full one by itself; an incremental one from its full one onward, a differential one after its parent; a continuous one after
the newest backup that ends before the wanted moment. A set whose script names its ancestors itself (it reads
DP_ANCESTOR_INCREMENTAL_BACKUP_NAMES or DP_BASE_BACKUP_NAME) restores them itself: then it is the only job.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

import msgspec

from holdfast.core.objects import Object, bounded_name
from holdfast.core.ports import Refs
from holdfast.core.read import at, mapping, name_of, namespace_of, phase_of, strings, text
from holdfast.core.times import format_time, parse_time
from holdfast.dialects.kubeblocks import action_parameters, chains, names, targets
from holdfast.dialects.kubeblocks.kinds import ACTION_SET, BACKUP
from holdfast.dialects.kubeblocks.refusal import Refusal
from holdfast.dialects.kubeblocks.targets import Target

SKIP_BASE: Final = "dataprotection.kubeblocks.io/skip-base-backup-restore-in-pitr"
_READS_ANCESTORS: Final = ("DP_ANCESTOR_INCREMENTAL_BACKUP_NAMES", "DP_BASE_BACKUP_NAME")


class Source(msgspec.Struct, frozen=True, kw_only=True):
    """One Backup to bring back, with its action set.

    `ancestors` are the names of the incrementals below it, oldest first, `base` the full one at the root. `only_ready`: its
    data is not prepared, since a later set does that.
    """

    backup: Object
    action_set: Object
    target: Target
    ancestors: tuple[str, ...] = ()
    base: Object = {}

    @property
    def method(self) -> Object:
        """The method by which it was taken."""
        return mapping(self.backup, "status", "backupMethod")

    @property
    def section(self) -> Object:
        """How its action set restores."""
        return mapping(self.action_set, "spec", "restore")


def sources(restore: Object, refs: Refs, *, begun: bool = False) -> list[Source] | Refusal:
    """Return the Backups of a Restore in order, or why it can't be done.

    A Backup that is being deleted waits for those that read it: it serves a Restore that runs, and a claim that is being
    filled (`begun`), and no new one.
    """
    wanted = mapping(restore, "spec", "backup")
    place, name = text(wanted, "namespace", default=namespace_of(restore)), text(wanted, "name")
    backup = refs.get(BACKUP, place, name)
    if backup is None:
        return Refusal("BackupNotFound", f"Backup {place}/{name} does not exist: name one that does")
    type_, moment = chains.type_of(backup), text(restore, "spec", "restoreTime")
    if type_ == "Continuous":
        return _to_a_moment(restore, backup, moment, refs)
    if moment:
        said = f"spec.restoreTime needs a continuous backup, and Backup {place}/{name} is {type_}: leave it out"
        return Refusal("RestoreTimeNotWanted", said)
    readable = ("Completed", "Deleting") if begun or phase_of(restore) == "Running" else ("Completed",)
    if phase_of(backup) not in readable:
        return Refusal("BackupNotCompleted", f"Backup {place}/{name} is {phase_of(backup) or 'new'}, not Completed")
    return _line(restore, backup, refs)


def _line(restore: Object, backup: Object, refs: Refs) -> list[Source] | Refusal:
    """Return a Backup after everything that it builds on."""
    above = chains.ancestors(backup, refs)
    if isinstance(above, Refusal):
        return above
    last = _source(restore, backup, above, refs)
    if isinstance(last, Refusal):
        return last
    if chains.type_of(backup) == "Incremental" and _restores_ancestors(last):
        return [last]
    found: list[Source] = []
    for index, each in enumerate(above):
        source = _source(restore, each, above[:index], refs)
        if isinstance(source, Refusal):
            return source
        found.append(source)
    return [*found, last]


def _source(restore: Object, backup: Object, above: Sequence[Object], refs: Refs) -> Source | Refusal:
    name = text(backup, "status", "backupMethod", "actionSetName")
    action_set: Object = {}
    if name:
        given = refs.get(ACTION_SET, "", name)
        if given is None:
            return Refusal("ActionSetNotFound", f"ActionSet {name} of Backup {name_of(backup)} does not exist: create it")
        action_set = given
    if (unfit := action_parameters.refusal(restore, action_set, "restore")) is not None:
        return unfit
    target = _target(restore, backup)
    if isinstance(target, Refusal):
        return target
    base: Object = above[0] if above else {}
    return Source(
        backup=backup,
        action_set=action_set,
        target=target,
        ancestors=tuple(name_of(each) for each in above[1:]),
        base=base,
    )


def _target(restore: Object, backup: Object) -> Target | Refusal:
    """Return the target of a Backup whose data is wanted."""
    known = targets.recorded(mapping(backup, "status"))
    wanted = text(restore, "spec", "backup", "sourceTargetName")
    found = [target for target in known if not wanted or target.name == wanted] or ([] if wanted else [Target({})])
    if len(found) == 1:
        return found[0]
    several = ", ".join(target.name for target in known)
    said = f"Backup {name_of(backup)} has the targets {several}: name one of them in spec.backup.sourceTargetName"
    return Refusal("TargetNotNamed", said)


def _restores_ancestors(source: Source) -> bool:
    command = " ".join(strings(source.section, "prepareData", "command"))
    return any(word in command for word in _READS_ANCESTORS)


def _to_a_moment(restore: Object, backup: Object, moment: str, refs: Refs) -> list[Source] | Refusal:
    place = f"Backup {namespace_of(backup)}/{name_of(backup)}"
    if not moment:
        return Refusal("RestoreTimeNeeded", f"{place} is continuous: say to which moment in spec.restoreTime")
    start, end, at_ = chains.start_of(backup), text(backup, "status", "timeRange", "end"), parse_time(moment)
    if start is None or not end:
        return Refusal("NoTimeRange", f"{place} has no time range yet: no log of it is stored")
    if not start <= at_ <= parse_time(end):
        return Refusal("OutOfRange", f"{moment} is not in the time range of {place}: {format_time(start)} to {end}")
    last = _source(restore, backup, (), refs)
    if isinstance(last, Refusal):
        return last
    if at(last.section, "baseBackupRequired") is False:
        return [last]
    base = _base_for(backup, start, at_, refs)
    if base is None:
        said = f"no completed full or incremental backup ends between {format_time(start)} and {moment}: {place} can't be used"
        return Refusal("NoBaseBackup", said)
    before = _line(restore, base, refs)
    if isinstance(before, Refusal):
        return before
    last = msgspec.structs.replace(last, base=base)
    skips = text(last.action_set, "metadata", "annotations", SKIP_BASE) == "true"
    return [last] if skips else [*before, last]


def _base_for(backup: Object, start: datetime, moment: datetime, refs: Refs) -> Object | None:
    """Return the newest backup of the same source that ends before a moment."""
    found: list[tuple[datetime, str, Object]] = []
    for other in _of_same_source(backup, refs):
        end = chains.end_of(other)
        good = phase_of(other) == "Completed" and chains.type_of(other) in ("Full", "Incremental")
        if good and end is not None and start <= end <= moment:
            found.append((end, name_of(other), other))
    return max(found, key=lambda entry: entry[:2])[2] if found else None


def _of_same_source(backup: Object, refs: Refs) -> Sequence[Object]:
    labels = mapping(backup, "metadata", "labels")
    keys = [key for key in (names.CLUSTER_UID, names.INSTANCE, names.COMPONENT) if labels.get(key)]
    if not keys:
        policy = bounded_name(text(backup, "spec", "backupPolicyName"))
        return refs.list(BACKUP, namespace_of(backup), label=(names.BACKUP_POLICY, policy))
    found = refs.list(BACKUP, namespace_of(backup), label=(keys[0], labels[keys[0]]))
    return [each for each in found if all(text(each, "metadata", "labels", key) == labels[key] for key in keys)]
