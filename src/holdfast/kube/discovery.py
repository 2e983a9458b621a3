"""What an API server serves: every resource in the version that its group prefers, with the verbs it allows."""

from collections.abc import Sequence
from typing import Any, Final, cast

import msgspec

from holdfast.kube.client import Client
from holdfast.kube.codec import decode
from holdfast.kube.errors import ApiError, NotFound
from holdfast.kube.resource import Resource

_CORE: Final = ("", "v1")


class Served(msgspec.Struct, frozen=True):
    """One resource and its verbs."""

    resource: Resource
    verbs: frozenset[str]


class Discovery(msgspec.Struct, frozen=True):
    """Every resource that could be asked for, by name, and the groups whose servers did not answer with their error."""

    served: tuple[Served, ...]
    failed: tuple[tuple[str, ApiError], ...] = ()


async def discover(client: Client) -> Discovery:
    """Ask for all groups. A resource that the preferred version lacks is taken from the next one that has it."""
    found: dict[tuple[str, str], Served] = {}
    failed: dict[str, ApiError] = {}
    for group, version in [_CORE, *await _versions(client)]:
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            listing = decode(await client.get_raw(path))
        except NotFound:
            continue
        except ApiError as error:
            failed[group] = error
            continue
        for entry in cast("list[dict[str, Any]]", listing.get("resources") or []):
            if "/" not in entry["name"]:
                resource = Resource(group, version, entry["kind"], entry["name"], bool(entry.get("namespaced")))
                found.setdefault((group, resource.plural), Served(resource, frozenset(entry.get("verbs") or ())))
    return Discovery(tuple(found[key] for key in sorted(found)), tuple(sorted(failed.items())))


async def _versions(client: Client) -> Sequence[tuple[str, str]]:
    """Return group and version of everything served beside the core, the preferred version of a group first."""
    groups = cast("list[dict[str, Any]]", decode(await client.get_raw("/apis")).get("groups") or [])
    found: list[tuple[str, str]] = []
    for group in groups:
        preferred = str(cast("dict[str, Any]", group.get("preferredVersion") or {}).get("version", ""))
        versions = cast("list[dict[str, Any]]", group.get("versions") or [])
        others = [str(item["version"]) for item in versions if item["version"] != preferred]
        found += [(group["name"], version) for version in [preferred, *others] if version]
    return found
