"""BackupVerifier: how the backups of a repository are tested, and the CronJobs that have it done."""

from datetime import datetime
from typing import Final

from holdfast.core.calls import Trigger
from holdfast.core.cron import Cron, CronError
from holdfast.core.objects import Object
from holdfast.core.plan import Child, Desired, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import deleting, items, mapping, name_of, number, strings, text
from holdfast.dialects.kubestash import decode, names, runtime, triggers, validate
from holdfast.dialects.kubestash.decode import Configuration, Place, RepositoryUse, Session, place
from holdfast.dialects.kubestash.kinds import BACKUP_CONFIGURATION, CORE, VERIFICATION, VERIFIER, api_version

TYPES: Final = ("RestoreOnly", "Query", "Script")


class VerifierHandler:
    """Handles BackupVerifiers: it only judges them."""

    kind = VERIFIER
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge schedule, restore and test."""
        found = list(validate.durations(mapping(obj, "spec", "retryConfig"), ("delay",), "spec.retryConfig"))
        try:
            Cron.parse(text(obj, "spec", "scheduler", "schedule"))
        except CronError as error:
            found.append(Problem("spec.scheduler.schedule", str(error)))
        found += runtime.template_problems(
            mapping(obj, "spec", "scheduler", "jobTemplate", "template"), "spec.scheduler.jobTemplate.template"
        )
        if not decode.addon_use(mapping(obj, "spec", "restoreOption", "addonInfo")).tasks:
            found.append(Problem("spec.restoreOption.addonInfo", "needed: the Addon and the task that restore for the test"))
        found += runtime.settings_problems(mapping(obj, "spec", "runtimeSettings"), "spec.runtimeSettings")
        found += _test_problems(obj)
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Ask for nothing: a BackupVerifier acts through the BackupConfigurations that name it."""
        problems = None if deleting(obj) else self.validate(obj, None, view)
        return problems or Desired(release=deleting(obj))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the present status: this kind has none."""
        return mapping(obj, "status")


def verifier_of(use: RepositoryUse, session: Session, namespace: str) -> Place | None:
    """Return the BackupVerifier that a repository of a session names; None for none."""
    raw = next((item for item in items(session.raw, "repositories") if text(item, "name") == use.name), mapping({}))
    return place(mapping(raw, "backupVerifier"), namespace)


def tested(wanted: Configuration, view: View) -> list[tuple[Session, RepositoryUse, Object]]:
    """Return each repository of a session that an existing BackupVerifier has tested, with that BackupVerifier."""
    found: list[tuple[Session, RepositoryUse, Object]] = []
    for session in wanted.sessions:
        for use in session.repositories:
            where = verifier_of(use, session, wanted.place.namespace)
            verifier = view.get(VERIFIER, where.namespace, where.name) if where else None
            if verifier is not None:
                found.append((session, use, verifier))
    return found


def children(obj: Object, wanted: Configuration, view: View) -> tuple[Child, ...]:
    """Return the CronJobs that have the repositories of a BackupConfiguration tested, with their accounts."""
    found: list[Child] = []
    for session, use, verifier in tested(wanted, view):
        scheduler = mapping(verifier, "spec", "scheduler")
        own = names.verifier_trigger(wanted.place.name, use.name, session.name)
        retry = mapping(verifier, "spec", "retryConfig")
        left = (number(retry, "maxRetry") or 1) if retry else 0
        document = _document(obj, session.name, use.name, left)
        call = Trigger("backupverificationsessions", names.verification_prefix(use.name, session.name), document)
        found += triggers.scheduled(obj, own, session.name, scheduler, call.call(), paused=wanted.paused)
    return tuple(found)


def session_document(obj: Object, session: str, repository: str, retry_left: int, name: str) -> Object:
    """Return a BackupVerificationSession of the BackupConfiguration `obj`, by name."""
    document = _document(obj, session, repository, retry_left)
    return {**document, "metadata": {**document["metadata"], "name": name}}


def _document(obj: Object, session: str, repository: str, retry_left: int) -> Object:
    invoker = {"apiGroup": CORE, "kind": BACKUP_CONFIGURATION.kind, "name": name_of(obj)}
    return {
        "apiVersion": api_version(VERIFICATION),
        "kind": VERIFICATION.kind,
        "metadata": triggers.session_metadata(obj, session),
        "spec": {"invoker": invoker, "session": session, "repository": repository, "retryLeft": retry_left},
    }


def _test_problems(obj: Object) -> list[Problem]:
    kind, found = text(obj, "spec", "type", default="RestoreOnly"), list[Problem]()
    if kind not in TYPES:
        return [Problem("spec.type", f"{kind} is none of {', '.join(TYPES)}")]
    if kind == "RestoreOnly":
        for name in ("function", "query", "script", "volumes", "volumeMounts", "runtimeSettings"):
            if mapping(obj, "spec").get(name):
                found.append(Problem(f"spec.{name}", "is for a test that runs something: remove it, or set type to Script"))
        return found
    if not text(obj, "spec", "function"):
        found.append(Problem("spec.function", f"needed with type {kind}: the Function that looks at the restored data"))
    if kind == "Script" and not (text(obj, "spec", "script", "location") or strings(obj, "spec", "script", "args")):
        found.append(Problem("spec.script.location", "needed with type Script: the path of the script"))
    if kind == "Query" and not mapping(obj, "spec", "query"):
        found.append(Problem("spec.query", "needed with type Query: what the Function shall ask"))
    unused = {"Script": "query", "Query": "script"}[kind]
    if mapping(obj, "spec", unused):
        found.append(Problem(f"spec.{unused}", f"does not belong to type {kind}: remove it"))
    return found
