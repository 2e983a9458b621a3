"""Manifests: the Kubernetes objects of a workload, or those of a whole cluster that labels and names choose.

A workload's manifests are read by an account of Holdfast's own, which may read the target's namespace. What goes beyond one
namespace is read and written by an account that the user names: Holdfast gives nobody the rights of an administrator.
"""

from collections.abc import Mapping
from typing import Final

from holdfast.core.access import manifests_access, run_as
from holdfast.core.call import RepositoryTarget
from holdfast.core.cluster_calls import ManifestsBackup, ManifestsRestore
from holdfast.core.manifests import Changes, Selection
from holdfast.core.objects import Kind, Object
from holdfast.core.plan import Child, Problem, Step
from holdfast.core.read import mapping, name_of, text
from holdfast.dialects.kubestash import addons, executor, names, pods, task_access
from holdfast.dialects.kubestash.addons import Work
from holdfast.dialects.kubestash.backup_context import Context
from holdfast.dialects.kubestash.decode import AddonUse, comma_list
from holdfast.dialects.kubestash.kinds import CLAIM, DAEMON_SET, DEPLOYMENT, STATEFUL_SET
from holdfast.dialects.kubestash.task_access import Access

_PLURALS: Final[Mapping[Kind, str]] = {
    STATEFUL_SET: "statefulsets.apps",
    DEPLOYMENT: "deployments.apps",
    DAEMON_SET: "daemonsets.apps",
    CLAIM: "persistentvolumeclaims",
}
SKIPPED: Final = (
    "backupsessions.core.kubestash.com",
    "restoresessions.core.kubestash.com",
    "backupverificationsessions.core.kubestash.com",
    "snapshots.storage.kubestash.com",
)
"""Objects of runs: they tell what was, and must not begin anew."""


def backup_step(work: Work, context: Context, access: Access) -> Step:
    """Return the step that saves manifests into the one repository of the session."""
    target = context.target if work.function == addons.MANIFESTS else None
    objects = (f"{_PLURALS[target.kind]}/{target.namespace}/{target.name}",) if target else ()
    call = ManifestsBackup(
        selection=Selection() if objects else selection(work.parameters),
        repository=task_access.repositories(executor.MANIFEST, context, access)[0],
        objects=objects,
        rbac=work.parameters.get("includeRBACResources") == "true",
        host=executor.MANIFEST,
        tags=(name_of(context.obj),),
    ).call(access.secrets)
    job = pods.job(
        names.component_job(name_of(context.obj), executor.MANIFEST),
        context.namespace,
        task_access.labels(context),
        container=f"{work.task.name}-{work.index}",
        volumes=access.volumes,
        mounts=access.mounts,
        as_root=any(opened.as_root for _, opened, _ in access.targets),
    )
    run_as(job, names.manifest_account(context.configuration.place.name))
    return Step(name=executor.MANIFEST, child=task_access.shaped(job, context), mover=call)


def access_to(name: str, namespace: str, owner: Object, *, write: bool = False, home: str = "") -> tuple[Child, ...]:
    """Return the account that reads, or with `write` makes, the manifests of a namespace. It lives in `home`, if given."""
    labels = {names.MANAGED_BY: "kubestash.com"}
    account, lives = names.manifest_account(name), home or namespace
    return manifests_access(account, lives, write=write, namespaces=(namespace,), owner=owner, labels=labels)


def restore_call(work: Work, repository: RepositoryTarget, snapshot_id: str, changes: Changes) -> ManifestsRestore:
    """Return the call that makes manifests anew."""
    dump = work.function == addons.DUMP_RESTORE
    override = "OverrideResources" if dump else "overrideResources"
    return ManifestsRestore(
        selection=selection(work.parameters) if dump else Selection(cluster_resources=True),
        changes=changes,
        repository=repository,
        snapshot_id=snapshot_id,
        override=work.parameters.get(override) == "true",
        skip=SKIPPED,
    )


def changes(work: Work, app: Object, options: Object) -> Changes:
    """Return how manifests come back differently: into another namespace, with other storage classes, with their volumes."""
    old, new = text(app, "namespace"), text(mapping(options, "workload"), "restoreNamespace")
    pairs = (part.partition("=") for part in comma_list(work.parameters.get("StorageClassMappings", "")))
    return Changes(
        namespaces={old: new} if new and old and new != old else {},
        storage_classes={before: after for before, equals, after in pairs if equals},
        volumes=work.parameters.get("RestorePVs") == "true",
    )


def selection(parameters: Mapping[str, str]) -> Selection:
    """Return which objects the parameters of kubedump choose."""

    def listed(name: str) -> tuple[str, ...]:
        return comma_list(parameters.get(name, ""))

    return Selection(
        namespaces=listed("IncludeNamespaces"),
        exclude_namespaces=listed("ExcludeNamespaces"),
        resources=listed("IncludeResources"),
        exclude_resources=listed("ExcludeResources"),
        all_labels=listed("ANDedLabelSelectors"),
        any_labels=listed("ORedLabelSelectors"),
        cluster_resources=parameters.get("IncludeClusterResources") == "true",
    )


def account_problems(use: AddonUse, field: str) -> list[Problem]:
    """Judge who reads or writes a cluster's manifests: an account that the user names."""
    if use.name != addons.KUBEDUMP or text(use.template, "spec", "serviceAccountName"):
        return []
    where = f"{field}.jobTemplate.spec.serviceAccountName"
    why = "the manifests of a cluster are read and written with the rights of an account of yours, such as one bound to"
    return [Problem(where, f"needed by {addons.KUBEDUMP}: {why} holdfast-manifests-read")]
