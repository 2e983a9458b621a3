"""The Jobs of a BackupRepo: the check, and the search for backups that lie there already."""

from collections.abc import Sequence

from holdfast.core.calls import Call, RecordDiscovery, RepositoryCheck
from holdfast.core.objects import Object, Ref, bounded_name
from holdfast.core.plan import Child, Doomed
from holdfast.core.read import name_of, text
from holdfast.dialects.kubeblocks import attempts, names
from holdfast.dialects.kubeblocks.access import Access
from holdfast.dialects.kubeblocks.attempts import Task
from holdfast.dialects.kubeblocks.kinds import BACKUP, ROLE_BINDING, SERVICE_ACCOUNT, api_version
from holdfast.dialects.kubeblocks.preparation import method_of


def check_call(obj: Object) -> Call:
    """Return what the check of a repository does."""
    return RepositoryCheck(name_of(obj), text(obj, "spec", "pathPrefix").strip("/"))


def discovery_call(obj: Object) -> Call:
    """Return the search for backups. What is found keeps its data until its owner says otherwise: it may be another's, too."""
    status: Object = {"backupRepoName": name_of(obj)}
    if method_of(obj) == "Mount":
        status["persistentVolumeClaimName"] = names.claim(obj)
    return RecordDiscovery(
        name=name_of(obj),
        file=names.RECORD_FILE,
        api_version=api_version(BACKUP),
        kind=BACKUP.kind,
        plural="backups",
        labels={names.BACKUP_REPO: bounded_name(name_of(obj)), names.REDISCOVERED: "true"},
        spec={"deletionPolicy": "Retain"},
        status=status,
        path=text(obj, "spec", "pathPrefix").strip("/"),
    )


def job(obj: Object, task: Task, reach: Access, account: str) -> Object:
    """Build the Job of a task. A mounted volume belongs to root, as what backups write there does."""
    labels = {**names.repo_labels(obj), attempts.DIGEST: task.digest}
    root = method_of(obj) == "Mount"
    container: Object = {"name": "main", "volumeMounts": list(reach.mounts), "env": list(reach.env)}
    container["securityContext"] = {"runAsUser": 0 if root else 65534, "runAsGroup": 0 if root else 65534}
    pod: Object = {"restartPolicy": "Never", "containers": [container], "volumes": list(reach.volumes)}
    if account:
        pod |= {"serviceAccountName": account, "automountServiceAccountToken": True}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": task.name, "namespace": task.home, "labels": labels},
        "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": labels}, "spec": pod}},
    }


def accounts(obj: Object, home: str, namespaces: Sequence[str]) -> tuple[Child, ...]:
    """Return the account by which found Backups are made again, with the right to do just that in each namespace."""
    labels = names.repo_labels(obj)
    account: Object = {
        "apiVersion": "v1",
        "kind": SERVICE_ACCOUNT.kind,
        "metadata": {"name": names.DISCOVERY, "namespace": home, "labels": {names.MANAGED_BY: names.MANAGER}},
    }
    bindings: list[Object] = [
        {
            "apiVersion": "rbac.authorization.k8s.io/v1",
            "kind": ROLE_BINDING.kind,
            "metadata": {"name": names.discovery(obj), "namespace": namespace, "labels": labels},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": names.DISCOVERY},
            "subjects": [{"kind": SERVICE_ACCOUNT.kind, "name": names.DISCOVERY, "namespace": home}],
        }
        for namespace in namespaces
    ]
    return (Child(account), *(Child(binding) for binding in bindings))


def rights(obj: Object, namespaces: Sequence[str]) -> tuple[Doomed, ...]:
    """Return the rights that are not needed once the search is over."""
    return tuple(Doomed(Ref(ROLE_BINDING, each, names.discovery(obj)), "the search is over") for each in namespaces)
