"""What belongs to namespaces though it lies in none."""

from typing import Any

import pytest

from holdfast.core.belongings import BINDINGS, ROLES, STORAGE_CLASSES, VOLUMES, Around, belongings, left_to_the_cluster
from holdfast.core.labels import OWNER_UID
from holdfast.core.objects import Object


def binding(name: str, subject: Object, role: str = "role", **labels: str) -> Object:
    reference = {"kind": "ClusterRole", "name": role}
    return {"metadata": {"name": name, "labels": labels}, "roleRef": reference, "subjects": [subject]}


def account(namespace: str) -> Object:
    return {"kind": "ServiceAccount", "name": "default", "namespace": namespace}


def found(**around: Any) -> dict[str, list[str]]:
    return {name: sorted(names) for name, names in belongings(Around(namespaces=("shop",), **around)).items() if names}


def test_volumes_and_classes_are_those_of_the_claims() -> None:
    claims = (
        {"metadata": {"name": "a"}, "spec": {"volumeName": "pv-1", "storageClassName": "fast"}},
        {"metadata": {"name": "b"}, "spec": {}},
    )

    assert found(claims=claims) == {"namespaces": ["shop"], VOLUMES: ["pv-1"], STORAGE_CLASSES: ["fast"]}


@pytest.mark.parametrize(
    ("subject", "belongs"),
    [
        (account("shop"), True),
        (account("other"), False),
        ({"kind": "Group", "name": "system:serviceaccounts:shop"}, True),
        ({"kind": "Group", "name": "system:serviceaccounts"}, False),
        ({"kind": "User", "name": "shop"}, False),
    ],
)
def test_a_cluster_wide_right_belongs_to_the_namespaces_of_its_accounts(subject: Object, belongs: bool) -> None:
    wanted = {BINDINGS: ["reads"], ROLES: ["role"]} if belongs else {}

    assert found(cluster_bindings=(binding("reads", subject),)) == {"namespaces": ["shop"], **wanted}


def test_roles_that_are_used_inside_come_along_and_the_rights_of_our_own_runs_do_not() -> None:
    ours = binding("run", account("shop"), "holdfast-manifests-read", **{OWNER_UID: "1"})
    inside = binding("inside", {"kind": "User", "name": "jane"}, "reader")
    local = {**binding("own", account("shop")), "roleRef": {"kind": "Role", "name": "own"}}

    assert found(role_bindings=(inside, local, ours), cluster_bindings=(ours,)) == {"namespaces": ["shop"], ROLES: ["reader"]}


@pytest.mark.parametrize(
    ("name", "labels", "left"),
    [("reader", {}, False), ("system:node", {}, True), ("admin", {"kubernetes.io/bootstrapping": "rbac-defaults"}, True)],
)
def test_what_each_cluster_has_is_left_to_it(name: str, labels: dict[str, str], left: bool) -> None:
    assert left_to_the_cluster(ROLES, {"metadata": {"name": name, "labels": labels}}) is left
