"""The part of JSONPath that printer columns and scale subresources use.

Dotted and bracketed names, indexes, slices of all (`[*]`), and filters `[?(@.a.b=="x")]`. A path is compiled once into
steps; evaluation returns every value found, missing parts give none.
"""

import re
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any, cast

Step = Callable[[Any], Iterable[Any]]

_TOKEN = re.compile(
    r"""\.?(?P<name>[A-Za-z0-9_$@-](?:[\w$@/-]|\\\.)*)
      | \[\s*'(?P<quoted>[^']*)'\s*\] | \[\s*"(?P<double>[^"]*)"\s*\]
      | \[\s*(?P<index>-?\d+)\s*\] | \.?(?P<all>\*) | (?P<each>\[\s*\*\s*\])
      | \[\?\(\s*@\.(?P<left>[\w./\\-]+)\s*(?P<op>==|!=)\s*(?P<right>"[^"]*"|'[^']*'|[\w.-]+)\s*\)\]""",
    re.VERBOSE,
)


def _field(name: str) -> Step:
    def step(value: Any) -> Iterable[Any]:
        if isinstance(value, dict) and name in value:
            yield cast(dict[str, Any], value)[name]

    return step


def _index(at: int) -> Step:
    def step(value: Any) -> Iterable[Any]:
        if isinstance(value, list) and -len(cast(list[Any], value)) <= at < len(cast(list[Any], value)):
            yield cast(list[Any], value)[at]

    return step


def _each(value: Any) -> Iterable[Any]:
    if isinstance(value, list):
        yield from cast(list[Any], value)
    elif isinstance(value, dict):
        yield from cast(dict[str, Any], value).values()


def _filter(left: str, op: str, right: str) -> Step:
    inner, wanted = compile_path(f".{left}"), right.strip("\"'")

    def step(value: Any) -> Iterable[Any]:
        for item in _each(value):
            found = next(iter(inner(item)), None)
            text = ("true" if found else "false") if isinstance(found, bool) else str(found)
            if (found is not None and text == wanted) is (op == "=="):
                yield item

    return step


def _step(found: re.Match[str]) -> Step:
    if found["index"] is not None:
        return _index(int(found["index"]))
    if found["all"] or found["each"]:
        return _each
    if found["left"]:
        return _filter(found["left"], found["op"], found["right"])
    name = found["name"] or found["quoted"] or found["double"] or ""
    return _field(name.replace("\\.", "."))


@lru_cache(maxsize=2048)
def compile_path(text: str) -> Callable[[Any], list[Any]]:
    """A function from a document to the values at the path. Raises ValueError for a path that is not understood."""
    path, at, steps = text.strip().removeprefix("{").removesuffix("}").removeprefix("$"), 0, list[Step]()
    while at < len(path):
        found = _TOKEN.match(path, at)
        if found is None or found.end() == at:
            raise ValueError(f'JSONPath "{text}" is not understood at "{path[at:]}"')
        steps.append(_step(found))
        at = found.end()

    def evaluate(document: Any) -> list[Any]:
        values: list[Any] = [document]
        for step in steps:
            values = [found for value in values for found in step(value)]
        return values

    return evaluate
