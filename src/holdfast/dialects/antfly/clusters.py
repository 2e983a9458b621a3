"""What an AntflyCluster tells: where its API is, whether it is ready, and which Secrets its servers have.

Its own operator says in the status whether it is ready; where there is none, `cluster.py` asks the server and says so there.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from holdfast.core.conditions import Condition, condition, find
from holdfast.core.labels import annotation
from holdfast.core.objects import Object
from holdfast.core.read import at, conditions_of, deleting, flag, items, mapping, number, text
from holdfast.dialects.antfly import names
from holdfast.dialects.antfly.decode import Place, Storage

READY: Final = "ClusterReady"
NOT_FOUND: Final = "ClusterNotFound"
NOT_READY: Final = "ClusterNotReady"
CREDENTIALS: Final = "ServersHaveCredentials"

_READY_TYPES: Final = ("Ready", "Available")
_GOOD_PHASES: Final = ("Running", "Ready", "Active", "Healthy")


class Readiness(msgspec.Struct, frozen=True):
    """Whether a cluster can be used; `holds` is None while nobody has said. `usable`: it is there and has an address."""

    holds: bool | None
    reason: str
    message: str
    usable: bool = True

    def condition(self, generation: int) -> Condition:
        """Return it as the condition ClusterReady."""
        return condition(READY, self.holds, self.reason, self.message, generation=generation)


def endpoint(place: Place, obj: Object | None) -> str:
    """Return the URL of a cluster's public API: its annotation, else its Service `<name>-public-api`."""
    given = annotation(obj, names.ENDPOINT) if obj else ""
    if given:
        return given.rstrip("/")
    port = (number(obj, "spec", "publicAPI", "port") if obj else None) or 80
    host = f"{place.name}-public-api.{place.namespace}.svc.cluster.local"
    return f"http://{host}" if port == 80 else f"http://{host}:{port}"


def readiness(place: Place, obj: Object | None) -> Readiness:
    """Judge a cluster by its object."""
    if obj is None:
        return Readiness(False, NOT_FOUND, f"AntflyCluster {place} not found: create it, or correct clusterRef", usable=False)
    if deleting(obj):
        return Readiness(False, NOT_READY, f"AntflyCluster {place} is being deleted")
    if not annotation(obj, names.ENDPOINT) and at(obj, "spec", "publicAPI") is not None and not _has_service(obj):
        why = f"AntflyCluster {place} has no public API: set spec.publicAPI.enabled, or annotate it with {names.ENDPOINT}"
        return Readiness(False, NOT_READY, why, usable=False)
    for type_ in _READY_TYPES:
        told = find(conditions_of(obj), type_)
        if told is not None:
            return _told(place, told)
    phase = text(obj, "status", "phase")
    if phase:
        return Readiness(phase in _GOOD_PHASES, *_phase_words(place, phase))
    return Readiness(None, "NotChecked", f"AntflyCluster {place} exists; it has not said yet whether it is ready")


def credentials(place: Place, obj: Object | None, namespace: str, storage: Storage, generation: int) -> Sequence[Condition]:
    """Say who really reads and writes the storage, for an object of `namespace` that names a Secret."""
    if not storage.secret or obj is None:
        return ()
    given = [*dict.fromkeys(_secrets(obj))]
    listed = f" (from {', '.join(given)})" if given else ""
    if place.namespace == namespace and storage.secret in given:
        message = (
            f"AntflyCluster {place} puts Secret {storage.secret} into the environment of its servers; they read and write"
            f" {storage.location} with it"
        )
        return (condition(CREDENTIALS, True, "SameSecret", message, generation=generation),)
    message = (
        f"the servers of AntflyCluster {place} read and write {storage.location} themselves, with their own credentials"
        f"{listed}; of Secret {storage.secret} Holdfast uses only the key ANTFLY_TOKEN, unless old backups shall be deleted."
        " A run fails only when the servers have no access"
    )
    return (condition(CREDENTIALS, False, "ServersUseTheirOwn", message, generation=generation),)


def _has_service(obj: Object) -> bool:
    return flag(obj, "spec", "publicAPI", "enabled")


def _told(place: Place, told: Object) -> Readiness:
    said = text(told, "message")
    if told.get("status") == "True":
        return Readiness(True, "ClusterReady", f"AntflyCluster {place} is ready")
    holds = None if told.get("status") == "Unknown" else False
    return Readiness(holds, NOT_READY, f"AntflyCluster {place} is not ready{f': {said}' if said else ''}")


def _phase_words(place: Place, phase: str) -> tuple[str, str]:
    if phase in _GOOD_PHASES:
        return "ClusterReady", f"AntflyCluster {place} is ready"
    return NOT_READY, f"AntflyCluster {place} is not ready: its phase is {phase}"


def _secrets(obj: Object) -> list[str]:
    """Return the Secrets in the environment of the servers that write backups, which the mode chooses."""
    roles = ("swarm",) if text(obj, "spec", "mode") == "Swarm" else ("metadataNodes", "dataNodes")
    sources = [source for role in roles for source in items(mapping(obj, "spec", role), "envFrom")]
    return [name for source in sources if (name := text(source, "secretRef", "name"))]
