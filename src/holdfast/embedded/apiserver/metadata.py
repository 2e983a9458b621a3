"""The part of an object that is the same for all kinds: names, labels, owner references, system fields."""

import re
import secrets
import uuid
from typing import Any, Final, cast

from holdfast.embedded.apiserver.ages import stamp_now
from holdfast.embedded.apiserver.errors import bad_request
from holdfast.embedded.apiserver.objects import Object, part, parts, texts

_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_LABEL = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?$")
_QUALIFIED = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
_LETTERS: Final = "bcdfghjklmnpqrstvwxz2456789"

_FIELDS: Final[dict[str, type]] = {
    "name": str,
    "generateName": str,
    "namespace": str,
    "uid": str,
    "resourceVersion": str,
    "generation": int,
    "creationTimestamp": str,
    "deletionTimestamp": str,
    "deletionGracePeriodSeconds": int,
    "labels": dict,
    "annotations": dict,
    "ownerReferences": list,
    "finalizers": list,
    "managedFields": list,
    "selfLink": str,
}
_SYSTEM: Final = (
    "uid",
    "creationTimestamp",
    "generation",
    "deletionTimestamp",
    "deletionGracePeriodSeconds",
    "namespace",
    "name",
)
_JUDGED: Final = ("labels", "annotations", "ownerReferences", "finalizers", "deletionTimestamp")
"""What may be wrong in an update; what stays as it is was found right before."""
_OWNER: Final = ("apiVersion", "kind", "name", "uid")

_LABEL_KINDS: Final = frozenset({"Namespace", "Service"})
_FREE_KINDS: Final = frozenset({"Role", "RoleBinding", "ClusterRole", "ClusterRoleBinding"})

Cause = tuple[str, str]


def clean(obj: Object) -> list[str]:
    """Prune unknown metadata in place, drop nulls; returns the unknown paths. 400 when a field has the wrong type."""
    meta = obj.setdefault("metadata", {})
    if not isinstance(meta, dict):
        raise bad_request("metadata must be an object")
    fields, unknown = cast(Object, meta), list[str]()
    for key in list(fields):
        value, wanted = fields[key], _FIELDS.get(key)
        if wanted is None:
            unknown.append(f"metadata.{key}")
            del fields[key]
        elif value is None:
            del fields[key]
        elif not isinstance(value, wanted):
            raise bad_request(f"metadata.{key} must be of type {_json_name(wanted)}, not {_json_name(value)}")
    for key in ("labels", "annotations"):
        _check_texts(key, fields.get(key) or {})
    for key, wanted in (("ownerReferences", dict), ("managedFields", dict), ("finalizers", str)):
        for index, item in enumerate(fields.get(key) or []):
            if not isinstance(item, wanted):
                raise bad_request(f"metadata.{key}[{index}] must be of type {_json_name(wanted)}, not {_json_name(item)}")
    for key in ("labels", "annotations", "ownerReferences", "finalizers", "managedFields"):
        if key in fields and not fields[key]:
            del fields[key]
    return unknown


def _check_texts(key: str, values: Object) -> None:
    for name, value in values.items():
        if not isinstance(value, str):
            found = _json_name(value)
            raise bad_request(f"metadata.{key}.{name} must be a string, not a {found}: put it into quotes")


def _json_name(value: object) -> str:
    kind = value if isinstance(value, type) else type(value)
    names: dict[Any, str] = {
        dict: "object",
        list: "array",
        str: "string",
        int: "integer",
        float: "number",
        bool: "boolean",
        type(None): "null",
    }
    return names.get(kind, kind.__name__)


def name_from(meta: Object) -> str:
    """The given name, or one made from `generateName`, or empty."""
    if meta.get("name") or not meta.get("generateName"):
        return meta.get("name", "")
    return f"{meta['generateName'][:58]}{random_suffix()}"


def random_suffix() -> str:
    """Five letters that spell no word, for a name that nobody has chosen."""
    return "".join(secrets.choice(_LETTERS) for _ in range(5))


