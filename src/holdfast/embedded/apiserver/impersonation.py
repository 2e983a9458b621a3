"""Acting as somebody else: the `Impersonate-*` headers, each part of which takes the right to impersonate it.

Headers and resources are those of Kubernetes' authentication reference, "User impersonation" (`kubectl --as`).
"""

from collections.abc import Iterable, Iterator
from typing import Final
from urllib.parse import unquote

from multidict import CIMultiDictProxy

from holdfast.embedded.apiserver.auth import AUTHENTICATED, User, account_groups
from holdfast.embedded.apiserver.authorizer import Authorizer
from holdfast.embedded.apiserver.errors import bad_request
from holdfast.embedded.apiserver.rbac import Act

_USER: Final = "Impersonate-User"
_EXTRA: Final = "Impersonate-Extra-"
_GROUP: Final = "Impersonate-Group"
_UID: Final = "Impersonate-Uid"
_AUTHENTICATION: Final = "authentication.k8s.io"


def _account(name: str) -> tuple[str, str]:
    """Namespace and name of a service account's user name; empty when it is none."""
    head, _, rest = name.partition("system:serviceaccount:")
    ns, _, account = rest.partition(":")
    return ("", "") if head or not account else (ns, account)


def _acts(name: str, groups: Iterable[str], uid: str, extra: dict[str, list[str]]) -> Iterator[Act]:
    """What the caller must be allowed, one act for each part of the identity."""
    ns, account = _account(name)
    yield Act("impersonate", "", "serviceaccounts" if account else "users", ns, account or name)
    for group in groups:
        yield Act("impersonate", "", "groups", "", group)
    if uid:
        yield Act("impersonate", _AUTHENTICATION, "uids", "", uid)
    for key, values in extra.items():
        for value in values:
            yield Act("impersonate", _AUTHENTICATION, f"userextras/{key}", "", value)


def acting(headers: "CIMultiDictProxy[str]", user: User, authorizer: Authorizer) -> User:
    """The user that a request acts as; 403 when the caller may not act as them, 400 for a group without a user."""
    if _USER not in headers and _GROUP not in headers and _UID not in headers:
        return user
    name, groups = headers.get(_USER, ""), headers.getall(_GROUP, [])
    uid = headers.get(_UID, "")
    extra: dict[str, list[str]] = {}
    for header, value in headers.items():
        if header.lower().startswith(_EXTRA.lower()):
            extra.setdefault(unquote(header[len(_EXTRA) :]).lower(), []).append(value)
    if not name:
        raise bad_request(f"impersonating a group or uid needs the header {_USER} too")
    for act in _acts(name, groups, uid, extra):
        authorizer.require(user, act)
    ns, account = _account(name)
    if account and not groups:
        groups = list(account_groups(ns))
    if name != "system:anonymous" and AUTHENTICATED not in groups:
        groups = [*groups, AUTHENTICATED]
    return User(name, uid, tuple(groups), extra)
