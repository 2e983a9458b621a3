"""The tasks of a restore: files into volumes, claims from volume snapshots, manifests into the cluster, a user's own Function.

Each task takes the components of its kind. Data returns to its original absolute paths, so the volumes are mounted where the
backup had them; where that is not so, the restore is refused before it begins.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

import msgspec

from holdfast.core.access import run_as
from holdfast.core.calls import RepositoryTarget, VolumeRestore
from holdfast.core.objects import Object
from holdfast.core.plan import Child, Problem, Step
from holdfast.core.ports import View
from holdfast.core.read import items, mapping, name_of, namespace_of, text
from holdfast.dialects.kubestash import addons, executor, manifests, names, pods, runtime, storage, user_tasks, volume_snapshots
from holdfast.dialects.kubestash.addons import Work
from holdfast.dialects.kubestash.decode import AddonUse, Place, Target, comma_list
from holdfast.dialects.kubestash.executor import Component
from holdfast.dialects.kubestash.kinds import CLAIM, RESTORE_SESSION, STATEFUL_SET
from holdfast.dialects.kubestash.recorded import restic_ids

_KINDS: Final = {
    addons.SNAPSHOT_RESTORE: executor.VOLUME,
    addons.MANIFESTS_RESTORE: executor.MANIFEST,
    addons.DUMP_RESTORE: executor.MANIFEST,
}
_CLAIM_LIMIT: Final = timedelta(hours=1)
"""How long the cluster's storage may take to make one claim."""


class Source(msgspec.Struct, frozen=True):
    """Where the data comes from. Without restic repositories there is no `secret`."""

    snapshot: Object
    repository: Object
    storage: Object
    secret: Place | None


class Site(msgspec.Struct, frozen=True):
    """What the tasks of one restore share."""

    obj: Object
    source: Source
    use: AddonUse
    target: Target | None
    namespace: str
    opened: storage.Store
    encryption: storage.Encryption


class Share(msgspec.Struct, frozen=True):
    """What one task needs. `stores`: its Jobs read from the store."""

    steps: tuple[Step, ...]
    claims: tuple[Object, ...] = ()
    written: dict[str, tuple[Place, ...]] = {}
    accounts: tuple[Child, ...] = ()
    stores: bool = True


def takes(work: Work, component: str) -> bool:
    """Whether a task restores a component."""
    return work.function == addons.CLONE or executor.kind_of(component) == _KINDS.get(work.function, executor.DUMP)


def share(work: Work, components: Sequence[str], site: Site, needs: Sequence[str], view: View) -> Share | Problem:
    """Return what a task needs to restore its components after the steps of the tasks before it."""
    if work.function in (addons.SNAPSHOT_RESTORE, addons.CLONE):
        found = _claims(work, components, site)
    elif work.function in (addons.MANIFESTS_RESTORE, addons.DUMP_RESTORE):
        found = _manifests(work, site)
    else:
        found = _files(work, components, site, view)
    if isinstance(found, Problem):
        return found
    done = mapping(site.obj, "status", "components")
    steps = (msgspec.structs.replace(step, needs=tuple(needs), begun=step.name in done) for step in found.steps)
    return msgspec.structs.replace(found, steps=tuple(steps))


def _files(work: Work, components: Sequence[str], site: Site, view: View) -> Share | Problem:
    steps: list[Step] = []
    claims: list[Object] = []
    written: dict[str, tuple[Place, ...]] = {}
    for name in components:
        part = _part(name, work, site, view)
        if isinstance(part, Problem):
            return part
        component, made = part
        if work.ours and (problem := _misplaced(name, component, site.source)) is not None:
            return problem
        step = _volume_step(component, work, site) if work.ours else _user_step(component, work, site, view)
        if isinstance(step, Problem):
            return step
        claims += made
        written[name] = tuple(Place(site.namespace, claim) for claim in component.claims)
        steps.append(step)
    return Share(tuple(steps), tuple(claims), written)


def _claims(work: Work, components: Sequence[str], site: Site) -> Share | Problem:
    """Return the claims that the cluster's storage makes from snapshots, or from the claim that was backed up."""
    steps: list[Step] = []
    for name in components:
        _, claims = executor.templated(name, work.task, site.namespace)
        if not claims:
            field = f"spec.addon.tasks[{work.index}].targetVolumes.volumeClaimTemplates"
            return Problem(field, f"needed by {work.task.name}: it makes new claims, and never changes one that exists")
        for claim in claims:
            status = mapping(site.source.snapshot, "status", "components", name)
            source = _cloned(claim, site) if work.function == addons.CLONE else volume_snapshots.source_of(claim, status)
            if isinstance(source, Problem):
                return Problem(f"spec.addon.tasks[{work.index}].{source.field}", source.message)
            child = {**claim, "spec": {**mapping(claim, "spec"), "dataSource": source}}
            step = name if len(claims) == 1 else f"{name}-{name_of(claim)}"
            steps.append(Step(name=step, child=child, deadline=_CLAIM_LIMIT, outlives=True))
    return Share(tuple(steps), stores=False)


def _cloned(claim: Object, site: Site) -> Object | Problem:
    """Return what a clone is made from: what its template names, else the claim that was backed up."""
    given = mapping(claim, "spec", "dataSource")
    app = mapping(site.source.snapshot, "spec", "appRef")
    if given or text(app, "kind") != CLAIM.kind:
        why = f"claim {name_of(claim)} says not what it is a clone of: name a claim in its spec.dataSource"
        return given or Problem("targetVolumes.volumeClaimTemplates", why)
    return {"kind": CLAIM.kind, "name": text(app, "name")}


