"""The hooks around the work of a session, a backup or a restore: how they stand, their steps, what is told of them."""

from collections.abc import Sequence
from typing import Final

import msgspec

from holdfast.core.conditions import Condition, condition
from holdfast.core.objects import Object
from holdfast.core.plan import Step
from holdfast.core.ports import View
from holdfast.dialects.kubestash import hook_steps
from holdfast.dialects.kubestash.hook_steps import HookRun, Result, Surroundings

_DONE: Final = "Hooks have been executed successfully."


class Verdicts(msgspec.Struct, frozen=True):
    """The documented names of the two conditions, each with the reasons of success and failure."""

    before: tuple[str, str, str]
    after: tuple[str, str, str]


class Hooks(msgspec.Struct, frozen=True):
    """The hooks as they are. `after` is None until the work is over; then it holds those that its outcome asks for."""

    before: tuple[HookRun, ...] = ()
    after: tuple[HookRun, ...] | None = None

    @property
    def blocked(self) -> str:
        """Why the work must not start; empty while nothing speaks against it."""
        return hook_steps.failure(self.before)

    @property
    def failure(self) -> str:
        """Which hook failed, and why; empty when none did."""
        return self.blocked or hook_steps.failure(self.after or ())

    @property
    def unwound(self) -> bool:
        """Whether every hook after the work has ended."""
        return self.after is not None and all(each.over for each in self.after)

    @property
    def status(self) -> Object:
        """The field `hooks` of a status; empty when none has begun."""
        found = {"preHooks": hook_steps.statuses(self.before), "postHooks": hook_steps.statuses(self.after or ())}
        return {name: entries for name, entries in found.items() if entries}


def before(listed: Sequence[Object], around: Surroundings, view: View) -> Hooks:
    """Return the hooks of a session whose work is not over."""
    return Hooks(hook_steps.runs(listed, "pre", around, Result(), view))


def after(hooks: Hooks, listed: Sequence[Object], around: Surroundings, result: Result, view: View) -> Hooks:
    """Return the hooks of a session whose work has ended with a result."""
    found = hook_steps.runs(listed, "post", around, result, view)
    return Hooks(hooks.before, hook_steps.needed(found, good=not result.error))


def steps(hooks: Hooks, work: Sequence[Step]) -> tuple[Step, ...]:
    """Return the whole graph: the hooks before, the work unless a hook forbids it, the hooks after."""
    first = hook_steps.before(hooks.before)
    needs = tuple(step.name for step in first)
    middle = () if hooks.blocked else tuple(msgspec.structs.replace(step, needs=(*step.needs, *needs)) for step in work)
    return (*first, *middle, *hook_steps.after(hooks.after or (), (*first, *middle)))


def conditions(hooks: Hooks, verdicts: Verdicts) -> list[Condition]:
    """Return what to tell about the hooks that have ended or failed."""
    found: list[Condition] = []
    for (type_, good, bad), runs in ((verdicts.before, hooks.before), (verdicts.after, hooks.after or ())):
        if failure := hook_steps.failure(runs):
            found.append(condition(type_, False, bad, failure))
        elif runs and all(each.over for each in runs):
            found.append(condition(type_, True, good, _DONE))
    return found
