"""What handlers made in a cluster in memory, as files that people can read."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from tests.unit.kubestash.world import World

from holdfast.core.objects import Object


def rendered(world: World, told: Sequence[str], made: Sequence[str], given: frozenset[str] = frozenset()) -> list[Object]:
    """Return the statuses of some kinds, and the children of others but for those whose names were given."""
    statuses = [
        {"kind": obj["kind"], "name": obj["metadata"]["name"], "status": obj["status"]}
        for kind in told
        for obj in world.all(kind)
    ]
    children = [_made(obj) for kind in made for obj in world.all(kind) if obj["metadata"]["name"] not in given]
    return [msgspec.json.decode(msgspec.json.encode(obj)) for obj in (*statuses, *children)]


def _made(obj: Object) -> Object:
    """Return a child with its mover's call as YAML, and without what the world filled in."""
    meta = {key: value for key, value in obj["metadata"].items() if key not in ("uid", "creationTimestamp", "generation")}
    meta["annotations"] = {
        key: value for key, value in (meta.get("annotations") or {}).items() if key != "holdfast.dev/applied"
    }
    found = msgspec.json.decode(msgspec.json.encode({**obj, "metadata": meta}))
    spec = found.get("spec", {}).get("jobTemplate", {}).get("spec", found.get("spec", {}))
    for container in spec.get("template", {}).get("spec", {}).get("containers", []):
        for item in container.get("env", []):
            if item["name"] == "HOLDFAST_CALL":
                item["value"] = msgspec.json.decode(item["value"])
    return found