def _manifests(work: Work, site: Site) -> Share | Problem:
    app, options = mapping(site.source.snapshot, "spec", "appRef"), mapping(site.obj, "spec", "manifestOptions")
    changes = manifests.changes(work, app, options)
    status = mapping(site.source.snapshot, "status", "components", executor.MANIFEST)
    ids = restic_ids(status)
    if not ids:
        return Problem("spec.dataSource.snapshot", f"Snapshot {name_of(site.source.snapshot)} holds no manifests")
    call = manifests.restore_call(work, _repository(executor.MANIFEST, site), ids[0], changes)
    job = _job(executor.MANIFEST, work, site, (), (), as_root=site.opened.as_root)
    accounts: tuple[Child, ...] = ()
    if work.function == addons.MANIFESTS_RESTORE:
        into = changes.namespaces.get(text(app, "namespace"), text(app, "namespace")) or site.namespace
        accounts = manifests.access_to(name_of(site.obj), into, site.obj, write=True, home=site.namespace)
    run_as(job, names.manifest_account(name_of(site.obj)))
    secrets = (*site.opened.secrets, *site.encryption.secrets)
    step = Step(name=executor.MANIFEST, child=_shaped(job, site), mover=call.call(secrets))
    return Share((step,), accounts=accounts)


def _volume_step(component: Component, work: Work, site: Site) -> Step:
    mounts = (*component.mounts, *site.opened.mounts)
    job = _job(component.name, work, site, component.volumes, mounts, as_root=True, node=component.node)
    status = mapping(site.source.snapshot, "status", "components", component.name)
    call = VolumeRestore(
        repository=_repository(component.name, site),
        snapshot_ids=restic_ids(status),
        include=comma_list(work.parameters.get("include", "")),
        exclude=comma_list(work.parameters.get("exclude", "")),
    ).call((*site.opened.secrets, *site.encryption.secrets))
    return Step(name=component.name, child=_shaped(job, site), mover=call)


def _user_step(component: Component, work: Work, site: Site, view: View) -> Step | Problem:
    mounts = (*component.mounts, *site.opened.mounts)
    job = _job(component.name, work, site, component.volumes, mounts, as_root=True, node=component.node)
    values = {
        "namespace": namespace_of(site.obj),
        "restoreSession": name_of(site.obj),
        "snapshot": name_of(site.source.snapshot),
        "invokerKind": RESTORE_SESSION.kind,
        "invokerName": name_of(site.obj),
        "POD_ORDINAL": str(executor.ordinal_of(component.name)),
        "PVC_NAME": next(iter(component.claims), ""),
    }
    secrets = (*site.opened.secrets, *site.encryption.secrets)
    problem = user_tasks.fill(job, component.name, work, values, [_repository(component.name, site)], secrets, view)
    return problem or Step(name=component.name, child=_shaped(job, site))


def _job(
    component: str,
    work: Work,
    site: Site,
    volumes: Sequence[Object],
    mounts: Sequence[Object],
    *,
    as_root: bool,
    node: str = "",
) -> Object:
    labels = names.labels("restore", kind=RESTORE_SESSION.kind, namespace=namespace_of(site.obj), name=name_of(site.obj))
    return pods.job(
        names.component_job(name_of(site.obj), component),
        site.namespace,
        labels,
        container=f"{work.task.name}-{work.index}",
        volumes=(*volumes, *site.opened.volumes),
        mounts=mounts or site.opened.mounts,
        as_root=as_root,
        rights=pods.RESTORE_RIGHTS if volumes else (),
        node=node,
    )


def _shaped(job: Object, site: Site) -> Object:
    return runtime.with_container(runtime.with_template(job, site.use.template), site.use.settings)


def _repository(component: str, site: Site) -> RepositoryTarget:
    status = mapping(site.source.snapshot, "status", "components", component)
    return storage.repository_target(
        site.opened,
        site.encryption,
        name=name_of(site.source.repository),
        path=f"{text(site.source.repository, 'spec', 'path')}/{text(status, 'path')}",
        component=component,
        snapshot=name_of(site.source.snapshot),
    )


def _misplaced(name: str, component: Component, source: Source) -> Problem | None:
    """Return what to tell when the data would not land on any of the mounted volumes."""
    mounts = [text(mount, "mountPath").rstrip("/") for mount in component.mounts]
    for entry in items(source.snapshot, "status", "components", name, "resticStats"):
        path = text(entry, "hostPath").rstrip("/")
        if path and not any(f"{path}/".startswith(f"{mount}/") for mount in mounts):
            message = f"the data of {name} belongs at {path}, where no volume is mounted (mounted: {', '.join(mounts)})"
            return Problem("spec.addon.tasks[0].targetVolumes.volumeMounts", f"{message}: mount one there")
    return None


def _part(name: str, work: Work, site: Site, view: View) -> tuple[Component, tuple[Object, ...]] | Problem:
    if work.task.claim_templates:
        return executor.templated(name, work.task, site.namespace)
    if not work.ours and site.target is None:
        return Component(name=name, volumes=(), mounts=()), ()
    wanted = site.target
    workload = view.get(wanted.kind, wanted.namespace, wanted.name) if wanted else None
    if wanted is None or workload is None:
        return Problem("spec.target", f"{wanted.ref if wanted else 'the target'} not found")
    found = executor.component(name, wanted, workload, work.task, view, read_only=False)
    if isinstance(found, Problem):
        return Problem(f"spec.addon.tasks[{work.index}].{found.field}", found.message)
    return (msgspec.structs.replace(found, node=""), ()) if wanted.kind == STATEFUL_SET else (found, ())
