"""BackupVerificationSession: one test of one Snapshot. It is restored, looked at, and what was restored goes again.

The Snapshot is chosen once: the RestoreSession that is made for it names it. With type RestoreOnly a restore that reads back is
the proof; else a Job with the verifier's Function looks at the data, told by VERIFIER_TYPE, VERIFIER_QUERY (JSON) or
VERIFIER_SCRIPT, and proves it by ending with code 0. The Snapshot learns the outcome from this session.
"""

from datetime import datetime, timedelta
from typing import Final

import msgspec

from holdfast.core.conditions import Condition, condition, upsert_all
from holdfast.core.objects import Object, Ref, owner_reference
from holdfast.core.plan import Child, Desired, Doomed, Phase, Plan, Problem, Problems, RunKind, Step, StepState
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import (
    conditions_of,
    deleting,
    flag,
    items,
    lasted,
    mapping,
    name_of,
    namespace_of,
    number,
    phase_of,
    strings,
    text,
    uid_of,
)
from holdfast.core.times import optional_time, parse_duration
from holdfast.dialects.kubestash import decode, functions, last_words, names, pods, runtime, verifier
from holdfast.dialects.kubestash.expand import UnknownVariable, expand
from holdfast.dialects.kubestash.kinds import (
    BACKUP_CONFIGURATION,
    CLAIM,
    FUNCTION,
    REPOSITORY,
    RESTORE_SESSION,
    SNAPSHOT,
    VERIFICATION,
    VERIFIER,
    api_version,
)
from holdfast.dialects.kubestash.repository import newest_first

FINISHED: Final = ("Succeeded", "Failed", "Skipped")
HISTORY: Final = "VerificationSessionHistoryCleaned"
_LIMIT: Final = timedelta(hours=6)


class VerificationHandler:
    """Handles BackupVerificationSessions."""

    kind = VERIFICATION
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge the spec, which can't change."""
        found: list[Problem] = []
        if old is not None and mapping(old, "spec") != mapping(obj, "spec"):
            found.append(Problem("spec", "can't change: create another BackupVerificationSession"))
        if not decode.is_backup_configuration(mapping(obj, "spec", "invoker")):
            found.append(Problem("spec.invoker", "needed: a BackupConfiguration"))
        for name in ("session", "repository"):
            if not text(obj, "spec", name):
                found.append(Problem(f"spec.{name}", f"needed: the {name} whose newest Snapshot is tested"))
        if (number(obj, "spec", "retryLeft") or 0) < 0:
            found.append(Problem("spec.retryLeft", "is negative: use 0 or more"))
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Say what the test needs next: its RestoreSession, its Job, or that what it restored shall go."""
        if deleting(obj):
            return Desired(release=True)
        if phase_of(obj) in FINISHED:
            return _ended(obj, view, now)
        if (problems := self.validate(obj, None, view)) is not None:
            return problems
        test = _test(obj, view)
        if test.over:
            return Desired()
        if test.restore is None:
            return Desired(children=(Child(_restore(obj, test), create_only=True),))
        if phase_of(test.restore) != "Succeeded" or test.step is None:
            return Desired()
        return Desired(runs=(Plan(name="verify", kind=RunKind.RESTORE, steps=(test.step,)),))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the status."""
        if phase_of(obj) in FINISHED:
            return _retried(obj, view, now)
        if outcome.problems is not None:
            failed = condition("BackupVerified", False, "FailedToVerifyBackup", str(outcome.problems))
            return _status(obj, "Failed", [failed], view, now)
        test = _test(obj, view)
        phase, told = _judged(test)
        return _status(obj, phase, told, view, now)


class Test(msgspec.Struct, frozen=True, kw_only=True):
    """Where a test is. `over` says why it ends before it begins: a phase, a reason and a message."""

    snapshot: Object | None = None
    verifier: Object | None = None
    restore: Object | None = None
    step: Step | None = None
    state: StepState = StepState()
    over: tuple[str, str, str] | None = None


def outcome_for(snapshot: Object, view: View) -> Object:
    """Return the fields of a Snapshot's status that its tests prove; empty before the first one has ended."""
    label = (names.VERIFIES, names.label_value(name_of(snapshot)))
    tests = view.list(RESTORE_SESSION, namespace_of(snapshot), label=label)
    sessions = [view.get(VERIFICATION, namespace_of(item), name_of(item)) for item in tests]
    ended = [item for item in sessions if item is not None and phase_of(item) in ("Succeeded", "Failed")]
    if not ended:
        return {}
    last = max(ended, key=lambda item: (text(item, "metadata", "creationTimestamp"), name_of(item)))
    verdict = "Verified" if phase_of(last) == "Succeeded" else "VerificationFailed"
    return {"verificationStatus": verdict, "verificationSession": name_of(last)}


