"""ClusterBackupSchedule: a ClusterBackup at each due time, and the record of what became of them.

Due times are those of the controller's time zone. After a downtime only the latest missed one is caught up. The child's name is
made of the due time, so a tick that is seen twice has one child. The last due time is remembered in the status in the same
write that counts it, and only once its child exists: no tick is lost and none runs twice.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta

from holdfast.core.conditions import condition, remove, upsert, upsert_all
from holdfast.core.cron import Cron
from holdfast.core.ledger import Schedule
from holdfast.core.objects import Object, bounded_name
from holdfast.core.plan import Amend, Child, Desired, Note, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import conditions_of, deleting, mapping, name_of, namespace_of, number, text
from holdfast.core.times import format_time, parse_time
from holdfast.dialects.mirantis import attempts, expiry, ownership, parameters, schedules, ticks
from holdfast.dialects.mirantis.cluster_backup import judge
from holdfast.dialects.mirantis.kinds import API_VERSION, CLUSTER, CLUSTER_BACKUP, CLUSTER_BACKUP_SCHEDULE, SCHEDULE_LABEL


class ClusterBackupScheduleHandler:
    """Handles ClusterBackupSchedules. `zone` is the IANA name of the controller's time zone; empty for UTC."""

    kind = CLUSTER_BACKUP_SCHEDULE
    finalizer = ""

    def __init__(self, zone: str = "") -> None:
        self._zone = zone

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge the cron expression with its one-hour rule, the parameters and the Cluster."""
        found: list[Problem] = []
        if old is not None and text(old, "spec", "targetCluster") != text(obj, "spec", "targetCluster"):
            found.append(Problem("spec.targetCluster", "can't be changed: create another ClusterBackupSchedule"))
        try:
            schedules.parse(text(obj, "spec", "schedule"), self._zone)
        except ValueError as error:
            found.append(Problem("spec.schedule", str(error), "InvalidSchedule"))
        judged = judge(obj, refs)
        found += [*(judged.items if judged else ()), *expiry.problems(obj)]
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Make the ClusterBackup that is due, drop what retention lets go, and come back at the next due time."""
        if deleting(obj):
            return Desired()
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        cluster = view.get(CLUSTER, namespace_of(obj), text(obj, "spec", "targetCluster"))
        assert cluster is not None  # validate looked
        cron = schedules.parse(text(obj, "spec", "schedule"), self._zone)
        due, missed = _due(obj, cron, now)
        notes = [*_quotes(obj)]
        if missed:
            notes.append(Note("TicksMissed", f"{missed} due times were missed; the latest is caught up", warning=True))
        dropped = expiry.drop(obj, view, now) or expiry.Drop()
        children = (Child(_child(obj, cluster, due), create_only=True),) if due else ()
        wake = min((at for at in (cron.next_after(now), dropped.wake_at) if at), default=None)
        amend: Amend | None = ownership.adopt(obj, cluster)
        return Desired(
            amend=amend, children=children, notes=tuple(notes), runs=dropped.plans, doomed=dropped.doomed, wake_at=wake
        )

    def schedules(self, obj: Object, view: View, now: datetime) -> Sequence[Schedule]:
        """Return the one schedule, for its Ledger."""
        return [ticks.schedule(obj, view, self._zone)]

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status."""
        before = mapping(obj, "status")
        if deleting(obj):
            return before
        if outcome.problems is not None:
            judged = condition("Ready", False, outcome.problems.items[0].reason, str(outcome.problems))
            known = {key: value for key, value in before.items() if key not in ("nextBackupAt", "observedSchedule")}
            return {**known, "conditions": upsert(conditions_of(obj), judged, now)}
        cron = schedules.parse(text(obj, "spec", "schedule"), self._zone)
        due, _ = _due(obj, cron, now)
        total = number(before, "attempts", "total") or 0
        status: Object = {**before, "observedSchedule": text(obj, "spec", "schedule")}
        made = due is not None and view.get(CLUSTER_BACKUP, namespace_of(obj), _child_name(obj, due)) is not None
        if due is not None and made:
            status["lastBackup"], total = _child_name(obj, due), total + 1
        if made or due is None:
            following = cron.next_after(now)
            status["nextBackupAt"] = format_time(following) if following else ""
        status["attempts"] = attempts.told(mapping(before, "attempts"), expiry.children(obj, view), total)
        judged = condition("Ready", True, "Scheduled", f"due in the time zone {self._zone or 'UTC'}")
        kept = expiry.told(obj, view, outcome.runs, now)
        before_it = conditions_of(obj) if kept else remove(conditions_of(obj), expiry.APPLIED)
        return {**status, "conditions": upsert_all(before_it, [judged, *([kept] if kept else [])], now)}


def _due(obj: Object, cron: Cron, now: datetime) -> tuple[datetime | None, int]:
    """Return the due time to act on, and how many before it were missed.

    Another cron expression counts from the moment at which it was seen, so that an edit never looks back.
    """
    known, seen = text(obj, "status", "nextBackupAt"), text(obj, "status", "observedSchedule")
    if seen and seen != text(obj, "spec", "schedule"):
        return None, 0
    if known:
        since = parse_time(known) - timedelta(seconds=1)
    elif seen or conditions_of(obj):
        return None, 0
    else:
        since = parse_time(text(obj, "metadata", "creationTimestamp"))
    ticks = list(cron.between(since, now))
    return (ticks[-1], len(ticks) - 1) if ticks else (None, 0)


def _child_name(obj: Object, due: datetime) -> str:
    return bounded_name(f"{name_of(obj)}-{due:%Y%m%d%H%M}")


def _child(obj: Object, cluster: Object, due: datetime) -> Object:
    """Build the ClusterBackup of a due time with the parameters that are in force then."""
    spec: Object = {"targetCluster": text(obj, "spec", "targetCluster")}
    if block := parameters.effective(obj, cluster):
        spec["parameters"] = block
    return {
        "apiVersion": API_VERSION,
        "kind": CLUSTER_BACKUP.kind,
        "metadata": {
            "name": _child_name(obj, due),
            "namespace": namespace_of(obj),
            "labels": {SCHEDULE_LABEL: bounded_name(name_of(obj))},
            "ownerReferences": [ownership.reference(cluster)],
        },
        "spec": spec,
    }


def _quotes(obj: Object) -> list[Note]:
    written = text(obj, "spec", "schedule")
    if schedules.unquoted(written) == written:
        return []
    text_ = f"spec.schedule {written} has typographic quotes, which were taken off: write it without them"
    return [Note("TypographicQuotes", text_, warning=True)]
