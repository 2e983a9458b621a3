"""Service accounts for Jobs that ask the Kubernetes API: the rights of one shipped role, as children of whoever needs them.

Each builder returns the children to add to a `Desired`. An account lives where the Job runs, a right where it is used. The
Job's pod takes it with `run_as`.
"""

from collections.abc import Mapping, Sequence

from holdfast.core.objects import Object, owner_reference
from holdfast.core.plan import Child

RBAC = "rbac.authorization.k8s.io"

EXEC_ROLE = "holdfast-exec"
READ_ROLE, WRITE_ROLE = "holdfast-manifests-read", "holdfast-manifests-write"

CLUSTER_READ_ROLE, CLUSTER_WRITE_ROLE = "holdfast-cluster-read", "holdfast-cluster-write"
"""Roles on the few kinds of `core.belongings`: to look at them, and to make what is missing. Neither may change or delete."""


def run_as(job: Object, account: str) -> None:
    """Let the pods of a Job run as a service account, with its token mounted. Changes the Job."""
    pod: Object = job.setdefault("spec", {}).setdefault("template", {}).setdefault("spec", {})
    pod["serviceAccountName"] = account
    pod["automountServiceAccountToken"] = True


def exec_access(
    name: str,
    namespace: str,
    *,
    job_namespace: str = "",
    owner: Object | None = None,
    labels: Mapping[str, str] | None = None,
) -> tuple[Child, ...]:
    """Return an account that may run commands in the pods of `namespace`, and nothing else.

    The account `name` is made in `job_namespace` (default: that of the pods), its binding to the ClusterRole `holdfast-exec`
    under the same name where the pods are. `owner` is made the controller of those in its own namespace; children in another
    one are the dialect's to remove.
    """
    return account_for(EXEC_ROLE, name, namespace, job_namespace=job_namespace, owner=owner, labels=labels)


def account_for(
    role: str,
    name: str,
    namespace: str,
    *,
    job_namespace: str = "",
    owner: Object | None = None,
    labels: Mapping[str, str] | None = None,
) -> tuple[Child, ...]:
    """Return an account in `job_namespace` with the rights of a ClusterRole of `deploy/addons` in `namespace` alone.

    The operator may bind those roles and writes none itself: it can't make more rights than an administrator has installed.
    """
    home = job_namespace or namespace
    return (_account(name, home, owner, labels), _bound(role, name, namespace, home, owner, labels))


def manifests_access(
    name: str,
    namespace: str,
    *,
    write: bool = False,
    namespaces: Sequence[str] = (),
    owner: Object | None = None,
    labels: Mapping[str, str] | None = None,
) -> tuple[Child, ...]:
    """Return an account in `namespace` that may read every object of `namespaces`, and with `write` make and change them.

    Without `namespaces` it may do so in the whole cluster, through a ClusterRoleBinding. Whoever may run pods in `namespace`
    can use the account: give it no more than that person has. An `owner` in one namespace can't own what is in others; the
    dialect removes these when its run has ended.
    """
    role = WRITE_ROLE if write else READ_ROLE
    bindings = [_bound(role, name, place, namespace, owner, labels) for place in namespaces or ("",)]
    return (_account(name, namespace, owner, labels), *bindings)


def cluster_binding(role: str, name: str, home: str, *, labels: Mapping[str, str] | None = None) -> Child:
    """Return the ClusterRoleBinding that gives account `name` of namespace `home` a shipped ClusterRole in the whole cluster.

    Nothing owns it: who asks for it removes it when its run has ended.
    """
    return _bound(role, name, "", home, None, labels)


def _account(name: str, namespace: str, owner: Object | None, labels: Mapping[str, str] | None) -> Child:
    return Child({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": _meta(name, namespace, owner, labels)})


def _bound(role: str, name: str, namespace: str, home: str, owner: Object | None, labels: Mapping[str, str] | None) -> Child:
    """Return the binding of account `name` of `home` to a ClusterRole: in one namespace, or in all without one."""
    return Child(
        {
            "apiVersion": f"{RBAC}/v1",
            "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
            "metadata": _meta(name, namespace, owner, labels),
            "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": role},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": home}],
        }
    )


def _meta(name: str, namespace: str, owner: Object | None, labels: Mapping[str, str] | None) -> Object:
    meta: Object = {"name": name} | ({"namespace": namespace} if namespace else {})
    if labels:
        meta["labels"] = dict(labels)
    if owner is not None and owner["metadata"].get("namespace", "") in ("", namespace):
        meta["ownerReferences"] = [owner_reference(owner)]
    return meta
