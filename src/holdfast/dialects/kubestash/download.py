"""What it takes to bring the files of a Snapshot to a machine outside of the cluster: a restore for each component."""

from pathlib import Path

import msgspec

from holdfast.core.call import RepositoryTarget
from holdfast.core.calls import PASSWORD_KEY, VolumeRestore
from holdfast.core.objects import Object
from holdfast.core.plan import Problem
from holdfast.core.read import mapping, name_of, namespace_of, phase_of, text
from holdfast.dialects.kubestash import storage
from holdfast.dialects.kubestash.recorded import restic_ids


class Download(msgspec.Struct, frozen=True):
    """The restore of one component into a folder."""

    component: str
    folder: str
    call: VolumeRestore


def downloads(
    snapshot: Object, repository: Object, at: Object, keys: str, password: str, folder: Path, component: str
) -> list[Download] | str:
    """Return the restores; a text says why there are none.

    `keys` and `password` are folders that hold the Secrets of storage and encryption as files. Of several components each
    gets a folder of its own name.
    """
    where = f"Snapshot {namespace_of(snapshot)}/{name_of(snapshot)}"
    if phase_of(snapshot) != "Succeeded":
        return f"{where} is {phase_of(snapshot) or 'Pending'}, not Succeeded"
    components = mapping(snapshot, "status", "components")
    files = {name: entry for name, entry in components.items() if restic_ids(entry) and component in ("", name)}
    if not files:
        return f"{where} has no files to download{f' in component {component}' if component else ''}"
    opened = storage.open_store(at, namespace_of(at), "storage", at)
    if isinstance(opened, Problem):
        return str(opened)
    root = opened.root
    if storage.provider(at) == "local":
        source = text(at, "spec", "storage", "local", "hostPath", "path")
        if not source:
            return f"BackupStorage {name_of(at)} is a volume of the cluster: restore into a claim there instead"
        root = msgspec.structs.replace(root, url=source)
    root = msgspec.structs.replace(root, credentials_dir=keys)
    place = storage.Store(root=root)
    found: list[Download] = []
    for name, entry in files.items():
        target = RepositoryTarget(
            name_of(repository),
            place.at(text(repository, "spec", "path"), text(entry, "path")),
            f"{password}/{PASSWORD_KEY}",
            name,
            name_of(snapshot),
        )
        into = str(folder / name if len(files) > 1 else folder)
        found.append(Download(name, into, VolumeRestore(target, restic_ids(entry), into)))
    return found
