"""BackupRepo: a place for backups, checked before anybody relies on it, and again every hour.

It makes what its provider's templates say, tries the place with a Job, and when it is Ready for the first time looks for
backups that lie there already. It can't go while Backups need it.
"""

import hashlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from holdfast.core.conditions import Condition, condition, find, is_true, upsert_all
from holdfast.core.objects import Object, Ref, bounded_name
from holdfast.core.plan import Child, Desired, Doomed, Phase, Plan, Problem, Problems, Run, RunKind, Step, StepState
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.quantity import parse_quantity
from holdfast.core.read import (
    at,
    conditions_of,
    deleting,
    flag,
    generation_of,
    mapping,
    name_of,
    namespace_of,
    number,
    text,
    uid_of,
)
from holdfast.core.times import format_time, optional_time
from holdfast.dialects.kubeblocks import access, attempts, names, record_phrases, repo_jobs
from holdfast.dialects.kubeblocks.attempts import Attempt, Task
from holdfast.dialects.kubeblocks.kinds import (
    BACKUP,
    BACKUP_POLICY,
    BACKUP_REPO,
    CLAIM,
    JOB,
    NAMESPACE,
    SECRET,
    STORAGE_CLASS,
)
from holdfast.dialects.kubeblocks.preparation import CLASS_CREATED, PARAMETERS, Prepared, method_of, prepare
from holdfast.dialects.kubeblocks.record_phrases import Phrase

PASSED: Final = "PreCheckPassed"
FOUND: Final = "BackupsRediscovered"
SEALED: Final = "RecordsSealed"
"""The reason of `FOUND` while backups lie there whose records no known pass phrase opens."""
FREE: Final = "DerivedObjectsDeleted"
AGAIN: Final = timedelta(hours=1)
"""How long after a good check the next one is due."""
_LIMIT: Final = timedelta(minutes=15)
_MADE: Final = (
    "generatedCSIDriverSecret",
    "generatedStorageClassName",
    "backupPVCName",
    "toolConfigSecretName",
    "kopiaPasswordSecretName",
)
_SECRETS: Final = "secrets"
"""Under this name an Outcome says what is wrong with the Secrets of a pass."""


