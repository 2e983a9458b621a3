"""What a rule may cost at worst, estimated from its text and its schema alone, as Kubernetes does before it takes a CRD.

A schema says how long texts, lists and maps may be (maxLength, maxItems, maxProperties); what it leaves open is as long as a
whole request may be. The cost of an expression is counted in the units of CEL's cost model: one for a step, a tenth for each
character or element that a function reads, and for a comprehension the cost of its body times the length of what it runs over.
A rule below a list costs its estimate times the elements that the list may have.
Source: the documentation of Kubernetes, "Resource use by validation functions" and "Resource constraints"; the budgets and the
factors are those of Kubernetes 1.33.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final, cast

import msgspec

from holdfast.schema.cel.syntax import Call, Expression, ListLiteral, Literal, Macro, MapLiteral, Name, Select, parse
from holdfast.schema.cel.types import escape
from holdfast.schema.wellformed import EMBEDDED, INT_OR_STRING

Schema = dict[str, Any]

RULE_BUDGET: Final = 10_000_000
TOTAL_BUDGET: Final = 100_000_000
_REQUEST: Final = 3 << 20
"""Bytes of the largest request: nothing in it can be longer."""
_ADVICE: Final = (
    "try simplifying the rule, or adding maxItems, maxProperties, and maxLength where arrays, maps, and strings are declared"
)
_TRAVERSE, _PATTERN = 0.1, 0.25
_LIST_BASE, _MAP_BASE, _STEP_BASE = 10, 30, 3
_FORMAT_SIZES: Final = {"date": 10, "date-time": 36, "duration": 32}


class Shape(msgspec.Struct, frozen=True):
    """How large a value may be: the most characters, elements or entries, and the shapes of what is inside."""

    size: int = 1
    item: Shape | None = None
    fields: Mapping[str, Shape] = {}

    def inside(self, name: str) -> Shape:
        """The shape of a field, or of a map's values."""
        return self.fields.get(name) or self.item or Shape()


class Estimate(msgspec.Struct, frozen=True):
    """The cost of an expression at worst, and the shape of its value."""

    cost: float
    shape: Shape = Shape()


def least_bytes(schema: Schema) -> int:
    """The fewest bytes of JSON that a value of a schema takes."""
    match schema.get("type"):
        case "array":
            return 2
        case "object":
            required: list[str] = schema.get("required", [])
            children = {name: child for name, child in schema.get("properties", {}).items() if name in required}
            return 2 + sum(len(name) + 4 + least_bytes(child) for name, child in children.items() if "default" not in child)
        case "boolean":
            return 4
        case "string":
            return 2
        case _:
            return 1


def shape_of(schema: Schema) -> Shape:
    """The shape of what a schema describes."""
    if schema.get(INT_OR_STRING):
        return Shape(_REQUEST - 2)
    match schema.get("type"):
        case "string":
            return Shape(_text_size(schema))
        case "array":
            items: Schema = schema.get("items") or {}
            return Shape(most_elements(schema), shape_of(items))
        case "object":
            values: Any = schema.get("additionalProperties")
            if isinstance(values, dict):
                return Shape(most_elements(schema), shape_of(cast(Schema, values)))
            properties: dict[str, Schema] = schema.get("properties", {})
            fields = {escape(name) or name: shape_of(child) for name, child in properties.items()}
            if schema.get(EMBEDDED):
                fields |= _ROOT_FIELDS
            return Shape(max(len(fields), 1), None, fields)
        case _:
            return Shape()


_ROOT_FIELDS: Final = {
    "apiVersion": Shape(_REQUEST),
    "kind": Shape(_REQUEST),
    "metadata": Shape(2, None, {"name": Shape(253), "generateName": Shape(253)}),
}


def _text_size(schema: Schema) -> int:
    if (longest := schema.get("maxLength")) is not None:
        return int(longest) * 4
    if choices := schema.get("enum"):
        return max(len(str(choice)) for choice in cast(list[Any], choices))
    return _FORMAT_SIZES.get(schema.get("format", ""), _REQUEST - 2)