def _test(obj: Object, view: View) -> Test:
    namespace = namespace_of(obj)
    restore = view.get(RESTORE_SESSION, namespace, name_of(obj))
    if restore is not None and text(restore, "metadata", "labels", names.VERIFIES) == "":
        return Test(
            over=("Failed", "FailedToRestore", f"RestoreSession {namespace}/{name_of(obj)} exists and is not of this test")
        )
    found = _verifier(obj, view)
    if found is None:
        return Test(over=("Failed", "VerifierNotFound", "the repository of its session names no BackupVerifier that exists"))
    named = text(restore, "spec", "dataSource", "snapshot") if restore else text(obj, "spec", "snapshot")
    snapshot = view.get(SNAPSHOT, namespace, named) if named else _newest(obj, view)
    if snapshot is None:
        return Test(over=("Skipped", "SnapshotNotFound", f"Repository {text(obj, 'spec', 'repository')} has no good Snapshot"))
    if restore is None and text(snapshot, "status", "verificationStatus") == "Verified":
        said = f"Snapshot {namespace}/{name_of(snapshot)} was verified before"
        return Test(over=("Skipped", "SnapshotAlreadyVerified", said))
    step = _step(obj, found, view)
    if isinstance(step, Problem):
        return Test(over=("Failed", "FailedToEnsureVerificationExecutor", str(step)))
    state = view.step(namespace, names.verifier_job(name_of(obj))) if step else StepState()
    return Test(snapshot=snapshot, verifier=found, restore=restore, step=step, state=state)


def _verifier(obj: Object, view: View) -> Object | None:
    namespace = namespace_of(obj)
    invoker = view.get(BACKUP_CONFIGURATION, namespace, text(obj, "spec", "invoker", "name"))
    session = decode.configuration(invoker).session(text(obj, "spec", "session")) if invoker else None
    uses = [use for use in session.repositories if use.name == text(obj, "spec", "repository")] if session else []
    where = verifier.verifier_of(uses[0], session, namespace) if session and uses else None
    return view.get(VERIFIER, where.namespace, where.name) if where else None


def _newest(obj: Object, view: View) -> Object | None:
    repository = text(obj, "spec", "repository")
    if view.get(REPOSITORY, namespace_of(obj), repository) is None:
        return None
    label = (names.REPO_NAME, names.label_value(repository))
    all_ = view.list(SNAPSHOT, namespace_of(obj), label=label)
    good = [
        item for item in all_ if phase_of(item) == "Succeeded" and text(item, "spec", "session") == text(obj, "spec", "session")
    ]
    return next(iter(newest_first(good)), None)


def _restore(obj: Object, test: Test) -> Object:
    assert test.snapshot is not None
    assert test.verifier is not None
    option = mapping(test.verifier, "spec", "restoreOption")
    target = mapping(option, "target")
    return {
        "apiVersion": api_version(RESTORE_SESSION),
        "kind": RESTORE_SESSION.kind,
        "metadata": {
            "name": name_of(obj),
            "namespace": namespace_of(obj),
            "labels": {names.MANAGED_BY: "kubestash.com", names.VERIFIES: names.label_value(name_of(test.snapshot))},
            "ownerReferences": [owner_reference(obj)],
        },
        "spec": {
            **({"target": target} if target else {}),
            "dataSource": {"repository": text(obj, "spec", "repository"), "snapshot": name_of(test.snapshot)},
            "addon": mapping(option, "addonInfo"),
        },
    }


def _step(obj: Object, found: Object, view: View) -> Step | Problem | None:
    """Return the Job that looks at the restored data; None where the restore itself is the proof."""
    spec, kind = mapping(found, "spec"), text(found, "spec", "type", default="RestoreOnly")
    if kind == "RestoreOnly":
        return None
    function = view.get(FUNCTION, "", text(spec, "function"))
    if function is None:
        return Problem("spec.function", f"Function {text(spec, 'function')} not found")
    values = {"namespace": namespace_of(obj), "backupVerificationSession": name_of(obj), "restoreSession": name_of(obj)}
    try:
        container = functions.container(function, values, "verifier")
        volumes = expand(items(spec, "volumes"), values)
    except UnknownVariable as error:
        return Problem("spec.function", f"it uses ${{{error}}}, which has neither a value nor a default")
    told = {"VERIFIER_TYPE": kind, "VERIFIER_QUERY": msgspec.json.encode(mapping(spec, "query")).decode()}
    told["VERIFIER_SCRIPT"] = text(spec, "script", "location")
    container["env"] = [*items(container, "env"), *({"name": name, "value": value} for name, value in told.items())]
    if arguments := strings(spec, "script", "args"):
        container["args"] = [*strings(container, "args"), *arguments]
    labels = names.labels("backup-verifier", kind=VERIFICATION.kind, namespace=namespace_of(obj), name=name_of(obj))
    job = pods.job(names.verifier_job(name_of(obj)), namespace_of(obj), labels, container="verifier", volumes=volumes)
    functions.put(job, container, items(spec, "volumeMounts"))
    return Step(name="verify", child=runtime.with_settings(job, mapping(spec, "runtimeSettings")), deadline=_LIMIT)


