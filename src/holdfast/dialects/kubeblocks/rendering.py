"""What the templates of a StorageProvider make for one BackupRepo: Secrets, a StorageClass, a claim, the tool's configuration.

Secrets are made where their values are, by the engine; here is only the recipe. A StorageClass and a claim can be read by
many, so a template that would write a credential into one is refused.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final, cast

import msgspec
import yaml

from holdfast.core.objects import Object, Ref, owner_reference
from holdfast.core.plan import Recipe, SecretCopy
from holdfast.core.read import at, mapping, name_of, strings, text
from holdfast.dialects.kubeblocks import names, parameters
from holdfast.dialects.kubeblocks.kinds import SECRET
from holdfast.templates import Strings, Template, TemplateError

CONFIG_KEY: Final = "datasafed.conf"
"""The entry of the tool's Secret that holds its configuration."""

_TEMPLATES: Final = (
    "csiDriverSecretTemplate",
    "storageClassTemplate",
    "persistentVolumeClaimTemplate",
    "datasafedConfigTemplate",
)


_MOST: Final = 500
_kept: Final[dict[tuple[str, str, str, bytes], bytes]] = {}


class BadTemplate(ValueError):
    """A template of a provider makes nothing that can be used. The text says which and why, never a credential."""


def has(provider: Object, template: str) -> bool:
    """Whether the provider has this template."""
    return bool(text(provider, "spec", template).strip())


def mistakes(provider: Object) -> list[str]:
    """Return what can be said against the templates without any parameters: what can't even be read."""
    found: list[str] = []
    for name in _TEMPLATES:
        try:
            _parsed(provider, name)
        except BadTemplate as error:
            found.append(str(error))
    return found


def digest(repo: Object, provider: Object) -> str:
    """Return what a change of anything that a check depends on changes: parameters, templates, access, place."""
    known = [text(provider, "spec", name) for name in _TEMPLATES]
    spec = mapping(repo, "spec")
    given = [spec.get(name) for name in ("accessMethod", "pathPrefix", "pvReclaimPolicy", "volumeCapacity", "credential")]
    told = msgspec.json.encode([known, sorted(parameters.known(repo, provider).items()), given])
    return hashlib.sha256(told).hexdigest()[:16]


def storage_class(repo: Object, provider: Object, home: str) -> Object | None:
    """Return the StorageClass; None when the provider has no template of one. Raises BadTemplate."""
    if not has(provider, "storageClassTemplate"):
        return None
    made = _object(provider, "storageClassTemplate", _data(repo, parameters.with_stand_ins(repo, provider), home))
    if not text(made, "provisioner"):
        raise BadTemplate(_said(provider, "storageClassTemplate", "names no provisioner"))
    return {
        **made,
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": _metadata(repo, names.storage_class(repo), mapping(made, "metadata")),
        "reclaimPolicy": text(repo, "spec", "pvReclaimPolicy", default="Retain"),
        "volumeBindingMode": "Immediate",
    }


def claim(repo: Object, provider: Object, home: str, namespace: str, name: str) -> Object:
    """Return a claim of a repository in a namespace. Raises BadTemplate."""
    made: Object = {}
    if has(provider, "persistentVolumeClaimTemplate"):
        data = _data(repo, parameters.with_stand_ins(repo, provider), home)
        made = _object(provider, "persistentVolumeClaimTemplate", data)
    spec = dict(mapping(made, "spec"))
    if not strings(spec, "accessModes"):
        spec["accessModes"] = ["ReadWriteMany"]
    spec.setdefault("volumeMode", "Filesystem")
    if at(spec, "resources", "requests", "storage") is None:
        spec["resources"] = {"requests": {"storage": at(repo, "spec", "volumeCapacity") or "20Gi"}}
    if not spec.get("storageClassName") and has(provider, "storageClassTemplate"):
        spec["storageClassName"] = names.storage_class(repo)
    metadata = {**_metadata(repo, name, mapping(made, "metadata")), "namespace": namespace}
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": metadata, "spec": spec}


def csi_secret(repo: Object, provider: Object, home: str) -> SecretCopy | None:
    """Return how the Secret for the CSI driver is made; None when the provider has no template of one."""
    if not has(provider, "csiDriverSecretTemplate"):
        return None
    return _made(repo, provider, home, names.csi_secret(repo), "csiDriverSecretTemplate")


