"""Hooks as this dialect thinks of them: which HookTemplate, with which values, when, how often, and what may be wrong.

A hook names a HookTemplate, gives the parameters that it declares, and says when a post hook runs. Timeouts are durations or
plain seconds: the documentation words them as seconds and writes all others as durations.
"""

from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final

import msgspec

from holdfast.core.objects import Object
from holdfast.core.plan import Problem, When
from holdfast.core.ports import Refs
from holdfast.core.read import flag, items, mapping, number, text
from holdfast.core.times import parse_duration
from holdfast.dialects.kubestash import hook_template, runtime, usage
from holdfast.dialects.kubestash.decode import Place, parameter_text, place
from holdfast.dialects.kubestash.expand import plain_values, referring
from holdfast.dialects.kubestash.kinds import HOOK_TEMPLATE

POLICIES: Final = {"Always": When.ALWAYS, "OnSuccess": When.SUCCESS, "OnFailure": When.FAILURE}
_DEFAULT_TIMEOUT: Final = timedelta(minutes=10)
"""Limit of one attempt where none is given: no hook may hold a session for ever."""


class Hook(msgspec.Struct, frozen=True, kw_only=True):
    """One hook of a session. `when` counts for hooks after the work; `values` fill in the template."""

    name: str
    template: Place
    when: When
    attempts: int
    timeout: timedelta
    values: dict[str, str]
    raw: Object


def hook(raw: Object, namespace: str) -> Hook:
    """Read a hook. What can't be read is left at its default and refused by `problems`."""
    try:
        timeout = seconds(raw.get("timeout")) or _DEFAULT_TIMEOUT
    except ValueError:
        timeout = _DEFAULT_TIMEOUT
    params = {key: parameter_text(value) for key, value in mapping(raw, "params").items()}
    return Hook(
        name=text(raw, "name"),
        template=place(mapping(raw, "hookTemplate"), namespace) or Place(namespace, ""),
        when=POLICIES.get(text(raw, "executionPolicy", default="Always"), When.ALWAYS),
        attempts=1 + (number(raw, "maxRetry") or 0),
        timeout=timeout,
        values={**plain_values(items(raw, "variables")), **params},
        raw=raw,
    )


def seconds(value: Any) -> timedelta | None:
    """Read a timeout: `30s`, `2m`, or `30` for seconds; None when there is none. Raises ValueError."""
    if value is None or value == "":
        return None
    given = str(value)
    found = timedelta(seconds=int(given)) if given.isdecimal() else parse_duration(given)
    if found <= timedelta():
        raise ValueError(f"{given} leaves a hook no time: use a duration such as 30s or 2m")
    return found


def problems(listed: list[Object], namespace: str, refs: Refs, field: str, *, first: bool = False) -> list[Problem]:
    """Judge the hooks of one list. A HookTemplate that does not exist yet passes: it may come before the session runs.

    `first`: they come before the work, so that there is no outcome on which they could depend.
    """
    found: list[Problem] = []
    names = [text(raw, "name") for raw in listed]
    for index, raw in enumerate(listed):
        where = f"{field}[{index}]"
        if not names[index]:
            found.append(Problem(f"{where}.name", "needed: the name under which its outcome is told"))
        elif names.count(names[index]) > 1:
            found.append(Problem(f"{where}.name", f"{names[index]} is used more than once: each must be unique"))
        policy = text(raw, "executionPolicy", default="Always")
        if first and policy != "Always":
            why = "means nothing before the work, which has no outcome yet: leave it out, or move the hook behind it"
            found.append(Problem(f"{where}.executionPolicy", f"{policy} {why}"))
        found += _problems(raw, namespace, refs, where)
    return found


def _problems(raw: Object, namespace: str, refs: Refs, field: str) -> Iterable[Problem]:
    wanted = hook(raw, namespace)
    if not wanted.template.name:
        yield Problem(f"{field}.hookTemplate", "needed: name a HookTemplate")
        return
    try:
        seconds(raw.get("timeout"))
    except ValueError as error:
        yield Problem(f"{field}.timeout", str(error))
    if wanted.attempts < 1:
        yield Problem(f"{field}.maxRetry", "is negative: use 0 or more")
    if text(raw, "executionPolicy", default="Always") not in POLICIES:
        yield Problem(f"{field}.executionPolicy", f"{text(raw, 'executionPolicy')} is none of {', '.join(POLICIES)}")
    yield from runtime.settings_problems(mapping(raw, "runtimeSettings"), f"{field}.runtimeSettings")
    template = refs.get(HOOK_TEMPLATE, wanted.template.namespace, wanted.template.name)
    if template is None:
        return
    if not usage.admits(template, namespace, refs):
        yield usage.refusal(template, namespace, f"{field}.hookTemplate")
    executor = hook_template.executor(template)
    if executor != "Function":
        for name in ("volumes", "volumeMounts", "runtimeSettings"):
            if raw.get(name):
                yield Problem(
                    f"{field}.{name}", f"is for hooks with a Function only, and HookTemplate {wanted.template} uses {executor}"
                )
        for entry in referring(items(raw, "variables")):
            why = "a command or request would show what lies in a Secret: use a Function, which gets it as environment"
            yield Problem(f"{field}.variables", f"{text(entry, 'name')} has no value of its own, and {why}")
    yield from _parameters(wanted, template, field)


def _parameters(wanted: Hook, template: Object, field: str) -> Iterable[Problem]:
    declared = {text(entry, "name"): entry for entry in items(template, "spec", "params")}
    known = ", ".join(declared) or "none"
    for name in mapping(wanted.raw, "params"):
        if name not in declared:
            yield Problem(
                f"{field}.params.{name}", f"HookTemplate {wanted.template} declares no parameter {name} (it has: {known})"
            )
    for name, entry in declared.items():
        if flag(entry, "required") and not text(entry, "default") and not wanted.values.get(name):
            yield Problem(f"{field}.params.{name}", f"needed by HookTemplate {wanted.template}: {text(entry, 'usage')}")
