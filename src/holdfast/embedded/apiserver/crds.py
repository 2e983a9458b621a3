"""CustomResourceDefinitions: checked when they are written, served from then on, gone with all their objects when deleted."""

from functools import cache, partial
from typing import Any, cast

from holdfast.embedded.apiserver import schematypes
from holdfast.embedded.apiserver.ages import now, stamp
from holdfast.embedded.apiserver.jsonpath import compile_path
from holdfast.embedded.apiserver.kinds import Column, Kind
from holdfast.embedded.apiserver.metadata import Cause
from holdfast.embedded.apiserver.objects import Object, part, parts, texts
from holdfast.embedded.apiserver.registry import Registry
from holdfast.embedded.apiserver.ring import Rings
from holdfast.embedded.apiserver.store import Change, Record, Store
from holdfast.schema.structural import Schema, SchemaError

CRDS = "apiextensions.k8s.io/customresourcedefinitions"
CLEANUP = "customresourcecleanup.apiextensions.k8s.io"


def fill(crd: Object) -> None:
    """Names and defaults that the author may leave out, in place."""
    spec = part(crd, "spec")
    names = part(spec, "names")
    if not names.get("kind"):
        return
    names.setdefault("singular", str(names["kind"]).lower())
    names.setdefault("listKind", f"{names['kind']}List")
    spec.setdefault("conversion", {"strategy": "None"})


def establish(crd: Object) -> None:
    """The status of a definition that is served, in place."""
    spec, status = crd["spec"], part(crd, "status")
    held = {item["type"]: item for item in parts(status, "conditions")}
    since = stamp(now())
    wanted = (
        ("NamesAccepted", "NoConflicts", "no conflicts found"),
        ("Established", "InitialNamesAccepted", "the initial names have been accepted"),
    )
    conditions = [
        held.get(type_) or {"type": type_, "status": "True", "lastTransitionTime": since, "reason": reason, "message": message}
        for type_, reason, message in wanted
    ]
    stored = [item["name"] for item in spec["versions"] if item.get("storage")]
    before: list[str] = texts(status, "storedVersions")
    crd["status"] = {
        "conditions": conditions,
        "acceptedNames": spec["names"],
        "storedVersions": [*before, *(item for item in stored if item not in before)],
    }


def problems(crd: Object, registry: Registry) -> list[Cause]:
    """What keeps a definition from being served, as (field, message)."""
    spec: Object = part(crd, "spec")
    names: Object = part(spec, "names")
    found = [
        (f"spec.{field}", f"spec.{field}: Required value")
        for field, value in (
            ("group", spec.get("group")),
            ("names.plural", names.get("plural")),
            ("names.kind", names.get("kind")),
            ("versions", spec.get("versions")),
        )
        if not value
    ]
    if found:
        return found
    found += _identity(crd, spec, names, registry)
    for index, version in enumerate(parts(spec, "versions")):
        found += _version_problems(version, f"spec.versions[{index}]")
    if sum(bool(version.get("storage")) for version in spec["versions"]) != 1:
        found.append(("spec.versions", "spec.versions: Invalid value: exactly one version must be marked as storage version"))
    if part(spec, "conversion").get("strategy", "None") != "None":
        text = 'Unsupported value: "Webhook": this server converts between versions by changing apiVersion only: use "None"'
        found.append(("spec.conversion.strategy", f"spec.conversion.strategy: {text}"))
    return found


def _identity(crd: Object, spec: Object, names: Object, registry: Registry) -> list[Cause]:
    found: list[Cause] = []
    wanted = f"{names['plural']}.{spec['group']}"
    if crd["metadata"].get("name") != wanted:
        found.append(("metadata.name", f'metadata.name: Invalid value: must be spec.names.plural+"."+spec.group: "{wanted}"'))
    if spec.get("scope") not in ("Namespaced", "Cluster"):
        given = spec.get("scope", "")
        found.append(("spec.scope", f'spec.scope: Unsupported value: "{given}": supported values: "Cluster", "Namespaced"'))
    for kind in registry.all():
        if kind.group == spec["group"] and not kind.custom:
            found.append(("spec.group", f'spec.group: Forbidden: "{spec["group"]}" is a built-in group'))
            break
        taken = kind.group == spec["group"] and kind.kind == names["kind"] and kind.plural != names["plural"]
        if taken:
            found.append(("spec.names.kind", f'spec.names.kind: Invalid value: "{names["kind"]}" is in use by {kind.plural}'))
            break
    return found


