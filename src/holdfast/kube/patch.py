"""Small patches: what to send so that an object becomes what we want, and nothing when it is so already."""

from typing import Any, cast

from holdfast.kube.objects import Object


def merge_diff(old: Object, new: Object) -> Object:
    """Return the JSON merge patch (RFC 7386) from `old` to `new`, empty when they are equal; what is gone becomes null.

    A value None in `new` cannot be written by a merge patch and counts as absent.
    """
    patch: Object = {key: None for key in old if key not in new or new[key] is None}
    for key, value in new.items():
        if value is None:
            continue
        before = old.get(key)
        if isinstance(before, dict) and isinstance(value, dict):
            inner = merge_diff(cast(Object, before), cast(Object, value))
            if inner:
                patch[key] = inner
        elif key not in old or not _same(before, value):
            patch[key] = value
    return patch


def contains(live: Any, owned: Any) -> bool:
    """Whether `live` has everything that `owned` says: maps may have more fields, lists must have the same length.

    This is how a no-op apply is spared: the fields that we would apply are there already.
    """
    if isinstance(owned, dict):
        fields = cast(Object, owned)
        present = cast(Object, live) if isinstance(live, dict) else None
        return present is not None and all(key in present and contains(present[key], value) for key, value in fields.items())
    if isinstance(owned, list):
        wanted = cast("list[Any]", owned)
        found = cast("list[Any]", live) if isinstance(live, list) else None
        return found is not None and len(found) == len(wanted) and all(map(contains, found, wanted))
    return _same(live, owned)


def _same(left: Any, right: Any) -> bool:
    """Equality as JSON means it: true is not 1."""
    return (type(left) is type(right) and left == right) or (_number(left) and _number(right) and left == right)


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