class BackupRepoHandler:
    """Handles BackupRepos. `home` is the namespace of the controller, where its Jobs run and its Secrets lie."""

    kind = BACKUP_REPO
    finalizer = names.FINALIZER

    def __init__(self, home: str) -> None:
        self._home = home

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge what can be said without the provider."""
        found: list[Problem] = []
        capacity = at(obj, "spec", "volumeCapacity")
        try:
            good = capacity is None or parse_quantity(str(capacity)) > 0
        except ValueError:
            good = False
        if not good:
            found.append(Problem("spec.volumeCapacity", f"{capacity} is not a size such as 20Gi"))
        if method_of(obj) == "Tool" and capacity is not None:
            found.append(Problem("spec.volumeCapacity", "is the size of a claim, and accessMethod Tool has none: remove it"))
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Make what the templates say, check the place, look for backups; hold the object while Backups need it."""
        if deleting(obj):
            return _farewell(obj, view, self._home)
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        prepared = prepare(obj, view, self._home)
        if prepared.provider is None:
            return Desired()
        children, copies = list(prepared.children), list(prepared.copies)
        doomed: list[Doomed] = []
        plans: list[Plan] = []
        times: list[datetime] = []
        known = _phrases(obj, view)
        for task in self._tasks(obj, prepared, view, now):
            attempt = attempts.observe(obj, task, view, now)
            times += [attempt.wake_at] if attempt.wake_at else []
            if task.condition == FOUND and (attempt.wanted or attempt.state):
                namespaces = [name_of(each) for each in view.list(NAMESPACE) if not deleting(each)]
                children += repo_jobs.accounts(obj, self._home, namespaces) if attempt.wanted else ()
                doomed += () if attempt.wanted else repo_jobs.rights(obj, namespaces)
                copies += [phrase.copy(obj, self._home) for phrase in known] if attempt.wanted else []
            plans += [self._plan(obj, task, known)] if attempt.wanted else []
            doomed += attempt.doomed
        if method_of(obj) == "Mount":
            tried = repo_jobs.claim(obj, prepared.provider, self._home)
            children += [Child(tried, create_only=True)] if plans else []
            if not plans and is_true(conditions_of(obj), FOUND) and repo_jobs.frees(tried, view):
                doomed.append(Doomed(Ref(CLAIM, self._home, name_of(tried)), "the check is over"))
        copies += access.kopia_password(obj, self._home, self._home) if _wants_kopia(obj, view) else ()
        return Desired(
            children=tuple(children),
            secret_copies=tuple(copies),
            doomed=tuple(doomed),
            runs=tuple(plans),
            wake_at=min(times, default=None),
        )

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status."""
        before = {name: value for name, value in mapping(obj, "status").items() if name not in _MADE}
        status: Object = {**before, "observedGeneration": generation_of(obj)}
        if deleting(obj):
            return {**status, "phase": "Deleting", "isDefault": False, **_told(obj, [_free(obj, view)], now)}
        if outcome.problems is not None:
            wrong = condition(PARAMETERS, False, outcome.problems.items[0].reason, str(outcome.problems))
            return {**status, "phase": "Failed", "isDefault": False, **_told(obj, [wrong], now)}
        prepared = prepare(obj, view, self._home)
        if prepared.provider is None:
            return {**status, "phase": "Failed", "isDefault": False, **_told(obj, prepared.conditions, now)}
        conditions = _with_refusals(prepared.conditions, outcome.refused)
        tasks = self._tasks(obj, prepared, view, now)
        for task in tasks:
            attempt = attempts.observe(obj, task, view, now)
            waits = _waits(outcome.runs, task)
            conditions.append(
                _checked(obj, task, attempt, waits) if task.condition == PASSED else _discovered(obj, task, attempt)
            )
            if task.condition == PASSED and attempt.state is not None and attempt.state.phase.terminal:
                status["lastPreCheckTime"] = format_time(attempt.state.finished or now)
                status |= _credential(obj, view)
            if task.condition == PASSED and attempt.state is not None and attempt.state.phase is Phase.SUCCEEDED:
                status["preCheckDigest"] = prepared.digest
            if task.condition == FOUND and attempt.state is not None and attempt.state.phase is Phase.SUCCEEDED:
                opened = record_phrases.digest(_phrases(obj, view), view)
                status |= {"searchedWith": opened} if opened else {}
        phase = _phase(conditions)
        default = phase == "Ready" and names.is_true(obj, names.DEFAULT_REPO)
        return {
            **status,
            "phase": phase,
            "isDefault": default,
            **self._made(obj, prepared, view),
            **_told(obj, conditions, now),
        }

    def _tasks(self, obj: Object, prepared: Prepared, view: Refs, now: datetime) -> list[Task]:
        """Return the check, and once that went well, the search for backups."""
        digest = f"{prepared.digest}{_changed_credential(obj, view)}"
        checked = is_true(conditions_of(obj), PASSED) and text(obj, "status", "preCheckDigest") == digest
        last = optional_time(text(obj, "status", "lastPreCheckTime"))
        due = last + AGAIN if checked and last else now
        tasks = [Task(name=names.pre_check(obj), home=self._home, condition=PASSED, digest=digest, due=due)]
        if checked:
            opened = record_phrases.digest(_phrases(obj, view), view)
            done = is_true(conditions_of(obj), FOUND) and opened in ("", text(obj, "status", "searchedWith"))
            name, mark = names.discovery(obj), f"{names.mark(obj)}{opened}"
            tasks.append(Task(name=name, home=self._home, condition=FOUND, digest=mark, due=None if done else now))
        return tasks

    def _plan(self, obj: Object, task: Task, known: Sequence[Phrase]) -> Plan:
        reach = access.mounted(names.pre_check(obj)) if method_of(obj) == "Mount" else access.tool(obj)
        check = task.condition == PASSED
        call, account = (repo_jobs.check_call(obj), "") if check else (repo_jobs.discovery_call(obj, known), names.DISCOVERY)
        job = repo_jobs.job(obj, task, reach, account)
        step = Step(name="run", child=job, mover=call, deadline=_LIMIT)
        return Plan(name=task.condition, kind=RunKind.INITIALIZE, steps=(step,))

    def _made(self, obj: Object, prepared: Prepared, view: View) -> Object:
        """Return the fields of the status that name what was made; None for what is not."""
        mount, made = method_of(obj) == "Mount", {copy.target.name for copy in prepared.copies}
        secret = names.csi_secret(obj)
        named: Object = {
            "generatedCSIDriverSecret": {"name": secret, "namespace": self._home} if secret in made else None,
            "generatedStorageClassName": names.storage_class(obj) if prepared.children else None,
            "backupPVCName": names.claim(obj) if mount else None,
            "toolConfigSecretName": None if mount else names.tool_config(obj),
            "kopiaPasswordSecretName": names.kopia_password(obj) if _wants_kopia(obj, view) else None,
        }
        return {name: value for name, value in named.items() if value is not None}


def _phrases(obj: Object, refs: Refs) -> Sequence[Phrase]:
    """Return what may open records that a search could not read; none while there are no such records."""
    told = find(conditions_of(obj), FOUND) or {}
    return record_phrases.phrases(refs) if told.get("reason") == SEALED else ()


def _credential(obj: Object, refs: Refs) -> Object:
    """Return as a field of the status which version the Secret with the credentials has; nothing while that is not known."""
    given = mapping(obj, "spec", "credential")
    secret = refs.get(SECRET, text(given, "namespace"), text(given, "name")) if given else None
    version = text(secret or {}, "metadata", "resourceVersion")
    return {"checkedCredential": f"{uid_of(secret)}/{version}"} if secret is not None and version else {}


def _changed_credential(obj: Object, refs: Refs) -> str:
    """Return what tells a changed Secret from the one that was checked last; empty while it is the same, or not known."""
    now, last = _credential(obj, refs).get("checkedCredential", ""), text(obj, "status", "checkedCredential")
    return "-" + hashlib.sha256(now.encode()).hexdigest()[:8] if now and last and now != last else ""


def _phase(conditions: Sequence[Condition]) -> str:
    judged = [item for item in conditions if item.type != FOUND]
    if any(item.status == "False" for item in judged):
        return "Failed"
    return "Ready" if all(item.status == "True" for item in judged) else "PreChecking"


def _told(obj: Object, conditions: Sequence[Condition], now: datetime) -> Object:
    return {"conditions": upsert_all(conditions_of(obj), conditions, now)}


def _with_refusals(conditions: Sequence[Condition], refused: Mapping[str, str]) -> list[Condition]:
    """Return the conditions with what the server has against the Secrets and the StorageClass."""
    found = list(conditions)
    of_class = next((said for name, said in refused.items() if name.startswith("sc-")), "")
    for type_, reason, message in (
        (PARAMETERS, "CredentialSecretNotFound", refused.get(_SECRETS, "")),
        (CLASS_CREATED, "PrepareStorageClassFailed", of_class),
    ):
        if message:
            found = [condition(type_, False, reason, message) if item.type == type_ else item for item in found]
    return found


def _waits(runs: Mapping[str, Run], task: Task) -> str:
    """Return why the Job of a task has not started, or what its pod waits for."""
    run = runs.get(task.condition)
    state = run.steps["run"] if run else StepState()
    return "" if state.message == "starts" else state.message


def _checked(obj: Object, task: Task, attempt: Attempt, waits: str) -> Condition:
    """Return how the check went. A place that is only checked again stays what it was meanwhile."""
    phase = attempt.state.phase if attempt.state else Phase.WAITING
    if phase is Phase.SUCCEEDED:
        return condition(PASSED, True, "PreCheckSucceeded", "a file was written, read, listed and deleted there")
    if phase is Phase.FAILED:
        return attempts.failure(task, attempt, "PreCheckFailed")
    before = find(conditions_of(obj), PASSED)
    known = text(obj, "status", "preCheckDigest") == task.digest
    if before is not None and (before.get("status") == "False" or (known and before.get("status") == "True")):
        return _same(before)
    return condition(PASSED, None, "DigestChanged", waits or "the place is being checked")


def _discovered(obj: Object, task: Task, attempt: Attempt) -> Condition:
    """Return what was found. It never keeps a repository from being used."""
    state, before = attempt.state or StepState(), find(conditions_of(obj), FOUND)
    if state.phase is Phase.SUCCEEDED:
        counts: Object = dict(state.report.details) if state.report else {}
        made, there, left, sealed = (number(counts, key) or 0 for key in ("made", "there", "leftOut", "sealed"))
        said = f"{made} Backups were found there and made again, {there} were known, {left} left out"
        advice = f"; {sealed} of these are encrypted: apply the BackupPolicy and the Secret that name their pass phrase"
        return condition(FOUND, True, SEALED if sealed else "Searched", said + (advice if sealed else ""))
    if state.phase is Phase.FAILED:
        return attempts.failure(task, attempt, "SearchFailed")
    return _same(before) if before is not None else condition(FOUND, None, "Searching", "looks for backups that lie there")


def _same(before: Object) -> Condition:
    status = {"True": True, "False": False}.get(text(before, "status"))
    return condition(text(before, "type"), status, text(before, "reason"), text(before, "message"))


def _free(obj: Object, view: Refs) -> Condition:
    """Return whether the object may go."""
    if users := _users(obj, view):
        named = ", ".join(f"{namespace_of(each)}/{name_of(each)}" for each in users[:5])
        more = f" and {len(users) - 5} more" if len(users) > 5 else ""
        return condition(FREE, False, "HaveAssociatedBackups", f"delete first the Backups that lie there: {named}{more}")
    if claims := _claims(obj, view):
        named = ", ".join(f"{namespace_of(each)}/{name_of(each)}" for each in claims[:5])
        return condition(FREE, False, "HaveResidualPVCs", f"waits until its claims are gone: {named}")
    return condition(FREE, True, "DerivedObjectsDeleted", "nothing of it is left")


def _farewell(obj: Object, view: View, home: str) -> Desired:
    if _users(obj, view):
        return Desired()
    gone = f"BackupRepo {name_of(obj)} was deleted"
    jobs = [Doomed(Ref(JOB, home, name), gone) for name in (names.pre_check(obj), names.discovery(obj))]
    claims = _claims(obj, view)
    doomed = [*jobs, *(Doomed(Ref(CLAIM, namespace_of(each), name_of(each)), gone) for each in claims)]
    if claims:
        return Desired(doomed=tuple(doomed))
    return Desired(doomed=(*doomed, Doomed(Ref(STORAGE_CLASS, "", names.storage_class(obj)), gone)), release=True)


def _users(obj: Object, view: Refs) -> list[Object]:
    """Return the Backups that lie there, or may: failed ones too, since they leave files behind."""
    found = view.list(BACKUP, label=(names.BACKUP_REPO, bounded_name(name_of(obj))))
    return sorted(found, key=lambda each: (namespace_of(each), name_of(each)))


def _claims(obj: Object, view: Refs) -> list[Object]:
    return list(view.list(CLAIM, label=(names.BACKUP_REPO, bounded_name(name_of(obj)))))


def _wants_kopia(obj: Object, view: Refs) -> bool:
    """Whether a policy keeps deduplicated backups here."""
    name, default = name_of(obj), names.is_true(obj, names.DEFAULT_REPO)
    return any(
        flag(policy, "spec", "useKopia") and text(policy, "spec", "backupRepoName", default=name if default else "") == name
        for policy in view.list(BACKUP_POLICY)
    )
