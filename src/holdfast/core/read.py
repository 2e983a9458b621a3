"""Reading decoded objects: a missing or null field is a default, never an exception.

Objects come from the API server, which checked their types; nothing here trusts that a field is there.
"""

from datetime import datetime, timedelta
from typing import Any, cast

from holdfast.core.objects import Object
from holdfast.core.times import format_duration, parse_time


def at(obj: Object, *path: str) -> Any:
    """Return what lies at the path, or None."""
    found: Any = obj
    for key in path:
        if not isinstance(found, dict):
            return None
        found = cast("dict[str, Any]", found).get(key)
    return found


def text(obj: Object, *path: str, default: str = "") -> str:
    """Return a string; anything else is the default."""
    found = at(obj, *path)
    return found if isinstance(found, str) and found else default


def number(obj: Object, *path: str) -> int | None:
    """Return an integer, or None."""
    found = at(obj, *path)
    return found if isinstance(found, int) and not isinstance(found, bool) else None


def flag(obj: Object, *path: str) -> bool:
    """Return whether the field is true."""
    return at(obj, *path) is True


def mapping(obj: Object, *path: str) -> Object:
    """Return an object; empty when there is none."""
    found = at(obj, *path)
    return cast("Object", found) if isinstance(found, dict) else {}


def items(obj: Object, *path: str) -> list[Object]:
    """Return the objects of a list."""
    found = at(obj, *path)
    entries = cast("list[Any]", found) if isinstance(found, list) else []
    return [cast("Object", entry) for entry in entries if isinstance(entry, dict)]


def strings(obj: Object, *path: str) -> list[str]:
    """Return the strings of a list."""
    found = at(obj, *path)
    entries = cast("list[Any]", found) if isinstance(found, list) else []
    return [entry for entry in entries if isinstance(entry, str)]


def name_of(obj: Object) -> str:
    """Return metadata.name."""
    return text(obj, "metadata", "name")


def namespace_of(obj: Object) -> str:
    """Return metadata.namespace."""
    return text(obj, "metadata", "namespace")


def uid_of(obj: Object) -> str:
    """Return metadata.uid."""
    return text(obj, "metadata", "uid")


def generation_of(obj: Object) -> int:
    """Return metadata.generation, 1 when it is not set."""
    return number(obj, "metadata", "generation") or 1


def deleting(obj: Object) -> bool:
    """Whether the object is on its way out."""
    return bool(text(obj, "metadata", "deletionTimestamp"))


def conditions_of(obj: Object) -> list[Object]:
    """Return status.conditions."""
    return items(obj, "status", "conditions")


def why_not(obj: Object, otherwise: str) -> str:
    """Return the message of the first condition that is False."""
    false = (item for item in conditions_of(obj) if item.get("status") == "False")
    return next((text(item, "message") for item in false), "") or otherwise


def phase_of(obj: Object) -> str:
    """Return status.phase."""
    return text(obj, "status", "phase")


def owned_by(obj: Object, owner: Object) -> bool:
    """Whether `owner` is the controller, by uid."""
    uid = uid_of(owner)
    return any(reference.get("uid") == uid for reference in items(obj, "metadata", "ownerReferences"))


def lasted(obj: Object, now: datetime) -> str:
    """Return how long ago an object was made, as a Go duration. Creation times are whole seconds, so is this."""
    created = text(obj, "metadata", "creationTimestamp")
    elapsed = now - parse_time(created) if created else timedelta()
    return format_duration(timedelta(seconds=max(round(elapsed.total_seconds()), 0)))