def stamp_new(meta: Object, generation: bool) -> None:
    """Give a new object its uid, birth and first generation; what the caller sent there is dropped."""
    for key in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "resourceVersion", "generation"):
        meta.pop(key, None)
    meta["uid"] = str(uuid.uuid4())
    meta["creationTimestamp"] = stamp_now()
    if generation:
        meta["generation"] = 1


def keep_system(new: Object, old: Object) -> None:
    """System fields of an update are those of the stored object, whatever was sent."""
    for key in _SYSTEM:
        if key in old:
            new[key] = old[key]
        else:
            new.pop(key, None)
    new.pop("selfLink", None)


def problems(obj: Object, old: Object | None) -> list[Cause]:
    """What is wrong with the metadata, as (field, message)."""
    meta: Object = obj["metadata"]
    if old is not None and all(meta.get(key) == old["metadata"].get(key) for key in _JUDGED):
        return []
    found = [*_name_problems(obj["kind"], meta)] if old is None else []
    for key, value in part(meta, "labels").items():
        found += _label_problems(key, value)
    for key in part(meta, "annotations"):
        found += _key_problems("metadata.annotations", key)
    size = sum(len(key) + len(value) for key, value in part(meta, "annotations").items())
    if size > 262144:
        found.append(("metadata.annotations", "metadata.annotations: Too long: may not be more than 262144 bytes"))
    for index, ref in enumerate(parts(meta, "ownerReferences")):
        found += _owner_problems(f"metadata.ownerReferences[{index}]", ref)
    if old is not None and old["metadata"].get("deletionTimestamp"):
        found += _finalizer_problems(meta, old["metadata"])
    return found


def _name_problems(kind: str, meta: Object) -> list[Cause]:
    name = meta.get("name", "")
    if not name:
        return [("metadata.name", "metadata.name: Required value: name or generateName is required")]
    if kind in _FREE_KINDS:
        good, rule = name not in (".", "..") and not set("/%") & set(name), "may not be '.' or '..' or contain '/' or '%'"
    elif kind in _LABEL_KINDS:
        good, rule = len(name) <= 63 and bool(_LABEL.match(name)), _RULE_LABEL
    else:
        good, rule = len(name) <= 253 and bool(_SUBDOMAIN.match(name)), _RULE_SUBDOMAIN
    return [] if good else [("metadata.name", f'metadata.name: Invalid value: "{name}": {rule}')]


_RULE_LABEL: Final = (
    "a lowercase RFC 1123 label has at most 63 lower case letters, digits or '-', and starts and ends with a letter or digit"
)
_RULE_SUBDOMAIN: Final = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end "
    "with an alphanumeric character"
)


def _key_problems(field: str, key: str) -> list[Cause]:
    prefix, _, name = key.rpartition("/")
    good = (
        len(name) <= 63 and bool(_QUALIFIED.match(name)) and (not prefix or (len(prefix) <= 253 and _SUBDOMAIN.match(prefix)))
    )
    rule = "a qualified name has at most 63 letters, digits, '-', '_' or '.', with an optional DNS subdomain and '/' before it"
    return [] if good else [(field, f'{field}: Invalid value: "{key}": {rule}')]


def _label_problems(key: str, value: str) -> list[Cause]:
    found = _key_problems("metadata.labels", key)
    if value and (len(value) > 63 or not _QUALIFIED.match(value)):
        rule = "a label value has at most 63 letters, digits, '-', '_' or '.', and starts and ends with a letter or digit"
        found.append(("metadata.labels", f'metadata.labels: Invalid value: "{value}": {rule}'))
    return found


def _owner_problems(field: str, ref: Any) -> list[Cause]:
    if not isinstance(ref, dict):
        return [(field, f"{field}: Invalid value: must be an object")]
    missing = [key for key in _OWNER if not isinstance(cast(Object, ref).get(key), str) or not cast(Object, ref)[key]]
    return [(f"{field}.{key}", f"{field}.{key}: Invalid value: must not be empty") for key in missing]


def _finalizer_problems(new: Object, old: Object) -> list[Cause]:
    added = sorted(set(texts(new, "finalizers")) - set(texts(old, "finalizers")))
    text = "no new finalizers can be added if the object is being deleted, found new finalizers"
    return [("metadata.finalizers", f"metadata.finalizers: Forbidden: {text} {added}")] if added else []
