"""Behaviour 19: which repository a Backup goes to. Its label beats the policy, which beats the one default that is Ready."""

from __future__ import annotations

from typing import Any

from tests.unit.kubeblocks.memory import GROUP, JOB, Memory, thing

from holdfast.core.objects import Kind, Object
from holdfast.dialects.kubeblocks import repos

TARGET = {"podSelector": {"matchLabels": {"app": "db"}}}


def repo(name: str, *, default: bool = False, phase: str = "Ready") -> Object:
    marks = {f"{GROUP}/is-default-repo": "true"} if default else {}
    spec = {"storageProviderRef": "pvc", "pvReclaimPolicy": "Retain"}
    return thing("BackupRepo", name, meta={"annotations": marks}, status={"phase": phase}, **spec)


def policy(**spec: Any) -> Object:
    return thing("BackupPolicy", "shop", backupMethods=[{"name": "dump", "actionSetName": "dump"}], target=TARGET, **spec)


def backup(**labels: str) -> Object:
    meta = {"labels": {f"{GROUP}/backup-repo-name": name for name in labels.values()}}
    return thing("Backup", "now", meta=meta, backupPolicyName="shop", backupMethod="dump")


def chosen(obj: Object, given: Object, *objects: Object) -> str:
    """Return the name of the chosen repository, or why there is none."""
    found = repos.choose(obj, given, Memory(*objects))
    return found["metadata"]["name"] if isinstance(found, dict) else found.message


ALL = (repo("labelled"), repo("named"), repo("usual", default=True))


def test_19_the_label_of_a_backup_beats_its_policy_which_beats_the_default() -> None:
    assert chosen(backup(repo="labelled"), policy(backupRepoName="named"), *ALL) == "labelled"
    assert chosen(backup(), policy(backupRepoName="named"), *ALL) == "named"
    assert chosen(backup(), policy(), *ALL) == "usual"


def test_19_a_default_that_is_not_ready_does_not_count() -> None:
    assert chosen(backup(), policy(), *ALL, repo("broken", default=True, phase="Failed")) == "usual"


def test_19_two_ready_defaults_are_none_and_both_are_named() -> None:
    said = chosen(backup(), policy(), *ALL, repo("second", default=True))
    assert "second, usual" in said
    assert "marked as default" in said


def test_19_without_any_default_the_backup_fails_and_says_what_to_do() -> None:
    pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "db-0", "namespace": "default", "labels": {"app": "db"}}}
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    pod |= {"spec": {"containers": [{"name": "db"}]}, "status": ready}
    memory = Memory(thing("ActionSet", "dump", backup={"backupData": JOB}), policy(), backup(), pod)
    memory.handlers.pop(Kind(GROUP, "BackupRepo"))
    memory.settle()
    found = memory.status("Backup", "now")
    assert found["phase"] == "Failed"
    assert "none is the default" in found["failureReason"]
