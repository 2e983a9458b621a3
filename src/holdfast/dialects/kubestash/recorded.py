"""What a Snapshot says about its data: its components, where each lies, by which restic snapshots, and its record in the store.

Retention, wiping and restores read Snapshots only through this module. The record is the Snapshot as it was when it ended; from
it a new cluster knows the backup again.
"""

from collections.abc import Iterable, Mapping
from typing import Final

import msgspec

from holdfast.core.calls import Forget, Forgotten, Records
from holdfast.core.objects import Object
from holdfast.core.read import items, mapping, name_of, text
from holdfast.dialects.kubestash import names, storage
from holdfast.dialects.kubestash.decode import comma_list

TERMINAL: Final = ("Succeeded", "Failed")
_META: Final = ("name", "namespace", "labels", "annotations")
_STATS: Final = ("id", "hostPath", "size", "uploaded", "summary")

Forgetting = Mapping[tuple[str, str], tuple[Forgotten, ...]]
"""What is forgotten, by the path of the restic repository below its Repository, and the component that it holds."""


def components_of(snapshot: Object) -> tuple[str, ...]:
    """Return the names of the components that the Snapshot was started with."""
    return comma_list(text(snapshot, "metadata", "annotations", names.COMPONENTS))


def volume_snapshots_of(snapshot: Object) -> dict[str, dict[str, str]]:
    """Return the VolumeSnapshots that a Snapshot was started with: by component, then by claim."""
    noted = text(snapshot, "metadata", "annotations", names.VOLUME_SNAPSHOTS)
    return msgspec.json.decode(noted, type=dict[str, dict[str, str]]) if noted else {}


def restic_ids(component: Object) -> tuple[str, ...]:
    """Return the restic snapshots of a component."""
    return tuple(text(entry, "id") for entry in items(component, "resticStats") if text(entry, "id"))


def has_data(snapshot: Object) -> bool:
    """Whether any restic repository holds something of the Snapshot."""
    return any(restic_ids(status) for status in mapping(snapshot, "status", "components").values())


def by_path(snapshots: Iterable[Object]) -> dict[tuple[str, str], tuple[Forgotten, ...]]:
    """Group what goes by the restic repository that holds it."""
    found: dict[tuple[str, str], tuple[Forgotten, ...]] = {}
    for item in snapshots:
        for component, status in mapping(item, "status", "components").items():
            if ids := restic_ids(status):
                key = (text(status, "path"), component)
                found[key] = (*found.get(key, ()), Forgotten(name_of(item), ids))
    return found


def forgets(
    repository: str, directory: str, opened: storage.Store, encryption: storage.Encryption, what: Forgetting
) -> tuple[Forget, ...]:
    """Return what the retention mover forgets in each restic repository of a Repository."""
    return tuple(
        Forget(
            storage.repository_target(opened, encryption, name=repository, path=f"{directory}/{path}", component=component),
            forgotten,
        )
        for (path, component), forgotten in sorted(what.items())
    )


def records(directory: str, opened: storage.Store, *, write: Iterable[Object] = (), delete: Iterable[str] = ()) -> Records:
    """Return the records of Snapshots to write and to delete below a Repository's directory."""
    return Records(opened.at(directory), {name_of(item): document(item) for item in write}, tuple(delete))


def document(snapshot: Object) -> Object:
    """Return the record of a Snapshot: the object without what belongs to one cluster, and without its progress."""
    status = {key: value for key, value in mapping(snapshot, "status").items() if key != "components"}
    components = {name: _component(entry) for name, entry in mapping(snapshot, "status", "components").items()}
    return {
        "apiVersion": snapshot["apiVersion"],
        "kind": snapshot["kind"],
        "metadata": {key: value for key in _META if (value := snapshot["metadata"].get(key))},
        "spec": mapping(snapshot, "spec"),
        "status": {**status, **({"components": components} if components else {})},
    }


def _component(entry: Object) -> Object:
    stats = [{key: item[key] for key in _STATS if key in item} for item in items(entry, "resticStats")]
    return {**entry, **({"resticStats": stats} if stats else {})}