def _judged(test: Test) -> tuple[str, list[Condition]]:
    if test.over is not None:
        phase, reason, message = test.over
        type_ = "BackupVerificationSkipped" if phase == "Skipped" else "BackupVerified"
        return phase, [condition(type_, phase == "Skipped", reason, message)]
    if test.restore is None or phase_of(test.restore) not in ("Succeeded", "Failed", "Invalid"):
        return "Running", []
    if phase_of(test.restore) != "Succeeded":
        false = (text(item, "message") for item in conditions_of(test.restore) if item.get("status") == "False")
        said = f"RestoreSession {name_of(test.restore)} is {phase_of(test.restore)}: {next(false, 'see its status')}"
        return "Failed", [condition("RestoreSucceeded", False, "RestoreFailed", said)]
    told = [condition("RestoreSucceeded", True, "RestoreSucceeded", "The Snapshot has been restored and read back.")]
    if test.step is None or test.state.phase is Phase.SUCCEEDED:
        return "Succeeded", [*told, condition("BackupVerified", True, "BackupVerified", "The backup has been verified.")]
    if test.state.exists:
        told.append(condition("VerificationExecutorEnsured", True, "VerificationExecutorEnsured", "The verifier runs."))
    if test.state.phase is Phase.FAILED:
        said = test.state.message or "the verifier's Job failed"
        return "Failed", [*told, condition("BackupVerified", False, "FailedToVerifyBackup", said)]
    return "Running", told


def _status(obj: Object, phase: str, told: list[Condition], view: View, now: datetime) -> Object:
    if phase in FINISHED:
        others = (item for item in view.list(VERIFICATION, namespace_of(obj)) if name_of(item) != name_of(obj))
        over = (item for item in others if phase_of(item) in FINISHED and not deleting(item) and _surplus(item, view))
        told = [last_words.history_cleaned(HISTORY, "VerificationSession", [name_of(item) for item in over]), *told]
    status: Object = {"phase": phase, "conditions": upsert_all(conditions_of(obj), told, now, restamp=True)}
    return {**status, "duration": lasted(obj, now)} if phase in FINISHED else status


def _ended(obj: Object, view: View, now: datetime) -> Desired:
    """Clear away what was restored, keep the history short, and repeat a failed test while it may be."""
    restore = view.get(RESTORE_SESSION, namespace_of(obj), name_of(obj))
    claims = view.list(CLAIM, namespace_of(obj), owner=uid_of(restore)) if restore else ()
    doomed = [Doomed(Ref(CLAIM, namespace_of(item), name_of(item)), "the test that restored it has ended") for item in claims]
    doomed += _surplus(obj, view)
    due = _due(obj, view)
    if due is None or flag(obj, "status", "retried"):
        return Desired(doomed=tuple(doomed))
    if now < due:
        return Desired(doomed=tuple(doomed), wake_at=due)
    again = _again(obj, due, view)
    return Desired(doomed=tuple(doomed), children=(Child(again, create_only=True),) if again else ())


def _due(obj: Object, view: View) -> datetime | None:
    """Return when a failed test is repeated; None when it is not."""
    created = optional_time(text(obj, "metadata", "creationTimestamp"))
    if phase_of(obj) != "Failed" or (number(obj, "spec", "retryLeft") or 0) < 1 or created is None:
        return None
    delay = decode.duration(mapping(_verifier(obj, view) or {}, "spec", "retryConfig"), "delay") or timedelta(seconds=1)
    return created + parse_duration(text(obj, "status", "duration", default="0s")) + delay


def _again(obj: Object, due: datetime, view: View) -> Object | None:
    owner = view.get(BACKUP_CONFIGURATION, namespace_of(obj), text(obj, "spec", "invoker", "name"))
    if owner is None or deleting(owner):
        return None
    left = (number(obj, "spec", "retryLeft") or 1) - 1
    session, repository = text(obj, "spec", "session"), text(obj, "spec", "repository")
    return verifier.session_document(owner, session, repository, left, _next_name(obj, due))


def _next_name(obj: Object, due: datetime) -> str:
    return f"{names.verification_prefix(text(obj, 'spec', 'repository'), text(obj, 'spec', 'session'))}-{int(due.timestamp())}"


def _retried(obj: Object, view: View, now: datetime) -> Object:
    due = _due(obj, view)
    there = view.get(VERIFICATION, namespace_of(obj), _next_name(obj, due)) if due else None
    return {**mapping(obj, "status"), "retried": True} if there is not None else mapping(obj, "status")


def _surplus(obj: Object, view: View) -> list[Doomed]:
    """Return this session when newer ones of its repository and session fill the history."""
    limit = number(_verifier(obj, view) or {}, "spec", "sessionHistoryLimit")
    place = [text(obj, "spec", key) for key in ("session", "repository")]
    ended = (item for item in view.list(VERIFICATION, namespace_of(obj)) if phase_of(item) in FINISHED)
    same = [item for item in ended if [text(item, "spec", key) for key in ("session", "repository")] == place]
    newer = [item for item in same if text(item, "metadata", "creationTimestamp") > text(obj, "metadata", "creationTimestamp")]
    if len(newer) < max(1 if limit is None else limit, 1):
        return []
    return [Doomed(Ref(VERIFICATION, namespace_of(obj), name_of(obj)), "older than sessionHistoryLimit keeps")]
