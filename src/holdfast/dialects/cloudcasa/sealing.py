"""Credentials of an objectstore leave the object the moment they are seen, into the Secret that movers read.

The same at admission, where they are never stored, and in the pass over an object that a server without our admission stored.
The password of the repository can't be made up here, where nothing is drawn by chance: without one from the user, the Secret
has none, and whoever finds that adds it.
"""

from __future__ import annotations

import base64
import json
from typing import Any, Final, cast

from holdfast.core.diff import merge_patch
from holdfast.core.objects import Object
from holdfast.core.plan import Amend
from holdfast.core.ports import Sealed
from holdfast.core.read import mapping, name_of, namespace_of
from holdfast.dialects.cloudcasa.kinds import secret_name

LAST_APPLIED: Final = "kubectl.kubernetes.io/last-applied-configuration"

KEYS: Final = {
    "access_key": "AWS_ACCESS_KEY_ID",
    "secret_key": "AWS_SECRET_ACCESS_KEY",
    "subscription_id": "AZURE_SUBSCRIPTION_ID",
    "tenant_id": "AZURE_TENANT_ID",
    "client_id": "AZURE_CLIENT_ID",
    "client_secret": "AZURE_CLIENT_SECRET",
    "encryption_password": "RESTIC_PASSWORD",
}
"""The keys of the Secret by the fields of the credentials."""


def seal(obj: Object) -> Sealed | None:
    """Return the object without its credentials, and the Secret that holds them; None when there are none."""
    given = mapping(obj, "spec", "s3provider", "credentials")
    if "credentials" not in mapping(obj, "spec", "s3provider"):
        return None
    notes = mapping(obj, "metadata", "annotations")
    clean: Object = {**obj, "spec": without_credentials(mapping(obj, "spec"))}
    if LAST_APPLIED in notes:
        clean["metadata"] = {**obj["metadata"], "annotations": {**notes, LAST_APPLIED: _cleaned(notes[LAST_APPLIED])}}
    return Sealed(clean, secret(name_of(obj), namespace_of(obj), given))


def secret(objectstore: str, namespace: str, credentials: Object) -> Object:
    """Return the Secret of an objectstore with these credentials."""
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": secret_name(objectstore), "namespace": namespace},
        "type": "Opaque",
        "data": data_of(credentials),
    }


def data_of(credentials: Object) -> dict[str, str]:
    """Return credentials as the data of a Secret."""
    return {KEYS[name]: base64.b64encode(str(value).encode()).decode() for name, value in credentials.items() if name in KEYS}


def without_credentials(spec: Object) -> Object:
    """Return the fields of an objectstore that may be seen."""
    access = mapping(spec, "s3provider")
    if "credentials" not in access:
        return spec
    return {**spec, "s3provider": {key: value for key, value in access.items() if key != "credentials"}}


def amend(obj: Object, sealed: Sealed) -> Amend:
    """Return the change that seals a stored object."""
    return Amend(merge_patch(_own(obj), _own(sealed.object)), sealed.secret)


def _own(obj: Object) -> Object:
    return {"metadata": {"annotations": mapping(obj, "metadata", "annotations")}, "spec": mapping(obj, "spec")}


def _cleaned(note: str) -> str:
    """Return kubectl's note without credentials; an unreadable one becomes an empty note."""
    try:
        noted: Any = json.loads(note)
    except ValueError:
        return "{}\n"
    if not isinstance(noted, dict):
        return "{}\n"
    document = cast(Object, noted)
    document["spec"] = without_credentials(mapping(document, "spec"))
    return json.dumps(document, separators=(",", ":")) + "\n"
