"""Reading plain objects: an absent or null field is an empty one, at any depth."""

from collections.abc import Mapping
from typing import Any, cast

from holdfast.core.objects import Object


def mapping(source: Mapping[str, Any] | None, *path: str) -> Object:
    """Return the map at a path; an empty one where there is none."""
    found = _at(source, path)
    return cast(Object, found) if isinstance(found, dict) else {}


def items(source: Mapping[str, Any] | None, *path: str) -> list[Any]:
    """Return the list at a path; an empty one where there is none."""
    found = _at(source, path)
    return cast(list[Any], found) if isinstance(found, list) else []


def _at(source: Mapping[str, Any] | None, path: tuple[str, ...]) -> object:
    found: Any = source
    for name in path:
        if not isinstance(found, Mapping):
            return None
        found = cast(Mapping[str, Any], found).get(name)
    return found
