"""The Jobs of a BackupRepo: the check, and the search for backups that lie there already."""

from collections.abc import Sequence
from typing import Final

from holdfast.core.calls import RecordDiscovery, RepositoryCheck
from holdfast.core.objects import Object, Ref, bounded_name
from holdfast.core.plan import Child, Doomed, MoverCall
from holdfast.core.ports import Refs
from holdfast.core.quantity import parse_quantity
from holdfast.core.read import mapping, name_of, text
from holdfast.dialects.kubeblocks import attempts, names, rendering
from holdfast.dialects.kubeblocks.access import Access
from holdfast.dialects.kubeblocks.attempts import Task
from holdfast.dialects.kubeblocks.kinds import BACKUP, ROLE_BINDING, SERVICE_ACCOUNT, STORAGE_CLASS, api_version
from holdfast.dialects.kubeblocks.preparation import method_of
from holdfast.dialects.kubeblocks.record_phrases import Phrase

SMALL: Final = "1Gi"
DEFAULT_CLASS: Final = "storageclass.kubernetes.io/is-default-class"


def check_call(obj: Object) -> MoverCall:
    """Return what the check of a repository does."""
    return RepositoryCheck(name_of(obj), text(obj, "spec", "pathPrefix").strip("/")).call()


def discovery_call(obj: Object, phrases: Sequence[Phrase]) -> MoverCall:
    """Return the search for backups. What is found keeps its data until its owner says otherwise: it may be another's, too."""
    status: Object = {"backupRepoName": name_of(obj)}
    if method_of(obj) == "Mount":
        status["persistentVolumeClaimName"] = names.claim(obj)
    call = RecordDiscovery(
        name=name_of(obj),
        file=names.RECORD_FILE,
        api_version=api_version(BACKUP),
        kind=BACKUP.kind,
        plural="backups",
        labels={names.BACKUP_REPO: bounded_name(name_of(obj)), names.REDISCOVERED: "true"},
        spec={"deletionPolicy": "Retain"},
        status=status,
        path=text(obj, "spec", "pathPrefix").strip("/"),
        phrases=tuple(phrase.call() for phrase in phrases),
    )
    files = {phrase.mount: phrase.files(obj) for phrase in phrases}
    return call.call(tuple(files.values()))


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


def claim(obj: Object, provider: Object, home: str) -> Object:
    """Build the claim that the Jobs try: like that of backups, and small. Raises rendering.BadTemplate."""
    made = rendering.claim(obj, provider, home, home, names.pre_check(obj))
    requests = mapping(made, "spec", "resources", "requests")
    if parse_quantity(str(requests.get("storage"))) > parse_quantity(SMALL):
        requests["storage"] = SMALL
    return made


def frees(claim: Object, refs: Refs) -> bool:
    """Whether nothing is left when a claim is deleted. Where its class keeps volumes the claim stays for the next check."""
    named = text(claim, "spec", "storageClassName")
    found = refs.get(STORAGE_CLASS, "", named) if named else _default_class(refs)
    return found is not None and text(found, "reclaimPolicy", default="Delete") == "Delete"


def _default_class(refs: Refs) -> Object | None:
    return next((each for each in refs.list(STORAGE_CLASS) if names.is_true(each, DEFAULT_CLASS)), None)


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
