"""`x-kubernetes-validations`: rules checked when a CRD is installed, evaluated when an object is written.

A rule that names `oldSelf` is a transition rule: it runs on updates only, where the old value can be told: not below a list
that is atomic or a set. With `optionalOldSelf` it always runs, and oldSelf is an optional value. Rules run only on objects
whose structure is in order, and what an update leaves unchanged is not held against its writer.
Source: the documentation of Kubernetes, "Validation rules" and "CRD validation ratcheting".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, cast

import msgspec

from holdfast.schema.cel.compile import Program, compile_expression
from holdfast.schema.cel.cost import Ledger, Place
from holdfast.schema.cel.errors import BudgetExceeded, CompileError, EvaluationError
from holdfast.schema.cel.types import DYN, Type, optional_of, type_of
from holdfast.schema.cel.values import NONE, Optional, converter
from holdfast.schema.errors import (
    DUPLICATE,
    FORBIDDEN,
    INVALID,
    REQUIRED,
    UNSUPPORTED,
    FieldError,
    Path,
    Trace,
    dotted,
    type_name,
)
from holdfast.schema.wellformed import LIST_KEYS, LIST_TYPE, VALIDATIONS

Schema = dict[str, Any]
Visit = Callable[[Any, Any, Path, Trace], None]

_REASONS: Final = {
    "": INVALID,
    "FieldValueInvalid": INVALID,
    "FieldValueForbidden": FORBIDDEN,
    "FieldValueRequired": REQUIRED,
    "FieldValueDuplicate": DUPLICATE,
}
_KEYS: Final = ("rule", "message", "messageExpression", "reason", "fieldPath", "optionalOldSelf")
_STEP: Final = re.compile(r"\.([A-Za-z_][\w-]*)|\['((?:[^'\\]|\\.)*)'\]")


class Missing:
    """The old value where there is none."""


MISSING: Final = Missing()


class _Rule(msgspec.Struct, frozen=True):
    program: Program
    text: str
    message: str
    wording: Program | None
    reason: str
    steps: tuple[str, ...]
    transition: bool
    optional_old: bool


def compile_rules(root: Schema, where: str = "openAPIV3Schema") -> tuple[Visit | None, list[FieldError]]:
    """What checks an object against all rules of a schema, None where it has none; and the rules that can't be used."""
    state = _State([], Ledger())
    visit = _node(root, where, state, Place(), correlated=True, root=True)
    if overdrawn := state.ledger.overdrawn():
        state.faults.append(FieldError(where, FORBIDDEN, detail=overdrawn))
    return visit, state.faults


class _State(msgspec.Struct):
    """What gathers while the rules of a schema are compiled."""

    faults: list[FieldError]
    ledger: Ledger


def _node(schema: Schema, where: str, state: _State, place: Place, *, correlated: bool, root: bool = False) -> Visit | None:
    rules = _rules(schema, where, state, place, correlated, root)
    keyed = schema.get(LIST_TYPE) == "map"
    below = {
        name: _node(child, f"{where}.properties[{name}]", state, place, correlated=correlated)
        for name, child in schema.get("properties", {}).items()
    }
    fields = {name: check for name, check in below.items() if check is not None}
    values: Any = schema.get("additionalProperties")
    others = items = None
    if isinstance(values, dict):
        below_map = place.below(schema)
        others = _node(cast(Schema, values), f"{where}.additionalProperties", state, below_map, correlated=correlated)
    if isinstance(schema.get("items"), dict):
        items = _node(schema["items"], f"{where}.items", state, place.below(schema), correlated=correlated and keyed)
    if not rules and not fields and others is None and items is None:
        return None
    keys: tuple[str, ...] = tuple(schema.get(LIST_KEYS, ())) if keyed else ()
    kind = type_of(schema, root=root) or DYN
    convert = converter(kind)

    def visit(value: Any, old: Any, path: Path, trace: Trace) -> None:
        if value is None:
            return
        if rules:
            _check(rules, value, old, convert, path, trace)
        if isinstance(value, dict):
            before: dict[str, Any] = cast(dict[str, Any], old) if isinstance(old, dict) else {}
            for key, item in cast(dict[str, Any], value).items():
                check = fields.get(key, others)
                if check is not None:
                    check(item, before.get(key, MISSING), (path, key), trace)
        elif isinstance(value, list) and items is not None:
            for index, (item, earlier) in enumerate(_pairs(cast(list[Any], value), old, keys)):
                items(item, earlier, (path, index), trace)

    return visit


