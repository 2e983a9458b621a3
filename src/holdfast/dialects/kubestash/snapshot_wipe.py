"""The end of a Snapshot that somebody deleted: with deletionPolicy WipeOut its data and its record go before it."""

from datetime import datetime

from holdfast.core.calls import Retention
from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Note, Problem
from holdfast.core.ports import View
from holdfast.core.read import deleting, mapping, name_of, namespace_of, text
from holdfast.dialects.kubestash import initialize, names, recorded, runtime, storage, wipe
from holdfast.dialects.kubestash.decode import place


def farewell(obj: Object, view: View, now: datetime) -> Desired:
    """Return what the end of a Snapshot asks for. A Repository or BackupStorage that goes too takes care of the data."""
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
    gone = recorded.by_path([obj]) if secret else {}
    encryption = storage.open_encryption(secret, namespace, name_of(repository), obj) if secret else None
    forgets = recorded.forgets(name_of(repository), directory, opened, encryption, gone) if encryption else ()
    call = Retention(forgets, recorded.records(directory, opened, delete=[name]))
    secrets = (*opened.secrets, *(encryption.secrets if encryption else ()))
    copies = (*opened.copies, *(encryption.copies if encryption else ()))
    job = initialize.job_of(obj, names.snapshot_cleanup_job(name), opened, "cleaner")
    job = runtime.with_settings(job, mapping(there, "spec", "runtimeSettings"))
    return wipe.erase(obj, job, call.call(secrets), copies, view, now)
