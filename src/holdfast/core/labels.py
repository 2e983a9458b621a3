"""The labels and annotations that Holdfast puts on what it makes, by which it finds it again."""

from typing import Final

from holdfast.core.objects import Object

OWNER_UID: Final = "holdfast.dev/owner-uid"
"""Label: the uid of the object for which this one was made. What lacks it, or has another, is not ours to touch."""

OWNER: Final = "holdfast.dev/owner"
"""Annotation: the same owner for people and for garbage collection, `Kind.group/namespace/name`."""

RUN: Final = "holdfast.dev/run"
"""Label: the plan's name, bounded."""

STEP: Final = "holdfast.dev/step"
"""Label: the step's name, bounded."""

MOVER: Final = "holdfast.dev/mover"
"""Label on a Job: the mover that fills it. Such a Job must leave a report."""

TELLS: Final = "holdfast.dev/tells"
"""Annotation on a pod: the container whose output holds its progress lines, where that is not the first one."""

APPLIED: Final = "holdfast.dev/applied"
"""Annotation: digest of what was last applied, so that a field that is wanted no more is noticed."""


def owner_uid(obj: Object) -> str:
    """Return the uid of the object for which this one was made; empty when it says none."""
    return obj["metadata"].get("labels", {}).get(OWNER_UID, "")


def annotation(obj: Object, key: str) -> str:
    """Return an annotation; empty when there is none."""
    found: dict[str, str] = obj["metadata"].get("annotations") or {}
    return found.get(key, "")
