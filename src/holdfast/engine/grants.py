"""Rights on Secrets, taken namespace by namespace when first needed: the operator reads no Secret cluster-wide.

A namespace's grant is a RoleBinding of the operator to the ClusterRole `holdfast-secrets`, which an administrator sees with
`kubectl get rolebindings -A` and can take back. The operator may bind that role, so it takes the grant itself, on the
first refusal. API servers learn of a new binding with a delay, hence the few tries after it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from holdfast.kube.builtin import ROLEBINDINGS, SELFSUBJECTREVIEWS
from holdfast.kube.client import Client
from holdfast.kube.errors import Forbidden
from holdfast.kube.objects import Object

ROLE: Final = "holdfast-secrets"
"""The ClusterRole of a grant, and the name of its RoleBinding in each namespace."""

_GRANT: Final = "holdfast.dev/grant"
_PAUSES: Final = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds between tries after a new grant: API servers watch bindings and announce nothing."""

_RBAC: Final = "rbac.authorization.k8s.io"
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class Grants:
    """The grants of one operator."""

    def __init__(self, client: Client, name: str = ROLE) -> None:
        """`client` is the grantee's own; `name` is that of its bindings, so that two who need the same namespace don't meet."""
        self._client, self._name = client, name
        self._mark = name.removeprefix("holdfast-")
        self._subject: Object | None = None

    async def call(self, namespace: str, request: Callable[[], Awaitable[_Result]]) -> _Result:
        """Return what a request on Secrets of a namespace gives, with a grant if it needs one. Raises Forbidden at last."""
        try:
            return await request()
        except Forbidden:
            await self._take(namespace)
        for pause in _PAUSES:
            try:
                return await request()
            except Forbidden:
                await asyncio.sleep(pause)
        return await request()

    async def namespaces(self) -> Sequence[str]:
        """Return the namespaces for which there is a grant."""
        found = await self._client.list(ROLEBINDINGS, label_selector=f"{_GRANT}={self._mark}")
        return sorted({obj["metadata"]["namespace"] for obj in found.items})

    async def _take(self, namespace: str) -> None:
        subject = self._subject = self._subject or await self._me()
        await self._client.apply(
            ROLEBINDINGS,
            {
                "apiVersion": f"{_RBAC}/v1",
                "kind": "RoleBinding",
                "metadata": {"name": self._name, "namespace": namespace, "labels": {_GRANT: self._mark}},
                "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": ROLE},
                "subjects": [subject],
            },
        )
        _log.info("took the right to read and write Secrets in namespace %s (RoleBinding %s)", namespace, self._name)

    async def _me(self) -> Object:
        review: Object = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
        made = await self._client.create(SELFSUBJECTREVIEWS, review)
        return subject(made["status"]["userInfo"]["username"])


def subject(username: str) -> Object:
    """Return a user, or a service account by its user name, as the subject of a binding."""
    parts = username.split(":")
    if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4:
        return {"kind": "ServiceAccount", "namespace": parts[2], "name": parts[3]}
    return {"apiGroup": _RBAC, "kind": "User", "name": username}
