"""From a tree to something that runs: types are checked and overloads chosen once, closures do the rest.

A closure gets a frame: a list of the variables' values, in front of them the work that is left. `&&`, `||`, all() and exists()
absorb an error when the other side decides, as the language asks; running out of work is never absorbed.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final, cast

import msgspec

from holdfast.schema.cel import kubernetes
from holdfast.schema.cel.errors import BudgetExceeded, CompileError, EvaluationError
from holdfast.schema.cel.syntax import Call, Expression, ListLiteral, Literal, Macro, MapLiteral, Name, Select, parse
from holdfast.schema.cel.table import Overload, Table, fits
from holdfast.schema.cel.types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    INT,
    NULL,
    STRING,
    TYPE,
    UINT,
    Type,
    join,
    list_of,
    map_of,
    optional_of,
    unify,
)
from holdfast.schema.cel.values import NONE, Optional, converter, equality, kind_of, merged

Frame = list[Any]
Run = Callable[[Frame], Any]

BUDGET: Final = 1_000_000
"""Steps that one evaluation may take: a step is an element of a comprehension or of a list that a function reads."""

_LITERALS: Final = {"null": NULL, "bool": BOOL, "int": INT, "uint": UINT, "double": DOUBLE, "string": STRING, "bytes": BYTES}
_TYPE_NAMES: Final = ("bool", "int", "uint", "double", "string", "bytes", "list", "map", "null_type")
_ITERATED: Final = ("list", "map", "dyn")


class Program(msgspec.Struct, frozen=True):
    """An expression ready to run: the type of its value, the variables it uses, and the size of a frame."""

    type: Type
    used: frozenset[str]
    slots: Mapping[str, int]
    size: int
    run: Run

    def evaluate(self, values: Mapping[str, Any]) -> Any:
        """The value for these variables. Raises EvaluationError or BudgetExceeded."""
        frame: Frame = [None] * self.size
        frame[0] = BUDGET
        for name, slot in self.slots.items():
            frame[slot] = values.get(name)
        try:
            return self.run(frame)
        except RecursionError:
            raise BudgetExceeded("the values are nested too deeply") from None


@functools.cache
def environment() -> Table:
    """All functions."""
    return kubernetes.build()


def compile_expression(text: str, variables: Mapping[str, Type]) -> Program:
    """Check an expression over these variables. Raises CompileError."""
    try:
        return _Compiler(variables).program(parse(text))
    except RecursionError:
        raise CompileError("it is nested too deeply", 1) from None


class _Compiled(msgspec.Struct, frozen=True):
    type: Type
    run: Run


class _Compiler:
    def __init__(self, variables: Mapping[str, Type]) -> None:
        self._table = environment()
        self._slots = {name: at + 1 for at, name in enumerate(variables)}
        self._scope: dict[str, tuple[int, Type]] = {name: (self._slots[name], kind) for name, kind in variables.items()}
        self._size = len(variables) + 1
        self._used: set[str] = set()

    def program(self, tree: Expression) -> Program:
        found = self._compile(tree)
        return Program(found.type, frozenset(self._used), self._slots, self._size, found.run)

    def _compile(self, tree: Expression) -> _Compiled:
        match tree:
            case Literal():
                value = tree.value
                return _Compiled(_LITERALS[tree.kind], lambda frame: value)
            case Name():
                return self._name(tree)
            case Select():
                return self._select(tree)
            case Call():
                return self._call(tree)
            case ListLiteral():
                return self._list(tree)
            case MapLiteral():
                return self._map(tree)
            case Macro():
                return self._macro(tree)

    def _name(self, tree: Name) -> _Compiled:
        held = self._scope.get(tree.name)
        if held is None:
            if tree.name in _TYPE_NAMES:
                value = tree.name.removesuffix("_type")
                return _Compiled(TYPE, lambda frame: value)
            raise CompileError(f"undeclared reference to '{tree.name}'", tree.column)
        slot, kind = held
        if tree.name in self._slots and slot == self._slots[tree.name]:
            self._used.add(tree.name)
        return _Compiled(kind, lambda frame: frame[slot])

    def _select(self, tree: Select) -> _Compiled:
        operand = self._compile(tree.operand)
        holder = operand.type
        optional = tree.optional or holder.kind == "optional"
        if holder.kind == "optional":
            holder = holder.params[0]
        key, kind = _field(holder, tree)
        get = _getter(key, converter(kind))
        inner = operand.run
        if tree.test:
            return _Compiled(BOOL, _presence(inner, key))
        if optional:
            result = kind if kind.kind == "optional" else optional_of(kind)
            return _Compiled(result, lambda frame: _maybe_field(inner(frame), get))
        return _Compiled(kind, lambda frame: get(inner(frame)))

    def _call(self, tree: Call) -> _Compiled:
        special = self._SPECIAL.get(tree.function)
        if special is not None and tree.target is None:
            return special(self, tree)
        if isinstance(tree.target, Name) and tree.target.name not in self._scope:
            qualified = f"{tree.target.name}.{tree.function}"
            if qualified in self._table:
                return self._function(qualified, tree, [self._compile(arg) for arg in tree.args], method=False)
        args = [self._compile(arg) for arg in tree.args]
        if tree.target is not None:
            args.insert(0, self._compile(tree.target))
        return self._function(tree.function, tree, args, method=tree.target is not None)

    def _function(self, name: str, tree: Call, args: list[_Compiled], *, method: bool) -> _Compiled:
        if name not in self._table:
            raise CompileError(f"undeclared reference to '{name}'", tree.column)
        kinds = [arg.type for arg in args]
        match = self._table.match(name, kinds, method=method)
        if match is None:
            shown = f"'{kinds[0]}.({', '.join(map(str, kinds[1:]))})'" if method else f"'({', '.join(map(str, kinds))})'"
            raise CompileError(f"found no matching overload for '{name}' applied to {shown}", tree.column)
        runs = [arg.run for arg in args]
        certain = len(match.overloads) == 1 and all(kind.kind != "dyn" for kind in kinds)
        call = match.overloads[0].run if certain else functools.partial(_dispatch, name, match.overloads)
        convert = converter(match.result) if name in ("_[_]", "_[?_]") else None
        return _Compiled(match.result, _apply(call, runs, convert))

    def _condition(self, tree: Expression, what: str) -> Run:
        found = self._compile(tree)
        if found.type.kind not in ("bool", "dyn"):
            raise CompileError(f"{what} must be a bool, it is of type {found.type}", tree.column)
        return found.run

    def _logic(self, tree: Call) -> _Compiled:
        left = self._condition(tree.args[0], "the left side")
        right = self._condition(tree.args[1], "the right side")
        return _Compiled(BOOL, functools.partial(_decide, left, right, tree.function == "_||_"))

    def _ternary(self, tree: Call) -> _Compiled:
        test = self._condition(tree.args[0], "the condition")
        yes, no = self._compile(tree.args[1]), self._compile(tree.args[2])
        if not unify(yes.type, no.type, {}) and not unify(no.type, yes.type, {}):
            raise CompileError(f"both results must be of one type, they are {yes.type} and {no.type}", tree.column)
        a, b = yes.run, no.run
        return _Compiled(join(yes.type, no.type), lambda frame: a(frame) if _truth(test(frame)) else b(frame))

    def _equality(self, tree: Call) -> _Compiled:
        left, right = self._compile(tree.args[0]), self._compile(tree.args[1])
        if not unify(left.type, right.type, {}) and not unify(right.type, left.type, {}):
            text = f"found no matching overload for '{tree.function}' applied to '({left.type}, {right.type})'"
            raise CompileError(text, tree.column)
        same = equality(left.type if left.type.kind == "list" else right.type)
        wanted = tree.function == "_==_"
        a, b = left.run, right.run
        return _Compiled(BOOL, lambda frame: same(a(frame), b(frame)) == wanted)

    def _plus(self, tree: Call) -> _Compiled:
        left, right = self._compile(tree.args[0]), self._compile(tree.args[1])
        if "list" not in (left.type.kind, right.type.kind):
            return self._function("_+_", tree, [left, right], method=False)
        for side in (left, right):
            if side.type.kind not in ("list", "dyn"):
                text = f"found no matching overload for '_+_' applied to '({left.type}, {right.type})'"
                raise CompileError(text, tree.column)
        kind = left.type if left.type.kind == "list" else right.type
        add, a, b = merged(kind), left.run, right.run

        def run(frame: Frame) -> Any:
            one, two = a(frame), b(frame)
            if not isinstance(one, list) or not isinstance(two, list):
                raise EvaluationError("no such overload: + of a list and something else")
            _spend(frame, len(cast(list[Any], one)) + len(cast(list[Any], two)))
            return add(cast(list[Any], one), cast(list[Any], two))

        return _Compiled(kind, run)

    _SPECIAL: Final[dict[str, Callable[[_Compiler, Call], _Compiled]]] = {
        "_&&_": _logic, "_||_": _logic, "?:": _ternary, "_==_": _equality, "_!=_": _equality, "_+_": _plus,
    }  # fmt: skip

    def _list(self, tree: ListLiteral) -> _Compiled:
        items = [self._compile(item) for item in tree.items]
        kinds = [_unwrapped(item, at in tree.optional, tree.column) for at, item in enumerate(items)]
        kind = functools.reduce(join, kinds) if kinds else DYN
        runs = [(item.run, at in tree.optional) for at, item in enumerate(items)]

        def run(frame: Frame) -> Any:
            out: list[Any] = []
            for each, optional in runs:
                value = each(frame)
                if not optional:
                    out.append(value)
                elif value.present:
                    out.append(value.value)
            return out

        return _Compiled(list_of(kind), run)

    def _map(self, tree: MapLiteral) -> _Compiled:
        pairs = [(self._compile(key), self._compile(value)) for key, value in tree.entries]
        for (key, _), (shown, _) in zip(pairs, tree.entries, strict=True):
            if key.type.kind not in ("bool", "int", "uint", "string", "dyn"):
                raise CompileError(f"a value of type {key.type} can't be the key of a map", shown.column)
        kinds = [_unwrapped(value, at in tree.optional, tree.column) for at, (_, value) in enumerate(pairs)]
        key_kind = functools.reduce(join, (key.type for key, _ in pairs)) if pairs else DYN
        runs = [(key.run, value.run, at in tree.optional) for at, (key, value) in enumerate(pairs)]

        def run(frame: Frame) -> Any:
            out: dict[Any, Any] = {}
            for key_run, value_run, optional in runs:
                key, value = key_run(frame), value_run(frame)
                if key in out:
                    raise EvaluationError(f"a map has the key {key} twice")
                if not optional:
                    out[key] = value
                elif value.present:
                    out[key] = value.value
            return out

        return _Compiled(map_of(key_kind, functools.reduce(join, kinds) if kinds else DYN), run)

    def _macro(self, tree: Macro) -> _Compiled:
        target = self._compile(tree.target)
        if tree.name in ("optMap", "optFlatMap"):
            return self._optional_macro(tree, target)
        if target.type.kind not in _ITERATED:
            raise CompileError(f"{tree.name}() needs a list or a map, this is of type {target.type}", tree.column)
        slots, parts = self._scoped(tree, _variables(target.type, len(tree.names)))
        each = _elements(target.run, slots, target.type)
        conditions = parts if tree.name in _TESTS else parts[:-1]
        for part, shown in zip(conditions, tree.parts, strict=False):
            if part.type.kind not in ("bool", "dyn"):
                raise CompileError(f"{tree.name}() wants a bool here, this is of type {part.type}", shown.column)
        return _comprehension(tree.name, target.type, each, parts, slots)

    def _optional_macro(self, tree: Macro, target: _Compiled) -> _Compiled:
        if target.type.kind not in ("optional", "dyn"):
            raise CompileError(f"{tree.name}() needs an optional value, this is of type {target.type}", tree.column)
        inner = target.type.params[0] if target.type.params else DYN
        (slot,), (part,) = self._scoped(tree, (inner,))
        flat = tree.name == "optFlatMap"
        outer, change = target.run, part.run

        def run(frame: Frame) -> Any:
            held = outer(frame)
            if not held.present:
                return NONE
            frame[slot] = held.value
            return change(frame) if flat else Optional(True, change(frame))

        return _Compiled(part.type if flat else optional_of(part.type), run)

    def _scoped(self, tree: Macro, kinds: tuple[Type, ...]) -> tuple[tuple[int, ...], list[_Compiled]]:
        """Compile the parts of a macro with its variables in scope; each variable has a slot of its own."""
        outer = dict(self._scope)
        slots = tuple(range(self._size, self._size + len(tree.names)))
        self._size += len(tree.names)
        for name, slot, kind in zip(tree.names, slots, kinds, strict=True):
            self._scope[name] = (slot, kind)
        parts = [self._compile(part) for part in tree.parts]
        self._scope = outer
        return slots, parts


_TESTS: Final = ("all", "exists", "exists_one", "existsOne", "filter")


def _field(holder: Type, tree: Select) -> tuple[str, Type]:
    match holder.kind:
        case "object" if holder.fields is not None:
            if tree.field not in holder.fields:
                raise CompileError(f"undefined field '{tree.field}'", tree.column)
            return holder.fields[tree.field]
        case "map":
            return tree.field, holder.params[1]
        case "dyn" | "object":
            return tree.field, DYN
        case _:
            raise CompileError(f"type '{holder}' does not support field selection", tree.column)


def _getter(key: str, convert: Callable[[Any], Any] | None) -> Callable[[Any], Any]:
    def get(holder: Any) -> Any:
        if not isinstance(holder, dict):
            raise EvaluationError(f"no such overload: a {kind_of(holder)} has no fields")
        value = cast(dict[str, Any], holder).get(key)
        if value is None:
            raise EvaluationError(f"no such key: {key}")
        return convert(value) if convert is not None else value

    return get


def _presence(inner: Run, key: str) -> Run:
    def run(frame: Frame) -> bool:
        holder = inner(frame)
        if isinstance(holder, Optional):
            if not holder.present:
                return False
            holder = holder.value
        if not isinstance(holder, dict):
            raise EvaluationError(f"no such overload: a {kind_of(holder)} has no fields")
        return cast(dict[str, Any], holder).get(key) is not None

    return run


def _maybe_field(holder: Any, get: Callable[[Any], Any]) -> Optional:
    if isinstance(holder, Optional):
        if not holder.present:
            return NONE
        holder = holder.value
    if not isinstance(holder, dict):
        raise EvaluationError(f"no such overload: a {kind_of(holder)} has no fields")
    try:
        value = get(cast(dict[str, Any], holder))
    except EvaluationError:
        return NONE
    return value if isinstance(value, Optional) else Optional(True, value)


def _unwrapped(item: _Compiled, optional: bool, column: int) -> Type:
    if not optional:
        return item.type
    if item.type.kind not in ("optional", "dyn"):
        raise CompileError(f"an entry with ? must be an optional value, it is of type {item.type}", column)
    return item.type.params[0] if item.type.params else DYN


def _truth(value: Any) -> bool:
    if not isinstance(value, bool):
        raise EvaluationError(f"no such overload: a {kind_of(value)} where a bool was expected")
    return value


def _spend(frame: Frame, steps: int) -> None:
    frame[0] -= steps
    if frame[0] < 0:
        raise BudgetExceeded(f"it takes more than {BUDGET:,} steps")


def _weight(value: Any) -> int:
    return len(cast(str, value)) // 10 if isinstance(value, str | list | dict) else 0


def _apply(call: Callable[..., Any], runs: list[Run], convert: Callable[[Any], Any] | None) -> Run:
    def run(frame: Frame) -> Any:
        values = [each(frame) for each in runs]
        _spend(frame, 1 + sum(map(_weight, values)))
        found = call(*values)
        if convert is None:
            return found
        return Optional(found.present, convert(found.value)) if isinstance(found, Optional) else convert(found)

    return run


def _dispatch(name: str, overloads: tuple[Overload, ...], *values: Any) -> Any:
    for overload in overloads:
        if fits(overload, values):
            return overload.run(*values)
    raise EvaluationError(f"no such overload: {name.strip('_')} of {', '.join(map(kind_of, values))}")


def _decide(left: Run, right: Run, decisive: bool, frame: Frame) -> bool:
    """`||` when `decisive` is True, `&&` when False: the decisive value wins over an error on the other side."""
    try:
        if _truth(left(frame)) is decisive:
            return decisive
    except EvaluationError:
        if _truth(right(frame)) is decisive:
            return decisive
        raise
    return _truth(right(frame))


def _variables(kind: Type, count: int) -> tuple[Type, ...]:
    if kind.kind == "map":
        return kind.params if count == 2 else kind.params[:1]
    item = kind.params[0] if kind.params else DYN
    return ((INT if kind.kind == "list" else DYN), item) if count == 2 else (item,)


def _elements(target: Run, slots: tuple[int, ...], kind: Type) -> Callable[[Frame], Iterator[None]]:
    """Set the variables to each element in turn: key or index, and value when there are two."""
    convert = converter(kind.params[-1]) if kind.params else None

    def each(frame: Frame) -> Iterator[None]:
        held = target(frame)
        pairs: Iterator[tuple[Any, Any]]
        if isinstance(held, list):
            items = cast(list[Any], held)
            pairs = ((index, convert(item) if convert else item) for index, item in enumerate(items))
        elif isinstance(held, dict):
            entries = cast(dict[Any, Any], held)
            pairs = ((key, convert(value) if convert else value) for key, value in entries.items())
        else:
            raise EvaluationError(f"no such overload: a {kind_of(held)} has no elements")
        single = 1 if isinstance(held, list) else 0
        for pair in pairs:
            _spend(frame, 1)
            if len(slots) == 2:
                frame[slots[0]], frame[slots[1]] = pair
            else:
                frame[slots[0]] = pair[single]
            yield

    return each


def _comprehension(
    name: str, target: Type, each: Callable[[Frame], Iterator[None]], parts: list[_Compiled], slots: tuple[int, ...]
) -> _Compiled:
    last, slot = parts[-1], slots[0]
    kept = _kept(each, parts[0].run if len(parts) == 2 else None)
    match name:
        case "all" | "exists":
            return _Compiled(BOOL, functools.partial(_search, each, last.run, name == "exists"))
        case "exists_one" | "existsOne":
            return _Compiled(BOOL, lambda frame: sum(_truth(last.run(frame)) for _ in each(frame)) == 1)
        case "filter":
            kind = list_of(target.params[0] if target.params else DYN)
            return _Compiled(kind, lambda frame: [frame[slot] for _ in each(frame) if _truth(last.run(frame))])
        case "transformMap":
            key = target.params[0] if target.kind == "map" else INT
            return _Compiled(map_of(key, last.type), lambda frame: dict((frame[slot], last.run(frame)) for _ in kept(frame)))
        case _:
            return _Compiled(list_of(last.type), lambda frame: [last.run(frame) for _ in kept(frame)])


def _kept(each: Callable[[Frame], Iterator[None]], test: Run | None) -> Callable[[Frame], Iterator[None]]:
    def kept(frame: Frame) -> Iterator[None]:
        for _ in each(frame):
            if test is None or _truth(test(frame)):
                yield

    return kept


def _search(each: Callable[[Frame], Iterator[None]], test: Run, decisive: bool, frame: Frame) -> bool:
    """exists() when `decisive` is True, all() when False."""
    trouble: EvaluationError | None = None
    for _ in each(frame):
        try:
            if _truth(test(frame)) is decisive:
                return decisive
        except EvaluationError as error:
            trouble = trouble or error
    if trouble is not None:
        raise trouble
    return not decisive