def most_elements(schema: Schema) -> int:
    """The most elements of a list, or entries of a map, that fit into a request or are allowed."""
    if schema.get("type") == "array":
        items: Schema = schema.get("items") or {}
        return int(schema.get("maxItems", (_REQUEST - 2) // (least_bytes(items) + 1)))
    values: Any = schema.get("additionalProperties")
    least = least_bytes(cast(Schema, values)) if isinstance(values, dict) else 1
    return int(schema.get("maxProperties", (_REQUEST - 2) // (least + 6)))


class Place(msgspec.Struct, frozen=True):
    """How often a schema's values may occur in one object: a number, or None below something that says no maximum."""

    times: int | None = 1

    def below(self, schema: Schema) -> Place:
        """The place of the elements of a list or the values of a map."""
        stated = schema.get("maxItems" if schema.get("type") == "array" else "maxProperties")
        return Place(None if stated is None or self.times is None else self.times * int(stated))

    def count(self, schema: Schema) -> int:
        """How often at worst; where no maximum is said, as often as the values fit into a request."""
        return self.times if self.times is not None else _REQUEST // max(least_bytes(schema), 1)


class Ledger:
    """Adds up the costs of the rules of one CRD version."""

    def __init__(self) -> None:
        self._total = 0.0

    def charge(self, text: str, schema: Schema, place: Place, *, root: bool) -> str:
        """Count a rule in; return why it costs too much, or an empty text."""
        shape = shape_of(schema)
        if root:
            shape = msgspec.structs.replace(shape, fields={**shape.fields, **_ROOT_FIELDS})
        cost = estimate(text, {"self": shape, "oldSelf": shape}) * place.count(schema)
        self._total += cost
        if cost <= RULE_BUDGET:
            return ""
        return f"estimated rule cost exceeds budget by factor of {_factor(cost / RULE_BUDGET)} ({_ADVICE})"

    def overdrawn(self) -> str:
        """Why all rules together cost too much; empty when they do not."""
        if self._total <= TOTAL_BUDGET:
            return ""
        factor = _factor(self._total / TOTAL_BUDGET)
        return f"estimated cost of all rules of the schema exceeds budget by factor of {factor} ({_ADVICE})"


def _factor(value: float) -> str:
    return "more than 100x" if value > 100 else f"{value:.1f}x"


def estimate(text: str, variables: Mapping[str, Shape]) -> float:
    """The cost of an expression at worst. Raises CompileError when it does not parse."""
    return _cost(parse(text), variables).cost


def _cost(tree: Expression, scope: Mapping[str, Shape]) -> Estimate:
    match tree:
        case Literal():
            return Estimate(0, Shape(len(tree.value) if isinstance(tree.value, str | bytes) else 1))
        case Name():
            return Estimate(1, scope.get(tree.name, Shape()))
        case Select():
            held = _cost(tree.operand, scope)
            return Estimate(held.cost + 1, Shape() if tree.test else held.shape.inside(tree.field))
        case ListLiteral():
            items = [_cost(item, scope) for item in tree.items]
            return Estimate(_LIST_BASE + _sum(items), Shape(len(items), _widest(item.shape for item in items)))
        case MapLiteral():
            entries = [_cost(part, scope) for entry in tree.entries for part in entry]
            return Estimate(_MAP_BASE + _sum(entries), Shape(len(tree.entries), _widest(item.shape for item in entries[1::2])))
        case Macro():
            return _macro(tree, scope)
        case Call():
            return _call(tree, scope)


def _sum(found: Iterable[Estimate]) -> float:
    return sum(each.cost for each in found)


def _widest(shapes: Iterable[Shape]) -> Shape | None:
    return max(shapes, key=lambda shape: shape.size, default=None)


def _macro(tree: Macro, scope: Mapping[str, Shape]) -> Estimate:
    target = _cost(tree.target, scope)
    item = target.shape.item or Shape()
    if tree.name in ("optMap", "optFlatMap"):
        part = _cost(tree.parts[0], {**scope, tree.names[0]: target.shape})
        return Estimate(target.cost + part.cost + 1, part.shape)
    inner = {**scope, **dict.fromkeys(tree.names[:-1], Shape(_TEXT_KEY)), tree.names[-1]: item}
    parts = [_cost(part, inner) for part in tree.parts]
    cost = target.cost + target.shape.size * (_sum(parts) + _STEP_BASE)
    if tree.name in ("all", "exists", "exists_one", "existsOne"):
        return Estimate(cost)
    kept = item if tree.name == "filter" else parts[-1].shape
    return Estimate(cost + target.shape.size, Shape(target.shape.size, kept))


_TEXT_KEY: Final = 64
"""How long the key of a map is taken to be; an index is shorter."""


def _call(tree: Call, scope: Mapping[str, Shape]) -> Estimate:
    parts = [_cost(part, scope) for part in ((tree.target,) if tree.target is not None else ()) + tree.args]
    shapes, cost = [part.shape for part in parts], _sum(parts)
    name = tree.function
    if name in ("_&&_", "_||_"):
        return Estimate(cost)
    if name == "?:":
        branches = max(parts[1:], key=lambda part: part.cost)
        return Estimate(parts[0].cost + branches.cost, _widest(shapes[1:]) or Shape())
    if name in ("_[_]", "_[?_]"):
        return Estimate(cost + 1, shapes[0].item or _literal_field(tree, shapes[0]))
    if name in _COMPARING:
        return Estimate(cost + max(1.0, min(shape.size for shape in shapes) * _TRAVERSE))
    if name == "_in_":
        return Estimate(cost + max(shapes[1].size, 1))
    if name == "_+_":
        size = sum(shape.size for shape in shapes)
        return Estimate(cost + max(1.0, size * _TRAVERSE), Shape(size, _widest(shape.item for shape in shapes if shape.item)))
    return Estimate(cost + _reading(name, shapes), _result(name, shapes))


_COMPARING: Final = ("_==_", "_!=_", "_<_", "_<=_", "_>_", "_>=_")
_PATTERNS: Final = ("matches", "find", "findAll")
_ARGUMENT_ONLY: Final = ("startsWith", "endsWith")
_ELEMENTS: Final = ("sum", "min", "max", "isSorted", "indexOf", "lastIndexOf", "join")
_WHOLE: Final = (
    "lowerAscii", "upperAscii", "substring", "trim", "replace", "split", "reverse", "charAt", "url", "isURL", "ip", "isIP",
    "cidr", "isCIDR", "quantity", "isQuantity", "validate", "string", "bytes", "duration", "timestamp", "semver", "isSemver",
    "format",
)  # fmt: skip


def _literal_field(tree: Call, holder: Shape) -> Shape:
    """The shape of `self['field']`."""
    key = tree.args[-1]
    return holder.inside(str(key.value)) if isinstance(key, Literal) else Shape()


def _reading(name: str, shapes: list[Shape]) -> float:
    """What a function reads of its values."""
    first = shapes[0] if shapes else Shape()
    if name in _PATTERNS and len(shapes) > 1:
        return max(1.0, (first.size + 1) * _TRAVERSE * shapes[1].size * _PATTERN)
    if name == "contains" and len(shapes) > 1:
        return max(1.0, first.size * _TRAVERSE * max(shapes[1].size * _TRAVERSE, 1.0))
    if name in _ARGUMENT_ONLY and len(shapes) > 1:
        return max(1.0, shapes[1].size * _TRAVERSE)
    if name.startswith("sets.") and len(shapes) > 1:
        return max(1.0, float(first.size) * shapes[1].size)
    if name in _ELEMENTS:
        if first.item is None:
            return max(1.0, first.size * _TRAVERSE)
        return max(1.0, first.size * max(1.0, first.item.size * _TRAVERSE))
    return max(1.0, first.size * _TRAVERSE) if name in _WHOLE else 1.0


def _result(name: str, shapes: list[Shape]) -> Shape:
    """The shape of what a function returns: text is as long as what it was made of, parts as many as characters."""
    first = shapes[0] if shapes else Shape()
    if name in ("split", "findAll"):
        return Shape(first.size, first)
    if name == "join" and first.item is not None:
        return Shape(first.size * first.item.size)
    if name in ("sum", "min", "max", "first", "last", "value", "orValue"):
        return first.item or first
    if name in _WHOLE or name in ("find", "flatten", "slice", "sort", "distinct", "or", "optional.of"):
        return first
    return Shape()
