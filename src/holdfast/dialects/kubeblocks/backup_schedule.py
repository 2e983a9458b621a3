"""BackupSchedule: methods of a policy, run again and again.

Each enabled entry has a CronJob, or a Backup that runs on if its method is continuous; what the spec names no more is removed.
The status tells of every entry how its latest run went.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime

from holdfast.core.ledger import Schedule
from holdfast.core.objects import Object, Ref, bounded_name
from holdfast.core.plan import Amend, Child, Desired, Doomed, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import deleting, generation_of, items, mapping, name_of, namespace_of, phase_of, strings, text, uid_of
from holdfast.dialects.kubeblocks import names, retention, ticks, triggers
from holdfast.dialects.kubeblocks.backup_policy import method
from holdfast.dialects.kubeblocks.kinds import ACTION_SET, BACKUP, BACKUP_POLICY, BACKUP_SCHEDULE, CRON_JOB
from holdfast.dialects.kubeblocks.triggers import enabled, entry_name


class BackupScheduleHandler:
    """Handles BackupSchedules."""

    kind = BACKUP_SCHEDULE
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge cron expressions, periods and names on their own."""
        found = [*_names(obj), *_times(obj)]
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say which CronJobs and continuous Backups shall exist, and which CronJobs shall go."""
        if deleting(obj):
            return Desired()
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        policy = view.get(BACKUP_POLICY, namespace_of(obj), text(obj, "spec", "backupPolicyName"))
        if policy is None:
            said = f"BackupPolicy {namespace_of(obj)}/{text(obj, 'spec', 'backupPolicyName')} not found: create it"
            return Problems((Problem("spec.backupPolicyName", said, "BackupPolicyNotFound"),))
        if wrong := list(_methods(obj, policy, view)):
            return Problems(tuple(wrong))
        children: list[Child] = []
        backups: list[Child] = []
        times: list[datetime | None] = []
        for entry in _entries(obj):
            lasting = _is_continuous(policy, entry, view)
            if enabled(entry, is_continuous=lasting) and lasting:
                backups.append(triggers.continuous(obj, entry))
            elif enabled(entry, is_continuous=lasting):
                children.append(triggers.cron_job(obj, entry, policy))
                job = view.get(CRON_JOB, namespace_of(obj), triggers.name(obj, entry))
                due = triggers.due(obj, entry, policy, job, now)
                backups += [due] if due is not None else []
                times.append(triggers.cron(text(entry, "cronExpression")).next_after(now))
        wanted = {name_of(child.object) for child in children}
        doomed = tuple(
            Doomed(Ref(CRON_JOB, namespace_of(job), name_of(job)), "no entry of its BackupSchedule needs it any more")
            for job in view.list(CRON_JOB, namespace_of(obj), owner=uid_of(obj))
            if name_of(job) not in wanted
        )
        return Desired(
            amend=_labelled(obj),
            children=(*(triggers.accounts(namespace_of(obj)) if children else ()), *children, *backups),
            doomed=doomed,
            wake_at=min((at for at in times if at is not None), default=None),
        )

    def schedules(self, obj: Object, view: View, now: datetime) -> Sequence[Schedule]:
        """Return a schedule for each entry that has due times, for its Ledger."""
        policy = view.get(BACKUP_POLICY, namespace_of(obj), text(obj, "spec", "backupPolicyName")) or {}
        backups = _backups(obj, view)
        return [
            ticks.schedule(obj, entry, [each for each in backups if _belongs(each, entry)])
            for entry in _entries(obj)
            if not _is_continuous(policy, entry, view)
        ]

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status."""
        before = mapping(obj, "status")
        if deleting(obj):
            return before
        status: Object = {"observedGeneration": generation_of(obj)}
        if outcome.problems is not None:
            known = {"schedules": before["schedules"]} if mapping(before, "schedules") else {}
            return {**status, **known, "phase": "Failed", "failureReason": str(outcome.problems)}
        backups = _backups(obj, view)
        told: dict[str, Object] = {}
        refusals: list[str] = []
        for entry in _entries(obj):
            key, own = entry_name(entry), triggers.name(obj, entry)
            refused = outcome.refused.get(own, "")
            refusals += [refused] if refused else []
            job = view.get(CRON_JOB, namespace_of(obj), own)
            runs = [each for each in backups if _belongs(each, entry)]
            told[key] = _told(mapping(before, "schedules", key), entry, job, runs, refused)
        status |= {"phase": "Failed" if refusals else "Available", "schedules": told}
        return {**status, "failureReason": "; ".join(refusals)} if refusals else status


