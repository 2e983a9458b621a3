"""Who may call a node: bearers of a token that the API server vouches for, and holders of a certificate that it lets.

The embedded API server comes with a token, a real one with its client certificate, as it comes to a kubelet. Which authority
signs those stands in a ConfigMap of every real cluster; whether their holder may do it is asked of the cluster's own roles
(SubjectAccessReview on `nodes/proxy`), as kubelets ask. What was found good is remembered for some seconds.
"""

import hashlib
import time
from collections.abc import Mapping
from typing import Any, Final, cast

from aiohttp import web

from holdfast.core.objects import Object
from holdfast.embedded.read import mapping
from holdfast.kube.builtin import CONFIGMAPS
from holdfast.kube.client import Client
from holdfast.kube.errors import ApiError

_TOKEN_REVIEWS: Final = "/apis/authentication.k8s.io/v1/tokenreviews"
_ACCESS_REVIEWS: Final = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
_AUTHORITIES: Final = ("extension-apiserver-authentication", "kube-system")
_VOUCHED_SECONDS: Final = 10.0
"""How long somebody who was found good is not asked about again."""

Certificate = Mapping[str, Any]
"""A verified certificate, as `ssl.SSLSocket.getpeercert` describes one."""


async def client_authority(client: Client) -> str:
    """Return the PEM text of the authority of the cluster's client certificates; empty where there is none to be read."""
    try:
        found = await client.get(CONFIGMAPS, *_AUTHORITIES)
    except ApiError:
        return ""
    return str(mapping(found, "data").get("client-ca-file") or "")


class Callers:
    """Judges the callers of one node."""

    def __init__(self, client: Client, node: str) -> None:
        self._client = client
        self._node = node
        self._good: dict[bytes, float] = {}

    async def require(self, headers: Mapping[str, str], certificate: Certificate | None) -> None:
        """Let a caller pass. Raises aiohttp's 401 for who is nobody, 403 for who may not, 503 while that can't be told."""
        scheme, _, token = headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer" and token.strip():
            key = hashlib.sha256(token.strip().encode()).digest()
            if not self._is_known(key):
                await self._vouch(token.strip())
        elif certificate:
            user, groups = _subject(certificate)
            key = hashlib.sha256(repr((user, groups)).encode()).digest()
            if not self._is_known(key):
                await self._allow(user, groups)
        else:
            raise web.HTTPUnauthorized(text="a bearer token, or a client certificate of the cluster, is needed")
        self._good[key] = time.monotonic() + _VOUCHED_SECONDS

    def _is_known(self, key: bytes) -> bool:
        now = time.monotonic()
        self._good = {known: until for known, until in self._good.items() if until > now}
        return key in self._good

    async def _vouch(self, token: str) -> None:
        status = await self._ask(_TOKEN_REVIEWS, "authentication.k8s.io/v1", "TokenReview", {"token": token})
        if not status.get("authenticated"):
            raise web.HTTPUnauthorized(text="the API server does not know this token")

    async def _allow(self, user: str, groups: list[str]) -> None:
        asked = {"verb": "create", "resource": "nodes", "subresource": "proxy", "name": self._node}
        spec: Object = {"user": user, "groups": groups, "resourceAttributes": asked}
        status = await self._ask(_ACCESS_REVIEWS, "authorization.k8s.io/v1", "SubjectAccessReview", spec)
        if not status.get("allowed"):
            raise web.HTTPForbidden(text=f"user {user!r} may not create nodes/proxy of node {self._node!r}: bind a role to it")

    async def _ask(self, path: str, version: str, kind: str, spec: Object) -> Object:
        try:
            answer = await self._client.post_raw(path, {"apiVersion": version, "kind": kind, "spec": spec})
        except ApiError as problem:
            raise web.HTTPServiceUnavailable(text=f"the API server can't tell now who calls: {problem}") from None
        return dict(mapping(answer, "status"))


def _subject(certificate: Certificate) -> tuple[str, list[str]]:
    """Return user and groups: common name and organizations (Kubernetes' documentation, "X509 client certificates")."""
    pairs = [pair for part in cast(tuple[tuple[tuple[str, str], ...], ...], certificate.get("subject", ())) for pair in part]
    user = next((value for name, value in pairs if name == "commonName"), "")
    return user, [value for name, value in pairs if name == "organizationName"] + ["system:authenticated"]
