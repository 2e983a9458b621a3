"""Sets of fields in the form of `metadata.managedFields` (FieldsV1), and the arithmetic that ownership needs.

A set is a nested dict of steps: `f:name` for a field, `k:{"name":"x"}` for an item of a keyed list, `v:"x"` for a member
of a set. `.` says that the value itself is a member beside what is inside it; an empty dict is a member without an inside.
All functions return new sets, or parts of the old ones, and change nothing.
"""

from collections.abc import Iterator
from typing import Any, Final, cast

from holdfast.kube.codec import CodecError, decode_any, encode

FieldSet = dict[str, Any]
Path = tuple[str, ...]

ITSELF: Final = "."
_ALONE: Final[FieldSet] = {ITSELF: {}}
_DEEPEST: Final = 64


def _open(inner: FieldSet) -> FieldSet:
    """A member without an inside, spelled out."""
    return inner or _ALONE


def _closed(inner: FieldSet) -> FieldSet:
    return {} if len(inner) == 1 and ITSELF in inner else inner


def union(left: FieldSet, right: FieldSet) -> FieldSet:
    """All members of both."""
    result = dict(left)
    for step, inner in right.items():
        held = result.get(step)
        if held is None:
            result[step] = inner
        elif held != inner:
            result[step] = _closed(union(_open(held), _open(inner)))
    return result


def difference(left: FieldSet, right: FieldSet) -> FieldSet:
    """The members of `left` that are not members of `right`."""
    result: FieldSet = {}
    for step, inner in left.items():
        other = right.get(step)
        if other is None:
            result[step] = inner
        elif step != ITSELF and (rest := difference(_open(inner), _open(other))):
            result[step] = _closed(rest)
    return result


def covers(left: FieldSet, right: FieldSet) -> bool:
    """Whether every member of `right` is a member of `left`."""
    for step, inner in right.items():
        held = left.get(step)
        if held is None or (held != inner and not covers(_open(held), _open(inner))):
            return False
    return True


def intersection(left: FieldSet, right: FieldSet) -> FieldSet:
    """The members of both."""
    result: FieldSet = {}
    for step, inner in left.items():
        other = right.get(step)
        if other is None:
            continue
        if step == ITSELF:
            result[step] = {}
        elif both := intersection(_open(inner), _open(other)):
            result[step] = _closed(both)
    return result


def members(found: FieldSet, head: Path = ()) -> Iterator[Path]:
    """The path of every member."""
    for step, inner in found.items():
        if step == ITSELF:
            yield head
        elif inner:
            yield from members(inner, (*head, step))
        else:
            yield (*head, step)


def inside(found: FieldSet, path: Path) -> bool:
    """Whether the set has a member at the path or inside of it."""
    for step in path:
        inner = found.get(step)
        if inner is None:
            return False
        found = inner
    return True


def is_sound(found: Any, depth: int = 0) -> bool:
    """Whether a value that a caller sent has the form of a set."""
    if not isinstance(found, dict) or depth > _DEEPEST:
        return False
    return all(_is_step(step) and is_sound(inner, depth + 1) for step, inner in cast(FieldSet, found).items())


def _is_step(step: str) -> bool:
    if step == ITSELF or step.startswith("f:"):
        return True
    try:
        value = decode_any(step[2:].encode())
    except CodecError:
        return False
    return step.startswith("v:") or (step.startswith("k:") and isinstance(value, dict))


def shown(path: Path) -> str:
    """A path as a refusal names it: `.spec.ports[port=80,protocol="TCP"].name`."""
    return "".join(_shown(step) for step in path)


def _shown(step: str) -> str:
    if step.startswith("f:"):
        return f".{step[2:]}"
    if step.startswith("v:"):
        return f"[={step[2:]}]"
    keys = cast(dict[str, Any], decode_any(step[2:].encode()))
    return "[" + ",".join(f"{key}={encode(value).decode()}" for key, value in keys.items()) + "]"