def _backups(obj: Object, view: View) -> Sequence[Object]:
    return view.list(BACKUP, namespace_of(obj), label=(names.BACKUP_SCHEDULE, bounded_name(name_of(obj))))


def _entries(obj: Object) -> list[Object]:
    return items(obj, "spec", "schedules")


def _names(obj: Object) -> Iterator[Problem]:
    given = [entry_name(entry) for entry in _entries(obj)]
    if not given:
        yield Problem("spec.schedules", "is empty: name at least one method and its times")
    for number, key in enumerate(given):
        if key in given[:number]:
            yield Problem(f"spec.schedules[{number}].name", f"{key} is the name of two entries: each needs its own")
        if not names.VALID.fullmatch(key):
            yield Problem(f"spec.schedules[{number}].name", f"{key!r} must be of small letters, digits and dashes")


def _times(obj: Object) -> Iterator[Problem]:
    for number, entry in enumerate(_entries(obj)):
        field = f"spec.schedules[{number}]"
        try:
            triggers.cron(text(entry, "cronExpression"))
        except ValueError as error:
            yield Problem(f"{field}.cronExpression", str(error), "InvalidSchedule")
        try:
            retention.period(text(entry, "retentionPeriod"))
        except ValueError as error:
            yield Problem(f"{field}.retentionPeriod", str(error))


def _methods(obj: Object, policy: Object, refs: Refs) -> Iterator[Problem]:
    """Hold the entries against the policy and its action sets."""
    for number, entry in enumerate(_entries(obj)):
        field, wanted = f"spec.schedules[{number}]", text(entry, "backupMethod")
        found = method(policy, wanted)
        if found is None:
            said = f"{wanted} is no method of BackupPolicy {name_of(policy)}"
            yield Problem(f"{field}.backupMethod", said, "BackupMethodNotFound")
            continue
        actions = refs.get(ACTION_SET, "", text(found, "actionSetName"))
        declared = strings(actions, "spec", "backup", "withParameters") if actions is not None else []
        unknown = [text(each, "name") for each in items(entry, "parameters") if text(each, "name") not in declared]
        if unknown and actions is not None:
            yield Problem(f"{field}.parameters", f"{', '.join(unknown)} is no parameter of ActionSet {name_of(actions)}")


def _is_continuous(policy: Object, entry: Object, refs: Refs) -> bool:
    found = method(policy, text(entry, "backupMethod")) or {}
    actions = refs.get(ACTION_SET, "", text(found, "actionSetName"))
    return actions is not None and text(actions, "spec", "backupType") == "Continuous"


def _labelled(obj: Object) -> Amend | None:
    """Return the documented label that a schedule lacks."""
    wanted = bounded_name(text(obj, "spec", "backupPolicyName"))
    if text(obj, "metadata", "labels", names.BACKUP_POLICY) == wanted:
        return None
    return Amend({"metadata": {"labels": {names.BACKUP_POLICY: wanted}}})


def _belongs(backup: Object, entry: Object) -> bool:
    named = text(backup, "metadata", "labels", names.ENTRY)
    if named:
        return named == bounded_name(entry_name(entry))
    return text(backup, "spec", "backupMethod") == text(entry, "backupMethod")


def _told(before: Object, entry: Object, job: Object | None, runs: Sequence[Object], refused: str) -> Object:
    """Return how an entry goes. What was seen once stays when its Backups are gone."""
    fired = [text(each, "metadata", "creationTimestamp") for each in runs]
    fired += [text(before, "lastScheduleTime"), text(job or {}, "status", "lastScheduleTime")]
    good = [text(each, "status", "completionTimestamp") for each in runs if phase_of(each) == "Completed"]
    times = {"lastScheduleTime": max(fired), "lastSuccessfulTime": max([*good, text(before, "lastSuccessfulTime")])}
    status: Object = {key: value for key, value in times.items() if value}
    over = [each for each in runs if phase_of(each) in ("Completed", "Failed")]
    latest = max(over, key=lambda each: text(each, "metadata", "creationTimestamp"), default=None)
    if refused:
        return {**status, "phase": "Failed", "failureReason": refused}
    if latest is not None and phase_of(latest) == "Failed":
        why = text(latest, "status", "failureReason", default="it failed")
        return {**status, "phase": "Failed", "failureReason": f"Backup {name_of(latest)}: {why}"}
    if latest is None and text(before, "phase") == "Failed" and text(before, "failureReason").startswith("Backup "):
        return {**status, "phase": "Failed", "failureReason": text(before, "failureReason")}
    running = enabled(entry, is_continuous=True) and (job is not None or bool(runs))
    return {**status, "phase": "Running"} if running else status
