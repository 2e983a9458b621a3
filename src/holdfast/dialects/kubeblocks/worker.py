"""Service accounts of jobs: one without any right, since the controller does what the API is needed for; one for commands."""

from collections.abc import Sequence
from typing import Final

from holdfast.core.access import exec_access
from holdfast.core.objects import Object
from holdfast.core.plan import Child
from holdfast.dialects.kubeblocks import names

EXEC: Final = "kubeblocks-dataprotection-exec-worker"
"""The account of jobs that run commands in pods."""


def children(namespace: str) -> Sequence[Child]:
    """Return the account of jobs whose target names none."""
    return (Child(_account(names.WORKER, namespace)),)


def exec_children(namespace: str) -> Sequence[Child]:
    """Return the account of jobs that run commands in pods of a namespace, and its right to."""
    return exec_access(EXEC, namespace, labels={names.MANAGED_BY: names.MANAGER})


def _account(name: str, namespace: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ServiceAccount",
        "metadata": {"name": name, "namespace": namespace, "labels": {names.MANAGED_BY: names.MANAGER}},
    }
