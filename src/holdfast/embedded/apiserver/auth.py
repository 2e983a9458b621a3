"""Who is calling: the administrator, Holdfast's own parts, or a service account; nobody else is let in.

What a caller may do is for `authorizer`. A service account's token dies with the account or with the pod it is bound to,
whatever its expiry says. A signature is checked once and remembered; every use checks the times, and a deletion forgets.
"""

import hashlib
import secrets
import time
from pathlib import Path
from typing import Final, NamedTuple, cast

import msgspec

from holdfast.embedded.apiserver.errors import unauthorized
from holdfast.embedded.apiserver.objects import Object, part, texts
from holdfast.embedded.apiserver.pki import load_key, write_private
from holdfast.embedded.apiserver.store import Change, Key, Store
from holdfast.embedded.apiserver.tokens import API_AUDIENCE, NODE_AUDIENCE, Signer

AUTHENTICATED = "system:authenticated"
_SERVER_USER = "system:apiserver"
_NODE_TOKEN_SECONDS = 60
_REMEMBERED = 4096

ADMIN, CONTROLLERS, OPERATOR, NODE, REST = "admin", "controllers", "operator", "node", "rest"
"""Names of the identities that have a token file and a kubeconfig."""


def account_groups(ns: str) -> tuple[str, ...]:
    """The groups of every service account of a namespace."""
    return "system:serviceaccounts", f"system:serviceaccounts:{ns}"


_BOUND: Final = frozenset({"/serviceaccounts", "/pods"})


def _digest(token: str) -> bytes:
    """What a token is known by: looked up by its hash, so that the time taken tells nothing of the token."""
    return hashlib.sha256(token.encode(errors="replace")).digest()


class User(msgspec.Struct, frozen=True):
    """A caller, as TokenReview describes one; `groups` are all of them, `system:authenticated` too."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, list[str]] = {}

    def info(self) -> Object:
        """The UserInfo document."""
        info: Object = {"username": self.name, "groups": list(self.groups)}
        if self.uid:
            info["uid"] = self.uid
        if self.extra:
            info["extra"] = self.extra
        return info


_OWN: Final = {
    ADMIN: User("kubernetes-admin", groups=("system:masters", AUTHENTICATED)),
    CONTROLLERS: User("holdfast:controllers", groups=(AUTHENTICATED,)),
    OPERATOR: User("holdfast:operator", groups=(AUTHENTICATED,)),
    NODE: User("holdfast:node", groups=(AUTHENTICATED,)),
    REST: User("holdfast:rest", groups=(AUTHENTICATED,)),
}


class _Known(NamedTuple):
    """A token whose signature and account were found good. Times are seconds since the epoch."""

    user: User
    audiences: frozenset[str]
    since: float
    until: float
    uids: frozenset[str]


def _own_token(path: Path) -> str:
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode())
    return path.read_text().strip()


class Auth:
    """Checks bearer tokens and issues those of service accounts."""

    def __init__(self, pki: Path, store: Store) -> None:
        self.tokens = {name: _own_token(pki / f"{name}.token") for name in _OWN}
        self._own = {_digest(token): _OWN[name] for name, token in self.tokens.items()}
        self._signer = Signer(load_key(pki / "service-accounts.key"))
        self._store = store
        self._known: dict[bytes, _Known] = {}
        store.listeners.append(self._notice)

    def _notice(self, changes: list[Change]) -> None:
        """Forget the tokens of accounts and pods that are gone."""
        gone = {change.new.uid for change in changes if change.type == "DELETED" and change.new.key.res in _BOUND}
        if gone:
            self._known = {key: known for key, known in self._known.items() if not gone & known.uids}

    def caller(self, header: str) -> User:
        """The user of an Authorization header; 401 when there is none or it is not valid."""
        scheme, _, token = header.partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise unauthorized()
        user = self.user_of(token.strip(), (API_AUDIENCE,))
        if user is None:
            raise unauthorized()
        return user

    def user_of(self, token: str, audiences: tuple[str, ...]) -> User | None:
        """The user of a token that is meant for one of `audiences`, or None."""
        digest = _digest(token)
        if digest in self._own:
            return self._own[digest]
        known = self._known.get(digest) or self._learn(token, digest)
        if known is None or not known.since <= time.time() < known.until or known.audiences.isdisjoint(audiences):
            return None
        return known.user

    def _learn(self, token: str, digest: bytes) -> _Known | None:
        """Check a token that was not seen before, and remember it when it is good."""
        claims = self._signer.claims(token, int(time.time()))
        if claims is None:
            return None
        user, uids = User(_SERVER_USER, groups=(AUTHENTICATED,)), frozenset[str]()
        if claims["sub"] != _SERVER_USER:
            found = self._account(claims)
            if found is None:
                return None
            user, uids = found
        known = _Known(user, frozenset(texts(claims, "aud")), claims["nbf"], claims["exp"], uids)
        if len(self._known) >= _REMEMBERED:
            self._known.clear()
        self._known[digest] = known
        return known

    def _account(self, claims: Object) -> tuple[User, frozenset[str]] | None:
        """The service account of a token and the uids that it lives by, if it and the pod it is bound to still exist."""
        bound = cast(Object, claims.get("kubernetes.io") or {})
        account, ns = part(bound, "serviceaccount"), cast(str, bound.get("namespace", ""))
        extra: dict[str, list[str]] = {}
        wanted = [("/serviceaccounts", account)]
        if pod := bound.get("pod"):
            wanted.append(("/pods", pod))
            extra = {
                "authentication.kubernetes.io/pod-name": [pod["name"]],
                "authentication.kubernetes.io/pod-uid": [pod["uid"]],
            }
        for res, ref in wanted:
            record = self._store.get(Key(res, ns, ref.get("name", "")))
            if record is None or record.uid != ref.get("uid"):
                return None
        user = User(claims["sub"], account["uid"], (*account_groups(ns), AUTHENTICATED), extra)
        return user, frozenset(str(ref["uid"]) for _, ref in wanted)

    def node_token(self) -> str:
        """A token for one call to a node: the API itself does not accept it."""
        return self._signer.sign(_SERVER_USER, [NODE_AUDIENCE], int(time.time()), _NODE_TOKEN_SECONDS)

    def account_token(self, account: Object, audiences: list[str], seconds: int, pod: Object | None) -> tuple[str, int]:
        """A token of a service account and its expiry (seconds since the epoch), bound to `pod` when one is given."""
        meta, now = account["metadata"], int(time.time())
        private: Object = {
            "namespace": meta["namespace"],
            "serviceaccount": {"name": meta["name"], "uid": meta["uid"]},
        }
        if pod is not None:
            private["pod"] = {"name": pod["metadata"]["name"], "uid": pod["metadata"]["uid"]}
        subject = f"system:serviceaccount:{meta['namespace']}:{meta['name']}"
        return self._signer.sign(subject, audiences or [API_AUDIENCE], now, seconds, private), now + seconds

    def review(self, token: str, audiences: list[str]) -> Object:
        """The status of a TokenReview. A node's review also accepts the token that we call the node with."""
        user = self.user_of(token, (*audiences, NODE_AUDIENCE) if audiences else (API_AUDIENCE, NODE_AUDIENCE))
        if user is None:
            return {"authenticated": False, "error": "the token is unknown, expired, or its account is gone"}
        return {"authenticated": True, "user": user.info(), "audiences": audiences or [API_AUDIENCE]}
