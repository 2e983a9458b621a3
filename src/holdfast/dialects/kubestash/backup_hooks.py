"""The hooks of a BackupSession: those before and after its backup, and their end when the session is cut short."""

from typing import Final

from holdfast.core.objects import Object
from holdfast.core.ports import View
from holdfast.core.read import items, name_of, namespace_of, text
from holdfast.dialects.kubestash import names, session_hooks
from holdfast.dialects.kubestash.decode import Configuration, Session, configuration
from holdfast.dialects.kubestash.hook_steps import Result, Surroundings
from holdfast.dialects.kubestash.kinds import BACKUP_CONFIGURATION, BACKUP_SESSION, CORE
from holdfast.dialects.kubestash.session_hooks import Hooks, Verdicts

VERDICTS: Final = Verdicts(
    ("PreBackupHooksExecutionSucceeded", "SuccessfullyExecutedPreBackupHooks", "FailedToExecutePreBackupHooks"),
    ("PostBackupHooksExecutionSucceeded", "SuccessfullyExecutedPostBackupHooks", "FailedToExecutePostBackupHooks"),
)


def listed(session: Session, field: str) -> list[Object]:
    """Return the hooks of a session: `preBackup` or `postBackup`."""
    return items(session.raw, "hooks", field)


def before(obj: Object, wanted: Configuration, session: Session, view: View) -> Hooks:
    """Return the hooks of a session whose backup is not over."""
    return session_hooks.before(listed(session, "preBackup"), _around(obj, wanted, session), view)


def after(hooks: Hooks, obj: Object, wanted: Configuration, session: Session, result: Result, view: View) -> Hooks:
    """Return the hooks of a session whose backup has ended with a result."""
    return session_hooks.after(hooks, listed(session, "postBackup"), _around(obj, wanted, session), result, view)


def unwinding(obj: Object, error: str, view: View) -> Hooks:
    """Return the hooks that undo what those before the backup did, for a session that can't go on."""
    begun = items(obj, "status", "hooks", "preHooks")
    invoker = view.get(BACKUP_CONFIGURATION, namespace_of(obj), text(obj, "spec", "invoker", "name")) if begun else None
    wanted = configuration(invoker) if invoker else None
    session = wanted.session(text(obj, "spec", "session")) if wanted else None
    if wanted is None or session is None:
        return Hooks(after=())
    hooks = before(obj, wanted, session, view)
    return after(hooks, obj, wanted, session, Result("Failed", error=error), view)


def _around(obj: Object, wanted: Configuration, session: Session) -> Surroundings:
    invoker: Object = {"apiGroup": CORE, "kind": BACKUP_CONFIGURATION.kind, "name": wanted.place.name}
    invoker["namespace"] = wanted.place.namespace
    return Surroundings(
        obj=obj,
        kind=BACKUP_SESSION,
        session=session.name,
        target=wanted.target,
        invoker=invoker,
        account=names.hook_account(wanted.place.name),
        values={
            "namespace": namespace_of(obj),
            "backupSession": name_of(obj),
            "invokerKind": BACKUP_CONFIGURATION.kind,
            "invokerName": wanted.place.name,
        },
    )
