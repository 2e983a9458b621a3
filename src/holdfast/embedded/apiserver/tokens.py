"""Signed tokens (JWT, ES256) for service accounts, and short-lived ones for calls from the API server to a node.

A token for a node carries an audience of its own: whoever steals one cannot use it against the API. Nothing in here knows
of objects; whether a service account still exists is for `auth`.
"""

import base64
import binascii
import secrets
from collections.abc import Sequence
from typing import cast

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

from holdfast.embedded.apiserver.objects import Object
from holdfast.kube.codec import CodecError, decode, encode

ISSUER = "https://kubernetes.default.svc.cluster.local"
API_AUDIENCE = ISSUER
NODE_AUDIENCE = "holdfast.dev/node"

_SIZE = 32


def _pack(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _unpack(text: str) -> bytes:
    return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)


class Signer:
    """Signs and checks claims with one key. Times are seconds since the epoch."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self._public = key.public_key()

    def sign(self, subject: str, audiences: Sequence[str], now: int, seconds: int, private: Object | None = None) -> str:
        """A token of `subject` that is valid from `now` for `seconds`."""
        claims: Object = {
            "iss": ISSUER,
            "sub": subject,
            "aud": list(audiences),
            "iat": now,
            "nbf": now,
            "exp": now + seconds,
            "jti": secrets.token_hex(16),
        }
        if private:
            claims["kubernetes.io"] = private
        head = f"{_pack(encode({'alg': 'ES256', 'typ': 'JWT'}))}.{_pack(encode(claims))}"
        r, s = decode_dss_signature(self._key.sign(head.encode(), ec.ECDSA(hashes.SHA256())))
        return f"{head}.{_pack(r.to_bytes(_SIZE, 'big') + s.to_bytes(_SIZE, 'big'))}"

    def claims(self, token: str, now: int) -> Object | None:
        """The claims of a token that we signed and that is valid now, or None."""
        head, _, signature = token.rpartition(".")
        try:
            raw = _unpack(signature)
            if len(raw) != 2 * _SIZE:
                return None
            pair = encode_dss_signature(int.from_bytes(raw[:_SIZE], "big"), int.from_bytes(raw[_SIZE:], "big"))
            self._public.verify(pair, head.encode(errors="replace"), ec.ECDSA(hashes.SHA256()))
            claims = decode(_unpack(head.partition(".")[2]))
        except (InvalidSignature, CodecError, ValueError, binascii.Error):
            return None
        fresh = cast(int, claims.get("nbf", 0)) <= now < cast(int, claims.get("exp", 0))
        return claims if fresh and claims.get("iss") == ISSUER else None
