"""The operator's rights: only what the code declares, no Secrets of the cluster, no way to more."""

from typing import Any

import pytest

from holdfast.cli import rights
from holdfast.cli.dialects import dialects, resources
from holdfast.dialects.antfly.dialect import Antfly
from holdfast.engine.grants import subject

RULES: list[dict[str, Any]] = [rule for role in rights.operator_roles() for rule in role["rules"]]


def verbs_on(group: str, plural: str, rules: list[dict[str, Any]] = RULES) -> set[str]:
    found: set[str] = set()
    for rule in rules:
        if group in rule.get("apiGroups", ()) and plural in rule.get("resources", ()) and not rule.get("resourceNames"):
            found.update(rule["verbs"])
    return found


def test_nothing_is_granted_by_a_wildcard() -> None:
    for rule in RULES:
        assert "*" not in [
            *rule["verbs"],
            *rule.get("resources", ()),
            *rule.get("apiGroups", ()),
            *rule.get("resourceNames", ()),
        ]


@pytest.mark.parametrize(
    ("group", "plural"),
    [("", "secrets"), ("rbac.authorization.k8s.io", "clusterroles"), ("", "serviceaccounts/token"), ("", "pods/exec")],
)
def test_what_would_open_the_cluster_is_not_granted(group: str, plural: str) -> None:
    assert verbs_on(group, plural) == set()


def test_roles_are_never_written_and_only_the_shipped_ones_are_bound() -> None:
    group = "rbac.authorization.k8s.io"
    assert not verbs_on(group, "clusterroles") & {"create", "update", "patch", "delete", "bind", "escalate"}
    assert verbs_on(group, "roles") == set()
    binds = [rule for rule in RULES if "bind" in rule["verbs"]]
    assert [rule["resourceNames"] for rule in binds] == [list(rights.bindable())]
    assert "kubestash-cron-job" in rights.bindable()
    assert "cluster-admin" not in rights.bindable()


def test_every_handled_kind_can_be_followed_and_its_status_written() -> None:
    known = resources()
    for dialect in dialects():
        for handler in dialect.handlers:
            resource = known[handler.kind]
            assert {"get", "list", "watch", "patch"} <= verbs_on(resource.group, resource.plural)
            assert "patch" in verbs_on(resource.group, f"{resource.plural}/status")


def test_a_dialect_that_is_not_spoken_gets_no_rights() -> None:
    rules = rights.api_role(Antfly())["rules"]
    assert "patch" in verbs_on("antfly.io", "antflybackups", rules)
    assert verbs_on("core.kubestash.com", "backupconfigurations", rules) == set()


def test_the_subject_of_a_grant_is_who_we_are() -> None:
    assert subject("system:serviceaccount:holdfast:operator") == {
        "kind": "ServiceAccount",
        "namespace": "holdfast",
        "name": "operator",
    }
    assert subject("holdfast:operator")["kind"] == "User"


def test_an_agent_reads_no_secrets_and_no_keys_and_sees_only_how_large_its_cluster_is() -> None:
    rules: list[dict[str, Any]] = rights.agent_role()["rules"]

    assert verbs_on("", "secrets", rules) == set()
    assert verbs_on("", "pods", rules) == set()
    assert (verbs_on("", "nodes", rules), verbs_on("", "namespaces", rules)) == ({"list"}, {"list"})
    assert verbs_on("cloudcasa.holdfast.dev", "apikeys", rules) == set()
    assert verbs_on("cloudcasa.holdfast.dev", "kubejobs", rules) >= {"create", "patch", "delete"}


def test_the_rest_server_reads_no_secrets_and_nothing_but_its_own_documents() -> None:
    rules: list[dict[str, Any]] = rights.rest_role()["rules"]

    assert verbs_on("", "secrets", rules) == set()
    assert verbs_on("", "pods", rules) == set()
    assert verbs_on("cloudcasa.holdfast.dev", "kubeoffloads", rules) >= {"create", "patch", "delete"}
    assert verbs_on("cloudcasa.holdfast.dev", "kubejobs/status", rules) == {"patch"}, "agents of others report how jobs stand"