def tool_config(repo: Object, provider: Object, home: str) -> SecretCopy:
    """Return how the Secret for the storage tool is made, in the controller's own namespace."""
    return _made(repo, provider, home, names.tool_config(repo), "datasafedConfigTemplate")


def try_all(repo: Object, provider: Object, home: str) -> None:
    """Try every template with stand-ins for the credentials, so that its mistakes show early. Raises BadTemplate."""
    values = parameters.with_stand_ins(repo, provider)
    for name in ("csiDriverSecretTemplate", "datasafedConfigTemplate"):
        if has(provider, name):
            _entries(repo, provider, home, name, values)


def _made(repo: Object, provider: Object, home: str, target: str, template: str) -> SecretCopy:
    def make(entries: Mapping[str, str]) -> Mapping[str, str]:
        values = parameters.with_credentials(repo, provider, entries)
        try:
            return _entries(repo, provider, home, template, values)
        except BadTemplate:
            raise ValueError(f"StorageProvider {name_of(provider)}: {template} fails with these credentials") from None

    given = mapping(repo, "spec", "credential")
    source = Ref(SECRET, text(given, "namespace", default=home), text(given, "name")) if given.get("name") else None
    return SecretCopy(source, Ref(SECRET, home, target), repo, Recipe(digest(repo, provider), make))


def _entries(repo: Object, provider: Object, home: str, template: str, values: Strings) -> Mapping[str, str]:
    data = _data(repo, values, home)
    if template == "datasafedConfigTemplate":
        return {CONFIG_KEY: _rendered(provider, template, data)}
    flat = _loaded(provider, template, _rendered(provider, template, data))
    if any(isinstance(value, dict | list) for value in flat.values()):
        raise BadTemplate(_said(provider, template, "must make a flat map"))
    return {name: "" if value is None else str(value) for name, value in flat.items()}


def _data(repo: Object, values: Strings, home: str) -> Object:
    """Return what a template sees."""
    return {
        "Parameters": values,
        "CSIDriverSecretRef": {"Name": names.csi_secret(repo), "Namespace": home},
        "GeneratedStorageClassName": names.storage_class(repo),
    }


def _object(provider: Object, template: str, data: Object) -> Object:
    """Return what a template makes for all to read. It is the same for each job of a repository, so it is kept."""
    key = (name_of(provider), template, text(provider, "spec", template), msgspec.json.encode(data, order="deterministic"))
    made = _kept.get(key)
    if made is None:
        rendered = _rendered(provider, template, data)
        if parameters.CREDENTIAL in rendered:
            raise BadTemplate(_said(provider, template, "would write a credential where many can read it"))
        made = msgspec.json.encode(_loaded(provider, template, rendered))
        if len(_kept) >= _MOST:
            _kept.clear()
        _kept[key] = made
    return cast("Object", msgspec.json.decode(made))


def _loaded(provider: Object, template: str, made: str) -> Object:
    try:
        loaded: Any = yaml.safe_load(made)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" in line {mark.line + 1} of what it makes" if mark else ""
        raise BadTemplate(
            _said(provider, template, f"makes no YAML: {getattr(error, 'problem', 'unreadable')}{where}")
        ) from None
    if not isinstance(loaded, dict):
        raise BadTemplate(_said(provider, template, "makes no YAML object"))
    return cast("Object", loaded)


def _rendered(provider: Object, template: str, data: Object) -> str:
    try:
        return _parsed(provider, template).render(data)
    except TemplateError as error:
        raise BadTemplate(_said(provider, template, str(error))) from None


def _parsed(provider: Object, template: str) -> Template:
    try:
        return Template(text(provider, "spec", template), name=template)
    except TemplateError as error:
        raise BadTemplate(_said(provider, template, str(error))) from None


def _said(provider: Object, template: str, what: str) -> str:
    return f"StorageProvider {name_of(provider)}: {template} {what}"


def _metadata(repo: Object, name: str, given: Object) -> Object:
    return {
        **{key: given[key] for key in ("annotations",) if given.get(key)},
        "name": name,
        "labels": {**mapping(given, "labels"), **names.repo_labels(repo)},
        "ownerReferences": [owner_reference(repo, controller=False)],
    }
