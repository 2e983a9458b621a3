"""The hooks of a RestoreSession, and the account by which they run commands in pods."""

from typing import Final

from holdfast.core.access import exec_access
from holdfast.core.objects import Object
from holdfast.core.plan import Child
from holdfast.core.ports import View
from holdfast.core.read import items, mapping, name_of, namespace_of
from holdfast.dialects.kubestash import names, session_hooks
from holdfast.dialects.kubestash.decode import Target, target
from holdfast.dialects.kubestash.hook_steps import Result, Surroundings
from holdfast.dialects.kubestash.kinds import CORE, RESTORE_SESSION
from holdfast.dialects.kubestash.session_hooks import Hooks, Verdicts

VERDICTS: Final = Verdicts(
    ("PreRestoreHooksExecutionSucceeded", "SuccessfullyExecutedPreRestoreHooks", "FailedToExecutePreRestoreHooks"),
    ("PostRestoreHooksExecutionSucceeded", "SuccessfullyExecutedPostRestoreHooks", "FailedToExecutePostRestoreHooks"),
)


def listed(obj: Object, field: str) -> list[Object]:
    """Return the hooks of a session: `preRestore` or `postRestore`."""
    return items(obj, "spec", "hooks", field)


def before(obj: Object, view: View) -> Hooks:
    """Return the hooks of a session whose restore is not over."""
    return session_hooks.before(listed(obj, "preRestore"), _around(obj), view)


def after(hooks: Hooks, obj: Object, result: Result, view: View) -> Hooks:
    """Return the hooks of a session whose restore has ended with a result."""
    return session_hooks.after(hooks, listed(obj, "postRestore"), _around(obj), result, view)


def unwinding(obj: Object, error: str, view: View) -> Hooks:
    """Return the hooks that undo what those before the restore did, for a session that can't go on."""
    if not items(obj, "status", "hooks", "preHooks"):
        return Hooks(after=())
    return after(before(obj, view), obj, Result("Failed", error=error), view)


def access(obj: Object) -> tuple[Child, ...]:
    """Return the account of the hooks, where there are any."""
    if not mapping(obj, "spec", "hooks"):
        return ()
    wanted, home = _target(obj), namespace_of(obj)
    namespace = wanted.namespace if wanted else home
    name, labels = names.hook_account(name_of(obj)), {names.MANAGED_BY: "kubestash.com"}
    return exec_access(name, namespace, job_namespace=home, owner=obj, labels=labels)


def _target(obj: Object) -> Target | None:
    return target(mapping(obj, "spec", "target"), namespace_of(obj))


def _around(obj: Object) -> Surroundings:
    namespace, name = namespace_of(obj), name_of(obj)
    return Surroundings(
        obj=obj,
        kind=RESTORE_SESSION,
        session="",
        target=_target(obj),
        invoker={"apiGroup": CORE, "kind": RESTORE_SESSION.kind, "name": name, "namespace": namespace},
        account=names.hook_account(name),
        values={"namespace": namespace, "restoreSession": name, "invokerKind": RESTORE_SESSION.kind, "invokerName": name},
    )
