"""Rules of a Job's spec that concern indexes and policies. The words follow the real API server's."""

from collections.abc import Iterable
from typing import Final

from holdfast.embedded.apiserver.metadata import Cause
from holdfast.embedded.apiserver.objects import Object, part, parts

_ACTIONS: Final = ("FailJob", "FailIndex", "Ignore", "Count")
_NAME_ROOM: Final = 63


def problems(spec: Object, field: str, name: str) -> list[Cause]:
    """What is wrong with the completion mode, the limits per index and the policies of a Job's spec at `field`."""
    found = [*_index(spec, field, name), *_failure_policy(spec, field)]
    if spec.get("successPolicy") is not None:
        found += _success_policy(spec, f"{field}.successPolicy")
    return found


def _invalid(at: str, value: object, why: str) -> Cause:
    return at, f'{at}: Invalid value: "{value}": {why}'


def _index(spec: Object, field: str, name: str) -> Iterable[Cause]:
    mode = spec.get("completionMode") or "NonIndexed"
    per_index, most = spec.get("backoffLimitPerIndex"), spec.get("maxFailedIndexes")
    if mode not in ("Indexed", "NonIndexed"):
        at = f"{field}.completionMode"
        yield at, f'{at}: Unsupported value: "{mode}": supported values: "Indexed", "NonIndexed"'
    if mode == "Indexed":
        completions = spec.get("completions")
        if completions is None:
            yield f"{field}.completions", f"{field}.completions: Required value: when completion mode is Indexed"
        elif name and len(f"{name}-{max(int(completions) - 1, 0)}") > _NAME_ROOM:
            yield _invalid("metadata.name", name, f"is too long: with the index it has more than {_NAME_ROOM} characters")
    if per_index is not None and mode != "Indexed":
        yield _invalid(f"{field}.backoffLimitPerIndex", per_index, "requires indexed completion mode")
    if per_index is not None and part(spec["template"], "spec").get("restartPolicy") != "Never":
        yield _invalid(f"{field}.backoffLimitPerIndex", per_index, "requires restartPolicy Never")
    if most is not None and per_index is None:
        at = f"{field}.backoffLimitPerIndex"
        yield at, f"{at}: Required value: when maxFailedIndexes is specified"


def _failure_policy(spec: Object, field: str) -> Iterable[Cause]:
    if not spec.get("podFailurePolicy"):
        return
    at = f"{field}.podFailurePolicy"
    policy = part(spec["template"], "spec").get("restartPolicy")
    if policy != "Never":
        where = f"{field}.template.spec.restartPolicy"
        yield _invalid(where, policy, "only 'Never' is supported when podFailurePolicy is specified")
    for index, rule in enumerate(parts(part(spec, "podFailurePolicy"), "rules")):
        yield from _rule(rule, f"{at}.rules[{index}]", per_index=spec.get("backoffLimitPerIndex") is not None)


def _rule(rule: Object, at: str, *, per_index: bool) -> Iterable[Cause]:
    action = rule.get("action")
    if action not in _ACTIONS:
        listing = ", ".join(f'"{name}"' for name in _ACTIONS)
        yield f"{at}.action", f'{at}.action: Unsupported value: "{action or ""}": supported values: {listing}'
    if action == "FailIndex" and not per_index:
        yield _invalid(f"{at}.action", action, "requires the backoffLimitPerIndex to be set")
    codes, conditions = part(rule, "onExitCodes"), parts(rule, "onPodConditions")
    if bool(codes) == bool(conditions):
        yield _invalid(at, action, "specifying one of onExitCodes and onPodConditions is required")
    if not codes:
        return
    values: list[int] = codes.get("values") or []
    operator = codes.get("operator")
    if operator not in ("In", "NotIn"):
        where = f"{at}.onExitCodes.operator"
        yield where, f'{where}: Unsupported value: "{operator or ""}": supported values: "In", "NotIn"'
    if not values:
        yield _invalid(f"{at}.onExitCodes.values", "", "at least one value is required")
    if operator == "In" and 0 in values:
        yield _invalid(f"{at}.onExitCodes.values", 0, "must not be 0 for the In operator")


def _success_policy(spec: Object, at: str) -> Iterable[Cause]:
    if spec.get("completionMode") != "Indexed":
        yield _invalid(at, spec.get("completionMode"), "requires indexed completion mode")
    rules = parts(part(spec, "successPolicy"), "rules")
    if not rules:
        yield f"{at}.rules", f"{at}.rules: Required value: at least one rule must be specified"
    for index, rule in enumerate(rules):
        if rule.get("succeededIndexes") is None and rule.get("succeededCount") is None:
            where = f"{at}.rules[{index}]"
            yield where, f"{where}: Required value: succeededIndexes or succeededCount must be specified"
