"""A PersistentVolumeClaim whose dataSourceRef names a Snapshot is born with that Snapshot's files.

The claim is filled before anybody can mount it. Of a Snapshot with several components the claim's own ordinal chooses one
(`data-web-2` takes `dump-pod-2`). The files come back as they lay below the path that was backed up.
"""

import re
from datetime import datetime
from typing import Final

from holdfast.core.calls import VolumeRestore
from holdfast.core.objects import Object
from holdfast.core.plan import Desired, Plan, Problem, Problems, RunKind, Step
from holdfast.core.ports import View
from holdfast.core.read import items, mapping, name_of, namespace_of, phase_of, text, uid_of
from holdfast.dialects.kubestash import executor, names, pods, storage, usage, validate, wipe
from holdfast.dialects.kubestash.decode import place
from holdfast.dialects.kubestash.kinds import CLAIM, SNAPSHOT
from holdfast.dialects.kubestash.recorded import restic_ids

_ORDINAL: Final = re.compile(r"-(\d+)$")
_FIELD: Final = "spec.dataSourceRef"


class SnapshotPopulator:
    """Fills claims from Snapshots: implements `core.ports.Populating`."""

    source = SNAPSHOT

    def fill(self, claim: Object, source: Object, scratch: str, view: View, now: datetime) -> Desired | Problems:
        """Return the Job that restores one component into the claim `scratch`; nothing while the Snapshot is being made."""
        where = f"Snapshot {namespace_of(source)}/{name_of(source)}"
        if phase_of(source) == "Failed":
            return _problem(f"{where} is Failed: name one that Succeeded")
        if phase_of(source) != "Succeeded":
            return Desired()
        name = _component(claim, source)
        repository = wipe.repository_of(source, view)
        there = wipe.storage_of(repository, view) if repository else None
        secret = place(mapping(repository or {}, "spec", "encryptionSecret"), namespace_of(source))
        if repository is None or there is None or secret is None or not name:
            return _problem(f"{where} has no component for claim {name_of(claim)} whose files can be reached")
        namespace = namespace_of(claim)
        if not usage.admits(there, namespace, view):
            return Problems((usage.refusal(there, namespace, _FIELD),))
        if found := validate.shared_secret(secret, namespace, view, _FIELD):
            return Problems(tuple(found))
        opened = storage.open_store(there, namespace, f"storage-{name_of(repository)}", claim)
        if isinstance(opened, Problem):
            return Problems((opened,))
        return _desired(claim, source, repository, name, scratch, opened)


def _component(claim: Object, snapshot: Object) -> str:
    """Return the component with files that a claim is for; empty when none is."""
    components = mapping(snapshot, "status", "components")
    files = [name for name, entry in components.items() if restic_ids(entry) and executor.kind_of(name) == executor.DUMP]
    if len(files) == 1:
        return files[0]
    match = _ORDINAL.search(name_of(claim))
    wanted = f"{executor.DUMP}-pod-{match.group(1)}" if match else ""
    return wanted if wanted in files else ""


def _desired(
    claim: Object, snapshot: Object, repository: Object, component: str, scratch: str, opened: storage.Store
) -> Desired:
    namespace, status = namespace_of(claim), mapping(snapshot, "status", "components", component)
    secret = place(mapping(repository, "spec", "encryptionSecret"), namespace_of(snapshot))
    assert secret is not None
    encryption = storage.open_encryption(secret, namespace, name_of(repository), claim)
    paths = [text(entry, "hostPath") for entry in items(status, "resticStats")]
    root = text(snapshot, "metadata", "annotations", names.MOUNT) or next(iter(paths), "") or executor.CLAIM_PATH
    labels = names.labels("populator", kind=CLAIM.kind, namespace=namespace, name=name_of(claim))
    job = pods.job(
        f"populate-{uid_of(claim)}-files",
        namespace,
        labels,
        container="populator",
        volumes=({"name": "scratch", "persistentVolumeClaim": {"claimName": scratch}}, *opened.volumes),
        mounts=({"name": "scratch", "mountPath": root}, *opened.mounts),
        as_root=True,
        rights=pods.RESTORE_RIGHTS,
    )
    target = storage.repository_target(
        opened,
        encryption,
        name=name_of(repository),
        path=f"{text(repository, 'spec', 'path')}/{text(status, 'path')}",
        component=component,
        snapshot=name_of(snapshot),
    )
    call = VolumeRestore(target, restic_ids(status)).call((*opened.secrets, *encryption.secrets))
    plan = Plan(name="populate", kind=RunKind.RESTORE, steps=(Step(name="files", child=job, mover=call),))
    return Desired(runs=(plan,), secret_copies=(*opened.copies, *encryption.copies))


def _problem(message: str) -> Problems:
    return Problems((Problem(_FIELD, message),))
