"""HookTemplate: what a hook does and who carries it out. It does nothing itself; sessions read it when they run."""

from datetime import datetime
from typing import Final

from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Problem, Problems
from holdfast.core.ports import Outcome, Refs, View
from holdfast.core.read import deleting, items, mapping, strings, text
from holdfast.dialects.kubestash import usage
from holdfast.dialects.kubestash.kinds import HOOK_TEMPLATE
from holdfast.templates import Template, TemplateError

ACTIONS: Final = ("exec", "httpGet", "httpPost", "tcpSocket")
_EXECUTORS: Final = ("Function", "Pod", "Operator")
_REQUESTS: Final = ("httpGet", "httpPost", "tcpSocket")


class HookTemplateHandler:
    """Handles HookTemplates: it only judges them."""

    kind = HOOK_TEMPLATE
    finalizer = ""

    def validate(self, obj: Object, old: Object | None, refs: Refs) -> Problems | None:
        """Judge executor, action, templates and usage policy."""
        found = [*_executor(obj), *_action(obj), *usage.problems(obj)]
        for index, entry in enumerate(items(obj, "spec", "params")):
            if not text(entry, "name"):
                found.append(Problem(f"spec.params[{index}].name", "needed: the name under which a value is given"))
        return Problems(tuple(found)) if found else None

    def compile(self, obj: Object, view: View, now: datetime) -> Desired | Problems:
        """Ask for nothing: a HookTemplate acts through the sessions that name it."""
        problems = None if deleting(obj) else self.validate(obj, None, view)
        return problems or Desired(release=deleting(obj))

    def project(self, obj: Object, view: View, outcome: Outcome, now: datetime) -> Object:
        """Return the present status: this kind has none."""
        return mapping(obj, "status")


def executor(obj: Object) -> str:
    """Return who carries the hook out: Function, Pod or Operator."""
    return text(obj, "spec", "executor", "type")


def action(obj: Object) -> str:
    """Return the name of the action; empty when there is none."""
    return next((name for name in ACTIONS if mapping(obj, "spec", "action", name)), "")


def labels_of(selector: str) -> dict[str, str]:
    """Read a selector `key=value, key=value`; blanks around its parts are left out. Raises ValueError."""
    found: dict[str, str] = {}
    for part in selector.split(","):
        key, equals, value = part.partition("=")
        if not equals or not key.strip():
            raise ValueError(f"{part.strip()!r} is not key=value")
        found[key.strip()] = value.strip()
    return found


def _executor(obj: Object) -> list[Problem]:
    kind, field = executor(obj), "spec.executor"
    if kind not in _EXECUTORS:
        return [Problem(f"{field}.type", f"needed: one of {', '.join(_EXECUTORS)}")]
    if kind == "Function" and not text(obj, "spec", "executor", "function", "name"):
        return [Problem(f"{field}.function", "needed with type Function: name a Function")]
    if kind != "Pod":
        return []
    selector = text(obj, "spec", "executor", "pod", "selector")
    if not selector:
        return [Problem(f"{field}.pod.selector", "needed with type Pod: labels such as app=mysql")]
    try:
        labels_of(selector)
    except ValueError as error:
        return [Problem(f"{field}.pod.selector", f"{error}: write labels such as app=mysql, role=primary")]
    return []


def _action(obj: Object) -> list[Problem]:
    kind, field = executor(obj), "spec.action"
    given = [name for name in ACTIONS if mapping(obj, "spec", "action", name)]
    if kind == "Function":
        return [Problem(field, "is for pods and the operator; a Function says itself what it does: remove it")] if given else []
    if len(given) != 1:
        return [Problem(field, f"needs exactly one of {', '.join(ACTIONS)} (it has: {', '.join(given) or 'none'})")]
    name = given[0]
    if name == "exec" and kind == "Operator":
        return [Problem(f"{field}.exec", "the operator runs no commands of others: use an executor of type Pod or Function")]
    if name == "exec" and not strings(obj, "spec", "action", "exec", "command"):
        return [Problem(f"{field}.exec.command", "needed: the command and its arguments")]
    if name in _REQUESTS and kind == "Operator" and not text(obj, "spec", "action", name, "host"):
        return [Problem(f"{field}.{name}.host", "needed with type Operator: there is no pod whose address is meant")]
    return _templates(obj, name, field)


def _templates(obj: Object, name: str, field: str) -> list[Problem]:
    """Parse what is a Go template, so that a mistake shows when it is written and not when it is needed."""
    parts = {f"exec.command[{index}]": part for index, part in enumerate(strings(obj, "spec", "action", "exec", "command"))}
    texts = parts if name == "exec" else {"httpPost.body": text(obj, "spec", "action", "httpPost", "body")}
    found: list[Problem] = []
    for where, given in texts.items():
        try:
            if "{{" in given:
                Template(given, name=where)
        except TemplateError as error:
            found.append(Problem(f"{field}.{where}", str(error)))
    return found
