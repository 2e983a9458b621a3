"""The manifest beside an archive: what belongs together, under which key, and whether anybody changed it.

    {"version": 1, "cluster": ..., "created": ..., "files": [{"name", "size", "sha256"}], "archive": {"size", "sha256"},
     "snapshot": {...}, "key": {"name", "id", "salt"}, "hmac": ...}

`archive` is the plain archive. `hmac` is HMAC-SHA256, under a key derived from the text of the wrapping key, of the document
without that field, as JSON with sorted keys and no spaces. Without encryption there is no key and no HMAC: the checksums then
find damage, not malice. The `id` of a key is a fingerprint for telling keys apart, costly to invert by guessing.
"""

import hashlib
import hmac
import json
import secrets
from typing import Any, Final, cast

from holdfast.core.key_id import key_id
from holdfast.movers.context import MoverError

VERSION: Final = 1
SUFFIX: Final = ".manifest.json"
_ROUNDS: Final = 200_000

Document = dict[str, Any]


def seal(document: Document, passphrase: bytes | None, key_name: str = "") -> bytes:
    """Return the manifest's bytes, with key and HMAC when there is a passphrase."""
    if passphrase is not None:
        salt = secrets.token_hex(16)
        document = {**document, "key": {"name": key_name, "id": key_id(passphrase), "salt": salt}}
        document["hmac"] = _mac(document, passphrase, salt)
    return json.dumps(document, indent=1, sort_keys=True).encode() + b"\n"


def read(data: bytes, name: str) -> Document:
    """Read a manifest. Raises MoverError when it is none, or one of a later version."""
    try:
        loaded: object = json.loads(data)
    except ValueError:
        loaded = None
    document = cast(Document, loaded) if isinstance(loaded, dict) else {}
    if not isinstance(document.get("files"), list):
        raise MoverError("BadManifest", f"{name} is not a manifest", "it was changed or is damaged")
    if document.get("version") != VERSION:
        raise MoverError("BadManifest", f"{name} has version {document.get('version')!r}, not {VERSION}", "update Holdfast")
    return document


def verify(document: Document, passphrase: bytes | None, name: str) -> None:
    """Prove that the manifest is as it was written. Raises MoverError for a wrong key and for a change."""
    key = document.get("key")
    if key is None and "hmac" not in document:
        if passphrase is not None:
            raise MoverError("NotSealed", f"{name} has no HMAC although a key is given", "leave the key out")
        return
    if passphrase is None:
        raise MoverError("KeyNeeded", f"the archive is encrypted with key {_text(key, 'name')}", "give the text of that key")
    if _text(key, "id") != key_id(passphrase):
        known = f"{_text(key, 'name')} (id {_text(key, 'id')})"
        raise MoverError("WrongKey", f"the archive is encrypted with key {known}, not with the given one", "give that key")
    found = document.get("hmac")
    if not isinstance(found, str) or not hmac.compare_digest(found, _mac(document, passphrase, _text(key, "salt"))):
        raise MoverError("Tampered", f"{name} was changed after it was written: its HMAC does not match", "use another copy")


def _mac(document: Document, passphrase: bytes, salt: str) -> str:
    body = {field: value for field, value in document.items() if field != "hmac"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":")).encode()
    derived = hashlib.pbkdf2_hmac("sha256", passphrase, b"holdfast manifest " + salt.encode(), _ROUNDS)
    return hmac.new(derived, text, hashlib.sha256).hexdigest()


def _text(value: object, field: str) -> str:
    found = cast(Document, value).get(field) if isinstance(value, dict) else None
    return found if isinstance(found, str) else ""
