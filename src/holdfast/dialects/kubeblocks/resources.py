"""Kubernetes objects beside a backup's data: saved as one file for each target, and made again by name and label.

A target without a selector saves none. An account that may read (for a Restore: write) the one namespace is there while the run
is, and goes with it. What Holdfast itself makes for runs is left out: a Job of a backup must not begin anew after a restore.
"""

from collections.abc import Sequence
from typing import Final

from holdfast.core.access import manifests_access, run_as
from holdfast.core.cluster_calls import ManifestsBackup, ManifestsRestore
from holdfast.core.manifests import Changes, Selection
from holdfast.core.objects import Object, Ref, bounded_name
from holdfast.core.plan import Child, Doomed, MoverCall, Step
from holdfast.core.ports import Refs
from holdfast.core.read import items, mapping, name_of, namespace_of, strings, text
from holdfast.dialects.kubeblocks import backup_env, chains, env, kinds, names, restore_env, workload
from holdfast.dialects.kubeblocks.access import Access
from holdfast.dialects.kubeblocks.backup_context import Context
from holdfast.dialects.kubeblocks.kinds import ROLE_BINDING, SERVICE_ACCOUNT
from holdfast.dialects.kubeblocks.refusal import Refusal
from holdfast.dialects.kubeblocks.restore_sources import Source
from holdfast.dialects.kubeblocks.targets import Target

FILE: Final = "kubernetes-objects.tar.zst"
"""The file with the objects of a target, in the folder of the backup or that of its target."""

STEM: Final = "dp-objects"
"""How the names of steps that save objects begin."""

_SKIPPED: Final = tuple(f"{plural}.{kinds.GROUP}" for plural in ("backups", "restores"))
"""Runs: they tell what was, and must not begin anew."""


def backup_step(context: Context, target: Target, name: str, job: str, labels: Object, needs: Sequence[str]) -> Step:
    """Return the step that saves the objects of a target, which `targets.saves_objects`, of the Backup's namespace."""
    wanted = mapping(target.raw, "resources")
    selection = Selection(
        namespaces=(context.namespace,),
        resources=tuple(strings(wanted, "included")),
        exclude_resources=tuple(strings(wanted, "excluded")),
        selector=_no_runs(mapping(wanted, "selector")),
    )
    variables = [*backup_env.storage(context), *_base(context.path, target)]
    child = _job(job, context.obj, labels, context.access, variables)
    return Step(name=name, child=child, mover=_call(ManifestsBackup(selection, archive=FILE)), needs=tuple(needs))


def restore_step(restore: Object, source: Source, name: str, labels: Object, access: Access, needs: Sequence[str]) -> Step:
    """Return the step that makes objects of a backup again, in the Restore's namespace. What is there stays as it is."""
    place, origin = namespace_of(restore), namespace_of(source.backup)
    selections = [
        Selection(namespaces=(origin,), resources=(entry["groupResource"],), selector=_no_runs(mapping(entry, "labelSelector")))
        for entry in included(restore)
    ]
    call = ManifestsRestore(
        selections[0],
        tuple(selections[1:]),
        Changes({origin: place} if origin != place else {}),
        archive=FILE,
        skip=_SKIPPED,
    )
    path = source.backup["status"]["path"]
    child = _job(name, restore, labels, access, [*restore_env.storage(source), *_base(path, source.target)])
    return Step(name=name, child=child, mover=_call(call), needs=tuple(needs))


def included(restore: Object) -> list[Object]:
    """Return what a Restore wants back: resources, each with the labels that its objects must have."""
    return items(restore, "spec", "resources", "included")


def source_of(restore: Object, sources: Sequence[Source]) -> Source | Refusal:
    """Return the last Backup of a Restore that holds objects."""
    for source in reversed(sources):
        if source.target.saves_objects and chains.type_of(source.backup) != "Continuous":
            return source
    listed = ", ".join(name_of(source.backup) for source in sources)
    said = f"Backup {listed} holds no Kubernetes objects: leave spec.resources out, or set resources.selector of its target"
    return Refusal("NoObjectsSaved", said)


def access_to(obj: Object, *, write: bool = False) -> Sequence[Child]:
    """Return the account of a Backup or Restore that reads, or with `write` makes, the objects of its namespace."""
    labels, place = {names.MANAGED_BY: names.MANAGER}, namespace_of(obj)
    return manifests_access(_account(obj), place, write=write, namespaces=(place,), owner=obj, labels=labels)


def rights_over(obj: Object, refs: Refs) -> tuple[Doomed, ...]:
    """Return the account and its right, as far as they are there, once the run is over. Most runs have none to look for."""
    saved = any(text(action, "name").startswith(STEM) for action in items(obj, "status", "actions"))
    if not saved and not included(obj):
        return ()
    found = [Ref(kind, namespace_of(obj), _account(obj)) for kind in (ROLE_BINDING, SERVICE_ACCOUNT)]
    return tuple(Doomed(ref, "its run is over") for ref in found if refs.get(ref.kind, ref.namespace, ref.name) is not None)


def _account(obj: Object) -> str:
    return bounded_name(f"dp-objects-{names.uid8(obj)}-{name_of(obj)}")


def _call(call: ManifestsBackup | ManifestsRestore) -> MoverCall:
    return call.call()


def _base(path: str, target: Target) -> list[Object]:
    folder = f"{path}/{target.name}" if target.name else path
    return env.literals({"DATASAFED_BACKEND_BASE_PATH": folder})


def _no_runs(selector: Object) -> Object:
    """Return a selector without what is made for backups and restores."""
    rules = [{"key": key, "operator": "DoesNotExist"} for key in (names.BACKUP_NAME, names.RESTORE)]
    return {**selector, "matchExpressions": [*items(selector, "matchExpressions"), *rules]}


def _job(name: str, obj: Object, labels: Object, access: Access, variables: Sequence[Object]) -> Object:
    container: Object = {
        "name": "objects",
        "env": env.merge(access.env, variables),
        "volumeMounts": list(access.mounts),
        "securityContext": dict(workload.ATTENDANT_CONTEXT),
    }
    spec: Object = {"restartPolicy": "Never", "containers": [container], "volumes": list(access.volumes)}
    child = workload.job(name, namespace_of(obj), labels, spec, workload.BACKOFF)
    child["spec"]["template"]["metadata"].pop("annotations")
    run_as(child, _account(obj))
    return child
