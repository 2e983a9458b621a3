"""Rights on Secrets, taken namespace by namespace when first needed: the operator reads no Secret cluster-wide.

A namespace's grant is a RoleBinding to the ClusterRole `holdfast-secrets`, which an administrator sees with `kubectl get
rolebindings -A` and can take back. Each identity (the operator, the REST server) has bindings of its own name. It may bind
that role, so it takes the grant itself, on the first refusal. API servers learn of a new binding with a delay, hence the few
tries after it.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from holdfast.core.objects import bounded_name
from holdfast.kube.builtin import ROLEBINDINGS, SELFSUBJECTREVIEWS
from holdfast.kube.client import Client
from holdfast.kube.errors import Forbidden
from holdfast.kube.objects import Object

ROLE: Final = "holdfast-secrets"
"""The ClusterRole of a grant, and how the name of its RoleBinding in each namespace begins."""

_GRANT: Final = "holdfast.dev/grant"
_PAUSES: Final = (0.05, 0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds between tries after a new grant: API servers watch bindings and announce nothing."""

_RBAC: Final = "rbac.authorization.k8s.io"
_Result = TypeVar("_Result")
_log = logging.getLogger(__name__)


class Grants:
    """The grants of one identity."""

    def __init__(self, client: Client) -> None:
        """`client` is the identity's own: what it is told about itself becomes the subject of the grants."""
        self._client = client
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
        """Return the namespaces for which this identity has a grant."""
        me = await self._me()
        found = await self._client.list(ROLEBINDINGS, label_selector=f"{_GRANT}=secrets")
        return sorted({obj["metadata"]["namespace"] for obj in found.items if obj["metadata"]["name"] == binding_name(me)})

    async def _take(self, namespace: str) -> None:
        me = await self._me()
        await self._client.apply(
            ROLEBINDINGS,
            {
                "apiVersion": f"{_RBAC}/v1",
                "kind": "RoleBinding",
                "metadata": {"name": binding_name(me), "namespace": namespace, "labels": {_GRANT: "secrets"}},
                "roleRef": {"apiGroup": _RBAC, "kind": "ClusterRole", "name": ROLE},
                "subjects": [me],
            },
        )
        _log.info("took the right to read and write Secrets in namespace %s (RoleBinding %s)", namespace, binding_name(me))

    async def _me(self) -> Object:
        if self._subject is None:
            review: Object = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview", "metadata": {}}
            made = await self._client.create(SELFSUBJECTREVIEWS, review)
            self._subject = subject(made["status"]["userInfo"]["username"])
        return self._subject


def binding_name(who: Object) -> str:
    """Return the name of an identity's bindings: two that need Secrets of the same namespace must not share one."""
    place = f"{who['namespace']}-" if "namespace" in who else ""
    return bounded_name(f"{ROLE}-{place}{who['name'].replace(':', '-')}")


def subject(username: str) -> Object:
    """Return a user, or a service account by its user name, as the subject of a binding."""
    parts = username.split(":")
    if parts[:2] == ["system", "serviceaccount"] and len(parts) == 4:
        return {"kind": "ServiceAccount", "namespace": parts[2], "name": parts[3]}
    return {"apiGroup": _RBAC, "kind": "User", "name": username}
