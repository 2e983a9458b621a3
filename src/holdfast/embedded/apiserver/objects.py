"""Objects are plain dicts; these look into them without trusting their shape.

What a caller sends may hold anything anywhere. A part that is missing, or is not what it should be, reads as empty.
"""

from typing import Any, cast

Object = dict[str, Any]


def lookup(obj: Any, *path: str) -> Any:
    """The value at a path of field names, or None."""
    for step in path:
        if obj.__class__ is not dict:
            return None
        obj = obj.get(step)
    return obj


def part(obj: Any, *path: str) -> Object:
    """The object at a path; a new empty one when there is none."""
    for step in path:
        if obj.__class__ is not dict:
            return {}
        obj = obj.get(step)
    return obj if obj.__class__ is dict else {}


def parts(obj: Any, *path: str) -> list[Object]:
    """The objects of the list at a path; items that are no objects are left out."""
    found = lookup(obj, *path)
    items = cast(list[Any], found) if isinstance(found, list) else []
    return [cast(Object, item) for item in items if isinstance(item, dict)]


def texts(obj: Any, *path: str) -> list[str]:
    """The strings of the list at a path."""
    found = lookup(obj, *path)
    items = cast(list[Any], found) if isinstance(found, list) else []
    return [item for item in items if isinstance(item, str)]
