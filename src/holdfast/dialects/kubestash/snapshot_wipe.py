"""The end of a Snapshot that somebody deleted: with deletionPolicy WipeOut its data and its record go before it."""

from datetime import datetime

import msgspec

from holdfast.core.calls import Retention
from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Note, Problem
from holdfast.core.ports import View
from holdfast.core.read import deleting, mapping, name_of, namespace_of, text
from holdfast.dialects.kubestash import initialize, names, recorded, runtime, storage, volume_snapshots, wipe
from holdfast.dialects.kubestash.decode import place


def farewell(obj: Object, view: View, now: datetime) -> Desired:
    """Return what the end of a Snapshot asks for. A Repository or BackupStorage that goes too takes care of the data."""
    volumes = volume_snapshots.gone(obj, "its Snapshot was wiped out", view) if wipe.wanted(obj) else ()
    found = _data_gone(obj, view, now)
    return msgspec.structs.replace(found, doomed=(*volumes, *found.doomed))


def _data_gone(obj: Object, view: View, now: datetime) -> Desired:
    repository = wipe.repository_of(obj, view) if wipe.wanted(obj) else None
    there = wipe.storage_of(repository, view) if repository else None
    if repository is None or there is None or deleting(repository) or deleting(there):
        return Desired(release=True)
    namespace, name = namespace_of(obj), name_of(obj)
    if reader := wipe.reader(namespace, name_of(repository), name, view):
        return Desired(notes=(Note("DeletionWaits", f"its data is deleted when {reader} has ended"),))
    secret = place(mapping(repository, "spec", "encryptionSecret"), namespace)
    mount = f"storage-{name_of(repository)}"
    opened = storage.open_store(there, namespace, mount, obj)
    if isinstance(opened, Problem):
        return Desired(release=True)
    directory = text(repository, "spec", "path")
    encryption = storage.open_encryption(secret, namespace, name_of(repository), obj) if secret else storage.NO_ENCRYPTION
    forgets = recorded.forgets(name_of(repository), directory, opened, encryption, recorded.by_path([obj]))
    call = Retention(forgets, recorded.records(directory, opened, delete=[name]))
    secrets, copies = (*opened.secrets, *encryption.secrets), (*opened.copies, *encryption.copies)
    job = initialize.job_of(obj, names.snapshot_cleanup_job(name), opened, "cleaner")
    job = runtime.with_settings(job, mapping(there, "spec", "runtimeSettings"))
    return wipe.erase(obj, job, call.call(secrets), copies, view, now)
