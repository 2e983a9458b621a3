"""The table of functions: overloads by name, and which of them fit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from holdfast.schema.cel.types import DYN, Type, substitute, unify
from holdfast.schema.cel.values import kind_of

Function = (
    Callable[[], Any]
    | Callable[[Any], Any]
    | Callable[[Any, Any], Any]
    | Callable[[Any, Any, Any], Any]
    | Callable[[Any, Any, Any, Any], Any]
)
"""What an overload runs: values in, a value out; it may raise EvaluationError."""


class Overload(msgspec.Struct, frozen=True):
    """One signature: the receiver of a method is its first parameter."""

    params: tuple[Type, ...]
    result: Type
    run: Callable[..., Any]
    method: bool


class Match(msgspec.Struct, frozen=True):
    """What fits a call: the overloads in question and the type of the result as far as it is known."""

    overloads: tuple[Overload, ...]
    result: Type


class Table:
    """Functions by name. Filled once at import, read only after."""

    def __init__(self) -> None:
        self._held: dict[str, list[Overload]] = {}

    def add(self, name: str, params: Sequence[Type], result: Type, run: Function, *, method: bool = False) -> None:
        """Add an overload."""
        self._held.setdefault(name, []).append(Overload(tuple(params), result, run, method))

    def both(self, name: str, params: Sequence[Type], result: Type, run: Function) -> None:
        """Add an overload that may be called as a function and as a method."""
        self.add(name, params, result, run)
        self.add(name, params, result, run, method=True)

    def __contains__(self, name: str) -> bool:
        return name in self._held

    def match(self, name: str, args: Sequence[Type], *, method: bool) -> Match | None:
        """The overloads that accept these types; None when none does."""
        found: list[Overload] = []
        results: list[Type] = []
        for overload in self._held.get(name, ()):
            bound: dict[str, Type] = {}
            if overload.method != method or len(overload.params) != len(args):
                continue
            if all(unify(wanted, given, bound) for wanted, given in zip(overload.params, args, strict=True)):
                found.append(overload)
                results.append(substitute(overload.result, bound))
        if not found:
            return None
        certain = all(result == results[0] for result in results)
        return Match(tuple(found), results[0] if certain else DYN)


def fits(overload: Overload, values: Sequence[Any]) -> bool:
    """Whether values of types that were not known at compile time fit an overload."""
    return all(_fits(wanted, value) for wanted, value in zip(overload.params, values, strict=True))


def _fits(wanted: Type, value: Any) -> bool:
    kind = kind_of(value)
    return wanted.kind in _ANY or kind == wanted.kind or (kind == "map" and wanted.kind == "object")


_ANY: Final = ("var", "dyn")
