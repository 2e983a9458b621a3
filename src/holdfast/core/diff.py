"""Comparisons that keep the engine from writing: is what we own already as wanted, and what would a patch have to say?"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

import msgspec

from holdfast.core.labels import APPLIED
from holdfast.core.objects import Object


def _is_map(value: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(value, dict)  # decoded JSON has no other mapping, and the abstract class is slow to ask for


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, list | tuple)


def covers(actual: object, wanted: object) -> bool:
    """Whether `actual` holds all of `wanted`: extra fields are others' business, lists count element by element."""
    if _is_map(wanted):
        return _is_map(actual) and all(key in actual and covers(actual[key], value) for key, value in wanted.items())
    if _is_list(wanted):
        if not _is_list(actual) or len(actual) != len(wanted):
            return False
        return all(covers(one, other) for one, other in zip(actual, wanted, strict=True))
    return actual == wanted


def digest(wanted: Object) -> str:
    """Return a short digest of an object as wanted, the same for every order of keys."""
    return hashlib.sha256(msgspec.json.encode(wanted, order="deterministic")).hexdigest()[:16]


def stamped(wanted: Object) -> Object:
    """Return the object with its own digest as an annotation."""
    meta = wanted["metadata"]
    return {**wanted, "metadata": {**meta, "annotations": {**(meta.get("annotations") or {}), APPLIED: digest(wanted)}}}


def merge_patch(old: Mapping[str, object], new: Mapping[str, object]) -> dict[str, Any]:
    """Return the smallest JSON merge patch from `old` to `new`: empty when equal, None where a field goes.

    A None in `new` means absent, as it must in a merge patch. Lists are replaced whole.
    """
    patch: dict[str, Any] = {key: None for key in old if old[key] is not None and new.get(key) is None}
    for key, value in new.items():
        before = old.get(key)
        if value is None:
            continue
        if _is_map(value) and _is_map(before):
            if inner := merge_patch(before, value):
                patch[key] = inner
        elif before is None or without_nulls(before) != without_nulls(value):
            patch[key] = without_nulls(value)
    return patch


def without_nulls(value: object) -> object:
    """Return plain JSON without the keys that hold null."""
    if _is_map(value):
        return {key: without_nulls(inner) for key, inner in value.items() if inner is not None}
    return [without_nulls(inner) for inner in value] if _is_list(value) else value
