"""API keys: made, shown once, kept as a digest, and recognised.

A key is `hfk_<id>_<secret>`: the id names the Apikey object, the secret is 32 random bytes. A digest of that much chance needs
no slow hash: there is nothing to guess. At most ten keys of an organisation are active.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from holdfast.core.objects import Object
from holdfast.core.read import mapping, number, strings, text
from holdfast.dialects.cloudcasa.kinds import AGENT, API_VERSION, APIKEY

MOST: Final = 10
"""Active keys of one organisation."""

ROLES: Final = ("viewer", "operator", "editor", "admin")
"""Each may do what those before it may: read; run and cancel; write documents; manage keys and settings."""

_KEY: Final = re.compile(r"hfk_([0-9a-f]{24})_([A-Za-z0-9_-]{43})")


class Made(msgspec.Struct, frozen=True):
    """A new key and the object that remembers it. The repr does not show the key."""

    key: str
    object: Object

    def __repr__(self) -> str:
        """Name the object only."""
        return f"Made({self.object['metadata']['name']})"


def make(organization: str, name: str, roles: Sequence[str], expires: int | None = None, cluster: str = "") -> Made:
    """Make a key for an organisation. `expires` is in Unix seconds; `cluster` is the one that an agent's key is for."""
    ident, secret = secrets.token_hex(12), secrets.token_urlsafe(32)
    spec: Object = {"name": name, "roles": list(roles), "digest": digest(secret)}
    if expires is not None:
        spec["expires"] = expires
    if cluster:
        spec["cluster"] = cluster
    meta: Object = {"name": ident, "namespace": organization}
    obj: Object = {"apiVersion": API_VERSION, "kind": APIKEY.kind, "metadata": meta, "spec": spec}
    return Made(f"hfk_{ident}_{secret}", obj)


def digest(secret: str) -> str:
    """Return what is kept of a secret."""
    return hashlib.sha256(secret.encode()).hexdigest()


def parts(key: str) -> tuple[str, str] | None:
    """Return id and secret of a key; None when it does not look like one."""
    match = _KEY.fullmatch(key)
    return (match.group(1), match.group(2)) if match else None


def matches(obj: Object, secret: str) -> bool:
    """Whether an object remembers this secret."""
    return hmac.compare_digest(text(obj, "spec", "digest"), digest(secret))


def expired(obj: Object, now: float) -> bool:
    """Whether a key has ended."""
    end = number(obj, "spec", "expires")
    return end is not None and end <= now


def active(objects: Iterable[Object], now: float) -> int:
    """Count the keys that have not ended; agents have theirs besides."""
    return sum(1 for obj in objects if not expired(obj, now) and AGENT not in strings(obj, "spec", "roles"))


def roles_of(obj: Object) -> frozenset[str]:
    """Return every role that a key's roles include. An agent's key has no other."""
    if AGENT in strings(obj, "spec", "roles"):
        return frozenset({AGENT})
    highest = max((ROLES.index(role) for role in strings(obj, "spec", "roles") if role in ROLES), default=-1)
    return frozenset(ROLES[: highest + 1])


def shown(obj: Object) -> Object:
    """Return a key as lists show it: never the digest."""
    spec = {key: value for key, value in mapping(obj, "spec").items() if key != "digest"}
    return {**spec, "_id": obj["metadata"]["name"]}
