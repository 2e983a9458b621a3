"""Who is calling. One admin token, service account tokens bound to their account (and pod), nobody else.

Every caller that is known may do everything in this version: roles are stored and not yet evaluated. A service account's
token dies with the account or with the pod it is bound to, whatever its expiry says.
"""

import hmac
import secrets
import time
from pathlib import Path
from typing import cast

import msgspec

from holdfast.embedded.apiserver.errors import unauthorized
from holdfast.embedded.apiserver.objects import Object, part, texts
from holdfast.embedded.apiserver.pki import load_key, write_private
from holdfast.embedded.apiserver.store import Key, Store
from holdfast.embedded.apiserver.tokens import API_AUDIENCE, NODE_AUDIENCE, Signer

_SERVER_USER = "system:apiserver"
_NODE_TOKEN_SECONDS = 60


class User(msgspec.Struct, frozen=True):
    """A caller, as TokenReview describes one."""

    name: str
    uid: str = ""
    groups: tuple[str, ...] = ()
    extra: dict[str, list[str]] = {}

    def info(self) -> Object:
        """The UserInfo document."""
        info: Object = {"username": self.name, "groups": [*self.groups, "system:authenticated"]}
        if self.uid:
            info["uid"] = self.uid
        if self.extra:
            info["extra"] = self.extra
        return info


def _admin_token(path: Path) -> str:
    if not path.exists():
        write_private(path, secrets.token_urlsafe(32).encode())
    return path.read_text().strip()


class Auth:
    """Checks bearer tokens and issues those of service accounts."""

    def __init__(self, pki: Path, store: Store) -> None:
        self.admin_token = _admin_token(pki / "admin.token")
        self._admin = User("kubernetes-admin", groups=("system:masters",))
        self._signer = Signer(load_key(pki / "service-accounts.key"))
        self._store = store

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
        if hmac.compare_digest(token.encode(errors="replace"), self.admin_token.encode()):
            return self._admin
        claims = self._signer.claims(token, int(time.time()))
        if claims is None or not set(audiences) & set(texts(claims, "aud")):
            return None
        if claims["sub"] == _SERVER_USER:
            return User(_SERVER_USER, groups=("system:masters",))
        return self._account(claims)

    def _account(self, claims: Object) -> User | None:
        """The service account of a token, if it and the pod it is bound to still exist."""
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
        groups = ("system:serviceaccounts", f"system:serviceaccounts:{ns}")
        return User(claims["sub"], account["uid"], groups, extra)

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