def _version_problems(version: Object, field: str) -> list[Cause]:
    schema: Any = part(version, "schema").get("openAPIV3Schema")
    if not isinstance(schema, dict):
        return [(f"{field}.schema.openAPIV3Schema", f"{field}.schema.openAPIV3Schema: Required value: schemas are required")]
    found: list[Cause] = [] if version.get("name") else [(f"{field}.name", f"{field}.name: Required value")]
    if wrong := schematypes.problems(schema, f"{field}.schema.openAPIV3Schema"):
        return [*found, *wrong]
    try:
        Schema.compile(cast(Object, schema))
    except SchemaError as error:
        at = f"{field}.schema"
        found += [(f"{at}.{item.path}", f"{at}.{item}") for item in error.problems]
    for index, column in enumerate(parts(version, "additionalPrinterColumns")):
        at = f"{field}.additionalPrinterColumns[{index}].jsonPath"
        if not column.get("name"):
            found.append((at, f"{at.removesuffix('jsonPath')}name: Required value"))
        try:
            compile_path(column.get("jsonPath") or "")
        except ValueError as error:
            found.append((at, f"{at}: Invalid value: {error}"))
    return found


def _columns(version: Object) -> tuple[Column, ...]:
    return tuple(
        Column(
            item["name"],
            item.get("jsonPath", ""),
            type=item.get("type", "string"),
            priority=item.get("priority", 0),
            format=item.get("format", ""),
            description=item.get("description", ""),
        )
        for item in parts(version, "additionalPrinterColumns")
    )


def _itself(document: Object) -> Object:
    return document


def kinds_of(crd: Object) -> list[Kind]:
    """One Kind per served version; schemas are compiled when they are first used."""
    spec, names = crd["spec"], crd["spec"]["names"]
    storage = next(item["name"] for item in spec["versions"] if item.get("storage"))
    found: list[Kind] = []
    for version in spec["versions"]:
        if not version.get("served", True):
            continue
        openapi = cast(Object, version["schema"]["openAPIV3Schema"])
        subs = part(version, "subresources")
        found.append(
            Kind(
                group=spec["group"],
                version=version["name"],
                kind=names["kind"],
                plural=names["plural"],
                singular=names.get("singular") or names["kind"].lower(),
                list_kind=names.get("listKind") or "",
                short_names=tuple(names.get("shortNames") or ()),
                categories=tuple(names.get("categories") or ()),
                namespaced=spec["scope"] == "Namespaced",
                subresources=tuple(sub for sub in ("status", "scale") if subs.get(sub) is not None),
                columns=_columns(version),
                storage=storage,
                schema=cache(partial(Schema.compile, openapi)),
                openapi=partial(_itself, openapi),
                scale=subs.get("scale"),
                selectable=tuple(str(field.get("jsonPath", "")).lstrip(".") for field in parts(version, "selectableFields")),
                custom=True,
            )
        )
    return found


class Definitions:
    """Keeps the registry equal to the stored definitions, and lets watches see that what they follow is gone."""

    def __init__(self, store: Store, registry: Registry, rings: Rings) -> None:
        self._registry = registry
        self._rings = rings
        for record in store.page(CRDS).records:
            self._install(record)
        store.listeners.append(self._notice)

    def _install(self, record: Record) -> None:
        self._registry.install(record.key.name, kinds_of(record.object()))

    def _notice(self, changes: list[Change]) -> None:
        for change in changes:
            if change.new.key.res != CRDS:
                continue
            name = change.new.key.name
            if change.type == "DELETED":
                self._registry.remove(name)
            else:
                self._install(change.new)
            plural, _, group = name.partition(".")
            self._rings.of(f"{group}/{plural}").notify()