def _pairs(items: list[Any], old: Any, keys: tuple[str, ...]) -> Iterator[tuple[Any, Any]]:
    """Each item with the one of the same key in the old list."""
    held: dict[tuple[Any, ...], Any] = {}
    if keys and isinstance(old, list):
        for item in cast(list[Any], old):
            if isinstance(item, dict):
                fields = cast(dict[str, Any], item)
                held[tuple(fields.get(key) for key in keys)] = fields
    for item in items:
        fields = cast(dict[str, Any], item) if isinstance(item, dict) else {}
        yield item, held.get(tuple(fields.get(key) for key in keys), MISSING) if held else MISSING


def _rules(schema: Schema, where: str, state: _State, place: Place, correlated: bool, root: bool) -> list[_Rule]:
    found: list[_Rule] = []
    faults = state.faults
    declared: Any = schema.get(VALIDATIONS) or []
    if not isinstance(declared, list):
        faults.append(FieldError(f"{where}.{VALIDATIONS}", INVALID, type_name(declared), "must be a list of rules"))
        return []
    kind = type_of(schema, root=root)
    for index, rule in enumerate(cast(list[Any], declared)):
        at = f"{where}.{VALIDATIONS}[{index}]"
        if not isinstance(rule, dict):
            faults.append(FieldError(at, INVALID, type_name(rule), "must be a rule"))
        elif kind is None:
            faults.append(FieldError(at, FORBIDDEN, detail="rules need a field whose type the schema says"))
        else:
            compiled = _rule(cast(Schema, rule), schema, kind, at, faults, correlated)
            if compiled is None:
                continue
            if costly := state.ledger.charge(compiled.text, schema, place, root=root):
                faults.append(FieldError(f"{at}.rule", FORBIDDEN, detail=costly))
            found.append(compiled)
    return found


def _rule(rule: Schema, schema: Schema, kind: Type, at: str, faults: list[FieldError], correlated: bool) -> _Rule | None:
    before = len(faults)
    faults.extend(_shape(rule, at))
    optional_old = rule.get("optionalOldSelf") is True
    variables = {"self": kind, "oldSelf": optional_of(kind) if optional_old else kind}
    program = _expression(rule, "rule", "bool", variables, at, faults)
    wording = _expression(rule, "messageExpression", "string", variables, at, faults) if "messageExpression" in rule else None
    transition = program is not None and "oldSelf" in program.used
    if (transition or optional_old) and not correlated:
        text = "oldSelf cannot be used below a list that is not of type map: which element was which is not known"
        faults.append(FieldError(f"{at}.rule", INVALID, rule.get("rule"), text))
    if wording is not None and "oldSelf" in wording.used and not transition and not optional_old:
        text = "it names oldSelf, which only a rule that names oldSelf has"
        faults.append(FieldError(f"{at}.messageExpression", INVALID, rule["messageExpression"], text))
    steps = _steps(rule, schema, at, faults)
    if program is None or len(faults) > before:
        return None
    message = str(rule.get("message") or "").strip() or f"failed rule: {str(rule['rule']).strip()}"
    reason = _REASONS[rule.get("reason") or ""]
    return _Rule(program, str(rule["rule"]).strip(), message, wording, reason, steps, transition, optional_old)


