"""Carrying out a parsed template: text and output in order, with variables, branches and functions.

What it may cost is bounded: steps, the depth of templates that call each other, and the size of what it writes. A function
gets plain values and returns one; whatever it raises becomes an error with the template's name and line.
"""

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, cast

from holdfast.templates.errors import TemplateError
from holdfast.templates.nodes import (
    Branch,
    Call,
    Command,
    Dot,
    Function,
    Group,
    Literal,
    Node,
    Operand,
    Output,
    Pipe,
    Text,
    Variable,
)
from holdfast.templates.values import is_list, kind_of, printed, true

MOST_STEPS: Final = 200_000
LARGEST: Final = 4 << 20
"""Characters that one template may write."""
_DEEPEST: Final = 50

_NOTHING: Final = object()


class _Jumped(Exception):
    """`break` or `continue` on its way to its range."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Evaluation:
    """One rendering of one template."""

    def __init__(
        self,
        name: str,
        defined: Mapping[str, tuple[Node, ...]],
        functions: Mapping[str, Callable[..., Any]],
        data: object,
        *,
        strict: bool,
    ) -> None:
        """`strict`: a key that a mapping does not have is an error instead of nothing."""
        self._name, self._defined, self._data, self._strict = name, defined, data, strict
        self._functions = {**functions, "include": self._include}
        self._written: list[str] = []
        self._size = self._steps = self._depth = self._line = 0

    def run(self, nodes: Sequence[Node]) -> str:
        """Return what the template writes. Raises TemplateError."""
        try:
            self._all(nodes, self._data, [[("", self._data)]])
        except TemplateError as error:
            raise error.at(self._name, self._line) from error
        except RecursionError as error:
            raise TemplateError("is nested too deep", name=self._name, line=self._line) from error
        return "".join(self._written)

    def _all(self, nodes: Sequence[Node], dot: object, scopes: list[list[tuple[str, object]]]) -> None:
        for node in nodes:
            self._step()
            if isinstance(node, Text):
                self._write(node.text)
            elif isinstance(node, Output):
                value = self._pipe(node.pipe, dot, scopes)
                if not node.pipe.variables:
                    self._write(printed(value))
            elif isinstance(node, Branch):
                self._branch(node, dot, scopes)
            elif isinstance(node, Call):
                self._line = node.line
                self._template(node.name, self._pipe(node.pipe, dot, scopes) if node.pipe else None)
            else:
                raise _Jumped(node.kind)

    def _branch(self, node: Branch, dot: object, scopes: list[list[tuple[str, object]]]) -> None:
        scopes.append([])
        try:
            if node.kind == "range":
                self._range(node, dot, scopes)
                return
            value = self._pipe(node.pipe, dot, scopes)
            if true(value):
                self._inner(node.body, value if node.kind == "with" else dot, scopes)
            else:
                self._inner(node.otherwise, dot, scopes)
        finally:
            scopes.pop()

    def _inner(self, nodes: Sequence[Node], dot: object, scopes: list[list[tuple[str, object]]]) -> None:
        scopes.append([])
        try:
            self._all(nodes, dot, scopes)
        finally:
            scopes.pop()

    def _range(self, node: Branch, dot: object, scopes: list[list[tuple[str, object]]]) -> None:
        pairs = self._pairs(self._commands(node.pipe, dot, scopes))
        if not pairs:
            self._inner(node.otherwise, dot, scopes)
            return
        names = node.pipe.variables
        for key, item in pairs:
            self._step()
            values = (item,) if len(names) == 1 else (key, item)
            if node.pipe.declares:
                scopes[-1][:] = list(zip(names, values, strict=True)) if names else []
            else:
                for name, value in zip(names, values, strict=False):
                    self._assign(name, value, scopes)
            try:
                self._inner(node.body, item, scopes)
            except _Jumped as jump:
                if jump.kind == "break":
                    return

    def _pairs(self, value: object) -> list[tuple[object, object]]:
        if value is None:
            return []
        if isinstance(value, Mapping):
            pairs = cast(Mapping[Any, Any], value)
            return sorted(pairs.items(), key=lambda pair: str(pair[0]))
        if isinstance(value, int) and not isinstance(value, bool):
            if value > MOST_STEPS:
                raise TemplateError(f"range over {value} is too long (at most {MOST_STEPS})")
            return [(at, at) for at in range(value)]
        if is_list(value):
            return list(enumerate(cast(Sequence[object], value)))
        raise TemplateError(f"range can't go over a {kind_of(value)}")

    def _pipe(self, pipe: Pipe, dot: object, scopes: list[list[tuple[str, object]]]) -> object:
        value = self._commands(pipe, dot, scopes)
        for name in pipe.variables:
            if pipe.declares:
                scopes[-1].append((name, value))
            else:
                self._assign(name, value, scopes)
        return value

    def _commands(self, pipe: Pipe, dot: object, scopes: list[list[tuple[str, object]]]) -> object:
        self._line = pipe.line
        value: object = _NOTHING
        for command in pipe.commands:
            value = self._command(command, dot, scopes, value)
        return value

    def _command(self, command: Command, dot: object, scopes: list[list[tuple[str, object]]], last: object) -> object:
        first, *rest = command.operands
        if not isinstance(first, Function):
            return self._operand(first, dot, scopes)
        if first.name in ("and", "or"):
            return self._shortcut(first.name, rest, dot, scopes, last)
        values = [self._operand(operand, dot, scopes) for operand in rest]
        result = self._call(first.name, [*values, *([] if last is _NOTHING else [last])])
        return self._take(result, first.fields)

    def _shortcut(
        self, name: str, operands: Sequence[Operand], dot: object, scopes: list[list[tuple[str, object]]], last: object
    ) -> object:
        """`and` and `or` look at an argument only while the result is open."""
        value: object = _NOTHING
        for operand in operands:
            value = self._operand(operand, dot, scopes)
            if true(value) == (name == "or"):
                return value
        value = value if last is _NOTHING else last
        if value is _NOTHING:
            raise TemplateError(f"{name}: wants at least one argument")
        return value

    def _operand(self, operand: Operand, dot: object, scopes: list[list[tuple[str, object]]]) -> object:
        self._step()
        if isinstance(operand, Literal):
            return operand.value
        if isinstance(operand, Dot):
            return self._take(dot, operand.fields)
        if isinstance(operand, Variable):
            return self._take(self._variable(operand.name, scopes), operand.fields)
        if isinstance(operand, Group):
            return self._take(self._commands(operand.pipe, dot, scopes), operand.fields)
        return self._take(self._call(operand.name, []), operand.fields)

    def _variable(self, name: str, scopes: list[list[tuple[str, object]]]) -> object:
        for scope in reversed(scopes):
            for known, value in reversed(scope):
                if known == name:
                    return value
        raise TemplateError(f"variable ${name} is not declared")

    def _assign(self, name: str, value: object, scopes: list[list[tuple[str, object]]]) -> None:
        for scope in reversed(scopes):
            for at in range(len(scope) - 1, -1, -1):
                if scope[at][0] == name:
                    scope[at] = (name, value)
                    return
        raise TemplateError(f"variable ${name} is not declared")

    def _take(self, value: object, fields: Sequence[str]) -> object:
        for field in fields:
            if value is None:
                raise TemplateError(f"nothing is there to take .{field} of")
            if not isinstance(value, Mapping):
                raise TemplateError(f"a {kind_of(value)} has no field .{field}")
            mapping = cast(Mapping[str, object], value)
            if field not in mapping and self._strict:
                raise TemplateError(f"there is no {field!r} (known: {', '.join(sorted(map(str, mapping))) or 'nothing'})")
            value = mapping[field] if field in mapping or hasattr(mapping, "__missing__") else None
        return value

    def _call(self, name: str, values: list[object]) -> object:
        function = self._functions[name]
        try:
            inspect.signature(function).bind(*values)
        except TypeError as error:
            raise TemplateError(f"{name}: {error}") from error
        try:
            return function(*values)
        except TemplateError as error:
            raise error if error.line else TemplateError(f"{name}: {error.cause}") from error
        except (ValueError, TypeError, KeyError, IndexError, ArithmeticError, AttributeError) as error:
            raise TemplateError(f"{name}: {error}") from error

    def _template(self, name: str, value: object) -> None:
        if name not in self._defined:
            raise TemplateError(f"template {name!r} is not defined")
        self._depth += 1
        if self._depth > _DEEPEST:
            raise TemplateError(f"templates call each other more than {_DEEPEST} deep")
        self._all(self._defined[name], value, [[("", value)]])
        self._depth -= 1

    def _include(self, name: Any, value: object = None) -> str:
        """What `template` would write, as a value."""
        before, self._written = self._written, []
        try:
            self._template(name, value)
            return "".join(self._written)
        finally:
            self._written = before

    def _write(self, text: str) -> None:
        self._size += len(text)
        if self._size > LARGEST:
            raise TemplateError(f"writes more than {LARGEST} characters")
        self._written.append(text)

    def _step(self) -> None:
        self._steps += 1
        if self._steps > MOST_STEPS:
            raise TemplateError(f"does not end within {MOST_STEPS} steps")
