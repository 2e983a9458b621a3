"""What is served, said in both forms that clients ask for: one aggregated document, or one list per group and version."""

import re

from holdfast.embedded.apiserver.errors import no_such_path
from holdfast.embedded.apiserver.kinds import Kind
from holdfast.embedded.apiserver.objects import Object
from holdfast.embedded.apiserver.registry import Registry
from holdfast.embedded.apiserver.reviews import REVIEWS, Review

VERSION = "v1.33.0"
"""What clients are told: the version of the built-in types in `types.json`."""

_VERBS = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"]
_SUB_VERBS = {
    "log": ["get"],
    "binding": ["create"],
    "eviction": ["create"],
    "token": ["create"],
    "finalize": ["update"],
}
_SUB_KINDS = {
    "scale": ("autoscaling", "v1", "Scale"),
    "binding": ("", "v1", "Binding"),
    "eviction": ("policy", "v1", "Eviction"),
    "token": ("authentication.k8s.io", "v1", "TokenRequest"),
}


def _is_table_or_discovery(header: str) -> bool:
    return "as=APIGroupDiscoveryList" in header


def aggregated_type(header: str) -> str:
    """The media type of the aggregated form, if the Accept header asks for one that we speak; else empty."""
    for version in ("v2", "v2beta1"):
        if f"v={version};" in header.replace(" ", "") and _is_table_or_discovery(header):
            return f"application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList"
    return ""


def _sub_kind(kind: Kind, sub: str) -> tuple[str, str, str]:
    return _SUB_KINDS.get(sub, (kind.group, kind.version, kind.kind))


def _aggregated_resource(kind: Kind) -> Object:
    response = {"group": kind.group, "version": kind.version, "kind": kind.kind}
    entry: Object = {
        "resource": kind.plural,
        "responseKind": response,
        "scope": "Namespaced" if kind.namespaced else "Cluster",
        "singularResource": kind.singular,
        "verbs": _VERBS,
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    subs: list[Object] = []
    for sub in kind.subresources:
        group, version, name = _sub_kind(kind, sub)
        verbs = _SUB_VERBS.get(sub, ["get", "patch", "update"])
        subs.append({"subresource": sub, "responseKind": {"group": group, "version": version, "kind": name}, "verbs": verbs})
    if subs:
        entry["subresources"] = subs
    return entry


def _review_resource(review: Review) -> Object:
    return {
        "resource": review.plural,
        "responseKind": {"group": review.group, "version": "v1", "kind": review.kind},
        "scope": "Namespaced" if review.namespaced else "Cluster",
        "singularResource": review.kind.lower(),
        "verbs": ["create"],
    }


def _versions(registry: Registry) -> dict[str, dict[str, list[Object]]]:
    """group -> version -> aggregated resources."""
    found: dict[str, dict[str, list[Object]]] = {}
    for kind in registry.all():
        found.setdefault(kind.group, {}).setdefault(kind.version, []).append(_aggregated_resource(kind))
    for review in REVIEWS:
        found.setdefault(review.group, {}).setdefault("v1", []).append(_review_resource(review))
    return found


def aggregated(registry: Registry, core: bool, media: str) -> Object:
    """The APIGroupDiscoveryList of `/api` (core) or `/apis`."""
    api_version = "apidiscovery.k8s.io/" + ("v2beta1" if "v2beta1" in media else "v2")
    items = [
        {
            "metadata": {"name": group or None, "creationTimestamp": None},
            "versions": [
                {"version": version, "freshness": "Current", "resources": resources}
                for version, resources in sorted(versions.items(), key=lambda item: version_order(item[0]))
            ],
        }
        for group, versions in _versions(registry).items()
        if (group == "") is core
    ]
    return {"kind": "APIGroupDiscoveryList", "apiVersion": api_version, "metadata": {}, "items": items}


def version_order(version: str) -> tuple[int, int, int, str]:
    """Sort key that puts the version that Kubernetes prefers first: v2, v1, v1beta2, v1alpha1, others by name."""
    found = re.fullmatch(r"v(\d+)(?:(alpha|beta)(\d+))?", version)
    if found is None:
        return (3, 0, 0, version)
    rank = {None: 0, "beta": 1, "alpha": 2}[found[2]]
    return (rank, -int(found[1]), -int(found[3] or 0), version)


def _group(group: str, versions: list[str]) -> Object:
    listed = [{"groupVersion": f"{group}/{version}", "version": version} for version in sorted(versions, key=version_order)]
    return {"name": group, "versions": listed, "preferredVersion": listed[0]}


def groups(registry: Registry) -> Object:
    """The legacy APIGroupList of `/apis`."""
    found = [_group(group, list(versions)) for group, versions in _versions(registry).items() if group]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": found}


def group(registry: Registry, name: str) -> Object:
    """The legacy APIGroup of `/apis/<group>`."""
    versions = _versions(registry).get(name)
    if not versions or not name:
        raise no_such_path()
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, list(versions))}


def core_versions(address: str) -> Object:
    """The legacy APIVersions of `/api`."""
    return {
        "kind": "APIVersions",
        "versions": ["v1"],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": address}],
    }


def resources(registry: Registry, group_name: str, version: str) -> Object:
    """The legacy APIResourceList of one group and version."""
    found: list[Object] = []
    for kind in registry.all():
        if (kind.group, kind.version) == (group_name, version):
            found += _legacy(kind)
    for review in REVIEWS:
        if (review.group, "v1") == (group_name, version):
            entry = {"name": review.plural, "singularName": review.kind.lower(), "kind": review.kind}
            found.append({**entry, "namespaced": review.namespaced, "verbs": ["create"]})
    if not found:
        raise no_such_path()
    group_version = f"{group_name}/{version}" if group_name else version
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": found}


def _legacy(kind: Kind) -> list[Object]:
    entry: Object = {
        "name": kind.plural,
        "singularName": kind.singular,
        "namespaced": kind.namespaced,
        "kind": kind.kind,
        "verbs": _VERBS,
    }
    if kind.short_names:
        entry["shortNames"] = list(kind.short_names)
    if kind.categories:
        entry["categories"] = list(kind.categories)
    entries = [entry]
    for sub in kind.subresources:
        group_name, version, name = _sub_kind(kind, sub)
        item: Object = {"name": f"{kind.plural}/{sub}", "singularName": "", "namespaced": kind.namespaced, "kind": name}
        if (group_name, version) != (kind.group, kind.version):
            item |= {"group": group_name, "version": version}
        entries.append({**item, "verbs": _SUB_VERBS.get(sub, ["get", "patch", "update"])})
    return entries


def version() -> Object:
    """The `/version` document: the protocol that we speak, and that it is us."""
    major, minor, _ = VERSION.removeprefix("v").split(".")
    return {"major": major, "minor": minor, "gitVersion": f"{VERSION}+holdfast", "platform": "linux/amd64"}
