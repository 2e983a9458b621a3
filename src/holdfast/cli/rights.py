"""What the operator may do, computed from what the code declares: no more than that, and the same on every cluster.

A dialect names what it handles, looks at and makes; from this follows its ClusterRole `holdfast-operator-<api>`, beside the
one that the operator always has. It can't read Secrets (see engine.grants), it writes no roles, and it may bind only the
ClusterRoles that come with it. The embedded server gives the operator these very roles, so that a right that is missing
shows in every test that needs it.
"""

from collections.abc import Iterable, Sequence
from typing import Final

from holdfast.cli.dialects import KINDS, OWN_KINDS, dialects, resource_of, resources
from holdfast.cli.install import addons
from holdfast.core.kinds import LEDGER
from holdfast.core.objects import Kind, Object, kind_of
from holdfast.core.populate import populators
from holdfast.core.ports import Dialect
from holdfast.engine.grants import ROLE as SECRETS_ROLE
from holdfast.engine.shell import watched_kinds
from holdfast.kube import builtin
from holdfast.kube.resource import Resource
from holdfast.schema.emit import HOLDFAST, MANAGED_BY

OPERATOR: Final = "holdfast-operator"
REST: Final = "holdfast-rest"
AGENT: Final = "holdfast-agent"
LOOK: Final = ("get", "list", "watch")
MAKE: Final = ("create", "patch", "delete")

_RBAC: Final = "rbac.authorization.k8s.io"
_CLUSTER_ROLE: Final = Kind(_RBAC, "ClusterRole")

Rights = dict[tuple[str, str], set[str]]
"""(group, plural or plural/subresource) -> verbs."""


def operator_roles() -> Sequence[Object]:
    """Return the ClusterRoles of an operator that speaks all APIs: what it always needs, and one for each API."""
    return [base_role(), *(api_role(dialect) for dialect in dialects())]


def base_role() -> Object:
    """Return the ClusterRole that the operator needs whatever it speaks."""
    rights: Rights = {}
    known = resources()
    for kind in watched_kinds(()):
        _add(rights, known[kind], LOOK)
    _add(rights, builtin.CRDS, LOOK)
    _add(rights, builtin.PODS, ("get",), "log")
    for resource in (builtin.JOBS, builtin.ROLEBINDINGS, known[LEDGER]):
        _add(rights, resource, (*LOOK, *MAKE))
    _add(rights, builtin.EVENTS, (*LOOK, "create", "patch"))
    binds: Object = {"apiGroups": [_RBAC], "resources": ["clusterroles"], "resourceNames": list(bindable()), "verbs": ["bind"]}
    documents: Object = {"nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/version"], "verbs": ["get"]}
    return _role(OPERATOR, [*_rules(rights), binds, documents])


def api_role(dialect: Dialect) -> Object:
    """Return the ClusterRole that the operator needs for one API more."""
    known = resources()
    rights: Rights = {}
    for each in populators([dialect]):
        for kind in watched_kinds([each]):
            _add(rights, known[kind], LOOK)
        for handler in each.handlers:
            resource = known[handler.kind]
            _add(rights, resource, (*LOOK, "patch"))
            _add(rights, resource, ("get", "patch"), "status")
            _add(rights, resource, ("update",), "finalizers")
        for kind in each.makes:
            _add(rights, known[kind], (*LOOK, *MAKE))
    for kind in {kind_of(obj) for obj in addons(dialect.name)} & OWN_KINDS:
        _add(rights, known[kind], ("get", "create", "patch"))
    return _role(f"{OPERATOR}-{dialect.name}", _rules(rights))


def rest_role() -> Object:
    """Return the ClusterRole of the REST server: our documents, its organisations' namespaces, and to ask who somebody is."""
    rights: Rights = {}
    for spec in KINDS["cloudcasa"]:
        _add(rights, resource_of(spec), (*LOOK, *MAKE))
    for spec in KINDS["cloudcasa"]:
        if spec.kind in ("Kubecluster", "Kubejob", "Policy"):
            _add(rights, resource_of(spec), ("patch",), "status")
    _add(rights, builtin.NAMESPACES, ("get", "create", "patch"))
    _add(rights, builtin.ROLEBINDINGS, ("get", "create", "patch"))
    _add(rights, builtin.TOKENREVIEWS, ("create",))
    rights["authorization.k8s.io", "subjectaccessreviews"] = {"create"}
    bind: Object = {"apiGroups": [_RBAC], "resources": ["clusterroles"], "resourceNames": [SECRETS_ROLE], "verbs": ["bind"]}
    documents: Object = {"nonResourceURLs": ["/api", "/api/*", "/apis", "/apis/*", "/version"], "verbs": ["get"]}
    return _role(REST, [*_rules(rights), bind, documents])