def _shape(rule: Schema, at: str) -> Iterator[FieldError]:
    for key, value in rule.items():
        if key not in _KEYS:
            yield FieldError(f"{at}.{key}", FORBIDDEN, detail=f"a rule has no such part; it has {', '.join(_KEYS)}")
        elif not isinstance(value, bool if key == "optionalOldSelf" else str):
            yield FieldError(f"{at}.{key}", INVALID, value, f"must not be of type {type_name(value)}")
    if not str(rule.get("rule") or "").strip():
        yield FieldError(f"{at}.rule", REQUIRED, detail="a rule needs an expression")
    message = str(rule.get("message") or "")
    if "message" in rule and not message.strip():
        yield FieldError(f"{at}.message", INVALID, message, "must not be empty when it is given")
    if "\n" in message.strip():
        yield FieldError(f"{at}.message", INVALID, message, "must not contain line breaks")
    if "\n" in str(rule.get("rule") or "").strip() and not message.strip():
        yield FieldError(f"{at}.message", REQUIRED, detail="must be given when the rule contains line breaks")
    if str(rule.get("reason") or "") not in _REASONS:
        listing = ", ".join(f'"{name}"' for name in _REASONS if name)
        yield FieldError(f"{at}.reason", UNSUPPORTED, rule.get("reason"), f"supported values: {listing}")


def _expression(
    rule: Schema, key: str, wanted: str, variables: dict[str, Type], at: str, faults: list[FieldError]
) -> Program | None:
    text = rule.get(key)
    if not isinstance(text, str) or not text.strip():
        return None
    try:
        program = compile_expression(text, variables)
    except CompileError as error:
        faults.append(FieldError(f"{at}.{key}", INVALID, text, f"compilation failed: {error}"))
        return None
    if program.type.kind not in (wanted, "dyn"):
        faults.append(FieldError(f"{at}.{key}", INVALID, text, f"must evaluate to a {wanted}, it is of type {program.type}"))
        return None
    return program


def _steps(rule: Schema, schema: Schema, at: str, faults: list[FieldError]) -> tuple[str, ...]:
    """The fields that `fieldPath` names, one after the other; each must be in the schema."""
    text = str(rule.get("fieldPath") or "")
    steps: list[str] = []
    place: Schema | None = schema
    position = 0
    while position < len(text):
        match = _STEP.match(text, position)
        name = (match.group(1) or match.group(2).replace("\\'", "'")) if match else ""
        place = _below(place, name)
        if match is None or place is None:
            detail = "must be a path to a field of this schema, such as .spec.size or .labels['a.b']"
            faults.append(FieldError(f"{at}.fieldPath", INVALID, text, detail))
            return ()
        steps.append(name)
        position = match.end()
    return tuple(steps)


def _below(schema: Schema, name: str) -> Schema | None:
    values: Any = schema.get("additionalProperties")
    return schema.get("properties", {}).get(name) or (cast(Schema, values) if isinstance(values, dict) else None)


def _check(rules: list[_Rule], value: Any, old: Any, convert: Callable[[Any], Any] | None, path: Path, trace: Trace) -> None:
    known = old is not MISSING and old is not None
    unchanged = known and old == value
    for rule in rules:
        if rule.transition and not known and not rule.optional_old:
            continue
        if unchanged and not rule.transition and not rule.optional_old:
            continue
        try:
            values = _values(rule, value, old if known else MISSING, convert)
            if rule.program.evaluate(values) is True:
                continue
            detail = _message(rule, values)
        except EvaluationError as error:
            detail = f"rule evaluation error: {error} evaluating rule: {rule.message}"
        except BudgetExceeded as error:
            detail = f"validation failed due to running out of cost budget: {error}: {rule.text}"
        where = path
        for step in rule.steps:
            where = (where, step)
        shown = value if isinstance(value, str | int | float | bool) else type_name(value)
        trace.errors.append(FieldError(dotted(where), rule.reason, shown, detail))


def _values(rule: _Rule, value: Any, old: Any, convert: Callable[[Any], Any] | None) -> dict[str, Any]:
    earlier: Any = None if old is MISSING else convert(old) if convert is not None else old
    if rule.optional_old:
        earlier = NONE if old is MISSING else Optional(True, earlier)
    return {"self": convert(value) if convert is not None else value, "oldSelf": earlier}


def _message(rule: _Rule, values: dict[str, Any]) -> str:
    if rule.wording is None:
        return rule.message
    try:
        text = rule.wording.evaluate(values)
    except (EvaluationError, BudgetExceeded):
        return rule.message
    return text if isinstance(text, str) and text.strip() and "\n" not in text.strip() else rule.message
