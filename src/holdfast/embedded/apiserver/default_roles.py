"""The ClusterRoles and bindings that exist from the first start on, as in Kubernetes, and those of Holdfast's own parts.

They are compared at every start: what is missing comes back, rules that were taken away are added again, what was added
stays, unless the object carries the annotation `rbac.authorization.kubernetes.io/autoupdate: "false"` (Kubernetes' RBAC
reference, auto-reconciliation).
"""

from collections.abc import Sequence
from typing import Final

from holdfast.embedded.apiserver import rbac
from holdfast.embedded.apiserver.authorizer import CLUSTER_BINDINGS, CLUSTER_ROLES
from holdfast.embedded.apiserver.metadata import stamp_new
from holdfast.embedded.apiserver.objects import Object, part, parts
from holdfast.embedded.apiserver.store import Key, Transaction

CONTROLLERS: Final = "holdfast:controllers"
NODE: Final = "holdfast:node"
_AUTOUPDATE: Final = "rbac.authorization.kubernetes.io/autoupdate"
_AGGREGATE: Final = "rbac.authorization.k8s.io/aggregate-to-"
_API_VERSION: Final = f"{rbac.GROUP}/v1"
READ: Final = "get list watch"
WRITE: Final = "create delete deletecollection patch update"
_ALL: Final = f"{READ} {WRITE}"
_DOCUMENTS: Final = "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/"

_VIEWED: Final = {
    "": "bindings configmaps endpoints events limitranges namespaces namespaces/status persistentvolumeclaims "
    "persistentvolumeclaims/status pods pods/log pods/status replicationcontrollers replicationcontrollers/scale "
    "replicationcontrollers/status resourcequotas resourcequotas/status serviceaccounts services "
    "services/status",
    "apps": "controllerrevisions daemonsets daemonsets/status deployments deployments/scale deployments/status replicasets "
    "replicasets/scale replicasets/status statefulsets statefulsets/scale statefulsets/status",
    "batch": "cronjobs cronjobs/status jobs jobs/status",
    "policy": "poddisruptionbudgets poddisruptionbudgets/status",
    "discovery.k8s.io": "endpointslices",
    "networking.k8s.io": "ingresses ingresses/status networkpolicies",
}
_EDITED: Final = {
    "": "configmaps events persistentvolumeclaims pods pods/attach pods/exec pods/portforward replicationcontrollers "
    "replicationcontrollers/scale secrets serviceaccounts services",
    "apps": "daemonsets deployments deployments/scale replicasets replicasets/scale statefulsets statefulsets/scale",
    "batch": "cronjobs jobs",
    "policy": "poddisruptionbudgets",
    "coordination.k8s.io": "leases",
    "networking.k8s.io": "ingresses networkpolicies",
}


def rule(verbs: str, group: str, resources: str) -> Object:
    """A PolicyRule; verbs and resources are separated by spaces."""
    return {"verbs": verbs.split(), "apiGroups": [group], "resources": resources.split()}


def role(name: str, *rules: Object, **labels: str) -> Object:
    """A ClusterRole that this server keeps up to date."""
    return {"kind": "ClusterRole", "metadata": _meta(name, labels), "rules": list(rules)}


def part_of(target: str, name: str, *rules: Object) -> Object:
    """A ClusterRole whose rules become part of `view`, `edit` or `admin`."""
    return role(name, *rules, **{f"{_AGGREGATE}{target}": "true"})


def binding(name: str, *subjects: tuple[str, str]) -> Object:
    """A ClusterRoleBinding of the ClusterRole of the same name to (kind, name) subjects."""
    return {
        "kind": "ClusterRoleBinding",
        "metadata": _meta(name, {}),
        "roleRef": {"apiGroup": rbac.GROUP, "kind": "ClusterRole", "name": name},
        "subjects": [{"apiGroup": rbac.GROUP, "kind": kind, "name": who} for kind, who in subjects],
    }


def _meta(name: str, labels: dict[str, str]) -> Object:
    marks = {"kubernetes.io/bootstrapping": "rbac-defaults", **labels}
    return {"name": name, "annotations": {_AUTOUPDATE: "true"}, "labels": marks}


def _sum(name: str, *targets: str) -> Object:
    selectors = [{"matchLabels": {f"{_AGGREGATE}{target}": "true"}} for target in targets]
    return {**role(name), "aggregationRule": {"clusterRoleSelectors": selectors}}


def _urls(text: str) -> Object:
    return {"verbs": ["get"], "nonResourceURLs": text.split()}


_SIGNED_IN: Final = ("Group", "system:authenticated")

