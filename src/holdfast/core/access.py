"""Service accounts for Jobs that ask the Kubernetes API: exactly the rights they need, as children of whoever needs them.

Each builder returns the children to add to a `Desired`. An account lives where the Job runs, a right where it is used. The
Job's pod takes it with `run_as`.
"""

from collections.abc import Mapping, Sequence

from holdfast.core.objects import Object, owner_reference
from holdfast.core.plan import Child

RBAC = "rbac.authorization.k8s.io"


def run_as(job: Object, account: str) -> None:
    """Let the pods of a Job run as a service account, with its token mounted. Changes the Job."""
    pod: Object = job.setdefault("spec", {}).setdefault("template", {}).setdefault("spec", {})
    pod["serviceAccountName"] = account
    pod["automountServiceAccountToken"] = True


def exec_access(
    name: str,
    namespace: str,
    pods: Sequence[str],
    *,
    job_namespace: str = "",
    owner: Object | None = None,
    labels: Mapping[str, str] | None = None,
) -> tuple[Child, ...]:
    """Return an account that may run commands in these pods of `namespace`, and nothing else.

    The account `name` is made in `job_namespace` (default: that of the pods), a Role and a RoleBinding of the same name where
    the pods are. `owner` is made the controller of those in its own namespace; children in another one are the dialect's to
    remove.
    """
    rules: list[Object] = [
        {"apiGroups": [""], "resources": ["pods"], "verbs": ["get"], "resourceNames": sorted(pods)},
        {"apiGroups": [""], "resources": ["pods/exec"], "verbs": ["create", "get"], "resourceNames": sorted(pods)},
    ]
    home = job_namespace or namespace
    account = {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(name, home, owner, labels)}
    role = {
        "apiVersion": f"{RBAC}/v1",
        "kind": "Role",
        "metadata": _meta(name, namespace, owner, labels),
        "rules": rules,
    }
    return (Child(account), Child(role), Child(_binding("RoleBinding", "Role", name, namespace, home, owner, labels)))


def _binding(
    kind: str, role: str, name: str, namespace: str, home: str, owner: Object | None, labels: Mapping[str, str] | None
) -> Object:
    return {
        "apiVersion": f"{RBAC}/v1",
        "kind": kind,
        "metadata": _meta(name, namespace, owner, labels),
        "roleRef": {"apiGroup": RBAC, "kind": role, "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": home}],
    }


def _meta(name: str, namespace: str, owner: Object | None, labels: Mapping[str, str] | None) -> Object:
    meta: Object = {"name": name} | ({"namespace": namespace} if namespace else {})
    if labels:
        meta["labels"] = dict(labels)
    if owner is not None and owner["metadata"].get("namespace", "") in ("", namespace):
        meta["ownerReferences"] = [owner_reference(owner)]
    return meta