def agent_role() -> Object:
    """Return the ClusterRole of an agent: our documents, how many nodes and namespaces there are, and grants on Secrets."""
    rights: Rights = {}
    for spec in KINDS["cloudcasa"]:
        if spec.kind != "Apikey":
            _add(rights, resource_of(spec), (*LOOK, *MAKE))
    _add(rights, builtin.NAMESPACES, ("list",))
    _add(rights, builtin.NODES, ("list",))
    _add(rights, builtin.ROLEBINDINGS, ("get", "create", "patch"))
    bind: Object = {"apiGroups": [_RBAC], "resources": ["clusterroles"], "resourceNames": [SECRETS_ROLE], "verbs": ["bind"]}
    return _role(AGENT, [*_rules(rights), bind])


def webhook_roles(namespace: str, name: str) -> Sequence[Object]:
    """Return the rights of the webhook `name`: it looks at what it judges by, and keeps its own certificate."""
    known = resources()
    rights: Rights = {}
    for kind in watched_kinds(dialects()):
        _add(rights, known[kind], LOOK)
    _add(rights, builtin.CRDS, LOOK)
    told: Object = {
        "apiGroups": [builtin.VALIDATINGWEBHOOKS.group],
        "resources": [builtin.VALIDATINGWEBHOOKS.plural],
        "resourceNames": [name],
        "verbs": ["get", "patch"],
    }
    own: Object = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [name], "verbs": ["get", "patch"]}
    first: Object = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["create"]}
    role = {**_role(name, [own, first]), "kind": "Role", "metadata": {"name": name, "namespace": namespace}}
    return [_role(name, [*_rules(rights), told]), role]


def secrets_role() -> Object:
    """Return the ClusterRole that the operator binds to itself in namespaces whose Secrets it needs."""
    rule: Object = {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get", "list", "watch", "create", "patch", "delete"]}
    return _role(SECRETS_ROLE, [rule])


def lease_role(namespace: str) -> Object:
    """Return the Role by which operators agree on who acts."""
    rule: Object = {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["get", "list", "watch", "create", "update", "patch", "delete"],
    }
    return {**_role(OPERATOR, [rule]), "kind": "Role", "metadata": {"name": OPERATOR, "namespace": namespace}}


def bindable() -> Sequence[str]:
    """Return the ClusterRoles that the operator may bind: those that come with it, by name."""
    shipped = [obj["metadata"]["name"] for obj in addons() if kind_of(obj) == _CLUSTER_ROLE]
    return sorted({SECRETS_ROLE, *shipped})


def binding(kind: str, name: str, role: str, subject: Object, namespace: str = "") -> Object:
    """Return a ClusterRoleBinding, or a RoleBinding of `namespace`, to a role of the kind that fits."""
    meta: Object = {"name": name, **({"namespace": namespace} if namespace else {}), "labels": {MANAGED_BY: HOLDFAST}}
    return {
        "apiVersion": f"{_RBAC}/v1",
        "kind": "RoleBinding" if namespace else "ClusterRoleBinding",
        "metadata": meta,
        "roleRef": {"apiGroup": _RBAC, "kind": kind, "name": role},
        "subjects": [subject],
    }


def _role(name: str, rules: Sequence[Object]) -> Object:
    meta: Object = {"name": name, "labels": {MANAGED_BY: HOLDFAST}}
    return {"apiVersion": f"{_RBAC}/v1", "kind": "ClusterRole", "metadata": meta, "rules": list(rules)}


def _add(rights: Rights, resource: Resource, verbs: Iterable[str], subresource: str = "") -> None:
    name = f"{resource.plural}/{subresource}" if subresource else resource.plural
    rights.setdefault((resource.group, name), set()).update(verbs)


def _rules(rights: Rights) -> Sequence[Object]:
    """Group what has the same verbs in the same API group, in a fixed order."""
    order = (*LOOK, "create", "update", "patch", "delete")
    grouped: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for (group, name), verbs in sorted(rights.items()):
        grouped.setdefault((group, tuple(sorted(verbs, key=order.index))), []).append(name)
    return [
        {"apiGroups": [group], "resources": names, "verbs": list(verbs)} for (group, verbs), names in sorted(grouped.items())
    ]
