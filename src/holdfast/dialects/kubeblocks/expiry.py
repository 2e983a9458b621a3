"""When a Backup that is over may be deleted by itself. A timer asks, once: nothing is scanned again and again.

Past its expiration a Backup still stays while it is the last good one of its policy, while another builds on it, and while a
member of its chain is kept; it was found again in a repository, and nobody has looked at it yet. Each reason ends with a
change of another object, which wakes this one.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from holdfast.core.objects import Object
from holdfast.core.ports import Refs
from holdfast.core.read import deleting, name_of, namespace_of, phase_of, text
from holdfast.core.times import format_time, optional_time, parse_time
from holdfast.dialects.kubeblocks import names
from holdfast.dialects.kubeblocks.kinds import BACKUP, BACKUP_POLICY

OVER = ("Completed", "Failed")

_NEVER = datetime.max.replace(tzinfo=UTC)


class Verdict(msgspec.Struct, frozen=True):
    """Whether a Backup goes now; else why it is `kept` though it has expired, and when to ask again if time alone decides."""

    expired: bool = False
    kept: str = ""
    wake_at: datetime | None = None


def verdict(backup: Object, refs: Refs, now: datetime) -> Verdict:
    """Judge a Backup. One that runs, or that nothing makes expire, is never judged."""
    due = optional_time(text(backup, "status", "expiration"))
    if due is None or phase_of(backup) not in OVER or deleting(backup):
        return Verdict()
    if now < due:
        return Verdict(wake_at=due)
    if text(backup, "metadata", "labels", names.REDISCOVERED) == "true":
        return Verdict(kept=f"it was found again in its repository: remove the label {names.REDISCOVERED} to let it expire")
    siblings = _siblings(backup, refs)
    if children := [name_of(each) for each in siblings if _parent(each) == name_of(backup)]:
        return Verdict(kept=f"it expired, and {', '.join(sorted(children))} builds on it")
    chain = _chain(backup, siblings)
    held = _held(chain, now)
    if isinstance(held, Verdict):
        return held
    rule = _rule(backup, refs)
    last = next((each for each in chain if _is_last(each, siblings, rule)), None)
    if last is not None:
        which = "it" if last is backup else f"its chain holds {name_of(last)}, which"
        return Verdict(
            kept=f"{which} is the last good backup of BackupPolicy {_policy(backup)}: it goes once a newer one is Completed"
        )
    return Verdict(expired=True)


def _siblings(backup: Object, refs: Refs) -> Sequence[Object]:
    """Return the other Backups of the same policy that are not on their way out."""
    label = (names.BACKUP_POLICY, text(backup, "metadata", "labels", names.BACKUP_POLICY, default=_policy(backup)))
    found = refs.list(BACKUP, namespace_of(backup), label=label)
    return [each for each in found if name_of(each) != name_of(backup) and not deleting(each)]


def _chain(backup: Object, siblings: Sequence[Object]) -> list[Object]:
    """Return the Backup with those whose fate it shares: an incremental goes when its whole chain may."""
    base = text(backup, "status", "baseBackupName")
    if not base or phase_of(backup) == "Failed":
        return [backup]
    return [backup, *(each for each in siblings if base in (name_of(each), text(each, "status", "baseBackupName")))]


def _held(chain: Sequence[Object], now: datetime) -> Verdict | None:
    """Return why a member of the chain keeps the whole; None when all have expired."""
    for each in chain[1:]:
        due = optional_time(text(each, "status", "expiration"))
        if due is None or text(each, "metadata", "labels", names.REDISCOVERED) == "true":
            return Verdict(kept=f"it expired, and its chain is kept by {name_of(each)}, which does not expire")
        if now < due:
            said = f"it expired, and its chain is kept by {name_of(each)} until {format_time(due)}"
            return Verdict(kept=said, wake_at=due)
    return None


def _is_last(backup: Object, siblings: Sequence[Object], rule: str) -> bool:
    """Whether no newer good one would be left. `rule`: by method, over all methods, or not at all."""
    if phase_of(backup) != "Completed" or rule == "none":
        return False
    method = text(backup, "spec", "backupMethod")
    newer = [each for each in siblings if phase_of(each) == "Completed" and _rank(each) > _rank(backup)]
    if rule == "retainLatestBackup":
        newer = [each for each in newer if text(each, "spec", "backupMethod") == method]
    return not newer


def _rule(backup: Object, refs: Refs) -> str:
    """Return the policy's word on its last good backup; that of a policy that is gone is the careful one."""
    policy = refs.get(BACKUP_POLICY, namespace_of(backup), _policy(backup))
    return text(policy, "spec", "retentionPolicy") if policy is not None else ""


def _policy(backup: Object) -> str:
    return text(backup, "spec", "backupPolicyName")


def _parent(backup: Object) -> str:
    return text(backup, "status", "parentBackupName") or text(backup, "spec", "parentBackupName")


def _rank(backup: Object) -> tuple[datetime, datetime, str]:
    """Return what orders Backups by age: of those of one second the one that stays longer is the newer."""
    ended = text(backup, "status", "completionTimestamp") or text(backup, "metadata", "creationTimestamp")
    until = optional_time(text(backup, "status", "expiration")) or _NEVER
    return parse_time(ended), until, name_of(backup)
