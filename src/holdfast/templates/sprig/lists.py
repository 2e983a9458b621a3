"""Sprig's functions on lists. None of them changes the list that it is given."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from holdfast.templates.errors import TemplateError
from holdfast.templates.sprig.arguments import bounded, items, whole
from holdfast.templates.values import text_of, true


def _list(*values: Any) -> list[Any]:
    return list(values)


def _first(value: object) -> Any:
    found = items(value)
    return found[0] if found else None


def _last(value: object) -> Any:
    found = items(value)
    return found[-1] if found else None


def _rest(value: object) -> list[Any]:
    return list(items(value)[1:])


def _initial(value: object) -> list[Any]:
    return list(items(value)[:-1])


def _append(value: object, item: Any) -> list[Any]:
    return [*items(value), item]


def _prepend(value: object, item: Any) -> list[Any]:
    return [item, *items(value)]


def _concat(*values: object) -> list[Any]:
    return [item for value in values for item in items(value)]


def _reverse(value: object) -> list[Any]:
    return list(reversed(items(value)))


def _uniq(value: object) -> list[Any]:
    found: list[Any] = []
    for item in items(value):
        if not _has(item, found):
            found.append(item)
    return found


def _has(item: Any, value: object) -> bool:
    return any(type(item) is type(other) and item == other for other in items(value))


def _without(value: object, *gone: Any) -> list[Any]:
    return [item for item in items(value) if not _has(item, gone)]


def _compact(value: object) -> list[Any]:
    return [item for item in items(value) if true(item)]


def _sort_alpha(value: object) -> list[str]:
    return sorted(text_of(item) for item in items(value))


def _chunk(size: int, value: object) -> list[list[Any]]:
    if size < 1:
        raise TemplateError("the size of a chunk must be at least 1")
    found = items(value)
    return [list(found[at : at + size]) for at in range(0, len(found), size)]


def _numbers(start: int, stop: int, step: int) -> list[int]:
    if step == 0 or (stop - start) * step <= 0:
        return []
    bounded(abs((stop - start) // step))
    return list(range(start, stop, step))


def _until(count: int) -> list[int]:
    return _numbers(0, count, 1 if count >= 0 else -1)


def _until_step(start: int, stop: int, step: int) -> list[int]:
    return _numbers(start, stop, step)


def _seq(*bounds: int) -> str:
    first, step, last = _bounds([whole(bound) for bound in bounds])
    return " ".join(str(number) for number in _numbers(first, last + (1 if step > 0 else -1), step))


def _bounds(bounds: Sequence[int]) -> tuple[int, int, int]:
    if len(bounds) == 3:
        return bounds[0], bounds[1], bounds[2]
    if len(bounds) == 2:
        return bounds[0], 1 if bounds[0] <= bounds[1] else -1, bounds[1]
    if len(bounds) == 1:
        return 1, 1 if bounds[0] >= 1 else -1, bounds[0]
    raise TemplateError("wants one to three numbers")


LISTS: Final[Mapping[str, Callable[..., Any]]] = {
    "append": _append,
    "push": _append,
    "chunk": _chunk,
    "compact": _compact,
    "concat": _concat,
    "first": _first,
    "has": _has,
    "initial": _initial,
    "last": _last,
    "list": _list,
    "tuple": _list,
    "prepend": _prepend,
    "rest": _rest,
    "reverse": _reverse,
    "seq": _seq,
    "sortAlpha": _sort_alpha,
    "uniq": _uniq,
    "until": _until,
    "untilStep": _until_step,
    "without": _without,
}
