"""What installs the agent of another cluster: the operator's objects, and the agent with its connection.

The agent lives in the namespace `cloudcasa-io` and lays down what it brings in `cloudcasa-agent`. It reads one Secret, that
with its connection, and may write our own kinds; Secrets of objectstores it writes in its own namespace, by a grant.
"""

from __future__ import annotations

import base64
import functools
from collections.abc import Sequence
from typing import Final

from holdfast.cli import deployment, rights
from holdfast.core.objects import Object
from holdfast.dialects.cloudcasa.kinds import AGENT_NAMESPACE, ORGANIZATION, ORGANIZATION_LABEL
from holdfast.rest.agents import Connection
from holdfast.schema.generate import to_yaml

HOME: Final = ORGANIZATION
"""The namespace of the agent."""

SETTINGS: Final = "cloudcasa-agent"
"""The name of the agent's Deployment, account, and of the Secret with its connection."""


def agent_manifest(connection: Connection, whole: bool) -> str:
    """Return the objects of an agent as YAML; `whole` has the operator before them."""
    agent = "---\n".join(to_yaml(obj) for obj in agent_objects(connection))
    return f"{_operator()}---\n{agent}" if whole else agent


def agent_objects(connection: Connection) -> Sequence[Object]:
    """Return the objects of an agent, in an order in which they can be applied."""
    account: Object = {"kind": "ServiceAccount", "name": SETTINGS, "namespace": HOME}
    meta: Object = {"name": SETTINGS, "namespace": HOME}
    data = {"url": connection.url, "cluster": connection.cluster, "key": connection.key, "ca.crt": connection.ca}
    coded = {name: base64.b64encode(value.encode()).decode() for name, value in data.items()}
    own: Object = {"apiGroups": [""], "resources": ["secrets"], "resourceNames": [SETTINGS], "verbs": ["get"]}
    role: Object = {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": meta, "rules": [own]}
    return [
        {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": HOME}},
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": AGENT_NAMESPACE, "labels": {ORGANIZATION_LABEL: "true"}},
        },
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta},
        rights.agent_role(),
        rights.binding("ClusterRole", rights.AGENT, rights.AGENT, account),
        role,
        rights.binding("Role", SETTINGS, SETTINGS, account, HOME),
        {"apiVersion": "v1", "kind": "Secret", "metadata": meta, "data": coded},
        deployment.agent(SETTINGS, HOME),
    ]


@functools.cache
def _operator() -> str:
    return "---\n".join(to_yaml(obj) for obj in deployment.everything())
