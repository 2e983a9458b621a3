"""`where` and `sort` of a list request: parsed once, then pure tests on documents, with the meaning they have in MongoDB.

Operators are those that clients of the API use and their obvious companions; what runs code or scans text (`$where`,
`$regex`) is refused, and so is everything unknown. A comparison holds only between values of one type; a field that is absent
equals null; a list matches when one of its elements does.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, cast

import msgspec

Fields = dict[str, Any]
Test = Callable[[Sequence[Any]], bool]
Predicate = Callable[[Fields], bool]

DATES: Final = ("_created", "_updated")
"""Fields that are compared as times, however they are written."""

_DEEPEST: Final = 16
_LONGEST: Final = 16_384


class BadQuery(ValueError):
    """A query that can't be answered; the text says what is wrong with it. It becomes a 400."""


class Missing:
    """The type of MISSING."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()
"""What lies at a path that a document does not have."""


class Condition(msgspec.Struct, frozen=True):
    """What one field must be. `equals` are the only values that can hold, `low` and `high` bounds, where the test says so;
    `inclusive` bounds count as well.
    """

    field: str
    test: Test
    equals: tuple[Any, ...] | None = None
    low: Any = None
    high: Any = None
    inclusive: bool = False

    def holds(self, fields: Fields) -> bool:
        """Whether a document meets it."""
        return self.test(values_at(fields, self.field.split(".")))


class Filter(msgspec.Struct, frozen=True):
    """All of a filter: conditions on single fields, which an index may serve, and whatever else must hold too."""

    conditions: tuple[Condition, ...] = ()
    others: tuple[Predicate, ...] = ()

    def holds(self, fields: Fields) -> bool:
        """Whether a document is meant."""
        return all(condition.holds(fields) for condition in self.conditions) and all(other(fields) for other in self.others)


class Order(msgspec.Struct, frozen=True):
    """One field to sort by."""

    field: str
    descending: bool = False


def parse_where(text: str) -> Filter:
    """Read a filter. Raises BadQuery."""
    if not text:
        return Filter()
    if len(text) > _LONGEST:
        raise BadQuery(f"where is longer than {_LONGEST} characters")
    try:
        given: Any = msgspec.json.decode(text)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BadQuery(f"where is not JSON: {error}") from None
    if not isinstance(given, dict):
        raise BadQuery('where must be a JSON object such as {"state":"READY"}')
    return compile_filter(cast(Fields, given))


def compile_filter(given: Fields, depth: int = 0) -> Filter:
    """Compile a decoded filter. Raises BadQuery."""
    if depth > _DEEPEST:
        raise BadQuery(f"where is nested more than {_DEEPEST} deep")
    conditions: list[Condition] = []
    others: list[Predicate] = []
    for key, value in given.items():
        if key == "$and":
            for part in _filters(key, value, depth):
                conditions += part.conditions
                others += part.others
        elif key in ("$or", "$nor"):
            others.append(_either(_filters(key, value, depth), negated=key == "$nor"))
        elif key.startswith("$"):
            raise BadQuery(f"where: operator {key} is unknown or not allowed")
        else:
            conditions += _field(key, value, depth)
    return Filter(tuple(conditions), tuple(others))


def parse_sort(text: str) -> tuple[Order, ...]:
    """Read `-start_time,name`, or the list form `[("start_time", -1)]`. Raises BadQuery."""
    if not text:
        return ()
    if text.lstrip().startswith("["):
        return tuple(_pair(each) for each in _list_form(text))
    found = [part.strip() for part in text.split(",") if part.strip()]
    return tuple(Order(part.lstrip("-+"), part.startswith("-")) for part in found if part.lstrip("-+"))


def values_at(fields: Any, path: Sequence[str]) -> list[Any]:
    """Return what lies at a dotted path: several values below lists, MISSING where a document has none."""
    return list(_walk(fields, path, 0))


def sort_key(value: Any, *, descending: bool = False) -> tuple[Any, ...]:
    """Return a key that orders values of any type as MongoDB does: nothing, numbers, text, objects, lists, flags, times."""
    if isinstance(value, list):
        keys = sorted(sort_key(each) for each in cast("list[Any]", value))
        return (keys[-1] if descending else keys[0]) if keys else (0, 0)
    if value is None or isinstance(value, Missing):
        return (1, 0)
    if isinstance(value, bool):
        return (6, value)
    if isinstance(value, (int, float)):
        return (2, value)
    if isinstance(value, str):
        return (3, value)
    if isinstance(value, datetime):
        return (7, value.timestamp())
    return (4, msgspec.json.encode(value))


def first_at(fields: Fields, field: str) -> Any:
    """Return the one value of a field that never lies below a list; MISSING when there is none."""
    found: Any = fields
    for part in field.split("."):
        if not isinstance(found, dict) or part not in found:
            return MISSING
        found = cast(Fields, found)[part]
    return found


def _walk(node: Any, path: Sequence[str], at: int) -> Iterator[Any]:
    if at == len(path):
        yield node
    elif isinstance(node, dict):
        inner = cast(Fields, node)
        if path[at] in inner:
            yield from _walk(inner[path[at]], path, at + 1)
        else:
            yield MISSING
    elif isinstance(node, list):
        elements = cast("list[Any]", node)
        if path[at].isdigit() and int(path[at]) < len(elements):
            yield from _walk(elements[int(path[at])], path, at + 1)
        for element in elements:
            if isinstance(element, dict):
                yield from _walk(element, path, at)
    else:
        yield MISSING


def _filters(operator: str, value: Any, depth: int) -> list[Filter]:
    parts = cast("list[Any]", value) if isinstance(value, list) else []
    if not parts or not all(isinstance(part, dict) for part in parts):
        raise BadQuery(f"where: {operator} needs a list of filters with at least one")
    return [compile_filter(cast(Fields, part), depth + 1) for part in parts]


def _either(parts: Sequence[Filter], *, negated: bool) -> Predicate:
    def holds(fields: Fields) -> bool:
        return any(part.holds(fields) for part in parts) is not negated

    return holds


def _field(name: str, value: Any, depth: int) -> Iterator[Condition]:
    if depth > _DEEPEST:
        raise BadQuery(f"where is nested more than {_DEEPEST} deep")
    given = cast(Fields, value) if isinstance(value, dict) else {}
    operators = [key for key in given if key.startswith("$")]
    if not operators:
        literal = _literal(name, value)
        yield Condition(name, _equal(literal), equals=(literal,))
        return
    if len(operators) != len(given):
        raise BadQuery(f"where: {name} mixes operators with fields")
    for operator, operand in given.items():
        yield _operator(name, operator, operand, depth)


def _operator(name: str, operator: str, operand: Any, depth: int) -> Condition:
    match operator:
        case "$eq":
            literal = _literal(name, operand)
            return Condition(name, _equal(literal), equals=(literal,))
        case "$ne":
            return Condition(name, _negated(_equal(_literal(name, operand))))
        case "$in" | "$nin":
            wanted = [_literal(name, each) for each in _list(name, operator, operand)]
            found = _any_of(wanted)
            return Condition(name, found, equals=tuple(wanted)) if operator == "$in" else Condition(name, _negated(found))
        case "$gt" | "$gte":
            bound = _literal(name, operand)
            return Condition(name, _compared(operator, bound), low=bound, inclusive=operator == "$gte")
        case "$lt" | "$lte":
            bound = _literal(name, operand)
            return Condition(name, _compared(operator, bound), high=bound, inclusive=operator == "$lte")
        case "$exists":
            return Condition(name, _exists if operand else _negated(_exists))
        case "$not":
            if not isinstance(operand, dict):
                raise BadQuery(f"where: $not of {name} needs an object of operators")
            inner = [each.test for each in _field(name, operand, depth + 1)]
            return Condition(name, lambda values: not all(test(values) for test in inner))
        case "$all":
            each_of = [_equal(_literal(name, each)) for each in _list(name, operator, operand)]
            return Condition(name, lambda values: bool(each_of) and all(test(values) for test in each_of))
        case "$size":
            if not isinstance(operand, int) or isinstance(operand, bool):
                raise BadQuery(f"where: $size of {name} needs a number")
            return Condition(
                name, lambda values: any(isinstance(each, list) and len(cast("list[Any]", each)) == operand for each in values)
            )
        case "$mod":
            return Condition(name, _modulo(name, operand))
        case "$elemMatch":
            return Condition(name, _element(name, operand, depth))
        case _:
            raise BadQuery(f"where: operator {operator} is unknown or not allowed")


def _list(name: str, operator: str, operand: Any) -> list[Any]:
    if not isinstance(operand, list):
        raise BadQuery(f"where: {operator} of {name} needs a list")
    return cast("list[Any]", operand)


def _literal(name: str, value: Any) -> Any:
    """Return a value to compare with; times of a date field become times."""
    if name in DATES and isinstance(value, str):
        return _moment(name, value)
    return value


def _moment(name: str, text: str) -> datetime:
    for parse in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            found = parse(text)
        except ValueError:
            continue
        return found if found.tzinfo else found.replace(tzinfo=UTC)
    raise BadQuery(f"where: {name} is a time such as 'Wed, 31 Mar 2021 08:28:41 GMT', not {text!r}")


def _same(left: Any, right: Any) -> bool:
    if right is None:
        return left is None or isinstance(left, Missing)
    return isinstance(left, bool) == isinstance(right, bool) and left == right


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    """Yield every value, and the elements of those that are lists."""
    for value in values:
        yield value
        if isinstance(value, list):
            yield from cast("list[Any]", value)


def _equal(wanted: Any) -> Test:
    return lambda values: any(_same(value, wanted) for value in _flat(values))


def _any_of(wanted: Sequence[Any]) -> Test:
    return lambda values: any(_same(value, each) for value in _flat(values) for each in wanted)


def _negated(test: Test) -> Test:
    return lambda values: not test(values)


def _exists(values: Sequence[Any]) -> bool:
    return any(not isinstance(value, Missing) for value in values)


def _compared(operator: str, bound: Any) -> Test:
    if bound is None:
        return _equal(None) if operator in ("$gte", "$lte") else lambda values: False
    rank, key = (sort_key(bound)[0], sort_key(bound))
    if isinstance(bound, (list, dict)):
        raise BadQuery(f"where: {operator} compares numbers, texts, flags and times")

    def holds(values: Sequence[Any]) -> bool:
        for value in _flat(values):
            if isinstance(value, list):
                continue
            found = sort_key(value)
            if found[0] != rank:
                continue
            if (found > key if operator[1] == "g" else found < key) or (operator.endswith("e") and found == key):
                return True
        return False

    return holds


def _modulo(name: str, operand: Any) -> Test:
    parts = cast("list[Any]", operand) if isinstance(operand, list) else []
    if len(parts) != 2 or not all(isinstance(part, int) and not isinstance(part, bool) for part in parts) or not parts[0]:
        raise BadQuery(f"where: $mod of {name} needs [divisor, remainder]")
    divisor, remainder = parts
    return lambda values: any(
        isinstance(value, int) and not isinstance(value, bool) and value % divisor == remainder for value in _flat(values)
    )


def _element(name: str, operand: Any, depth: int) -> Test:
    if not isinstance(operand, dict):
        raise BadQuery(f"where: $elemMatch of {name} needs an object")
    given = cast(Fields, operand)
    if given and all(key.startswith("$") for key in given):
        tests = [each.test for each in _field(name, given, depth + 1)]
        return lambda values: any(all(test([each]) for test in tests) for each in _elements(values))
    inner = compile_filter(given, depth + 1)
    return lambda values: any(isinstance(each, dict) and inner.holds(cast(Fields, each)) for each in _elements(values))


def _elements(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list):
            yield from cast("list[Any]", value)


def _list_form(text: str) -> list[Any]:
    try:
        found: Any = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        raise BadQuery('sort must be fields such as "-start_time,name"') from None
    return cast("list[Any]", found) if isinstance(found, list) else []


def _pair(given: Any) -> Order:
    parts = list(cast("tuple[Any, ...]", given)) if isinstance(given, (tuple, list)) else []
    if len(parts) != 2 or not isinstance(parts[0], str) or parts[1] not in (1, -1):
        raise BadQuery('sort in list form must be pairs such as ("start_time", -1)')
    return Order(parts[0], parts[1] == -1)
