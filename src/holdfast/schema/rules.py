"""Value rules of a schema (bounds, lengths, patterns, enums, junctors) compiled to closures.

A rule looks at one value of one JSON type and adds to the trace; it never changes the value. `rules_for` is used for
each node of a structural schema; `junctor_rule` for what stands below allOf, anyOf, oneOf and not, where no type is
declared and the rules that apply depend on the value that turns up.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, Final

from holdfast.schema.errors import REQUIRED, TOO_LONG, TOO_MANY, UNSUPPORTED, Path, Trace, type_name
from holdfast.schema.formats import compile_pattern, format_check

Node = dict[str, Any]
Rule = Callable[[Any, Path, Trace], None]

JUNCTORS: Final = ("allOf", "anyOf", "oneOf", "not")
_INTEGER_BITS: Final = {"int32": 31, "int64": 63}


def rules_for(schema: Node, kind: str) -> list[Rule]:
    """Compile the rules of `schema` that apply to values of the JSON type `kind`."""
    rules = list(_TYPED[kind](schema)) if kind in _TYPED else []
    if "enum" in schema:
        rules.append(_enum_rule(schema["enum"]))
    rules.extend(_junctor_rules(schema))
    return rules


def junctor_rule(schema: Node) -> Rule:
    """Compile a schema that stands inside a junctor: it tests, and neither prunes nor defaults."""
    by_type = {kind: rules_for(schema, kind) for kind in ("string", "integer", "number", "boolean", "array", "object", "null")}
    expected: str = schema.get("type", "")
    by_type["object"] += _nested_object_rules(schema)
    if "items" in schema:
        by_type["array"].append(_each(junctor_rule(schema["items"])))

    def check(value: Any, path: Path, trace: Trace) -> None:
        kind = type_name(value)
        if expected and kind != expected and (kind, expected) != ("integer", "number"):
            trace.wrong_type(path, value, expected)
            return
        for rule in by_type[kind]:
            rule(value, path, trace)

    return check


def _nested_object_rules(schema: Node) -> list[Rule]:
    fields = {key: junctor_rule(child) for key, child in schema.get("properties", {}).items()}
    required: list[str] = schema.get("required", [])

    def check(value: Any, path: Path, trace: Trace) -> None:
        for key, rule in fields.items():
            if key in value:
                rule(value[key], (path, key), trace)
        for key in required:
            if key not in value:
                trace.add((path, key), REQUIRED)

    return [check] if fields or required else []


def _each(rule: Rule) -> Rule:
    def check(value: Any, path: Path, trace: Trace) -> None:
        for index, item in enumerate(value):
            rule(item, (path, index), trace)

    return check


def _junctor_rules(schema: Node) -> list[Rule]:
    if not any(name in schema for name in JUNCTORS):
        return []
    rules = [junctor_rule(part) for part in schema.get("allOf", [])]
    if schema.get("anyOf"):
        parts = [junctor_rule(part) for part in schema["anyOf"]]
        rules.append(_counted(parts, lambda good: good >= 1, "must validate at least one schema (anyOf)"))
    if schema.get("oneOf"):
        parts = [junctor_rule(part) for part in schema["oneOf"]]
        rules.append(_counted(parts, lambda good: good == 1, "must validate one and only one schema (oneOf)"))
    if "not" in schema:
        rules.append(_counted([junctor_rule(schema["not"])], lambda good: good == 0, "must not validate the schema (not)"))
    return rules


def _counted(parts: list[Rule], accepts: Callable[[int], bool], text: str) -> Rule:
    def check(value: Any, path: Path, trace: Trace) -> None:
        good = 0
        for part in parts:
            attempt = Trace()
            part(value, path, attempt)
            good += not attempt.errors
        if not accepts(good):
            trace.invalid(path, value, text)

    return check


def _enum_rule(allowed: list[Any]) -> Rule:
    listing = ", ".join(f'"{item}"' for item in allowed)

    def check(value: Any, path: Path, trace: Trace) -> None:
        if value not in allowed:
            trace.add(path, UNSUPPORTED, value, f"supported values: {listing}")

    return check


def _when(broken: Callable[[Any], bool], text: str, shown: Callable[[Any], Any] | None = None) -> Rule:
    def check(value: Any, path: Path, trace: Trace) -> None:
        if broken(value):
            trace.invalid(path, shown(value) if shown else value, text)

    return check


def _number_rules(schema: Node) -> list[Rule]:
    rules: list[Rule] = []
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None and schema.get("exclusiveMinimum"):
        rules.append(_when(lambda value: value <= low, f"should be greater than {low}"))
    elif low is not None:
        rules.append(_when(lambda value: value < low, f"should be greater than or equal to {low}"))
    if high is not None and schema.get("exclusiveMaximum"):
        rules.append(_when(lambda value: value >= high, f"should be less than {high}"))
    elif high is not None:
        rules.append(_when(lambda value: value > high, f"should be less than or equal to {high}"))
    if step is not None:
        rules.append(
            _when(lambda value: not math.isclose(value / step, round(value / step)), f"should be a multiple of {step}")
        )
    bits = _INTEGER_BITS.get(schema.get("format", ""))
    if bits is not None:
        name, limit = schema["format"], 1 << bits
        rules.append(_when(lambda value: not -limit <= value < limit, f"must be of type {name}"))
    return rules


def _string_rules(schema: Node) -> list[Rule]:
    rules: list[Rule] = []
    low, high = schema.get("minLength"), schema.get("maxLength")
    if low is not None:
        rules.append(_when(lambda value: len(value) < low, f"should be at least {low} chars long"))
    if high is not None:
        rules.append(_too_long(high))
    if "pattern" in schema:
        found = compile_pattern(schema["pattern"]).search
        rules.append(_when(lambda value: not found(value), f"should match '{schema['pattern']}'"))
    accepts = format_check(schema.get("format", ""))
    if accepts is not None:
        rules.append(_format_rule(accepts, schema["format"]))
    return rules


def _format_rule(accepts: Callable[[str], bool], name: str) -> Rule:
    def check(value: Any, path: Path, trace: Trace) -> None:
        if not accepts(value):
            trace.invalid(path, value, f'must be of type {name}: "{value}"')

    return check


def _too_long(limit: int) -> Rule:
    def check(value: Any, path: Path, trace: Trace) -> None:
        if len(value) > limit:
            trace.add(path, TOO_LONG, value, f"may not be more than {limit} bytes")

    return check


def _too_many(limit: int, noun: str) -> Rule:
    def check(value: Any, path: Path, trace: Trace) -> None:
        if len(value) > limit:
            trace.add(path, TOO_MANY, len(value), f"must have at most {limit} {noun}")

    return check


def _array_rules(schema: Node) -> list[Rule]:
    low, high = schema.get("minItems"), schema.get("maxItems")
    rules: list[Rule] = []
    if low is not None:
        rules.append(_when(lambda value: len(value) < low, f"should have at least {low} items", len))
    if high is not None:
        rules.append(_too_many(high, "items"))
    return rules


def _object_rules(schema: Node) -> list[Rule]:
    low, high = schema.get("minProperties"), schema.get("maxProperties")
    rules: list[Rule] = []
    if low is not None:
        rules.append(_when(lambda value: len(value) < low, f"should have at least {low} properties", len))
    if high is not None:
        rules.append(_too_many(high, "properties"))
    return rules


_TYPED: Final[dict[str, Callable[[Node], list[Rule]]]] = {
    "integer": _number_rules,
    "number": _number_rules,
    "string": _string_rules,
    "array": _array_rules,
    "object": _object_rules,
}
