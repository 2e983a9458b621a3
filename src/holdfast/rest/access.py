"""Who asks, and what they may do: API keys of ours, or bearer tokens of the cluster.

A key belongs to one organisation and sees nothing else. Any other token is shown to the API server (TokenReview), and each
request of its user is put to it (SubjectAccessReview) as a verb on our custom resources in the organisation's namespace; both
answers are remembered for half a minute. Every identity has its own allowance of requests.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Final, Protocol

import msgspec

from holdfast.core.objects import Object
from holdfast.core.read import flag, mapping, namespace_of, strings, text
from holdfast.dialects.cloudcasa.kinds import GROUP, ORGANIZATION
from holdfast.dialects.cloudcasa.resources import COLLECTIONS
from holdfast.kube.client import Client
from holdfast.kube.errors import ApiError
from holdfast.rest import keys
from holdfast.rest.errors import RestError

ORGANIZATION_HEADER: Final = "X-Organization"
"""Names the organisation that a token of the cluster asks about; a key has one of its own."""

REMEMBER: Final = 30.0
_MOST_REMEMBERED: Final = 10_000
_BAD_TRIES: Final = 20.0
"""Failed sign-ins a second from one address before it has to wait."""

_ROLE_OF: Final[Mapping[str, str]] = {"get": "viewer", "list": "viewer", "run": "operator"}
_CHALLENGE: Final = {"WWW-Authenticate": 'Bearer realm="holdfast"'}


class Caller(msgspec.Struct, frozen=True):
    """Who asks. `roles` are those of a key; a user of the cluster has none, and every request is asked about.

    `cluster` is the one that an agent's key is for.
    """

    identity: str
    organization: str
    roles: frozenset[str] = frozenset()
    user: str = ""
    groups: tuple[str, ...] = ()
    cluster: str = ""


class KeyStore(Protocol):
    """Knows the keys."""

    def key(self, ident: str) -> Object | None:
        """Return the object of an API key."""
        ...


class Allowance:
    """Requests a second for each identity, with twice as many at once."""

    def __init__(self, per_second: float, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._rate, self._monotonic = per_second, monotonic
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, identity: str) -> float:
        """Take one; returns the seconds to wait, 0 when there is one."""
        now = self._monotonic()
        left, since = self._left.get(identity, (2 * self._rate, now))
        left = min(left + (now - since) * self._rate, 2 * self._rate)
        if left < 1:
            self._left[identity] = (left, now)
            return (1 - left) / self._rate
        if len(self._left) > _MOST_REMEMBERED:
            self._left.clear()
        self._left[identity] = (left - 1, now)
        return 0.0


class Gatekeeper:
    """Recognises callers and judges requests."""

    def __init__(self, store: KeyStore, client: Client, *, per_second: float, clock: Callable[[], float] = time.time) -> None:
        self._store, self._client, self._clock = store, client, clock
        self._allowance, self._failures = Allowance(per_second), Allowance(_BAD_TRIES)
        self._users: dict[str, tuple[float, Caller | None]] = {}
        self._answers: dict[tuple[str, ...], tuple[float, bool]] = {}

    async def caller(self, headers: Mapping[str, str], address: str) -> Caller:
        """Return who asks. Raises RestError 401, 429."""
        given = headers.get("Authorization", "")
        scheme, _, token = given.partition(" ")
        if not token or scheme.lower() != "bearer":
            raise RestError(
                401, "Please provide proper credentials: header Authorization: Bearer <API key>", headers=_CHALLENGE
            )
        found = self._by_key(token) if token.startswith("hfk_") else await self._by_review(token, headers)
        if isinstance(found, str):
            if wait := self._failures.take(address):
                raise _too_many(wait)
            raise RestError(401, found, headers=_CHALLENGE)
        if wait := self._allowance.take(found.identity):
            raise _too_many(wait)
        return found

    async def allow(self, caller: Caller, verb: str, plural: str) -> None:
        """Raise RestError 403 unless a caller may do this. `verb`: get, list, run, create, update, patch, delete."""
        if caller.cluster:
            raise RestError(403, f"an agent's key only reports for its cluster: it may not {verb} {plural}")
        if caller.user:
            if not await self._reviewed(caller, verb, plural):
                where = f"{plural} of organisation {caller.organization}"
                raise RestError(403, f"user {caller.user} may not {verb} {where}: RBAC of the cluster decides")
            return
        needed = "admin" if plural in ("apikeys", "settings") else _ROLE_OF.get(verb, "editor")
        if needed not in caller.roles:
            raise RestError(403, f"this API key may not {verb} {plural}: that needs role {needed}")

    def allow_agent(self, caller: Caller, cluster: str) -> None:
        """Raise RestError 403 unless a caller is the agent of this cluster."""
        if caller.cluster != cluster:
            raise RestError(403, f"only the agent of kubecluster {cluster} reports for it: use the key of its own manifest")

    def _by_key(self, token: str) -> Caller | str:
        found = keys.parts(token)
        obj = self._store.key(found[0]) if found else None
        if found is None or obj is None or not keys.matches(obj, found[1]):
            return "this API key is not known: it may have been revoked"
        if keys.expired(obj, self._clock()):
            return "this API key has expired: make a new one"
        return Caller(f"key {found[0]}", namespace_of(obj), keys.roles_of(obj), cluster=text(obj, "spec", "cluster"))

    async def _by_review(self, token: str, headers: Mapping[str, str]) -> Caller | str:
        organization = headers.get(ORGANIZATION_HEADER, ORGANIZATION)
        digest = hashlib.sha256(f"{organization}\0{token}".encode()).hexdigest()
        until, caller = self._users.get(digest, (0.0, None))
        if until < self._clock():
            caller = await self._review(token, organization)
            _remember(self._users)
            self._users[digest] = (self._clock() + REMEMBER, caller)
        return caller or "this token is neither an API key nor one of the cluster"

    async def _review(self, token: str, organization: str) -> Caller | None:
        body: Object = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": {"token": token}}
        try:
            status = mapping(await self._client.post_raw("/apis/authentication.k8s.io/v1/tokenreviews", body), "status")
        except ApiError as error:
            raise RestError(503, f"the API server does not say whose token this is: {error.reason or error.status}") from None
        if not flag(status, "authenticated"):
            return None
        user = text(status, "user", "username")
        return Caller(f"user {user}", organization, user=user, groups=tuple(strings(status, "user", "groups")))

    async def _reviewed(self, caller: Caller, verb: str, plural: str) -> bool:
        spec = COLLECTIONS[plural].spec.plural if plural in COLLECTIONS else plural
        asked = ("create", "kubejobs") if verb == "run" else (verb, "organizations" if plural == "settings" else spec)
        question = (caller.user, *caller.groups, caller.organization, *asked)
        until, answer = self._answers.get(question, (0.0, False))
        if until >= self._clock():
            return answer
        attributes = {"namespace": caller.organization, "verb": asked[0], "group": GROUP, "resource": asked[1]}
        body: Object = {
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": caller.user, "groups": list(caller.groups), "resourceAttributes": attributes},
        }
        try:
            status = mapping(await self._client.post_raw("/apis/authorization.k8s.io/v1/subjectaccessreviews", body), "status")
        except ApiError as error:
            raise RestError(503, f"the API server does not say what is allowed: {error.reason or error.status}") from None
        _remember(self._answers)
        self._answers[question] = (self._clock() + REMEMBER, flag(status, "allowed"))
        return flag(status, "allowed")


def _remember(store: dict[Any, Any]) -> None:
    """Make room before something is remembered."""
    if len(store) >= _MOST_REMEMBERED:
        store.clear()


def _too_many(wait: float) -> RestError:
    return RestError(429, "too many requests: slow down", headers={"Retry-After": str(max(1, round(wait + 0.5)))})