DEFAULTS: Final[tuple[Object, ...]] = (
    role("cluster-admin", rule("*", "*", "*"), {"verbs": ["*"], "nonResourceURLs": ["*"]}),
    _sum("admin", "admin"),
    {**_sum("edit", "edit"), "metadata": _meta("edit", {f"{_AGGREGATE}admin": "true"})},
    {**_sum("view", "view"), "metadata": _meta("view", {f"{_AGGREGATE}edit": "true"})},
    part_of("view", "system:aggregate-to-view", *(rule(READ, group, names) for group, names in _VIEWED.items())),
    part_of(
        "edit",
        "system:aggregate-to-edit",
        rule(READ, "", "pods/attach pods/exec pods/portforward secrets"),
        rule("impersonate", "", "serviceaccounts"),
        rule("create", "", "pods/eviction serviceaccounts/token"),
        rule(READ, "coordination.k8s.io", "leases"),
        *(rule(WRITE, group, names) for group, names in _EDITED.items()),
    ),
    part_of(
        "admin",
        "system:aggregate-to-admin",
        rule("create", "authorization.k8s.io", "localsubjectaccessreviews"),
        rule(_ALL, rbac.GROUP, "roles rolebindings"),
    ),
    role(
        "system:basic-user",
        rule("create", "authorization.k8s.io", "selfsubjectaccessreviews selfsubjectrulesreviews"),
        rule("create", "authentication.k8s.io", "selfsubjectreviews"),
    ),
    role("system:discovery", _urls(_DOCUMENTS)),
    role("system:public-info-viewer", _urls("/healthz /livez /readyz /version /version/")),
    role(
        "system:auth-delegator",
        rule("create", "authentication.k8s.io", "tokenreviews"),
        rule("create", "authorization.k8s.io", "subjectaccessreviews"),
    ),
    role(CONTROLLERS, rule("*", "*", "*")),
    role(
        NODE,
        rule(
            READ,
            "",
            "configmaps namespaces nodes persistentvolumeclaims persistentvolumes pods secrets serviceaccounts services",
        ),
        rule(READ, "discovery.k8s.io", "endpointslices"),
        rule("create patch update", "", "nodes nodes/status events"),
        rule("patch update delete", "", "pods pods/status"),
        rule("create", "", "namespaces serviceaccounts/token"),
        rule("create patch update", "events.k8s.io", "events"),
        rule(f"{READ} create patch update delete", "coordination.k8s.io", "leases"),
        rule("create", "authentication.k8s.io", "tokenreviews"),
        rule("create", "authorization.k8s.io", "subjectaccessreviews"),
    ),
    binding("cluster-admin", ("Group", rbac.MASTERS)),
    binding("system:basic-user", _SIGNED_IN),
    binding("system:discovery", _SIGNED_IN),
    binding("system:public-info-viewer", _SIGNED_IN, ("Group", "system:unauthenticated")),
    binding(CONTROLLERS, ("User", CONTROLLERS)),
    binding(NODE, ("User", NODE)),
)


def ensure(transaction: Transaction, further: Sequence[Object] = ()) -> None:
    """Create what is missing and complete what has less than it should."""
    for wanted in (*DEFAULTS, *further):
        is_role = wanted["kind"] == "ClusterRole"
        key = Key(CLUSTER_ROLES if is_role else CLUSTER_BINDINGS, "", wanted["metadata"]["name"])
        record = transaction.get(key)
        if record is None:
            meta: Object = dict(wanted["metadata"])
            stamp_new(meta, generation=False)
            transaction.put(key, {"apiVersion": _API_VERSION, **wanted, "metadata": meta})
            continue
        present = record.object()
        if part(present, "metadata", "annotations").get(_AUTOUPDATE) == "false":
            continue
        changed = _completed_role(present, wanted) if is_role else _completed_binding(present, wanted)
        if changed != present:
            transaction.put(key, changed)


def _completed_role(present: Object, wanted: Object) -> Object:
    """The stored role with the rules it lacks; an aggregated one gets its rules from its parts."""
    if "aggregationRule" in wanted:
        return {**present, "aggregationRule": wanted["aggregationRule"]}
    lacks = rbac.missing(rbac.rules_of(present), rbac.rules_of(wanted))
    return {**present, "rules": [*parts(present, "rules"), *wanted["rules"]]} if lacks else present


def _completed_binding(present: Object, wanted: Object) -> Object:
    held = parts(present, "subjects")
    names = [(item.get("kind"), item.get("name")) for item in held]
    lacks = [item for item in wanted["subjects"] if (item["kind"], item["name"]) not in names]
    return {**present, "subjects": [*held, *lacks]} if lacks else present
